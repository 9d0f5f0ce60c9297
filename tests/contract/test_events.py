"""Events from an order's move to a receiver: real stores on both drivers, real sockets, a clock that tests move."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from GONE.wechat.outbox import Relay
from prometheus_client import REGISTRY

from storage.embedded import EmbeddedMongo
from storage.old_driver import Connection
from storage.old_storage import MongoStorage
from tests.contract.samples import a_close, a_payment, a_refund, a_refund_move, an_order
from tests.simulator.sink import Sink
from tests.support.clock import ManualClock
from tests.support.service import ROOT, wait_until
from tests.support.webhooks import AT, KEY, a_webhook
from wechat.domain.deliveries import Delivery, DeliveryState, Event, Outcome
from wechat.domain.errors import Conflict, NotFound
from wechat.domain.facts import RefundState
from wechat.domain.orders import TradeState
from wechat.domain.ports import DeliveryStore
from wechat.domain.refunds import LEASE
from wechat.events.delivery_worker import AT_ONCE, DELAYS_S, DeliveryWorker
from wechat.events.redelivery import Redelivery
from wechat.events.targets import Subscriber, Target
from wechat.webhooks import Webhook

LEASE_S = LEASE.total_seconds()
NUMBER = an_order().out_trade_no


class Spy:
    """A target in memory: keeps what it is told, fails while ``down``."""

    def __init__(self, name: str = "spy") -> None:
        self.name = name
        self.down = False
        self.told: list[Event] = []

    def wants(self, event_type: str) -> bool:
        return True

    async def deliver(self, event: Event) -> Outcome:
        self.told.append(event)
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

    async def claim(self, target: str, now: datetime, lease: timedelta) -> Delivery | None:
        self.made += 1
        return await self._deliveries.claim(target, now, lease)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._deliveries, name)


class Bench:
    """A relay and couriers over one store, stepped by hand."""

    def __init__(self, storage: MongoStorage, clock: ManualClock) -> None:
        self.storage = storage
        self.clock = clock
        self.resending = Redelivery(storage.deliveries, clock)

    async def paid(self, number: str = NUMBER) -> None:
        """Its move to paid, as the ledger makes it."""
        move = a_payment(f"T-{number}")
        await self.storage.orders.insert(an_order(number))
        await self.storage.orders.move(number, replace(move, event=replace(move.event, at=self.clock.now())))

    async def closed_and_paid(self, number: str = NUMBER) -> None:
        await self.storage.orders.insert(an_order(number))
        close, late = a_close(), a_payment(f"T-{number}", TradeState.PAID_LATE)
        for move in (close, replace(late, emits="order.paid_late")):
            await self.storage.orders.move(number, replace(move, event=replace(move.event, at=self.clock.now())))

    async def refunded(self, number: str = NUMBER) -> None:
        """A refund of it that succeeds."""
        refund, move = a_refund(f"R{number}", out_trade_no=number), a_refund_move(RefundState.SUCCESS)
        await self.storage.refunds.insert(refund)
        move = replace(move, event=replace(move.event, at=self.clock.now()))
        await self.storage.refunds.move(refund.out_refund_no, move)

    def relay(self, *targets: Target) -> Relay:
        return Relay(self.storage.outboxes, self.storage.deliveries, targets, self.clock)

    async def work(self, *targets: Target) -> None:
        """Hand out and try everything that is due now."""
        relay = self.relay(*targets)
        while await relay.once():
            pass
        for target in targets:
            while await self.courier(target).once():
                pass

    def courier(self, target: Target) -> DeliveryWorker:
        return DeliveryWorker(target, self.storage.deliveries, self.clock, spread=lambda: 1.0)

    async def states(self) -> Counter[str]:
        page = await self.storage.deliveries.find(state=None, limit=1000, cursor="")
        return Counter(delivery.state.value for delivery in page.items)


@asynccontextmanager
async def at_work(courier: DeliveryWorker) -> AsyncIterator[None]:
    """``courier`` from start to close."""
    courier.start()
    try:
        yield
    finally:
        await courier.close()


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


async def test_every_event_reaches_every_target_that_wants_it_once(bench: Bench, sink: Sink, webhook: Webhook) -> None:
    seen: list[Event] = []

    async def keep(event: Event) -> None:
        seen.append(event)

    plugin = Subscriber("shop", {"order.paid": keep})
    for i in range(10):
        await bench.paid(f"2026030112{i:04d}")
    await bench.closed_and_paid("closed-then-paid")
    await bench.work(webhook, plugin)
    await bench.work(webhook, plugin)
    assert (len(sink.received), len(set(ids(sink)))) == (12, 12)
    assert sorted(event.out_trade_no for event in seen) == [f"2026030112{i:04d}" for i in range(10)]
    assert await bench.states() == {"delivered": 22}


async def test_any_number_of_relays_and_couriers_deliver_each_event_once(bench: Bench) -> None:
    spy = Spy()
    for i in range(20):
        await bench.paid(f"2026030112{i:04d}")
    await asyncio.gather(*(bench.work(spy) for _ in range(5)))
    assert Counter(event.out_trade_no for event in spy.told) == {f"2026030112{i:04d}": 1 for i in range(20)}


async def test_an_orders_events_come_in_order_through_failures(bench: Bench, clock: ManualClock) -> None:
    spy = Spy()
    for i in range(10):
        await bench.closed_and_paid(f"2026030112{i:04d}")
    spy.down = True
    await bench.work(spy)
    assert {event.type for event in spy.told} == {"order.closed"}
    clock.advance(6)
    await bench.work(spy)
    spy.down = False
    clock.advance(301)
    await bench.work(spy)
    clock.advance(2)
    await bench.work(spy)
    for i in range(10):
        told = [event.type for event in spy.told if event.out_trade_no == f"2026030112{i:04d}"]
        assert told == ["order.closed"] * 3 + ["order.paid_late"]


async def test_a_plugin_that_has_a_task_of_its_own_cancelled_is_called_again_like_any_other(
    bench: Bench, clock: ManualClock
) -> None:
    told: list[str] = []

    async def handler(event: Event) -> None:
        told.append(event.out_trade_no)
        if len(told) == 1:
            task = asyncio.create_task(asyncio.sleep(10))
            task.cancel()
            await task

    plugin = Subscriber("shop", {"order.paid": handler})
    await bench.paid()
    await bench.work(plugin)
    clock.advance(DELAYS_S[0])
    await bench.work(plugin)
    assert told == [NUMBER, NUMBER]
    assert await bench.states() == {"delivered": 1}


async def test_a_plugin_at_work_ends_with_its_courier(bench: Bench) -> None:
    began = asyncio.Event()

    async def handler(event: Event) -> None:
        began.set()
        await asyncio.sleep(60)

    plugin = Subscriber("shop", {"order.paid": handler})
    await bench.paid()
    await _relay(bench, plugin)
    async with asyncio.timeout(5), at_work(bench.courier(plugin)):
        await began.wait()


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
    await bench.storage.refunds.insert(a_refund())
    clock.advance(1)
    succeeded = replace(a_refund_move(RefundState.SUCCESS), emits="refund.succeeded")
    moved = replace(succeeded, event=replace(succeeded.event, at=clock.now()))
    assert await bench.storage.refunds.move(a_refund().out_refund_no, moved)
    await bench.work(spy)
    spy.down = False
    clock.advance(10)
    await bench.work(spy)
    clock.advance(2)
    await bench.work(spy)
    assert [event.type for event in spy.told] == ["order.paid"] * 2 + ["refund.succeeded"]
    told = spy.told[-1]
    assert (told.out_trade_no, told.data["out_trade_no"]) == (NUMBER, NUMBER)
    assert (told.data["out_refund_no"], told.data["state"]) == (a_refund().out_refund_no, "SUCCESS")


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
    assert [event.type for event in down.told] == ["order.closed"]
    assert [event.type for event in up.told] == ["order.closed", "order.paid_late"]


async def test_tries_follow_the_schedule_and_end_with_a_dead_letter_and_one_alarm(
    bench: Bench, clock: ManualClock
) -> None:
    spy = Spy()
    spy.down = True
    alarms = _alarms()
    await bench.paid()
    for pause_s in (*DELAYS_S, 24 * 3600):
        await bench.work(spy)
        clock.advance(pause_s - 1)
        told = len(spy.told)
        await bench.work(spy)
        assert len(spy.told) == told
        clock.advance(1)
    await bench.work(spy)
    assert len(spy.told) == len(DELAYS_S) + 1
    [dead] = await bench.storage.deliveries.of_event(spy.told[0].id)
    assert (dead.state, dead.tries, len(dead.attempts), dead.due_at) == (DeliveryState.DEAD, 10, 10, None)
    assert {attempt.result for attempt in dead.attempts} == {"503"}
    assert (dead.attempts[-1].at - dead.attempts[0].at).total_seconds() == sum(DELAYS_S)
    assert _alarms() - alarms == 1


async def test_a_dead_letter_sent_again_by_hand_is_delivered_once(bench: Bench, clock: ManualClock) -> None:
    spy = Spy()
    spy.down = True
    await bench.paid()
    for pause_s in (*DELAYS_S, 0):
        await bench.work(spy)
        clock.advance(pause_s)
    spy.down, spy.told = False, spy.told[:1]
    event_id = spy.told[0].id
    again = await asyncio.gather(*(bench.resending.resend(event_id) for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in again) == ["Conflict"] * 4 + ["list"]
    await bench.work(spy)
    assert spy.told[0] == spy.told[1]
    assert len(spy.told) == 2
    assert await bench.states() == {"delivered": 1}
    with pytest.raises(Conflict):
        await bench.resending.resend(event_id)


async def test_an_event_whose_next_try_is_far_off_is_sent_again_at_once(bench: Bench, clock: ManualClock) -> None:
    spy = Spy()
    spy.down = True
    await bench.paid()
    for pause_s in DELAYS_S[:3]:
        await bench.work(spy)
        clock.advance(pause_s)
    await bench.work(spy)
    spy.down, event_id = False, spy.told[0].id
    [delivery] = await bench.resending.resend(event_id)
    assert (delivery.state, delivery.tries, delivery.due_at) == (DeliveryState.PENDING, 0, clock.now())
    await bench.work(spy)
    assert await bench.states() == {"delivered": 1}


async def test_what_cannot_be_sent_again_says_why(bench: Bench) -> None:
    spy = Spy()
    spy.down = True
    await bench.closed_and_paid()
    await bench.work(spy)
    pending = (await bench.storage.deliveries.find(state=None, limit=9, cursor="")).items
    closed, late = sorted(pending, key=lambda delivery: delivery.turn)
    for delivery, why in ((closed, "within a minute"), (late, "earlier event")):
        with pytest.raises(Conflict, match=why):
            await bench.resending.resend(delivery.event.id)
    spy.down = False
    bench.clock.advance(DELAYS_S[0])
    await bench.work(spy)
    with pytest.raises(Conflict, match="name a target"):
        await bench.resending.resend(closed.event.id)


async def test_a_delivered_event_is_sent_again_to_the_target_that_is_named_and_to_no_other(bench: Bench) -> None:
    erp, crm = Spy("erp"), Spy("crm")
    await bench.paid()
    await bench.work(erp, crm)
    event_id = erp.told[0].id
    [delivery] = await bench.resending.resend(event_id, "crm")
    assert (delivery.target, delivery.state) == ("crm", DeliveryState.PENDING)
    await bench.work(erp, crm)
    assert (len(erp.told), len(crm.told)) == (1, 2)
    for unknown in (("0" * 24, ""), (event_id, "nobody")):
        with pytest.raises(NotFound):
            await bench.resending.resend(*unknown)


async def test_a_courier_killed_between_telling_and_marking_leaves_an_event_that_comes_again_with_its_id(
    bench: Bench, clock: ManualClock, mongo: EmbeddedMongo, database: str, sink: Sink, webhook: Webhook
) -> None:
    for i in range(3):
        await bench.paid(f"2026030112{i:04d}")
    await _relay(bench, webhook)
    for _ in range(3):
        await _deliver_and_die(mongo.url, database, sink.url)
    assert len(set(ids(sink))) == 3
    await bench.work(webhook)
    assert len(sink.received) == 3
    clock.advance(LEASE_S)
    await bench.work(webhook)
    assert sorted(Counter(ids(sink)).values()) == [2, 2, 2]
    assert await bench.states() == {"delivered": 3}


async def test_a_relay_killed_at_any_point_loses_and_doubles_nothing(bench: Bench, clock: ManualClock) -> None:
    erp, crm = Spy("erp"), Spy("crm")
    for i in range(12):
        await bench.closed_and_paid(f"2026030112{i:04d}")
        task = asyncio.create_task(_relay(bench, erp, crm))
        await asyncio.sleep(i * 0.002)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for _ in range(3):
        clock.advance(LEASE_S)
        await bench.work(erp, crm)
    for spy in (erp, crm):
        told = Counter((event.out_trade_no, event.type) for event in spy.told)
        assert (len(told), set(told.values()), len({event.id for event in spy.told})) == (24, {1}, 24)


async def test_a_target_taken_out_of_the_settings_finds_its_events_when_it_comes_back(bench: Bench) -> None:
    erp, crm = Spy("erp"), Spy("crm")
    await bench.paid()
    await _relay(bench, erp, crm)
    await bench.work(crm)
    assert await bench.states() == {"delivered": 1, "pending": 1}
    await bench.work(erp, crm)
    assert (len(erp.told), len(crm.told)) == (1, 1)


async def test_relay_and_couriers_work_by_themselves(
    bench: Bench, clock: ManualClock, sink: Sink, webhook: Webhook
) -> None:
    relay = Relay(bench.storage.outboxes, bench.storage.deliveries, [webhook], clock)
    parts: list[Relay | DeliveryWorker] = [relay, bench.courier(webhook)]
    await bench.closed_and_paid()
    for part in parts:
        part.start()
    await asyncio.to_thread(sink.wait, 2)
    for part in parts:
        await part.close()
    assert len(set(ids(sink))) == 2


@pytest.fixture
def long_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has nothing to do rests for longer than a test lasts."""
    monkeypatch.setattr("wechat.outbox.IDLE_S", 60.0)


async def looked(looks: Looks, times: int) -> None:
    """Wait for so many looks, and then whether there are more."""
    await asyncio.to_thread(wait_until, lambda: looks.made >= times)
    await asyncio.sleep(0.3)
    assert looks.made == times


async def test_an_idle_courier_looks_once_at_a_time_however_many_loops_it_has(bench: Bench, long_rests: None) -> None:
    looks = Looks(bench.storage.deliveries)
    courier = DeliveryWorker(Spy(), cast(DeliveryStore, looks), bench.clock)
    async with at_work(courier):
        await looked(looks, AT_ONCE + 1)  # each loop once, before one watches for all
        courier.wake()
        await looked(looks, AT_ONCE + 2)


async def test_a_refund_is_told_after_its_payment_also_when_a_relay_died_with_the_payment_in_hand(
    bench: Bench, clock: ManualClock
) -> None:
    await bench.paid()
    assert await bench.storage.outboxes[0].claim(clock.now(), LEASE)
    await bench.refunded()
    spy = Spy()
    await bench.work(spy)
    assert spy.told == []
    clock.advance(LEASE_S)
    await bench.work(spy)
    clock.advance(1)
    await bench.work(spy)
    assert [event.type for event in spy.told] == ["order.paid", "refund.succeeded"]


async def test_a_refund_is_told_after_its_payment_also_when_many_payments_wait(
    bench: Bench, clock: ManualClock
) -> None:
    for i in range(5):
        await bench.paid(f"2026030112{i:04d}")
        clock.advance(0.01)
    await bench.paid()
    await bench.refunded()
    spy = Spy()
    relay, courier = bench.relay(spy), bench.courier(spy)
    for _ in range(10):
        await relay.once()
        while await courier.once():
            pass
        clock.advance(1)
    told = [event.type for event in spy.told if event.out_trade_no == NUMBER]
    assert told == ["order.paid", "refund.succeeded"]


async def test_documents_that_cannot_be_read_hold_up_no_other_outbox(bench: Bench, raw: Connection) -> None:
    """Orders that a newer release wrote, say."""
    for i in range(20):
        await bench.paid(f"2026030112{i:04d}")
    await raw.database["orders"].update_many({}, {"$set": {"api": "v9"}})
    await bench.refunded()
    relay = bench.relay(Spy())
    relay.start()
    for _ in range(100):
        if handed_out := await bench.states():
            break
        await asyncio.sleep(0.1)
    await relay.close()
    assert handed_out == {"pending": 1}


async def test_what_is_handed_out_wakes_the_courier_that_rests(bench: Bench, long_rests: None) -> None:
    spy, looks = Spy(), Looks(bench.storage.deliveries)
    courier = DeliveryWorker(spy, cast(DeliveryStore, looks), bench.clock)
    relay = Relay(bench.storage.outboxes, bench.storage.deliveries, [spy], bench.clock, [courier])
    await bench.paid()
    async with at_work(courier):
        await looked(looks, AT_ONCE + 1)
        assert await relay.once()
        await asyncio.to_thread(wait_until, lambda: spy.told)


async def test_a_burst_is_taken_by_all_loops_at_once(bench: Bench) -> None:
    slow = Slow(AT_ONCE)
    for i in range(2 * AT_ONCE):
        await bench.paid(f"2026030112{i:04d}")
    await _relay(bench, slow)
    async with at_work(bench.courier(slow)):
        await asyncio.to_thread(wait_until, lambda: len(slow.told) == 2 * AT_ONCE)


async def test_what_is_left_to_do_is_measured_for_the_relay_and_for_each_target(
    bench: Bench, clock: ManualClock, database: str
) -> None:
    spy = Spy(f"measured-{database}")
    await bench.paid("handed-out")
    await _relay(bench, spy)
    clock.advance(10)
    await bench.paid("not-handed-out")
    clock.advance(30)
    relay = Relay(bench.storage.outboxes, bench.storage.deliveries, [spy], clock)
    relay.start()
    await asyncio.to_thread(wait_until, lambda: _measured("oldest_due_seconds", spy.name))
    await relay.close()
    assert (_measured("pending", "relay"), _measured("oldest_due_seconds", "relay")) == (1, 30)
    assert (_measured("pending", spy.name), _measured("oldest_due_seconds", spy.name)) == (1, 40)


async def _relay(bench: Bench, *targets: Target) -> None:
    relay = Relay(bench.storage.outboxes, bench.storage.deliveries, targets, bench.clock)
    while await relay.once():
        pass


async def _deliver_and_die(mongo_url: str, database: str, receiver_url: str) -> None:
    """A courier in another process delivers one event and is killed before it can say so."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.courier", mongo_url, database, receiver_url,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout
    assert await asyncio.wait_for(child.stdout.readline(), 20) == b"told\n"
    child.kill()
    await child.wait()


def _alarms() -> float:
    return REGISTRY.get_sample_value("fenpay_alarms_total", {"kind": "event_undelivered"}) or 0.0


def _measured(what: str, target: str) -> float | None:
    return REGISTRY.get_sample_value(f"fenpay_outbox_{what}", {"target": target})
