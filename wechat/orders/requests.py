"""Requests for new orders."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.facts import Api
from wechat.domain.money import MAX_TOTAL
from wechat.domain.orders import OUT_TRADE_NO, TradeType
from wechat.support.requests import Line, RequestBody, text_for_wechat
from wechat.support.validation import Needs

MAX_DESCRIPTION = 127  # bytes: v3's description, and v2's body as its present page says
MAX_ATTACH = 127  # bytes: what both APIs take


def _check_number(value: str) -> str:
    if not OUT_TRADE_NO.fullmatch(value):
        raise Needs("6 到 32 位的 0-9 A-Z a-z _ - | *", "6 to 32 of 0-9 A-Z a-z _ - | *")
    return value


def _normalize_address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise Needs("一个 IP 地址", "an IP address") from None
    if "%" in value:  # a zone means something on one machine only
        raise Needs("不带网卡名的 IP 地址", "an IP address without a zone")
    return str(getattr(address, "ipv4_mapped", None) or address)


class CheckoutRequest(RequestBody):
    """``POST /orders``: a payer buys a product. The price comes from the catalogue, never from the request."""

    sku: Line = Field(min_length=1, max_length=32)
    quantity: int = Field(1, ge=1, le=999)


class CreateOrderRequest(RequestBody):
    """``POST /api/orders``: a merchant's system creates an order. ``total`` in fen, ``expires_in_s`` in seconds."""

    description: Annotated[Line, text_for_wechat(MAX_DESCRIPTION)]
    total: int = Field(ge=1, le=MAX_TOTAL)
    trade_type: Annotated[TradeType, Field(strict=False)] = TradeType.JSAPI
    openid: Line | None = Field(None, min_length=1, max_length=128)
    out_trade_no: Annotated[str, AfterValidator(_check_number)] | None = None
    attach: Annotated[Line, text_for_wechat(MAX_ATTACH)] | None = None
    expires_in_s: int | None = Field(None, ge=300, le=7 * 24 * 3600)
    api: Annotated[Api, Field(strict=False)] | None = None
    payer_client_ip: Annotated[str, AfterValidator(_normalize_address)] | None = None

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Parse ``body``. "H5", v3's other name for MWEB, is accepted. Raises BadRequest."""
        if body.get("trade_type") == "H5":
            body = body | {"trade_type": "MWEB"}
        request = super().parse(body)
        if (request.trade_type is TradeType.JSAPI) is not bool(request.openid):
            raise BadRequest(
                Bilingual(
                    "JSAPI 订单必填 openid，其他交易类型不能传 openid",
                    "JSAPI orders need openid; orders of other trade types take none",
                ),
                field="openid",
            )
        if request.trade_type is TradeType.MWEB and not request.payer_client_ip:
            raise BadRequest(
                Bilingual(
                    "MWEB 订单必填 payer_client_ip：用户手机的公网 IP，不是调用本接口的服务器的 IP；不一致时用户看到"
                    "“网络环境未能通过安全验证”",
                    "MWEB orders need payer_client_ip: the public address of the payer's phone, not of the server that "
                    "calls; otherwise WeChat refuses the payer (网络环境未能通过安全验证)",
                ),
                field="payer_client_ip",
            )
        return request
