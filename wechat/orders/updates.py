"""Change orders. The process that made a change reports it, once: to metrics, log, alarms and the workers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from wechat.domain.errors import Bilingual, NotFound
from wechat.domain.events import OF_ORDERS, EventType, OutgoingEvent
from wechat.domain.facts import RefundState
from wechat.domain.metrics import Metric
from wechat.domain.orders import Order, Refund, TradeState
from wechat.domain.payments import REFUNDED_ELSEWHERE
from wechat.domain.ports import OrderStore, Runtime, Stored, Telemetry
from wechat.domain.refunds import CANCELLED
from wechat.orders.news import publish_change, publish_new_order
from wechat.support.update import Change, Transition, Updater

REFUND_REFUSED = "refund_refused"
Observer = Callable[[Order | None, Order], None]
"""Called for each change that this process made, with the order before (None for a new one) and afterwards."""
ALARMING = frozenset({EventType.ORDER_PAID_LATE, EventType.REFUND_ABNORMAL, EventType.REFUND_FAILED})
"""Events that need a person. They are staged even without a receiver: see ``alarm_of``."""

log = structlog.get_logger("wechat.orders")


class OrderUpdates:
    """Orders by key.

    The composition root sets the effects of a change. ``wanted`` are the events that have a receiver; others are not
    staged. ``on_reported`` gets the ids of events whose change this process has reported, ``on_events`` each order with
    staged events, ``on_due`` the due date of an order that is due sooner than before. ``observers`` get every change.
    """

    def __init__(self, store: OrderStore, runtime: Runtime) -> None:
        self._telemetry = runtime.telemetry
        self._updater = Updater(store, lambda order: order.key, runtime.random)
        self.wanted: Collection[EventType] = frozenset(OF_ORDERS)
        self.on_events: Callable[[Order], None] = lambda order: None
        self.on_reported: Callable[[Sequence[str]], None] = lambda ids: None
        self.on_due: Callable[[datetime], None] = lambda at: None
        self.observers: tuple[Observer, ...] = ()

    async def insert(self, order: Order) -> bool:
        """Store a new order; False when its number is taken."""
        stored = await self._updater.insert(order)
        if stored:
            self._tell_observers(None, order)
            publish_new_order(order, self._telemetry)
        return stored

    async def get(self, key: str) -> Order:
        """Return the stored order. Raises NotFound."""
        order = await self._updater.get(key)
        if order is None:
            raise no_such_order()
        return order

    async def update(self, key: str, transition: Transition[Order]) -> Change[Order]:
        """Apply ``transition`` and report the change. Raises NotFound, StoreUnavailable, the transition's errors."""
        change = await self._updater.update(key, self._without_unwanted_events(transition))
        if change is None:
            raise no_such_order()
        self._report(change)
        return change

    async def change(self, stored: Stored[Order], transition: Transition[Order]) -> Change[Order] | None:
        """Apply ``transition`` to an order that was just read, once; None when another writer was faster."""
        change = await self._updater.change(stored, self._without_unwanted_events(transition))
        if change is not None:
            self._report(change)
        return change

    def _without_unwanted_events(self, transition: Transition[Order]) -> Transition[Order]:
        """Remove events without a receiver from the result of ``transition``. Listeners to news receive all events."""
        if len(self.wanted) == len(OF_ORDERS) or self._telemetry.watched:
            return transition

        def apply(order: Order) -> Order:
            after = transition(order)
            wanted = tuple([event for event in after.outbox if event.type in self.wanted])
            return after if len(wanted) == len(after.outbox) else replace(after, outbox=wanted)

        return apply

    def _report(self, change: Change[Order]) -> None:
        if not change.happened:
            return
        before, after = change.before, change.after
        self._tell_observers(before, after)
        report_order(before, after, self._telemetry)
        report_refunds(before, after, self._telemetry)
        publish_change(before, after, self._telemetry)
        if len(after.outbox) > len(before.outbox):
            earlier = {event.id for event in before.outbox}
            self.on_reported([event.id for event in after.outbox if event.id not in earlier])
            self.on_events(after)
        was_due_at, due_at = before.due_at, after.due_at
        if due_at is not None and (was_due_at is None or due_at < was_due_at):
            self.on_due(due_at)

    def _tell_observers(self, before: Order | None, after: Order) -> None:
        for observer in self.observers:
            observer(before, after)


def report_order(before: Order, after: Order, telemetry: Telemetry) -> None:
    """Count and log a change of an order's state, and raise the alarm of an exceptional payment."""
    if after.trade_state is before.trade_state:
        return
    telemetry.count(Metric.ORDERS, after.trade_state)
    if not before.paid and after.paid:
        telemetry.count(Metric.PAID_FEN, by=after.total)
        log.info("order_paid", out_trade_no=after.out_trade_no, total=after.total, state=after.trade_state)
    if after.trade_state is TradeState.PAID_LATE:
        telemetry.alarm(_late_alarm(after), after.out_trade_no)


def report_refunds(before: Order, after: Order, telemetry: Telemetry) -> None:
    """Count and log changes of the states of an order's refunds, and raise the alarms of failed ones."""
    if before.refunds is after.refunds:
        return
    earlier = {refund.out_refund_no: refund for refund in before.refunds}
    for refund in after.refunds:
        was = earlier.get(refund.out_refund_no)
        if refund.state is not (was.state if was else RefundState.REQUESTED):
            _report_refund(refund, telemetry)


def _report_refund(refund: Refund, telemetry: Telemetry) -> None:
    telemetry.count(Metric.REFUNDS, refund.state)
    log.info("refund_moved", out_trade_no=refund.out_trade_no, state=refund.state, out_refund_no=refund.out_refund_no)
    if refund.state is RefundState.SUCCESS:
        telemetry.count(Metric.REFUNDED_FEN, by=refund.refund)
    if refund.state in (RefundState.ABNORMAL, RefundState.CLOSED):
        telemetry.alarm(_refund_alarm(refund.state), refund.out_trade_no)


def alarm_of(order: Order, event: OutgoingEvent) -> str:
    """Return the kind of alarm that belongs to a staged event; empty for none.

    The process that made the change raises its alarm. If that process ended, or never learned that its write succeeded,
    the event is still staged: the process that hands it out instead raises the alarm.
    """
    if event.type is EventType.ORDER_PAID_LATE:
        return _late_alarm(order)
    if event.type is EventType.REFUND_ABNORMAL:
        return _refund_alarm(RefundState.ABNORMAL)
    refund = order.refund_of(event.out_refund_no) if event.type is EventType.REFUND_FAILED else None
    if refund is None or refund.refusal == CANCELLED:
        return ""
    return REFUND_REFUSED if refund.state is RefundState.REFUSED else _refund_alarm(RefundState.CLOSED)


def _late_alarm(order: Order) -> str:
    if any(entry.what == REFUNDED_ELSEWHERE for entry in order.timeline):
        return REFUNDED_ELSEWHERE
    return "openid_differs" if order.paid_by_another else "paid_late"


def _refund_alarm(state: RefundState) -> str:
    return f"refund_{state.lower()}"


def no_such_order() -> NotFound:
    return NotFound(Bilingual("没有这个订单", "There is no such order"), code="ORDER_NOT_FOUND")
