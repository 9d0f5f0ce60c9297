"""Refunds within their order: reserve, send, apply WeChat's results, refuse. Pure transitions.

A stored refund reserves its amount: the refunds of a payment that count never add up to more than the payment. A worker
needs the lease of a refund to send, queue or refuse it. The amount is released only by a verified refusal, by WeChat's
CLOSED, or by cancelling a refund that WeChat does not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from wechat.domain.errors import Bilingual, Conflict, Mismatch, MismatchReason
from wechat.domain.events import EventType
from wechat.domain.facts import RefundState, RemoteRefund, Verified
from wechat.domain.money import yuan
from wechat.domain.orders import MIN_REFUND_INTERVAL, Order, Refund, TimelineEntry, TradeState, extend

MAX_REFUNDS = 50  # of one payment; WeChat's limit
MAX_FAILED = 50
"""Failed refunds that stay in their order."""
MAX_REFUND_TIMELINE = 60
LEASE = timedelta(minutes=1)  # far more than a query and a request take
WINDOW = timedelta(days=365)  # after the payment; WeChat's limit
MAX_REASON = 80  # bytes; WeChat's limit
OUT_REFUND_NO = re.compile(r"[0-9A-Za-z_\-|*@]{6,64}", re.ASCII)

SENT = "sent"
"""The timeline's word for a refund that is sent to WeChat. The line is written before the request is sent."""
NOT_REFUNDABLE = "NOT_REFUNDABLE"
CANCELLED = "CANCELLED"
"""The ``refusal`` of a refund that was cancelled here."""
POLICY = "policy"
"""``Refund.by`` of a refund that the policy for exceptional payments requested."""

REFUND_TRANSITIONS: Mapping[RefundState, frozenset[RefundState]] = {
    RefundState.REQUESTED: frozenset(set(RefundState) - {RefundState.REQUESTED}),
    RefundState.PROCESSING: frozenset({RefundState.SUCCESS, RefundState.ABNORMAL, RefundState.CLOSED}),
    RefundState.ABNORMAL: frozenset({RefundState.PROCESSING, RefundState.SUCCESS, RefundState.CLOSED}),
    RefundState.SUCCESS: frozenset(),
    RefundState.CLOSED: frozenset(),
    RefundState.REFUSED: frozenset(),
}
"""Every legal transition of a refund."""

_EVENTS = {
    RefundState.SUCCESS: EventType.REFUND_SUCCEEDED,
    RefundState.ABNORMAL: EventType.REFUND_ABNORMAL,
    RefundState.CLOSED: EventType.REFUND_FAILED,
    RefundState.REFUSED: EventType.REFUND_FAILED,
}
_OPPOSITES = {RefundState.CLOSED, RefundState.SUCCESS}


class LeaseLost(Exception):
    """Another worker took this refund over, or WeChat's result arrived first: the caller must stop working on it."""


# -- requesting a refund -----------------------------------------------------------------------------------------------


def must_be_refundable(order: Order, now: datetime) -> None:
    """Raise Conflict for an order that WeChat cannot refund: unpaid, or paid over a year ago."""
    if not order.paid or order.paid_at is None:
        raise Conflict(Bilingual("订单未支付，不能退款", "The order is not paid"), code="ORDER_NOT_PAID")
    if now > order.paid_at + WINDOW:
        text = Bilingual(
            "支付已超过一年，微信支付不再受理退款", "The payment is over a year old; WeChat Pay no longer refunds it"
        )
        raise Conflict(text, code="TRADE_OVERDUE")


def request_refund(order: Order, draft: Refund, now: datetime) -> Order:
    """Reserve the amount of ``draft`` in its order. The same request again changes nothing.

    Raises Conflict when the order cannot be refunded, when too little is left, or when its number has another refund.
    """
    held = order.refund_of(draft.out_refund_no)
    if held is not None:
        if _fields_of_request(held) != _fields_of_request(draft):
            raise number_in_use()
        return order
    must_be_refundable(order, now)
    if not has_room(order, draft):
        raise _no_room(order, draft)
    return _add(order, draft, now)


def has_room(order: Order, draft: Refund) -> bool:
    """Whether the payment that ``draft`` refunds has enough left, in fen and in number of refunds."""
    counted = [each for each in order.refunds if each.transaction_id == draft.transaction_id and each.reserves]
    return len(counted) < MAX_REFUNDS and refundable(order, draft.transaction_id) >= draft.refund


def more_than_left(left: int) -> Conflict:
    """Build the refusal of a refund that exceeds ``left``, the refundable amount in fen."""
    text = Bilingual(f"超出可退金额：还可退 ¥{yuan(left)}", f"More than the refundable amount: ¥{yuan(left)}")
    return Conflict(text, code=NOT_REFUNDABLE, field="refund")


def refundable(order: Order, transaction_id: str) -> int:
    """Compute the amount of a payment that is neither refunded nor reserved for refunds, in fen."""
    paid = next((p.total for p in order.payments if p.transaction_id == transaction_id), order.total)
    reserved = [each.refund for each in order.refunds if each.transaction_id == transaction_id and each.reserves]
    return paid - sum(reserved)


def adopt_refund(order: Order, draft: Refund, fact: Verified[RemoteRefund], now: datetime) -> Order:
    """Record a refund that WeChat has and this system did not request.

    Raises Conflict when too little of the payment is left, Mismatch when ``fact`` is about something else.
    """
    must_be_about(draft, fact.value)
    if order.refund_of(draft.out_refund_no) is None:
        must_be_refundable(order, now)
        if fact.value.state not in (RefundState.CLOSED, RefundState.REFUSED) and not has_room(order, draft):
            raise _no_room(order, draft)
        order = _add(order, draft, now)
    return apply_refund(order, fact, source="bill", now=now)


def must_be_about(draft: Refund, remote: RemoteRefund) -> None:
    """Raise Mismatch with the first field in which WeChat's answer differs from the bill's line."""
    _must_match(draft, remote)
    if remote.transaction_id != draft.transaction_id:  # it decides whether the order's own money went back
        raise Mismatch(MismatchReason.TRANSACTION_ID)


# -- sending a refund --------------------------------------------------------------------------------------------------


def claim_refund(order: Order, out_refund_no: str, lease: str, now: datetime) -> Order:
    """Lease a due refund and move its next check ahead, so that no other worker takes it. A refund that may have
    reached WeChat moves to its next query, so that failures do not cause a query every minute."""
    refund = _must_have(order, out_refund_no)
    if refund.next_check_at is None or refund.next_check_at > now or refund.lease == lease:
        return order
    pause = max(LEASE, refund.pause(now)) if refund.sends else LEASE
    return _replace_refund(order, replace(refund, lease=lease, next_check_at=now + pause))


def mark_slow(order: Order, out_refund_no: str, now: datetime) -> Order:
    """Mark a refund that takes too long; a second call changes nothing."""
    refund = order.refund_of(out_refund_no)
    if refund is None or refund.slow or not refund.open or not refund.is_slow(now):
        return order
    return _replace_refund(order, replace(_with_entry(refund, TimelineEntry(now, "slow", str(refund.api))), slow=True))


def send_or_queue(order: Order, out_refund_no: str, lease: str, now: datetime) -> Order:
    """Mark a refund as sent before it is sent, or queue it if one of its order was sent less than a minute ago.

    A marked refund has ``last_sent_at`` equal to ``now`` and keeps its lease; a queued one has none. Raises LeaseLost.
    """
    refund = _require_lease(order, out_refund_no, lease)
    if refund.last_sent_at == now:
        return order
    turn = next_turn(order, now)
    if order.last_refund_at is not None and now < order.last_refund_at + MIN_REFUND_INTERVAL:
        return _replace_refund(order, replace(refund, lease="", next_check_at=turn))
    sent = replace(
        _with_entry(refund, TimelineEntry(now, SENT, str(refund.api))),
        sends=refund.sends + 1,
        first_sent_at=refund.first_sent_at or now,
        last_sent_at=now,
        next_check_at=now + refund.pause(now),
    )
    return replace(_replace_refund(order, sent), last_refund_at=now)


def next_turn(order: Order, now: datetime) -> datetime:
    """Compute when the order's next refund may be sent: a minute after the last one sent and after all queued ones."""
    queued = [refund.queued_until for refund in order.refunds if not refund.lease]
    latest = max((at for at in (order.last_refund_at, *queued) if at), default=None)
    return now if latest is None else max(now, latest + MIN_REFUND_INTERVAL)


NOT_NOW = "not_now"
"""The timeline's word for a refusal that is not final: because of our credentials, our rate or our balance."""


def find_not_now(refund: Refund) -> TimelineEntry | None:
    """Return the latest line of a refund that WeChat has not accepted, if it is NOT_NOW; its code is in ``by``."""
    latest = refund.timeline[-1] if refund.timeline else None
    waits = refund.state is RefundState.REQUESTED and latest is not None and latest.what == NOT_NOW
    return latest if waits else None


def hasten_refund(order: Order, draft: Refund, now: datetime) -> Order:
    """Check a refund that was sent and not accepted as soon as it may be sent again, because ``draft`` requests it
    again. If WeChat's latest answer was NOT_NOW, the refund is then paid from ``draft.funds``."""
    refund = _must_have(order, draft.out_refund_no)
    if refund.state is not RefundState.REQUESTED or refund.last_sent_at is None or refund.next_check_at is None:
        return order
    at = min(refund.next_check_at, max(now, refund.last_sent_at + MIN_REFUND_INTERVAL))
    hastened = replace(refund, next_check_at=at, funds=draft.funds if find_not_now(refund) else refund.funds)
    return order if hastened == refund else _replace_refund(order, hastened)


def note_refund(order: Order, out_refund_no: str, entry: TimelineEntry) -> Order:
    """Add a line to a refund's timeline, unless it is the latest line already."""
    refund = _must_have(order, out_refund_no)
    if refund.timeline and refund.timeline[-1] == entry:
        return order
    return _replace_refund(order, _with_entry(refund, entry))


def refuse_refund(order: Order, out_refund_no: str, lease: str, code: str, message: str, now: datetime) -> Order:
    """End a refund that WeChat certainly did not make, and release its amount. Raises LeaseLost."""
    refund = _require_lease(order, out_refund_no, lease)
    entry = TimelineEntry(now, "refused", "answer", code, {"message": message} if message else {})
    return _move(order, replace(refund, refusal=code), RefundState.REFUSED, entry)


# -- cancelling a refund -----------------------------------------------------------------------------------------------


def may_be_cancelled(refund: Refund) -> bool:
    """Whether cancelling may succeed: WeChat has given no result yet, and no policy requested the refund."""
    return refund.state is RefundState.REQUESTED and refund.by != POLICY


def cancel_refund(order: Order, out_refund_no: str, by: str, now: datetime, *, denied_sends: int = 0) -> Order:
    """End a refund that WeChat does not have, because ``by`` requested that. A failed refund stays as it is.

    ``denied_sends``: how often the refund had been sent when a query, not before ``now``, found none at WeChat; 0
    without a query. Raises Conflict when WeChat has the refund or may have it, and for a refund by policy.
    """
    refund = order.refund_of(out_refund_no)
    if refund is None or not refund.reserves:  # None: it failed, and drop_old_failures has removed it since
        return order
    if refund.state is not RefundState.REQUESTED:
        text = Bilingual("微信支付已受理这笔退款，不能取消", "WeChat Pay accepted this refund; it cannot be cancelled")
        raise Conflict(text, code="REFUND_TAKEN")
    if refund.by == POLICY:  # its number is computed from the payment, so it could not be requested again
        text = Bilingual(
            "这笔退款由异常支付规则发起，没有对应的商品，不能取消",
            "This refund returns a payment for which no goods are given; it cannot be cancelled",
        )
        raise Conflict(text, code="REFUND_BY_POLICY")
    if refund.sends != denied_sends or _may_be_under_way(refund, now):
        raise outcome_unknown()
    return _move(order, replace(refund, refusal=CANCELLED), RefundState.REFUSED, TimelineEntry(now, "cancelled", by))


def is_stale(refund: Refund, now: datetime) -> bool:
    """Whether the refund was marked as sent so long ago that it may have been cancelled since."""
    return refund.last_sent_at is not None and now >= refund.last_sent_at + LEASE


def outcome_unknown() -> Conflict:
    text = Bilingual(
        "这笔退款可能已到达微信支付，结果未知，未取消，金额仍被占用；请一分钟后再试",
        "This refund may have reached WeChat Pay, the outcome is unknown; it was not cancelled and its amount stays "
        "reserved. Try again in a minute",
    )
    return Conflict(text, code="REFUND_OUTCOME_UNKNOWN")


def _may_be_under_way(refund: Refund, now: datetime) -> bool:
    """Whether a request for the refund may still reach WeChat, so that a query before its arrival proves nothing."""
    if not refund.sends or (refund.sends == 1 and find_not_now(refund)):
        return False
    return not is_stale(refund, now)


# -- applying WeChat's results -----------------------------------------------------------------------------------------


def apply_refund(order: Order, fact: Verified[RemoteRefund], *, source: str, now: datetime) -> Order:
    """Apply WeChat's report of a refund. Reports may be repeated and come in any order.

    Raises Mismatch when the fact is genuine but does not fit.
    """
    remote = fact.value
    refund = order.refund_of(remote.out_refund_no)
    if refund is None:
        raise Mismatch(MismatchReason.UNKNOWN_REFUND)
    _must_match(refund, remote)
    if remote.state in REFUND_TRANSITIONS[refund.state]:
        updated = replace(
            refund, refund_id=remote.refund_id or refund.refund_id, success_at=remote.success_time or refund.success_at
        )
        return _move(order, updated, remote.state, TimelineEntry(now, remote.state.lower(), source, fact.proof))
    if refund.state is RefundState.REFUSED or {refund.state, remote.state} == _OPPOSITES:
        raise Mismatch(MismatchReason.REFUND_ENDED)
    return order


def drop_old_failures(order: Order) -> Order:
    """Keep at most ``MAX_FAILED`` failed refunds, and any with a staged event. Refunds that WeChat refused are dropped
    first, because a bill may name the others."""
    failed = [each for each in order.refunds if not each.reserves]
    staged = {event.out_refund_no for event in order.outbox}
    oldest = sorted(failed, key=lambda each: each.state is not RefundState.REFUSED)
    may_go = [each.out_refund_no for each in oldest if each.out_refund_no not in staged]
    dropped = set(may_go[: max(0, len(failed) - MAX_FAILED)])
    if not dropped:
        return order
    return replace(order, refunds=tuple([each for each in order.refunds if each.out_refund_no not in dropped]))


def number_in_use() -> Conflict:
    text = Bilingual("这个退款单号已用于另一笔退款", "This out_refund_no belongs to another refund")
    return Conflict(text, code="OUT_REFUND_NO_USED", field="out_refund_no")


def _no_room(order: Order, draft: Refund) -> Conflict:
    left = refundable(order, draft.transaction_id)
    if draft.refund <= left:
        text = Bilingual(f"这笔支付已有 {MAX_REFUNDS} 笔退款", f"The payment has {MAX_REFUNDS} refunds already")
        return Conflict(text, code=NOT_REFUNDABLE, field="refund")
    return more_than_left(left)


# -- parts -------------------------------------------------------------------------------------------------------------


def _add(order: Order, refund: Refund, now: datetime) -> Order:
    """Add a new refund to its order."""
    return order.with_entry(_line(refund, "refund_reserved", now), refunds=(*order.refunds, refund))


def _move(order: Order, refund: Refund, target: RefundState, entry: TimelineEntry) -> Order:
    """Move a refund to ``target``, end its lease, and stage the event of that state.

    The order changes, too. When ``target`` releases the amount, the order gets a timeline line and drops old failures.
    Otherwise a refund of the order's own payment moves it from SUCCESS or PAID_LATE to REFUND, and keeps its check.
    """
    changes = refund.changes + 1
    moved = replace(_with_entry(refund, entry), state=target, lease="", changes=changes, next_check_at=None)
    if moved.open:
        moved = replace(moved, next_check_at=entry.at + moved.pause(entry.at))
    order = _replace_refund(order, moved)
    if not moved.reserves:
        order = order.with_entry(_line(moved, "refund_released", entry.at))
    elif not moved.surplus and order.trade_state in (TradeState.SUCCESS, TradeState.PAID_LATE):
        check = (order.next_check_at, order.check_lease)  # a late payment's policy may not be carried out yet
        line = _line(moved, "refund", entry.at)
        order = order.moved_to(TradeState.REFUND, line, next_check_at=check[0], check_lease=check[1])
    kind = _EVENTS.get(target)
    if kind is not None:
        cause = f"{moved.out_refund_no}\n{moved.created_at.isoformat()}\n{moved.changes}"
        order = order.with_event(kind, cause, entry.at, moved.out_refund_no)
    return order if moved.reserves else drop_old_failures(order)


def _require_lease(order: Order, out_refund_no: str, lease: str) -> Refund:
    refund = _must_have(order, out_refund_no)
    if refund.state is not RefundState.REQUESTED or not lease or refund.lease != lease:
        raise LeaseLost
    return refund


def _must_have(order: Order, out_refund_no: str) -> Refund:
    refund = order.refund_of(out_refund_no)
    if refund is None:
        raise LeaseLost
    return refund


def _replace_refund(order: Order, refund: Refund) -> Order:
    """Return the order with ``refund`` in place of the stored refund with the same number."""
    refunds = [refund if each.out_refund_no == refund.out_refund_no else each for each in order.refunds]
    return replace(order, refunds=tuple(refunds))


def _with_entry(refund: Refund, entry: TimelineEntry) -> Refund:
    return replace(refund, timeline=extend(refund.timeline, entry, MAX_REFUND_TIMELINE))


def _line(refund: Refund, what: str, at: datetime) -> TimelineEntry:
    """Build a line about a refund for its order's timeline."""
    detail: dict[str, str | int] = {"out_refund_no": refund.out_refund_no, "refund": refund.refund}
    return TimelineEntry(at, what, "refund", refund.by, detail)


def _must_match(refund: Refund, remote: RemoteRefund) -> None:
    """Raise Mismatch with the first field that differs."""
    pairs = {
        MismatchReason.MCHID: (refund.mchid, remote.mchid),
        MismatchReason.OUT_TRADE_NO: (refund.out_trade_no, remote.out_trade_no),
        MismatchReason.REFUND: (refund.refund, remote.refund),
        MismatchReason.REFUND_TOTAL: (refund.total, remote.total),
    }
    for reason, (value, expected) in pairs.items():
        if value != expected:
            raise Mismatch(reason)


def _fields_of_request(refund: Refund) -> tuple[object, ...]:
    """Return the fields that are equal in two equal requests."""
    return (refund.out_trade_no, refund.transaction_id, refund.refund, refund.reason)
