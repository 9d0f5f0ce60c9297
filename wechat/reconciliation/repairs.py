"""The operator's actions on differences. Money moves only on WeChat's verified answers, never on a bill.

A difference is repaired when a new comparison no longer finds it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from wechat.domain.errors import Bilingual, Conflict, NotFound
from wechat.domain.facts import RemoteState
from wechat.domain.orders import RELEASES_RESERVATION, Order
from wechat.domain.ports import Clock
from wechat.domain.refunds import OUT_REFUND_NO
from wechat.domain.times import day_span, from_v3
from wechat.orders.service import Orders
from wechat.pay.gateway import AnotherOrder
from wechat.reconciliation.books import ACTIONS, Action, Audit, BookEntry, Difference, Status, classify, missing_there
from wechat.reconciliation.ports import BookSource
from wechat.reconciliation.records import BookRecords
from wechat.refunds.drafts import BillRefund
from wechat.refunds.late_payments import REASON, surplus_refund
from wechat.refunds.service import Refunds

MOMENT = timedelta(milliseconds=1)


class Repairs:
    """Acts on differences and records each act."""

    def __init__(
        self, orders: Orders, refunds: Refunds, source: BookSource, records: BookRecords, clock: Clock
    ) -> None:
        self._orders = orders
        self._refunds = refunds
        self._source = source
        self._records = records
        self._clock = clock

    async def repair(self, day: date, difference_id: str, action: Action, *, by: str) -> Difference:
        """Do ``action`` and return the difference, with its audit line.

        Raises NotFound, Conflict (not open, or not an action for its kind), and the errors of the action.
        """
        difference = await self._open(day, difference_id, action)
        target, detail = await self._act(difference, action)
        entry = Audit(self._clock.now(), by, action, Status.OPEN, target, detail)
        return await self._records.audit(difference.id, entry) or await self._get(day, difference_id)

    async def _open(self, day: date, difference_id: str, action: Action) -> Difference:
        difference = await self._get(day, difference_id)
        if difference.status is not Status.OPEN:
            text = Bilingual("这条差异已经处理过", "This difference has been dealt with")
            raise Conflict(text, code="DIFFERENCE_SETTLED")
        if action not in ACTIONS[difference.kind]:
            allowed = ", ".join(ACTIONS[difference.kind])
            text = Bilingual(f"这类差异可用 {allowed}", f"A difference of this kind takes {allowed}")
            raise Conflict(text, code="ACTION_NOT_ALLOWED", field="action")
        return difference

    async def _get(self, day: date, difference_id: str) -> Difference:
        difference = await self._records.difference(day, difference_id)
        if difference is None:
            raise NotFound(Bilingual("没有这条差异", "There is no such difference"), code="DIFFERENCE_NOT_FOUND")
        return difference

    async def _act(self, difference: Difference, action: Action) -> tuple[Status, str]:
        """Do the action. Return the resulting status, and the detail to record."""
        if action is Action.KNOWN:
            return Status.KNOWN, ""
        if action is Action.REFUND:
            return Status.REPAIRED, await self._return(difference)
        now = await self._query(difference)
        return self._standing(difference, now), now.state if now else ""

    async def _query(self, difference: Difference) -> BookEntry | None:
        """Query WeChat and return our entry afterwards."""
        entry = difference.numbers
        if entry.is_refund:
            await self._ask_refund(entry, difference.day)
            return next(iter(await self._source.refunds(self._records.mchid, [entry.out_refund_no])), None)
        await self._orders.query(entry.out_trade_no)
        return next(iter(await self._source.payments(self._records.mchid, [entry.out_trade_no])), None)

    async def _ask_refund(self, entry: BookEntry, day: date) -> None:
        """Query a refund. One that this system did not request is recorded, dated by the day of its bill.

        Raises Conflict if the refund number has an invalid format: it is not stored only because a bill names it.
        """
        try:
            refund = await self._refunds.get(entry.out_refund_no)
        except NotFound:
            order = await self._with_payment(entry)
            if not OUT_REFUND_NO.fullmatch(entry.out_refund_no):
                raise _odd_number() from None
            made_at = _made_at(entry, day)
            await self._refunds.adopt(
                order, BillRefund(entry.out_refund_no, entry.transaction_id, entry.amount, made_at)
            )
        else:
            await self._refunds.query(refund.out_refund_no)

    async def _with_payment(self, refund: BookEntry) -> Order:
        """Return the order of a refund on the bill, after recording the refunded payment, if WeChat has it."""
        order = await self._orders.get(refund.out_trade_no)
        if any(payment.transaction_id == refund.transaction_id for payment in order.payments):
            return order
        fact = await self._orders.fetch_transaction(order, transaction_id=refund.transaction_id)
        return await self._orders.record(fact) if fact and fact.value.state.paid else order

    async def _return(self, difference: Difference) -> str:
        """Refund the surplus payment. The refund number is computed from the payment's, so repeating refunds once.

        Raises Conflict unless WeChat itself has that payment, unrefunded, beside the order's own.
        """
        surplus = difference.numbers
        order = await self._orders.get(surplus.out_trade_no)
        out_refund_no = surplus_refund(surplus.transaction_id)
        if not await self._going_back(out_refund_no) and not await self._is_surplus(order, surplus):
            text = Bilingual(
                "请先查询订单；这里只能退还一种付款：微信支付确认的、订单已支付之外多付的、金额与订单相同的付款",
                "Query the order first; only a second payment of the order, of the same amount and confirmed by WeChat"
                " Pay, can be refunded here",
            )
            raise Conflict(text, code="NOT_SURPLUS")
        await self._refunds.refund_payment(order, surplus.transaction_id, out_refund_no, REASON)
        return out_refund_no

    async def _is_surplus(self, order: Order, surplus: BookEntry) -> bool:
        """Whether WeChat confirms the payment as surplus: it is queried, because a bill alone does not move money."""
        beside = order.paid and surplus.transaction_id != order.transaction_id and surplus.amount == order.total
        return beside and await self._confirm(order, surplus.transaction_id)

    async def _confirm(self, order: Order, transaction_id: str) -> bool:
        """Whether WeChat has the payment as one of ``order``, unrefunded; if so, it is recorded."""
        try:
            fact = await self._orders.fetch_transaction(order, transaction_id=transaction_id)
        except AnotherOrder:
            return False
        if fact is None:
            return False
        transaction = fact.value
        paid = (
            transaction.out_trade_no,
            transaction.transaction_id,
            transaction.state,
            transaction.total,
            transaction.currency,
        )
        if paid != (order.out_trade_no, transaction_id, RemoteState.SUCCESS, order.total, order.currency):
            return False
        await self._orders.record(fact)
        return True

    async def _going_back(self, out_refund_no: str) -> bool:
        """Whether the refund was requested before. If so, WeChat may already report the payment as refunded.

        Raises Conflict when that refund failed, because its number is used up.
        """
        try:
            refund = await self._refunds.get(out_refund_no)
        except NotFound:
            return False
        if refund.state in RELEASES_RESERVATION:
            raise _build_refund_failure(out_refund_no)
        return True

    @staticmethod
    def _standing(difference: Difference, recorded: BookEntry | None) -> Status:
        """Return REPAIRED if a new comparison finds no difference, or else OPEN."""
        if difference.billed is None:
            gone = recorded is None or missing_there(recorded) is None
        else:
            gone = classify(recorded, difference.billed) is None
        return Status.REPAIRED if gone else Status.OPEN


def _made_at(refund: BookEntry, day: date) -> datetime:
    """Return the time of a refund on the bill of ``day``: the line's time, if it is on that day.

    Otherwise it is the day's last moment, so that our side has the refund on the same day as the bill.
    """
    start, end = day_span(day)
    at = from_v3(refund.time) if refund.time else end
    return at if start <= at < end else end - MOMENT


def _build_refund_failure(out_refund_no: str) -> Conflict:
    text = Bilingual(
        f"该笔重复支付的退款（商户退款单号 {out_refund_no}）未成功，请在商户平台手动退款；次日对账后可补录",
        f"The refund {out_refund_no} of this duplicate payment failed; refund it in the merchant console, and record it"
        " after the next day's reconciliation",
    )
    return Conflict(text, code="REFUND_FAILED")


def _odd_number() -> Conflict:
    text = Bilingual(
        "账单上的商户退款单号格式不正确，无法补录，请到商户平台核实",
        "The refund's number on the bill is malformed, so it cannot be recorded; check it in the merchant console",
    )
    return Conflict(text, code="OUT_REFUND_NO_ODD", field="out_refund_no")
