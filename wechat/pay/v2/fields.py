"""Parse v2's flat fields strictly: a missing field or a number that is no amount raises Malformed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from wechat.domain.errors import Malformed
from wechat.domain.facts import RefundState, RemoteRefund, RemoteState, Transaction, UnsignedRefundNotice
from wechat.domain.refunds import OUT_REFUND_NO
from wechat.domain.times import from_v2, from_v2_datetime
from wechat.pay.ciphers import open_req_info
from wechat.pay.v2 import xmlcodec

_FEN = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_REFUND_STATES = {
    "SUCCESS": RefundState.SUCCESS,
    "REFUNDCLOSE": RefundState.CLOSED,
    "PROCESSING": RefundState.PROCESSING,
    "CHANGE": RefundState.ABNORMAL,
}
MOST_REFUNDS = 10  # of one answer


def transaction(fields: Mapping[str, str], state: RemoteState) -> Transaction:
    """Parse the transaction in verified fields; the fields of the payment are required when it is paid."""
    return Transaction(
        appid=require(fields, "appid"),
        mchid=require(fields, "mch_id"),
        out_trade_no=require(fields, "out_trade_no"),
        state=state,
        total=fen(fields, "total_fee") if state.paid else None,
        currency=fields.get("fee_type") or "CNY",
        transaction_id=require(fields, "transaction_id") if state.paid else fields.get("transaction_id", ""),
        trade_type=fields.get("trade_type", ""),
        openid=fields.get("openid", ""),
        payer_total=_cash_fee(fields),
        success_time=_time_end(fields) if state.paid else None,
        bank_type=fields.get("bank_type", ""),
        attach=fields.get("attach", ""),
    )


def accepted_refund(fields: Mapping[str, str]) -> RemoteRefund:
    """Parse the answer of /secapi/pay/refund. Its SUCCESS means only that WeChat accepted the refund."""
    return _refund(fields, "", RefundState.PROCESSING, None)


def queried_refund(fields: Mapping[str, str], out_refund_no: str) -> RemoteRefund:
    """Parse the refund ``out_refund_no`` from the list of /pay/refundquery."""
    for row in range(MOST_REFUNDS):
        if fields.get(f"out_refund_no_{row}") == out_refund_no:
            state = _REFUND_STATES.get(require(fields, f"refund_status_{row}"))
            if state is None:
                raise Malformed(f"refund_status_{row}")
            return _refund(fields, f"_{row}", state, _refunded_at(fields, row))
    raise Malformed("out_refund_no")


def refund_notice(fields: Mapping[str, str], key: str) -> UnsignedRefundNotice:
    """Decrypt the numbers in a refund notification; other fields of ``req_info`` are ignored."""
    inside = xmlcodec.parse(open_req_info(require(fields, "req_info"), key), root="root")
    notice = UnsignedRefundNotice(require(inside, "out_refund_no"), require(inside, "out_trade_no"))
    if not OUT_REFUND_NO.fullmatch(notice.out_refund_no):
        raise Malformed("out_refund_no")
    return notice


def require(fields: Mapping[str, str], name: str) -> str:
    """Return a field that must be present and not empty."""
    value = fields.get(name, "")
    if not value:
        raise Malformed(name)
    return value


def fen(fields: Mapping[str, str], name: str) -> int:
    """Parse a positive amount in plain digits."""
    value = fields.get(name, "")
    if not _FEN.fullmatch(value):
        raise Malformed(name)
    return int(value)


def _refund(fields: Mapping[str, str], row: str, state: RefundState, success_time: datetime | None) -> RemoteRefund:
    return RemoteRefund(
        mchid=require(fields, "mch_id"),
        out_refund_no=require(fields, f"out_refund_no{row}"),
        out_trade_no=require(fields, "out_trade_no"),
        refund_id=require(fields, f"refund_id{row}"),
        state=state,
        refund=fen(fields, f"refund_fee{row}"),
        total=fen(fields, "total_fee"),
        success_time=success_time,
        transaction_id=fields.get("transaction_id", ""),
    )


def _refunded_at(fields: Mapping[str, str], row: int) -> datetime | None:
    text = fields.get(f"refund_success_time_{row}", "")
    try:
        return from_v2_datetime(text) if text else None
    except ValueError:
        raise Malformed(f"refund_success_time_{row}") from None


def _cash_fee(fields: Mapping[str, str]) -> int | None:
    """Parse the amount that the payer paid, less coupons; None if unreadable. It is for information only."""
    value = fields.get("cash_fee", "")
    return int(value) if value == "0" or _FEN.fullmatch(value) else None


def _time_end(fields: Mapping[str, str]) -> datetime:
    try:
        return from_v2(fields.get("time_end", ""))
    except ValueError:
        raise Malformed("time_end") from None
