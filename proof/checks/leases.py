"""Check leases: one is taken only at its date, for its whole length, and its holder alone ends the check.

Clocks of processes differ, so no date is compared with a clock: a lease that is taken at its date or later moves that
date ahead by its length at least.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from proof.checks.rules import CANCELLED
from storage.documents import Document
from wechat.domain.facts import RefundState
from wechat.domain.orders import Order, Refund, TradeState

CHECK_S, REFUND_S, DELIVERY_S = 25.0, 60.0, 60.0
"""Lengths of the leases, in seconds; not read from the service, because a wrong length there must fail here."""
UNPAID = frozenset({TradeState.NOTPAY, TradeState.CLOSED})


class Leases:
    """The leases of orders, refunds and deliveries."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._deliveries: dict[str, Document] = {}
        self._holders: dict[str, str] = {}

    def on_order(self, process: str, order: Order) -> Iterator[str]:
        """Yield what is wrong with the leases of an order that ``process`` has written."""
        before = self._orders.get(order.key)
        self._orders[order.key] = order
        if before is None:
            return
        if order.check_lease and order.check_lease != before.check_lease:
            self._holders[order.check_lease] = process
            yield from _taken("its check", before.next_check_at, order.next_check_at, CHECK_S)
        elif _ends_check(before, order) and (holder := self._holders[before.check_lease]) != process:
            yield f"its check was ended by {process}, and {holder} holds its lease"
        for refund in order.refunds:
            yield from self._on_refund(process, before.refund_of(refund.out_refund_no), refund)

    def _on_refund(self, process: str, before: Refund | None, after: Refund) -> Iterator[str]:
        """Yield what is wrong with a write of a refund. Only the holder of its lease marks it as sent or refused."""
        what = f"refund {after.out_refund_no}"
        if before is None:
            self._holders[after.lease] = process
        elif after.lease not in ("", before.lease):
            self._holders[after.lease] = process
            yield from _taken(what, before.next_check_at, after.next_check_at, REFUND_S)
        elif after.sends > before.sends or _is_refused(before, after):
            holder = self._holders.get(before.lease, "nobody")
            if holder != process:
                yield f"{what} was sent or refused by {process}, and {holder} holds its lease"

    def on_delivery(self, delivery: Document) -> Iterator[str]:
        """Yield what is wrong with a delivery that was written, and with its lease."""
        before = self._deliveries.get(delivery["_id"])
        self._deliveries[delivery["_id"]] = delivery
        what, due_at, lease = f"delivery {delivery['_id']}", delivery.get("due_at"), delivery.get("lease", "")
        if (delivery["state"] == "pending") is not (due_at is not None):
            yield f"{what} is {delivery['state']} and its date {due_at}"
        if before is not None and lease not in ("", before.get("lease", "")):
            yield from _taken(what, before.get("due_at"), due_at, DELIVERY_S)


def _taken(what: str, due_at: datetime | None, until: datetime | None, least_s: float) -> Iterator[str]:
    """Check a lease that was taken on what was due at ``due_at`` and is due again at ``until``."""
    if due_at is None or until is None or until < due_at + timedelta(seconds=least_s):
        yield f"{what} was due at {due_at}, and is due at {until} after its lease was taken"


def _is_refused(before: Refund, after: Refund) -> bool:
    """Whether a write ends a refund by WeChat's refusal."""
    return after.state is RefundState.REFUSED is not before.state and after.refusal != CANCELLED


def _ends_check(before: Order, after: Order) -> bool:
    """Whether a write ends the check of an unpaid order, and neither a close that was put off nor a prepay does."""
    if not before.check_lease or after.check_lease or after.trade_state not in UNPAID:
        return False
    unmoved = (after.trade_state, after.close_after, after.prepay) == (
        before.trade_state,
        before.close_after,
        before.prepay,
    )
    return unmoved and after.created_at == before.created_at
