"""Clauses about WeChat's word of this moment, where it is missing or contradicts our record."""

from __future__ import annotations

from datetime import date, timedelta

from wechat.diagnosis.snapshot import Case, Clause, Outcome
from wechat.domain.errors import CallerError, Text
from wechat.domain.facts import RemoteState
from wechat.domain.times import beijing_day
from wechat.support.cli_hints import command

UNKNOWN = "unknown_refund"
"""The verdict on a message of a refund that nobody here asked for."""


def remarks(case: Case) -> list[Clause]:
    """What a reader has to know about how far the rest can be trusted."""
    error = case.look.error
    if error and case.look.outcome is Outcome.REFUSED:
        code = error.public_code
        return [Clause(f"微信拒绝了查询（{code}）", f"WeChat refused to be asked ({code})")]
    if error:
        why = error.text if isinstance(error, CallerError) else Text("现在联系不上微信", "WeChat does not answer now")
        return [Clause(f"{why.zh}，以上只是这里的记录", f"{why.en}, so this is our record only", case.command("why"))]
    return _contradiction(case) if case.order.paid else []


def _contradiction(case: Case) -> list[Clause]:
    """What WeChat says of an order that is paid here and that cannot be."""
    there = case.look.transaction
    if there is None:
        return [Clause("微信却说没有这个订单", "yet WeChat says that there is no such order")]
    if not there.state.paid:
        return [Clause(f"微信却说它是 {there.state}", f"yet WeChat says that it is {there.state}")]
    if there.state is RemoteState.REFUND and not case.refunds_that_count:
        return [_unknown_refund(case)]
    return []


def _unknown_refund(case: Case) -> Clause:
    """One that nobody here asked for. It is booked from the bill of its day, which comes on the next morning."""
    day = _made_on(case)
    zh, en = "微信那边有这里没有的退款", "WeChat has a refund of it that is not known here"
    if day == beijing_day(case.now):
        return Clause(
            f"{zh}，等明天上午的账单出来，对今天的账时补记",
            f"{en}; wait for the bill of today, which comes tomorrow morning: reconciling today then books it",
        )
    return Clause(
        f"{zh}，对退款那天的账可以补记；今天才退的等明天上午",
        f"{en}; reconciling its day books it, tomorrow morning if it was made today",
        command("reconcile", day.isoformat(), "--repair"),
    )


def _made_on(case: Case) -> date:
    """The Beijing day of the refund: that of WeChat's message of it. Without one it may be any since the payment, of
    which the last that is over is told."""
    told = [message.first_at for message in case.received if message.kind == "refund" and message.verdict == UNKNOWN]
    if told:
        return beijing_day(told[-1])
    yesterday = beijing_day(case.now) - timedelta(days=1)
    return max(yesterday, beijing_day(case.order.paid_at or case.now))
