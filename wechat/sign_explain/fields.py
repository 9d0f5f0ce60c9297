"""APIv2's signature over named values: XML messages, and the paySign of an order placed over APIv2.

Source: https://pay.weixin.qq.com/doc/v2/merchant/4011985891 (签名算法).
"""

from __future__ import annotations

import hashlib
import hmac
import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from wechat.domain.errors import Bilingual
from wechat.pay.signing import SignType, v2_sign, v2_string
from wechat.sign_explain.conclusion import conclude, end, slip
from wechat.sign_explain.field_changes import SIGN_TYPES, Change, Fields, changes, present
from wechat.sign_explain.model import MASK, Explanation, Keys, Kind, Slip, Verdict
from wechat.sign_explain.resource import key_tries
from wechat.sign_explain.search import Dimension, Try, dimension, search
from wechat.sign_explain.slips import SlipCode

NEED_KEY = Bilingual("需要 --key：该商户号的 APIv2密钥", "--key is needed: the merchant's APIv2 key")
Digest = Callable[[bytes, bytes], str]


class Recipe(NamedTuple):
    """A way to build and hash the signed text."""

    change: Change
    order: str
    ending: str
    key: str
    algorithm: str
    encoding: str
    page: bool

    def text(self, fields: Fields, key: str) -> str:
        """Build the signed text, which ends in ``key``."""
        names = _ORDERS[self.order](self.change(fields))
        text = _ENDINGS[self.ending](names, key)
        return html.unescape(text) if self.page else text

    def digest(self, fields: Fields) -> str:
        """Compute the signature in lower-case hex."""
        data = self.text(fields, self.key).encode(self.encoding, "replace")
        return _ALGORITHMS[self.algorithm](data, self.key.encode("utf-8", "replace"))


Pairs = list[tuple[str, str]]
_ORDERS: Mapping[str, Callable[[Fields], Pairs]] = {
    "ascii": lambda fields: sorted(fields.items()),
    "sent": lambda fields: list(fields.items()),
    "letters": lambda fields: sorted(fields.items(), key=lambda pair: pair[0].lower()),
    "reversed": lambda fields: sorted(fields.items(), reverse=True),
    "values": lambda fields: sorted(fields.items(), key=lambda pair: pair[1]),
}
_ENDINGS: Mapping[str, Callable[[Pairs, str], str]] = {
    "key": lambda pairs, key: f"{_join(pairs)}&key={key}",
    "none": lambda pairs, key: _join(pairs),
    "bare": lambda pairs, key: f"{_join(pairs)}{key}",
    "no &": lambda pairs, key: f"{_join(pairs)}key={key}",
    "& alone": lambda pairs, key: f"{_join(pairs)}&{key}",
    "no key": lambda pairs, key: f"{_join(pairs)}&key=",
    "sorted in": lambda pairs, key: _join(sorted([*pairs, ("key", key)])),
    "first": lambda pairs, key: f"key={key}&{_join(pairs)}",
}
_ALGORITHMS: Mapping[str, Digest] = {
    SignType.MD5: lambda text, key: hashlib.md5(text, usedforsecurity=False).hexdigest(),
    SignType.HMAC_SHA256: lambda text, key: hmac.digest(key, text, "sha256").hex(),
    "SHA256": lambda text, key: hashlib.sha256(text).hexdigest(),
    "SHA1": lambda text, key: hashlib.sha1(text, usedforsecurity=False).hexdigest(),
    "HMAC-MD5": lambda text, key: hmac.digest(key, text, "md5").hex(),
}
_SAME_LENGTH: Mapping[str, tuple[str, ...]] = {SignType.HMAC_SHA256: ("SHA256",), SignType.MD5: ("HMAC-MD5",)}
_LENGTHS = {32: SignType.MD5, 64: SignType.HMAC_SHA256, 40: "SHA1"}


def explain_fields(
    kind: Kind,
    fields: Fields,
    given: str,
    declared: SignType | None,
    keys: Keys,
    visible: Sequence[Slip] = (),
    more: Iterable[Try] = (),
) -> Explanation:
    """Explain the signature ``given`` over ``fields``.

    ``declared`` is the sign type by which the other side verifies; None if the length of the signature decides.
    ``more`` are further changes of the fields to try.
    """
    known = keys.symmetric(keys.v2)
    used = _LENGTHS.get(len(given)) if re.fullmatch(r"[0-9A-Fa-f]+", given) else None
    right_type = declared or (used if isinstance(used, SignType) else SignType.MD5)
    base = Explanation(kind, Verdict.UNRECOGNISED, tuple(visible), v2_string(present(fields), MASK), given=given)
    if not known:
        return end(base, visible) if visible else replace(base, hint=NEED_KEY)
    base = replace(base, computed=v2_sign(present(fields), known[0][0], right_type))
    if not given:
        return end(base, [*visible, slip(SlipCode.SIGN_MISSING)])
    if used is None:
        return end(base, [*visible, _explain_length(given)])
    named = [*visible, *_check_type(used, declared, fields), *_check_case(given)]
    wanted = given.lower().encode()
    found = search(
        _dimensions(fields, known, used, more),
        lambda *parts: hmac.compare_digest(Recipe(*parts).digest(fields).encode(), wanted),
    )
    if found is None:
        return end(base, [*named, slip(SlipCode.WRONG_KEY)])
    return conclude(base, found, named, Recipe(*found.values).text(fields, MASK))


def _explain_length(given: str) -> Slip:
    return slip(
        SlipCode.WRONG_ALGORITHM,
        f"{len(given)} 个字符；MD5 是 32 个、HMAC-SHA256 是 64 个十六进制字符",
        f"{len(given)} characters; MD5 has 32 hex digits, HMAC-SHA256 has 64",
    )


def _dimensions(
    fields: Fields, known: Sequence[tuple[str, SlipCode | None]], used: str, more: Iterable[Try]
) -> list[Dimension]:
    unsorted = [Try(SlipCode.NOT_SORTED, order) for order in _ORDERS if order != "ascii"]
    endings = [Try(SlipCode.KEY_NOT_APPENDED, ending) for ending in _ENDINGS if ending != "key"]
    others = _SAME_LENGTH.get(used, ())
    return [
        [*changes(fields), *more],
        dimension("ascii", *unsorted),
        dimension("key", *endings),
        key_tries(known),
        dimension(used, *(Try(SlipCode.WRONG_ALGORITHM, other, other) for other in others)),
        dimension("utf-8", Try(SlipCode.NOT_UTF8, "gb18030", "GBK"), Try(SlipCode.NOT_UTF8, "latin-1", "ISO-8859-1")),
        dimension(False, Try(SlipCode.HTML_ENTITY, True)),
    ]


def _check_type(used: str, declared: SignType | None, fields: Fields) -> list[Slip]:
    """Return the slip of a signature that is not of the declared type."""
    if used == "SHA1":
        return [slip(SlipCode.WRONG_ALGORITHM, "SHA-1")]
    if declared is None or declared == used:
        return []
    if not any(fields.get(name) for name in SIGN_TYPES):
        note = (
            "APIv2 请求不带 sign_type 时按 MD5 验签，这里是 HMAC-SHA256",
            "without sign_type APIv2 takes MD5, and this is HMAC-SHA256",
        )
        return [slip(SlipCode.SIGN_TYPE_MISSING, *note)]
    return [slip(SlipCode.MD5_FOR_HMAC if used == SignType.MD5 else SlipCode.HMAC_FOR_MD5)]


def _check_case(given: str) -> list[Slip]:
    if given == given.upper():
        return []
    return [slip(SlipCode.LOWER_CASE_RESULT, wrong=given, right=given.upper())]


def _join(pairs: Pairs) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)
