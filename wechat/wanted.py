"""What callers may ask for, parsed strictly: unknown fields, wrong types and wrong lengths are refused by name."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from wechat.domain.errors import BadRequest, Text
from wechat.domain.facts import Api
from wechat.domain.money import MAX_TOTAL
from wechat.domain.orders import OUT_TRADE_NO, TradeType
from wechat.domain.refunds import MAX_REASON, OUT_REFUND_NO
from wechat.support.validation import Needs, need


def _printable(value: str) -> str:
    """No control characters and no lone surrogates: neither XML nor BSON nor a person can hold them."""
    if not value.isprintable() or value != value.strip():
        raise Needs("可见的文字，首尾没有空白", "printable text without blanks around it")
    return value


def _number(value: str) -> str:
    if not OUT_TRADE_NO.fullmatch(value):
        raise Needs("6 到 32 位的 0-9 A-Z a-z _ - | *", "6 to 32 of 0-9 A-Z a-z _ - | *")
    return value


def _address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise Needs("一个 IP 地址", "an IP address") from None
    if "%" in value:  # a zone means something on one machine only
        raise Needs("不带网卡名的 IP 地址", "an IP address without a zone")
    return str(address)


def _refund_number(value: str) -> str:
    if not OUT_REFUND_NO.fullmatch(value):
        raise Needs("6 到 64 位的 0-9 A-Z a-z _ - | * @", "6 to 64 of 0-9 A-Z a-z _ - | * @")
    return value


def _reason(value: str) -> str:
    """WeChat counts bytes here, of which a Chinese character has three."""
    if not 1 <= len(value.encode()) <= MAX_REASON:
        raise Needs(f"1 到 {MAX_REASON} 字节（一个汉字 3 字节）", f"1 to {MAX_REASON} bytes; a Chinese character has 3")
    return value


Line = Annotated[str, AfterValidator(_printable)]


class _Body(BaseModel):
    """A JSON body. ``parse`` raises BadRequest with the first culprit's name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """``body`` as this type. Raises BadRequest."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise _refusal(error, ", ".join(cls.model_fields)) from None

    def digest(self, *more: str) -> str:
        """Equal for equal requests, for comparing repetitions."""
        return hashlib.sha256("\n".join((self.model_dump_json(), *more)).encode()).hexdigest()


class Basket(_Body):
    """What a payer picks: ``POST /orders``. The price comes from the catalogue."""

    sku: Line = Field(min_length=1, max_length=32)
    quantity: int = Field(1, ge=1, le=999)


class Sale(_Body):
    """What a merchant's system orders: ``POST /api/orders``. ``total`` in fen, ``expires_in_s`` in seconds."""

    description: Line = Field(min_length=1, max_length=127)
    total: int = Field(ge=1, le=MAX_TOTAL)
    trade_type: Annotated[TradeType, Field(strict=False)] = TradeType.JSAPI
    openid: Line | None = Field(None, min_length=1, max_length=128)
    out_trade_no: Annotated[str, AfterValidator(_number)] | None = None
    attach: Line | None = Field(None, min_length=1, max_length=127)
    expires_in_s: int | None = Field(None, ge=300, le=7 * 24 * 3600)
    api: Annotated[Api, Field(strict=False)] | None = None
    payer_client_ip: Annotated[str, AfterValidator(_address)] | None = None

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """``body`` as a sale. "H5", v3's other word for MWEB, is taken too. Raises BadRequest."""
        if body.get("trade_type") == "H5":
            body = body | {"trade_type": "MWEB"}
        sale = super().parse(body)
        if (sale.trade_type is TradeType.JSAPI) is not bool(sale.openid):
            raise BadRequest(
                Text("JSAPI 订单要有 openid，其他类型不要", "openid goes with JSAPI orders, and only with them"),
                field="openid",
            )
        return sale


class RefundWanted(_Body):
    """What a merchant gives back: ``POST /api/orders/{no}/refunds``. ``refund`` in fen."""

    refund: int = Field(ge=1, le=MAX_TOTAL)
    reason: Annotated[Line, AfterValidator(_reason)]
    out_refund_no: Annotated[str, AfterValidator(_refund_number)] | None = None


def json_object(raw: bytes) -> dict[str, Any]:
    """A request body as a JSON object: UTF-8, no duplicate keys, no NaN, sane nesting. Raises BadRequest."""
    try:
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _not_json() from None
    if not isinstance(data, dict):
        raise _not_json()
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("duplicate key")
    return data


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _not_json() -> BadRequest:
    return BadRequest(
        Text("请求体要是一个 JSON 对象（UTF-8）", "The body must be one JSON object in UTF-8"), code="BAD_JSON"
    )


def _refusal(error: ValidationError, known: str) -> BadRequest:
    fault = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in fault["loc"]) or "body"
    if fault["type"] == "extra_forbidden":
        return BadRequest(
            Text(f"有不认识的字段，可用：{known}", f"There is an unknown field; known are {known}"),
            code="UNKNOWN_FIELD",
        )
    if fault["type"] == "missing":
        return BadRequest(Text(f"缺少 {name}", f"{name} is missing"), field=name)
    wanted = need(fault)
    return BadRequest(Text(f"{name}：要求{wanted.zh}", f"{name} must {wanted.en}"), field=name)
