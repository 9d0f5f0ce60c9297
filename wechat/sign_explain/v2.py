"""Explain APIv2's messages: requests, answers, payment notifications, and refund notifications (``req_info``), as XML
or as the named values that a program logged.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence

from wechat.domain.errors import Bilingual, Malformed
from wechat.pay.signing import SignType
from wechat.pay.v2 import xmlcodec
from wechat.sign_explain.conclusion import slip
from wechat.sign_explain.field_changes import OPTIONAL, SPELLINGS
from wechat.sign_explain.fields import explain_fields
from wechat.sign_explain.messages import Capture, encode
from wechat.sign_explain.model import Explanation, Keys, Kind, Slip, Verdict
from wechat.sign_explain.pairs import find_pairs
from wechat.sign_explain.resource import explain_req_info
from wechat.sign_explain.slips import SlipCode

ELEMENT = re.compile(
    r"<([A-Za-z_][\w.-]*)>(?:\s*<!\[CDATA\[((?:[^<]|<(?!!))*?)\]\]>\s*|([^<]*))</\1>|<([A-Za-z_][\w.-]*)\s*/>",
    re.DOTALL,
)
"""An element. A CDATA section must not contain the start of another one, so that many starts are parsed in one pass."""
ROOT = re.compile("<(xml|root)>")
SIGN = re.compile(r"(?:sign|签名)[^0-9A-Za-z]{1,40}([0-9A-Fa-f]{64}|[0-9A-Fa-f]{32})(?![0-9A-Za-z])")
FIELD_NAMES = {name.replace("_", ""): name for name in (*OPTIONAL, *SPELLINGS, "body", "sign", "req_info")}
UNSIGNED = Bilingual(
    "这是微信支付的通信错误应答，本来就不带签名；请给出当时发送的请求",
    "This is WeChat Pay's refusal of a request, which carries no signature; give the request that was sent",
)


def read_fields(text: str) -> dict[str, str]:
    """Parse the fields of the message in ``text``: an XML document, or named values in any notation; empty without one.

    A document that no strict parser accepts is parsed as far as possible, because it is only explained.
    """
    documents = [fields for document in _find_documents(text) if (fields := _parse(document))]
    return _choose(documents) or _read_pairs(text)


def _find_documents(text: str) -> Iterator[str]:
    """Yield each document in ``text``, from its root's start to the root's end, or to the end of the text."""
    low, at = text.lower(), 0
    while match := ROOT.search(low, at):
        end = low.find(f"</{match[1]}>", match.end())
        at = len(text) if end < 0 else end + len(match[1]) + 3
        yield text[match.start() : at]


def _parse(document: str) -> dict[str, str]:
    try:
        return xmlcodec.parse(encode(document))
    except Malformed:
        return {
            match[1] or match[4]: match[2] if match[2] is not None else html.unescape(match[3] or "").strip()
            for match in ELEMENT.finditer(document[5 : xmlcodec.MAX_BYTES])
        }


def _choose(documents: Sequence[dict[str, str]]) -> dict[str, str]:
    """Choose the message that WeChat Pay refused, or else the first that has content."""
    refusal = next((at for at, fields in enumerate(documents) if _is_refusal(fields)), len(documents))
    signed = [at for at, fields in enumerate(documents) if not _is_refusal(fields) and not _is_acknowledgement(fields)]
    before = [at for at in signed if at < refusal] if refusal < len(documents) else []
    chosen = before[-1:] or signed[:1] or [0]
    return documents[chosen[0]] if documents else {}


def _is_refusal(fields: Mapping[str, str]) -> bool:
    return fields.get("return_code") == "FAIL" and not fields.get("sign")


def _is_acknowledgement(fields: Mapping[str, str]) -> bool:
    return set(fields) <= {"return_code", "return_msg"}


def _read_pairs(text: str) -> dict[str, str]:
    """Parse logged fields: a map, an array, a form; or the string to sign, with the signature elsewhere."""
    found = find_pairs(text, _is_message)
    if found:
        return {_own_name(name): value for name, value in found.values.items()}
    found = find_pairs(text, lambda values: "key" in values and {"appid", "mch_id", "nonce_str"} <= set(values))
    sign = SIGN.search(text)
    if not found or not sign:
        return {}
    return {**{name: value for name, value in found.values.items() if name != "key"}, "sign": sign[1]}


def _is_message(values: Mapping[str, str]) -> bool:
    names = {_own_name(name) for name in values}
    return "req_info" in names or ("sign" in names and bool({"mch_id", "appid"} & names) and "nonce_str" in names)


def _own_name(name: str) -> str:
    """Return WeChat Pay's spelling of a name such as ``MchId`` or ``NonceStr`` of a Go or C# program."""
    return FIELD_NAMES.get(name.lower(), name) if name[:1].isupper() else name


def explain_v2(capture: Capture, keys: Keys) -> Explanation:
    """Explain a message with ``sign``."""
    fields = read_fields(capture.text)
    from_wechat = "return_code" in fields or "result_code" in fields
    if from_wechat and not fields.get("sign"):
        return Explanation(Kind.V2, Verdict.UNRECOGNISED, hint=UNSIGNED)
    declared = _sign_type(fields.get("sign_type", ""))
    if declared is None and not from_wechat:
        declared = SignType.MD5
    visible = [*_check_names(fields), *_check_entities(fields)] if not from_wechat else []
    return explain_fields(Kind.V2, fields, fields.get("sign", ""), declared, keys, visible)


def explain_refund_notice(capture: Capture, keys: Keys) -> Explanation:
    """Explain a refund notification, or ``req_info`` alone."""
    return explain_req_info(read_fields(capture.text).get("req_info") or capture.text.strip(), keys)


def _sign_type(text: str) -> SignType | None:
    return SignType(text) if text in list(SignType) else None


def _check_names(fields: dict[str, str]) -> list[Slip]:
    """Return the first slip of a misspelled name."""
    right = {other: name for name, others in SPELLINGS.items() if name == name.lower() for other in others}
    return [
        slip(SlipCode.WRONG_PARAMETER_CASE, f"{name} → {right[name]}", wrong=f"<{name}>", right=f"<{right[name]}>")
        for name in fields
        if name in right
    ][:1]


def _check_entities(fields: dict[str, str]) -> list[Slip]:
    return [
        slip(SlipCode.HTML_ENTITY, name, wrong=f"{name}={value}", right=f"{name}={html.unescape(value)}")
        for name, value in fields.items()
        if re.search(r"&(amp|lt|gt|quot|#\d+);", value)
    ][:1]
