"""Refunds over WeChat Pay v2: sent over mutual TLS, queried without it.

Sources: https://pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=9_4 (申请退款), ...?chapter=9_5 (查询退款).
"""

from __future__ import annotations

from collections.abc import Callable

from wechat.domain.errors import Malformed, NotSent, OutcomeUnknown
from wechat.domain.facts import Api, Funds, RemoteRefund, Verified
from wechat.domain.orders import Refund
from wechat.pay.gateway import ApiContext, same_refund
from wechat.pay.v2 import fields as v2_fields
from wechat.pay.v2.gateway import V2Gateway


class V2Refunds:
    """``RefundGateway`` that uses a ``V2Gateway``. ``secure`` is the context with the client certificate.

    Without it, no refund can be sent, but earlier ones can be queried.
    """

    api = Api.V2

    def __init__(self, gateway: V2Gateway, secure: ApiContext | None) -> None:
        self._gateway = gateway
        self._secure = secure

    async def refund(self, refund: Refund) -> Verified[RemoteRefund]:
        """POST /secapi/pay/refund, once: a refusal of a second attempt would prove nothing about the first one."""
        if self._secure is None:
            raise NotSent("refund", wire_message="pay.v2.client_cert is not set")
        fields = await self._gateway.ask(
            "/secapi/pay/refund",
            refund_fields(refund),
            about=refund.out_trade_no,
            over=self._secure,
            repeatable=False,
        )
        return self._read("refund", refund, lambda: v2_fields.accepted_refund(fields))

    async def query_refund(self, refund: Refund) -> Verified[RemoteRefund]:
        """POST /pay/refundquery."""
        numbers = {"appid": refund.appid, "out_refund_no": refund.out_refund_no}
        fields = await self._gateway.ask("/pay/refundquery", numbers, about=refund.out_trade_no)
        return self._read("refundquery", refund, lambda: v2_fields.queried_refund(fields, refund.out_refund_no))

    def _read(self, call: str, refund: Refund, read: Callable[[], RemoteRefund]) -> Verified[RemoteRefund]:
        try:
            fact = read()
        except Malformed as error:
            raise OutcomeUnknown(call, wire_message=error.reason) from None
        return Verified(same_refund(call, refund, fact), self._gateway.proof)


REFUND_ACCOUNTS = {
    Funds.AVAILABLE: "REFUND_SOURCE_RECHARGE_FUNDS",
    Funds.UNSETTLED: "REFUND_SOURCE_UNSETTLED_FUNDS",
}
"""v2's names of the money that pays a refund (refund_account)."""


def refund_fields(refund: Refund) -> dict[str, str]:
    """Build the fields of /secapi/pay/refund for ``refund``.

    All fields that WeChat compares on a repetition come from the stored refund, so that repetitions are equal.
    """
    fields = {
        "appid": refund.appid,
        "transaction_id": refund.transaction_id,
        "out_refund_no": refund.out_refund_no,
        "total_fee": str(refund.total),
        "refund_fee": str(refund.refund),
        "refund_fee_type": "CNY",
        "refund_desc": refund.reason,
        "notify_url": refund.notify_url,
    }
    return fields | {"refund_account": REFUND_ACCOUNTS[refund.funds]} if refund.funds else fields
