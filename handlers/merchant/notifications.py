"""Refused notifications for the merchant's operator: list them, verify one again, process one again."""

from __future__ import annotations

from handlers.web.base import ApiHandler, takes_query
from handlers.web.numbers import REFUSED_ID
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from handlers.web.views import refused_message, refused_view, slip_view
from wechat.domain.errors import NotifyError


class RefusedNotificationsHandler(ApiHandler):
    """The latest refused notifications, of every reason or of one."""

    @takes_query("reason", "limit")
    async def get(self) -> None:
        found = await self.services.receiver.refusals.latest(self.page_limit(), self.get_query_argument("reason", ""))
        self.write_json({"notifications": [refused_view(message, self.lang) for message in found]})


class RefusedNotificationHandler(ApiHandler):
    """A refused notification with its headers and body. Raises NotFound."""

    async def get(self, message_id: str) -> None:
        message = await self.services.receiver.refusals.get(message_id)
        self.write_json(refused_view(message, self.lang) | refused_message(message))


class VerifyHandler(ApiHandler):
    """Verify the notification again, as of its arrival; if it fails, name the slip. Nothing is applied."""

    async def post(self, message_id: str) -> None:
        try:
            accepted = await self.services.receiver.verify(message_id)
        except NotifyError as error:
            slips = await self.services.receiver.explain(message_id)
            self.write_json(self.refusal(error) | {"slips": [slip_view(slip, self.lang) for slip in slips]})
        else:
            self.write_json({"accepted": True, "kind": accepted.kind, "out_trade_no": accepted.out_trade_no or None})

    def refusal(self, error: NotifyError) -> dict[str, object]:
        return {"accepted": False, "reason": error.reason, "message": error.text.to(self.lang)}


class ReplayHandler(VerifyHandler):
    """Verify the notification again, and apply it if it passes."""

    async def post(self, message_id: str) -> None:
        try:
            verdict = await self.services.receiver.replay(message_id)
        except NotifyError as error:
            self.write_json(self.refusal(error))
        else:
            self.write_json({"accepted": True, "verdict": verdict})


def routes(services: Services) -> list[Route]:
    def route(pattern: str, handler: type[ApiHandler], name: str) -> Route:
        return Route(pattern=pattern, handler=handler, access=Access.MERCHANT, name=name)

    return [
        route(r"/api/notifications/refused", RefusedNotificationsHandler, "api_refused"),
        route(rf"/api/notifications/refused/{REFUSED_ID}", RefusedNotificationHandler, "api_refused_one"),
        route(rf"/api/notifications/refused/{REFUSED_ID}/verify", VerifyHandler, "api_refused_verify"),
        route(rf"/api/notifications/refused/{REFUSED_ID}/replay", ReplayHandler, "api_refused_replay"),
    ]
