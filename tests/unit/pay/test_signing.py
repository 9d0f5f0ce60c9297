"""Signatures: what is accepted, and that everything near it is not."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from hypothesis import given
from hypothesis import strategies as st

from tests.support.keys import key
from tests.support.platform import v2_sign as by_hand
from wechat.domain.errors import SignatureInvalid
from wechat.pay.signing import PROBE, SignType, check_window, rsa_verify, v2_sign, v2_verify

KEY = "0123456789abcdefghijklmnopqrstuv"
OTHER_KEY = "vutsrqponmlkjihgfedcba9876543210"
FIELDS = {
    "return_code": "SUCCESS",
    "appid": "wx1",
    "mch_id": "1900000109",
    "nonce_str": "n",
    "out_trade_no": "20260301120506abc",
    "total_fee": "100",
}
KINDS = [kind.value for kind in SignType]
NOW = 1_700_000_000.0


def signed(kind: str = "MD5", key: str = KEY, **changed: str) -> dict[str, str]:
    fields = FIELDS | changed
    return fields | {"sign": by_hand(fields, key, kind)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_v2_signature_says_its_kind(kind: str) -> None:
    assert v2_verify(signed(kind), KEY).value == kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sign",
    [
        None, "", " ", "\n", "0" * 31, "0" * 33, "0" * 63, "0" * 65, "签名", "签" * 32, "０" * 32,
        "G" * 32, "0" * 32, "F" * 64, "A" * 1_000_000, "'" * 32,
    ],
)  # fmt: skip
def test_a_signature_of_the_wrong_shape_or_value_is_refused(kind: str, sign: str | None) -> None:
    fields = signed(kind)
    del fields["sign"]
    if sign is not None:
        fields["sign"] = sign
    with pytest.raises(SignatureInvalid):
        v2_verify(fields, KEY)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lower_case_signature_is_refused(kind: str) -> None:
    fields = signed(kind)
    with pytest.raises(SignatureInvalid):
        v2_verify(fields | {"sign": fields["sign"].lower()}, KEY)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(FIELDS))
def test_each_field_is_held_by_the_signature(kind: str, name: str) -> None:
    fields = signed(kind)
    removed = {other: value for other, value in fields.items() if other != name}
    flipped = fields | {name: fields[name][:-1] + chr(ord(fields[name][-1]) ^ 1)}
    renamed = removed | {name.swapcase(): fields[name]}
    for changed in (removed, flipped, renamed):
        with pytest.raises(SignatureInvalid):
            v2_verify(changed, KEY)


def test_a_field_added_without_signing_is_refused_and_one_signed_is_welcome() -> None:
    with pytest.raises(SignatureInvalid):
        v2_verify(signed() | {"coupon_fee": "1"}, KEY)
    assert v2_verify(signed(coupon_fee="1"), KEY) is SignType.MD5


def test_an_empty_field_takes_no_part() -> None:
    assert v2_verify(signed() | {"attach": ""}, KEY) is SignType.MD5
    assert v2_verify(signed(zero="0"), KEY) is SignType.MD5


@pytest.mark.parametrize(
    ("told", "made", "right"),
    [
        ("MD5", "MD5", True),
        ("HMAC-SHA256", "HMAC-SHA256", True),
        ("", "MD5", True),
        ("", "HMAC-SHA256", True),
        ("HMAC-SHA256", "MD5", False),
        ("MD5", "HMAC-SHA256", False),
        ("NONE", "MD5", False),
        ("md5", "MD5", False),
        ("SHA1", "MD5", False),
        ("RSA", "HMAC-SHA256", False),
        ("x" * 1_000_000, "MD5", False),
    ],
)
def test_a_sign_type_may_be_missing_but_not_contradict(told: str, made: str, right: bool) -> None:
    fields = signed(made, sign_type=told)
    if right:
        assert v2_verify(fields, KEY).value == made
    else:
        with pytest.raises(SignatureInvalid):
            v2_verify(fields, KEY)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["", "None", "null", OTHER_KEY, KEY.upper()])
def test_another_key_does_not_sign_for_us(kind: str, key: str) -> None:
    with pytest.raises(SignatureInvalid):
        v2_verify(signed(kind, key), KEY)


def test_an_empty_key_signs_and_verifies_nothing() -> None:
    with pytest.raises(ValueError, match="empty key"):
        v2_sign(FIELDS, "", SignType.MD5)
    with pytest.raises(ValueError, match="empty key"):
        v2_verify(signed("MD5", ""), "")


@given(
    st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.text(max_size=30), max_size=12),
    st.sampled_from(list(SignType)),
)
def test_two_implementations_agree_on_any_fields(fields: dict[str, str], kind: SignType) -> None:
    fields = {name: value.encode("utf-8", "ignore").decode() for name, value in fields.items()}
    assert v2_sign(fields, KEY, kind) == by_hand(fields, KEY, kind.value)


# v3 ------------------------------------------------------------------------------------------------------------------

MESSAGE = b"1700000000\nnonce\n{}\n"


def rsa(name: str = "theirs", message: bytes = MESSAGE) -> str:
    return base64.b64encode(key(name).sign(message, PKCS1v15(), SHA256())).decode()


def test_a_right_v3_signature_is_accepted() -> None:
    rsa_verify(key("theirs").public_key(), MESSAGE, rsa())


WRONG: dict[str, Callable[[], str]] = {
    "another key's": lambda: rsa("ours"),
    "PSS": lambda: base64.b64encode(
        key("theirs").sign(MESSAGE, PSS(MGF1(SHA256()), PSS.MAX_LENGTH), SHA256())
    ).decode(),
    "SHA-1": lambda: base64.b64encode(key("theirs").sign(MESSAGE, PKCS1v15(), SHA1())).decode(),  # noqa: S303
    "SHA-512": lambda: base64.b64encode(key("theirs").sign(MESSAGE, PKCS1v15(), SHA512())).decode(),
    "over another message": lambda: rsa(message=MESSAGE + b"\n"),
    "cut": lambda: rsa()[:-8],
    "longer": lambda: base64.b64encode(base64.b64decode(rsa()) + b"\0").decode(),
    "not base64": lambda: "!" + rsa()[1:],
    "with a blank": lambda: rsa()[:20] + "\n" + rsa()[20:],
    "url-safe base64": lambda: "-_" + rsa()[2:],
    "not ASCII": lambda: "签名",
    "empty": lambda: "",
    "zeros": lambda: base64.b64encode(bytes(256)).decode(),
}


@pytest.mark.parametrize("name", WRONG)
def test_any_other_v3_signature_is_refused(name: str) -> None:
    with pytest.raises(SignatureInvalid) as refused:
        rsa_verify(key("theirs").public_key(), MESSAGE, WRONG[name]())
    assert refused.value.reason == "sign_wrong"


@pytest.mark.parametrize("rest", ["", "junk", "A" * 300, "=="])
def test_a_probe_is_refused_like_any_other_and_only_named_differently(rest: str) -> None:
    with pytest.raises(SignatureInvalid) as refused:
        rsa_verify(key("theirs").public_key(), MESSAGE, PROBE + rest)
    assert refused.value.reason == "probe"


@pytest.mark.parametrize("skew_s", [0, 299, -299, 299.9])
def test_a_timestamp_within_five_minutes_is_taken(skew_s: float) -> None:
    check_window(str(int(NOW)), NOW - skew_s)


@pytest.mark.parametrize(
    "timestamp",
    [
        str(int(NOW) - 300), str(int(NOW) + 300), str(int(NOW) - 301), str(int(NOW) + 301), str(int(NOW) - 864_000),
        "0", "-1", "1e9", "１７００００００００", str(10**30), "", " ", f"{int(NOW)} ", f"+{int(NOW)}", "1_700_000_000",
        f"{NOW}", "0x6553f100", "nan",
    ],
)  # fmt: skip
def test_any_other_timestamp_is_refused(timestamp: str) -> None:
    with pytest.raises(SignatureInvalid):
        check_window(timestamp, NOW)
