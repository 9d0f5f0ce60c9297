"""Common mistakes in addresses, bodies, times and nonces, as values to try."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

from wechat.sign_explain.messages import encode
from wechat.sign_explain.search import Try
from wechat.sign_explain.slips import SlipCode

NEAR_S = 5
FAR_S = 3600
TOKEN = re.compile(r"(?<!\w)\w{5,64}(?!\w)", re.ASCII)
MOST_TOKENS = 300
COMMON_BODIES = 40  # serialisations of a JSON document that are combined with another slip


def timestamps(sent: str, text: str = "") -> Iterator[Try]:
    """Yield other timestamps than ``sent``: in milliseconds, those in ``text``, and those within an hour."""
    if not re.fullmatch(r"[0-9]{10}|[0-9]{13}", sent, re.ASCII):
        return
    seconds = int(sent[:10])
    if len(sent) == 13:
        yield Try(SlipCode.TIMESTAMP_IN_MILLISECONDS, sent[:10], sent)
    for other in dict.fromkeys(re.findall(r"(?<!\d)1\d{9}(?:\d{3})?(?!\d)", text)):
        if other != sent:
            yield Try(SlipCode.TIMESTAMP_DIFFERS, other, other)
    for away in range(1, FAR_S + 1):
        for other in (seconds - away, seconds + away):
            yield Try(SlipCode.TIMESTAMP_DIFFERS, str(other), str(other), alone=away > NEAR_S)
    for milliseconds in (f"{seconds}000", f"{seconds}.0"):
        yield Try(SlipCode.TIMESTAMP_IN_MILLISECONDS, milliseconds, milliseconds)
    yield Try(SlipCode.TIMESTAMP_DIFFERS, "", "")


def nonces(sent: str, text: str) -> Iterator[Try]:
    """Yield other nonces than ``sent``: in another case of letters, and words of ``text``."""
    for other in (sent.lower(), sent.upper(), sent.strip(), ""):
        yield Try(SlipCode.NONCE_DIFFERS, other, other)
    for other in list(dict.fromkeys(TOKEN.findall(text)))[:MOST_TOKENS]:
        yield Try(SlipCode.NONCE_DIFFERS, other, other, alone=True)


def request_urls(sent: str, target: str, host: str) -> Iterator[Try]:
    """Yield other addresses than ``sent``, a path and query, for a request to ``target`` at ``host``."""
    path, mark, query = sent.partition("?")
    origin = re.match(r"https?://[^/]+", target)
    hosts = [origin[0]] if origin else []
    hosts += [f"https://{name}" for name in (host, "api.mch.weixin.qq.com", "api2.mch.weixin.qq.com") if name]
    for one in dict.fromkeys(hosts):
        for each in (one, one.partition("//")[2], one.replace("https:", "http:")):
            yield Try(SlipCode.URL_WITH_HOST, each + sent, each + sent)
    if "#" in sent:
        yield Try(SlipCode.URL_WITH_FRAGMENT, sent.partition("#")[0], sent)
    if mark:
        yield Try(SlipCode.URL_WITHOUT_QUERY, path, path)
    yield Try(SlipCode.HTML_ENTITY, html.escape(sent, quote=False), "&amp;")
    yield Try(SlipCode.HTML_ENTITY, html.unescape(sent), html.unescape(sent))
    yield from _other_urls(sent)
    for other in (sent.removeprefix("/"), f"{sent}?", f"{path}/{mark}{query}", path.rstrip("/") + mark + query):
        yield Try(SlipCode.URL_DIFFERS, other, other)
    if query:
        ordered = "&".join(sorted(query.split("&")))
        yield Try(SlipCode.URL_DIFFERS, f"{path}?{ordered}", f"{path}?{ordered}")
        yield Try(SlipCode.URL_DIFFERS, path + query, path + query)


def page_urls(sent: str) -> Iterator[Try]:
    """Yield other addresses than ``sent`` of a page, with scheme and host."""
    plain = sent.partition("#")[0]
    if "#" in sent:
        yield Try(SlipCode.URL_WITH_FRAGMENT, sent, sent)
    for tail in ("#", "#/", "#wechat_redirect", "#rd"):
        yield Try(SlipCode.URL_WITH_FRAGMENT, plain + tail, plain + tail)
    if "?" in plain:
        yield Try(SlipCode.URL_WITHOUT_QUERY, plain.partition("?")[0], plain.partition("?")[0])
    yield Try(SlipCode.HTML_ENTITY, html.escape(plain, quote=False), "&amp;")
    yield Try(SlipCode.HTML_ENTITY, html.unescape(plain), html.unescape(plain))
    whole = quote(plain, safe="")
    yield Try(SlipCode.URL_ENCODED_VALUES, whole, whole)
    yield from _other_urls(plain)
    host = re.match(r"(https?)://([^/?#]+)(.*)", plain)
    if not host:
        return
    scheme, name, rest = host[1], host[2], host[3]
    other_scheme = "http" if scheme == "https" else "https"
    path, mark, query = rest.partition("?")
    others = [f"{other_scheme}://{name}{rest}", f"{scheme}://{name}", f"{scheme}://{name}/", rest, f"{name}{rest}"]
    others += [f"{scheme}://{name}{path}/{mark}{query}", f"{scheme}://{name}{path.rstrip('/')}{mark}{query}"]
    others += [f"{scheme}://{name}{port}{rest}" for port in (":443", ":80", ":8080", ":8888")]
    others += [f"{scheme}://{re.sub(r':[0-9]+$', '', name)}{rest}", plain + "?", plain + " "]
    others += [f"{plain}{'&' if mark else '?'}from={way}" for way in ("singlemessage", "timeline", "groupmessage")]
    others += [f"{plain}{'&' if mark else '?'}from={way}&isappinstalled=0" for way in ("singlemessage", "timeline")]
    others += [re.sub(r"[?&]from=.*$", "", plain), *_without_one(f"{scheme}://{name}{path}", query)]
    for other in others:
        yield Try(SlipCode.URL_DIFFERS, other, other)


def _without_one(path: str, query: str) -> Iterator[str]:
    """Yield the address without one of its parameters, which a framework or WeChat may have added after signing."""
    pairs = query.split("&")[:20] if query else []
    for at in range(len(pairs) - 1, 0, -1):
        yield f"{path}?{'&'.join(pairs[:at])}"
    for at in range(len(pairs)):
        left = pairs[:at] + pairs[at + 1 :]
        if left:
            yield f"{path}?{'&'.join(left)}"


def _other_urls(sent: str) -> Iterator[Try]:
    """Yield the address encoded once more, once less, or by other rules."""
    once = quote(sent, safe="/:?&=#%")
    for other in (unquote(sent), once, quote(sent, safe="/:?&=#"), quote(sent, safe="/?"), once.replace("%20", "+")):
        yield Try(SlipCode.URL_DIFFERS, other, other)
    for other in (
        re.sub(r"%[0-9A-Fa-f]{2}", lambda m: m[0].lower(), sent),
        re.sub(r"%[0-9a-f]{2}", lambda m: m[0].upper(), sent),
    ):
        yield Try(SlipCode.URL_DIFFERS, other, other)
    yield Try(SlipCode.URL_DIFFERS, sent.lower(), sent.lower())


def bodies(sent: bytes) -> Iterator[Try]:
    """Yield other bodies than ``sent``: trimmed, serialised by another library, decoded, or empty."""
    text = sent.decode("utf-8", "surrogateescape")
    changed = [
        text.strip(),
        text + "\n",
        text.replace("\r\n", "\n"),
        text.replace("\n", "\r\n"),
        "".join(text.splitlines()),
    ]
    changed += [text.replace("/", "\\/"), text.replace("\\/", "/"), re.sub(r"\s+", "", text), re.sub(r"\s+", " ", text)]
    for other in changed:
        yield Try(SlipCode.BODY_CHANGED, encode(other))
    for at, other in enumerate(_written_again(text)):
        yield Try(SlipCode.BODY_CHANGED, encode(other), alone=at >= COMMON_BODIES)
    yield Try(SlipCode.HTML_ENTITY, encode(html.escape(text, quote=False)), "&amp;")
    yield Try(SlipCode.HTML_ENTITY, encode(html.escape(text)), "&quot;")
    yield Try(SlipCode.HTML_ENTITY, encode(html.unescape(text)), "&")
    yield Try(SlipCode.URL_ENCODED_VALUES, encode(unquote(text)))
    yield Try(SlipCode.BODY_CHANGED, encode(json.dumps(text, ensure_ascii=False)))
    for other in ("", "{}", "null", "[]", '""'):
        yield Try(SlipCode.BODY_CHANGED, other.encode(), other)
    for charset in ("gb18030", "utf-8-sig"):
        yield Try(SlipCode.NOT_UTF8, text.encode(charset, "replace"), charset)
    yield Try(SlipCode.NOT_UTF8, sent.decode("latin-1").encode(), "latin-1")
    yield from _other_numbers(text)


def _written_again(text: str) -> Iterator[str]:
    """Yield serialisations of the same document by other JSON libraries."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    for ordered in (False, True):
        for ascii_only in (False, True):
            for separators in ((",", ":"), (", ", ": "), (",", ": "), (", ", ":")):
                written = json.dumps(document, ensure_ascii=ascii_only, separators=separators, sort_keys=ordered)
                yield written
                yield written.replace("/", "\\/")  # PHP
                yield written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")  # Go
            for indent in (2, 4, "\t", 1):
                pretty = json.dumps(document, ensure_ascii=ascii_only, indent=indent, sort_keys=ordered)
                yield pretty
                yield pretty + "\n"
                yield pretty.replace("\n", "\r\n")


def _other_numbers(text: str) -> Iterator[Try]:
    """Yield bodies with one other number, which may have been signed: in yuan, ten times as much, one fen away."""
    for match in list(re.finditer(r'(?<=:)(\s*)"?(\d{1,9})"?(?=\s*[,}\]])', text))[:12]:
        head, tail, number = text[: match.start(2)], text[match.end(2) :], match[2]
        for other in other_amounts(number):
            yield Try(SlipCode.BODY_CHANGED, encode(head + other + tail), f"{other} → {number}", alone=True)


def other_amounts(number: str) -> list[str]:
    """Return amounts that may have been signed in place of ``number``, the likeliest first."""
    amount = int(number)
    near = [amount + step for away in range(1, 101) for step in (-away, away)]
    far = [amount * 100, amount // 100, amount * 10, amount // 10, *range(1, 2001)]
    return [
        f"{number}.0",
        f"{number}.00",
        f"{amount / 100:.2f}",
        *(str(one) for one in dict.fromkeys(near + far) if one > 0),
    ]
