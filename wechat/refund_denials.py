"""Why a refund is not made, in words for whoever asked for it."""

from __future__ import annotations

from wechat.domain.errors import Conflict, Text
from wechat.models import Api, RefundState
from wechat.refund_models import Refund

NOT_REFUNDABLE = "NOT_REFUNDABLE"


def standing(refund: Refund) -> Refund:
    """``refund``, unless it was refused: a request that comes again hears that again. Raises Conflict."""
    if refund.state is not RefundState.REFUSED:
        return refund
    if refund.events[-1].by == NOT_REFUNDABLE:
        raise not_refundable()
    text = Text("微信拒绝了这笔退款；请查看它的时间线", "WeChat refused this refund; its timeline says why")
    raise Conflict(text, code=refund.events[-1].by)


def not_refundable() -> Conflict:
    text = Text(
        "超出可退金额，或已有 50 笔退款（没有退成的算在内是 2000 笔）",
        "More than is left to refund, or 50 refunds already (2,000 with those that came to nothing)",
    )
    return Conflict(text, code=NOT_REFUNDABLE)


def no_way(api: Api) -> Conflict:
    text = Text(
        f"设置里没有 {api} 的退款通道：配好 pay.{api}（v2 还要 client_cert），或设 pay.refund_api: v3",
        f"The settings have no way to refund over {api}: complete pay.{api} (v2 needs client_cert too), or set "
        "pay.refund_api: v3",
    )
    return Conflict(text, code="API_OFF")
