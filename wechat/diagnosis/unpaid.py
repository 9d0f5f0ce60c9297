"""Clauses about orders that are not paid here: open, or closed."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.diagnosis.snapshot import Case, Clause, Outcome
from wechat.domain.errors import Text
from wechat.domain.facts import RemoteState, Transaction
from wechat.domain.money import yuan

CLOSERS: Mapping[str, Text] = {
    "payer": Text("用户关闭了订单", "the payer closed the order"),
    "merchant": Text("商户关闭了订单", "the merchant closed the order"),
    "worker": Text("到期没有付款，订单自动关闭", "the order was closed, unpaid and out of time"),
    "query": Text("查单得知微信已关单", "a query found that WeChat had closed the order"),
}
UNPAID: Mapping[RemoteState, Text] = {
    RemoteState.NOTPAY: Text("订单已在微信，用户还没有付款", "WeChat has the order, and the payer has not paid yet"),
    RemoteState.USERPAYING: Text("用户正在付款", "the payer is paying right now"),
    RemoteState.ACCEPT: Text("用户正在付款", "the payer is paying right now"),
    RemoteState.PAYERROR: Text("用户付款没有成功", "the payer's payment failed"),
}
MISMATCHES: Mapping[str, Text] = {
    "total": Text("金额不符", "the amount differs"),
    "appid": Text("公众号不符", "the AppID differs"),
    "mchid": Text("商户号不符", "the merchant number differs"),
    "currency": Text("币种不符", "the currency differs"),
    "trade_type": Text("支付方式不符", "the trade type differs"),
    "trade_state": Text("没有说已支付", "it does not say paid"),
    "transaction_used": Text("微信订单号已属于另一笔订单", "its transaction_id is another order's"),
    "too_many_payments": Text("这笔订单记下的付款已到上限", "the order holds as many payments as it can"),
}


def explain_waiting(case: Case) -> list[Clause]:
    """An order that is open here."""
    there = case.look.transaction
    if there and there.state.paid:
        return [_explain_missing_payment(case, there), *messages(case)]
    if there and there.state.closed:
        step = case.command("order query")
        return [Clause("微信已关单，这里还没有记下", "WeChat has closed the order, which is not booked here yet", step)]
    return [_unpaid(case, there), *refusals(case), _deadline(case)]


def explain_closed(case: Case) -> list[Clause]:
    """An order that is closed here."""
    there = case.look.transaction
    if there and there.state.paid:
        return [closing(case), _explain_missing_payment(case, there), *messages(case)]
    return [closing(case), *refusals(case)]


def closing(case: Case) -> Clause:
    """Who closed it, and when."""
    event = case.last("closed")
    if event is None:
        return Clause("订单已关闭", "the order is closed")
    who, at = CLOSERS.get(event.source, CLOSERS["query"]), case.at(event.at)
    return Clause(f"{at} {who.zh}", f"at {at} {who.en}")


def messages(case: Case) -> list[Clause]:
    """What became of WeChat's notification of a payment that was not booked by it."""
    if case.refused or case.accepted:
        return refusals(case)
    return [Clause("微信的通知没有到达", "WeChat's notification never arrived")]


def refusals(case: Case) -> list[Clause]:
    """The messages that did not fit the order."""
    if not case.refused:
        return []
    reason, count = case.refused[0].verdict, sum(message.seen for message in case.refused)
    why = MISMATCHES.get(reason, Text(reason, reason))
    times = "once" if count == 1 else f"{count} times"
    zh = f"微信的通知因{why.zh}被拒收（{count} 次）"
    return [Clause(zh, f"WeChat's notification was refused {times} because {why.en}")]


def _explain_missing_payment(case: Case, there: Transaction) -> Clause:
    """Paid at WeChat, and not here yet."""
    when, ours = case.when(there.success_time), yuan(case.order.total)
    if there.total not in (None, case.order.total):
        theirs = yuan(there.total or 0)
        return Clause(
            f"微信说用户{when.zh}付了 ¥{theirs}，订单却是 ¥{ours}，不能入账",
            f"WeChat says that the payer paid ¥{theirs}{when.en}; the order is over ¥{ours}, so it cannot be booked",
            case.command("order show"),
        )
    return Clause(
        f"微信说用户{when.zh}已付款 ¥{ours}，这里还没有入账",
        f"WeChat says that the payer paid ¥{ours}{when.en}, which is not booked here yet",
        case.command("order query"),
    )


def _unpaid(case: Case, there: Transaction | None) -> Clause:
    if case.look.outcome is Outcome.NO_SUCH_ORDER:
        return _explain_prepay(case)
    if there:
        return Clause(*UNPAID[there.state])
    return Clause("这里没有付款的消息", "nothing is known here of a payment")


def _explain_prepay(case: Case) -> Clause:
    event = case.last("prepay", "prepay_refused", "prepay_unknown")
    if event is None:
        return Clause("订单还没有交给微信", "the order was never handed to WeChat")
    if event.what == "prepay_refused":
        code = event.detail.get("code", "")
        return Clause(
            f"订单没有到达微信：下单被拒绝（{code}）", f"the order never reached WeChat, which refused it ({code})"
        )
    if event.what == "prepay_unknown":
        return Clause("订单没有到达微信：下单没有等到答复", "the order never reached WeChat: placing it got no answer")
    return Clause("微信现在说没有这个订单", "WeChat now says that there is no such order")


def _deadline(case: Case) -> Clause:
    """Until when it can be paid."""
    ends = case.order.close_after or case.order.expires_at
    at = case.at(ends)
    if case.now >= ends:
        return Clause(f"它已于 {at} 到期，等待关单", f"its time ran out at {at}", case.command("order close"))
    if case.last("close_scheduled"):
        return Clause(f"关单排在 {at}", f"it will be closed at {at}")
    return Clause(f"{at} 之前可以付款", f"it can be paid until {at}")
