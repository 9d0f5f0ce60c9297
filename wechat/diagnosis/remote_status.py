"""Findings about the query of WeChat made now: it failed, or its result contradicts our record."""

from __future__ import annotations

from datetime import date, timedelta

from wechat.diagnosis.snapshot import Finding, OrderSnapshot, Outcome
from wechat.domain.errors import Bilingual, FenpayError, MismatchReason, NotSent, RemoteError
from wechat.domain.facts import NotificationKind, RefundState, RemoteState
from wechat.domain.times import beijing_day
from wechat.notifications.reasons import REASONS, group_of
from wechat.support.cli_hints import command

KNOWN_THERE = frozenset(RefundState) - {RefundState.REFUSED}
"""States of refunds that make WeChat report the order as REFUND, even if WeChat closed them."""
UNKNOWN = MismatchReason.UNKNOWN_REFUND
"""The verdict on a notification of a refund that this system did not request."""


def remarks(case: OrderSnapshot) -> list[Finding]:
    """Describe how reliable the other findings are: the query failed, or contradicts our record."""
    error = case.look.error
    if case.look.outcome is Outcome.NOT_ASKED:
        return []
    if isinstance(error, RemoteError) and case.look.outcome is Outcome.REFUSED:
        code, cause, fix = error.public_code, error.cause, error.advice.next_step
        zh, en = (f"：{fix.zh}", f": {fix.en}") if error.advice.causes else ("", "")
        if cause:
            zh, en = f"：{cause.text.zh}；{fix.zh}", f": {cause.text.en}; {fix.en}"
        step = command("doctor", "--live")
        return [Finding(f"微信支付拒绝了查询（{code}）{zh}", f"WeChat refused the query ({code}){en}", step)]
    if error:
        why, step = _explain_silence(error)
        ours = Finding(f"{why.zh}，以上仅为本系统的记录", f"{why.en}, so this is only the record of this system")
        return [ours._replace(next_step=step or case.command("why"))]
    return _contradiction(case) if case.order.paid else []


def _explain_silence(error: FenpayError) -> tuple[Bilingual, str]:
    """Explain why the query gave no result; with a command when another query would not help."""
    if not isinstance(error, RemoteError):
        return error.text, ""
    if error.unverified:
        why = REASONS[group_of(error.unverified)].text
        text = Bilingual(
            f"微信支付已应答，但验签未通过（{why.zh}）",
            f"WeChat answered, but the signature could not be verified: {why.en}",
        )
        return text, command("doctor", "--live")
    said = error.wire_message or (f"HTTP {error.http_status}" if error.http_status else "")
    detail = f"（{said}）" if said else ""
    english = f" ({said})" if said else ""
    if isinstance(error, NotSent):
        return Bilingual(f"当前无法连接微信支付{detail}", f"WeChat cannot be reached now{english}"), ""
    return Bilingual(f"微信支付没有给出可用的应答{detail}", f"WeChat gave no usable response{english}"), ""


def _contradiction(case: OrderSnapshot) -> list[Finding]:
    """Describe WeChat's result for an order that is paid here, if it contradicts that."""
    there = case.look.transaction
    if there is None:
        return [
            Finding(
                "与微信支付不一致：微信支付返回订单不存在，请人工核实",
                "but WeChat has no such order; check this by hand",
            )
        ]
    if not there.state.paid:
        return [
            Finding(
                f"与微信支付不一致：微信支付显示 {there.state}，请人工核实",
                f"but WeChat reports {there.state}; check this by hand",
            )
        ]
    if there.state is RemoteState.REFUND and not any(refund.state in KNOWN_THERE for refund in case.refunds):
        return [_unknown_refund(case)]
    return []


def _unknown_refund(case: OrderSnapshot) -> Finding:
    """Describe a refund that this system did not request. Reconciling its day records it, from the next morning on."""
    day = _made_on(case)
    zh, en = (
        "微信支付有一笔本系统未记录的退款（可能是在商户平台操作的）",
        "WeChat has a refund of this order that is not recorded here (perhaps made in the merchant console)",
    )
    if day == beijing_day(case.now):
        return Finding(
            f"{zh}；次日 10:05 账单可下载后，对今日对账即可补录",
            f"{en}; today's bill is available tomorrow at 10:05; reconciling today then records it",
        )
    return Finding(
        f"{zh}；对退款当日对账即可补录，今日的退款请于次日 10:05 后对账",
        f"{en}; reconciling the day of the refund records it; for a refund of today, from 10:05 tomorrow",
        command("reconcile", day.isoformat(), "--repair"),
    )


def _made_on(case: OrderSnapshot) -> date:
    """Return the Beijing day of the refund, from WeChat's notification of it.

    Without a notification, any day since the payment is possible; the latest one that has ended is returned.
    """
    dates = [
        message.first_at
        for message in case.received
        if message.kind == NotificationKind.REFUND and message.verdict == UNKNOWN
    ]
    if dates:
        return beijing_day(dates[-1])
    yesterday = beijing_day(case.now) - timedelta(days=1)
    return max(yesterday, beijing_day(case.order.paid_at or case.now))
