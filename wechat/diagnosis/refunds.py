"""Findings about refunds: succeeded, in progress, failed."""

from __future__ import annotations

from collections.abc import Sequence

from wechat.diagnosis.snapshot import Finding, OrderSnapshot
from wechat.domain.facts import RefundState
from wechat.domain.money import yuan
from wechat.domain.orders import RELEASES_RESERVATION, Refund
from wechat.domain.refunds import CANCELLED, find_not_now
from wechat.support.cli_hints import command


def explain_refunds(case: OrderSnapshot) -> list[Finding]:
    """Describe the order's refunds; those of a second payment are described separately."""
    own = [refund for refund in case.refunds if not refund.surplus]
    under_way = [clause for refund in own if (clause := _under_way(case, refund))]
    return [*_gone_back(case, own), *under_way, *_explain_failure(own), *_surplus(case)]


def _gone_back(case: OrderSnapshot, refunds: Sequence[Refund]) -> list[Finding]:
    done = [refund for refund in refunds if refund.state is RefundState.SUCCESS]
    if not done:
        return []
    amount, when = sum(refund.refund for refund in done), case.when(done[-1].success_at)
    back, left = yuan(amount), yuan(case.order.total - amount)
    if amount == case.order.total:
        return [Finding(f"{when.zh}全额退款 ¥{back}", f"the full amount, ¥{back}, was refunded{when.en}")]
    return [Finding(f"{when.zh}退款 ¥{back}，剩余 ¥{left}", f"¥{back} was refunded{when.en}, and ¥{left} is left")]


def _under_way(case: OrderSnapshot, refund: Refund) -> Finding | None:
    if refund.queued_until:
        return _explain_queue(refund, case.at(refund.queued_until))
    amount, step = yuan(refund.refund), command("refund query", refund.out_refund_no)
    if refund.state is RefundState.ABNORMAL:
        return Finding(
            f"退款异常 ¥{amount}：用户收款账户不可用，请到 商户平台 → 交易中心 处理该笔退款",
            f"the refund of ¥{amount} is ABNORMAL: the payer's account cannot receive it; handle it in the "
            "merchant console",
            step,
        )
    if refund.state is RefundState.PROCESSING:
        return Finding(f"退款处理中 ¥{amount}", f"a refund of ¥{amount} is in progress", step)
    if waits := find_not_now(refund):
        return _explain_wait(amount, waits.by, step)
    if refund.state is RefundState.REQUESTED:
        return Finding(
            f"退款 ¥{amount} 已提交，微信支付尚未返回结果",
            f"a refund of ¥{amount} is waiting for WeChat's response",
            step,
        )
    return None


def _explain_wait(amount: str, code: str, step: str) -> Finding:
    """Describe a refund that WeChat has not accepted for now."""
    if code == "NOT_ENOUGH":
        return Finding(
            f"退款 ¥{amount} 暂未受理：商户号里可用于退款的余额不足（{code}），充值后将用同一商户退款单号重试",
            f"the refund of ¥{amount} is not accepted yet: the merchant's balance is too low ({code}); after a top-up "
            "it is sent again with the same number",
            step,
        )
    return Finding(
        f"退款 ¥{amount} 暂未受理：微信支付拒绝了本次请求（{code}），将用同一商户退款单号重试",
        f"the refund of ¥{amount} is not accepted yet: WeChat refused this request ({code}); it is sent again with "
        "the same number",
        step,
    )


def _explain_queue(refund: Refund, at: str) -> Finding:
    """Describe a refund that is not sent yet, so that WeChat cannot be queried about it."""
    amount, step = yuan(refund.refund), command("refund show", refund.out_refund_no)
    return Finding(
        f"退款 ¥{amount} 排队中，约 {at} 提交（同一订单两笔退款至少间隔 1 分钟）",
        f"a refund of ¥{amount} is queued and is sent at about {at} (refunds of one order are at least a minute apart)",
        step,
    )


def _explain_failure(refunds: Sequence[Refund]) -> list[Finding]:
    """Describe the last refund if it failed; an earlier failure was followed by another attempt."""
    if not refunds or refunds[-1].state not in RELEASES_RESERVATION:
        return []
    refund = refunds[-1]
    amount, step = yuan(refund.refund), command("refund show", refund.out_refund_no)
    if refund.refusal == CANCELLED:
        return [Finding(f"退款 ¥{amount} 已取消", f"the refund of ¥{amount} was cancelled", step)]
    code = refund.refusal if refund.state is RefundState.REFUSED else refund.state.value
    return [Finding(f"退款 ¥{amount} 未成功（{code}）", f"the refund of ¥{amount} failed ({code})", step)]


def _surplus(case: OrderSnapshot) -> list[Finding]:
    return [
        Finding(
            f"重复支付的 ¥{yuan(refund.refund)} 已退款", f"the second payment of ¥{yuan(refund.refund)} was refunded"
        )
        if refund.state is RefundState.SUCCESS
        else Finding(
            f"重复支付的 ¥{yuan(refund.refund)} 退款处理中",
            f"the second payment of ¥{yuan(refund.refund)} is being refunded",
        )
        for refund in case.refunds_that_count
        if refund.surplus
    ]
