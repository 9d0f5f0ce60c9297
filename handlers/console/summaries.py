"""One-line summaries of orders, refunds and deliveries for audit entries: before an act and after it."""

from __future__ import annotations

from collections.abc import Sequence

from wechat.domain.deliveries import Delivery
from wechat.domain.money import yuan
from wechat.domain.orders import Order, Refund
from wechat.reconciliation.books import Difference


def summarize_order(order: Order) -> str:
    """Return ``SUCCESS ¥18.00, refunded ¥5.00, reserved ¥6.00``: the state, the total, what is and will be refunded."""
    amounts = f"{order.trade_state} ¥{yuan(order.total)}"
    if not order.refunds:
        return amounts
    return f"{amounts}, refunded ¥{yuan(order.refunded)}, reserved ¥{yuan(order.refund_reserved)}"


def summarize_refund(refund: Refund) -> str:
    """Return ``R2026… PROCESSING ¥5.00``: number, state, amount."""
    return f"{refund.out_refund_no} {refund.state} ¥{yuan(refund.refund)}"


def summarize_deliveries(deliveries: Sequence[Delivery]) -> str:
    """Return ``order.paid … → erp dead, 8 tries`` for each delivery."""
    return "; ".join(f"{each.event.type} {each.id} {each.state}, {each.tries} tries" for each in deliveries)


def summarize_difference(difference: Difference) -> str:
    """Return ``unknown_number open ¥18.00``: the kind, the status, WeChat Pay's amount or else the stored one."""
    return f"{difference.kind} {difference.status} ¥{yuan(difference.numbers.amount)}"
