"""Record payments that WeChat reports, by answer or by notification.

Only reports that a gateway has verified are accepted. A transaction pays one order: its number is reserved for the
order first, then the order records the payment, its timeline and the outgoing event in one write.
"""

from __future__ import annotations

from wechat.domain.errors import Mismatch, MismatchReason, NotFound
from wechat.domain.facts import Transaction, Verified
from wechat.domain.numbers import NumberUse, payment_number
from wechat.domain.orders import Order, TradeState, order_key
from wechat.domain.payments import SECOND_PAYMENT, must_match, record_payment, record_unpaid
from wechat.domain.ports import NumberStore, Runtime
from wechat.orders.updates import OrderUpdates


class PaymentRecorder:
    """Applies WeChat's reports of payments. ``mchid`` is the merchant number of new orders."""

    def __init__(self, updates: OrderUpdates, numbers: NumberStore, mchid: str, runtime: Runtime) -> None:
        self._mchid = mchid
        self._updates = updates
        self._numbers = numbers
        self._clock = runtime.clock

    async def reserve(self, transaction: Transaction) -> None:
        """Reserve the transaction for its order. Raises Mismatch when it has paid another order."""
        key = order_key(transaction.mchid, transaction.out_trade_no)
        use = await self._numbers.reserve(NumberUse(payment_number(transaction.mchid, transaction.transaction_id), key))
        if use.order_key != key:
            raise Mismatch(MismatchReason.TRANSACTION_USED)

    async def releases_goods(self, transaction: Transaction) -> bool:
        """Whether ``transaction`` would pay an order that is still unpaid.

        Raises Mismatch when there is no such order, and when the transaction does not match it.
        """
        order = await self._get(transaction)
        must_match(order, transaction)
        return order.trade_state is TradeState.NOTPAY

    async def _get(self, transaction: Transaction) -> Order:
        try:
            return await self._updates.get(order_key(transaction.mchid, transaction.out_trade_no))
        except NotFound:
            raise self._unknown(transaction) from None

    def _unknown(self, transaction: Transaction) -> Mismatch:
        return Mismatch(MismatchReason.UNKNOWN_ORDER if transaction.mchid == self._mchid else MismatchReason.MCHID)

    async def apply(self, fact: Verified[Transaction], *, source: str, reserved: bool = False) -> Order:
        """Return the order after ``fact``. Facts may be repeated and come in any order.

        ``reserved``: the caller has reserved the transaction. Raises Mismatch when the fact is genuine but not about
        this order, or when it is a second payment; that is stored, and leaves the order's state as it was.
        """
        transaction, now = fact.value, self._clock.now()
        key = order_key(transaction.mchid, transaction.out_trade_no)
        try:
            if not transaction.state.paid:
                change = await self._updates.update(
                    key, lambda order: record_unpaid(order, fact, source=source, now=now)
                )
                return change.after
            if not reserved:
                await self.reserve(transaction)
            change = await self._updates.update(key, lambda order: record_payment(order, fact, source=source, now=now))
        except NotFound:
            raise self._unknown(transaction) from None
        if change.after.transaction_id != transaction.transaction_id:
            raise Mismatch(SECOND_PAYMENT)
        return change.after
