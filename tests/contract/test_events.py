"""Events from an order's change to a receiver: real stores on both drivers, real sockets, a clock that tests move."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, cast

import pytest

from storage.embedded.servers import EmbeddedMongo
from storage.mongo.driver import Connection
from storage.mongo.storage import MongoStorage
from storage.stores.all import ORDERS
from tests.contract.samples import a_fact, a_refund, a_refund_fact, an_order
from tests.simulator.sink import Sink
from tests.support.clock import ManualClock
from tests.support.runtime import RecordedTelemetry, a_runtime
from tests.support.service import ROOT, wait_until
from tests.support.webhooks import AT, KEY, a_webhook
from wechat.domain.deliveries import Delivery, DeliveryState, Event, Outcome
from wechat.domain.errors import Conflict, NotFound, StoreUnavailable
from wechat.domain.events import EventType
from wechat.domain.metrics import Metric
from wechat.domain.orders import Order, TimelineEntry
from wechat.domain.payments import record_payment
from wechat.domain.ports import DeliveryStore, Stored
from wechat.domain.refunds import apply_refund, request_refund
from wechat.domain.transitions import close
from wechat.events.delivery_worker import AT_ONCE, DELAYS_S, LEASE, DeliveryJob, DeliveryWork, DeliveryWorker
from wechat.events.redelivery import Redelivery
from wechat.events.relay import GRACE, RelayWork
from wechat.events.targets import Subscriber, Target
from wechat.events.webhooks import Webhook
from wechat.orders.updates import OrderUpdates
from wechat.support.worker import Worker

LEASE_S = LEASE.total_seconds()
GRACE_S = GRACE.total_seconds()
NUMBER = an_order().out_trade_no


class Spy:
    """A target in memory: keeps what it is told, fails while ``down``."""

    def __init__(self, name: str = "spy") -> None:
        self.name = name
        self.down = False
        self.received: list[Event] = []

    def wants(self, event_type: str) -> bool:
        return True

    async def deliver(self, event: Event) -> Outcome:
        self.received.append(event)
        return Outcome(not self.down, "503" if self.down else "200")


class Slow(Spy):
    """A target that answers only when it is told ``at_once`` events at the same time."""

    def __init__(self, at_once: int) -> None:
        super().__init__("slow")
        self._barrier = asyncio.Barrier(at_once)

    async def deliver(self, event: Event) -> Outcome:
        async with asyncio.timeout(5), self._barrier:
            return await super().deliver(event)


class Looks:
    """``deliveries``, and how often somebody looked for work in them."""

    def __init__(self, deliveries: DeliveryStore) -> None:
        self._deliveries = deliveries
        self.made = 0

    async def list_due(self, target: str, now: datetime, limit: int) -> Sequence[Stored[Delivery]]:
        self.made += 1
        return await self._deliveries.list_due(target, now, limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._deliveries, name)


class FirstInsertUnanswered:
    """``deliveries``, whose first insert fails for want of an answer."""

    def __init__(self, deliveries: DeliveryStore) -> None:
        self._deliveries = deliveries
        self._failed = False

    async def insert(self, value: Delivery, write: str) -> bool:
        if not self._failed:
            self._failed = True
            raise StoreUnavailable
        return await self._deliveries.insert(value, write)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._deliveries, name)


class Bench:
    """A process that changes orders, with its relay and its delivery workers, stepped by hand."""

    def __init__(self, storage: MongoStorage, clock: ManualClock) -> None:
        self.storage = storage
        self.clock = clock
        self.telemetry = RecordedTelemetry()
        self.runtime = a_runtime(clock, telemetry=self.telemetry)
        self.updates = OrderUpdates(storage.orders, self.runtime)
        self.changed: list[Order] = []
        self.updates.on_events = self.changed.append
        self.redelivery = Redelivery(storage.deliveries, self.runtime)

    async def placed(self, number: str = NUMBER) -> Order:
        order = an_order(number)
        assert await self.updates.insert(order)
        return order

    async def pays(self, order: Order) -> None:
        """Record the payment of ``order`` as WeChat reports it."""
        fact, now = a_fact(order, f"T-{order.out_trade_no}"), self.clock.now()
        await self.updates.update(order.key, lambda known: record_payment(known, fact, source="notify", now=now))

    async def closes(self, order: Order) -> None:
        entry = TimelineEntry(self.clock.now(), "closed", "worker")
        await self.updates.update(order.key, lambda known: close(known, entry))

    async def paid(self, number: str = NUMBER) -> None:
        await self.pays(await self.placed(number))

    async def closed_and_paid(self, number: str = NUMBER) -> None:
        order = await self.placed(number)
        await self.closes(order)
        await self.pays(order)

    async def refunded(self, number: str = NUMBER) -> None:
        """Refund a paid order; the refund succeeds."""
        key, now = an_order(number).key, self.clock.now()
        refund = a_refund(f"R{number}", out_trade_no=number, transaction_id=f"T-{number}")
        fact = a_refund_fact(refund)
        await self.updates.update(key, lambda order: request_refund(order, refund, now))
        await self.updates.update(key, lambda order: apply_refund(order, fact, source="notify", now=now))

    def dies(self) -> None:
        """Forget the changed orders, as a killed process does; the next process finds their events by date."""
        self.changed.clear()

    def relay(
        self,
        *targets: Target,
        workers: Sequence[DeliveryWorker] = (),
        deliveries: DeliveryStore | None = None,
    ) -> RelayWork:
        """A relay, which is told of the orders that were changed so far."""
        store = deliveries or self.storage.deliveries
        relay = RelayWork(self.storage.orders, self.updates, store, targets, self.runtime, workers)
        for order in self.changed:
            relay.add(order)
        self.changed.clear()
        return relay

    def delivery(self, target: Target) -> DeliveryWork:
        return DeliveryWork(target, self.storage.deliveries, self.runtime, spread=lambda: 1.0)

    async def hand_out(self, *targets: Target) -> None:
        relay = Worker(self.relay(*targets), self.runtime)
        while await relay.once():
            pass

    async def deliver(self, target: Target) -> None:
        """Try everything that is due now."""
        worker: Worker[DeliveryJob] = Worker(self.delivery(target), self.runtime, AT_ONCE)
        while await self.storage.deliveries.list_due(target.name, self.clock.now(), 1):
            await worker.once()

    async def work(self, *targets: Target) -> None:
        """Hand out and try everything that is due now."""
        await self.hand_out(*targets)
        for target in targets:
            await self.deliver(target)

    async def states(self) -> Counter[str]:
        page = await self.storage.deliveries.find(state=None, limit=1000, cursor="")
        return Counter(delivery.state.value for delivery in page.items)


@asynccontextmanager
async def at_work(*workers: Worker[Any]) -> AsyncIterator[None]:
    """``workers`` from start to close."""
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            await worker.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(AT)


@pytest.fixture
def bench(storage: MongoStorage, clock: ManualClock) -> Bench:
    return Bench(storage, clock)


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture
async def webhook(sink: Sink, clock: ManualClock) -> AsyncIterator[Webhook]:
    target = a_webhook(sink.url, (KEY,), clock)
    yield target
    await target.close()


def ids(sink: Sink) -> list[str]:
    return [message.headers["webhook-id"] for message in sink.received]


# -- handing out -------------------------------------------------------------------------------------------------------


async def test_every_event_reaches_every_target_that_wants_it_once(bench: Bench, sink: Sink, webhook: Webhook) -> None:
    seen: list[Event] = []

    async def keep(event: Event) -> None:
        seen.append(event)

    plugin = Subscriber("shop", {"order.paid": keep})
    for i in range(10):
        await bench.paid(f"2026030112{i:04d}")
    await bench.closed_and_paid("closed-then-paid")
    await bench.work(webhook, plugin)
    bench.clock.advance(GRACE_S)
    await bench.work(webhook, plugin)
    assert (len(sink.received), len(set(ids(sink)))) == (12, 12)
    assert sorted(event.out_trade_no for event in seen) == [f"2026030112{i:04d}" for i in range(10)]
    assert await bench.states() == {"delivered": 22}


async def test_an_event_carries_its_order_as_the_event_left_it(bench: Bench) -> None:
    spy = Spy()
    await bench.paid()
    await bench.work(spy)
    [event] = spy.received
    assert (event.type, event.at, event.out_trade_no) == ("order.paid", AT, NUMBER)
    assert (event.data["transaction_id"], event.data["trade_state"]) == (f"T-{NUMBER}", "SUCCESS")


async def test_any_number_of_relays_and_delivery_workers_deliver_each_event_once(bench: Bench) -> None:
    """A single process knows of the events; the others find them by date at the same time."""
    spy = Spy()
    for i in range(20):
        await bench.paid(f"2026030112{i:04d}")
    bench.clock.advance(GRACE_S)
    await asyncio.gather(*(bench.work(spy) for _ in range(5)))
    assert Counter(event.out_trade_no for event in spy.received) == {f"2026030112{i:04d}": 1 for i in range(20)}


async def test_what_a_killed_process_left_is_handed_out_by_another_one_after_a_few_seconds(bench: Bench) -> None:
    spy = Spy()
    await bench.closed_and_paid()
    bench.dies()
    bench.clock.advance(GRACE_S - 0.001)
    await bench.work(spy)
    assert spy.received == []
    bench.clock.advance(0.001)
    await bench.work(spy)
    assert [event.type for event in spy.received] == ["order.closed", "order.paid_late"]


async def test_what_is_handed_out_waits_no_longer(bench: Bench) -> None:
    await bench.closed_and_paid()
    bench.clock.advance(10)
    assert await bench.storage.orders.events_waiting(bench.clock.now()) == (1, 10.0)
    await bench.hand_out(Spy())
    assert await bench.storage.orders.events_waiting(bench.clock.now()) == (0, 0.0)
    stored = await bench.storage.orders.get(an_order().key)
    assert stored is not None
    assert (stored.value.outbox, stored.value.sequence) == ((), 2)


async def test_what_is_staged_while_another_event_is_handed_out_is_not_lost(bench: Bench) -> None:
    spy = Spy()
    order = await bench.placed()
    await bench.closes(order)
    relay = bench.relay(spy)
    [job] = await relay.claim(1)
    await bench.pays(order)
    bench.dies()
    await relay.run(job)
    assert await bench.states() == {"pending": 1}
    bench.clock.advance(GRACE_S)
    await bench.work(spy)
    assert [event.type for event in spy.received] == ["order.closed", "order.paid_late"]
    assert await bench.states() == {"delivered": 2}


async def test_only_what_is_new_is_handed_out(bench: Bench) -> None:
    order = await bench.placed()
    await bench.closes(order)
    await bench.hand_out(Spy())
    await bench.pays(order)
    [changed] = bench.changed
    assert [event.type for event in changed.outbox] == ["order.paid_late"]


async def test_sequences_rise_even_when_the_clocks_of_two_processes_disagree(bench: Bench, clock: ManualClock) -> None:
    spy = Spy()
    order = await bench.placed()
    await bench.closes(order)
    clock.advance(-3600)
    await bench.pays(order)
    await bench.hand_out(spy)
    pending = await bench.storage.deliveries.pending_of(f"{order.key}:spy")
    assert [(each.value.event.type, each.value.sequence) for each in pending] == [
        ("order.closed", 1),
        ("order.paid_late", 2),
    ]
    clock.advance(3600)
    await bench.work(spy)
    assert [event.type for event in spy.received] == ["order.closed", "order.paid_late"]


async def test_an_event_that_nobody_receives_is_not_staged(bench: Bench) -> None:
    bench.updates.wanted = {EventType.ORDER_PAID_LATE}
    order = await bench.placed()
    await bench.closes(order)
    assert bench.changed == []
    assert await bench.storage.orders.events_waiting(bench.clock.now()) == (0, 0.0)
    await bench.pays(order)
    [changed] = bench.changed
    assert [event.type for event in changed.outbox] == ["order.paid_late"]


async def test_the_alarm_of_a_process_that_died_before_raising_it_is_raised_by_whoever_hands_the_event_out(
    bench: Bench, clock: ManualClock
) -> None:
    await bench.closed_and_paid()
    bench.telemetry.raised.clear()  # as if the process had died between its write and its report
    bench.dies()
    clock.advance(LEASE_S)
    await bench.hand_out()
    assert bench.telemetry.raised == [("paid_late", NUMBER)]


async def test_an_event_that_is_handed_out_again_raises_its_alarm_once(bench: Bench) -> None:
    """Under load the same order is found again and again before its event is gone, and handed out as it was then."""
    await bench.closed_and_paid()
    bench.dies()
    bench.telemetry.raised.clear()
    bench.clock.advance(5)
    relay = bench.relay()
    [job] = await relay.claim(10)
    assert await relay.claim(10) == []
    for _ in range(3):
        await relay.run(job)
    assert bench.telemetry.raised == [("paid_late", NUMBER)]


async def test_the_alarm_of_a_change_that_this_process_has_reported_is_not_raised_again(bench: Bench) -> None:
    reported: list[str] = []
    bench.updates.on_reported = reported.extend
    await bench.closed_and_paid()
    relay = bench.relay()
    relay.skip_alarms(reported)
    await Worker(relay, bench.runtime).once()
    assert bench.telemetry.raised == [("paid_late", NUMBER)]


async def test_a_relay_killed_at_any_point_loses_and_doubles_nothing(bench: Bench, clock: ManualClock) -> None:
    erp, crm = Spy("erp"), Spy("crm")
    for i in range(12):
        await bench.closed_and_paid(f"2026030112{i:04d}")
        task = asyncio.create_task(bench.hand_out(erp, crm))
        await asyncio.sleep(i * 0.002)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        bench.dies()
    for _ in range(3):
        clock.advance(LEASE_S)
        await bench.work(erp, crm)
    for spy in (erp, crm):
        counts = Counter((event.out_trade_no, event.type) for event in spy.received)
        assert (len(counts), set(counts.values()), len({event.id for event in spy.received})) == (24, {1}, 24)


async def test_an_orders_events_keep_their_order_when_the_store_does_not_answer_for_the_first(
    bench: Bench, clock: ManualClock
) -> None:
    spy = Spy()
    await bench.closed_and_paid()
    deliveries = cast(DeliveryStore, FirstInsertUnanswered(bench.storage.deliveries))
    await Worker(bench.relay(spy, deliveries=deliveries), bench.runtime).once()
    await asyncio.sleep(0.2)  # whatever else it began is over
    await bench.deliver(spy)
    clock.advance(GRACE_S)
    await bench.work(spy)
    assert [event.type for event in spy.received] == ["order.closed", "order.paid_late"]


async def test_a_refund_is_told_after_its_payment_also_when_a_relay_died_with_the_payment_in_hand(
    bench: Bench,
) -> None:
    spy = Spy()
    await bench.paid()
    assert await bench.relay(spy).claim(1)
    await bench.refunded()
    await bench.work(spy)
    assert [event.type for event in spy.received] == ["order.paid", "refund.succeeded"]


async def test_a_refund_is_told_after_its_payment_also_when_many_payments_wait(
    bench: Bench, clock: ManualClock
) -> None:
    for i in range(5):
        await bench.paid(f"2026030112{i:04d}")
        clock.advance(0.01)
    await bench.paid()
    await bench.refunded()
    spy = Spy()
    relay = Worker(bench.relay(spy), bench.runtime, loops=1)
    deliveries = Worker(bench.delivery(spy), bench.runtime, loops=1)
    for _ in range(10):
        await relay.once()
        while await bench.storage.deliveries.list_due("spy", clock.now(), 1):
            await deliveries.once()
        clock.advance(1)
    types = [event.type for event in spy.received if event.out_trade_no == NUMBER]
    assert types == ["order.paid", "refund.succeeded"]


async def test_orders_that_cannot_be_read_hold_up_no_others(bench: Bench, raw: Connection, database: str) -> None:
    """For example orders that a newer release wrote."""
    for i in range(5):
        await bench.paid(f"2026030112{i:04d}")
    await raw.client[database][ORDERS].update_many({}, {"$set": {"api": "v9"}})
    await bench.paid()
    bench.dies()
    bench.clock.advance(GRACE_S)
    async with at_work(Worker(bench.relay(Spy()), bench.runtime)):
        for _ in range(50):
            if handed_out := await bench.states():
                break
            await asyncio.sleep(0.1)
    assert handed_out == {"pending": 1}


# -- delivering --------------------------------------------------------------------------------------------------------


async def test_an_orders_events_come_in_order_through_failures(bench: Bench, clock: ManualClock) -> None:
    spy = Spy()
    for i in range(10):
        await bench.closed_and_paid(f"2026030112{i:04d}")
    spy.down = True
    await bench.work(spy)
    assert {event.type for event in spy.received} == {"order.closed"}
    clock.advance(6)
    await bench.work(spy)
    spy.down = False
    clock.advance(301)
    await bench.work(spy)
    clock.advance(2)
    await bench.work(spy)
    for i in range(10):
        types = [event.type for event in spy.received if event.out_trade_no == f"2026030112{i:04d}"]
        assert types == ["order.closed"] * 3 + ["order.paid_late"]


async def test_a_plugin_that_has_a_task_of_its_own_cancelled_is_called_again_like_any_other(
    bench: Bench, clock: ManualClock
) -> None:
    attempts: list[str] = []

    async def handler(event: Event) -> None:
        attempts.append(event.out_trade_no)
        if len(attempts) == 1:
            task = asyncio.create_task(asyncio.sleep(10))
            task.cancel()
            await task

    plugin = Subscriber("shop", {"order.paid": handler})
    await bench.paid()
    await bench.work(plugin)
    clock.advance(DELAYS_S[0])
    await bench.work(plugin)
    assert attempts == [NUMBER, NUMBER]
    assert await bench.states() == {"delivered": 1}


async def test_a_plugin_at_work_ends_with_its_delivery_worker(bench: Bench) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(event: Event) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    plugin = Subscriber("shop", {"order.paid": handler})
    await bench.paid()
    await bench.hand_out(plugin)
    async with asyncio.timeout(5), at_work(DeliveryWorker(plugin, bench.storage.deliveries, bench.runtime)):
        await began.wait()
    assert ended.is_set()


async def test_a_target_that_raises_against_its_word_is_dead_in_the_end(bench: Bench, clock: ManualClock) -> None:
    class Broken(Spy):
        async def deliver(self, event: Event) -> Outcome:
            raise UnicodeError

    await bench.paid()
    for pause_s in (*DELAYS_S, 0):
        await bench.work(Broken())
        clock.advance(pause_s)
    assert await bench.states() == {"dead": 1}


async def test_an_orders_refund_is_told_with_its_own_data_and_after_the_payment(
    bench: Bench, clock: ManualClock
) -> None:
    spy = Spy()
    spy.down = True
    await bench.paid()
    clock.advance(1)
    await bench.refunded()
    await bench.work(spy)
    spy.down = False
    clock.advance(10)
    await bench.work(spy)
    clock.advance(2)
    await bench.work(spy)
    assert [event.type for event in spy.received] == ["order.paid"] * 2 + ["refund.succeeded"]
    latest = spy.received[-1]
    assert (latest.out_trade_no, latest.data["out_trade_no"]) == (NUMBER, NUMBER)
    assert (latest.data["out_refund_no"], latest.data["state"]) == (f"R{NUMBER}", "SUCCESS")


async def test_a_receiver_that_is_down_for_an_hour_gets_everything_afterwards(
    bench: Bench, clock: ManualClock, sink: Sink, webhook: Webhook
) -> None:
    sink.answer = lambda _: (503, b"")
    for i in range(10):
        await bench.paid(f"2026030112{i:04d}")
    for _ in range(60):
        await bench.work(webhook)
        clock.advance(60)
    assert len(sink.received) == 40  # at once, after 5 s, 5 min and 30 min
    sink.answer = lambda _: (204, b"")
    clock.advance(2 * 3600)
    await bench.work(webhook)
    assert await bench.states() == {"delivered": 10}
    assert set(Counter(ids(sink)).values()) == {5}


async def test_a_target_that_is_down_holds_nobody_else_back(bench: Bench) -> None:
    down, up = Spy("down"), Spy("up")
    down.down = True
    await bench.closed_and_paid()
    await bench.work(down, up)
    assert [event.type for event in down.received] == ["order.closed"]
    assert [event.type for event in up.received] == ["order.closed", "order.paid_late"]


async def test_tries_follow_the_schedule_and_end_with_a_dead_letter_and_one_alarm(
    bench: Bench, clock: ManualClock
) -> None:
    spy = Spy()
    spy.down = True
    await bench.paid()
    for pause_s in (*DELAYS_S, 24 * 3600):
        await bench.work(spy)
        clock.advance(pause_s - 1)
        before = len(spy.received)
        await bench.work(spy)
        assert len(spy.received) == before
        clock.advance(1)
    await bench.work(spy)
    assert len(spy.received) == len(DELAYS_S) + 1
    [dead] = await bench.storage.deliveries.of_event(spy.received[0].id)
    assert (dead.state, dead.tries, len(dead.attempts), dead.due_at) == (DeliveryState.DEAD, 10, 10, None)
    assert {attempt.result for attempt in dead.attempts} == {"503"}
    assert (dead.attempts[-1].at - dead.attempts[0].at).total_seconds() == sum(DELAYS_S)
    assert bench.telemetry.raised == [("event_undelivered", NUMBER)]
    results = {labels[2]: count for labels, count in bench.telemetry.counted.items() if "spy" in labels}
    assert results == {"failed": 9, "dead": 1}


async def test_a_dead_letter_sent_again_by_hand_is_delivered_once(bench: Bench, clock: ManualClock) -> None:
    spy = Spy()
    spy.down = True
    await bench.paid()
    for pause_s in (*DELAYS_S, 0):
        await bench.work(spy)
        clock.advance(pause_s)
    spy.down, spy.received = False, spy.received[:1]
    event_id = spy.received[0].id
    processes = [Redelivery(bench.storage.deliveries, bench.runtime) for _ in range(5)]
    again = await asyncio.gather(*(process.resend(event_id) for process in processes), return_exceptions=True)
    assert sorted(type(result).__name__ for result in again) == ["Conflict"] * 4 + ["list"]
    await bench.work(spy)
    assert spy.received[0] == spy.received[1]
    assert len(spy.received) == 2
    assert await bench.states() == {"delivered": 1}
    with pytest.raises(Conflict):
        await bench.redelivery.resend(event_id)


async def test_an_event_whose_next_try_is_far_off_is_sent_again_at_once(bench: Bench, clock: ManualClock) -> None:
    spy = Spy()
    spy.down = True
    await bench.paid()
    for pause_s in DELAYS_S[:3]:
        await bench.work(spy)
        clock.advance(pause_s)
    await bench.work(spy)
    spy.down, event_id = False, spy.received[0].id
    woken: list[datetime] = []
    bench.redelivery.on_due = lambda: woken.append(clock.now())
    [delivery] = await bench.redelivery.resend(event_id)
    assert (delivery.state, delivery.tries, delivery.due_at) == (DeliveryState.PENDING, 0, clock.now())
    assert woken == [clock.now()]
    await bench.work(spy)
    assert await bench.states() == {"delivered": 1}


async def test_what_cannot_be_sent_again_says_why(bench: Bench) -> None:
    spy = Spy()
    spy.down = True
    await bench.closed_and_paid()
    await bench.work(spy)
    pending = (await bench.storage.deliveries.find(state=None, limit=9, cursor="")).items
    closed, late = sorted(pending, key=lambda delivery: delivery.sequence)
    for delivery, why in ((closed, "within a minute"), (late, "earlier event")):
        with pytest.raises(Conflict, match=why):
            await bench.redelivery.resend(delivery.event.id)
    spy.down = False
    bench.clock.advance(DELAYS_S[0])
    await bench.work(spy)
    with pytest.raises(Conflict, match="name a target"):
        await bench.redelivery.resend(closed.event.id)


async def test_a_delivered_event_is_sent_again_to_the_target_that_is_named_and_to_no_other(bench: Bench) -> None:
    erp, crm = Spy("erp"), Spy("crm")
    await bench.paid()
    await bench.work(erp, crm)
    event_id = erp.received[0].id
    [delivery] = await bench.redelivery.resend(event_id, "crm")
    assert (delivery.target, delivery.state) == ("crm", DeliveryState.PENDING)
    await bench.work(erp, crm)
    assert (len(erp.received), len(crm.received)) == (1, 2)
    for unknown in (("0" * 24, ""), (event_id, "nobody")):
        with pytest.raises(NotFound):
            await bench.redelivery.resend(*unknown)


async def test_a_process_killed_between_telling_and_marking_leaves_an_event_that_comes_again_with_its_id(
    bench: Bench, clock: ManualClock, mongo: EmbeddedMongo, database: str, sink: Sink, webhook: Webhook
) -> None:
    for i in range(3):
        await bench.paid(f"2026030112{i:04d}")
    await bench.hand_out(webhook)
    for _ in range(3):
        await _deliver_and_die(mongo.url, database, sink.url)
    assert len(set(ids(sink))) == 3
    await bench.work(webhook)
    assert len(sink.received) == 3
    clock.advance(LEASE_S)
    await bench.work(webhook)
    assert sorted(Counter(ids(sink)).values()) == [2, 2, 2]
    assert await bench.states() == {"delivered": 3}


async def test_a_target_taken_out_of_the_settings_finds_its_events_when_it_comes_back(bench: Bench) -> None:
    erp, crm = Spy("erp"), Spy("crm")
    await bench.paid()
    await bench.hand_out(erp, crm)
    await bench.work(crm)
    assert await bench.states() == {"delivered": 1, "pending": 1}
    await bench.work(erp, crm)
    assert (len(erp.received), len(crm.received)) == (1, 1)


# -- workers that are started ------------------------------------------------------------------------------------------


async def test_relay_and_delivery_workers_work_by_themselves(bench: Bench, sink: Sink, webhook: Webhook) -> None:
    await bench.closed_and_paid()
    deliveries = DeliveryWorker(webhook, bench.storage.deliveries, bench.runtime)
    async with at_work(deliveries, Worker(bench.relay(webhook, workers=[deliveries]), bench.runtime)):
        await asyncio.to_thread(sink.wait, 2)
    assert len(set(ids(sink))) == 2


async def looked(looks: Looks, times: int) -> None:
    """Wait for so many looks, and then whether there are more."""
    await asyncio.to_thread(wait_until, lambda: looks.made >= times)
    await asyncio.sleep(0.3)
    assert looks.made == times


async def test_an_idle_delivery_worker_looks_once_at_a_time_however_many_loops_it_has(bench: Bench) -> None:
    looks = Looks(bench.storage.deliveries)
    worker = DeliveryWorker(Spy(), cast(DeliveryStore, looks), bench.runtime)
    async with at_work(worker):
        await looked(looks, 1)
        worker.wake()
        await looked(looks, 2)


async def test_what_is_handed_out_wakes_the_delivery_worker_that_rests(bench: Bench) -> None:
    """The worker would rest for longer than the 5 s that this test waits."""
    spy, looks = Spy(), Looks(bench.storage.deliveries)
    worker = DeliveryWorker(spy, cast(DeliveryStore, looks), bench.runtime)
    await bench.paid()
    relay = Worker(bench.relay(spy, workers=[worker]), bench.runtime)
    async with at_work(worker):
        await looked(looks, 1)
        assert await relay.once()
        await asyncio.to_thread(wait_until, lambda: spy.received, 5)


async def test_a_burst_is_taken_by_all_loops_at_once(bench: Bench) -> None:
    slow = Slow(AT_ONCE)
    for i in range(2 * AT_ONCE):
        await bench.paid(f"2026030112{i:04d}")
    await bench.hand_out(slow)
    async with at_work(DeliveryWorker(slow, bench.storage.deliveries, bench.runtime)):
        await asyncio.to_thread(wait_until, lambda: len(slow.received) == 2 * AT_ONCE)


async def test_what_is_left_to_do_is_measured_for_the_relay_and_for_each_target(
    bench: Bench, clock: ManualClock
) -> None:
    spy = Spy()
    await bench.paid("handed-out")
    await bench.hand_out(spy)
    clock.advance(10)
    await bench.paid("not-handed-out")
    clock.advance(30)
    for worker, target in (
        (DeliveryWorker(spy, bench.storage.deliveries, bench.runtime), "spy"),
        (Worker(bench.relay(spy), bench.runtime), "relay"),
    ):
        oldest = (Metric.OLDEST_EVENT, target)
        async with at_work(cast(Worker[Any], worker)):
            await asyncio.to_thread(wait_until, lambda oldest=oldest: oldest in bench.telemetry.measured)
    measured = bench.telemetry.measured
    assert (measured[Metric.PENDING_EVENTS, "relay"], measured[Metric.OLDEST_EVENT, "relay"]) == (1, 30)
    assert (measured[Metric.PENDING_EVENTS, "spy"], measured[Metric.OLDEST_EVENT, "spy"]) == (1, 40)


async def _deliver_and_die(mongo_url: str, database: str, receiver_url: str) -> None:
    """Another process delivers one event and is killed before it can say so."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.delivery_process", mongo_url, database, receiver_url,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout
    assert await asyncio.wait_for(child.stdout.readline(), 20) == b"told\n"
    child.kill()
    await child.wait()
