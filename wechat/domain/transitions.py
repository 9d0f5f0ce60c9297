"""The transitions of an order's life; those of payments and refunds have files of their own.

Transitions are pure: they take an order and values, and return the order afterwards or raise a domain error. An order
that comes back as it was means that nothing has to be written. Applied twice, a transition changes the order once.
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
    """Add a line to the timeline, once."""
    return order if order.timeline and order.timeline[-1] == entry else order.with_entry(entry)


def write_note(order: Order, note: Note) -> Order:
    """Add a person's note; a form that is sent twice is one. Raises Conflict when the order has as many as it takes.

    It has a field of its own, because a long timeline drops lines.
    """
    if order.notes and (order.notes[-1].by, order.notes[-1].text) == (note.by, note.text):
        return order
    if len(order.notes) >= MOST_NOTES:
        text = Bilingual(
            f"这笔订单已有 {MOST_NOTES} 条备注，不能再添加", f"The order has {MOST_NOTES} notes and takes no more"
        )
        raise Conflict(text, code="NOTES_FULL", field="note")
    return replace(order, notes=(*order.notes, note))


def note_page(order: Order, entry: TimelineEntry) -> Order:
    """Add what a payer's page reported: a few lines for each order, and the same code once in a while."""
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
    """Keep what the unified order returned. Raises Conflict when the order is paid.

    An order that was closed meanwhile can be paid at WeChat now: it is checked at ``check_at``, and closed there.
    """
    if order.prepay == prepay:
        return order
    if order.trade_state is TradeState.CLOSED:
        return order.with_entry(entry, prepay=prepay, next_check_at=check_at, check_lease="")
    if order.paid:
        raise already_paid()
    return order.with_entry(entry, prepay=prepay)


def doubt_placing(order: Order, entry: TimelineEntry) -> Order:
    """Note that a request to take the order got no answer."""
    return order if order.timeline[-1:] == (entry,) else order.with_entry(entry, placing_in_doubt=True)


def refuse_placing(order: Order, code: str, entry: TimelineEntry) -> Order:
    """Note that WeChat refused to take the order with ``code``."""
    return order if order.timeline[-1:] == (entry,) else order.with_entry(entry, refusal=code)


def replace_refused_order(order: Order, draft: Order, entry: TimelineEntry) -> Order:
    """``draft`` in the place of an order that WeChat refused to take, under the same number.

    Raises Conflict where WeChat has that order or may have it.
    """
    if is_same_sale(order, draft):
        return order
    if not order.is_refused:
        raise _number_in_use()
    timeline = extend(order.timeline, entry)
    return replace(draft, timeline=timeline, outbox=order.outbox, sequence=order.sequence, notes=order.notes)


def require_sale(order: Order, asked: Order) -> Order:
    """``order``, if it is still the one that WeChat was asked about; what was answered says nothing of any other.

    Raises Conflict where another order has replaced it under its number meanwhile.
    """
    if not is_same_sale(order, asked):
        raise _number_in_use()
    return order


def is_same_sale(one: Order, other: Order) -> bool:
    """Whether two orders are one and the same request."""
    return all(getattr(one, name) == getattr(other, name) for name in _SALE)


_SALE = ("appid", "mchid", "trade_type", "description", "total", "openid", "attach")


def close(order: Order, entry: TimelineEntry, check_at: datetime | None = None) -> Order:
    """Close an unpaid order that WeChat has closed or does not know. Raises Conflict when a payment came in between.

    ``check_at``: WeChat did not know it. A request that was under way may still arrive there, so it is checked again.
    """
    if order.trade_state is TradeState.CLOSED:
        return order
    if order.paid:
        raise Conflict(
            Bilingual("订单状态已改变，请重新查询", "The order's state has changed; read it again"), code="ORDER_MOVED"
        )
    return order.moved_to(TradeState.CLOSED, entry, (EventType.ORDER_CLOSED, "closed"), next_check_at=check_at)


def schedule_close(order: Order, at: datetime, entry: TimelineEntry) -> Order:
    """Have an unpaid order closed at ``at``, which WeChat does not take now. Asked for again, nothing changes."""
    if order.trade_state is not TradeState.NOTPAY or order.close_after == at:
        return order
    return order.with_entry(entry, next_check_at=at, check_lease="", close_after=at, checks=order.checks + 1)


def schedule_check(order: Order, at: datetime, lease: str) -> Order:
    """Set when an unpaid order is checked next, counting one check, if ``lease`` is still the current one."""
    if order.paid or order.next_check_at is None or order.check_lease != lease:
        return order
    return replace(order, next_check_at=at, check_lease="", checks=order.checks + 1)


def confirm_close(order: Order, entry: TimelineEntry, lease: str) -> Order:
    """End the checks of a closed order, if ``lease`` is still the current one. WeChat has closed it or never had it."""
    if order.trade_state is not TradeState.CLOSED or order.next_check_at is None or order.check_lease != lease:
        return order
    return order.with_entry(entry, next_check_at=None, check_lease="")


def stop_checking(order: Order, entry: TimelineEntry) -> Order:
    """Stop checking an order that was paid after its close, and record why."""
    if not order.paid or order.next_check_at is None:
        return order
    return order.with_entry(entry, next_check_at=None, check_lease="")


def remove_events(order: Order, ids: frozenset[str]) -> Order:
    """Drop staged events that were handed out."""
    kept = tuple([event for event in order.outbox if event.id not in ids])
    return order if len(kept) == len(order.outbox) else drop_old_failures(replace(order, outbox=kept))


def _number_in_use() -> Conflict:
    text = Bilingual("这个订单号已用于另一笔订单", "This out_trade_no belongs to another order")
    return Conflict(text, code="OUT_TRADE_NO_USED", field="out_trade_no")


def already_paid() -> Conflict:
    return Conflict(Bilingual("订单已支付", "The order is already paid"), code="ORDER_PAID")
