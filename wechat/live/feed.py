"""The live feed of open console pages: which orders are new or have changed, and that what needs a person has.

Changes of orders by this process are announced at once. Other changes are searched for in the store while pages are
open: new orders, payments, refunds, everything about an order whose page is open, and for pages that watch alarms also
approvals and deliveries that were given up. An order that another process closes is noticed when its page is open, and
in lists when their next page is loaded.

A watcher is told what to read again, never the content: each page reads with its own reader's permissions.

This is not the feed of ``wechat.support.news``, which reports events and may lose some of them: it gets the news of
other processes through Redis, and none while Redis does not answer. A page has to become correct, so this feed reads
the store.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

import structlog

from wechat.domain.deliveries import Delivery, DeliveryState
from wechat.domain.errors import FenpayError, TooMany
from wechat.domain.orders import Order
from wechat.domain.ports import AlarmStore, ApprovalStore, DeliveryStore, OrderStore, Runtime
from wechat.support.mailbox import Mailbox
from wechat.support.tasks import end

MOST_WATCHERS = 100
"""Open pages; each holds a connection of this process."""
MOST_QUEUED = 50
"""Notices that wait for one watcher."""
MOST_KNOWN = 5000
"""Orders of which the feed remembers the latest announced state."""
LOOK_EVERY = timedelta(seconds=2)
LOOK_BACK = timedelta(minutes=2)
"""The period that is searched for changes: a payment is dated before we learn of it, and clocks of processes differ."""
ON_THE_WAY = timedelta(seconds=5)
"""The most time between reading a page's content and the start of its watcher."""
MOST_LOOKED_AT = 100
MOST_DEAD = 20
"""Deliveries that were given up, the latest: as many as the overview shows."""

log = structlog.get_logger("wechat.live")


class Records(NamedTuple):
    """The stores that the feed reads."""

    orders: OrderStore
    alarms: AlarmStore
    approvals: ApprovalStore
    deliveries: DeliveryStore


class Topic(StrEnum):
    """A subject that a page may watch, besides one order by its number.

    ``ALARMS`` is all that needs a person: open alarms, approvals that wait, and deliveries that were given up.
    """

    ORDERS = "orders"
    ALARMS = "alarms"


class Notice(NamedTuple):
    """A request to read something again. ``out_trade_no`` is empty for alarms. ``new``: it was never announced."""

    topic: Topic
    out_trade_no: str = ""
    new: bool = False


class Watcher(Mailbox[Notice]):
    """The notices for an open page. A watcher that has missed notices makes its page read everything again."""

    def __init__(self, topics: Collection[Topic], out_trade_no: str) -> None:
        super().__init__(MOST_QUEUED)
        self._topics = topics
        self.out_trade_no = out_trade_no

    def queue(self, notice: Notice) -> None:
        """Queue ``notice`` if the page wants it."""
        if self._wants(notice):
            self.add(notice)

    @property
    def watches_alarms(self) -> bool:
        return Topic.ALARMS in self._topics

    def _wants(self, notice: Notice) -> bool:
        if notice.topic is Topic.ALARMS:
            return self.watches_alarms
        return Topic.ORDERS in self._topics or notice.out_trade_no == self.out_trade_no


class LiveFeed:
    """All watchers of this process, and the notices for them."""

    def __init__(self, mchid: str, records: Records, runtime: Runtime) -> None:
        self._mchid = mchid
        self._records = records
        self._clock = runtime.clock
        self._watchers: set[Watcher] = set()
        self._known: OrderedDict[str, tuple[object, ...]] = OrderedDict()
        self._deliveries: dict[str, object] = {}
        self._urgent: object = None
        self._watched = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._poll(), name="live feed")

    async def close(self) -> None:
        if self._task:
            await end(self._task)

    def end_watchers(self) -> None:
        """End every watcher, and later ones at once, because the process is about to stop."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    @contextmanager
    def watch(self, topics: Collection[Topic], out_trade_no: str = "") -> Iterator[Watcher]:
        """Watch ``topics`` and one order as long as the page is open. Raises TooMany."""
        if len(self._watchers) >= MOST_WATCHERS:
            raise TooMany
        watcher = Watcher(topics, out_trade_no)
        if self._closed:
            watcher.close()
        self._watchers.add(watcher)
        self._watched.set()
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def note(self, before: Order | None, after: Order) -> None:
        """Announce a change that this process made."""
        if self._watchers:
            self._announce(after, new=before is None)

    async def catch_up(self, watcher: Watcher) -> None:
        """Queue notices of changes since ``watcher``'s page was read. Raises StoreUnavailable."""
        found = await self._records.orders.changed_since(self._clock.now() - ON_THE_WAY, MOST_LOOKED_AT)
        for order in found:
            watcher.queue(Notice(Topic.ORDERS, order.out_trade_no, new=True))

    async def read_changes(self) -> None:
        """Announce recent changes that were not announced yet. Raises StoreUnavailable."""
        since = self._clock.now() - LOOK_BACK
        for order in await self._records.orders.changed_since(since, MOST_LOOKED_AT):
            self._announce(order, new=order.created_at >= since)
        open_orders = await self._open_orders()
        for order in open_orders:
            self._announce(order, new=False)
        await self._read_deliveries(open_orders)
        if any(watcher.watches_alarms for watcher in self._watchers):
            await self._read_urgent()

    async def _read_deliveries(self, open_orders: Sequence[Order]) -> None:
        """Announce changed deliveries of the orders whose pages are open, to those pages only."""
        found = await asyncio.gather(*[self._records.deliveries.of_order(order.key) for order in open_orders])
        shown: dict[str, object] = {}
        for order, deliveries in zip(open_orders, found, strict=True):
            shown[order.out_trade_no] = _visible_deliveries(deliveries)
        changed = {number for number, state in shown.items() if state != self._deliveries.get(number, ())}
        self._deliveries = shown
        for watcher in self._watchers:
            if watcher.out_trade_no in changed:
                watcher.queue(Notice(Topic.ORDERS, watcher.out_trade_no))

    async def _read_urgent(self) -> None:
        """Announce that something needs a person now, or no longer does."""
        alarms, waiting, dead = await asyncio.gather(
            self._records.alarms.latest(MOST_LOOKED_AT, only_open=True),
            self._records.approvals.waiting(),
            self._records.deliveries.find(state=DeliveryState.DEAD, limit=MOST_DEAD, cursor=""),
        )
        now = self._clock.now()
        urgent = {(alarm.id, alarm.last_at) for alarm in alarms}
        urgent |= {(approval.id, approval.requested_at) for approval in waiting if approval.is_open(now)}
        urgent |= {(delivery.id, delivery.event.at) for delivery in dead.items}
        if self._urgent is not None and urgent != self._urgent:
            self._queue_for_all(Notice(Topic.ALARMS))
        self._urgent = urgent

    async def _open_orders(self) -> Sequence[Order]:
        """Return the orders whose pages are open. An unreadable one is left out, so that it delays no other page."""
        numbers = {watcher.out_trade_no for watcher in self._watchers if watcher.out_trade_no}
        return await self._records.orders.get_many([f"{self._mchid}:{number}" for number in numbers])

    def _announce(self, order: Order, *, new: bool) -> None:
        """Announce ``order``, unless its present state was announced already."""
        state = _visible_state(order)
        known = self._known.pop(order.key, None)
        self._known[order.key] = state
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        if state != known:
            self._queue_for_all(Notice(Topic.ORDERS, order.out_trade_no, new and known is None))

    def _queue_for_all(self, notice: Notice) -> None:
        for watcher in self._watchers:
            watcher.queue(notice)

    async def _remember_recent(self) -> None:
        """Remember the present state of recently changed orders, so that only later changes are announced."""
        with suppress(FenpayError):
            for order in await self._records.orders.changed_since(self._clock.now() - LOOK_BACK, MOST_LOOKED_AT):
                self._known[order.key] = _visible_state(order)

    async def _poll(self) -> None:
        while True:
            if not self._watchers:
                self._watched.clear()
                await self._watched.wait()
                await self._remember_recent()
            try:
                await self.read_changes()
            except FenpayError as error:
                log.warning("live_feed_waits", error=str(error))
            except Exception:  # any error: open pages must still be updated
                log.exception("live_feed_crashed")
            await asyncio.sleep(LOOK_EVERY.total_seconds())


def _visible_state(order: Order) -> tuple[object, ...]:
    """Return a value that differs whenever a page would show the order differently."""
    refunds = tuple([(refund.out_refund_no, refund.state, refund.sends) for refund in order.refunds])
    last = order.timeline[-1].at if order.timeline else None
    return order.trade_state, len(order.payments), refunds, len(order.timeline), last, len(order.notes)


def _visible_deliveries(deliveries: Sequence[Delivery]) -> tuple[object, ...]:
    """Return a value that differs whenever an order's page would show its deliveries differently."""
    return tuple([(each.id, each.state, each.attempts[-1:]) for each in deliveries])
