"""Requests for refunds."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from wechat.domain.facts import Funds
from wechat.domain.money import MAX_TOTAL
from wechat.domain.refunds import MAX_REASON, OUT_REFUND_NO
from wechat.support.requests import Line, RequestBody, text_for_wechat
from wechat.support.validation import Needs


def _check_number(value: str) -> str:
    if not OUT_REFUND_NO.fullmatch(value):
        raise Needs("6 到 64 位的 0-9 A-Z a-z _ - | * @", "6 to 64 of 0-9 A-Z a-z _ - | * @")
    return value


class RefundRequest(RequestBody):
    """``POST /api/orders/{no}/refunds``: a merchant's system refunds an order in part or in full. ``refund`` in fen."""

    added_later = frozenset({"funds_account"})

    refund: int = Field(ge=1, le=MAX_TOTAL)
    reason: Annotated[Line, text_for_wechat(MAX_REASON)]
    out_refund_no: Annotated[str, AfterValidator(_check_number)] | None = None
    funds_account: Annotated[Funds, Field(strict=False)] | None = None
