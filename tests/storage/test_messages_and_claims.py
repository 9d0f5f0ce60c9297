"""Notifications, each event once; and keys and numbers that the first to come has."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from storage.memory.documents import SWEEP_EVERY
from tests.contract.samples import HOUR, MCHID, NOW, NUMBER, a_claim, a_message
from tests.storage.backing import Backing, MemoryBacking, Storage
from tests.storage.values import a_delivery
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds, a_runtime
from wechat.domain.errors import IdempotencyMismatch
from wechat.domain.facts import Api
from wechat.domain.messages import StoredNotification, conclude, count_again
from wechat.domain.numbers import NumberUse, refund_number
from wechat.support.claims import Claims
from wechat.support.update import Updater

RACERS = 50
SECOND = timedelta(seconds=1)


def updater(storage: Storage, clock: ManualClock) -> Updater[StoredNotification]:
    return Updater(storage.notifications, lambda message: message.id, RandomIds(), remembered=0)


async def record(messages: Updater[StoredNotification], message: StoredNotification) -> int:
    """Store a message, or count its repetition; how often it has been seen."""
    if await messages.insert(message):
        return 1
    change = await messages.update(message.id, lambda stored: count_again(stored, message.first_at))
    assert change is not None
    return change.after.seen


# -- notifications -----------------------------------------------------------------------------------------------------


async def test_notifications_of_a_merchant_are_listed_by_their_first_arrival_newest_first(storage: Storage) -> None:
    for i in range(5):
        at = NOW - i // 2 * SECOND  # some at the same time
        await storage.notifications.insert(a_message(f"event-{i}", first_at=at, last_at=NOW + HOUR), f"write-{i}")
    await storage.notifications.insert(a_message("another", mchid="1900000999"), "write-9")
    listed: list[str] = []
    cursor, more = "", True
    while more:
        page = await storage.notifications.find(MCHID, limit=2, cursor=cursor)
        listed += [message.id for message in page.items]
        cursor, more = page.next_cursor, bool(page.next_cursor)
    assert listed == ["event-1", "event-0", "event-3", "event-2", "event-4"]


async def test_a_repeated_message_is_one_document_that_counts(
    storage: Storage, backing: Backing, clock: ManualClock
) -> None:
    """Two processes at once."""
    processes = (updater(storage, clock), updater(backing.open(), clock))
    arrivals = [a_message(first_at=NOW + i * SECOND) for i in range(RACERS)]
    seen = await asyncio.gather(*(record(processes[i % 2], message) for i, message in enumerate(arrivals)))
    assert sorted(seen) == list(range(1, RACERS + 1))
    [stored] = await storage.notifications.of_order(MCHID, NUMBER)
    assert (stored.id, stored.api, stored.kind, stored.seen, stored.verdict) == (
        "event-1", Api.V3, "payment", RACERS, "",
    )  # fmt: skip


async def test_the_first_message_is_kept_raw_with_its_headers_and_dates(storage: Storage, clock: ManualClock) -> None:
    messages = updater(storage, clock)
    first = a_message(raw=b"\x00first")
    await record(messages, first)
    await record(messages, a_message(raw=b"second", headers={}, first_at=NOW + HOUR, expires_at=NOW + 9 * HOUR))
    assert await messages.get("event-1") == replace(first, seen=2, last_at=NOW + HOUR)


@pytest.mark.parametrize(
    ("verdicts", "left"),
    [
        (["applied"], "applied"),
        (["total", "appid"], "total"),
        (["total", "applied"], "applied"),
        (["applied", "total"], "applied"),
    ],
)
async def test_applied_wins_over_any_verdict_and_otherwise_the_first_stays(
    storage: Storage, clock: ManualClock, verdicts: list[str], left: str
) -> None:
    messages = updater(storage, clock)
    await record(messages, a_message())
    for verdict in verdicts:
        await messages.update("event-1", partial(conclude, verdict=verdict, now=NOW))
    [stored] = await storage.notifications.of_order(MCHID, NUMBER)
    assert stored.verdict == left


async def test_the_messages_of_an_order_are_listed_oldest_first(storage: Storage) -> None:
    for name, after_s in (("a", 20), ("c", 30), ("b", 10)):
        await storage.notifications.insert(a_message(name, first_at=NOW + timedelta(seconds=after_s)), "write-1")
    await storage.notifications.insert(a_message("d", "another-order"), "write-1")
    assert [message.id for message in await storage.notifications.of_order(MCHID, NUMBER)] == ["b", "a", "c"]


async def test_of_another_merchant_only_messages_that_came_here_by_mistake_are_listed(storage: Storage) -> None:
    theirs = a_message("theirs", mchid="another")
    mistaken = a_message("mistaken", mchid="another", verdict="mchid", concluded_at=NOW)
    for message in (a_message("ours"), theirs, mistaken):
        await storage.notifications.insert(message, "write-1")
    found = await storage.notifications.of_order(MCHID, NUMBER)
    assert sorted(message.id for message in found) == ["mistaken", "ours"]


# -- claims ------------------------------------------------------------------------------------------------------------


async def test_a_key_belongs_to_its_first_claim(storage: Storage, clock: ManualClock) -> None:
    claims = Claims(storage.claims, a_runtime(clock))
    assert await claims.claim(a_claim()) == a_claim()
    assert await claims.claim(a_claim("other")) == a_claim()
    with pytest.raises(IdempotencyMismatch):
        await claims.claim(a_claim("other", "d2"))


async def test_of_fifty_claims_all_are_told_of_the_same_one(
    storage: Storage, backing: Backing, clock: ManualClock
) -> None:
    processes = [Claims(stores.claims, a_runtime(clock)) for stores in (storage, backing.open())]
    payload = await asyncio.gather(*(processes[i % 2].claim(a_claim(f"number-{i}")) for i in range(RACERS)))
    assert len({claim.number for claim in payload}) == 1


async def test_a_held_claim_is_passed_on_once(storage: Storage, backing: Backing, clock: ManualClock) -> None:
    processes = [Claims(stores.claims, a_runtime(clock)) for stores in (storage, backing.open())]
    held = await processes[0].claim(a_claim())
    passed = await asyncio.gather(*(processes[i % 2].pass_on(held, f"number-{i}", held.expires_at) for i in range(10)))
    assert passed.count(True) == 1
    assert (await processes[1].claim(a_claim())).number == f"number-{passed.index(True)}"


async def test_of_fifty_orders_that_want_one_number_all_are_told_of_the_same_one(
    storage: Storage, backing: Backing
) -> None:
    stores, number = (storage.numbers, backing.open().numbers), refund_number(MCHID, "R1")
    payload = await asyncio.gather(*(stores[i % 2].reserve(NumberUse(number, f"order-{i}")) for i in range(RACERS)))
    assert len({use.order_key for use in payload}) == 1
    assert await storage.numbers.get(number) == payload[0]


# -- expiry in memory; MongoDB's is an index ---------------------------------------------------------------------------


async def test_memory_forgets_what_has_expired_at_that_very_moment(clock: ManualClock) -> None:
    storage = MemoryBacking(clock).open()
    claims = Claims(storage.claims, a_runtime(clock))
    other = a_claim("other")
    assert await claims.claim(a_claim()) == a_claim()
    clock.advance(3600 - 0.001)
    assert await claims.claim(other) == a_claim()
    clock.advance(0.001)
    assert await storage.claims.get(other.key) is None
    assert await claims.claim(other) == other


async def test_memory_lists_and_counts_nothing_that_has_expired(clock: ManualClock) -> None:
    storage = MemoryBacking(clock).open()
    await storage.notifications.insert(a_message(), "write-1")
    await storage.deliveries.insert(a_delivery(expires_at=NOW + HOUR), "write-1")
    clock.advance(3600)
    assert list(await storage.notifications.of_order(MCHID, NUMBER)) == []
    assert list(await storage.deliveries.of_event("e1")) == []
    assert (await storage.deliveries.find(state=None, limit=5, cursor="")).items == ()
    assert list(await storage.deliveries.list_due("erp", clock.now(), 5)) == []


async def test_memory_keeps_orders_and_numbers_for_good(clock: ManualClock) -> None:
    storage = MemoryBacking(clock).open()
    use = NumberUse(refund_number(MCHID, "R1"), "order-1")
    await storage.numbers.reserve(use)
    clock.advance(400 * 86400)
    assert await storage.numbers.reserve(NumberUse(use.number, "order-2")) == use


async def test_memory_removes_what_has_expired_while_others_come(clock: ManualClock) -> None:
    """With the clock set back, what is still there would be seen again."""
    storage = MemoryBacking(clock).open()
    kept = replace(a_claim(), key="kept", expires_at=NOW + 9 * HOUR)
    for claim in (a_claim(), kept):
        await storage.claims.insert(claim, "write-1")
    clock.advance(3600)
    for number in range(SWEEP_EVERY):
        await storage.claims.insert(replace(kept, key=f"other-{number}"), "write-1")
    clock.advance(-3600)
    assert await storage.claims.get(a_claim().key) is None
    assert await storage.claims.get("kept") is not None
