"""One-line summaries of orders, refunds and deliveries for audit entries: before an act and after it."""

from __future__ import annotations

from collections.abc import Sequence

from wechat.domain.deliveries import Delivery
from wechat.domain.money import yuan
from wechat.domain.orders import Order, Refund
from wechat.reconciliation.books import Difference


def summarize_order(order: Order) -> str:
    """``SUCCESS ¥18.00, refunded ¥5.00, reserved ¥6.00``: the state, and what of it is or will be given back."""
    amounts = f"{order.trade_state} ¥{yuan(order.total)}"
    if not order.refunds:
        return amounts
    return f"{amounts}, refunded ¥{yuan(order.refunded)}, reserved ¥{yuan(order.refund_reserved)}"


def summarize_refund(refund: Refund) -> str:
    """``R2026… PROCESSING ¥5.00``."""
    return f"{refund.out_refund_no} {refund.state} ¥{yuan(refund.refund)}"


def summarize_deliveries(deliveries: Sequence[Delivery]) -> str:
    """``order.paid … → erp dead (8 tries)`` of each."""
    return "; ".join(f"{each.event.type} {each.id} {each.state} ({each.tries} tries)" for each in deliveries)


def summarize_difference(difference: Difference) -> str:
    """``unknown_number open ¥18.00``: the kind, the status, the amount that WeChat says or else ours."""
    return f"{difference.kind} {difference.status} ¥{yuan(difference.numbers.amount)}"
