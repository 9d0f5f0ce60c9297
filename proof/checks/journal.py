"""Record when the store first had payments, states of orders and refunds, messages, differences and ends of days; and
the orders of which an event was given up."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import date
from math import inf
from typing import NamedTuple

from proof.checks.rules import RETRIES
from proof.faults import Fault
from storage.documents import Document
from storage.memory.storage import MemoryDatabase
from storage.stores.all import DAYS, DELIVERIES, DIFFERENCES, NOTIFICATIONS
from storage.stores.days import DAY
from wechat.domain.facts import RefundState
from wechat.domain.orders import Order, TradeState
from wechat.reconciliation.books import Reconciliation
from wechat.reconciliation.days import BookDay

BRIEF = ("STORE_", "WIRE_", "CREDENTIALS_")
FELT_S = {fault: 60.0 for fault in Fault if fault.name.startswith(BRIEF)} | {
    Fault.PROCESS_DIES: 700.0,
    Fault.PROCESS_STALLS: 1900.0,
    Fault.CLOCK_APART: inf,
    Fault.CLOCK_LEAPS: inf,
    Fault.KEYS_ROTATED: inf,
}
"""For how many seconds a fault may prevent a query of WeChat or its answer; other faults do not."""


class Result(NamedTuple):
    """The result of a run, and the time at which it was written."""

    at_s: float
    value: Reconciliation


class Journal:
    """Times are those of the loop. ``broken`` collects changes of a day that must not happen."""

    def __init__(self, database: MemoryDatabase, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self.payments: dict[str, float] = {}
        self.orders: defaultdict[str, dict[TradeState, float]] = defaultdict(dict)
        self.refunds: defaultdict[str, dict[RefundState, float]] = defaultdict(dict)
        self.slow: dict[str, float] = {}
        self.messages: dict[str, float] = {}
        """When the first notification of each order was stored."""
        self.differences: dict[str, float] = {}
        self.results: defaultdict[date, list[Result]] = defaultdict(list)
        """The results of each day's runs, manual ones included."""
        self.undelivered: dict[str, float] = {}
        self.last_tries: dict[str, float] = {}
        """Orders with an event that is given up after one more attempt."""
        self.troubles: list[tuple[float, float]] = []
        """Periods in which a fault may have prevented a query of WeChat or its answer."""
        self.promised = 0
        """The number of payments to which the promise applied."""
        self._days: dict[str, BookDay] = {}
        self._ended: set[str] = set()
        self.broken = ""

    def on_fault(self, fault: Fault) -> None:
        """Record the time of a fault."""
        if fault in FELT_S:
            self.troubles.append((self._loop.time(), self._loop.time() + FELT_S[fault]))

    def on_order_write(self, order: Order) -> None:
        """Record what is new in an order."""
        now = self._loop.time()
        self.orders[order.out_trade_no].setdefault(order.trade_state, now)
        for payment in order.payments:
            self.payments.setdefault(payment.transaction_id, now)
        for refund in order.refunds:
            self.refunds[refund.out_refund_no].setdefault(refund.state, now)
            if refund.slow:
                self.slow.setdefault(refund.out_refund_no, now)

    def on_write(self, collection: str, identity: str) -> None:
        """Record a document that was written."""
        if collection == DIFFERENCES:
            self.differences.setdefault(identity, self._loop.time())
        elif collection == NOTIFICATIONS:
            message = self._database[NOTIFICATIONS].look_at(identity) or {}
            self.messages.setdefault(message.get("out_trade_no", ""), self._loop.time())
        elif collection == DELIVERIES:
            document = self._database[DELIVERIES].look_at(identity)
            if document is not None:
                self._on_delivery_write(document)
        elif collection == DAYS:
            document = self._database[DAYS].look_at(identity)
            if document is not None:
                self._on_day_write(identity, DAY.read(document))

    def _on_delivery_write(self, document: Document) -> None:
        now, number = self._loop.time(), document["out_trade_no"]
        if document["state"] == "dead":
            self.undelivered.setdefault(number, now)
        elif document["tries"] >= RETRIES:
            self.last_tries.setdefault(number, now)

    def _on_day_write(self, identity: str, day: BookDay) -> None:
        """Record a day. It ends once, and only by a run that holds its lease."""
        before = self._days.get(identity)
        self._days[identity] = day
        if before is None:
            return
        if before.due_at is not None and day.due_at is None:
            if identity in self._ended:
                self.broken = self.broken or f"{day.day} was ended twice"
            self._ended.add(identity)
        if day.result is not None and (before.result is None or before.result != day.result):
            self.results[day.day].append(Result(self._loop.time(), day.result))
            if not before.lease:
                self.broken = self.broken or f"{day.day} was ended by a run that did not hold it"
