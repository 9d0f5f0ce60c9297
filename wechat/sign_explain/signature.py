"""Entry point: recognise a text, check its signature, and name the slip if it is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from wechat.domain.errors import Bilingual
from wechat.sign_explain import capture as captures
from wechat.sign_explain.bundle import read_bundle
from wechat.sign_explain.incomplete import judge_incomplete
from wechat.sign_explain.jsapi import explain_jsapi
from wechat.sign_explain.messages import Capture, Message, plain
from wechat.sign_explain.model import Explanation, Keys, Kind, Slip, Verdict
from wechat.sign_explain.page import explain_page
from wechat.sign_explain.push import explain_push, push_query
from wechat.sign_explain.slips import SlipCode
from wechat.sign_explain.v2 import explain_refund_notice, explain_v2, read_fields
from wechat.sign_explain.v3 import SIGNATURE, explain_answer, explain_request
from wechat.sign_explain.webhook import explain_webhook

NOT_RECOGNISED = Bilingual(
    "认不出这是什么：请给出带签名的完整报文（请求行、请求头、报文体），或用 --kind 指明",
    "Nothing known here: give the whole signed message (first line, headers, body), or name its kind by --kind",
)
MOST_WEIGHT = 3
UNEXPLAINED = frozenset(
    {
        SlipCode.WRONG_KEY,
        SlipCode.BODY_CHANGED,
        SlipCode.VALUE_CHANGED,
        SlipCode.NONCE_DIFFERS,
        SlipCode.TICKET_DIFFERS,
        SlipCode.SERIAL_OF_OTHER_KEY,
        SlipCode.SIGN_MISSING,
        SlipCode.WRONG_ALGORITHM,
    }
)
"""The slips of a signature that no try explains; another reading of the same text may explain it."""
Explain = Callable[[Capture, Keys, float | None], Explanation]

_EXPLAIN: Mapping[Kind, Explain] = {
    Kind.V2: lambda capture, keys, now_s: explain_v2(capture, keys),
    Kind.V3_REQUEST: explain_request,
    Kind.V3_ANSWER: lambda capture, keys, now_s: explain_answer(capture, keys, Kind.V3_ANSWER, now_s),
    Kind.V3_NOTIFICATION: lambda capture, keys, now_s: explain_answer(capture, keys, Kind.V3_NOTIFICATION, now_s),
    Kind.JSAPI: lambda capture, keys, now_s: explain_jsapi(capture, keys),
    Kind.WX_CONFIG: lambda capture, keys, now_s: explain_page(capture, keys),
    Kind.V2_REQ_INFO: lambda capture, keys, now_s: explain_refund_notice(capture, keys),
    Kind.WEBHOOK: explain_webhook,
    Kind.MESSAGE_PUSH: lambda capture, keys, now_s: explain_push(capture, keys),
}


def explain(raw: bytes, keys: Keys, kind: Kind | None = None, now_s: float | None = None) -> Explanation:
    """Explain the signature in ``raw``, of ``kind`` if that is known.

    ``now_s`` (Unix seconds) judges the clock if the capture has no Date; without both, the clock is not judged. The
    result contains no secret of ``keys``.
    """
    found = Explanation(None, Verdict.UNRECOGNISED, hint=NOT_RECOGNISED)
    for capture in captures.read(raw):
        recognised = kind or recognise(capture, keys)
        if recognised is None:
            continue
        other = _EXPLAIN[recognised](capture, keys, now_s)
        if _weigh(other) > _weigh(found):
            found = other
        if _weigh(found) == MOST_WEIGHT:
            break
    return judge_incomplete(found, plain(raw.decode("utf-8", "replace"))).hide(keys)


def _weigh(found: Explanation) -> int:
    """Rate from 0 to MOST_WEIGHT how much a reading explains; one that explains the signature is right."""
    if found.kind is None:
        return 0
    if found.verdict is Verdict.UNRECOGNISED:
        return 1
    is_explained = found.signed or any(slip.code not in UNEXPLAINED for slip in found.slips)
    return MOST_WEIGHT if found.verdict is Verdict.CORRECT or is_explained else 2


def explain_notification(
    headers: Mapping[str, str], body: bytes, keys: Keys, now_s: float | None = None
) -> tuple[Slip, ...]:
    """Return the slips in a notification as received on ``/notify``; empty if it is right, or cannot be explained."""
    low = {name.lower(): value for name, value in headers.items()}
    capture = Capture(body.decode("utf-8", "surrogateescape"), (Message(low, (body,), "POST", "/notify"),))
    if SIGNATURE in low:
        return explain_answer(capture, keys, Kind.V3_NOTIFICATION, now_s).hide(keys).slips
    kind = Kind.V2_REQ_INFO if b"<req_info>" in body else Kind.V2
    return _EXPLAIN[kind](capture, keys, now_s).hide(keys).slips


def recognise(capture: Capture, keys: Keys) -> Kind | None:
    """Return the kind of message in a text; None if unknown."""
    request, answer = capture.find("authorization"), capture.find(SIGNATURE)
    if request and "WECHATPAY2" in request.headers["authorization"] and (not answer or _is_about_request(keys)):
        return Kind.V3_REQUEST
    if answer:
        return Kind.V3_NOTIFICATION if _is_notification(answer) else Kind.V3_ANSWER
    if any(any(name.startswith("webhook-") for name in one.headers) for one in capture.messages):
        return Kind.WEBHOOK
    return _recognise_text(capture.text)


def _is_about_request(keys: Keys) -> bool:
    """Whether the key at hand is for the request, if a text contains a request and its answer."""
    return keys.public_key is None and (keys.private_key or keys.certificate) is not None


def _is_notification(message: Message) -> bool:
    return bool(message.method) or any(b'"ciphertext"' in body and b'"event_type"' in body for body in message.bodies)


def _recognise_text(text: str) -> Kind | None:
    fields = read_fields(text)
    if "req_info" in fields:
        return Kind.V2_REQ_INFO
    query, _ = push_query(text)
    if {"signature", "timestamp", "nonce"} <= set(query) or "msg_signature" in query:
        return Kind.MESSAGE_PUSH
    if {"sign", "mch_id", "return_code", "nonce_str"} & set(fields):
        return Kind.V2
    bundle = read_bundle(text)
    if bundle is None:
        return None
    return Kind.JSAPI if re.search(r"pay_?sign", " ".join(bundle.values), re.IGNORECASE) else Kind.WX_CONFIG
