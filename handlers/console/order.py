"""The page of an order: its state, amounts, history and actions."""

from __future__ import annotations

from handlers.console.base import ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.states import BADGES, ORDER_STATES, TRADE_TYPES, name_channel
from handlers.console.story import error_text, open_payload, tell_story, verdict_text
from handlers.console.summaries import summarize_deliveries, summarize_order
from handlers.console.texts.order import TEXTS
from handlers.web.numbers import NUMBER
from handlers.web.plugin import Route
from handlers.web.services import Services
from handlers.web.support_file import MOST_CALLS, TEMPLATE, gather_support
from wechat.diagnosis.diagnosis import explain
from wechat.domain.approvals import Approval
from wechat.domain.audit import Act
from wechat.domain.calls import Call
from wechat.domain.errors import BadRequest, Bilingual, Conflict, NotFound
from wechat.domain.money import yuan
from wechat.domain.notes import MOST_CHARACTERS
from wechat.domain.orders import Order
from wechat.domain.refunds import may_be_cancelled, refundable
from wechat.domain.staff import Permission
from wechat.domain.times import beijing

PATH = f"/console/orders/{NUMBER}"
CALL_ID = "([0-9a-f]{24})"
SHOWN = 4
NO_SUCH_EVENT = Bilingual("这笔订单没有这个事件", "This order has no such event")


class OrderPage(ConsoleHandler):
    """Base class of the pages about one order."""

    texts = TEXTS

    def show_order(self, template: str, order: Order, **context: object) -> None:
        """Render a page or a part about ``order``."""
        settings = self.services.settings
        self.render_console(
            template,
            order=order,
            payer=mask_middle(order.openid),
            refundable=refundable(order, order.transaction_id) if order.paid else 0,
            channel_name=name_channel(order.channel, self.lang),
            trade_type=TRADE_TYPES[order.trade_type].to(self.lang),
            verdict=lambda call: verdict_text(call).to(self.lang),
            error_of=lambda call: error_text(call).to(self.lang),
            may_be_cancelled=may_be_cancelled,
            yuan=yuan,
            beijing=beijing,
            most_of_note=MOST_CHARACTERS,
            keep_days=settings.calls.keep_days if settings.calls.enabled else 0,
            **BADGES,
            **context,
        )

    async def list_waiting(self, out_trade_no: str) -> list[Approval]:
        """Return the refunds of the order that wait for a second person."""
        waiting = await self.services.staff.approvals.waiting()
        return [each for each in waiting if (each.act, each.subject) == (Act.REFUND, out_trade_no)]


class OrderHandler(OrderPage):
    """The page of an order; ``order_story.html`` is the part that live updates reload."""

    async def get(self, out_trade_no: str) -> None:
        case = await self.services.diagnosis.from_records(out_trade_no)
        calls = await self.services.insight.calls.of_order(out_trade_no, MOST_CALLS)
        steps = tell_story(case.order, calls, case.deliveries, self.lang)
        sentence, _ = explain(case)
        template = "order_story.html" if self.is_partial else "order.html"
        waiting = await self.list_waiting(out_trade_no)
        self.show_order(template, case.order, steps=steps, sentence=sentence, waiting=waiting)


class PayerHandler(OrderPage):
    """Show the payer's openid in full."""

    async def get(self, out_trade_no: str) -> None:
        order = await self.services.orders.get(out_trade_no)
        await self.audit(Act.READ_PERSONAL, out_trade_no)
        self.show_order("order_payer.html", order, openid=order.openid)


class CallHandler(OrderPage):
    """The page of one recorded call: headers, bodies and signed strings. Rendered as a part for htmx, otherwise as a
    page."""

    async def get(self, out_trade_no: str, call_id: str) -> None:
        order = await self.services.orders.get(out_trade_no)
        call = await self.find_call(out_trade_no, call_id)
        await self.audit(Act.READ_PAYLOAD, out_trade_no, after=f"{call.call} {call.id}")
        template = "order_call_part.html" if self.is_partial else "order_call.html"
        self.show_order(template, order, payload=open_payload(call))

    async def find_call(self, out_trade_no: str, call_id: str) -> Call:
        """Return the call. Raises NotFound, also for a call of another order."""
        stored = await self.services.insight.calls.get(call_id)
        if stored is None or stored.value.out_trade_no != out_trade_no:
            text = Bilingual(
                "没有这条调用记录，可能已超过保留时间",
                "There is no such call; it may be older than the time for which calls are kept",
            )
            raise NotFound(text, code="CALL_NOT_FOUND")
        return stored.value


class QueryHandler(OrderPage):
    """Query WeChat Pay and apply the result."""

    async def post(self, out_trade_no: str) -> None:
        before = await self.services.orders.get(out_trade_no)
        with self.tell_refusal():
            async with self.audit_act(Act.QUERY_ORDER, out_trade_no, summarize_order(before)) as after:
                order = await self.services.orders.query(out_trade_no)
                after.append(summarize_order(order))
            self.put_flash(self.t("queried", state=ORDER_STATES[order.trade_state].to(self.lang)))
        self.redirect(f"/console/orders/{out_trade_no}")


class CloseHandler(OrderPage):
    """Close an unpaid order."""

    async def post(self, out_trade_no: str) -> None:
        before = await self.services.orders.get(out_trade_no)
        with self.tell_refusal():
            async with self.audit_act(Act.CLOSE_ORDER, out_trade_no, summarize_order(before)) as after:
                order = await self.services.orders.close(out_trade_no, source="merchant", by=self.staff.name)
                after.append(summarize_order(order))
            self.put_flash(self.t("closed", state=ORDER_STATES[order.trade_state].to(self.lang)))
        self.redirect(f"/console/orders/{out_trade_no}")


class NoteHandler(OrderPage):
    """Add the form's ``note`` to the order."""

    async def post(self, out_trade_no: str) -> None:
        text = self.get_body_argument("note", "")
        try:
            order = await self.services.orders.write_note(out_trade_no, text, by=self.staff.name)
        except (BadRequest, Conflict) as error:
            self.set_status(error.status)
            order = await self.services.orders.get(out_trade_no)
            self.show_order("order_note.html", order, note=text, error=error.text.to(self.lang))
            return
        await self.audit(Act.WRITE_NOTE, out_trade_no, f"{len(order.notes) - 1}", order.notes[-1].text)
        self.put_flash(self.t("noted"))
        self.redirect(f"/console/orders/{out_trade_no}#notes")


class SupportHandler(OrderPage):
    """Send the order's support file: everything about it, without personal data."""

    async def get(self, out_trade_no: str) -> None:
        page = self.render_string(TEMPLATE, **await gather_support(self.services, out_trade_no, self.lang))
        await self.audit(Act.EXPORT, out_trade_no, after="support.html")
        self.set_header("Content-Disposition", 'attachment; filename="support.html"')
        self.write(page)


class ResendHandler(OrderPage):
    """Send an event of the order again: the form's ``event`` to its ``target``. Raises NotFound."""

    async def post(self, out_trade_no: str) -> None:
        event, target = self.get_body_argument("event"), self.get_body_argument("target", "")
        deliveries = await self.services.delivery_store.of_event(event)
        if any(each.event.out_trade_no != out_trade_no for each in deliveries):
            raise NotFound(NO_SUCH_EVENT)  # otherwise the audit log would name another order than the one it is about
        before = [each for each in deliveries if target in ("", each.target)]
        standing, wanted = summarize_deliveries(before), f"{event} {target}".strip()
        with self.tell_refusal():
            async with self.audit_act(Act.RESEND, out_trade_no, standing, wanted) as after:
                again = await self.services.redelivery.resend(event, target)
                after.append(summarize_deliveries(again))
            self.put_flash(self.t("resent", count=len(again)))
        self.redirect(f"/console/orders/{out_trade_no}")


def mask_middle(openid: str) -> str:
    """Return ``openid`` with only its first and last letters readable; ``…`` if it is too short for that."""
    return f"{openid[:SHOWN]}…{openid[-SHOWN:]}" if len(openid) > 2 * SHOWN else "…" if openid else ""


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, OrderHandler, "console_order", Permission.READ),
        Page(f"{PATH}/payer", PayerHandler, "console_payer", Permission.READ_PAYLOADS),
        Page(f"{PATH}/calls/{CALL_ID}", CallHandler, "console_call", Permission.READ_PAYLOADS),
        Page(f"{PATH}/query", QueryHandler, "console_query", Permission.QUERY_ORDERS),
        Page(f"{PATH}/close", CloseHandler, "console_close", Permission.CLOSE_ORDERS),
        Page(f"{PATH}/notes", NoteHandler, "console_note", Permission.NOTE),
        Page(f"{PATH}/support", SupportHandler, "console_support", Permission.NOTE),
        Page(f"{PATH}/resend", ResendHandler, "console_resend", Permission.RESEND),
    )
