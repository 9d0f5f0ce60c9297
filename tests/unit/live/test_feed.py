"""What open pages are told: changes of this process at once, those of others when looked for, and nothing twice."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.stores.all import ORDERS as ORDERS_COLLECTION
from tests.contract.samples import MCHID, NOW, a_fact, a_refund, an_order
from tests.storage.values import a_delivery, an_alarm, an_approval
from tests.support.clock import ManualClock
from tests.support.core import Backend, Core
from wechat.domain.approvals import DECIDE_WITHIN, ApprovalState
from wechat.domain.deliveries import Attempt, DeliveryState
from wechat.domain.errors import StoreUnavailable, TooMany
from wechat.domain.orders import Order, TimelineEntry, TradeState
from wechat.domain.payments import record_payment
from wechat.live import feed as feed_module
from wechat.live.feed import MOST_QUEUED, MOST_WATCHERS, LiveFeed, Notice, Records, Topic, Watcher

ORDERS = [Topic.ORDERS]


class Process:
    """A process with a live feed."""

    def __init__(self, backend: Backend) -> None:
        self.core = Core(backend)
        stores = self.core.stores
        records = Records(stores.orders, stores.alarms, stores.approvals, stores.deliveries)
        self.feed = LiveFeed(MCHID, records, backend.runtime())
        self.core.updates.observers = (self.feed.note,)

    async def create(self, number: str = "order-1", **changes: Any) -> Order:
        order = an_order(number, **changes)
        await self.core.updates.insert(order)
        return order

    async def change(self, store: str, key: str, **changes: Any) -> None:
        """Change a stored value as another process does, of which the feed is told nothing."""
        values = getattr(self.core.stores, store)
        stored = await values.get(key)
        assert stored
        assert await values.replace(stored, replace(stored.value, **changes), f"change-{secrets.token_hex(4)}")

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


async def test_the_end_of_an_older_alarm_is_told_too(backend: Backend) -> None:
    process = Process(backend)
    await process.core.stores.alarms.insert(an_alarm("paid_late-01"), "write-1")
    await process.core.stores.alarms.insert(replace(an_alarm("slow-01"), last_at=NOW + timedelta(hours=1)), "write-2")
    with process.feed.watch([Topic.ALARMS]) as watcher:
        await process.feed.read_changes()
        await process.change("alarms", "paid_late-01", seen_at=NOW, seen_by="anna")
        await process.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ALARMS)]


async def test_an_approval_is_told_when_it_is_asked_for_when_it_is_decided_and_when_it_expires(
    backend: Backend,
) -> None:
    process = Process(backend)
    approvals = process.core.stores.approvals
    with process.feed.watch([Topic.ALARMS]) as watcher:
        await process.feed.read_changes()
        for approval_id in ("a1", "a2"):
            assert await approvals.insert(an_approval(id=approval_id), f"write-{approval_id}")
        await process.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ALARMS)]
        await process.change("approvals", "a1", state=ApprovalState.DECLINED)
        await process.feed.read_changes()
        await process.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ALARMS)]
        backend.clock.advance(DECIDE_WITHIN.total_seconds())
        await process.feed.read_changes()
        assert await told(watcher) == [Notice(Topic.ALARMS)]


async def test_a_delivery_that_is_given_up_and_sent_again_is_told_to_those_who_watch_alarms(backend: Backend) -> None:
    process = Process(backend)
    delivery = a_delivery()
    await process.core.stores.deliveries.insert(delivery, "write-1")
    with process.feed.watch([Topic.ALARMS]) as watcher:
        await process.feed.read_changes()
        for state in (DeliveryState.DEAD, DeliveryState.PENDING):
            await process.change("deliveries", delivery.id, state=state)
            await process.feed.read_changes()
            assert await told(watcher) == [Notice(Topic.ALARMS)]


async def test_an_attempt_to_deliver_is_told_to_the_page_of_its_order_alone(backend: Backend) -> None:
    process = Process(backend)
    order = await process.create("order-1", created_at=NOW)
    delivery = a_delivery(number=order.out_trade_no)
    await process.core.stores.deliveries.insert(delivery, "write-1")
    with process.feed.watch([], "order-1") as page, process.feed.watch(ORDERS) as listing:
        await process.feed.read_changes()
        await told(page)
        await told(listing)
        await process.change("deliveries", delivery.id, attempts=(Attempt(NOW, "503", 0.25),))
        await process.feed.read_changes()
        await process.feed.read_changes()
        assert await told(page) == [Notice(Topic.ORDERS, "order-1")]
        assert await told(listing) == []


async def test_a_note_is_told_to_the_page_of_its_order(backend: Backend) -> None:
    here, there = Process(backend), Process(backend)
    await here.create("order-1", created_at=NOW)
    with here.feed.watch([], "order-1") as watcher:
        await here.feed.read_changes()
        await told(watcher)
        for process, text in ((here, "called the payer"), (there, "the payer called back")):
            await process.core.orders.write_note("order-1", text, by="anna")
            await here.feed.read_changes()
            assert await told(watcher) == [Notice(Topic.ORDERS, "order-1")]


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
