"""Names of states and events for readers. The console shows the name alone; the command line and support files add the
code in brackets, 已支付（SUCCESS）; see ``brackets`` for a name that ends with brackets."""

from __future__ import annotations

from collections.abc import Mapping

from wechat.domain.brackets import add_detail
from wechat.domain.calls import UNSIGNED, VERIFIED
from wechat.domain.errors import Bilingual

Labels = Mapping[str, Bilingual]

ORDER_STATES: Labels = {
    "NOTPAY": Bilingual("未支付", "not paid"),
    "SUCCESS": Bilingual("已支付", "paid"),
    "CLOSED": Bilingual("已关闭", "closed"),
    "PAID_LATE": Bilingual("异常支付（关单后支付或非下单用户支付）", "paid late, or by another payer"),
    "REFUND": Bilingual("已支付（有退款）", "paid, with refunds"),
}
REFUND_STATES: Labels = {
    "REQUESTED": Bilingual("已提交待返回", "requested, no response from WeChat yet"),
    "PROCESSING": Bilingual("退款处理中", "in progress"),
    "SUCCESS": Bilingual("退款成功", "refunded"),
    "ABNORMAL": Bilingual(
        "退款异常，请到商户平台处理",
        "the payer's account cannot receive it: see the merchant console",
    ),
    "CLOSED": Bilingual("退款关闭（未退款）", "closed, nothing was refunded"),
    "REFUSED": Bilingual("被拒绝或已取消（未退款）", "refused or cancelled, nothing was refunded"),
}
NEWS: Labels = {
    "order": Bilingual("订单", "order"),
    "refund": Bilingual("退款", "refund"),
    "notification": Bilingual("通知", "notification"),
    "refused": Bilingual("拒绝的通知", "refused"),
    "call": Bilingual("调用微信", "call"),
    "event": Bilingual("事件", "event"),
    "delivery": Bilingual("推送", "delivery"),
    "alarm": Bilingual("告警", "alarm"),
}
DELIVERY_STATES: Labels = {
    "pending": Bilingual("待推送", "pending"),
    "delivered": Bilingual("已送达", "delivered"),
    "dead": Bilingual("已放弃", "given up"),
}
TIMELINE: Labels = {
    "created": Bilingual("创建订单", "created"),
    "prepay": Bilingual("下单成功", "placed at WeChat"),
    "prepay_refused": Bilingual("微信拒绝下单", "WeChat refused the order"),
    "placed_again": Bilingual("以新的内容重新下单", "placed again with other contents"),
    "prepay_unknown": Bilingual("下单结果未知", "placing: outcome unknown"),
    "page_refused": Bilingual("微信拒绝调起支付", "WeChat refused to start the payment"),
    "page_slip": Bilingual("签名错误的原因", "why the signature is wrong"),
    "paid": Bilingual("已支付", "paid"),
    "paid_late": Bilingual("异常支付", "paid late, or by another payer"),
    "second_payment": Bilingual("重复支付", "second payment"),
    "refunded_elsewhere": Bilingual("已在商户平台退款", "refunded in the merchant console"),
    "close_scheduled": Bilingual("已安排关单", "close scheduled"),
    "closed": Bilingual("已关闭", "closed"),
    "close_confirmed": Bilingual("关单已确认", "close confirmed"),
    "money_goes_back": Bilingual("原路退款", "refund of a late payment"),
    "needs_operator": Bilingual("需人工处理", "needs a person"),
    "refund_reserved": Bilingual("预留退款金额", "refund reserved"),
    "refund_released": Bilingual("释放退款金额", "refund released"),
    "refund": Bilingual("有退款", "has refunds"),
    "refund_ended": Bilingual("退款结束", "refund ended"),
    "requested": Bilingual("申请退款", "requested"),
    "sent": Bilingual("发往微信", "sent to WeChat"),
    "not_now": Bilingual("微信暂不受理", "not accepted by WeChat for now"),
    "refused": Bilingual("被拒绝", "refused"),
    "cancelled": Bilingual("已取消", "cancelled"),
    "slow": Bilingual("超过预期时间", "slower than expected"),
    "processing": Bilingual("退款处理中", "processing"),
    "success": Bilingual("退款成功", "refunded"),
    "abnormal": Bilingual("退款异常", "abnormal"),
    "change": Bilingual("退款异常", "abnormal"),
}
SOURCES: Labels = {
    "payer": Bilingual("用户", "payer"),
    "merchant": Bilingual("业务系统", "merchant"),
    "notify": Bilingual("微信通知", "notification"),
    "query": Bilingual("查单", "query"),
    "worker": Bilingual("后台任务", "worker"),
    "bill": Bilingual("账单", "bill"),
    "answer": Bilingual("微信应答", "answer"),
    "refund": Bilingual("退款", "refund"),
    "policy": Bilingual("异常支付规则", "policy for late payments"),
    "console": Bilingual("商户平台", "merchant console"),
    "v2": Bilingual("APIv2", "APIv2"),
    "v3": Bilingual("APIv3", "APIv3"),
}
MISMATCHES: Labels = {
    "total": Bilingual("金额不一致", "the amount differs"),
    "appid": Bilingual("AppID 不一致", "the AppID differs"),
    "mchid": Bilingual("商户号不一致", "the merchant number differs"),
    "currency": Bilingual("币种不一致", "the currency differs"),
    "trade_type": Bilingual("交易类型不一致", "the trade type differs"),
    "trade_state": Bilingual("通知中的状态不是已支付", "its state is not paid"),
    "transaction_id": Bilingual("微信支付订单号不一致", "the transaction_id differs"),
    "out_trade_no": Bilingual("商户订单号不一致", "the order number differs"),
    "refund": Bilingual("退款金额不一致", "the refunded amount differs"),
    "refund_total": Bilingual("退款的订单金额不一致", "the refund's order amount differs"),
    "unknown_order": Bilingual("系统无此订单", "there is no such order here"),
    "unknown_refund": Bilingual("系统无此退款", "there is no such refund here"),
    "transaction_used": Bilingual("微信支付订单号已关联其他订单", "its transaction_id belongs to another order"),
    "second_payment": Bilingual("重复支付", "the order was paid twice"),
    "too_many_payments": Bilingual("该订单的支付笔数已达上限", "the order has the maximum number of payments"),
    "refund_ended": Bilingual("退款已有最终结果", "the refund has its final result already"),
}
"""By ``MismatchReason``: the reason why a genuine message of WeChat's is not applied."""
NOTIFICATION_KINDS: Labels = {
    "payment": Bilingual("支付通知", "Payment"),
    "refund": Bilingual("退款通知", "Refund"),
    "other": Bilingual("其他通知", "Other"),
    "echo": Bilingual("微信的检查", "Check by WeChat"),
}
ALARM_STATES: Labels = {
    "open": Bilingual("待查看", "open"),
    "seen": Bilingual("已查看", "seen"),
    "cleared": Bilingual("已恢复", "cleared"),
}
VERDICTS: Labels = {
    **MISMATCHES,
    "accepted": Bilingual("已处理", "accepted"),
    "applied": Bilingual("已处理", "applied"),
    "recorded": Bilingual("已记录", "recorded"),
    "not_paid": Bilingual("支付失败", "not paid"),
}
"""The results of notifications, or the reasons why they were not applied."""

CALL_VERDICTS: Labels = {
    VERIFIED: Bilingual("验签通过", "signature verified"),
    UNSIGNED: Bilingual("退款通知不签名，已另行查询", "not signed; the service queried the refund instead"),
}
QUERY_OUTCOMES: Labels = {
    "told": Bilingual("微信支付已返回订单", "WeChat Pay answered"),
    "no_such_order": Bilingual("微信支付没有这笔订单", "WeChat Pay has no such order"),
    "refused": Bilingual("微信支付拒绝了查询", "WeChat Pay refused the query"),
    "not_asked": Bilingual("没有查询", "not queried"),
    "unknown": Bilingual("没有可信的应答", "no trustworthy response"),
}
"""By ``Outcome``: how WeChat Pay answered the query of a diagnosis."""
FIELDS: Labels = {
    "out_trade_no": Bilingual("商户订单号", "order number"),
    "description": Bilingual("商品描述", "description"),
    "total": Bilingual("订单金额", "total"),
    "currency": Bilingual("币种", "currency"),
    "trade_state": Bilingual("订单状态", "order state"),
    "created_at": Bilingual("下单时间", "created"),
    "expires_at": Bilingual("支付截止时间", "payment deadline"),
    "paid_at": Bilingual("支付时间", "paid"),
    "api": Bilingual("接口版本", "API version"),
    "trade_type": Bilingual("交易类型", "trade type"),
    "openid": Bilingual("用户 openid", "payer"),
    "attach": Bilingual("附加数据", "attached data"),
    "transaction_id": Bilingual("微信支付订单号", "WeChat Pay transaction id"),
    "payer_total": Bilingual("用户实付", "paid by the payer"),
    "refunded": Bilingual("已退款", "refunded"),
    "refund_reserved": Bilingual("退款占用", "reserved for refunds"),
    "sku": Bilingual("商品编号", "product"),
    "quantity": Bilingual("数量", "quantity"),
    "outcome": Bilingual("查询结果", "result of the query"),
    "success_time": Bilingual("支付时间", "paid"),
    "error": Bilingual("错误", "error"),
    "refund": Bilingual("退款金额", "refund"),
    "out_refund_no": Bilingual("商户退款单号", "refund number"),
    "message": Bilingual("微信支付返回信息", "WeChat Pay's message"),
    "slip": Bilingual("签名错误的原因", "what made the signature wrong"),
}
"""Names of the JSON fields of orders, refunds and WeChat Pay's answers."""
AMOUNTS = frozenset({"total", "payer_total", "refunded", "refund_reserved", "refund"})
"""The members of ``FIELDS`` that are amounts in fen."""


def name_of(labels: Labels, code: str, lang: str) -> str:
    """Return the name of ``code``, for example ``已支付``; the code itself when it has no name."""
    return labels[code].to(lang) if code in labels else code


def name_state(state: str, lang: str, *, of_refund: bool) -> str:
    """Return the name of an order's or a refund's state (both have SUCCESS); a code without a name stays."""
    return name_of({**ORDER_STATES, **REFUND_STATES} if of_refund else {**REFUND_STATES, **ORDER_STATES}, state, lang)


def label(labels: Labels, code: str, lang: str) -> str:
    """Return name and code, for example ``已支付（SUCCESS）``; the code alone when it has no name."""
    name = name_of(labels, code, lang)
    return code if name == code else add_detail(name, code, lang)


SCOPES: Labels = {
    "read": Bilingual("查询", "Read"),
    "orders": Bilingual("订单", "Orders"),
    "refunds": Bilingual("退款", "Refunds"),
    "books": Bilingual("对账（重新对账、处理差异）", "Books (reconcile, settle differences)"),
    "operate": Bilingual("运维（对账、修复、事件）", "Operate (books, repairs, events)"),
}
ROLES: Labels = {
    "admin": Bilingual("管理员", "Administrator"),
    "finance": Bilingual("财务", "Finance"),
    "support": Bilingual("客服", "Support"),
    "developer": Bilingual("开发", "Developer"),
    "reader": Bilingual("只读", "Read-only"),
}
