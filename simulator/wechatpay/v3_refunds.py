"""WeChat Pay v3's refunds: request, query, and send the money of an abnormal one to another account.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4013071036 (申请退款), .../4013071041 (查询), .../4013071193 (异常).
Errors with codes of their own in v2 are INVALID_REQUEST here; for a second refund within a minute no code is
documented, FREQUENCY_LIMITED is used.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from simulator.state.orders import Order, Payment
from simulator.state.refunds import Denied, RefundAsked, RefundDenied
from simulator.wechatpay.authorization import BAD_FORMAT
from simulator.wechatpay.fields import NOTIFY_URL, Field, check_json, check_value
from simulator.wechatpay.refund_payloads import v3_refund
from simulator.wechatpay.v2_refunds import REFUND_NUMBER
from simulator.wechatpay.v3 import V3Handler
from simulator.wechatpay.v3_errors import V3Refusal

NUMBER = Field("out_refund_no", "商户退款单号", size=64, required=True, pattern=REFUND_NUMBER)
GOODS = "goods_detail[]"
V3_REFUND = (
    Field("transaction_id", "微信支付订单号", size=32),
    Field("out_trade_no", "商户订单号", size=32),
    NUMBER,
    Field("reason", "退款原因", size=80),
    Field("notify_url", "退款结果回调url", size=256, pattern=NOTIFY_URL),
    Field("funds_account", "退款资金来源", size=32, choices=("AVAILABLE", "UNSETTLED")),
    Field("amount", "金额信息", dict, required=True),
    Field("amount.refund", "退款金额", int, size=1, required=True),
    Field("amount.total", "原订单金额", int, size=1, required=True),
    Field("amount.currency", "退款币种", size=16, required=True, choices=("CNY",)),
    Field("amount.from", "退款出资账户及金额", list),
    Field("amount.from[]", "出资账户", dict),
    Field("amount.from[].account", "出资账户类型", size=32, required=True, choices=("AVAILABLE", "UNAVAILABLE")),
    Field("amount.from[].amount", "出资金额", int, size=1, required=True),
    Field("goods_detail", "退款商品", list),
    Field(GOODS, "商品", dict),
    Field(f"{GOODS}.merchant_goods_id", "商户侧商品编码", size=32, required=True),
    Field(f"{GOODS}.wechatpay_goods_id", "微信支付商品编码", size=32),
    Field(f"{GOODS}.goods_name", "商品名称", size=256),
    Field(f"{GOODS}.unit_price", "商品单价", int, required=True),
    Field(f"{GOODS}.refund_amount", "商品退款金额", int, required=True),
    Field(f"{GOODS}.refund_quantity", "商品退货数量", int, size=1, required=True),
)
V3_RESEND = (
    NUMBER,
    Field("type", "异常退款处理方式", size=32, required=True, choices=("USER_BANK_CARD", "MERCHANT_BANK_CARD")),
    Field("bank_type", "开户银行", size=32),
    Field("bank_account", "收款银行卡号", size=1024),
    Field("real_name", "收款用户姓名", size=1024),
)
WORDS = {
    Denied.NO_PAYMENT: ("RESOURCE_NOT_EXISTS", "原订单不存在"),
    Denied.OVER_TOTAL: ("PARAM_ERROR", "退款金额大于订单金额"),
    Denied.OVER_REST: ("INVALID_REQUEST", "申请退款金额大于可退金额"),
    Denied.ALL_BACK: ("INVALID_REQUEST", "订单已全额退款"),
    Denied.DIFFERENT: ("INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试"),
    Denied.OVERDUE: ("TRADE_OVERDUE", "订单已经超过可退款的最大期限"),
    Denied.TOO_MANY: ("INVALID_REQUEST", "退款次数超过限制"),
    Denied.TOO_SOON: ("FREQUENCY_LIMITED", "频率限制，请1分钟后重试"),
    Denied.NOT_ENOUGH: ("NOT_ENOUGH", "基本账户余额不足，请充值后重新发起"),
    Denied.MISSING: ("RESOURCE_NOT_EXISTS", "退款单不存在"),
    Denied.NOT_ABNORMAL: ("INVALID_REQUEST", "退款单状态不是异常，不能发起异常退款"),
}


class _Refunds(V3Handler):
    unsigned_words = BAD_FORMAT

    def business(self, body: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return self.handle(body)
        except RefundDenied as refused:
            raise V3Refusal(*WORDS[refused.denied]) from None

    @abstractmethod
    def handle(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of the call. Raises RefundDenied, FieldError, V3Refusal."""


class AskRefund(_Refunds):
    """POST /v3/refund/domestic/refunds."""

    def handle(self, body: dict[str, Any]) -> dict[str, Any]:
        check_json(body, V3_REFUND)
        amount = body["amount"]
        asked = RefundAsked(
            out_refund_no=body["out_refund_no"],
            api="v3",
            refund=amount["refund"],
            total=amount["total"],
            reason=body.get("reason") or "",
            notify_url=body.get("notify_url") or "",
            notify_api="v3",
        )
        order, payment = self._payment(body)
        return v3_refund(order, self.simulator.refund_desk.take(asked, order, payment))

    def _payment(self, body: dict[str, Any]) -> tuple[Order, Payment]:
        """Return the payment of either number, WeChat's first. Raises RefundDenied NO_PAYMENT, V3Refusal."""
        if not (body.get("transaction_id") or body.get("out_trade_no")):
            raise V3Refusal("PARAM_ERROR", "transaction_id、out_trade_no 二选一")
        return self.simulator.payment(body.get("transaction_id") or "", body.get("out_trade_no") or "")


class OneRefund(_Refunds):
    """GET /v3/refund/domestic/refunds/{out_refund_no}."""

    verb = "GET"

    def handle(self, body: dict[str, Any]) -> dict[str, Any]:
        check_value(NUMBER, NUMBER.path, self.path_args[0], "uri_template")
        refund = self.simulator.refunds.find(self.path_args[0])
        return v3_refund(self.simulator.orders.find(refund.taken.out_trade_no), refund)


class ResendRefund(_Refunds):
    """POST /v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund: to another card, or to the merchant's."""

    def handle(self, body: dict[str, Any]) -> dict[str, Any]:
        check_json(body, V3_RESEND)
        refund = self.simulator.refunds.find_id(self.path_args[0])
        if refund.taken.out_refund_no != body["out_refund_no"]:
            raise RefundDenied(Denied.MISSING)
        refund = self.simulator.refund_desk.resend(refund.taken.out_refund_no)
        return v3_refund(self.simulator.orders.find(refund.taken.out_trade_no), refund)
