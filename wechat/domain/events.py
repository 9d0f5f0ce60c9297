"""Outgoing events as an order stages them. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256


class EventType(StrEnum):
    """Every event that plugins and webhooks can receive."""

    ORDER_PAID = "order.paid"
    ORDER_PAID_LATE = "order.paid_late"
    ORDER_CLOSED = "order.closed"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    REFUND_ABNORMAL = "refund.abnormal"
    WECHAT_NOTIFICATION = "wechat.notification"  # a verified notification of a kind that this system does not use


OF_ORDERS = tuple([kind for kind in EventType if kind is not EventType.WECHAT_NOTIFICATION])
"""The types that orders stage. The others are about no order of this system."""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event that is staged in its order's document and not handed out yet.

    ``sequence`` rises by one with each event of the order; deliveries keep this order. ``out_refund_no`` names the
    refund of a refund event.
    """

    id: str
    type: EventType
    at: datetime
    sequence: int
    out_refund_no: str = ""


def event_id(order_key: str, kind: EventType, cause: str) -> str:
    """Compute the id of the event of ``kind`` that ``cause`` produced for an order: 24 hex digits, always the same."""
    return sha256(f"{order_key}\n{kind}\n{cause}".encode()).hexdigest()[:24]
