"""Money that no goods are given for: paid after we closed the order, paid by somebody else, or paid twice.

It is recorded and told to the operator in any case. What happens then is a policy: it goes back by itself, or a person
decides. Either way the order's timeline says so.
"""

from __future__ import annotations

from enum import StrEnum

from wechat.domain.errors import CallerError
from wechat.ledger import alarm
from wechat.models import Order, OrderEvent, Transaction, Verified
from wechat.ports import Clock, OrderStore
from wechat.refunds import Refunds

REASON = "订单未成交，款项退回"  # 30 bytes of the 80 that WeChat shows to the payer


def surplus_refund(transaction_id: str) -> str:
    """The out_refund_no under which a second payment goes back, whoever sees to it."""
    return f"twice-{transaction_id}"


class LatePolicy(StrEnum):
    """``refund``: back to the payer by itself. ``ask``: an operator decides."""

    REFUND = "refund"
    ASK = "ask"


class LateMoney:
    """Carries the policy out. Repeating any of it changes nothing: the refunds' numbers follow from the payments'."""

    def __init__(self, policy: LatePolicy, refunds: Refunds, orders: OrderStore, clock: Clock) -> None:
        self._policy = policy
        self._refunds = refunds
        self._orders = orders
        self._clock = clock

    async def settle(self, order: Order) -> None:
        """See to an order in PAID_LATE, and look at it no more."""
        returned = await self._returned(order, order.transaction_id, f"late-{order.out_trade_no}")
        event = OrderEvent(self._clock.now(), "money_goes_back" if returned else "needs_operator", "policy")
        await self._orders.settle(order.out_trade_no, event)

    async def second_payment(self, fact: Verified[Transaction]) -> None:
        """See to another payment of an order that is paid."""
        order = await self._orders.get(fact.value.out_trade_no)
        if order:
            await self._returned(order, fact.value.transaction_id, surplus_refund(fact.value.transaction_id))

    async def _returned(self, order: Order, transaction_id: str, out_refund_no: str) -> bool:
        """Whether the payment is on its way back."""
        if self._policy is LatePolicy.ASK:
            return False
        try:
            await self._refunds.return_payment(order, transaction_id, out_refund_no, REASON)
        except CallerError:  # too old, refunded in part by hand, no way to refund
            alarm("late_money_kept", order.out_trade_no)
            return False
        return True
