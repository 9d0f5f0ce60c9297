"""Clauses about WeChat's word of this moment, where it is missing or contradicts our record."""

from __future__ import annotations

from wechat.errors import CallerError, Text
from wechat.models import RemoteState
from wechat.why.case import Case, Clause, Outcome


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
        return [Clause("微信那边有这里没有的退款", "WeChat has a refund of it that is not known here")]
    return []
