"""Findings about events of the order that the merchant's systems have not received."""

from __future__ import annotations

from wechat.diagnosis.snapshot import Finding, OrderSnapshot
from wechat.domain.deliveries import Delivery, DeliveryState
from wechat.support.cli_hints import command


def explain_deliveries(case: OrderSnapshot) -> list[Finding]:
    """Explain the first failed or dead event of each target; later events of the order wait for it."""
    undelivered = {}
    for delivery in case.deliveries:
        failed = delivery.state is DeliveryState.DEAD or (delivery.pending and delivery.attempts)
        if failed and delivery.target not in undelivered:
            undelivered[delivery.target] = delivery
    return [_explain(case, delivery) for delivery in undelivered.values()]


def _explain(case: OrderSnapshot, delivery: Delivery) -> Finding:
    what, target, tries = delivery.event.type, delivery.target, len(delivery.attempts)
    result = delivery.attempts[-1].result if delivery.attempts else "–"
    if delivery.state is DeliveryState.DEAD:
        return Finding(
            f"事件 {what} 未能推送给 {target}（{result}），已放弃",
            f"the event {what} could not be delivered to {target} ({result}); delivery was given up",
            command("events resend", delivery.event.id, "--target", target),
        )
    again = case.at(delivery.due_at) if delivery.due_at else "–"
    return Finding(
        f"事件 {what} 推送给 {target} 失败 {tries} 次（{result}），{again} 重试",
        f"delivery of the event {what} to {target} failed {tries} times ({result}); the next attempt is at {again}",
        command("events list", "--state", "pending"),
    )
