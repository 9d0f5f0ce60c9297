"""Parse HTTP messages from dumps, ``curl -i``, ``curl -v``, a curl command, a log line or a JSON document.

The parsed text is not trusted, only explained. A text that can be parsed in several ways yields all its readings.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime

from wechat.sign_explain.documents import read_documents
from wechat.sign_explain.json_objects import spans
from wechat.sign_explain.messages import Capture, Message, body_readings, encode, header_name, plain
from wechat.sign_explain.rewritings import readings

MOST_BYTES = 128 * 1024
METHODS = "GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS"
REQUEST_LINE = re.compile(rf"({METHODS}) +(\S+)(?: +HTTP/[\d.]+)?", re.IGNORECASE)
STATUS_LINE = re.compile(r"HTTP/[\d.]+ +(\d{3})\b.*")
HEADER = re.compile(r"([A-Za-z0-9_-]{2,64}) *: *(.*)")
KNOWN_HEADER = re.compile(r"wechatpay-|webhook-|authorization|content-|host|date|user-agent|accept|x-")
LOOSE = re.compile(
    r"(?:HTTP_)?(wechatpay[-_](?:timestamp|nonce|signature-type|signature|serial)|webhook[-_](?:id|timestamp|signature))"
    r"""["']?\]?\s*(?::|=>|=)\s*(?:\[\s*)?(?:string\(\d+\) )?["']?((?:v1,)?[^"'\s,;\]}]+)""",
    re.IGNORECASE,
)
AUTHORIZATION = re.compile(r"(WECHATPAY2-[A-Za-z0-9-]+\s+.{0,1500}?serial_no=\\?\"?[^\",\s\\]*)", re.DOTALL)
ESCAPED_OBJECT, ESCAPED_QUOTE = '{\\"', '\\"'  # a JSON object inside a string
LOOSE_METHOD = re.compile(rf"(?<![A-Za-z])({METHODS})(?![A-Za-z])")
LOOSE_TARGET = re.compile(r"(?:https?://[A-Za-z0-9.:-]+)?/v3/[^\s\"'<>\\,]*")


def read(raw: bytes) -> Iterator[Capture]:
    """Yield every reading of ``raw``, the likeliest first. Bytes that are not UTF-8 are preserved."""
    texts = list(readings(raw[:MOST_BYTES].decode("utf-8", "surrogateescape").removeprefix("\ufeff")))
    seen: list[tuple[Message, ...]] = []
    for find in (_messages, _loose):
        for text in texts:
            capture = _capture(text, find(text))
            if find is _messages or capture.messages not in [(), *seen]:
                seen.append(capture.messages)
                yield capture


def _capture(text: str, found: Iterable[Message]) -> Capture:
    messages = [_without_stray_bytes(one) for one in found if one.headers or one.target]
    dates = [_http_date(one.headers["date"]) for one in messages if "date" in one.headers]
    return Capture(plain(text), tuple(messages), tuple(date for date in dates if date is not None))


def _http_date(text: str) -> float | None:
    """Parse a Date header as Unix time; None if unreadable."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _without_stray_bytes(message: Message) -> Message:
    """Return ``message`` with invalid characters replaced outside its body, which keeps its bytes."""
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
        for one in read_documents(text):
            target = LOOSE_TARGET.search(text)
            yield one if one.target or not target else replace(one, target=target[0])
        yield from _loose(text)


# -- a dump: first line, headers, empty line, body ------------------------------------------------------------------


def _dump(text: str) -> list[Message]:
    """Parse messages that begin with a request line, a status line, or known headers."""
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
        and re.match(
            r"wechatpay-|webhook-|authorization|content-|host|date|user-agent|accept|x-", header_name(match[1])
        )
    )


def _block(lines: list[str]) -> Message:
    first = lines[0].rstrip("\r")
    request, status = REQUEST_LINE.fullmatch(first), STATUS_LINE.fullmatch(first)
    headers: dict[str, str] = {}
    at = 1 if request or status else 0
    while at < len(lines) and lines[at].strip():
        match = HEADER.fullmatch(lines[at].strip())
        if match:
            headers[header_name(match[1])] = match[2]
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


# -- curl -------------------------------------------------------------------------------------------------------------


def _verbose(text: str) -> list[Message]:
    """Parse ``curl -v``: ``>`` marks sent lines, ``<`` received ones, ``*`` remarks; other lines are bodies."""
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
    """Parse ``curl -X POST URL -H … -d …``, as found in documents and browsers' consoles."""
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
            headers |= {header_name(match[1]): match[2]} if match else {}
        elif word in ("-X", "--request"):
            method = next(rest, "")
        elif word in ("-d", "--data", "--data-raw", "--data-binary"):
            body = next(rest, "")
        elif re.match(r"https?://", word):
            target = word
    return [Message(headers, body_readings(encode(body)), method or ("POST" if body else "GET"), target)]


# -- logs and documents -----------------------------------------------------------------------------------------------


def _loose(text: str) -> Iterator[Message]:
    """Parse names and values anywhere in lines of a log, with JSON nearby as the body."""
    headers = {header_name(match[1]): match[2] for match in LOOSE.finditer(text)}
    authorization = AUTHORIZATION.search(text)
    if authorization:
        headers["authorization"] = authorization[1].replace('\\"', '"')
    if not headers:
        return
    outside = text.replace(authorization[1], " ") if authorization else text
    method, target = LOOSE_METHOD.search(outside), LOOSE_TARGET.search(outside)
    yield Message(headers, tuple(_loose_bodies(outside)), method[1] if method else "", target[0] if target else "")


def _loose_bodies(text: str) -> list[bytes]:
    """Return the JSON objects in ``text``, unchanged and the longest first; escaped ones are unescaped."""
    parts = [text[start:end] for start, end in spans(text)]
    start, end = text.find(ESCAPED_OBJECT), text.rfind("}") + 1
    parts += [text[start:end].replace(ESCAPED_QUOTE, '"')] if 0 <= start < end else []
    return [encode(part) for part in sorted(parts, key=len, reverse=True)] or [b""]
