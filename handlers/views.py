"""Orders and refunds as JSON: what a payer sees, and what a merchant sees on top of it."""

from __future__ import annotations

from typing import Any

from wechat.models import Order, OrderEvent, Received
from wechat.orders import Placed
from wechat.refund_models import Refund
from wechat.times import BEIJING, to_v3


def payer_view(order: Order) -> dict[str, Any]:
    """What the page may know. ``total`` in fen, times in RFC 3339."""
    return {
        "out_trade_no": order.out_trade_no,
        "description": order.description,
        "total": order.total,
        "currency": order.currency,
        "trade_state": order.trade_state.value,
        "created_at": to_v3(order.created_at),
        "expires_at": to_v3(order.expires_at),
        "paid_at": to_v3(order.paid_at) if order.paid_at else None,
    }


def merchant_view(order: Order) -> dict[str, Any]:
    """Everything but what only a browser may use."""
    view = payer_view(order) | {
        "api": order.api.value,
        "trade_type": order.trade_type.value,
        "openid": order.openid or None,
        "attach": order.attach or None,
        "transaction_id": order.transaction_id or None,
        "payer_total": order.payer_total,
        "refund_reserved": order.refund_reserved,
        "timeline": [_line(event) for event in order.events],
    }
    if order.prepay and order.prepay.code_url:
        view["code_url"] = order.prepay.code_url
    if order.prepay and order.prepay.h5_url:
        view["h5_url"] = order.prepay.h5_url
    return view


def refund_view(refund: Refund) -> dict[str, Any]:
    """A refund as merchants see it. ``refund`` and ``total`` in fen, times in RFC 3339."""
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
        "timeline": [_line(event) for event in refund.events],
    }


def received_view(message: Received) -> dict[str, Any]:
    """A notification that arrived: which one, how often, and what came of it."""
    return {
        "id": message.id,
        "api": message.api.value,
        "kind": message.kind,
        "seen": message.seen,
        "verdict": message.verdict or "accepted",
        "first_at": to_v3(message.first_at),
        "last_at": to_v3(message.last_at),
    }


def with_pay(view: dict[str, Any], placed: Placed) -> dict[str, Any]:
    """``view`` and what the cashier needs, where it can still be paid in a page."""
    return view | {"pay": placed.pay.as_json()} if placed.pay else view


def _line(event: OrderEvent) -> dict[str, Any]:
    return {
        "at": event.at.astimezone(BEIJING).isoformat(timespec="milliseconds"),
        "what": event.what,
        "source": event.source,
        "by": event.by or None,
        "detail": dict(event.detail),
    }
