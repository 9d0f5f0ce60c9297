"""``POST /notify``: WeChat's notifications. v2 is answered in XML, v3 in JSON; WeChat looks at the status of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from handlers.web.base import BaseHandler
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from wechat.domain.facts import Api
from wechat.notifications.receiver import api_of
from wechat.pay.v2.gateway import acknowledgement


class NotifyHandler(BaseHandler):
    """Receive one payment or refund notification; a refused one is answered with an error status."""

    async def post(self) -> None:
        await self.services.receiver.receive(dict(self.request.headers), self.request.body)
        self._answer(success=True, message="OK")

    def show_error(self, status: int, body: Mapping[str, Any]) -> None:
        """Answer with the error's code only; nothing of the message is returned."""
        self._answer(success=False, message=str(body["code"]))
        self.finish()

    def _answer(self, *, success: bool, message: str) -> None:
        if api_of(self.request.headers) is Api.V2:
            self.set_header("Content-Type", "text/xml; charset=utf-8")
            self.write(acknowledgement(success, message))
            return
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.write(orjson.dumps({"code": "SUCCESS" if success else "FAIL", "message": message}))


def routes(services: Services) -> list[Route]:
    return [Route(pattern=r"/notify", handler=NotifyHandler, access=Access.WECHAT, name="notify")]
