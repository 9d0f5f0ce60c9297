"""What the outbox and the deliveries promise, over both drivers, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from storage.embedded import EmbeddedMongo
from storage.old_driver import Connection, Driver, connect
from storage.old_storage import MongoStorage
from storage.outbox import MongoOutbox
from tests.contract.samples import HOUR, NOW, a_close, a_payment, an_order
from wechat.domain.deliveries import Attempt, Delivery, DeliveryState, Event
from wechat.domain.errors import StoreUnavailable
from wechat.domain.orders import TradeState

NUMBER = an_order().out_trade_no
LEASE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)
FAILED = Attempt(NOW, "503", 0.25)
TAKEN = Attempt(NOW, "200", 0.5)


@pytest.fixture
def outbox(storage: MongoStorage) -> MongoOutbox:
    return storage.outboxes[0]


async def paid(storage: MongoStorage, number: str = NUMBER, at: datetime = NOW) -> None:
    await storage.orders.insert(an_order(number))
    payment = a_payment(f"T-{number}")
    assert await storage.orders.move(number, replace(payment, event=replace(payment.event, at=at)))


async def paid_late(storage: MongoStorage, closed_at: datetime, paid_at: datetime) -> None:
    await storage.orders.insert(an_order())
    close, late = a_close(), a_payment(target=TradeState.PAID_LATE)
    await storage.orders.move(NUMBER, replace(close, event=replace(close.event, at=closed_at)))
    await storage.orders.move(NUMBER, replace(late, event=replace(late.event, at=paid_at), emits="order.paid_late"))


def a_delivery(
    event_id: str = "e1", target: str = "erp", number: str = NUMBER, turn: datetime = NOW, **changes: Any
) -> Delivery:
    event = Event(event_id, "order.paid", NOW, number, {"out_trade_no": number, "total": 3600, "description": "拿铁"})
    return replace(Delivery(event, target, turn, NOW), **changes)


# -- what is staged ---------------------------------------------------------------------------------------------------


async def test_what_a_move_stages_is_taken_once_and_again_when_the_lease_has_run_out(
    storage: MongoStorage, outbox: MongoOutbox
) -> None:
    await paid(storage)
    taken = [staged for staged in await asyncio.gather(*(outbox.claim(NOW, LEASE) for _ in range(10))) if staged]
    [staged] = taken
    [(event, turn)] = staged.events()
    assert (event.type, event.at, event.out_trade_no, turn) == ("order.paid", NOW, NUMBER, NOW)
    assert (event.data["transaction_id"], event.data["trade_state"]) == (f"T-{NUMBER}", "SUCCESS")
    assert await outbox.claim(NOW + LEASE - SECOND, LEASE) is None
    again = await outbox.claim(NOW + LEASE, LEASE)
    assert again == replace(staged, due_at=NOW + 2 * LEASE)


async def test_what_is_handed_out_is_no_longer_in_the_index(
    storage: MongoStorage, outbox: MongoOutbox, raw: Connection
) -> None:
    await paid(storage)
    staged = await outbox.claim(NOW, LEASE)
    assert staged
    await outbox.finish(staged)
    assert await outbox.claim(NOW + HOUR, LEASE) is None
    assert await outbox.backlog(NOW + HOUR) == (0, 0.0)
    document = await raw.database["orders"].find_one({"_id": NUMBER})
    assert document is not None
    assert ("outbox_due_at" in document, document["outbox_done"], len(document["outbox"])) == (False, 1, 1)


async def test_what_is_staged_while_another_event_is_handed_out_is_not_lost(
    storage: MongoStorage, outbox: MongoOutbox
) -> None:
    await storage.orders.insert(an_order())
    await storage.orders.move(NUMBER, a_close())
    first = await outbox.claim(NOW, LEASE)
    await storage.orders.move(NUMBER, replace(a_payment(target=TradeState.PAID_LATE), emits="order.paid_late"))
    assert first
    await outbox.finish(first)
    both = await outbox.claim(NOW + LEASE, LEASE)
    assert both
    assert [entry.type for entry in both.entries] == ["order.closed", "order.paid_late"]
    await outbox.finish(both)
    assert await outbox.claim(NOW + HOUR, LEASE) is None


async def test_only_what_is_new_is_handed_out(storage: MongoStorage, outbox: MongoOutbox) -> None:
    await storage.orders.insert(an_order())
    await storage.orders.move(NUMBER, a_close())
    first = await outbox.claim(NOW, LEASE)
    assert first
    await outbox.finish(first)
    await storage.orders.move(NUMBER, replace(a_payment(target=TradeState.PAID_LATE), emits="order.paid_late"))
    second = await outbox.claim(NOW, LEASE)
    assert second
    assert [entry.type for entry in second.entries] == ["order.paid_late"]


async def test_turns_rise_even_when_the_clocks_of_two_processes_disagree(
    storage: MongoStorage, outbox: MongoOutbox
) -> None:
    await paid_late(storage, closed_at=NOW, paid_at=NOW - HOUR)
    staged = await outbox.claim(NOW, LEASE)
    assert staged
    assert [entry.turn for entry in staged.entries] == [NOW, NOW + MILLISECOND]


async def test_a_move_that_tells_nobody_stages_nothing(storage: MongoStorage, outbox: MongoOutbox) -> None:
    await storage.orders.insert(an_order())
    await storage.orders.move(NUMBER, replace(a_payment(), emits=""))
    assert await outbox.claim(NOW + HOUR, LEASE) is None


async def test_the_backlog_is_counted_with_the_age_of_the_oldest(storage: MongoStorage, outbox: MongoOutbox) -> None:
    for i, late_s in enumerate((10, 40, -5)):
        await paid(storage, f"2026030112{i:04d}", NOW - timedelta(seconds=late_s))
    assert await outbox.backlog(NOW) == (3, 40.0)


class Reads(CommandListener):
    """Remembers what was looked for, as a find that can be explained."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        command, name = event.command, event.command_name
        if name == "findAndModify":
            self.asked.append({"find": command[name], "filter": command["query"], "sort": command.get("sort", {})})
        elif name == "find":
            self.asked.append({"find": command[name], "filter": command["filter"], "sort": command.get("sort", {})})
        elif name == "update":
            self.asked += [{"find": command[name], "filter": update["q"]} for update in command["updates"]]

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


async def test_no_look_for_work_reads_what_is_finished(
    mongo: EmbeddedMongo, storage: MongoStorage, outbox: MongoOutbox, driver: Driver, database: str
) -> None:
    """Beside 30 events that are delivered, two of one order are claimed, put off, tried, given up and called."""
    for i in range(30):
        await paid(storage, f"2026030112{i:04d}")
        staged = await outbox.claim(NOW, LEASE)
        assert staged
        await outbox.finish(staged)
        await storage.deliveries.add(a_delivery(f"d{i}"))
        await storage.deliveries.settle(a_delivery(f"d{i}"), DeliveryState.DELIVERED, TAKEN)
    reads = Reads()
    watched = MongoStorage("", "", connection=connect(mongo.url, database, driver, listeners=[reads]))
    await paid(storage)
    staged = await watched.outboxes[0].claim(NOW, LEASE)
    assert staged
    await watched.outboxes[0].finish(staged)
    for delivery in (a_delivery("e1"), a_delivery("e2", turn=NOW + MILLISECOND)):
        await watched.deliveries.add(delivery)
    claimed = await watched.deliveries.claim("erp", NOW, LEASE)
    assert claimed
    assert await watched.deliveries.claim("erp", NOW, LEASE) is None
    await watched.deliveries.settle(claimed, DeliveryState.DEAD, FAILED)
    following = await watched.deliveries.claim("erp", NOW, LEASE)
    assert following
    await watched.deliveries.retry(following, FAILED, NOW)
    await watched.deliveries.settle(following, DeliveryState.DELIVERED, TAKEN)
    await watched.deliveries.revive("e2:erp", NOW, LEASE)
    await watched.deliveries.backlog("erp", NOW)
    await watched.outboxes[0].backlog(NOW)
    await watched.close()
    assert len(reads.asked) >= 9
    looks = [asked for asked in reads.asked if "_id" not in asked["filter"]]  # the others go for one document by name
    assert [asked for asked in looks if await _read(mongo.url, database, asked) > 2] == []


async def _read(url: str, database: str, asked: dict[str, Any]) -> int:
    """How many documents the server looks at for ``asked``."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url)
    plan = await client[database].command("explain", asked, verbosity="executionStats")
    await client.close()
    return int(plan["executionStats"]["totalDocsExamined"])


# -- deliveries -------------------------------------------------------------------------------------------------------


async def test_a_delivery_comes_back_as_it_was_stored_and_is_added_once(storage: MongoStorage) -> None:
    await asyncio.gather(*(storage.deliveries.add(a_delivery()) for _ in range(10)))
    assert await storage.deliveries.of_event("e1") == [a_delivery()]


async def test_adding_one_that_has_ended_changes_nothing(storage: MongoStorage) -> None:
    await storage.deliveries.add(a_delivery())
    await storage.deliveries.settle(a_delivery(), DeliveryState.DELIVERED, TAKEN)
    await storage.deliveries.add(a_delivery())
    [stored] = await storage.deliveries.of_event("e1")
    assert stored.state is DeliveryState.DELIVERED


async def test_due_deliveries_are_taken_once_each_and_again_when_the_lease_has_run_out(storage: MongoStorage) -> None:
    for i in range(5):
        await storage.deliveries.add(a_delivery(f"e{i}", number=f"2026030112{i:04d}"))
    taken = await asyncio.gather(*(storage.deliveries.claim("erp", NOW, LEASE) for _ in range(10)))
    assert sorted(delivery.id for delivery in taken if delivery) == [f"e{i}:erp" for i in range(5)]
    assert await storage.deliveries.claim("erp", NOW, LEASE) is None
    assert await storage.deliveries.claim("erp", NOW + LEASE, LEASE) is not None


async def test_a_later_event_of_an_order_waits_for_the_earlier_one_and_follows_it_at_once(
    storage: MongoStorage,
) -> None:
    later = a_delivery("e2", turn=NOW + MILLISECOND)
    for delivery in (a_delivery("e1"), later):
        await storage.deliveries.add(delivery)
    first = await storage.deliveries.claim("erp", NOW, LEASE)
    assert first is not None
    assert first.id == "e1:erp"
    assert await storage.deliveries.claim("erp", NOW, LEASE) is None
    await storage.deliveries.settle(first, DeliveryState.DELIVERED, TAKEN)
    second = await storage.deliveries.claim("erp", NOW, LEASE)
    assert second is not None
    assert second.id == "e2:erp"


async def test_no_event_is_left_waiting_when_its_predecessor_ends_while_it_is_put_off(storage: MongoStorage) -> None:
    for number in range(40):
        lane = f"20260301120506{number:03}"
        for turn in range(3):
            await storage.deliveries.add(a_delivery(f"{lane}{turn}", number=lane, turn=NOW + turn * MILLISECOND))

    async def courier() -> list[str]:
        done = []
        while delivery := await storage.deliveries.claim("erp", NOW, LEASE):
            await storage.deliveries.settle(delivery, DeliveryState.DELIVERED, TAKEN)
            done.append(delivery.event.id)
        return done

    done = []
    while found := [event for each in await asyncio.gather(*(courier() for _ in range(8))) for event in each]:
        done += found
    assert (len(done), len(set(done))) == (120, 120)
    assert (await storage.deliveries.backlog("erp", NOW))[0] == 0


async def test_a_later_event_goes_when_the_earlier_one_is_given_up(storage: MongoStorage) -> None:
    for delivery in (a_delivery("e1"), a_delivery("e2", turn=NOW + MILLISECOND)):
        await storage.deliveries.add(delivery)
    first = await storage.deliveries.claim("erp", NOW, LEASE)
    assert first is not None
    assert await storage.deliveries.settle(first, DeliveryState.DEAD, FAILED)
    second = await storage.deliveries.claim("erp", NOW, LEASE)
    assert second is not None
    assert second.id == "e2:erp"


async def test_other_orders_and_other_targets_wait_for_nobody(storage: MongoStorage) -> None:
    for delivery in (a_delivery("e1"), a_delivery("e2", number="another-order"), a_delivery("e1", target="crm")):
        await storage.deliveries.add(delivery)
    first = await storage.deliveries.claim("erp", NOW, LEASE)
    assert first is not None
    await storage.deliveries.retry(first, FAILED, NOW + HOUR)
    other = await storage.deliveries.claim("erp", NOW, LEASE)
    crm = await storage.deliveries.claim("crm", NOW, LEASE)
    assert (other and other.id, crm and crm.id) == ("e2:erp", "e1:crm")


async def test_a_retry_counts_the_try_records_it_and_sets_the_date(storage: MongoStorage) -> None:
    await storage.deliveries.add(a_delivery())
    claimed = await storage.deliveries.claim("erp", NOW, LEASE)
    assert claimed == a_delivery(due_at=NOW + LEASE)
    assert await storage.deliveries.retry(claimed, FAILED, NOW + HOUR)
    assert await storage.deliveries.of_event("e1") == [a_delivery(due_at=NOW + HOUR, tries=1, attempts=(FAILED,))]


async def test_whoever_lost_the_lease_cannot_put_off_or_give_up_but_can_say_delivered(storage: MongoStorage) -> None:
    await storage.deliveries.add(a_delivery())
    stale = await storage.deliveries.claim("erp", NOW, LEASE)
    held = await storage.deliveries.claim("erp", NOW + LEASE, LEASE)
    assert stale and held
    assert not await storage.deliveries.retry(stale, FAILED, NOW + HOUR)
    assert not await storage.deliveries.settle(stale, DeliveryState.DEAD, FAILED)
    assert await storage.deliveries.settle(stale, DeliveryState.DELIVERED, TAKEN)
    assert not await storage.deliveries.retry(held, FAILED, NOW + HOUR)
    assert not await storage.deliveries.settle(held, DeliveryState.DELIVERED, TAKEN)


async def test_the_recorded_attempts_are_bounded(storage: MongoStorage, raw: Connection) -> None:
    await storage.deliveries.add(a_delivery())
    for i in range(25):
        claimed = await storage.deliveries.claim("erp", NOW, LEASE)
        assert claimed
        await storage.deliveries.retry(claimed, replace(FAILED, result=str(500 + i)), NOW)
    [stored] = await storage.deliveries.of_event("e1")
    assert (stored.tries, [a.result for a in stored.attempts]) == (25, [str(i) for i in range(505, 525)])


async def test_of_ten_resends_one_counts_and_a_pending_one_is_left_alone(storage: MongoStorage) -> None:
    await storage.deliveries.add(a_delivery())
    assert await storage.deliveries.revive("e1:erp", NOW, LEASE) is None
    claimed = await storage.deliveries.claim("erp", NOW, LEASE)
    assert claimed
    await storage.deliveries.retry(claimed, FAILED, NOW + HOUR)
    claimed = await storage.deliveries.claim("erp", NOW + HOUR, LEASE)
    assert claimed
    assert await storage.deliveries.revive("e1:erp", NOW + HOUR, LEASE) is None
    await storage.deliveries.settle(claimed, DeliveryState.DEAD, FAILED)
    revived = await asyncio.gather(*(storage.deliveries.revive("e1:erp", NOW + HOUR, LEASE) for _ in range(10)))
    assert [delivery for delivery in revived if delivery] == [a_delivery(due_at=NOW + HOUR, attempts=(FAILED, FAILED))]


async def test_the_deliveries_of_an_event_are_those_with_its_very_id(storage: MongoStorage) -> None:
    for event_id, target in (("e1", "erp"), ("e1", "plugin:shop.crm"), ("e11", "erp"), ("e2", "erp")):
        await storage.deliveries.add(a_delivery(event_id, target))
    found = await storage.deliveries.of_event("e1")
    assert sorted(delivery.target for delivery in found) == ["erp", "plugin:shop.crm"]


async def test_deliveries_are_listed_newest_first_in_pages_and_by_state(storage: MongoStorage) -> None:
    for i in range(5):
        await storage.deliveries.add(a_delivery(f"e{i}"))
    dead = a_delivery("e2")
    await storage.deliveries.settle(dead, DeliveryState.DEAD, FAILED)
    first = await storage.deliveries.find(state=None, limit=3, cursor="")
    rest = await storage.deliveries.find(state=None, limit=3, cursor=first.next_cursor)
    assert [d.event.id for d in (*first.items, *rest.items)] == ["e4", "e3", "e2", "e1", "e0"]
    assert rest.next_cursor == ""
    of_state = await storage.deliveries.find(state=DeliveryState.DEAD, limit=3, cursor="")
    assert [d.event.id for d in of_state.items] == ["e2"]


async def test_pending_deliveries_are_counted_by_target(storage: MongoStorage) -> None:
    for i, late_s in enumerate((10, 40, -5)):
        due_at = NOW - timedelta(seconds=late_s)
        await storage.deliveries.add(a_delivery(f"e{i}", due_at=due_at))
    await storage.deliveries.add(a_delivery("e0", target="crm"))
    assert await storage.deliveries.backlog("erp", NOW) == (3, 40.0)
    assert await storage.deliveries.backlog("nobody", NOW) == (0, 0.0)


async def test_an_ended_delivery_is_removed_by_the_server_in_time(storage: MongoStorage, raw: Connection) -> None:
    await storage.deliveries.add(a_delivery())
    await storage.deliveries.settle(a_delivery(), DeliveryState.DELIVERED, TAKEN)
    document = await raw.database["deliveries"].find_one({"_id": "e1:erp"})
    assert document is not None
    assert document["expires_at"] == NOW + timedelta(days=90)
    await storage.deliveries.revive("e1:erp", NOW, LEASE)
    document = await raw.database["deliveries"].find_one({"_id": "e1:erp"})
    assert document is not None
    assert "expires_at" not in document
    indexes = await raw.database["deliveries"].index_information()
    assert indexes["expiry"]["expireAfterSeconds"] == 0


CALLS: dict[str, Callable[[MongoStorage], Any]] = {
    "outbox claim": lambda s: s.outboxes[0].claim(NOW, HOUR),
    "outbox backlog": lambda s: s.outboxes[0].backlog(NOW),
    "add": lambda s: s.deliveries.add(a_delivery()),
    "claim": lambda s: s.deliveries.claim("erp", NOW, HOUR),
    "settle": lambda s: s.deliveries.settle(a_delivery(), DeliveryState.DEAD, FAILED),
    "retry": lambda s: s.deliveries.retry(a_delivery(), FAILED, NOW),
    "revive": lambda s: s.deliveries.revive("e1:erp", NOW, LEASE),
    "of_event": lambda s: s.deliveries.of_event("e1"),
    "find": lambda s: s.deliveries.find(state=None, limit=1, cursor=""),
    "backlog": lambda s: s.deliveries.backlog("erp", NOW),
}


async def test_every_call_says_when_the_server_is_away(driver: Driver) -> None:
    storage = MongoStorage("mongodb://127.0.0.1:1", "nowhere", driver)
    results = await asyncio.gather(*(call(storage) for call in CALLS.values()), return_exceptions=True)
    await storage.close()
    assert [type(result) for result in results] == [StoreUnavailable] * len(CALLS)
