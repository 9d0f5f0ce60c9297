"""Exceptional payments: after the close, duplicate, or by another payer. No goods are given for them.

Such a payment is always recorded, and the operator is always told. A setting decides whether it is refunded
automatically or a person decides. The order's timeline says which.
"""

from __future__ import annotations

from enum import StrEnum

from wechat.domain.errors import CallerError
from wechat.domain.facts import Transaction, Verified
from wechat.domain.orders import Order, TimelineEntry, order_key
from wechat.domain.ports import Runtime
from wechat.domain.refunds import refundable
from wechat.domain.transitions import stop_checking
from wechat.orders.updates import OrderUpdates
from wechat.refunds.service import MONEY_GOES_BACK, Refunds

REASON = "订单已关闭，款项退回"  # 30 bytes of the 80 that WeChat shows to the payer


def surplus_refund(transaction_id: str) -> str:
    """Return the out_refund_no of the refund of a second payment, the same for every caller."""
    return f"twice-{transaction_id}"


class LatePolicy(StrEnum):
    """The policy for exceptional payments. ``refund``: refund them automatically. ``ask``: an operator decides."""

    REFUND = "refund"
    ASK = "ask"


class LatePayments:
    """Applies the policy. Repeating changes nothing: the numbers of the refunds are computed from the payments."""

    def __init__(self, policy: LatePolicy, refunds: Refunds, updates: OrderUpdates, runtime: Runtime) -> None:
        self._policy = policy
        self._refunds = refunds
        self._updates = updates
        self._clock = runtime.clock
        self._telemetry = runtime.telemetry

    async def refund_late(self, order: Order) -> None:
        """Apply the policy to an order in PAID_LATE, and end its checks."""
        is_refunded = await self._refund(order, order.transaction_id, f"late-{order.out_trade_no}")
        entry = TimelineEntry(self._clock.now(), MONEY_GOES_BACK if is_refunded else "needs_operator", "policy")
        await self._updates.update(order.key, lambda current: stop_checking(current, entry))

    async def refund_second(self, fact: Verified[Transaction]) -> None:
        """Apply the policy to a second payment of a paid order."""
        transaction = fact.value
        order = await self._updates.get(order_key(transaction.mchid, transaction.out_trade_no))
        await self._refund(order, transaction.transaction_id, surplus_refund(transaction.transaction_id))

    async def _refund(self, order: Order, transaction_id: str, out_refund_no: str) -> bool:
        """Refund the payment if the policy says so. Return whether it is refunded or being refunded.

        If the refund is not possible, an alarm is raised and the result is False.
        """
        if self._policy is LatePolicy.ASK:
            return False
        if not refundable(order, transaction_id):  # an operator has refunded all of it already
            return True
        try:
            await self._refunds.refund_payment(order, transaction_id, out_refund_no, REASON)
        except CallerError:  # too old, refunded in part by hand, no way to refund
            self._telemetry.alarm("late_money_kept", order.out_trade_no)
            return False
        return True
