"""What open pages are told: changes of this process at once, those of others when looked for, and nothing twice."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from storage.stores.all import ORDERS as ORDERS_COLLECTION
from tests.contract.samples import MCHID, NOW, a_fact, a_refund, an_order
from tests.storage.values import an_alarm
from tests.support.clock import ManualClock
from tests.support.core import Backend, Core
from wechat.domain.errors import StoreUnavailable, TooMany
from wechat.domain.orders import Order, TimelineEntry, TradeState
from wechat.domain.payments import record_payment
from wechat.live import feed as feed_module
from wechat.live.feed import MOST_QUEUED, MOST_WATCHERS, LiveFeed, Notice, Topic, Watcher

ORDERS = [Topic.ORDERS]


class Process:
    """A process with a live feed."""

    def __init__(self, backend: Backend) -> None:
        self.core = Core(backend)
        stores = self.core.stores
        self.feed = LiveFeed(MCHID, stores.orders, stores.alarms, backend.runtime())
        self.core.updates.observers = (self.feed.note,)

    async def create(self, number: str = "order-1", **changes: Any) -> Order:
        order = an_order(number, **changes)
        await self.core.updates.insert(order)
        return order

    async def pay(self, order: Order) -> None:
        fact = a_fact(order)
        await self.core.updates.update(order.key, lambda held: record_payment(held, fact, source="notify", now=NOW))


@pytest.fixture
def backend() -> Backend:
    return Backend(ManualClock(NOW))


async def told(watcher: Watcher) -> list[Notice]:
    """The notices queued for ``watcher``, without waiting."""
    return await watcher.take(0)


async def test_a_change_of_this_process_is_told_at_once_and_once(backend: Backend) -> None:
    process = Process(backend)
    with process.feed.watch(ORDERS) as watcher:
        order = await process.create()
        await process.pay(order)
        await process.pay(order)
        await process.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ORDERS, "order-1", True), Notice(Topic.ORDERS, "order-1")]


async def test_a_change_of_another_process_is_found(backend: Backend) -> None:
    here, there = Process(backend), Process(backend)
    with here.feed.watch(ORDERS) as watcher:
        order = await there.create(created_at=NOW)
        await here.feed.read_changes()
        await there.pay(order)
        await here.feed.read_changes()
        await here.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ORDERS, "order-1", True), Notice(Topic.ORDERS, "order-1")]


async def test_a_refund_of_an_old_order_is_found(backend: Backend) -> None:
    line = TimelineEntry(NOW, "success", "query")
    old = NOW - timedelta(days=30)
    backend.put(
        an_order("order-1", created_at=old, trade_state=TradeState.REFUND, refunds=(a_refund(timeline=(line,)),))
    )
    process = Process(backend)
    with process.feed.watch(ORDERS) as watcher:
        await process.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ORDERS, "order-1")]


async def test_a_page_of_one_order_is_told_of_that_one_and_of_whatever_happens_to_it(backend: Backend) -> None:
    process = Process(backend)
    backend.put(an_order("order-1", created_at=NOW - timedelta(days=1)))
    with process.feed.watch([], "order-1") as watcher:
        await process.create("order-2")
        await process.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ORDERS, "order-1")]
        closed = TimelineEntry(NOW, "closed", "worker")
        backend.put(
            an_order("order-1", trade_state=TradeState.CLOSED, timeline=(closed,), created_at=NOW - timedelta(days=1))
        )
        await process.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ORDERS, "order-1")]


async def test_what_changed_while_a_page_was_on_its_way_is_told_when_it_watches(backend: Backend) -> None:
    process = Process(backend)
    await process.create(created_at=NOW)
    with process.feed.watch(ORDERS) as watcher:
        await process.feed.catch_up(watcher)
        assert await told(watcher) == [Notice(Topic.ORDERS, "order-1", True)]


async def test_a_page_that_reads_too_slowly_is_told_how_much_it_missed(backend: Backend) -> None:
    process = Process(backend)
    with process.feed.watch(ORDERS) as watcher:
        for number in range(MOST_QUEUED + 3):
            await process.create(f"order-{number:03}")
        notices = await told(watcher)
        assert (watcher.missed, len(notices)) == (3, MOST_QUEUED)


async def test_a_new_alarm_and_one_that_was_seen_are_told_to_those_who_watch_alarms(backend: Backend) -> None:
    process = Process(backend)
    with process.feed.watch([Topic.ALARMS]) as watcher:
        await process.feed.read_changes()
        await process.core.stores.alarms.insert(an_alarm(), "write-1")
        await process.create()
        await process.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ALARMS)]


async def test_an_open_order_that_cannot_be_read_holds_up_no_other_page(backend: Backend) -> None:
    """The page of the unreadable order is open; other changes are still reported, to that page and to others."""
    process = Process(backend)
    old = NOW - timedelta(days=1)
    broken = backend.put(an_order("order-1", created_at=old))
    backend.put(an_order("order-2", created_at=old))
    backend.database[ORDERS_COLLECTION].poke({"_id": broken.key, "schema": 1, "rev": 2, "writes": ["test"]})
    with process.feed.watch([Topic.ALARMS], "order-1") as first, process.feed.watch([], "order-2") as second:
        await process.feed.read_changes()
        await process.core.stores.alarms.insert(an_alarm(), "write-1")
        await process.feed.read_changes()
        assert await told(first) == [Notice(Topic.ALARMS)]
        assert await told(second) == [Notice(Topic.ORDERS, "order-2")]


async def test_there_are_only_so_many_watchers_and_a_page_that_closes_makes_room(backend: Backend) -> None:
    process = Process(backend)
    with ExitStack() as stack:
        for _ in range(MOST_WATCHERS):
            stack.enter_context(process.feed.watch(ORDERS))
        with pytest.raises(TooMany), process.feed.watch(ORDERS):
            pass
    assert process.feed.watchers == 0
    with process.feed.watch(ORDERS):
        assert process.feed.watchers == 1


async def test_a_process_that_stops_ends_its_watchers(backend: Backend) -> None:
    process = Process(backend)
    with process.feed.watch(ORDERS) as watcher:
        waiting = asyncio.create_task(watcher.take(60))
        await asyncio.sleep(0)
        process.feed.end_watchers()
        assert await waiting == []
        assert watcher.closed
    with process.feed.watch(ORDERS) as late:
        assert late.closed


async def test_nobody_is_asked_while_nobody_watches(backend: Backend) -> None:
    """And the first look reports nothing that the page has read already."""
    process = Process(backend)
    backend.put(an_order("order-1", created_at=NOW))
    looks = count_looks(process)
    process.feed.start()
    await asyncio.sleep(0)
    assert looks == []
    with process.feed.watch(ORDERS) as watcher:
        for _ in range(20):
            await asyncio.sleep(0)
        assert looks
        assert await told(watcher) == []
    await process.feed.close()


async def test_a_look_that_fails_is_not_the_last_one(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LOOK_EVERY", timedelta(0))
    process = Process(backend)
    failures = iter([StoreUnavailable(), RuntimeError("the database refuses")])
    looked = asyncio.Event()

    async def look() -> None:
        for failure in failures:
            raise failure
        looked.set()

    monkeypatch.setattr(process.feed, "read_changes", look)
    process.feed.start()
    with process.feed.watch(ORDERS):
        await asyncio.wait_for(looked.wait(), 5)
    await process.feed.close()


def count_looks(process: Process) -> list[int]:
    looks: list[int] = []
    look = process.feed.read_changes

    async def counted() -> None:
        looks.append(1)
        await look()

    process.feed.read_changes = counted  # type: ignore[method-assign]  # counts
    return looks
