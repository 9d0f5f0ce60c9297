"""WeChat Pay v2's refunds: /secapi/pay/refund, which requires the merchant's certificate, and /pay/refundquery.

Sources: https://pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=9_4 and ...?chapter=9_5; messages as merchants quote
them (订单已全额退款, refund_fee大于可退金额, invalid refund_fee). For a second refund within a minute the pages name no
code: FREQUENCY_LIMITED is used, INVALID_REQUEST for a 51st.
"""

from __future__ import annotations

from simulator.state.orders import Order, Payment
from simulator.state.refunds import Denied, Refund, RefundAsked, RefundDenied
from simulator.web.base import Reply
from simulator.wechatpay.fields import V2_COMMON, V2_NUMBER, Field
from simulator.wechatpay.refund_payloads import v2_refund_answer, v2_refund_payment, v2_refund_row
from simulator.wechatpay.v2 import BusinessRefusal, CommunicationError, V2Handler, V2Request

REFUND_NUMBER = r"^[0-9a-zA-Z_\-\|\*@]+$"
ROWS = 10
NO_CERTIFICATE = (
    "<html><head><title>400 No required SSL certificate was sent</title></head><body>"
    "<center><h1>400 Bad Request</h1></center><center>No required SSL certificate was sent</center></body></html>"
)
V2_OUT_REFUND_NO = Field("out_refund_no", "商户退款单号", size=64, pattern=REFUND_NUMBER)
V2_TRANSACTION = Field("transaction_id", "微信订单号", size=32)
V2_REFUND = (
    *V2_COMMON,
    V2_TRANSACTION,
    V2_NUMBER,
    Field("out_refund_no", "商户退款单号", size=64, required=True, pattern=REFUND_NUMBER),
    Field("total_fee", "订单金额", int, size=1, required=True),
    Field("refund_fee", "退款金额", int, size=1, required=True),
    Field("refund_fee_type", "退款货币种类", size=8, choices=("CNY",)),
    Field("refund_desc", "退款原因", size=80),
    Field(
        "refund_account",
        "退款资金来源",
        size=30,
        choices=("REFUND_SOURCE_UNSETTLED_FUNDS", "REFUND_SOURCE_RECHARGE_FUNDS"),
    ),
    Field("notify_url", "退款结果通知url", size=256),
)
V2_REFUND_QUERY = (
    *V2_COMMON,
    V2_TRANSACTION,
    V2_NUMBER,
    V2_OUT_REFUND_NO,
    Field("refund_id", "微信退款单号", size=32),
    Field("offset", "偏移量", size=3, pattern=r"^[0-9]+$"),
)
WORDS = {
    Denied.NO_PAYMENT: ("ORDERNOTEXIST", "订单不存在"),
    Denied.OVER_REST: ("INVALID_REQUEST", "refund_fee大于可退金额"),
    Denied.ALL_BACK: ("ERROR", "订单已全额退款"),
    Denied.DIFFERENT: ("REFUND_FEE_MISMATCH", "订单金额或退款金额与之前请求不一致，请核实后再试"),
    Denied.OVERDUE: ("TRADE_OVERDUE", "订单已经超过可退款的最大期限"),
    Denied.TOO_MANY: ("INVALID_REQUEST", "退款次数超过限制"),
    Denied.TOO_SOON: ("FREQUENCY_LIMITED", "你的操作过于频繁，请稍后再试"),
    Denied.NOT_ENOUGH: ("NOTENOUGH", "基本账户余额不足，请充值后重新发起"),
    Denied.MISSING: ("REFUNDNOTEXIST", "not exist"),
}


class RefundOrder(V2Handler):
    """POST /secapi/pay/refund. SUCCESS means that the refund was accepted, not that the money has arrived."""

    table = V2_REFUND

    async def work(self) -> Reply:
        return without_certificate(self) or await super().work()

    def business(self, fields: dict[str, str]) -> dict[str, str]:
        asked = RefundAsked(
            out_refund_no=fields["out_refund_no"],
            api="v2",
            refund=int(fields["refund_fee"]),
            total=int(fields["total_fee"]),
            reason=fields.get("refund_desc", ""),
            notify_url=fields.get("notify_url", ""),
            notify_api="v2",
        )
        try:
            order, payment = self._payment(fields)
            return v2_refund_answer(self.simulator.refund_desk.take(asked, order, payment))
        except RefundDenied as refused:
            raise denial(refused.denied) from None

    def _payment(self, fields: dict[str, str]) -> tuple[Order, Payment]:
        """Return the payment that the request names. Raises RefundDenied, BusinessRefusal."""
        if not (fields.get("transaction_id") or fields.get("out_trade_no")):
            raise BusinessRefusal("PARAM_ERROR", "transaction_id、out_trade_no 二选一")
        return self.simulator.payment(fields.get("transaction_id", ""), fields.get("out_trade_no", ""))


class RefundQuery(V2Handler):
    """POST /pay/refundquery: refund_id takes precedence over out_refund_no, transaction_id and out_trade_no, in this
    order."""

    table = V2_REFUND_QUERY

    def business(self, fields: dict[str, str]) -> dict[str, str]:
        try:
            found = self._find(fields)
        except RefundDenied:  # an order that is not paid, or not there, has no refunds either
            found = []
        offset = int(fields.get("offset") or 0)
        if not found:
            raise denial(Denied.MISSING)
        if offset >= len(found):
            raise BusinessRefusal("PARAM_ERROR", "offset超过退款总笔数")
        return self._page(found, offset)

    def _find(self, fields: dict[str, str]) -> list[Refund]:
        refunds = self.simulator.refunds
        if fields.get("refund_id"):
            return [refunds.find_id(fields["refund_id"])]
        if fields.get("out_refund_no"):
            return [refunds.find(fields["out_refund_no"])]
        if not (fields.get("transaction_id") or fields.get("out_trade_no")):
            raise BusinessRefusal("PARAM_ERROR", "缺少单号")
        order, _ = self.simulator.payment(fields.get("transaction_id", ""), fields.get("out_trade_no", ""))
        return refunds.of_order(order.placed.out_trade_no)

    def _page(self, found: list[Refund], offset: int) -> dict[str, str]:
        page = found[offset : offset + ROWS]
        taken = page[0].taken
        fields = {
            "transaction_id": taken.transaction_id,
            "out_trade_no": taken.out_trade_no,
            **v2_refund_payment(page[0].payment),
            "total_refund_count": str(len(found)),
            "refund_count": str(len(page)),
        }
        for row, refund in enumerate(page):
            fields |= v2_refund_row(refund, row)
        return fields


def without_certificate(handler: V2Request) -> Reply | None:
    """Return WeChat's page for a connection without a certificate; only the TLS port asks for one."""
    secure = handler.request.protocol == "https"
    if secure and handler.request.get_ssl_certificate():
        return None
    return Reply(400, NO_CERTIFICATE.encode(), "text/html")


def denial(denied: Denied) -> CommunicationError | BusinessRefusal:
    """Return v2's error for a refused refund."""
    if denied is Denied.OVER_TOTAL:
        return CommunicationError("invalid refund_fee")
    return BusinessRefusal(*WORDS[denied])
