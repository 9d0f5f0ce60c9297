"""``wx.config`` for our own pages."""

from __future__ import annotations

from handlers.web.base import ApiHandler, takes_query
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from wechat.domain.errors import BadRequest, Bilingual


class JsConfigHandler(ApiHandler):
    """Sign the page whose address is given; POST for addresses too long for a query."""

    @takes_query("url")
    async def get(self) -> None:
        await self._sign(self.get_query_argument("url", ""))

    async def post(self) -> None:
        body = self.json_body()
        url = body.get("url")
        if set(body) != {"url"} or not isinstance(url, str):
            raise _no_url()
        await self._sign(url)

    async def _sign(self, url: str) -> None:
        if not url:
            raise _no_url()
        self.write_json((await self.services.jssdk.config(url)).as_json())


def _no_url() -> BadRequest:
    return BadRequest(
        Bilingual("需要 url：页面的 location.href", "url is needed: the page's location.href"), field="url"
    )


def routes(services: Services) -> list[Route]:
    return [Route(pattern=r"/jssdk/config", handler=JsConfigHandler, access=Access.PUBLIC, name="jssdk_config")]
