"""Texts derived from a recorded call: the string that was signed, a curl command that repeats it, its body for reading.

They are derived from the request as it was sent, which is what WeChat verifies.
"""

from __future__ import annotations

import re
import shlex

import orjson

from wechat.domain.calls import Call, Direction, Message
from wechat.domain.errors import Malformed
from wechat.domain.facts import Api
from wechat.pay.signing import v2_string, v3_answer_message, v3_request_message
from wechat.pay.v2 import xmlcodec

V2_KEY = "APIv2密钥"
"""The text that replaces v2's key in the signed string."""
LINE_END = "⏎"

_AUTHORIZATION = re.compile(r'(\w+)="([^"]*)"')
_SENT_ANEW = frozenset({"content-length", "connection", "accept-encoding", "transfer-encoding", "host"})


def signed_request(call: Call) -> str:
    """Return the string that the request's signature covers; empty if the request has none, or was not kept."""
    if call.direction is Direction.IN:
        return _signed_message(call.api, call.request)
    if call.api == Api.V2:
        return _v2(call.request)
    parts = dict(_AUTHORIZATION.findall(call.request.header("Authorization")))
    if call.api != Api.V3 or not parts:
        return ""
    target = call.url[call.url.index("/", call.url.index("//") + 2) :]
    body = call.request.body.encode()
    return v3_request_message(call.method, target, parts["timestamp"], parts["nonce_str"], body).decode()


def signed_answer(call: Call) -> str:
    """Return the string that the answer's signature covers; empty if the answer is not signed.

    Our own responses to notifications are not signed.
    """
    return _signed_message(call.api, call.answer) if call.direction is Direction.OUT and call.answer.headers else ""


def show_line_ends(text: str) -> str:
    """Return ``text`` with visible line ends."""
    return text.replace("\n", f"{LINE_END}\n")


def as_curl(call: Call) -> str:
    """Return a shell command that sends the request again; signatures and secrets have to be filled in."""
    if call.direction is Direction.IN:
        return ""
    words = ["curl", "-X", call.method, call.url]
    for name, value in call.request.headers.items():
        if name.lower() not in _SENT_ANEW:
            words += ["-H", f"{name}: {value}"]
    if call.request.body:
        words += ["--data-binary", call.request.body]
    return " ".join(map(shlex.quote, words))


def pretty(message: Message) -> str:
    """Return the body with a line for each field."""
    text = message.body
    if text.lstrip().startswith("{"):
        try:
            return orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONDecodeError:
            return text
    return re.sub(r"(?<=>)(?=<(?!/|!\[))|(?=</xml>)", "\n", text) if text.startswith("<xml>") else text


def _signed_message(api: str, message: Message) -> str:
    if api == Api.V2:
        return _v2(message)
    timestamp, nonce = message.header("Wechatpay-Timestamp"), message.header("Wechatpay-Nonce")
    if api != Api.V3 or not timestamp:
        return ""
    return v3_answer_message(timestamp, nonce, message.body.encode()).decode()


def _v2(message: Message) -> str:
    try:
        fields = xmlcodec.parse(message.body.encode())
    except Malformed:
        return ""
    return v2_string(fields, V2_KEY) if "sign" in fields else ""
