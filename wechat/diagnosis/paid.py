"""Findings about orders with a payment: in time, after the close, by another payer, duplicate."""

from __future__ import annotations

from wechat.diagnosis.snapshot import Finding, OrderSnapshot, after
from wechat.diagnosis.unpaid import closing, messages, refusals
from wechat.domain.errors import Bilingual
from wechat.domain.facts import Received
from wechat.domain.money import yuan
from wechat.domain.orders import TimelineEntry
from wechat.domain.payments import REFUNDED_ELSEWHERE
from wechat.domain.times import beijing_day
from wechat.support.cli_hints import command


def explain_paid(case: OrderSnapshot) -> list[Finding]:
    """Describe how the order was paid and how this system learnt of it."""
    event = case.last("paid", "paid_late", REFUNDED_ELSEWHERE)
    heard = _explain_source(case, event) if event else []
    if event is None or event.what == "paid":
        return [_payment(case), *heard, *_twice(case)]
    if event.what == REFUNDED_ELSEWHERE:
        return [_refunded_elsewhere(case), *heard]
    head = [closing(case), _late(case)] if case.last("closed") else [_foreign(case)]
    return [*head, *heard, *_explain_decision(case), *_twice(case)]


def _payment(case: OrderSnapshot) -> Finding:
    when, total = case.when(case.order.paid_at), yuan(case.order.total)
    return Finding(f"用户{when.zh}支付 ¥{total}", f"the payer paid ¥{total}{when.en}")


def _late(case: OrderSnapshot) -> Finding:
    when, total = case.when(case.order.paid_at), yuan(case.order.total)
    return Finding(
        f"用户{when.zh}才支付 ¥{total}（关单后支付），不发货",
        f"¥{total} was paid{when.en}, after the order was closed, so goods are not released",
    )


def _refunded_elsewhere(case: OrderSnapshot) -> Finding:
    when, total = case.when(case.order.paid_at), yuan(case.order.total)
    return Finding(
        f"用户{when.zh}支付 ¥{total}，微信支付显示已有退款（不是本系统发起的），不发货",
        f"the payer paid ¥{total}{when.en}, and WeChat reports a refund not requested here, so goods are not released",
    )


def _foreign(case: OrderSnapshot) -> Finding:
    when, total = case.when(case.order.paid_at), yuan(case.order.total)
    return Finding(
        f"非下单用户{when.zh}支付 ¥{total}，不发货",
        f"a person other than the order's payer paid ¥{total}{when.en}, so goods are not released",
    )


def _explain_source(case: OrderSnapshot, event: TimelineEntry) -> list[Finding]:
    """Describe how this system learnt of the payment."""
    if event.source == "notify":
        return [*refusals(case), _explain_notification(case, event)]
    asked = Finding(f"{case.at(event.at)} 通过查单确认已支付", f"a query at {case.at(event.at)} found the payment")
    late = [message for message in case.accepted if message.first_at > event.at]
    if late:
        return [*refusals(case), asked, _came_after(case, late[0])]
    return [*messages(case), asked]


def _explain_notification(case: OrderSnapshot, event: TimelineEntry) -> Finding:
    came = min((message.first_at for message in case.accepted), default=event.at)
    later = after(came - (case.order.paid_at or came))
    again = sum(message.seen for message in case.accepted) - 1
    repeated = Bilingual(f"，另有重复通知 {again} 次", f", and {again} more times") if again > 0 else Bilingual("", "")
    return Finding(
        f"支付通知{later.zh}到达，订单状态已更新{repeated.zh}",
        f"WeChat's notification arrived {later.en} and was recorded{repeated.en}",
    )


def _came_after(case: OrderSnapshot, message: Received) -> Finding:
    at = case.at(message.first_at)
    return Finding(f"支付通知 {at} 才到达", f"WeChat's notification arrived only after that, at {at}")


def _explain_decision(case: OrderSnapshot) -> list[Finding]:
    """Describe the decision about a payment without goods; nothing if it has refunds, which have their own findings."""
    if case.refunds_that_count:
        return []
    if case.last("money_goes_back"):
        return [Finding("正按配置原路退款", "it is being refunded, according to the settings")]
    step = case.command("refund create", "--amount", str(case.order.total), "--reason", "订单已关闭")
    return [Finding("待人工确认是否退款", "a person has to decide whether to refund it", step)]


def _twice(case: OrderSnapshot) -> list[Finding]:
    """Describe a second payment of the order."""
    if not case.second_payments:
        return []
    first = case.second_payments[0].first_at
    handled = any(refund.surplus for refund in case.refunds_that_count)
    step = "" if handled else command("reconcile", beijing_day(first).isoformat(), "--repair")
    at = case.at(first)
    return [Finding(f"{at} 又收到一笔重复支付", f"at {at} a second payment arrived", step)]
