"""Refunds by state, newest first; above them those that need a person, with what to do."""

from __future__ import annotations

from handlers.console.lists import PAGE, ListHandler
from handlers.console.routes import Page, console_routes
from handlers.console.states import BADGES, REFUND_STATES
from handlers.console.summaries import summarize_refund
from handlers.console.texts.refunds import TEXTS
from handlers.web.numbers import REFUND_NUMBER
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.diagnosis.attention import MOST_SLOW
from wechat.domain.approvals import AT_CONSOLE
from wechat.domain.audit import Act
from wechat.domain.facts import RefundState
from wechat.domain.money import yuan
from wechat.domain.orders import Refund
from wechat.domain.refunds import may_be_cancelled
from wechat.domain.staff import Permission
from wechat.domain.times import beijing

PATH = "/console/refunds"
WORDS = {"may_be_cancelled": may_be_cancelled, "yuan": yuan, "beijing": beijing, **BADGES}
"""Names that the template uses."""


class RefundsHandler(ListHandler):
    """The list of refunds."""

    texts = TEXTS

    async def get(self) -> None:
        state = self.chosen(RefundState)
        refunds, following = await self.find(state or RefundState.PROCESSING, self.cursor)
        urgent = [] if state else await self.find_urgent()
        self.render_console(
            "refunds.html",
            refunds=refunds,
            following=following,
            urgent=urgent,
            chosen=state or RefundState.PROCESSING,
            states=list(RefundState),
            **WORDS,
        )

    async def find_urgent(self) -> list[Refund]:
        """Return the refunds that need a person: abnormal ones, and those that have been processing for too long."""
        abnormal, _ = await self.find(RefundState.ABNORMAL)
        under_way = await self.services.order_store.list_refunding(RefundState.PROCESSING, MOST_SLOW)
        refunds, now = [refund for order in under_way for refund in order.refunds], self.services.clock.now()
        return [*abnormal, *(each for each in refunds if each.state is RefundState.PROCESSING and each.is_slow(now))]

    async def find(self, state: RefundState, cursor: str = "") -> tuple[list[Refund], str]:
        """Return the refunds in ``state`` of one page of orders, and the cursor of the next page."""
        page = await self.services.order_store.find_by_refund(state, limit=PAGE, cursor=cursor)
        refunds = [refund for order in page.items for refund in order.refunds if refund.state is state]
        return refunds, page.next_cursor


class RefundQueryHandler(ListHandler):
    """Query one refund at WeChat Pay."""

    texts = TEXTS

    async def post(self, out_refund_no: str) -> None:
        before = await self.services.refunds.get(out_refund_no)
        with self.tell_refusal():
            async with self.audit_act(Act.QUERY_ORDER, before.out_trade_no, summarize_refund(before)) as after:
                refund = await self.services.refunds.query(out_refund_no)
                after.append(summarize_refund(refund))
            self.put_flash(self.t("queried", number=out_refund_no, state=REFUND_STATES[refund.state].to(self.lang)))
        self.redirect(f"/console/orders/{before.out_trade_no}")


class RefundCancelHandler(ListHandler):
    """Cancel a refund that WeChat Pay does not have."""

    texts = TEXTS

    async def post(self, out_refund_no: str) -> None:
        before = await self.services.refunds.get(out_refund_no)
        with self.tell_refusal():
            async with self.audit_act(Act.CANCEL_REFUND, before.out_trade_no, summarize_refund(before)) as after:
                refund = await self.services.refunds.cancel(out_refund_no, by=f"{AT_CONSOLE}{self.staff.name}")
                after.append(summarize_refund(refund))
            self.put_flash(self.t("cancelled", number=out_refund_no))
        self.redirect(f"/console/orders/{before.out_trade_no}")


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, RefundsHandler, "console_refunds", Permission.READ),
        Page(f"{PATH}/{REFUND_NUMBER}/query", RefundQueryHandler, "console_refund_query", Permission.QUERY_ORDERS),
        Page(f"{PATH}/{REFUND_NUMBER}/cancel", RefundCancelHandler, "console_refund_cancel", Permission.REFUND),
    )
