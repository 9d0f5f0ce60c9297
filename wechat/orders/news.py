"""Publish live news of a change of an order."""

from __future__ import annotations

from collections.abc import Iterable

from wechat.domain.news import NewsKind
from wechat.domain.orders import Order, TimelineEntry
from wechat.domain.ports import Telemetry


def publish_new_order(order: Order, telemetry: Telemetry) -> None:
    """Publish the timeline of a new order."""
    _publish_lines(order, order.timeline, telemetry)


def publish_change(before: Order, after: Order, telemetry: Telemetry) -> None:
    """Publish each new line of the order's timeline, and each change of a refund's state."""
    if not telemetry.watched:
        return
    _publish_lines(after, [line for line in after.timeline if line not in before.timeline], telemetry)
    earlier = {refund.out_refund_no: refund.state for refund in before.refunds}
    for refund in after.refunds:
        if earlier.get(refund.out_refund_no) is not refund.state:
            data = {"out_refund_no": refund.out_refund_no, "state": refund.state.value, "refund": int(refund.refund)}
            telemetry.publish(NewsKind.REFUND, refund.out_trade_no, data)


def _publish_lines(order: Order, lines: Iterable[TimelineEntry], telemetry: Telemetry) -> None:
    for line in lines:
        data = {"what": line.what, "source": line.source, "state": order.trade_state.value, "total": int(order.total)}
        telemetry.publish(NewsKind.ORDER, order.out_trade_no, data)
