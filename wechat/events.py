"""What is told to others: events, where each goes, and how far it has come.

Pure values. A move stages an event in the document it changes; from there it is handed out as one delivery for each
target that wants it, and a delivery has a life of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from wechat.domain.times import to_v3
from wechat.models import Order
from wechat.refund_models import Refund

Subject = Order | Refund


class EventType(StrEnum):
    """Everything that is ever told."""

    ORDER_PAID = "order.paid"
    ORDER_PAID_LATE = "order.paid_late"
    ORDER_CLOSED = "order.closed"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    REFUND_ABNORMAL = "refund.abnormal"


class DeliveryState(StrEnum):
    """Where a delivery stands; ``dead`` waits for a person."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``id`` is the same however often it is told; ``data`` is fit for JSON."""

    id: str
    type: str
    at: datetime
    out_trade_no: str
    data: Mapping[str, Any]

    def body(self) -> bytes:
        """``{"type", "timestamp", "data"}`` as UTF-8; the same bytes each time."""
        content = {"type": self.type, "timestamp": to_v3(self.at), "data": self.data}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it is staged in a document. ``turn`` rises strictly within that document."""

    id: str
    type: str
    at: datetime
    turn: datetime


@dataclass(frozen=True, slots=True)
class Staged:
    """A document with events that have not been handed out, oldest first.

    ``done`` is how many the document will have handed out with these; ``due_at`` is the end of the claim.
    """

    key: str
    subject: Subject
    entries: tuple[Entry, ...]
    done: int
    due_at: datetime

    def events(self) -> list[tuple[Event, datetime]]:
        """The events with their turns."""
        number = self.subject.out_trade_no
        data = order_data(self.subject) if isinstance(self.subject, Order) else refund_data(self.subject)
        return [(Event(entry.id, entry.type, entry.at, number, data), entry.turn) for entry in self.entries]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. ``result`` is an HTTP status or a word from a fixed set, never the receiver's text."""

    at: datetime
    result: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one target. ``due_at`` is the next try, None once there is none to come.

    ``tries`` counts since the event was handed out or sent again by hand; ``attempts`` are the latest of all.
    """

    event: Event
    target: str
    turn: datetime
    due_at: datetime | None
    state: DeliveryState = DeliveryState.PENDING
    tries: int = 0
    attempts: tuple[Attempt, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.event.id}:{self.target}"


class Outcome(NamedTuple):
    """What a target made of an event."""

    ok: bool
    result: str


def order_data(order: Order) -> dict[str, Any]:
    """An order for the merchant's own systems: ``total`` in fen, times in RFC 3339, None for what is not known."""
    return {
        "out_trade_no": order.out_trade_no,
        "description": order.description,
        "total": order.total,
        "currency": order.currency,
        "trade_state": order.trade_state.value,
        "created_at": to_v3(order.created_at),
        "expires_at": to_v3(order.expires_at),
        "paid_at": to_v3(order.paid_at) if order.paid_at else None,
        "api": order.api.value,
        "trade_type": order.trade_type.value,
        "openid": order.openid or None,
        "attach": order.attach or None,
        "transaction_id": order.transaction_id or None,
        "payer_total": order.payer_total,
        "refund_reserved": order.refund_reserved,
    }


def refund_data(refund: Refund) -> dict[str, Any]:
    """A refund for the merchant's own systems: ``refund`` and ``total`` in fen, times in RFC 3339."""
    return {
        "out_refund_no": refund.out_refund_no,
        "out_trade_no": refund.out_trade_no,
        "transaction_id": refund.transaction_id,
        "refund_id": refund.refund_id or None,
        "api": refund.api.value,
        "refund": refund.refund,
        "total": refund.total,
        "reason": refund.reason,
        "state": refund.state.value,
        "created_at": to_v3(refund.created_at),
        "success_at": to_v3(refund.success_at) if refund.success_at else None,
    }
