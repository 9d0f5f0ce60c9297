"""Remove additions of a logger, a library or a page from a text. Each result is a further reading to try."""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Callable, Iterator

MOST_READINGS = 6
LONGEST_LITERAL = 64 * 1024

_BRACKETS = r"(?:\[[^\]\n]{0,80}\]\s{0,4}){0,4}"
_LEVEL = r"(?:(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL)\b:?\s{0,4})?"
PREFIXES = (
    re.compile(r"[\w.-]{1,64}\s{0,8}\| ?"),  # docker compose
    re.compile(r"\[[\w./-]{1,120}\] (?=\S)"),  # kubectl logs --prefix
    re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,80} [\w./-]{1,80}(?:\[\d{1,9}\])?: "),  # syslog
    re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,20}(?:Z|[+-]\d\d:\d\d) (?:stdout|stderr) [FP] "),  # Kubernetes
    re.compile(
        r"\[?\d{4}[-/.]\d\d[-/.]\d\d[T ]\d\d:\d\d:\d\d[\d.,:+Z-]{0,16}\]?\s{0,4}"
        rf"{_BRACKETS}{_LEVEL}{_BRACKETS}(?:\d{{1,9}} --- )?{_BRACKETS}(?:[\w.$/:-]{{1,120}}\s{{0,40}}(?: [:-] |: ))?"
    ),  # most loggers
)
WIRE = re.compile(r'(?:http-outgoing-\d+|http-incoming-\d+|\S{1,40}) ?(?:>>|<<) "?(.*?)"?')
WIRE_ENDS = re.compile(r"\[\\r\]|\[\\n\]")
OKHTTP_OUT = re.compile(r"--> ([A-Z]{3,7}) (https?://\S+)(?: .*)?")
OKHTTP_IN = re.compile(r"<-- (\d{3})(?: .*)?")
OKHTTP_END = re.compile(r"(?:-->|<--) END .*")
BYTES = re.compile(r"(?<![\w\\])b('(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")")
QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
ESCAPED_BYTES = re.compile(r"(?:\\x[0-9A-Fa-f]{2})+")
SDK_MESSAGE = re.compile(r"message\s?[=:]\s?\[?([A-Z]{3,6})\n(/\S*)\n(\d+)\n(\w+)\n(.*)\n\]?$", re.MULTILINE)
SDK_TOKEN = re.compile(r'(?:token|Authorization|authorization)\s?[=:]\s?\[?(mchid="[^\]\n]{1,1500}")')


def readings(text: str) -> Iterator[str]:
    """Yield ``text``, then every rewriting that differs from it, the simplest first."""
    found = [text]
    for rewrite in _REWRITINGS:
        for one in list(found):
            other = rewrite(one)
            if other not in found and len(found) < MOST_READINGS:
                found.append(other)
    yield from found


def _without_prefixes(text: str) -> str:
    """Remove a logger's prefix from each line."""
    return "\n".join(_without_prefix(line) for line in text.split("\n"))


def _without_prefix(line: str) -> str:
    for _ in range(2):
        match = next((found for prefix in PREFIXES if (found := prefix.match(line))), None)
        if match is None:
            break
        line = line[match.end() :]
    return line


def _wire(text: str) -> str:
    """Convert logs of Apache HttpClient and OkHttp, and HTTP/2's own headers, into a dump."""
    if "http-outgoing-" in text:
        found = [match for line in text.split("\n") if (match := WIRE.fullmatch(line.rstrip("\r")))]
        text = "\n".join(WIRE_ENDS.sub("", match[1]) for match in found) or text
    if "--> " in text:
        text = "\n".join(
            _okhttp(line.rstrip("\r")) for line in text.split("\n") if not OKHTTP_END.fullmatch(line.rstrip("\r"))
        )
    if method := re.search(r"^:method:? (\w+)\r?$", text, re.MULTILINE):
        path = re.search(r"^:path:? (\S+)", text, re.MULTILINE)
        rest = [line for line in text.split("\n") if not line.startswith(":")]
        text = "\n".join([f"{method[1]} {path[1] if path else '/'} HTTP/1.1", *rest])
    return text


def _okhttp(line: str) -> str:
    if sent := OKHTTP_OUT.fullmatch(line):
        return f"{sent[1]} {sent[2]} HTTP/1.1"
    came = OKHTTP_IN.fullmatch(line)
    return f"HTTP/1.1 {came[1]} -" if came else line


def _python_bytes(text: str) -> str:
    """Replace ``b'…'`` by its bytes, and convert http.client's debug output into a dump."""
    if not BYTES.search(text):
        return text
    text = BYTES.sub(lambda match: _literal_bytes(match[0]), text)
    text = re.sub(r"^send: ", "", text, flags=re.MULTILINE)
    text = re.sub(r"^reply: '(.*?)(?:\\r\\n)?'$", r"\1", text, flags=re.MULTILINE)
    return re.sub(r"^header: ", "", text, flags=re.MULTILINE)


def _literal_bytes(written: str) -> str:
    if len(written) > LONGEST_LITERAL:
        return written
    try:
        value = ast.literal_eval(written)
    except (ValueError, SyntaxError):
        return written
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else written


def _quoted_message(text: str) -> str:
    """Extract a whole message from a string literal: ``"POST /notify HTTP/1.1\\r\\n…"``, ``"request": "<xml>…"``."""
    found = []
    for match in QUOTED.finditer(text):
        if "HTTP/1." in match[0] or "xml>" in match[0]:
            try:
                found.append(str(json.loads(match[0], strict=False)))
            except ValueError:
                continue
    return "\n".join(found) or text


def _escaped_bytes(text: str) -> str:
    """Decode ``\\x22``, which nginx writes into its access log."""
    return ESCAPED_BYTES.sub(
        lambda match: bytes.fromhex(match[0].replace("\\x", "")).decode("utf-8", "surrogateescape"), text
    )


def _page(text: str) -> str:
    """Decode XML or JSON that was printed into a page."""
    if re.search(r"&lt;(?:xml|sign|req_info)&gt;|&quot;[\w-]+&quot;\s*:", text):
        return html.unescape(re.sub(r"<br ?/?>", "\n", text))
    return text


def _official_sdk(text: str) -> str:
    """Convert the log of WeChat Pay's own Java library: the signed message, and the token without its scheme."""
    message, token = SDK_MESSAGE.search(text), SDK_TOKEN.search(text)
    if not message or not token:
        return text
    scheme = "WECHATPAY2-SHA256-RSA2048"
    return f"{message[1]} {message[2]} HTTP/1.1\nAuthorization: {scheme} {token[1]}\n\n{message[5]}"


_REWRITINGS: tuple[Callable[[str], str], ...] = (
    _page,
    _without_prefixes,
    _official_sdk,
    _wire,
    _python_bytes,
    _quoted_message,
    _escaped_bytes,
)
