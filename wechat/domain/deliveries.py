"""Deliveries: one for each event and target (a plugin or a webhook). Pure values and transitions.

An order stages its events and the relay turns each into deliveries, which change state independently of the order.
Deliveries of one order to one target share an ``ordering_key`` and are made in the order of their ``sequence``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from wechat.domain.orders import Order, Refund
from wechat.domain.times import to_v3

MAX_ATTEMPTS = 20  # recorded, the latest
KEEP = timedelta(days=90)  # an ended delivery


class DeliveryState(StrEnum):
    """The state of a delivery; a person has to act on ``dead``."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Event:
    """An event for plugins and webhooks. ``id`` is the same at each delivery; ``data`` can be written as JSON."""

    id: str
    type: str
    at: datetime
    out_trade_no: str
    data: Mapping[str, Any]

    def body(self) -> bytes:
        """Return ``{"type", "timestamp", "data"}`` as UTF-8; the same bytes each time."""
        content = {"type": self.type, "timestamp": to_v3(self.at), "data": self.data}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """The beginning of what a receiver answered instead of accepting an event.

    Others wrote both texts: pages escape them, and no log contains them, so ``repr`` does not show them.
    """

    text: str = field(repr=False)
    content_type: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to deliver. ``result`` is an HTTP status or a word from a fixed set, never the receiver's text.

    ``timestamp`` is the Unix time that was sent and signed; 0 for a plugin, and for an attempt without a record of it.
    Only the latest answer of a delivery is kept, and none once the event is accepted.
    """

    at: datetime
    result: str
    duration_s: float
    timestamp: int = 0
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of an event to one target. ``due_at`` is the date of the next attempt, None after the last one.

    The worker that delivers holds ``lease``. ``blocked``: the delivery waits for an earlier one of the same order, and
    may be started before its date. ``tries`` counts attempts since the event was handed out or resent by hand;
    ``attempts`` are the latest of all attempts. An ended delivery is kept until ``expires_at``.
    """

    event: Event
    target: str
    order_key: str
    sequence: int
    due_at: datetime | None
    state: DeliveryState = DeliveryState.PENDING
    lease: str = ""
    blocked: bool = False
    tries: int = 0
    attempts: tuple[Attempt, ...] = ()
    expires_at: datetime | None = None

    @property
    def id(self) -> str:
        return f"{self.event.id}:{self.target}"

    @property
    def ordering_key(self) -> str:
        return f"{self.order_key}:{self.target}"

    @property
    def pending(self) -> bool:
        return self.state is DeliveryState.PENDING


class Outcome(NamedTuple):
    """A target's result for one event. ``timestamp`` and ``answer`` are as in ``Attempt``."""

    ok: bool
    result: str
    timestamp: int = 0
    answer: Answer | None = None


# -- transitions -------------------------------------------------------------------------------------------------------


def claim_delivery(delivery: Delivery, lease: str, now: datetime, until: datetime) -> Delivery:
    """Lease a due delivery until ``until``."""
    is_due = delivery.pending and delivery.due_at is not None and delivery.due_at <= now
    if not is_due or delivery.lease == lease:
        return delivery
    return replace(delivery, lease=lease, due_at=until, blocked=False)


def block_delivery(delivery: Delivery, lease: str, until: datetime) -> Delivery:
    """Postpone a claimed delivery until an earlier one of its order has ended, ``until`` at the latest."""
    if delivery.lease != lease or not delivery.pending:
        return delivery
    return replace(delivery, lease="", due_at=until, blocked=True)


def unblock_delivery(delivery: Delivery, now: datetime) -> Delivery:
    """Make a blocked delivery due, because the earlier one has ended."""
    if not delivery.blocked or not delivery.pending:
        return delivery
    return replace(delivery, due_at=now, blocked=False)


def finish_delivery(delivery: Delivery, lease: str, state: DeliveryState, attempt: Attempt) -> Delivery:
    """End a delivery. DELIVERED is stored even after the lease has run out, DEAD only while it is current."""
    late_success = state is DeliveryState.DELIVERED and delivery.state is not DeliveryState.DELIVERED
    if not late_success and (delivery.lease != lease or not delivery.pending):
        return delivery
    if state is DeliveryState.DELIVERED:
        delivery = _drop_answers(delivery)
    return replace(
        _add_attempt(delivery, attempt), state=state, lease="", due_at=None, blocked=False, expires_at=attempt.at + KEEP
    )


def retry_delivery(delivery: Delivery, lease: str, attempt: Attempt, due_at: datetime) -> Delivery:
    """Postpone a claimed delivery to ``due_at`` after a failed attempt, unless the lease has run out."""
    if delivery.lease != lease or not delivery.pending:
        return delivery
    return replace(_add_attempt(delivery, attempt), lease="", due_at=due_at)


def revive_delivery(delivery: Delivery, now: datetime, lease_span: timedelta) -> Delivery:
    """Make an ended delivery due again, or a failed one due later than ``lease_span`` from now; reset ``tries``.

    A delivery that a worker may be sending now, or that waits for an earlier one, stays as it is.
    """
    resting = delivery.tries > 0 and delivery.due_at is not None and delivery.due_at > now + lease_span
    if delivery.pending and (not resting or delivery.lease or delivery.blocked):
        return delivery
    return replace(delivery, state=DeliveryState.PENDING, due_at=now, tries=0, lease="", expires_at=None)


def _add_attempt(delivery: Delivery, attempt: Attempt) -> Delivery:
    if attempt.answer:
        delivery = _drop_answers(delivery)
    return replace(delivery, tries=delivery.tries + 1, attempts=(*delivery.attempts, attempt)[-MAX_ATTEMPTS:])


def _drop_answers(delivery: Delivery) -> Delivery:
    return replace(delivery, attempts=tuple(replace(attempt, answer=None) for attempt in delivery.attempts))


# -- what an event says ------------------------------------------------------------------------------------------------


def staged_events(order: Order) -> list[tuple[Event, int]]:
    """Build the events that ``order`` has staged, in the form that is delivered, each with its sequence number."""
    found = []
    for staged in order.outbox:
        refund = order.refund_of(staged.out_refund_no) if staged.out_refund_no else None
        data = _refund_event_data(order, refund) if refund else order_data(order)
        found.append((Event(staged.id, staged.type, staged.at, order.out_trade_no, data), staged.sequence))
    return found


def order_data(order: Order) -> dict[str, Any]:
    """Describe an order for the merchant's systems: ``total`` in fen, times in RFC 3339, None for unknown values."""
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
        "refunded": order.refunded,
        "refund_reserved": order.refund_reserved,
        "sku": order.sku or None,
        "quantity": order.quantity or None,
    }


def refund_data(refund: Refund) -> dict[str, Any]:
    """Describe a refund for the merchant's systems: ``refund`` and ``total`` in fen, times in RFC 3339."""
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


def _refund_event_data(order: Order, refund: Refund) -> dict[str, Any]:
    """Describe a refund together with the order's fields that its receiver needs, so that it does not have to query."""
    names = ("openid", "attach", "refunded", "refund_reserved", "sku", "quantity")
    of_order = order_data(order)
    return refund_data(refund) | {name: of_order[name] for name in names}
