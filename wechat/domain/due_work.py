"""Claim what is due in an order: its own check, and refunds whose date has come. Pure transitions.

Each part has its own date and its own lease token. Claiming a part moves its date ahead; where the process dies, the
part is due again at that date.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wechat.domain.orders import Order, Refund
from wechat.domain.refunds import claim_refund

CHECK_LEASE = timedelta(seconds=25)
"""The lease for one check of an order: a query, a close and their writes take 20 s at most. The first check comes after
30 s. If its process is killed, the second check still comes within 90 s, the promise for a lost notification."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The parts of an order that one lease holds."""

    order: Order
    check: bool
    refunds: tuple[Refund, ...]


def claim_due(order: Order, lease: str, now: datetime) -> Order:
    """Lease everything that is due in ``order``: its own check and its refunds."""
    claimed = claim_check(order, lease, now)
    for refund in order.refunds:
        claimed = claim_refund(claimed, refund.out_refund_no, lease, now)
    return claimed


def claim_check(order: Order, lease: str, now: datetime) -> Order:
    """Lease the order's own check, if it is due."""
    if order.next_check_at is None or order.next_check_at > now or order.check_lease == lease:
        return order
    return replace(order, check_lease=lease, next_check_at=now + CHECK_LEASE)


def parts_of(order: Order, lease: str) -> Claimed:
    """Return the parts of ``order`` that ``lease`` holds."""
    refunds = tuple([refund for refund in order.refunds if refund.lease == lease])
    return Claimed(order, order.check_lease == lease, refunds)
