"""What MongoDB is asked, and what holds when it does not answer: over both drivers, against a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, cast

import pytest
from pymongo import AsyncMongoClient, IndexModel
from pymongo.errors import (
    AutoReconnect,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
)
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from storage.documents import CODEC, Document
from storage.embedded.servers import EmbeddedMongo
from storage.mongo.driver import Collection, Connection, Database, Driver, connect
from storage.mongo.storage import INDEXES, MongoStorage
from storage.stores.all import CLAIMS, COLLECTIONS, DELIVERIES, EXPIRING, ORDERS
from tests.contract.samples import (
    HOUR,
    MCHID,
    NOW,
    NUMBER,
    a_claim,
    a_message,
    a_refund,
    a_storage,
    an_order,
    paid,
)
from tests.storage.values import a_delivery, bare_day, bare_difference, full_day, full_difference
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds
from tests.support.servers import Proxy
from wechat.domain.errors import StoreUnavailable
from wechat.domain.facts import RefundState
from wechat.domain.numbers import NumberUse, refund_number
from wechat.domain.orders import Order, TradeState
from wechat.domain.ports import Stored

DAY = date(2026, 2, 28)
ORDER = an_order()


@pytest.fixture
async def raw(mongo: EmbeddedMongo, database: str) -> AsyncIterator[Any]:
    """The same database without our stores in front."""
    client: AsyncMongoClient[Document] = AsyncMongoClient(mongo.url)
    yield client.get_database(database, codec_options=CODEC)
    await client.close()


@pytest.fixture
async def storage(mongo: EmbeddedMongo, database: str, driver: Driver) -> AsyncIterator[MongoStorage]:
    storage = a_storage(mongo.url, database, driver)
    assert await storage.problems() == []
    yield storage
    await storage.close()


def over(connection: Connection) -> MongoStorage:
    """The stores over a connection that a test made."""
    return MongoStorage("", "", clock=ManualClock(NOW), random=RandomIds(), connection=connection)


# -- what is sent ------------------------------------------------------------------------------------------------------


class Commands(CommandListener):
    """Remembers every command that was sent."""

    def __init__(self) -> None:
        self.sent: list[CommandStartedEvent] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append(event)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...

    def of(self, *names: str) -> list[Mapping[str, Any]]:
        return [event.command for event in self.sent if event.command_name in names]


async def use_everything(storage: MongoStorage) -> None:
    """Every way to read and to write that the stores have."""
    await storage.orders.insert(ORDER, "write-1")
    await storage.orders.insert(ORDER, "write-2")
    stored = await storage.orders.get(ORDER.key)
    assert stored is not None
    await storage.orders.replace(stored, paid(ORDER), "write-3")
    await storage.orders.replace(stored, paid(ORDER), "write-4")
    await storage.claims.insert(a_claim(), "write-1")
    await storage.notifications.insert(a_message(), "write-1")
    await storage.deliveries.insert(a_delivery(), "write-1")
    await storage.days.insert(full_day(), "write-1")
    await storage.differences.insert(full_difference(), "write-1")
    await storage.numbers.reserve(NumberUse(refund_number(MCHID, "R1"), ORDER.key))
    await asyncio.gather(*[call(storage) for call in CALLS.values()])


async def test_every_write_waits_for_a_majority_and_the_journal_whatever_the_address_says(
    mongo: EmbeddedMongo, driver: Driver, database: str
) -> None:
    commands = Commands()
    url = f"{mongo.url}/?w=0&journal=false&retryWrites=false&wTimeoutMS=1"
    storage = over(connect(url, database, driver, listeners=[commands]))
    assert await storage.problems() == []
    await use_everything(storage)
    await storage.close()
    writes = commands.of("insert", "update", "delete", "findAndModify", "createIndexes")
    assert {next(iter(command)) for command in writes} == {"insert", "update", "createIndexes"}
    assert {str(sorted(command["writeConcern"].items())) for command in writes} == {"[('j', True), ('w', 'majority')]"}


async def test_every_read_is_of_what_a_majority_has_from_the_primary_whatever_the_address_says(
    mongo: EmbeddedMongo, driver: Driver, database: str
) -> None:
    commands = Commands()
    url = f"{mongo.url}/?readConcernLevel=local&readPreference=secondaryPreferred"
    storage = over(connect(url, database, driver, listeners=[commands]))
    await use_everything(storage)
    await storage.close()
    reads = commands.of("find")
    assert len(reads) > 20
    assert {str(command["readConcern"]) for command in reads} == {"{'level': 'majority'}"}
    preferences = {str(command.get("$readPreference", {"mode": "primary"})) for command in reads}
    assert preferences <= {"{'mode': 'primary'}", "{'mode': 'primaryPreferred'}"}


async def test_no_command_changes_a_field_or_filters_a_write_on_more_than_id_and_revision(
    mongo: EmbeddedMongo, driver: Driver, database: str
) -> None:
    commands = Commands()
    storage = over(connect(mongo.url, database, driver, listeners=[commands]))
    await use_everything(storage)
    await storage.close()
    assert {event.command_name for event in commands.sent} - {"endSessions"} == {"insert", "update", "find"}
    updates = [update for command in commands.of("update") for update in command["updates"]]
    assert {tuple(update["q"]) for update in updates} == {("_id", "rev")}
    assert all(not name.startswith("$") for update in updates for name in update["u"])
    assert [update for update in updates if update.get("upsert") or update.get("multi")] == []


# -- a server that is away ---------------------------------------------------------------------------------------------

STORED = Stored(ORDER, 1, ("write-1",))
CALLS: dict[str, Callable[[MongoStorage], Any]] = {
    "order insert": lambda s: s.orders.insert(an_order("another-order"), "write-1"),
    "order get": lambda s: s.orders.get(ORDER.key),
    "order replace": lambda s: s.orders.replace(replace(STORED, rev=7), ORDER, "write-2"),
    "orders due": lambda s: s.orders.list_due(NOW, 5),
    "orders next due": lambda s: s.orders.next_due(NOW + HOUR),
    "orders overdue": lambda s: s.orders.overdue(NOW),
    "with events": lambda s: s.orders.with_events(NOW, 5),
    "events waiting": lambda s: s.orders.events_waiting(NOW),
    "find": lambda s: s.orders.find(trade_state=None, limit=1, cursor=""),
    "find of a state": lambda s: s.orders.find(trade_state=TradeState.SUCCESS, limit=1, cursor=""),
    "find by number": lambda s: s.orders.find_by_number(NUMBER, 5),
    "find by refund": lambda s: s.orders.find_by_refund(RefundState.SUCCESS, limit=1, cursor=""),
    "reserve": lambda s: s.numbers.reserve(NumberUse("refund:m:R1", "order-1")),
    "number": lambda s: s.numbers.get("refund:m:R1"),
    "claim": lambda s: s.claims.insert(a_claim(), "write-2"),
    "claim get": lambda s: s.claims.get("key"),
    "claim replace": lambda s: s.claims.replace(Stored(a_claim(), 7), a_claim("other"), "write-2"),
    "message": lambda s: s.notifications.insert(a_message(), "write-2"),
    "message get": lambda s: s.notifications.get("event-1"),
    "messages of an order": lambda s: s.notifications.of_order(MCHID, NUMBER),
    "delivery": lambda s: s.deliveries.insert(a_delivery(), "write-2"),
    "deliveries due": lambda s: s.deliveries.list_due("erp", NOW, 5),
    "deliveries next due": lambda s: s.deliveries.next_due("erp", NOW + HOUR),
    "deliveries overdue": lambda s: s.deliveries.overdue("erp", NOW),
    "pending of": lambda s: s.deliveries.pending_of("key"),
    "of event": lambda s: s.deliveries.of_event("e1"),
    "deliveries": lambda s: s.deliveries.find(state=None, limit=1, cursor=""),
    "day": lambda s: s.days.insert(bare_day(), "write-2"),
    "newest": lambda s: s.days.newest(MCHID),
    "days due": lambda s: s.days.list_due(MCHID, NOW, 5),
    "difference": lambda s: s.differences.insert(bare_difference(), "write-2"),
    "differences": lambda s: s.differences.of_day(MCHID, DAY, limit=5, cursor=""),
    "payments": lambda s: s.book_entries.payments(MCHID, [NUMBER]),
    "refunds": lambda s: s.book_entries.refunds(MCHID, ["R1"]),
    "paid": lambda s: first_of(s.book_entries.list_payments(MCHID, DAY)),
    "refunded": lambda s: first_of(s.book_entries.list_refunds(MCHID, DAY)),
}


async def first_of(batches: AsyncIterator[Any]) -> Any:
    async for batch in batches:
        return batch
    return None


@pytest.mark.alone
async def test_every_call_says_within_three_seconds_that_the_server_is_away(driver: Driver) -> None:
    storage = a_storage("mongodb://127.0.0.1:1", "nowhere", driver)
    started = time.monotonic()
    results = await asyncio.gather(*(call(storage) for call in CALLS.values()), return_exceptions=True)
    assert time.monotonic() - started < 3
    assert {name: type(result) for name, result in zip(CALLS, results, strict=True)} == dict.fromkeys(
        CALLS, StoreUnavailable
    )
    [problem] = await storage.problems()
    assert "MongoDB" in problem.zh
    await storage.close()


@pytest.mark.alone
async def test_a_server_that_cannot_be_found_is_given_up_on_after_a_second(driver: Driver) -> None:
    storage = a_storage("mongodb://127.0.0.1:1", "nowhere", driver)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await storage.orders.get(ORDER.key)
    assert 0.9 < time.monotonic() - started < 1.8
    await storage.close()


async def test_stores_that_were_opened_before_their_server_came_are_used_as_soon_as_it_does(
    mongo: EmbeddedMongo, database: str, driver: Driver
) -> None:
    proxy = Proxy(int(mongo.url.rpartition(":")[2]))
    async with proxy.listening() as port:
        pass  # nobody listens there any more
    storage = a_storage(f"mongodb://127.0.0.1:{port}/?directConnection=true", database, driver)
    assert len(await storage.problems()) == 1
    server = await asyncio.start_server(proxy._relay, "127.0.0.1", port)
    async with asyncio.timeout(5):
        while await storage.problems():
            pass  # each look waits up to a second for the server by itself
    assert await storage.orders.insert(ORDER, "write-1")
    await storage.close()
    server.close()


# -- lost answers ------------------------------------------------------------------------------------------------------


async def test_a_write_whose_answer_was_lost_is_known_as_ours(
    mongo: EmbeddedMongo, driver: Driver, database: str
) -> None:
    proxy = Proxy(int(mongo.url.rpartition(":")[2]))
    async with proxy.listening() as port:
        storage = a_storage(f"mongodb://127.0.0.1:{port}/?directConnection=true", database, driver)
        for i in range(2):
            order = an_order(f"2026030112{i:04d}", description=f"lost-insert-{i}")
            proxy.lose(f"lost-insert-{i}".encode())
            assert await storage.orders.insert(order, "write-1")
            assert proxy.lost
            stored = await storage.orders.get(order.key)
            assert stored is not None
            proxy.lose(f"lost-replacement-{i}".encode())
            changed = replace(order, description=f"lost-replacement-{i}")
            assert await storage.orders.replace(stored, changed, "write-2")
            assert proxy.lost
            again = await storage.orders.get(order.key)
            assert again is not None
            assert (again.value, again.rev, again.writes) == (changed, 2, ("write-1", "write-2"))
        await storage.close()


async def test_a_write_whose_answer_was_lost_is_not_taken_for_that_of_somebody_else(
    mongo: EmbeddedMongo, driver: Driver, database: str, storage: MongoStorage
) -> None:
    await storage.orders.insert(ORDER, "theirs-1")
    old = await storage.orders.get(ORDER.key)
    assert old is not None
    await storage.orders.replace(old, paid(ORDER), "theirs-2")
    proxy = Proxy(int(mongo.url.rpartition(":")[2]))
    async with proxy.listening() as port:
        late = a_storage(f"mongodb://127.0.0.1:{port}/?directConnection=true", database, driver)
        proxy.lose(b"ours-1")
        assert not await late.orders.insert(ORDER, "ours-1")
        assert proxy.lost
        proxy.lose(b"ours-2")
        assert not await late.orders.replace(old, ORDER, "ours-2")
        assert proxy.lost
        await late.close()
    stored = await storage.orders.get(ORDER.key)
    assert stored is not None
    assert (stored.value, stored.writes) == (paid(ORDER), ("theirs-1", "theirs-2"))


@pytest.mark.parametrize("lose", [False, True])
async def test_of_a_batch_each_write_has_its_own_outcome(
    mongo: EmbeddedMongo, driver: Driver, database: str, storage: MongoStorage, lose: bool
) -> None:
    """Half of the documents are somebody else's, or have moved on; the answer comes, or it is lost."""
    orders = [an_order(f"order-{i:03}") for i in range(40)]
    taken = orders[::2]
    for order in taken:
        await storage.orders.insert(order, "theirs")
    proxy = Proxy(int(mongo.url.rpartition(":")[2]))
    async with proxy.listening() as port:
        late = a_storage(f"mongodb://127.0.0.1:{port}/?directConnection=true", database, driver)
        await late.orders.get("nobody")  # it is connected
        if lose:
            proxy.lose(b"order-020")
        inserted = await asyncio.gather(*(late.orders.insert(order, f"ours-{i}") for i, order in enumerate(orders)))
        assert proxy.lost
        assert inserted == [order not in taken for order in orders]
        held = [await late.orders.get(order.key) for order in orders]
        moved = {order.key for order in orders[::3]}
        for stored in [stored for stored in held if stored and stored.value.key in moved]:
            await storage.orders.replace(stored, paid(stored.value), "theirs-2")
        if lose:
            proxy.lose(b"order-020")
        replaced = await asyncio.gather(
            *(late.orders.replace(stored, replace(stored.value, checks=7), "ours") for stored in held if stored)
        )
        assert proxy.lost
        assert replaced == [order.key not in moved for order in orders]
        await late.close()
    found = [await storage.orders.get(order.key) for order in orders]
    assert [stored.rev for stored in found if stored] == [2] * 40
    assert [stored.value.checks for stored in found if stored] == [0 if o.key in moved else 7 for o in orders]


# -- indexes -----------------------------------------------------------------------------------------------------------


async def test_every_index_is_there_and_none_is_unique(storage: MongoStorage, raw: Any) -> None:
    for name, indexes in INDEXES.items():
        present = await raw[name].index_information()
        assert present.keys() - {"_id_"} == {index.document["name"] for index in indexes}
        for index in indexes:
            found = present[index.document["name"]]
            assert [tuple(key) for key in found["key"]] == list(index.document["key"].items())
            assert not found.get("unique")
            assert set(found.get("partialFilterExpression", ())) == set(
                index.document.get("partialFilterExpression", ())
            )
    assert INDEXES.keys() == set(COLLECTIONS)


async def test_what_is_kept_for_a_time_is_removed_by_the_server(storage: MongoStorage, raw: Any) -> None:
    for name in COLLECTIONS:
        present = await raw[name].index_information()
        assert ("expiry" in present) is (name in EXPIRING)
        if name in EXPIRING:
            assert (present["expiry"]["expireAfterSeconds"], present["expiry"]["key"]) == (0, [("expires_at", 1)])


async def test_an_index_that_is_missing_is_made_beside_the_documents_that_are_there(
    storage: MongoStorage, raw: Any
) -> None:
    await storage.orders.insert(ORDER, "write-1")
    await raw[ORDERS].drop_index("by_key")
    await raw[DELIVERIES].drop_indexes()
    assert await storage.problems() == []
    assert "by_key" in await raw[ORDERS].index_information()
    assert len(await raw[DELIVERIES].index_information()) == len(INDEXES[DELIVERIES]) + 1
    assert list(await storage.orders.find_by_number(NUMBER, 5)) == [ORDER]


async def test_two_processes_that_start_at_once_make_the_indexes_together(
    mongo: EmbeddedMongo, driver: Driver, database: str
) -> None:
    storages = [a_storage(mongo.url, database, driver) for _ in range(4)]
    assert await asyncio.gather(*(storage.problems() for storage in storages)) == [[]] * 4
    for storage in storages:
        await storage.close()


# -- a driver by hand --------------------------------------------------------------------------------------------------


@dataclass
class SlowDriver:
    """A database, its collections and their cursors, none of which answers before ``answer`` is set. ``cancelled`` are
    calls that somebody cancelled: PyMongo's own async client does not stand that."""

    answer: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: Exception | None = None
    lost: list[Exception] = field(default_factory=list)
    adds: Document = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Collection:
        return cast(Collection, self)

    def find(self, *_: object, **__: object) -> SlowDriver:
        return self

    async def to_list(self, length: int | None = None) -> list[Document]:
        await self._call("find")
        return []

    async def command(self, command: Document) -> Document:
        name, *_ = command
        await self._call(name)
        if name == "count":
            return {"ok": 1, "n": 0}
        return {"ok": 1, "n": len(command["documents" if name == "insert" else "updates"]), **self.adds}

    async def index_information(self) -> Mapping[str, Document]:
        await self._call("listIndexes")
        return {}

    async def create_indexes(self, indexes: Sequence[IndexModel]) -> list[str]:
        await self._call("createIndexes")
        return []

    async def list_collection_names(self) -> list[str]:
        await self._call("listCollections")
        return []

    def close(self) -> None: ...

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if self.lost:
            raise self.lost.pop()
        if self.refusal:
            raise self.refusal


def slow_storage(driver: SlowDriver) -> MongoStorage:
    return over(Connection(cast(Database, driver), driver))


ASKED = CALLS | {"problems": lambda s: s.problems(), "holds_old_release": lambda s: s.holds_old_release()}


@pytest.mark.parametrize("name", ASKED)
async def test_whoever_stops_waiting_for_the_stores_cancels_no_call_of_the_driver(name: str) -> None:
    driver = SlowDriver()
    storage = slow_storage(driver)
    waiting = asyncio.ensure_future(ASKED[name](storage))
    await asyncio.sleep(0.01)
    assert len(driver.calls) == 1
    waiting.cancel()
    await asyncio.sleep(0.01)
    assert waiting.done()
    driver.answer.set()
    await storage.close()
    assert driver.cancelled == []


async def test_an_index_that_cannot_be_made_is_a_problem_until_it_can() -> None:
    driver = SlowDriver(refusal=OperationFailure("duplicate key", 11000))
    driver.answer.set()
    storage = slow_storage(driver)
    [problem] = await storage.problems()
    assert "11000" in problem.en
    assert "11000" in problem.zh
    driver.refusal = None
    assert await storage.problems() == []


@pytest.mark.parametrize(
    "failure", [AutoReconnect("gone"), ExecutionTimeout("too slow", 50), ServerSelectionTimeoutError("away")]
)
async def test_a_server_that_goes_away_meanwhile_is_a_problem(failure: Exception) -> None:
    driver = SlowDriver(refusal=failure)
    driver.answer.set()
    assert len(await slow_storage(driver).problems()) == 1


@pytest.mark.parametrize("failure", [AutoReconnect("gone"), NotPrimaryError("stepped down")])
@pytest.mark.parametrize("name", ["order insert", "order replace"])
async def test_a_write_that_got_no_reply_is_sent_once_more(name: str, failure: Exception) -> None:
    """The driver does the same for its own methods: the connection may have been dead before the write."""
    driver = SlowDriver(lost=[failure])
    driver.answer.set()
    assert await CALLS[name](slow_storage(driver)) is True
    driver.lost = [failure, failure]
    with pytest.raises(StoreUnavailable):
        await CALLS[name](slow_storage(driver))


@pytest.mark.parametrize("failure", [NetworkTimeout("slow"), ServerSelectionTimeoutError("away")])
@pytest.mark.parametrize("name", ["order insert", "order replace"])
async def test_a_write_that_timed_out_is_not_sent_again_while_the_next_batch_waits(
    name: str, failure: Exception
) -> None:
    driver = SlowDriver(lost=[failure])
    driver.answer.set()
    with pytest.raises(StoreUnavailable):
        await CALLS[name](slow_storage(driver))
    assert len(driver.calls) == 1


@pytest.mark.parametrize("name", ["order insert", "order replace"])
async def test_a_write_that_is_not_known_to_be_durable_is_unknown(name: str) -> None:
    driver = SlowDriver(adds={"writeConcernError": {"code": 64}})
    driver.answer.set()
    with pytest.raises(StoreUnavailable):
        await CALLS[name](slow_storage(driver))


def test_orders_are_kept_apart_from_those_of_the_first_release() -> None:
    """Its documents have no revision."""
    assert (
        set(COLLECTIONS) & {"orders", "refunds", "claims", "notifications", "deliveries", "book_days", "differences"}
        == set()
    )


async def test_an_order_with_everything_in_it_stays_far_below_the_largest_document(storage: MongoStorage) -> None:
    """A hundred refunds, each with a full timeline of its own."""
    refund = a_refund(timeline=a_refund().timeline * 60)
    order: Order = replace(paid(ORDER), refunds=tuple(replace(refund, out_refund_no=f"R{i}") for i in range(100)))
    order = replace(order, timeline=order.timeline * 100)
    assert await storage.orders.insert(order, "write-1")
    stored = await storage.orders.get(order.key)
    assert stored is not None
    assert stored.value == order


async def test_a_claim_that_has_expired_is_held_until_the_server_removes_it(storage: MongoStorage, raw: Any) -> None:
    """The server looks for what has expired now and then."""
    expired = replace(a_claim(), expires_at=NOW - HOUR)
    assert await storage.claims.insert(expired, "write-1")
    assert not await storage.claims.insert(a_claim("other"), "write-2")
    assert (await raw[CLAIMS].find_one({"_id": expired.key}))["expires_at"] is not None
