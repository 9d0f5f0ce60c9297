"""Transitions of an order, except those of payments and refunds, which have files of their own.

Transitions are pure: they take an order and values, and return the changed order or raise a domain error. When the same
object is returned, nothing has to be written. Applying a transition twice has the effect of applying it once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from wechat.domain.errors import Bilingual, Conflict, Gone
from wechat.domain.events import EventType
from wechat.domain.notes import MOST_NOTES, Note
from wechat.domain.orders import Order, Prepay, TimelineEntry, TradeState, extend
from wechat.domain.refunds import drop_old_failures

MOST_PAGE_LINES = 10
PAGE_AGAIN = timedelta(minutes=1)


def add_note(order: Order, entry: TimelineEntry) -> Order:
    """Add a line to the timeline, unless it is the latest line already."""
    return order if order.timeline and order.timeline[-1] == entry else order.with_entry(entry)


def write_note(order: Order, note: Note) -> Order:
    """Add a staff note. A note equal to the latest one (same author and text) is ignored.

    Raises Conflict at MOST_NOTES. Notes are not in the timeline, because that drops old lines.
    """
    if order.notes and (order.notes[-1].by, order.notes[-1].text) == (note.by, note.text):
        return order
    if len(order.notes) >= MOST_NOTES:
        text = Bilingual(
            f"这笔订单已有 {MOST_NOTES} 条备注，不能再添加", f"The order has {MOST_NOTES} notes; no more can be added"
        )
        raise Conflict(text, code="NOTES_FULL", field="note")
    return replace(order, notes=(*order.notes, note))


def note_page(order: Order, entry: TimelineEntry) -> Order:
    """Add a report of a payer's page to the timeline.

    Ignored when the same code was reported within PAGE_AGAIN, and from MOST_PAGE_LINES reports of an order on.
    """
    known = [line for line in order.timeline if line.what == entry.what]
    code = entry.detail.get("code")
    again = any(line.detail.get("code") == code and entry.at - line.at < PAGE_AGAIN for line in known)
    return order if again or len(known) >= MOST_PAGE_LINES else order.with_entry(entry)


def must_be_payable(order: Order, now: datetime) -> None:
    """Raise Conflict for an order that is paid or closed, Gone for one that has expired."""
    if order.paid:
        raise already_paid()
    if order.trade_state is TradeState.CLOSED:
        raise Conflict(Bilingual("订单已关闭，请重新下单", "The order is closed; place a new one"), code="ORDER_CLOSED")
    if not order.is_payable(now):
        raise Gone(
            Bilingual(
                "已超过支付时间，如未付款请重新下单", "The time to pay is over; if you have not paid, place a new order"
            ),
            code="ORDER_EXPIRED",
        )


def set_prepay(order: Order, prepay: Prepay, entry: TimelineEntry, check_at: datetime) -> Order:
    """Store the result of the unified order. Raises Conflict when the order is paid.

    An order that was closed meanwhile can now be paid at WeChat: it is checked at ``check_at``, and closed there.
    """
    if order.prepay == prepay:
        return order
    if order.trade_state is TradeState.CLOSED:
        return order.with_entry(entry, prepay=prepay, next_check_at=check_at, check_lease="")
    if order.paid:
        raise already_paid()
    return order.with_entry(entry, prepay=prepay)


def doubt_placing(order: Order, entry: TimelineEntry) -> Order:
    """Record that a request to place the order got no response."""
    return order if order.timeline[-1:] == (entry,) else order.with_entry(entry, placing_in_doubt=True)


def refuse_placing(order: Order, code: str, entry: TimelineEntry) -> Order:
    """Record that WeChat refused to place the order, with ``code``."""
    return order if order.timeline[-1:] == (entry,) else order.with_entry(entry, refusal=code)


def replace_refused_order(order: Order, draft: Order, entry: TimelineEntry) -> Order:
    """Replace a refused order by ``draft``, keeping its timeline, outbox, sequence and notes.

    Returns ``order`` if ``draft`` is the same request. Raises Conflict unless the order is refused.
    """
    if is_same_sale(order, draft):
        return order
    if not order.is_refused:
        raise _number_in_use()
    timeline = extend(order.timeline, entry)
    return replace(draft, timeline=timeline, outbox=order.outbox, sequence=order.sequence, notes=order.notes)


def require_sale(order: Order, asked: Order) -> Order:
    """Return ``order`` if it is the same request as ``asked``, the order that WeChat's answer is about.

    Raises Conflict when another order has replaced it under its number meanwhile.
    """
    if not is_same_sale(order, asked):
        raise _number_in_use()
    return order


def is_same_sale(one: Order, other: Order) -> bool:
    """Whether two orders are the same request."""
    return all(getattr(one, name) == getattr(other, name) for name in _SALE)


_SALE = ("appid", "mchid", "trade_type", "description", "total", "openid", "attach")


def close(order: Order, entry: TimelineEntry, check_at: datetime | None = None) -> Order:
    """Close an unpaid order that WeChat has closed or does not know. Raises Conflict when it was paid meanwhile.

    ``check_at``: set when WeChat did not know the order. A late request may still place it there, so a check follows.
    """
    if order.trade_state is TradeState.CLOSED:
        return order
    if order.paid:
        raise Conflict(
            Bilingual("订单状态已改变，请重新查询", "The order's state has changed; read it again"), code="ORDER_MOVED"
        )
    return order.moved_to(TradeState.CLOSED, entry, (EventType.ORDER_CLOSED, "closed"), next_check_at=check_at)


def schedule_close(order: Order, at: datetime, entry: TimelineEntry) -> Order:
    """Schedule the close of an unpaid order at ``at``, because WeChat does not accept it now. Repeatable."""
    if order.trade_state is not TradeState.NOTPAY or order.close_after == at:
        return order
    return order.with_entry(entry, next_check_at=at, check_lease="", close_after=at, checks=order.checks + 1)


def schedule_check(order: Order, at: datetime, lease: str) -> Order:
    """Set the next check of an unpaid order and count one check, if ``lease`` is still the current one."""
    if order.paid or order.next_check_at is None or order.check_lease != lease:
        return order
    return replace(order, next_check_at=at, check_lease="", checks=order.checks + 1)


def confirm_close(order: Order, entry: TimelineEntry, lease: str) -> Order:
    """End the checks of a closed order, if ``lease`` is still the current one. WeChat has closed it or never had it."""
    if order.trade_state is not TradeState.CLOSED or order.next_check_at is None or order.check_lease != lease:
        return order
    return order.with_entry(entry, next_check_at=None, check_lease="")


def stop_checking(order: Order, entry: TimelineEntry) -> Order:
    """Stop checking an order that was paid after closing, and record why."""
    if not order.paid or order.next_check_at is None:
        return order
    return order.with_entry(entry, next_check_at=None, check_lease="")


def remove_events(order: Order, ids: frozenset[str]) -> Order:
    """Remove staged events that were handed out."""
    kept = tuple([event for event in order.outbox if event.id not in ids])
    return order if len(kept) == len(order.outbox) else drop_old_failures(replace(order, outbox=kept))


def _number_in_use() -> Conflict:
    text = Bilingual("这个订单号已用于另一笔订单", "This out_trade_no belongs to another order")
    return Conflict(text, code="OUT_TRADE_NO_USED", field="out_trade_no")


def already_paid() -> Conflict:
    return Conflict(Bilingual("订单已支付", "The order is already paid"), code="ORDER_PAID")
