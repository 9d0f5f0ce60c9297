"""Errors that explain to the caller why a refund is not made."""

from __future__ import annotations

from wechat.domain.errors import BadRequest, Bilingual, Conflict, NotFound
from wechat.domain.facts import Api, RefundState
from wechat.domain.orders import Refund
from wechat.domain.refunds import CANCELLED


def raise_refusal(refund: Refund) -> None:
    """Raise Conflict for a refund that was refused or cancelled earlier, so that repetitions get the same answer."""
    if refund.refusal == CANCELLED:
        text = Bilingual(
            "这笔退款已取消；如需退款，请换一个单号重新申请",
            "This refund was cancelled; to refund, ask again under another number",
        )
        raise Conflict(text, code="REFUND_CANCELLED")
    if refund.state is RefundState.REFUSED:
        text = Bilingual(
            "微信支付拒绝了这笔退款；原因见退款的时间线", "WeChat Pay refused this refund; its timeline says why"
        )
        raise Conflict(text, code=refund.refusal)


def unnamed_refund() -> BadRequest:
    """Build the error for a request that, repeated after a failure, could not be distinguished from a second refund."""
    return BadRequest(
        Bilingual(
            "请提供 out_refund_no 或请求头 Idempotency-Key，重试时保持不变，避免重复退款",
            "Give out_refund_no or the header Idempotency-Key, and keep it when you retry, so that nothing is refunded "
            "twice",
        ),
        code="REFUND_NOT_NAMED",
        field="out_refund_no",
    )


def no_such_refund() -> NotFound:
    return NotFound(Bilingual("没有这笔退款", "There is no such refund"), code="REFUND_NOT_FOUND")


def no_refund_api(api: Api) -> Conflict:
    text = Bilingual(
        f"配置不全，不能用 API{api} 退款：请补全 pay.{api}（v2 还需要 client_cert），或设置 pay.refund_api: v3",
        f"The settings do not allow refunds over API{api}: complete pay.{api} (v2 needs client_cert too), or set "
        "pay.refund_api: v3",
    )
    return Conflict(text, code="API_OFF")
