"""Parse v3's JSON strictly: a missing field, another type or a number that is no amount raises Malformed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from wechat.domain.errors import Malformed
from wechat.domain.facts import RefundState, RemoteRefund, RemoteState, Transaction
from wechat.domain.times import from_v3

MAX_JSON = 64 * 1024
MOST_FEN = 999_999_999  # nine digits, as v2's total_fee; larger numbers are no amounts and may overflow in a database

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can escape one, UTF-8 and BSON cannot hold it
_REFUND_STATES = {
    "SUCCESS": RefundState.SUCCESS,
    "CLOSED": RefundState.CLOSED,
    "PROCESSING": RefundState.PROCESSING,
    "ABNORMAL": RefundState.ABNORMAL,
}


def json_object(raw: bytes) -> dict[str, Any]:
    """Parse ``raw`` as a JSON object: UTF-8, no NaN, limited nesting, no lone surrogates."""
    if len(raw) > MAX_JSON:
        raise Malformed("json_size")
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Malformed("json") from None
    if not isinstance(data, dict):
        raise Malformed("json")
    return data


def transaction(data: Mapping[str, Any], state: RemoteState) -> Transaction:
    """Parse the transaction in verified JSON; the fields of the payment are required when it is paid."""
    amount = section(data, "amount")
    payer_total = amount.get("payer_total")
    return Transaction(
        appid=require(data, "appid") if state.paid else optional(data, "appid"),
        mchid=require(data, "mchid"),
        out_trade_no=require(data, "out_trade_no"),
        state=state,
        total=fen(amount, "total") if state.paid else None,
        currency=optional(amount, "currency") or "CNY",
        transaction_id=require(data, "transaction_id") if state.paid else optional(data, "transaction_id"),
        trade_type=optional(data, "trade_type"),
        openid=optional(section(data, "payer"), "openid"),
        payer_total=payer_total if type(payer_total) is int and 0 <= payer_total <= MOST_FEN else None,
        success_time=time(data, "success_time") if state.paid else None,
        bank_type=informative(data, "bank_type"),
        attach=informative(data, "attach"),
    )


def refund_fact(data: Mapping[str, Any], mchid: str, state_field: str) -> RemoteRefund:
    """Parse a refund in verified JSON. Answers name its state ``status`` and lack mchid, unlike notifications."""
    state = _REFUND_STATES.get(require(data, state_field))
    if state is None:
        raise Malformed(state_field)
    amount = section(data, "amount")
    return RemoteRefund(
        mchid=mchid,
        out_refund_no=require(data, "out_refund_no"),
        out_trade_no=require(data, "out_trade_no"),
        refund_id=require(data, "refund_id"),
        state=state,
        refund=fen(amount, "refund"),
        total=fen(amount, "total"),
        success_time=time(data, "success_time") if optional(data, "success_time") else None,
        transaction_id=optional(data, "transaction_id"),
    )


def section(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a nested object; empty when it is missing, so that the error names the field needed inside it."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def require(data: Mapping[str, Any], name: str) -> str:
    """Return a text that must be present and not empty."""
    value = optional(data, name)
    if not value:
        raise Malformed(name)
    return value


def optional(data: Mapping[str, Any], name: str) -> str:
    """Return a text; empty when it is missing."""
    value = data.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or _LONE_SURROGATE.search(value):
        raise Malformed(name)
    return value


def informative(data: Mapping[str, Any], name: str) -> str:
    """Return a text that no rule reads; empty if invalid, because a payment must not be refused for it."""
    value = data.get(name)
    return value if isinstance(value, str) and not _LONE_SURROGATE.search(value) else ""


def fen(amount: Mapping[str, Any], name: str) -> int:
    """Return a positive amount."""
    value = amount.get(name)
    if type(value) is not int or not 1 <= value <= MOST_FEN:
        raise Malformed(f"amount.{name}")
    return value


def time(data: Mapping[str, Any], name: str) -> datetime:
    """Parse an RFC 3339 time."""
    try:
        return from_v3(require(data, name))
    except ValueError:
        raise Malformed(name) from None
