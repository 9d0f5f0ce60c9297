"""Parse HTTP messages in JSON documents, in the forms of loggers, gateways and browsers."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from wechat.sign_explain.json_objects import objects
from wechat.sign_explain.messages import Message, body_readings, encode, header_name

BODIES = ("body", "data", "rawbody", "raw_body", "payload", "request_body", "requestbody", "content", "text")
TARGETS = ("url", "path", "uri", "target", "request_uri", "requesturi")
DEEPEST, LONGEST_LIST = 8, 100


def read_documents(text: str) -> Iterator[Message]:
    """Yield a message for each object with ``headers``; a browser's HAR file has many."""
    for document in objects(text):
        yield from _walk(document, 0)


def _walk(value: Any, depth: int) -> Iterator[Message]:
    if depth > DEEPEST:
        return
    if isinstance(value, list):
        for one in value[:LONGEST_LIST]:
            yield from _walk(one, depth + 1)
    if not isinstance(value, dict):
        return
    low = {str(name).lower(): one for name, one in value.items()}
    headers = _headers(low.get("headers", low.get("header")))
    if headers:
        yield _message(low, headers)
        return
    for one in value.values():
        yield from _walk(one, depth + 1)


def _headers(value: Any) -> dict[str, str]:
    """Parse headers from a map, a list of ``{"name", "value"}``, or a list of pairs."""
    if isinstance(value, dict):
        pairs: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list):
        pairs = [_header(one) for one in value[:LONGEST_LIST]]
    else:
        return {}
    return {
        header_name(str(name)): str(one[0] if isinstance(one, list) and one else one) for name, one in pairs if name
    }


def _header(one: Any) -> tuple[Any, Any]:
    if isinstance(one, dict):
        return one.get("name") or one.get("key"), one.get("value", "")
    return (one[0], one[1]) if isinstance(one, list) and len(one) == 2 else ("", "")


def _message(low: Mapping[str, Any], headers: Mapping[str, str]) -> Message:
    posted = low.get("postdata") or low.get("content")
    inner = posted.get("text") if isinstance(posted, dict) else None
    body = inner if inner is not None else next((low[name] for name in BODIES if name in low), "")
    first = str(low.get("request") if isinstance(low.get("request"), str) else "").split(" ")
    method = str(low.get("method") or low.get("httpmethod") or (first[0] if len(first) > 1 else ""))
    target = next((str(low[name]) for name in TARGETS if name in low), first[1] if len(first) > 1 else "")
    status = low.get("status", low.get("statuscode", low.get("status_code")))
    is_base64 = str(low.get("isbase64encoded")).lower() == "true"
    return Message(headers, tuple(_bodies(body, is_base64=is_base64)), method, target, _status(status))


def _status(value: object) -> int:
    return int(str(value)) if re.fullmatch(r"\d{3}", str(value), re.ASCII) else 0


def _bodies(body: object, *, is_base64: bool) -> Iterable[bytes]:
    if isinstance(body, str) and is_base64:
        try:
            return body_readings(base64.b64decode(body, validate=True))
        except (ValueError, binascii.Error):
            return body_readings(encode(body))
    if isinstance(body, str):
        return body_readings(encode(body))
    if body is None:
        return (b"",)
    return [
        encode(json.dumps(body, ensure_ascii=False, separators=(",", ":"))),
        encode(json.dumps(body, ensure_ascii=False)),
    ]
