"""Refunds over WeChat Pay v3, which accepts refunds of v2 orders, too.

Sources: https://pay.weixin.qq.com/docs/merchant/apis/refund/refunds/create.html (申请退款),
https://pay.weixin.qq.com/docs/merchant/apis/refund/refunds/query-by-out-refund-no.html (查询单笔退款).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from wechat.domain.errors import Malformed, OutcomeUnknown
from wechat.domain.facts import Api, RemoteRefund, Verified
from wechat.domain.orders import Refund
from wechat.pay.gateway import same_refund
from wechat.pay.v3 import payloads as v3_payloads
from wechat.pay.v3.gateway import V3Gateway

PATH = "/v3/refund/domestic/refunds"


class V3Refunds:
    """``RefundGateway`` that uses the keys and connections of a ``V3Gateway``."""

    api = Api.V3

    def __init__(self, gateway: V3Gateway) -> None:
        self._gateway = gateway

    async def refund(self, refund: Refund) -> Verified[RemoteRefund]:
        """POST /v3/refund/domestic/refunds, once: refusing a second attempt would prove nothing about the first one."""
        body = refund_body(refund)
        data = await self._gateway.ask("refund", "POST", PATH, body, about=refund.out_trade_no, repeatable=False)
        return self._read("refund", refund, data)

    async def query_refund(self, refund: Refund) -> Verified[RemoteRefund]:
        """GET /v3/refund/domestic/refunds/{out_refund_no}."""
        target = f"{PATH}/{quote(refund.out_refund_no, safe='')}"
        data = await self._gateway.ask("refund_query", "GET", target, about=refund.out_trade_no)
        return self._read("refund_query", refund, data)

    def _read(self, call: str, refund: Refund, data: Mapping[str, Any]) -> Verified[RemoteRefund]:
        try:
            fact = v3_payloads.refund_fact(data, refund.mchid, "status")
        except Malformed as error:
            raise OutcomeUnknown(call, wire_message=error.reason) from None
        return Verified(same_refund(call, refund, fact), self._gateway.proof)


def refund_body(refund: Refund) -> dict[str, Any]:
    """Build the body that requests ``refund``.

    All fields that WeChat compares on a repetition come from the stored refund, so that repetitions are equal.
    """
    body: dict[str, Any] = {
        "transaction_id": refund.transaction_id,
        "out_refund_no": refund.out_refund_no,
        "reason": refund.reason,
        "notify_url": refund.notify_url,
        "amount": {"refund": refund.refund, "total": refund.total, "currency": "CNY"},
    }
    return body | {"funds_account": refund.funds.value} if refund.funds else body
