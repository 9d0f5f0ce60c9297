"""Deliveries on their way: leases, the order of events, blocked ones, and sending again by hand.

Transitions are pure. Claims and ends are made over both drivers, against a real server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from storage.mongo.storage import MongoStorage
from tests.contract.samples import HOUR, MCHID, NOW, NUMBER
from tests.support.clock import ManualClock
from tests.support.runtime import CountedIds, RecordedTelemetry, a_runtime
from tests.support.service import wait_until
from wechat.domain.deliveries import (
    KEEP,
    MAX_ATTEMPTS,
    Attempt,
    Delivery,
    DeliveryState,
    Event,
    Outcome,
    block_delivery,
    claim_delivery,
    finish_delivery,
    retry_delivery,
    revive_delivery,
    unblock_delivery,
)
from wechat.domain.errors import Conflict
from wechat.domain.ports import DeliveryStore, Stored
from wechat.events.delivery_worker import (
    AT_ONCE,
    DELAYS_S,
    LEASE,
    SPREAD,
    STEP,
    DeliveryJob,
    DeliveryWork,
    DeliveryWorker,
)
from wechat.events.redelivery import Redelivery
from wechat.support.worker import Worker

SECOND = timedelta(seconds=1)
FAILED = Attempt(NOW, "503", 0.25)
TAKEN = Attempt(NOW, "200", 0.5)
LEASED = NOW + LEASE


def a_delivery(
    event_id: str = "e1", target: str = "erp", number: str = NUMBER, sequence: int = 1, **changes: Any
) -> Delivery:
    event = Event(event_id, "order.paid", NOW, number, {"out_trade_no": number, "total": 3600, "description": "拿铁"})
    return replace(Delivery(event, target, f"{MCHID}:{number}", sequence, NOW), **changes)


def claimed(delivery: Delivery | None = None, lease: str = "mine") -> Delivery:
    return claim_delivery(delivery or a_delivery(), lease, NOW, LEASED)


# -- transitions -------------------------------------------------------------------------------------------------------


def test_a_delivery_that_is_due_is_claimed_until_its_lease_runs_out() -> None:
    taken = claimed()
    assert taken == a_delivery(lease="mine", due_at=LEASED)
    assert claim_delivery(taken, "mine", LEASED, LEASED + LEASE) is taken  # applied twice is applied once
    assert claim_delivery(taken, "yours", LEASED - SECOND, LEASED + LEASE) is taken
    again = claim_delivery(taken, "yours", LEASED, LEASED + LEASE)
    assert again == a_delivery(lease="yours", due_at=LEASED + LEASE)


@pytest.mark.parametrize(
    "delivery",
    [
        a_delivery(due_at=NOW + SECOND),
        a_delivery(state=DeliveryState.DELIVERED, due_at=None),
        a_delivery(state=DeliveryState.DEAD, due_at=None),
    ],
)
def test_what_is_not_due_or_has_ended_is_not_claimed(delivery: Delivery) -> None:
    assert claimed(delivery) is delivery


def test_only_the_holder_blocks_and_only_what_is_blocked_is_unblocked() -> None:
    taken = claimed()
    assert block_delivery(taken, "yours", NOW + HOUR) is taken
    blocked = block_delivery(taken, "mine", NOW + HOUR)
    assert blocked == a_delivery(due_at=NOW + HOUR, blocked=True)
    assert block_delivery(blocked, "mine", NOW + 2 * HOUR) is blocked
    assert unblock_delivery(blocked, NOW) == a_delivery()
    for other in (taken, a_delivery(due_at=NOW + HOUR), a_delivery(state=DeliveryState.DEAD, blocked=True)):
        assert unblock_delivery(other, NOW) is other
    assert claim_delivery(blocked, "yours", NOW + HOUR, NOW + 2 * HOUR).blocked is False


def test_a_retry_counts_the_try_records_it_and_sets_the_date() -> None:
    retried = retry_delivery(claimed(), "mine", FAILED, NOW + HOUR)
    assert retried == a_delivery(due_at=NOW + HOUR, tries=1, attempts=(FAILED,))
    assert retry_delivery(retried, "mine", FAILED, NOW + 2 * HOUR) is retried


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.DEAD])
def test_an_end_is_recorded_once_and_kept_for_some_time(state: DeliveryState) -> None:
    ended = finish_delivery(claimed(), "mine", state, TAKEN)
    expected = a_delivery(state=state, due_at=None, tries=1, attempts=(TAKEN,), expires_at=NOW + KEEP)
    assert ended == expected
    assert finish_delivery(ended, "mine", state, TAKEN) is ended
    assert retry_delivery(ended, "mine", FAILED, NOW + HOUR) is ended


def test_whoever_lost_the_lease_cannot_postpone_or_give_up_but_can_say_delivered() -> None:
    held = claim_delivery(claimed(lease="stale"), "held", LEASED, LEASED + LEASE)
    assert retry_delivery(held, "stale", FAILED, NOW + HOUR) is held
    assert finish_delivery(held, "stale", DeliveryState.DEAD, FAILED) is held
    delivered = finish_delivery(held, "stale", DeliveryState.DELIVERED, TAKEN)
    assert delivered.state is DeliveryState.DELIVERED
    assert retry_delivery(delivered, "held", FAILED, NOW + HOUR) is delivered
    assert finish_delivery(delivered, "held", DeliveryState.DELIVERED, TAKEN) is delivered
    dead = finish_delivery(held, "held", DeliveryState.DEAD, FAILED)
    assert finish_delivery(dead, "stale", DeliveryState.DELIVERED, TAKEN).state is DeliveryState.DELIVERED


def test_the_recorded_attempts_are_bounded() -> None:
    delivery = a_delivery()
    for i in range(25):
        delivery = retry_delivery(claimed(delivery), "mine", replace(FAILED, result=str(500 + i)), NOW)
    results = [attempt.result for attempt in delivery.attempts]
    assert (delivery.tries, results) == (25, [str(i) for i in range(505, 525)])
    assert len(results) == MAX_ATTEMPTS


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.DEAD])
def test_an_ended_delivery_is_revived_with_its_attempts_and_is_not_removed(state: DeliveryState) -> None:
    ended = finish_delivery(claimed(), "mine", state, FAILED)
    revived = revive_delivery(ended, NOW + HOUR, LEASE)
    assert revived == a_delivery(due_at=NOW + HOUR, attempts=(FAILED,))
    assert revive_delivery(revived, NOW + HOUR, LEASE) is revived


def test_one_that_failed_is_revived_when_its_next_try_is_further_away_than_a_lease() -> None:
    soon = a_delivery(tries=1, attempts=(FAILED,), due_at=NOW + LEASE)
    late = replace(soon, due_at=NOW + LEASE + SECOND)
    assert revive_delivery(soon, NOW, LEASE) is soon
    assert revive_delivery(late, NOW, LEASE) == replace(late, tries=0, due_at=NOW)


@pytest.mark.parametrize(
    "delivery",
    [
        a_delivery(),
        a_delivery(lease="mine", due_at=LEASED),
        a_delivery(lease="mine", due_at=LEASED, tries=3),
        a_delivery(blocked=True, due_at=NOW + HOUR),
        a_delivery(blocked=True, due_at=NOW + HOUR, tries=1),  # failed once, before an earlier one was sent again
    ],
    ids=["due", "first try under way", "fourth try under way", "blocked", "blocked after a try"],
)
def test_what_is_due_or_under_way_or_waits_for_its_turn_is_not_revived(delivery: Delivery) -> None:
    assert revive_delivery(delivery, NOW, LEASE) is delivery


# -- claims ------------------------------------------------------------------------------------------------------------


class Receiver:
    """A target that keeps the ids of the events it is told, and answers what ``outcomes`` say, then yes."""

    def __init__(self, name: str = "erp", *outcomes: bool) -> None:
        self.name = name
        self.received: list[str] = []
        self._outcomes = list(outcomes)

    def wants(self, event_type: str) -> bool:
        return True

    async def deliver(self, event: Event) -> Outcome:
        self.received.append(event.id)
        await asyncio.sleep(0)
        ok = self._outcomes.pop(0) if self._outcomes else True
        return Outcome(ok, "200" if ok else "503")


class DeliveryFixture:
    """Deliveries in a store, and processes that work on them."""

    def __init__(self, storage: MongoStorage, clock: ManualClock) -> None:
        self.storage = storage
        self.clock = clock
        self.telemetry = RecordedTelemetry()
        self.runtime = a_runtime(clock, telemetry=self.telemetry)
        self.redelivery = Redelivery(storage.deliveries, self.runtime)

    async def add(self, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            assert await self.storage.deliveries.insert(delivery, f"add {delivery.id}")

    def work(self, receiver: Receiver | None = None) -> DeliveryWork:
        """The delivery work of one process, whose retries have no random spread."""
        return DeliveryWork(receiver or Receiver(), self.storage.deliveries, self.runtime, spread=lambda: 1.0)

    async def get(self, delivery: Delivery) -> Stored[Delivery]:
        stored = await self.storage.deliveries.get(delivery.id)
        assert stored is not None
        return stored

    async def put(self, delivery: Delivery) -> None:
        """Store ``delivery`` in place of what is there."""
        assert await self.storage.deliveries.replace(await self.get(delivery), delivery, "put")

    async def is_due(self, target: str = "erp") -> bool:
        return bool(await self.storage.deliveries.list_due(target, self.clock.now(), 1))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def delivery_fixture(storage: MongoStorage, clock: ManualClock) -> DeliveryFixture:
    return DeliveryFixture(storage, clock)


def names(jobs: Sequence[DeliveryJob]) -> list[str]:
    return sorted(job.delivery.event.id for job in jobs)


async def test_due_deliveries_are_taken_once_each_and_again_when_the_lease_has_run_out(
    delivery_fixture: DeliveryFixture, clock: ManualClock
) -> None:
    await delivery_fixture.add(*[a_delivery(f"e{i}", number=f"2026030112{i:04d}") for i in range(5)])
    taken = await asyncio.gather(*(delivery_fixture.work().claim(3) for _ in range(10)))
    assert names([job for jobs in taken for job in jobs]) == [f"e{i}" for i in range(5)]
    for jobs in taken:
        assert all(job.delivery.due_at == NOW + LEASE and job.lease == job.delivery.lease for job in jobs)
    clock.advance(LEASE.total_seconds() - 1)
    assert await delivery_fixture.work().claim(10) == []
    clock.advance(1)
    assert names(await delivery_fixture.work().claim(10)) == [f"e{i}" for i in range(5)]


async def test_no_more_are_claimed_than_are_asked_for(delivery_fixture: DeliveryFixture) -> None:
    await delivery_fixture.add(*[a_delivery(f"e{i}", number=f"2026030112{i:04d}") for i in range(20)])
    assert len(await delivery_fixture.work().claim(3)) == 3
    assert len(await delivery_fixture.storage.deliveries.list_due("erp", NOW, 100)) == 17


async def test_a_claimed_delivery_comes_back_as_it_was_stored_with_the_lease(delivery_fixture: DeliveryFixture) -> None:
    await delivery_fixture.add(a_delivery())
    [job] = await delivery_fixture.work().claim(1)
    assert job.delivery == a_delivery(due_at=NOW + LEASE, lease=job.lease)
    assert (await delivery_fixture.get(a_delivery())).value == job.delivery


async def test_a_later_event_of_an_order_waits_for_the_earlier_one_and_follows_it_at_once(
    delivery_fixture: DeliveryFixture,
) -> None:
    await delivery_fixture.add(a_delivery("e1"), a_delivery("e2", sequence=2))
    work = delivery_fixture.work()
    [first] = await work.claim(AT_ONCE)
    assert first.delivery.event.id == "e1"
    assert await delivery_fixture.work().claim(AT_ONCE) == []
    waiting = (await delivery_fixture.get(a_delivery("e2"))).value
    assert (waiting.blocked, waiting.lease, waiting.due_at) == (True, "", NOW + LEASE)
    await work.run(first)
    [second] = await delivery_fixture.work().claim(AT_ONCE)
    assert second.delivery.event.id == "e2"


async def test_a_started_worker_goes_on_with_the_later_event_as_soon_as_the_earlier_one_has_ended(
    delivery_fixture: DeliveryFixture,
) -> None:
    class Slow(Receiver):
        async def deliver(self, event: Event) -> Outcome:
            await asyncio.sleep(0.3)  # the worker has looked for more meanwhile, and rests
            return await super().deliver(event)

    await delivery_fixture.add(a_delivery("e1"), a_delivery("e2", sequence=2), a_delivery("e3", sequence=3))
    receiver = Slow()
    worker = DeliveryWorker(receiver, delivery_fixture.storage.deliveries, delivery_fixture.runtime)
    worker.start()
    try:
        await asyncio.to_thread(wait_until, lambda: len(receiver.received) == 3, 5)
    finally:
        await worker.close()
    assert receiver.received == ["e1", "e2", "e3"]


async def test_a_later_event_is_blocked_for_as_long_as_the_earlier_one_rests(
    delivery_fixture: DeliveryFixture, clock: ManualClock
) -> None:
    """The later event is due together with the earlier one, so no claim reads it in vain before."""
    await delivery_fixture.add(a_delivery("e1", due_at=NOW + HOUR, tries=3), a_delivery("e2", sequence=2))
    assert await delivery_fixture.work().claim(AT_ONCE) == []
    waiting = (await delivery_fixture.get(a_delivery("e2"))).value
    assert (waiting.blocked, waiting.due_at) == (True, NOW + HOUR)
    clock.advance(HOUR.total_seconds() - 1)
    assert not await delivery_fixture.is_due()


async def test_a_later_event_takes_nobodys_place(delivery_fixture: DeliveryFixture) -> None:
    """A claim of a single delivery that finds the later one first takes the earlier one instead."""
    late = a_delivery("e1", due_at=NOW - SECOND)
    await delivery_fixture.add(late, a_delivery("e2", sequence=2, due_at=NOW - HOUR))
    work = DeliveryWork(
        Receiver(), delivery_fixture.storage.deliveries, a_runtime(delivery_fixture.clock, CountedIds())
    )
    [job] = await work.claim(1)
    assert job.delivery.event.id == "e1"
    later = (await delivery_fixture.get(a_delivery("e2"))).value
    assert (later.blocked, later.due_at) == (True, NOW + STEP)


async def test_no_event_is_left_waiting_when_its_predecessor_ends_while_it_is_blocked(
    delivery_fixture: DeliveryFixture,
) -> None:
    receiver, processes = Receiver(), 8
    for number in range(40):
        order = f"20260301120506{number:03}"
        await delivery_fixture.add(*[a_delivery(f"{order}{n}", number=order, sequence=n) for n in (1, 2, 3)])

    async def deliver() -> None:
        worker = Worker(delivery_fixture.work(receiver), delivery_fixture.runtime, 2)
        while await delivery_fixture.is_due():
            await worker.once()

    while await delivery_fixture.is_due():
        await asyncio.gather(*(deliver() for _ in range(processes)))
    assert (len(receiver.received), len(set(receiver.received))) == (120, 120)
    for number in range(40):
        order = f"20260301120506{number:03}"
        assert [event for event in receiver.received if event.startswith(order)] == [f"{order}{n}" for n in (1, 2, 3)]
    page = await delivery_fixture.storage.deliveries.find(state=DeliveryState.PENDING, limit=200, cursor="")
    assert page.items == ()


async def test_a_later_event_goes_when_the_earlier_one_is_given_up(delivery_fixture: DeliveryFixture) -> None:
    await delivery_fixture.add(a_delivery("e1", tries=len(DELAYS_S)), a_delivery("e2", sequence=2))
    work = delivery_fixture.work(Receiver("erp", False))
    [first] = await work.claim(AT_ONCE)
    await work.run(first)
    assert (await delivery_fixture.get(a_delivery("e1"))).value.state is DeliveryState.DEAD
    assert delivery_fixture.telemetry.alarms("event_undelivered") == 1
    [second] = await delivery_fixture.work().claim(AT_ONCE)
    assert second.delivery.event.id == "e2"


class Unread:
    """``DeliveryStore`` of which no single delivery may be read."""

    def __init__(self, store: DeliveryStore) -> None:
        self._store = store

    async def get(self, key: str) -> None:
        pytest.fail(f"{key} is read")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("taken", [True, False])
async def test_the_result_of_an_attempt_is_written_without_reading(
    delivery_fixture: DeliveryFixture, *, taken: bool
) -> None:
    await delivery_fixture.add(a_delivery("e1"))
    store = cast(DeliveryStore, Unread(delivery_fixture.storage.deliveries))
    work = DeliveryWork(Receiver("erp", taken), store, delivery_fixture.runtime)
    [job] = await work.claim(1)
    await work.run(job)
    assert [attempt.result for attempt in (await delivery_fixture.get(job.delivery)).value.attempts]


async def test_a_delivery_that_others_gave_up_meanwhile_raises_no_second_alarm(
    delivery_fixture: DeliveryFixture,
) -> None:
    await delivery_fixture.add(a_delivery("e1", tries=len(DELAYS_S)))
    work = delivery_fixture.work(Receiver("erp", False))
    [job] = await work.claim(1)
    ended = finish_delivery(job.delivery, job.lease, DeliveryState.DEAD, FAILED)
    await delivery_fixture.put(ended)
    await work.run(job)
    assert delivery_fixture.telemetry.alarms("event_undelivered") == 0
    assert (await delivery_fixture.get(a_delivery("e1"))).value == ended


async def test_other_orders_and_other_targets_wait_for_nobody(delivery_fixture: DeliveryFixture) -> None:
    await delivery_fixture.add(
        a_delivery("e1"),
        a_delivery("e2", number="another-order", sequence=2),
        a_delivery("e3", target="crm", sequence=2),
        a_delivery("e4", sequence=2),
    )
    assert names(await delivery_fixture.work().claim(AT_ONCE)) == ["e1", "e2"]
    assert names(await delivery_fixture.work(Receiver("crm")).claim(AT_ONCE)) == ["e3"]


async def test_the_same_number_at_another_merchant_is_another_order(delivery_fixture: DeliveryFixture) -> None:
    other = a_delivery("e2", sequence=2, order_key=f"1900000999:{NUMBER}")
    await delivery_fixture.add(a_delivery("e1"), other)
    assert names(await delivery_fixture.work().claim(AT_ONCE)) == ["e1", "e2"]


async def test_blocked_deliveries_keep_nothing_else_that_is_due_waiting(
    delivery_fixture: DeliveryFixture, clock: ManualClock
) -> None:
    """A target was down for a while: the later events of its orders come due again, and one more order has an event."""
    for i in range(3 * AT_ONCE):
        order = f"2026030112{i:04d}"
        await delivery_fixture.add(
            a_delivery(f"{order}1", number=order, tries=3, due_at=NOW + HOUR),
            a_delivery(f"{order}2", number=order, sequence=2),
        )
    await delivery_fixture.add(a_delivery("new", number="another-order", due_at=NOW + SECOND))
    clock.advance(60)
    receiver = Receiver()
    runtime = a_runtime(clock, CountedIds())  # candidates are taken in the order in which they came due
    worker = DeliveryWorker(receiver, delivery_fixture.storage.deliveries, runtime)
    worker.start()
    try:
        await asyncio.to_thread(wait_until, lambda: receiver.received, 5)
    finally:
        await worker.close()
    assert receiver.received == ["new"]


async def test_a_failed_try_is_postponed_by_the_schedule_give_or_take_a_fifth(
    delivery_fixture: DeliveryFixture,
) -> None:
    """The random spread keeps retries from arriving all at once."""
    count = 20
    await delivery_fixture.add(*[a_delivery(f"e{i:02}", number=f"2026030112{i:04d}") for i in range(count)])
    receiver = Receiver("erp", *[False] * count)
    work = DeliveryWork(receiver, delivery_fixture.storage.deliveries, delivery_fixture.runtime)
    for job in await work.claim(count):
        await work.run(job)
    found = [(await delivery_fixture.get(a_delivery(f"e{i:02}"))).value for i in range(count)]
    assert {delivery.tries for delivery in found} == {1}
    pauses = [(delivery.due_at - NOW).total_seconds() for delivery in found if delivery.due_at]
    assert len(pauses) == count
    assert all(DELAYS_S[0] * (1 - SPREAD) - 0.001 <= pause <= DELAYS_S[0] * (1 + SPREAD) for pause in pauses)
    assert len(set(pauses)) > count / 2


async def test_a_stale_holder_changes_nothing_but_that_it_was_delivered(
    delivery_fixture: DeliveryFixture, clock: ManualClock
) -> None:
    await delivery_fixture.add(a_delivery("e1"), a_delivery("e2", number="another-order"))
    stale = delivery_fixture.work(Receiver("erp", False, True))
    first, second = sorted(await stale.claim(2), key=lambda job: job.delivery.event.id)
    clock.advance(LEASE.total_seconds())
    assert names(await delivery_fixture.work().claim(2)) == ["e1", "e2"]
    held = (await delivery_fixture.get(a_delivery("e1"))).value
    await stale.run(first)
    assert (await delivery_fixture.get(a_delivery("e1"))).value == held
    await stale.run(second)
    assert (await delivery_fixture.get(a_delivery("e2"))).value.state is DeliveryState.DELIVERED


# -- sending again -----------------------------------------------------------------------------------------------------


async def test_of_ten_resends_one_counts_and_a_pending_one_is_left_alone(
    delivery_fixture: DeliveryFixture, clock: ManualClock
) -> None:
    await delivery_fixture.add(a_delivery())
    with pytest.raises(Conflict):
        await delivery_fixture.redelivery.resend("e1")
    failing = delivery_fixture.work(Receiver("erp", False))
    [job] = await failing.claim(1)
    with pytest.raises(Conflict):
        await delivery_fixture.redelivery.resend("e1")  # it is under way
    await failing.run(job)
    stored = (await delivery_fixture.get(a_delivery())).value
    await delivery_fixture.put(finish_delivery(claim_delivery(stored, "l", NOW + HOUR, NOW + 2 * HOUR), "l", *GIVEN_UP))
    clock.advance(HOUR.total_seconds())
    processes = [Redelivery(delivery_fixture.storage.deliveries, delivery_fixture.runtime) for _ in range(10)]
    results = await asyncio.gather(*(process.resend("e1") for process in processes), return_exceptions=True)
    revived = [result for result in results if isinstance(result, list)]
    assert [type(result) for result in results].count(Conflict) == 9
    [[delivery]] = revived
    assert (delivery.state, delivery.due_at, delivery.tries) == (DeliveryState.PENDING, NOW + HOUR, 0)
    assert [attempt.result for attempt in delivery.attempts] == ["503", "503"]


GIVEN_UP = (DeliveryState.DEAD, FAILED)


async def test_a_revived_delivery_is_kept_by_the_server_until_it_ends_again(delivery_fixture: DeliveryFixture) -> None:
    await delivery_fixture.add(a_delivery())
    work = delivery_fixture.work()
    [job] = await work.claim(1)
    await work.run(job)
    assert (await delivery_fixture.get(a_delivery())).document["expires_at"] == NOW + KEEP
    await delivery_fixture.redelivery.resend("e1", "erp")
    assert "expires_at" not in (await delivery_fixture.get(a_delivery())).document


async def test_an_event_sent_again_is_delivered_before_the_later_ones_that_are_pending(
    delivery_fixture: DeliveryFixture,
) -> None:
    await delivery_fixture.add(
        a_delivery("e1", state=DeliveryState.DEAD, due_at=None, tries=10),
        a_delivery("e2", sequence=2),
        a_delivery("e3", sequence=3),
    )
    await delivery_fixture.redelivery.resend("e1")
    receiver = Receiver()
    worker = Worker(delivery_fixture.work(receiver), delivery_fixture.runtime, AT_ONCE)
    while await delivery_fixture.is_due():
        await worker.once()
    assert receiver.received == ["e1", "e2", "e3"]
