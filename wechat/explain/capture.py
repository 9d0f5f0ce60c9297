"""HTTP messages as people have them: dumps, ``curl -i``, ``curl -v``, a curl command, a log line, a JSON document.

What is read is never believed, only explained: where a text can be read in several ways, every reading is kept.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

MOST_BYTES = 128 * 1024
METHODS = "GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS"
REQUEST_LINE = re.compile(rf"({METHODS}) +(\S+)(?: +HTTP/[\d.]+)?", re.IGNORECASE)
STATUS_LINE = re.compile(r"HTTP/[\d.]+ +(\d{3})\b.*")
HEADER = re.compile(r"([A-Za-z0-9_-]{2,64}) *: *(.*)")
LOOSE = re.compile(
    r"(?:HTTP_)?(wechatpay[-_](?:timestamp|nonce|signature-type|signature|serial)|webhook[-_](?:id|timestamp|signature))"
    r"""["']?\]?\s*(?::|=>|=)\s*(?:\[\s*)?["']?((?:v1,)?[^"'\s,;\]}]+)""",
    re.IGNORECASE,
)
AUTHORIZATION = re.compile(r"(WECHATPAY2-[A-Za-z0-9-]+\s+.{0,1500}?serial_no=\\?\"?[^\",\s\\]*)", re.DOTALL)
ESCAPED_OBJECT, ESCAPED_QUOTE = '{\\"', '\\"'  # a JSON object inside a string
LOOSE_METHOD = re.compile(rf"(?<![A-Za-z])({METHODS})(?![A-Za-z])")
LOOSE_TARGET = re.compile(r"(?:https?://[A-Za-z0-9.:-]+)?/v3/[^\s\"'<>\\,]*")


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP message; ``headers`` have lower-case names. ``bodies`` are all readings of its body, the likeliest
    first."""

    headers: Mapping[str, str]
    bodies: tuple[bytes, ...] = (b"",)
    method: str = ""
    target: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True)
class Capture:
    """The messages of a text, and the text itself."""

    text: str
    messages: tuple[Message, ...] = ()
    dates: tuple[float, ...] = field(default=())

    def find(self, *names: str) -> Message | None:
        """The first message that has all of these headers."""
        return next((one for one in self.messages if all(name in one.headers for name in names)), None)


def read(raw: bytes) -> Capture:
    """What ``raw`` holds. Bytes that are not UTF-8 stay what they are."""
    text = raw[:MOST_BYTES].decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    messages = [_without_stray_bytes(one) for one in _messages(text) if one.headers or one.target]
    dates = [_http_date(one.headers["date"]) for one in messages if "date" in one.headers]
    return Capture(plain(text), tuple(messages), tuple(date for date in dates if date is not None))


def _http_date(text: str) -> float | None:
    """The Unix time of a Date header."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def encode(text: str) -> bytes:
    """The bytes that ``text`` was read from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, as JSON can spell one
        return text.encode("utf-8", "replace")


def plain(text: str) -> str:
    """``text`` with a mark in place of whatever is no character."""
    return text.encode("utf-8", "replace").decode()


def _without_stray_bytes(message: Message) -> Message:
    """``message`` with plain text outside its body, which keeps its bytes."""
    headers = {name: plain(value) for name, value in message.headers.items()}
    return replace(message, headers=headers, method=plain(message.method), target=plain(message.target))


def _messages(text: str) -> Iterator[Message]:
    if re.match(r"\s*curl\s", text):
        yield from _curl_command(text)
    elif re.search(r"^[<>] (?:[A-Z]+ /|HTTP/)", text, re.MULTILINE):
        yield from _verbose(text)
    elif found := _dump(text):
        yield from found
    else:
        yield from _documents(text)
        yield from _loose(text)


# -- a dump: first line, headers, empty line, body ------------------------------------------------------------------


def _dump(text: str) -> list[Message]:
    """Messages that begin with a request or status line, or at once with headers."""
    lines = text.lstrip("\r\n").split("\n")
    starts = [at for at, line in enumerate(lines) if _is_first(line.rstrip("\r"))]
    if not starts and len(lines) > 1 and _is_known_header(lines[0]):
        starts = [0]
    ends = [*starts, len(lines)][1:]
    found = [_block(lines[start:end]) for start, end in zip(starts, ends, strict=True)]
    return [one for one in found if one.headers]


def _is_first(line: str) -> bool:
    request = REQUEST_LINE.fullmatch(line)
    return bool(STATUS_LINE.fullmatch(line) or (request and re.match(r"/|https?://", request[2])))


def _is_known_header(line: str) -> bool:
    match = HEADER.fullmatch(line.strip())
    return bool(
        match
        and re.match(r"wechatpay-|webhook-|authorization|content-|host|date|user-agent|accept|x-", _name(match[1]))
    )


def _block(lines: list[str]) -> Message:
    first = lines[0].rstrip("\r")
    request, status = REQUEST_LINE.fullmatch(first), STATUS_LINE.fullmatch(first)
    headers: dict[str, str] = {}
    at = 1 if request or status else 0
    while at < len(lines) and lines[at].strip():
        match = HEADER.fullmatch(lines[at].strip())
        if match:
            headers[_name(match[1])] = match[2]
        elif not headers or not lines[at].startswith((" ", "\t")):
            break  # the body, without an empty line before it
        at += 1
    body = "\n".join(lines[at + 1 :] if at < len(lines) and not lines[at].strip() else lines[at:])
    return Message(
        headers,
        body_readings(encode(body), headers.get("content-length", "")),
        request[1] if request else "",
        request[2] if request else "",
        int(status[1]) if status else 0,
    )


def body_readings(body: bytes, length: str = "") -> tuple[bytes, ...]:
    """``body`` as it may have been sent: an editor adds a line end, and ``Content-Length`` decides."""
    found = [body]
    for each in (body.rstrip(b"\r\n"), body.replace(b"\r\n", b"\n"), body.replace(b"\r\n", b"\n").rstrip(b"\n")):
        if each not in found:
            found.append(each)
    exact = [each for each in found if length == str(len(each))]
    return tuple(dict.fromkeys([*exact, *found]))


# -- curl -------------------------------------------------------------------------------------------------------------


def _verbose(text: str) -> list[Message]:
    """``curl -v``: ``>`` marks what was sent, ``<`` what came, ``*`` remarks; the rest are bodies."""
    parts: dict[str, list[str]] = {">": [], "<": []}
    bodies: dict[str, list[str]] = {">": [], "<": []}
    side = ">"
    for line in re.sub(r"\* Connection #\d+ .*", "", text).split("\n"):
        if re.match(r"[<>](?: |\r?$)", line):
            side = line[0]
            parts[side].append(line[2:])
        elif not re.match(r"[*{}] ", line):
            bodies[side].append(line)
    found = []
    for side, lines in parts.items():
        if kept := [line for line in lines if line.strip()]:
            body = "\n".join(bodies[side]).strip("\n") if parts["<"] or side == "<" else ""
            found.append(_block([*kept, "", *body.split("\n")]))
    return found


def _curl_command(text: str) -> list[Message]:
    """``curl -X POST URL -H … -d …``, as documents and browsers' consoles give it."""
    try:
        words = shlex.split(text.replace("\\\r\n", "\\\n"))
    except ValueError:
        return []
    headers: dict[str, str] = {}
    method, target, body = "", "", ""
    rest = iter(words[1:])
    for word in rest:
        if word in ("-H", "--header"):
            match = HEADER.fullmatch(next(rest, "").strip())
            headers |= {_name(match[1]): match[2]} if match else {}
        elif word in ("-X", "--request"):
            method = next(rest, "")
        elif word in ("-d", "--data", "--data-raw", "--data-binary"):
            body = next(rest, "")
        elif re.match(r"https?://", word):
            target = word
    return [Message(headers, body_readings(encode(body)), method or ("POST" if body else "GET"), target)]


# -- logs and documents -----------------------------------------------------------------------------------------------


def _documents(text: str) -> Iterator[Message]:
    """A JSON (or Python) document with ``headers`` and ``body``, as loggers and serverless platforms write it."""
    for document in objects(text):
        headers = next((value for name, value in document.items() if name.lower() in ("headers", "header")), None)
        if isinstance(headers, dict):
            yield _from_document(document, headers)


def _from_document(document: Mapping[str, Any], headers: Mapping[str, Any]) -> Message:
    low = {str(name).lower(): value for name, value in document.items()}
    body = next((low[name] for name in ("body", "data", "rawbody", "raw_body", "payload") if name in low), "")
    target = next((str(low[name]) for name in ("url", "path", "uri", "target") if name in low), "")
    values = {
        _name(str(name)): str(value[0] if isinstance(value, list) and value else value)
        for name, value in headers.items()
    }
    return Message(
        values,
        tuple(_dumps(body)),
        str(low.get("method") or low.get("httpmethod") or ""),
        target,
        _status(low.get("status")),
    )


def _status(value: object) -> int:
    return int(str(value)) if re.fullmatch(r"\d{3}", str(value)) else 0


def _dumps(body: object) -> Iterable[bytes]:
    if isinstance(body, str):
        return body_readings(encode(body))
    return [
        encode(json.dumps(body, ensure_ascii=False, separators=(",", ":"))),
        encode(json.dumps(body, ensure_ascii=False)),
    ]


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand in ``text``, outer ones only; a Python dictionary counts where the text is one."""
    decoder, at, misses = json.JSONDecoder(strict=False), 0, 0
    while misses < 200 and (at := text.find("{", at)) >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            misses, at = misses + 1, at + 1
            continue
        at = end
        if isinstance(value, dict):
            yield value
    if misses and text.strip().startswith("{") and len(text) < 20_000:
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return
        if isinstance(value, dict) and all(isinstance(name, str) for name in value):
            yield value


def _loose(text: str) -> Iterator[Message]:
    """Names and values anywhere in lines of a log, with the JSON that stands beside them for a body."""
    headers = {_name(match[1]): match[2] for match in LOOSE.finditer(text)}
    authorization = AUTHORIZATION.search(text)
    if authorization:
        headers["authorization"] = authorization[1].replace('\\"', '"')
    if not headers:
        return
    outside = text.replace(authorization[1], " ") if authorization else text
    method, target = LOOSE_METHOD.search(outside), LOOSE_TARGET.search(outside)
    yield Message(headers, tuple(_loose_bodies(outside)), method[1] if method else "", target[0] if target else "")


def _loose_bodies(text: str) -> list[bytes]:
    """The longest JSON object in ``text``, in its own bytes; escaped ones are unescaped."""
    spans = [text[start:end] for start, end in _spans(text)]
    start, end = text.find(ESCAPED_OBJECT), text.rfind("}") + 1
    spans += [text[start:end].replace(ESCAPED_QUOTE, '"')] if 0 <= start < end else []
    return [encode(part) for part in sorted(spans, key=len, reverse=True)] or [b""]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    decoder, at, misses = json.JSONDecoder(strict=False), 0, 0
    while misses < 200 and (at := text.find("{", at)) >= 0:
        try:
            _, end = decoder.raw_decode(text, at)
            yield at, end
            at = end
        except (ValueError, RecursionError):
            misses, at = misses + 1, at + 1


def path_and_query(target: str) -> str:
    """What of a request's address is signed."""
    if not re.match(r"https?://", target):
        return target
    try:
        parts = urlsplit(target)
    except ValueError:
        return target
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _name(text: str) -> str:
    return text.lower().replace("_", "-").removeprefix("http-")
