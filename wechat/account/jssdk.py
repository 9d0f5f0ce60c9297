"""The arguments of ``wx.config`` for pages on the service's own origins."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from wechat.account.page_signature import page_url, signature
from wechat.account.tokens import Tokens
from wechat.domain.errors import Bilingual, Forbidden
from wechat.domain.ports import Runtime

JS_API_LIST = ("chooseWXPay",)
MAX_URL = 2048


@dataclass(frozen=True, slots=True)
class JsConfig:
    """The arguments of ``wx.config``."""

    appid: str
    timestamp: int
    nonce_str: str
    signature: str

    def as_json(self) -> dict[str, str | int | list[str]]:
        return {
            "appId": self.appid,
            "timestamp": self.timestamp,
            "nonceStr": self.nonce_str,
            "signature": self.signature,
            "jsApiList": list(JS_API_LIST),
        }


class JsSdk:
    """Signs pages of our own origins with the shared jsapi_ticket."""

    def __init__(self, appid: str, tokens: Tokens, origins: Iterable[str], runtime: Runtime) -> None:
        self._appid = appid
        self._tokens = tokens
        self._origins = frozenset(origins)
        self._clock = runtime.clock
        self._random = runtime.random

    async def config(self, url: str) -> JsConfig:
        """Sign ``url`` (the page's ``location.href``). Raises Forbidden for a page that is not ours."""
        page = self._own_page(url)
        ticket = await self._tokens.jsapi_ticket()
        timestamp = int(self._clock.now().timestamp())
        nonce = self._random.token(8)
        return JsConfig(self._appid, timestamp, nonce, signature(ticket, nonce, str(timestamp), page))

    async def signed_by_current_ticket(self, url: str, nonce: str, timestamp: str, signed: str) -> bool:
        """Whether ``signed`` is the signature of these values by the current ticket. Raises as ``config``."""
        ticket = await self._tokens.jsapi_ticket()
        return hmac.compare_digest(signature(ticket, nonce, timestamp, url).encode(), signed.encode())

    async def renew_ticket(self) -> bool:
        """Fetch another ticket, because WeChat refuses signatures by this one. Return whether it was done."""
        return await self._tokens.renew_jsapi_ticket()

    def _own_page(self, url: str) -> str:
        page = page_url(url)  # before any check: the part after # may hold anything, and is not signed
        if len(page) > MAX_URL or any(ord(char) <= 32 or ord(char) == 127 or char == "\\" for char in page):
            raise _foreign()
        try:
            parts = urlsplit(page)
        except ValueError:
            raise _foreign() from None
        if f"{parts.scheme}://{parts.netloc}" not in self._origins:
            raise _foreign()
        return page


def _foreign() -> Forbidden:
    return Forbidden(
        Bilingual(
            "只为本站页面签名；请传入页面自己的 location.href",
            "Only pages of this site are signed; send the page's own location.href",
        ),
        code="FOREIGN_URL",
        field="url",
    )
