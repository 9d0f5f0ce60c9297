"""Refused notifications: the reason, what to do, the message, verifying and processing it again. Accepted
notifications: how often each arrived and its effect."""

from __future__ import annotations

from urllib.parse import quote

from handlers.console.lists import PAGE, ListHandler
from handlers.console.routes import Page, console_routes
from handlers.console.texts.notifications import TEXTS
from handlers.web.numbers import REFUSED_ID
from handlers.web.plugin import Route
from handlers.web.services import Services
from handlers.web.views import refused_message
from wechat.domain.audit import Act
from wechat.domain.errors import NotifyError
from wechat.domain.labels import NOTIFICATION_KINDS, VERDICTS, name_of
from wechat.domain.messages import Verdict
from wechat.domain.orders import OUT_TRADE_NO
from wechat.domain.staff import Permission
from wechat.domain.times import beijing
from wechat.notifications.reasons import REASONS, group_of
from wechat.sign_explain.slips import describe_code

PATH = "/console/notifications"


class NotificationsHandler(ListHandler):
    """The list of refused notifications."""

    texts = TEXTS

    async def get(self) -> None:
        reason = self.get_query_argument("reason", "")
        found = await self.services.receiver.refusals.latest(PAGE, reason)
        words = {"reasons": REASONS, "beijing": beijing, "slip": lambda code: describe_code(code).to(self.lang)}
        self.render_console("notifications.html", found=found, reason=reason, order_page=order_page, **words)


class AcceptedHandler(ListHandler):
    """The list of accepted notifications, of all orders."""

    texts = TEXTS

    async def get(self) -> None:
        mchid = self.services.settings.pay.mchid
        page = await self.services.notification_store.find(mchid, limit=PAGE, cursor=self.cursor)
        self.render_console(
            "notifications_accepted.html",
            messages=page.items,
            following=page.next_cursor,
            kind_name=lambda code: name_of(NOTIFICATION_KINDS, code, self.lang),
            verdict_name=lambda code: name_of(VERDICTS, code or Verdict.APPLIED, self.lang),
            beijing=beijing,
        )


class NotificationHandler(ListHandler):
    """The page of one refused notification: headers, body, and for a complete message each slip that made its signature
    wrong. Raises NotFound."""

    texts = TEXTS

    async def get(self, message_id: str) -> None:
        message = await self.services.receiver.refusals.get(message_id)
        await self.audit(Act.READ_PAYLOAD, message.out_trade_no or message_id, after=message_id)
        slips = await self.services.receiver.explain(message_id) if message.complete else ()
        reason, raw = REASONS[message.reason], refused_message(message)
        self.render_console(
            "notifications_one.html", message=message, raw=raw, reason=reason, slips=slips, order_page=order_page
        )


class VerifyHandler(ListHandler):
    """Verify the notification again and show the result; nothing is applied."""

    texts = TEXTS

    async def post(self, message_id: str) -> None:
        try:
            notification = await self.services.receiver.verify(message_id)
        except NotifyError as error:
            self.put_flash(self.t("still_refused", why=REASONS[group_of(error.reason)].text.to(self.lang)), "error")
        else:
            self.put_flash(self.t("passes", kind=name_of(NOTIFICATION_KINDS, notification.kind, self.lang)))
        self.redirect(PATH)


class ReplayHandler(ListHandler):
    """Verify the notification again, and apply it if it passes."""

    texts = TEXTS

    async def post(self, message_id: str) -> None:
        async with self.audit_act(Act.REPLAY, message_id) as after:
            after.append(await self.replay(message_id))
        self.redirect(PATH)

    async def replay(self, message_id: str) -> str:
        """Replay the notification and return the result as a code. Raises NotFound."""
        try:
            verdict = await self.services.receiver.replay(message_id)
        except NotifyError as error:
            self.put_flash(self.t("still_refused", why=error.text.to(self.lang)), "error")
            return error.reason
        self.put_flash(self.t("replayed", verdict=name_of(VERDICTS, verdict, self.lang)))
        return verdict


def order_page(number: str) -> str:
    """Return the path of the order that a message claims to be about; empty if ``number`` is not an order number."""
    return f"/console/orders/{quote(number, safe='')}" if OUT_TRADE_NO.fullmatch(number) else ""


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, NotificationsHandler, "console_notifications", Permission.READ),
        Page(f"{PATH}/accepted", AcceptedHandler, "console_accepted", Permission.READ),
        Page(f"{PATH}/{REFUSED_ID}", NotificationHandler, "console_notification", Permission.READ_PAYLOADS),
        Page(f"{PATH}/{REFUSED_ID}/verify", VerifyHandler, "console_verify", Permission.REPLAY),
        Page(f"{PATH}/{REFUSED_ID}/replay", ReplayHandler, "console_replay", Permission.REPLAY),
    )
