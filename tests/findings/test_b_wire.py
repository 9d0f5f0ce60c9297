"""What stands on the wire: serials, lengths in bytes, characters, addresses, numbers in paths."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, pkcs12
from cryptography.x509 import load_pem_x509_certificate
from pydantic import TypeAdapter

from handlers.web.numbers import NUMBER, REFUND_NUMBER
from service.settings.sections import HttpSettings
from service.settings.values import Pem
from tests.http.client import Shop
from tests.support.clock import ManualClock
from tests.support.keys import certificate_pem, key, private_pem
from tests.support.platform import Platform
from tests.support.receiving import KNOWN, World
from tests.support.runtime import RecordedTelemetry
from wechat.domain.errors import BadRequest, ConfigError, Malformed, SignatureInvalid
from wechat.orders.requests import CreateOrderRequest
from wechat.pay.bills.parser import flow_lines
from wechat.pay.certificates import KeyRing, PlatformKey, load_signer
from wechat.pay.serials import same_form, serial_text
from wechat.pay.signing import Signer
from wechat.pay.v2.xmlcodec import parse
from wechat.refunds.requests import RefundRequest

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
LEADING_ZERO = "0B3D5F6A7788990011223344556677889900AABB"


# -- serials -----------------------------------------------------------------------------------------------------------


def test_b1_a_serial_keeps_its_first_zero() -> None:
    assert serial_text(int(LEADING_ZERO, 16)) == LEADING_ZERO
    assert [serial_text(number) for number in (0, 1, 0x10, 0xABC)] == ["00", "01", "10", "0ABC"]


@pytest.mark.parametrize("told", [LEADING_ZERO, LEADING_ZERO.lower(), LEADING_ZERO[1:], f"00{LEADING_ZERO}"])
def test_b1_a_key_is_found_by_the_number_of_its_serial(told: str) -> None:
    for known in (LEADING_ZERO, LEADING_ZERO[1:].lower()):
        ring = KeyRing(ManualClock(NOW))
        ring.replace_certificates([PlatformKey(known, KEY, NOW - timedelta(days=1), NOW + timedelta(days=1))])
        assert ring.find(told) is KEY


@pytest.mark.parametrize("told", ["PUB_KEY_ID_0b", "pub_key_id_0B", "", "0x0B", " 0B", "-B", "0B3D5F", "\uff10B"])
def test_b1_what_is_another_serial_or_none_is_not_found(told: str) -> None:
    ring = KeyRing(ManualClock(NOW), PlatformKey("PUB_KEY_ID_0B", KEY))
    ring.replace_certificates([PlatformKey("0B", KEY, NOW - timedelta(days=1), NOW + timedelta(days=1))])
    with pytest.raises(SignatureInvalid):
        ring.find(told)
    assert same_form("PUB_KEY_ID_0B") == "PUB_KEY_ID_0B"


# -- texts that cross to WeChat ----------------------------------------------------------------------------------------


def order(**more: Any) -> CreateOrderRequest:
    return CreateOrderRequest.parse({"description": "x", "total": 1, "trade_type": "NATIVE"} | more)


def refused_field(**more: Any) -> str:
    with pytest.raises(BadRequest) as no:
        order(**more)
    return str(no.value.field)


@pytest.mark.parametrize("field", ["description", "attach"])
def test_b2_lengths_are_bytes(field: str) -> None:
    for text in ("好" * 42, "a" * 127, "é" * 63):
        assert getattr(order(**{field: text}), field) == text
    for text in ("好" * 43, "a" * 128, "é" * 64, ""):
        assert refused_field(**{field: text}) == field


def test_b2_a_refunds_reason_too() -> None:
    assert RefundRequest.parse({"refund": 1, "reason": "好" * 26}).reason == "好" * 26
    with pytest.raises(BadRequest):
        RefundRequest.parse({"refund": 1, "reason": "好" * 27})


@pytest.mark.parametrize(
    "text",
    ["😀", "咖啡☕\ufe0f", "👨\u200d👩", "𠮷野家", "a\u202eb", "a\u200fb", "a\u2066b", "a\nb", "a\tb", "a\x00b", "a\x7fb", "\ufeffa",
     "\ud800", "\ue000", " a", "a ", "\u3000a", "a\u3000", "a\u2028b", "a\xadb"],
)  # fmt: skip
def test_b6_what_wechat_refuses_or_garbles_is_refused_at_the_door(text: str) -> None:
    assert refused_field(description=text) == "description"
    assert refused_field(attach=text) == "attach"


@pytest.mark.parametrize(
    "text",
    ["拿铁\u3000大杯", "ＡＢＣ１２３", "क्\u200dष", "می\u200cخواهم", "Café “大” — №5", "①②③", "한국어", "ก็", "e\u0301"],
)
def test_b6_letters_of_every_script_are_taken(text: str) -> None:
    assert order(description=text, attach=text).description == text


# -- the payer's address -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trade_type", ["MWEB", "H5"])
def test_b4_a_payer_in_a_browser_has_an_address_of_their_own(trade_type: str) -> None:
    assert refused_field(trade_type=trade_type) == "payer_client_ip"
    assert order(trade_type=trade_type, payer_client_ip="203.0.113.9").payer_client_ip == "203.0.113.9"


@pytest.mark.parametrize(
    ("given", "plain"),
    [("::ffff:203.0.113.9", "203.0.113.9"), ("2001:DB8::1", "2001:db8::1"), ("2001:db8:0:0::0:1", "2001:db8::1")],
)
def test_b4_addresses_are_told_in_their_plain_form(given: str, plain: str) -> None:
    assert order(payer_client_ip=given).payer_client_ip == plain


@pytest.mark.parametrize(
    "given",
    ["fe80::1%eth0", "203.0.113.9, 10.0.0.1", "203.0.113.009", "203.0.113.9:80", "[::1]", "1", " 203.0.113.9", "", 1],
)
def test_b4_what_is_no_address_is_refused(given: object) -> None:
    assert refused_field(payer_client_ip=given) == "payer_client_ip"


# -- numbers in paths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["ab|cd*ef", "ab%7Ccd%2Aef", "ab%7ccd%2aef", "%61%62%7C%63%64%2A%65%66", "abcdef", "AB_C-D"]
)
def test_b3_a_number_is_found_however_a_client_encodes_it(path: str) -> None:
    assert re.fullmatch(NUMBER, path)
    assert re.fullmatch(REFUND_NUMBER, path)


@pytest.mark.parametrize(
    "path", ["ab%2Fcdef", "ab%257Ccd", "abc%00def", "ab%20cdef", "ab/cdef", "abcde", "%7C%7C", "abc%7", "a%40bcdef"]
)
def test_b3_what_is_no_number_is_not_routed(path: str) -> None:
    assert not re.fullmatch(NUMBER, path)


def test_b3_refund_numbers_may_have_an_at_sign() -> None:
    assert re.fullmatch(REFUND_NUMBER, "a%40bcdef")
    assert re.fullmatch(REFUND_NUMBER, "a@bcdef")


# -- the public address ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("https://Pay.Example.com", "https://pay.example.com"),
        ("https://pay.example.com:443", "https://pay.example.com"),
        ("HTTP://pay.example.com:80/", "http://pay.example.com"),
        ("https://pay.example.com.", "https://pay.example.com"),
        ("https://pay.example.com:8443", "https://pay.example.com:8443"),
        ("http://[::1]:8888", "http://[::1]:8888"),
    ],
)
def test_b5_the_public_address_is_as_browsers_write_it(given: str, plain: str) -> None:
    assert HttpSettings(public_base_url=given).public_base_url == plain


@pytest.mark.parametrize(
    "given", ["https://pay.example.com/shop", "https://pay.example.com?x=1", "pay.example.com", "ftp://x", "https://"]
)
def test_b5_one_with_a_path_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="address"):
        HttpSettings(public_base_url=given)


# -- pages that are signed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("url=https://pay.example.com/pay/1?by=wx&a=2", "UNKNOWN_ARGUMENT"),
        ("url=https://pay.example.com/?x=1&url=https://pay.example.com/", "REPEATED_ARGUMENT"),
        ("url=https://pay.example.com/?x=1&y", "UNKNOWN_ARGUMENT"),
    ],
)
async def test_b7_an_address_that_is_not_encoded_is_refused_and_the_sentence_says_how_to_write_it(
    shop: Shop, query: str, code: str
) -> None:
    told = await shop.get(f"/jssdk/config?{query}", **{"Accept-Language": "en"})
    assert (told.status, told.code) == (400, code)
    assert "write & within a value as %26" in told.json()["message"]


@pytest.mark.parametrize("fragment", ["#/a b", "#" + "x" * 4000, "#\\", "#中文\t"])
async def test_b7_what_follows_the_hash_is_cut_before_the_address_is_judged(shop: Shop, fragment: str) -> None:
    told = await shop.post("/jssdk/config", {"url": f"{shop.url}/pay/1?by=wx{fragment}"})
    assert told.status == 200, told.body


# -- sizes -------------------------------------------------------------------------------------------------------------


def test_b10_a_payment_with_many_coupons_is_read() -> None:
    names = [f"coupon_{what}_{n}" for n in range(200) for what in ("id", "type", "fee")]
    body = "<xml>" + "".join(f"<{name}>1</{name}>" for name in names) + "</xml>"
    assert len(parse(body.encode())) == 600
    with pytest.raises(Malformed):
        parse(f"<xml><a>{'1' * 65536}</a></xml>".encode())


def test_b10_a_fund_flow_bill_with_full_width_brackets_is_read() -> None:
    names = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额（元）,账户结余（元）,资金变更提交申请人,备注,业务凭证号"
    values = "`2026-03-01 10:00:00,`4200,`f1,`交易,`交易,`收入,`5.00,`5.00,`system,`,`R1"
    lines = [names, values, "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额", "`1.0,`1.0,`5.00,`0.0,`0.00"]
    [line] = list(flow_lines([f"{text}\r\n" for text in lines]))
    assert (line.amount, line.balance) == (500, 500)


# -- key files ---------------------------------------------------------------------------------------------------------


def p12() -> bytes:
    certificate = load_pem_x509_certificate(certificate_pem().encode())
    return pkcs12.serialize_key_and_certificates(b"", key("ours"), certificate, None, BestAvailableEncryption(b"1"))


def encrypted() -> bytes:
    return key("ours").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"1"))


def merchant_signer(file: Path) -> Signer:
    """The signer of a service whose settings name ``file`` as its key."""
    pem = TypeAdapter(Pem).validate_python(str(file)).get_secret_value()
    return load_signer("1900000109", pem, certificate_pem(), RecordedTelemetry())


KEY_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "base64 without header": (lambda: "".join(private_pem().splitlines()[1:-1]).encode(), "base64 -di FILE"),
    "PKCS#12": (p12, "openssl pkcs12 -legacy -in FILE -nocerts -nodes"),
    "encrypted": (encrypted, "openssl pkey -in FILE"),
    "wrong header": (lambda: private_pem().replace("PRIVATE KEY", "CERTIFICATE").encode(), "sed '/-----/d' FILE"),
    "UTF-16": (lambda: private_pem().encode("utf-16"), "iconv -f UTF-16"),
    "the certificate": (lambda: certificate_pem().encode(), "this is a certificate, a private key is needed"),
}


@pytest.mark.parametrize("name", KEY_FILES)
def test_b8_a_key_file_of_another_form_is_named_with_the_command_that_helps(name: str, tmp_path: Path) -> None:
    make, words = KEY_FILES[name]
    (tmp_path / "given").write_bytes(make())
    with pytest.raises(ConfigError) as refused:
        merchant_signer(tmp_path / "given")
    [problem] = refused.value.problems
    assert words in problem.en
    assert problem.en.startswith("pay.v3.merchant_key")


def test_b8_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"\xef\xbb\xbf" + private_pem().encode())
    assert merchant_signer(tmp_path / "given").sign(b"text")


# -- kinds of notifications --------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "public_key.key.pem").write_text(private_pem("platform"))
    (tmp_path / "platform_1.key.pem").write_text(private_pem("certificate"))
    return World(Platform(KNOWN, tmp_path))


@pytest.mark.parametrize("kind", ["COUPON.USE", "COMPLAINT.CREATE", "PAYSCORE.USER_OPEN_SERVICE", "TRANSACTIONS.NEW"])
async def test_b9_a_genuine_message_of_another_kind_is_acknowledged_and_moves_nothing(world: World, kind: str) -> None:
    plain = json.dumps(world.platform.v3_transaction(world.wanted)).encode()
    envelope = world.platform.v3_envelope(plain, event_type=kind)
    await world.receive(world.platform.v3_signed(json.dumps(envelope).encode()))
    assert world.stored == world.order


@pytest.mark.parametrize("kind", ["TRANSACTION.FAIL", "REFUND.PROCESSING", ""])
async def test_b9_one_about_money_that_is_not_known_is_never_acknowledged(world: World, kind: str) -> None:
    plain = json.dumps(world.platform.v3_transaction(world.wanted)).encode()
    envelope = world.platform.v3_envelope(plain, event_type=kind)
    with pytest.raises(Malformed):
        await world.receive(world.platform.v3_signed(json.dumps(envelope).encode()))
