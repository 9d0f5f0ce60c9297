"""Deliveries over the stores: added once, due by target and date, pending in the order of their events."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

from storage.stores.all import DELIVERIES
from tests.contract.samples import HOUR, NOW
from tests.storage.backing import Backing, Storage
from tests.storage.values import a_delivery
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds
from wechat.domain.deliveries import (
    KEEP,
    Attempt,
    Delivery,
    DeliveryState,
    claim_delivery,
    finish_delivery,
    revive_delivery,
)
from wechat.support.update import Updater

SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)
LEASE = timedelta(minutes=1)
TAKEN = Attempt(NOW, "200", 0.5)


def updater(storage: Storage, clock: ManualClock) -> Updater[Delivery]:
    return Updater(storage.deliveries, lambda delivery: delivery.id, RandomIds(), remembered=0)


async def add(storage: Storage, *deliveries: Delivery) -> None:
    for delivery in deliveries:
        assert await storage.deliveries.insert(delivery, "write-1")


async def test_a_delivery_is_added_once_by_whichever_process_hands_it_out(storage: Storage, backing: Backing) -> None:
    stores = (storage.deliveries, backing.open().deliveries)
    added = await asyncio.gather(*(stores[i % 2].insert(a_delivery(), f"write-{i}") for i in range(10)))
    assert added.count(True) == 1
    assert list(await storage.deliveries.of_event("e1")) == [a_delivery()]


async def test_adding_one_that_has_ended_changes_nothing(storage: Storage, clock: ManualClock) -> None:
    await add(storage, a_delivery())
    delivered = await updater(storage, clock).update(
        "e1:erp", lambda each: finish_delivery(each, "", DeliveryState.DELIVERED, TAKEN)
    )
    assert delivered is not None
    assert not await storage.deliveries.insert(a_delivery(), "write-2")
    assert list(await storage.deliveries.of_event("e1")) == [delivered.after]
    assert delivered.after.state is DeliveryState.DELIVERED


async def test_what_is_due_is_found_by_target_the_most_overdue_first(storage: Storage) -> None:
    deliveries = [
        a_delivery("now", due_at=NOW),
        a_delivery("late", due_at=NOW - HOUR),
        a_delivery("soon", due_at=NOW + MILLISECOND),
        a_delivery("ended", due_at=None, state=DeliveryState.DEAD),
        a_delivery("other", "crm", due_at=NOW - HOUR),
    ]
    await add(storage, *deliveries)
    due = await storage.deliveries.list_due("erp", NOW, 10)
    assert [stored.value for stored in due] == [deliveries[1], deliveries[0]]
    assert {stored.writes for stored in due} == {("write-1",)}
    assert [stored.value.event.id for stored in await storage.deliveries.list_due("erp", NOW, 1)] == ["late"]
    assert list(await storage.deliveries.list_due("nobody", NOW, 10)) == []


async def test_the_next_date_of_a_target_is_its_first_one_up_to_a_bound(storage: Storage) -> None:
    for name, ahead in (("first", 7), ("second", 9)):
        await add(storage, a_delivery(name, due_at=NOW + ahead * SECOND))
    await add(storage, a_delivery("other", "crm", due_at=NOW + SECOND))
    store = storage.deliveries
    assert await store.next_due("erp", NOW + 15 * SECOND) == NOW + 7 * SECOND
    assert await store.next_due("erp", NOW + 7 * SECOND) == NOW + 7 * SECOND
    assert await store.next_due("erp", NOW + 6 * SECOND) is None
    assert await store.next_due("crm", NOW + SECOND) == NOW + SECOND
    await add(storage, a_delivery("past", due_at=NOW - 5 * SECOND))
    assert await store.next_due("erp", NOW + 15 * SECOND) == NOW - 5 * SECOND


async def test_deliveries_that_cannot_be_read_hold_up_no_other(storage: Storage, backing: Backing) -> None:
    await add(storage, *(a_delivery(f"e{i}", due_at=NOW - HOUR + i * SECOND, sequence=i) for i in range(4)))
    for event_id, damage in (("e0", {"state": "lost"}), ("e1", {"data": "{"})):
        await backing.change(DELIVERIES, f"{event_id}:erp", damage)
    for _ in range(3):  # it may have to find out which they are
        due = await storage.deliveries.list_due("erp", NOW, 2)
    assert [stored.value.event.id for stored in due] == ["e2", "e3"]
    pending = await storage.deliveries.pending_of(a_delivery().ordering_key)
    assert [stored.value.event.id for stored in pending] == ["e2", "e3"]


async def test_what_is_due_is_counted_by_target_with_the_age_of_the_oldest(storage: Storage) -> None:
    for i, late_s in enumerate((10, 40, -5)):
        await add(storage, a_delivery(f"e{i}", due_at=NOW - timedelta(seconds=late_s)))
    await add(storage, a_delivery("e0", "crm"))
    assert await storage.deliveries.overdue("erp", NOW) == (2, 40.0)
    assert await storage.deliveries.overdue("crm", NOW) == (1, 0.0)
    assert await storage.deliveries.overdue("nobody", NOW) == (0, 0.0)


async def test_what_is_pending_for_one_order_and_target_comes_in_the_order_of_its_events(storage: Storage) -> None:
    pending = [a_delivery(f"e{sequence}", sequence=sequence) for sequence in (11, 2, 1, 9)]
    ended = [
        a_delivery("dead", sequence=3, due_at=None, state=DeliveryState.DEAD),
        a_delivery("delivered", sequence=4, due_at=None, state=DeliveryState.DELIVERED),
    ]
    others = [a_delivery("e1", "crm"), a_delivery("another", number="another-order")]
    await add(storage, *pending, *ended, *others)
    found = await storage.deliveries.pending_of(a_delivery().ordering_key)
    assert [stored.value.sequence for stored in found] == [1, 2, 9, 11]
    assert list(await storage.deliveries.pending_of("nobody")) == []


async def test_due_deliveries_are_claimed_once_each_and_again_when_the_lease_has_run_out(
    storage: Storage, backing: Backing, clock: ManualClock
) -> None:
    await add(storage, *(a_delivery(f"e{i}", number=f"order-{i}") for i in range(5)))
    due = await storage.deliveries.list_due("erp", NOW, 10)
    processes = (updater(storage, clock), updater(backing.open(), clock))
    claims = await asyncio.gather(
        *(
            processes[i % 2].change(stored, partial(claim_delivery, lease=f"lease-{i}", now=NOW, until=NOW + LEASE))
            for i in range(10)
            for stored in due
        )
    )
    assert len([change for change in claims if change]) == 5
    assert list(await storage.deliveries.list_due("erp", NOW + LEASE - MILLISECOND, 10)) == []
    assert len(await storage.deliveries.list_due("erp", NOW + LEASE, 10)) == 5


async def test_an_ended_delivery_has_an_end_of_its_keeping_until_it_is_revived(
    storage: Storage, backing: Backing, clock: ManualClock
) -> None:
    await add(storage, a_delivery())
    changes = updater(storage, clock)
    await changes.update("e1:erp", lambda each: finish_delivery(each, "", DeliveryState.DELIVERED, TAKEN))
    assert (await backing.document(DELIVERIES, "e1:erp"))["expires_at"] == NOW + KEEP == NOW + timedelta(days=90)
    await changes.update("e1:erp", lambda each: revive_delivery(each, NOW, LEASE))
    assert "expires_at" not in await backing.document(DELIVERIES, "e1:erp")
    [revived] = await storage.deliveries.of_event("e1")
    assert revived == replace(a_delivery(), attempts=(TAKEN,))


async def test_what_is_sent_is_the_same_text_each_time(storage: Storage, backing: Backing, clock: ManualClock) -> None:
    """A receiver checks a signature over it."""
    await add(storage, a_delivery())
    sent = (await backing.document(DELIVERIES, "e1:erp"))["data"]
    await updater(storage, clock).update(
        "e1:erp", lambda each: finish_delivery(each, "", DeliveryState.DELIVERED, TAKEN)
    )
    assert (await backing.document(DELIVERIES, "e1:erp"))["data"] == sent
    [stored] = await storage.deliveries.of_event("e1")
    assert stored.event.body() == a_delivery().event.body()
