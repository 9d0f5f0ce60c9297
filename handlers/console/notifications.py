"""Notifications that were refused: why, what to do, the message, and letting one through the gate again."""

from __future__ import annotations

from handlers.console.lists import PAGE, ListHandler
from handlers.console.texts.notifications import TEXTS
from handlers.web.numbers import REFUSED_ID
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from handlers.web.views import refused_message
from wechat.domain.audit import Act
from wechat.domain.errors import NotifyError
from wechat.domain.staff import Permission
from wechat.domain.times import beijing
from wechat.explain.slips import describe_code
from wechat.notifications.reasons import REASONS, group_of

PATH = "/console/notifications"


class NotificationsHandler(ListHandler):
    """The list."""

    texts = TEXTS

    async def get(self) -> None:
        reason = self.get_query_argument("reason", "")
        found = await self.services.receiver.refusals.latest(PAGE, reason)
        words = {"reasons": REASONS, "beijing": beijing, "slip": lambda code: describe_code(code).to(self.lang)}
        self.render_console("notifications.html", found=found, reason=reason, **words)


class NotificationHandler(ListHandler):
    """One of them with headers and body, and what made its signature wrong, line by line."""

    texts = TEXTS

    async def get(self, message_id: str) -> None:
        message = await self.services.receiver.refusals.get(message_id)
        await self.audit(Act.READ_PAYLOAD, message.out_trade_no or message_id, after=message_id)
        slips = await self.services.receiver.explain(message_id) if message.complete else ()
        reason, raw = REASONS[message.reason], refused_message(message)
        self.render_console("notifications_one.html", message=message, raw=raw, reason=reason, slips=slips)


class VerifyHandler(ListHandler):
    """Whether the gate takes it now; nothing is applied."""

    texts = TEXTS

    async def post(self, message_id: str) -> None:
        try:
            notification = await self.services.receiver.verify(message_id)
        except NotifyError as error:
            self.put_flash(self.t("still_refused", why=REASONS[group_of(error.reason)].text.to(self.lang)), "error")
        else:
            self.put_flash(self.t("passes", kind=notification.kind))
        self.redirect(PATH)


class ReplayHandler(ListHandler):
    """Let it through the gate again, and apply it if it passes."""

    texts = TEXTS

    async def post(self, message_id: str) -> None:
        try:
            verdict = await self.services.receiver.replay(message_id)
        except NotifyError as error:
            verdict = error.reason
            self.put_flash(self.t("still_refused", why=error.text.to(self.lang)), "error")
        else:
            self.put_flash(self.t("replayed", verdict=verdict))
        await self.audit(Act.REPLAY, message_id, after=verdict)
        self.redirect(PATH)


def routes(services: Services) -> list[Route]:
    if not services.settings.console.enabled:
        return []
    pages: list[tuple[str, str, type[ListHandler], Permission]] = [
        (PATH, "console_notifications", NotificationsHandler, Permission.READ),
        (f"{PATH}/{REFUSED_ID}", "console_notification", NotificationHandler, Permission.READ_PAYLOADS),
        (f"{PATH}/{REFUSED_ID}/verify", "console_verify", VerifyHandler, Permission.REPLAY),
        (f"{PATH}/{REFUSED_ID}/replay", "console_replay", ReplayHandler, Permission.REPLAY),
    ]
    return [
        Route(pattern=pattern, handler=handler, access=Access.STAFF, name=name, permission=permission)
        for pattern, name, handler, permission in pages
    ]
