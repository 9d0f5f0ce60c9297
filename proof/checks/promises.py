"""Check how soon a payment is known without a notification, while the service and WeChat work.

An unpaid order is checked 30 and 90 seconds after it was recorded here, then after longer pauses. So a payment of a
new order is known within 90 seconds, and one of an older order with the next check, with or without a notification.
An order is older here than at WeChat if several calls were needed to place it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from math import inf

from proof.checks.alarms import Evidence
from proof.wechat.payments import Order, Payment
from wechat.domain.orders import TradeState

SLACK_S = 10.0
"""Time for the calls to WeChat and to the store before the check."""
CHECKS_S = ((90.0, 90.0), (210.0, 120.0), (510.0, 300.0), (1110.0, 600.0), (2310.0, 1200.0))
"""For each maximum age of an order, in seconds, the time in which a payment must be known."""


def check_promises(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Yield the payments that became known too late."""
    for number, order in sorted(evidence.world.orders.items()):
        for payment in order.payments[:1]:  # of two at once, a query names one; the other is found on the bill
            limit_s = _limit_s(_second(payment, evidence) - evidence.journal.orders[number][TradeState.NOTPAY])
            if limit_s is None or not _is_held(order, payment, limit_s, evidence):
                continue
            evidence.journal.promised += 1
            known_s = min(evidence.journal.payments[each.transaction_id] for each in order.payments)
            waited_s = known_s - _second(payment, evidence)
            if waited_s > limit_s:
                yield f"it was paid, and nobody here knew that for {waited_s:.0f} seconds", number


def _limit_s(age_s: float) -> float | None:
    """Return the time in which a payment must become known, in seconds, if the order was ``age_s`` old; None for an
    order that was too old."""
    limits = [limit_s for oldest_s, limit_s in CHECKS_S if age_s <= oldest_s]
    return limits[0] + SLACK_S if limits else None


def _is_held(order: Order, payment: Payment, limit_s: float, evidence: Evidence) -> bool:
    """Whether the promise applies: the order was checked as usual and could be paid, and no fault prevented a query or
    made its answer wrong."""
    at_s, journal = _second(payment, evidence), evidence.journal
    closed_s = journal.orders[order.number].get(TradeState.CLOSED, inf)
    if payment.at >= order.request.expires_at or closed_s <= at_s or order.number in evidence.world.misstated:
        return False
    if any(entry.what == "close_scheduled" for entry in evidence.orders[order.number].timeline):
        return False
    return not any(start <= at_s + limit_s and at_s <= end for start, end in journal.troubles)


def _second(payment: Payment, evidence: Evidence) -> float:
    return (payment.at - evidence.begins) / timedelta(seconds=1)
