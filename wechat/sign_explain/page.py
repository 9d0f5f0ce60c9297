"""Explain the JS-SDK signature of a page (wx.config).

Source: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html, appendix 1.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from wechat.account.page_signature import page_url, signature
from wechat.domain.errors import Bilingual
from wechat.sign_explain import variants
from wechat.sign_explain.bundle import EATEN, Bundle, read_bundle
from wechat.sign_explain.conclusion import conclude, end, slip
from wechat.sign_explain.messages import Capture
from wechat.sign_explain.model import MASK, Explanation, Keys, Kind, Slip, Verdict
from wechat.sign_explain.resource import key_tries
from wechat.sign_explain.search import Dimension, Try, dimension, search
from wechat.sign_explain.slips import SlipCode

NAMES = ("jsapi_ticket", "noncestr", "timestamp", "url")
SPELLINGS = {"appId": ("appId",), "timestamp": ("timestamp",), "nonceStr": ("nonceStr",), "signature": ("signature",)}
WRONG_NAMES = {
    "nonceStr → noncestr": ("jsapi_ticket", "nonceStr", "timestamp", "url"),
    "nonce_str → noncestr": ("jsapi_ticket", "nonce_str", "timestamp", "url"),
    "timeStamp → timestamp": ("jsapi_ticket", "noncestr", "timeStamp", "url"),
    "nonceStr, timeStamp": ("jsapi_ticket", "nonceStr", "timeStamp", "url"),
    "jsapiTicket → jsapi_ticket": ("jsapiTicket", "noncestr", "timestamp", "url"),
    "ticket → jsapi_ticket": ("ticket", "noncestr", "timestamp", "url"),
    "URL → url": ("jsapi_ticket", "noncestr", "timestamp", "URL"),
}
ORDERS = (
    (1, 0, 2, 3),
    (0, 2, 1, 3),
    (0, 1, 3, 2),
    (2, 1, 0, 3),
    (0, 3, 1, 2),
    (3, 0, 1, 2),
    (3, 2, 1, 0),
    (1, 2, 0, 3),
)
NEED_TICKET = Bilingual(
    "需要 --ticket（当时的 jsapi_ticket）和网址（写一行 url=https://…）",
    "--ticket (the jsapi_ticket in use then) and the address (a line url=https://…) are needed",
)


def explain_page(capture: Capture, keys: Keys) -> Explanation:
    """Explain a bundle of wx.config."""
    bundle = read_bundle(capture.text)
    if bundle is None:
        return Explanation(Kind.WX_CONFIG, Verdict.UNRECOGNISED)
    raw = re.search(r"jsapi_?[tT]icket=[^\s\"'&]+&[^\s\"'<]+", capture.text)
    given, nonce, time = bundle.get("signature"), bundle.get("nonceStr", "noncestr"), bundle.get("timestamp")
    visible = [*_check_bundle(bundle, given)]
    tickets = replace(keys, given=(keys.ticket,) if keys.ticket else keys.given).symmetric("")[:1]
    url = page_url(html.unescape(bundle.url))
    base = Explanation(
        Kind.WX_CONFIG, Verdict.UNRECOGNISED, tuple(visible), _text(NAMES, MASK, nonce, time, url), given=given
    )
    if raw and (not tickets or not url):
        return _explain_raw(base, raw[0], visible, bundle)
    if not tickets or not url:
        return end(base, visible) if visible else replace(base, hint=NEED_TICKET)
    base = replace(base, computed=signature(tickets[0][0], nonce, time, url))
    sent = (
        capture.text
        if not raw
        else capture.text.replace(raw[0], f" {_part(raw[0], 'noncestr')} {_part(raw[0], 'timestamp')} ")
    )
    tries = _dimensions(bundle, url, tickets, nonce, time, sent)
    wanted = given.lower().encode()
    found = search(tries, lambda *parts: hmac.compare_digest(_sha1(_render(*parts)).encode(), wanted))
    if found is None:
        return end(base, [*visible, slip(SlipCode.TICKET_DIFFERS)])
    names, order, _, *rest = found.values
    return conclude(base, found, visible, _render(names, order, MASK, *rest))


def _dimensions(
    bundle: Bundle, url: str, tickets: list[tuple[str, SlipCode | None]], nonce: str, time: str, text: str
) -> list[Dimension]:
    names = [Try(SlipCode.WRONG_PARAMETER_CASE, wrong, note) for note, wrong in WRONG_NAMES.items()]
    urls = dimension(url, *variants.page_urls(bundle.url), *_real(bundle.real_url, url))
    return [
        dimension(NAMES, *names),
        dimension((0, 1, 2, 3), *(Try(SlipCode.NOT_SORTED, order) for order in ORDERS)),
        key_tries(tickets),
        dimension(nonce, *variants.nonces(nonce, text)),
        dimension(time, *variants.timestamps(time, text)),
        urls,
        dimension(False, Try(SlipCode.HTML_ENTITY, True, "×tamp")),
    ]


def _real(real_url: str, url: str) -> Iterator[Try]:
    """Yield the address that WeChat reported, if it differs."""
    if real_url and page_url(real_url) != url:
        yield Try(SlipCode.URL_DIFFERS, page_url(real_url), real_url)


def _render(
    names: tuple[str, ...], order: tuple[int, ...], ticket: str, nonce: str, time: str, url: str, page: bool
) -> str:
    pairs = list(zip(names, (ticket, nonce, time, url), strict=True))
    text = "&".join(f"{name}={value}" for name, value in (pairs[at] for at in order))
    return html.unescape(text) if page else text


def _text(names: tuple[str, ...], ticket: str, nonce: str, time: str, url: str) -> str:
    return _render(names, (0, 1, 2, 3), ticket, nonce, time, url, page=False)


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def _check_bundle(bundle: Bundle, given: str) -> Iterator[Slip]:
    """Yield the slips that are visible in the bundle."""
    for name, spellings in SPELLINGS.items():
        written = bundle.spelt(*spellings)
        if written and written not in spellings:
            yield slip(SlipCode.WRONG_PARAMETER_CASE, f"{written} → {name}", wrong=written, right=name)
            break
    if bundle.eaten:
        yield slip(SlipCode.HTML_ENTITY, bundle.eaten, wrong=bundle.eaten, right=EATEN[bundle.eaten])
    elif "&amp;" in bundle.url:
        yield slip(SlipCode.HTML_ENTITY, "url", wrong=bundle.url, right=html.unescape(bundle.url))
    if bundle.real_url and bundle.url and page_url(bundle.real_url) != page_url(html.unescape(bundle.url)):
        yield slip(SlipCode.URL_DIFFERS, bundle.real_url, wrong=bundle.url, right=page_url(bundle.real_url))
    if given and given != given.lower():
        yield slip(SlipCode.UPPER_CASE_RESULT, wrong=given, right=given.lower())


def _explain_raw(base: Explanation, raw: str, visible: list[Slip], bundle: Bundle) -> Explanation:
    """Judge by the signed string that ``getSignPackage()`` prints, because there is no ticket to sign with."""
    signed: Mapping[str, str] = {name: _part(raw, name) for name in NAMES}
    slips = list(visible)
    if signed["noncestr"] != bundle.get("nonceStr", "noncestr"):
        slips.append(slip(SlipCode.NONCE_DIFFERS, signed["noncestr"]))
    if signed["timestamp"] != bundle.get("timestamp"):
        slips.append(slip(SlipCode.TIMESTAMP_DIFFERS, signed["timestamp"]))
    if "#" in raw:
        slips.append(slip(SlipCode.URL_WITH_FRAGMENT, wrong=signed["url"], right=page_url(signed["url"])))
    elif bundle.url and signed["url"] != page_url(bundle.url):
        slips.append(slip(SlipCode.URL_DIFFERS, wrong=signed["url"], right=page_url(bundle.url)))
    hidden = raw.replace(signed["jsapi_ticket"], MASK)
    base = replace(base, string_to_sign=page_url(hidden), computed=_sha1(raw))
    if not slips and not hmac.compare_digest(_sha1(raw).encode(), (base.given or "").lower().encode()):
        slips.append(slip(SlipCode.VALUE_CHANGED))
    return replace(base, verdict=Verdict.WRONG if slips else Verdict.CORRECT, slips=tuple(slips), signed=hidden)


def _part(raw: str, name: str) -> str:
    """Return the value of ``name`` in a signed string; the last one, ``url``, may contain ``&`` itself."""
    found = re.search(r"(?:^|&)url=(.*)$" if name == "url" else rf"(?:^|&){name}=([^&]*)", raw, re.IGNORECASE)
    return found[1] if found else ""
