"""APIv2's XML: requests, answers, payment notifications, and refund notifications (``req_info``)."""

from __future__ import annotations

import html
import re

from wechat.domain.errors import Bilingual, Malformed
from wechat.explain.capture import Capture, encode
from wechat.explain.conclusion import slip
from wechat.explain.field_changes import SPELLINGS
from wechat.explain.fields import explain_fields
from wechat.explain.model import Explanation, Keys, Kind, Slip, Verdict
from wechat.explain.resource import explain_req_info
from wechat.explain.slips import SlipCode
from wechat.pay.signing import SignType
from wechat.pay.v2 import xmlcodec

ELEMENT = re.compile(
    r"<([A-Za-z_][\w.-]*)>(?:\s*<!\[CDATA\[((?:[^<]|<(?!!))*?)\]\]>\s*|([^<]*))</\1>|<([A-Za-z_][\w.-]*)\s*/>",
    re.DOTALL,
)
"""No section of CDATA holds the beginning of another one: so a text of nothing but beginnings is read in one pass."""
UNSIGNED = Bilingual(
    "这是微信支付的通信错误应答，本来就不带签名；请给出当时发送的请求",
    "This is WeChat Pay's refusal of a request, which carries no signature; give the request that was sent",
)


def read_fields(text: str) -> dict[str, str]:
    """The fields of the first XML document in ``text``; empty without one. A document that
    no strict parser takes is read as far as it goes, because it is to be explained."""
    document = _find_document(text)
    try:
        return xmlcodec.parse(encode(document)) if document else {}
    except Malformed:
        return {
            match[1] or match[4]: match[2] if match[2] is not None else html.unescape(match[3] or "").strip()
            for match in ELEMENT.finditer(document[5 : xmlcodec.MAX_BYTES])
        }


def _find_document(text: str) -> str:
    """The first document in ``text``, from its root's beginning to the root's end."""
    low = text.lower()
    for name in ("xml", "root"):
        start = low.find(f"<{name}>")
        end = low.find(f"</{name}>", start) if start >= 0 else -1
        if end >= 0:
            return text[start : end + len(name) + 3]
    return ""


def explain_v2(capture: Capture, keys: Keys) -> Explanation:
    """A message with ``sign``."""
    fields = read_fields(capture.text)
    from_wechat = "return_code" in fields or "result_code" in fields
    if from_wechat and not fields.get("sign"):
        return Explanation(Kind.V2, Verdict.UNRECOGNISED, hint=UNSIGNED)
    declared = _sign_type(fields.get("sign_type", ""))
    if declared is None and not from_wechat:
        declared = SignType.MD5
    visible = [*_see_names(fields), *_see_entities(fields)] if not from_wechat else []
    return explain_fields(Kind.V2, fields, fields.get("sign", ""), declared, keys, visible)


def explain_refund_notice(capture: Capture, keys: Keys) -> Explanation:
    """A refund's result, or ``req_info`` alone."""
    return explain_req_info(read_fields(capture.text).get("req_info") or capture.text.strip(), keys)


def _sign_type(text: str) -> SignType | None:
    return SignType(text) if text in list(SignType) else None


def _see_names(fields: dict[str, str]) -> list[Slip]:
    """Names that are known in another spelling."""
    right = {other: name for name, others in SPELLINGS.items() if name == name.lower() for other in others}
    return [
        slip(SlipCode.WRONG_PARAMETER_CASE, f"{name} → {right[name]}", wrong=f"<{name}>", right=f"<{right[name]}>")
        for name in fields
        if name in right
    ][:1]


def _see_entities(fields: dict[str, str]) -> list[Slip]:
    return [
        slip(SlipCode.HTML_ENTITY, name, wrong=f"{name}={value}", right=f"{name}={html.unescape(value)}")
        for name, value in fields.items()
        if re.search(r"&(amp|lt|gt|quot|#\d+);", value)
    ][:1]
