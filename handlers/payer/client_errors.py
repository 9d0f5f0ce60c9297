"""Reports of pages: WeChat's browser refused to start a payment, and its message."""

from __future__ import annotations

from handlers.web.base import ApiHandler
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from wechat.slips.reports import ClientError


class ClientErrorsHandler(ApiHandler):
    """Record a refusal; ``retry`` in the answer says whether the page may call wx.config again."""

    async def post(self) -> None:
        error = ClientError.parse(self.json_body())
        consequence = await self.services.client_errors.report(error, openid=self.payer)
        self.write_json({"code": consequence.entry.code if consequence.entry else None, "retry": consequence.retry})


def routes(services: Services) -> list[Route]:
    return [
        Route(pattern=r"/client-errors", handler=ClientErrorsHandler, access=Access.PAYER, name="client_errors"),
    ]
