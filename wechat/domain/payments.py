"""Record WeChat's reports of an order: paid, paid late, paid twice, closed. Pure transitions."""

from __future__ import annotations

from datetime import datetime

from wechat.domain.errors import Mismatch, MismatchReason
from wechat.domain.events import EventType
from wechat.domain.facts import RemoteState, Transaction, Verified
from wechat.domain.money import Fen
from wechat.domain.orders import Order, Payment, TimelineEntry, TradeState
from wechat.domain.transitions import close

SECOND_PAYMENT = MismatchReason.SECOND_PAYMENT
REFUNDED_ELSEWHERE = "refunded_elsewhere"
"""The timeline's word for a payment that WeChat reports as refunded before this system knew of the payment."""
MAX_PAYMENTS = 20
"""Transactions that one order keeps. WeChat accepts one payment of an order; further ones are its errors."""


def record_payment(order: Order, fact: Verified[Transaction], *, source: str, now: datetime) -> Order:
    """Record a payment that WeChat reports: the order becomes SUCCESS, or PAID_LATE when no goods may be released.

    It becomes PAID_LATE when the order is closed, when another user paid, and when WeChat already reports a refund,
    which a person has made in the merchant console. The refunded amount is not known then, so the policy for late
    payments is not applied; a person has to look.

    A known payment changes nothing. A payment beside the order's own is added and does not change the state. Raises
    Mismatch when the fact is genuine but not about this order.
    """
    transaction = fact.value
    must_match(order, transaction)
    if any(payment.transaction_id == transaction.transaction_id for payment in order.payments):
        return order
    payment = Payment(
        transaction.transaction_id,
        Fen(transaction.total or 0),
        transaction.success_time,
        transaction.payer_total,
        transaction.openid,
    )
    if order.payments:
        return _add_second(order, payment, source, fact.proof, now)
    foreign = bool(order.openid and transaction.openid and order.openid != transaction.openid)
    refunded = transaction.state is RemoteState.REFUND
    in_time = order.trade_state is TradeState.NOTPAY and not foreign and not refunded
    what, target, kind = _IN_TIME if in_time else _REFUNDED if refunded else _LATE
    entry = TimelineEntry(now, what, source, fact.proof, {"transaction_id": transaction.transaction_id})
    check = None if in_time or refunded else now  # a worker carries the policy for late payments out
    return order.moved_to(target, entry, (kind, transaction.transaction_id), payments=(payment,), next_check_at=check)


_IN_TIME = ("paid", TradeState.SUCCESS, EventType.ORDER_PAID)
_REFUNDED = (REFUNDED_ELSEWHERE, TradeState.PAID_LATE, EventType.ORDER_PAID_LATE)
_LATE = ("paid_late", TradeState.PAID_LATE, EventType.ORDER_PAID_LATE)


def record_unpaid(order: Order, fact: Verified[Transaction], *, source: str, now: datetime) -> Order:
    """Apply a report that an order is not paid: an order that WeChat has closed is closed here, too."""
    if fact.value.state.closed and order.trade_state is TradeState.NOTPAY:
        return close(order, TimelineEntry(now, "closed", source, fact.proof))
    return order


def _add_second(order: Order, payment: Payment, source: str, proof: str, now: datetime) -> Order:
    if len(order.payments) >= MAX_PAYMENTS:
        raise Mismatch(MismatchReason.TOO_MANY_PAYMENTS)
    entry = TimelineEntry(now, SECOND_PAYMENT.value, source, proof, {"transaction_id": payment.transaction_id})
    return order.with_entry(entry, payments=(*order.payments, payment))


def must_match(order: Order, transaction: Transaction) -> None:
    """Raise Mismatch with the first field that differs."""
    pairs = {
        MismatchReason.APPID: (order.appid, transaction.appid),
        MismatchReason.MCHID: (order.mchid, transaction.mchid),
        MismatchReason.TOTAL: (order.total, transaction.total),
        MismatchReason.CURRENCY: (order.currency, transaction.currency),
        MismatchReason.TRADE_TYPE: (order.trade_type.value, transaction.trade_type or order.trade_type.value),
    }
    for reason, (own, remote) in pairs.items():
        if own != remote:
            raise Mismatch(reason)
