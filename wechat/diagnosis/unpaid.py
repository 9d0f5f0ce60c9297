"""Findings about orders that are not paid here: open, or closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from wechat.diagnosis.pages import explain_pages
from wechat.diagnosis.snapshot import Finding, OrderSnapshot, Outcome
from wechat.domain.brackets import add_details
from wechat.domain.errors import Bilingual
from wechat.domain.facts import RemoteState, Transaction
from wechat.domain.labels import MISMATCHES
from wechat.domain.money import yuan
from wechat.notifications.reasons import REASONS
from wechat.sign_explain.slips import describe_code
from wechat.support.cli_hints import command

CLOSERS: Mapping[str, Bilingual] = {
    "payer": Bilingual("用户关闭了订单", "the payer closed the order"),
    "merchant": Bilingual("商户关闭了订单", "the merchant closed the order"),
    "worker": Bilingual("超过支付时间未支付，订单自动关闭", "the order was closed because the payment deadline passed"),
    "query": Bilingual("查单确认微信支付已关闭该订单", "a query found that WeChat had closed the order"),
}
UNPAID: Mapping[RemoteState, Bilingual] = {
    RemoteState.NOTPAY: Bilingual(
        "微信支付已有该订单，用户未支付", "WeChat has the order, and the payer has not paid yet"
    ),
    RemoteState.USERPAYING: Bilingual("用户支付中", "the payer is paying right now"),
    RemoteState.ACCEPT: Bilingual("用户支付中", "the payer is paying right now"),
    RemoteState.PAYERROR: Bilingual("用户支付失败", "the payer's payment failed"),
}


def explain_waiting(case: OrderSnapshot) -> list[Finding]:
    """Explain an order that is open here."""
    there = case.look.transaction
    if there and there.state.paid:
        return [_explain_missing_payment(case, there), *messages(case)]
    if there and there.state.closed:
        step = case.command("order query")
        return [
            Finding(
                "微信支付已关闭该订单，本系统尚未更新",
                "WeChat has closed the order, which is not recorded here yet",
                step,
            )
        ]
    return [_unpaid(case, there), *explain_pages(case), *refusals(case), _deadline(case)]


def explain_closure(case: OrderSnapshot) -> list[Finding]:
    """Explain an order that is closed here."""
    there = case.look.transaction
    if there and there.state.paid:
        return [closing(case), _explain_missing_payment(case, there), *messages(case)]
    return [*_explain_unplaced_order(case), *explain_pages(case), closing(case), *refusals(case)]


def _explain_unplaced_order(case: OrderSnapshot) -> list[Finding]:
    """Explain why the order could not be paid: it was never placed at WeChat."""
    if case.last("prepay") or not case.last("prepay_refused", "prepay_unknown"):
        return []
    return [_explain_prepay(case)]


def closing(case: OrderSnapshot) -> Finding:
    """Tell who closed the order, and when."""
    event = case.last("closed")
    if event is None:
        return Finding("订单已关闭", "the order is closed")
    who, at = CLOSERS.get(event.source, CLOSERS["query"]), case.at(event.at)
    return Finding(f"{at} {who.zh}", f"at {at} {who.en}")


def messages(case: OrderSnapshot) -> list[Finding]:
    """Explain why WeChat's notification did not record the payment: refused, possibly refused, or not received.

    Empty when all notifications were accepted.
    """
    found = refusals(case)
    if found or case.accepted:
        return found
    return _explain_nameless_refusals(case) or [Finding("支付通知没有到达", "WeChat's notification never arrived")]


def refusals(case: OrderSnapshot) -> list[Finding]:
    """Describe the refused notifications of the order, one finding for each reason."""
    verdicts = Counter[str]()
    for message in case.refused:
        verdicts[message.verdict] += message.seen
    found = [
        _describe_refusal(count, MISMATCHES.get(verdict, Bilingual(verdict, verdict)))
        for verdict, count in verdicts.items()
    ]
    for reason, count in _count_refusals(case, named=True).items():
        found.append(_describe_refusal(count, _name_reason(case, reason), command("notify list", "--reason", reason)))
    return found


def _describe_refusal(count: int, why: Bilingual, next_step: str = "") -> Finding:
    times = "once" if count == 1 else f"{count} times"
    zh = f"支付通知因{why.zh}被拒绝（{count} 次）"
    return Finding(zh, f"WeChat's notification was refused {times} because {why.en}", next_step)


def _name_reason(case: OrderSnapshot, reason: str) -> Bilingual:
    """Describe the reason for refusals, with the slips that were found in signatures."""
    text = REASONS[reason].text
    codes = dict.fromkeys(code for message in case.unverified if message.reason == reason for code in message.slips)
    slips = [describe_code(code) for code in codes]
    found = Bilingual("；".join(slip.zh for slip in slips), "; ".join(slip.en for slip in slips))
    return add_details(text, found)


def _explain_nameless_refusals(case: OrderSnapshot) -> list[Finding]:
    """Describe refused notifications that name no order, one finding for each reason; the order's may be among them."""
    return [
        Finding(
            f"下单后有 {count} 条通知因{_name_reason(case, reason).zh}被拒绝，其中可能有该订单的支付通知",
            f"since the order was placed, {count} of WeChat's notifications were refused because "
            f"{_name_reason(case, reason).en}, and this order's may be among them",
            command("notify list", "--reason", reason),
        )
        for reason, count in _count_refusals(case, named=False).items()
    ]


def _count_refusals(case: OrderSnapshot, *, named: bool) -> Counter[str]:
    """Count refused messages by reason: those that name the order, or those that name none."""
    counts = Counter[str]()
    for message in case.unverified:
        if bool(message.out_trade_no) is named:
            counts[message.reason] += message.seen
    return counts


def _explain_missing_payment(case: OrderSnapshot, there: Transaction) -> Finding:
    """Describe a payment that WeChat reports and that is not recorded here."""
    when, ours = case.when(there.success_time), yuan(case.order.total)
    if there.total not in (None, case.order.total):
        paid = yuan(there.total or 0)
        return Finding(
            f"微信支付显示用户{when.zh}支付 ¥{paid}，订单金额为 ¥{ours}，不能更新为已支付",
            f"WeChat reports that the payer paid ¥{paid}{when.en}; the order's amount is ¥{ours}, so it is not "
            "recorded as paid",
            case.command("order show"),
        )
    return Finding(
        f"微信支付显示用户已{when.zh}支付 ¥{ours}，本系统订单状态尚未更新",
        f"WeChat reports that the payer paid ¥{ours}{when.en}, which is not recorded here yet",
        case.command("order query"),
    )


def _unpaid(case: OrderSnapshot, there: Transaction | None) -> Finding:
    if case.look.outcome is Outcome.NO_SUCH_ORDER:
        return _explain_prepay(case)
    if there:
        return Finding(*UNPAID[there.state])
    return Finding("本系统没有支付记录", "no payment is recorded here")


def _explain_prepay(case: OrderSnapshot) -> Finding:
    event = case.last("prepay", "prepay_refused", "prepay_unknown")
    if event is None:
        return Finding("尚未向微信支付下单", "the order was never sent to WeChat")
    if event.what == "prepay_refused":
        code, slip = event.detail.get("code", ""), str(event.detail.get("slip", ""))
        why = describe_code(slip)
        return Finding(
            f"微信支付没有该订单：下单被拒绝（{code}）{f'：{why.zh}' if slip else ''}",
            f"WeChat does not have the order: placing it was refused ({code}){f': {why.en}' if slip else ''}",
            command("doctor", "--live") if slip else "",
        )
    if event.what == "prepay_unknown":
        return Finding(
            "微信支付没有该订单：下单未收到应答", "WeChat does not have the order: placing it got no response"
        )
    return Finding("微信支付返回订单不存在", "WeChat reports that there is no such order")


def _deadline(case: OrderSnapshot) -> Finding:
    """Tell until when the order can be paid."""
    ends = case.order.close_after or case.order.expires_at
    at = case.at(ends)
    if case.now >= ends:
        return Finding(
            f"已于 {at} 超过支付时间，等待关闭", f"its payment deadline passed at {at}", case.command("order close")
        )
    if case.last("close_scheduled"):
        return Finding(f"将于 {at} 关闭", f"it will be closed at {at}")
    return Finding(f"支付截止时间 {at}", f"it can be paid until {at}")
