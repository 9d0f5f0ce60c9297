"""Several processes over one MongoDB, and a network that loses, delays and kills: nothing is lost, nothing happens twice.

At the layer of the stores, over both drivers and a real server.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from pymongo import AsyncMongoClient

from storage.documents import Document
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from storage.mongo.driver import Driver
from storage.mongo.storage import MongoStorage
from storage.store import SCHEMA
from storage.stores.all import ORDERS
from tests.contract.samples import MCHID, NOW, a_storage, an_order, paid
from tests.http.client import MERCHANT, Response, Shop
from tests.support.late_proxy import LateProxy
from tests.support.runtime import CountedIds
from tests.support.servers import Proxy, running
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from tests.support.store_process import CALLER_S, PROBE_S, StoreProcess
from wechat.domain.errors import NewerDocument
from wechat.domain.numbers import payment_number, refund_number
from wechat.domain.orders import Order, TimelineEntry
from wechat.domain.transitions import add_note
from wechat.support.update import Updater

DRIVERS: tuple[Driver, Driver] = ("motor", "pymongo")
ORDER = an_order()


@pytest.fixture(autouse=True)
def no_fault_outlives_its_test() -> None:
    """Do nothing: no test of this module sets a fault in the simulator."""


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    return cast(Driver, request.param)


@pytest.fixture
def database() -> str:
    return f"race_{secrets.token_hex(6)}"


@pytest.fixture
async def raw(mongo: EmbeddedMongo, database: str) -> AsyncIterator[Any]:
    """The database without our stores in front."""
    client: AsyncMongoClient[Document] = AsyncMongoClient(mongo.url)
    yield client[database]
    await client.close()


@pytest.fixture
async def storage(mongo: EmbeddedMongo, database: str) -> AsyncIterator[MongoStorage]:
    storage = a_storage(mongo.url, database)
    assert await storage.problems() == []
    yield storage
    await storage.close()


@pytest.fixture(scope="module")
async def all_processes() -> AsyncIterator[list[StoreProcess]]:
    """Four processes, of both drivers in turn. Each must exit with status 0."""
    started = [await StoreProcess.start(driver) for driver in DRIVERS * 2]
    yield started
    assert [await process.stop() for process in started] == [0] * 4


@pytest.fixture
async def crowd(all_processes: list[StoreProcess], mongo: EmbeddedMongo, database: str) -> list[StoreProcess]:
    """The four processes, with the database of the test open."""
    for process in all_processes:
        await process.do("open", url=mongo.url, database=database)
    return all_processes


@pytest.fixture
def process(crowd: list[StoreProcess], driver: Driver) -> StoreProcess:
    """A process that uses ``driver``."""
    return crowd[DRIVERS.index(driver)]


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def direct(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?directConnection=true"


async def stored(storage: MongoStorage, order: Order = ORDER) -> Any:
    found = await storage.orders.get(order.key)
    assert found is not None
    return found


def lines(order: Order, prefix: str = "") -> list[str]:
    """The notes of an order's timeline."""
    return [entry.what for entry in order.timeline if entry.source == "merchant" and entry.what.startswith(prefix)]


# -- one order ---------------------------------------------------------------------------------------------------------


async def test_of_hundreds_of_changes_of_one_order_by_four_processes_none_is_lost_and_none_is_made_twice(
    crowd: list[StoreProcess], storage: MongoStorage
) -> None:
    order = paid(ORDER)
    await storage.orders.insert(order, "write-0")
    payload = await asyncio.gather(
        *(
            process.do("change", number=order.out_trade_no, prefix=f"p{i}", notes=30, counts=50, refunds=12)
            for i, process in enumerate(crowd)
        )
    )
    assert [each["failed"] for each in payload] == [{}] * 4
    done = [name for each in payload for name in each["done"]]
    after = await stored(storage, order)
    counted = [f"{process}-count" for process in range(after.value.checks)]
    assert len(counted) == 4 * 50
    assert Counter(lines(after.value)) == Counter(name for name in done if "-note-" in name)
    refunds = [refund.out_refund_no for refund in after.value.refunds]
    assert Counter(refunds) == Counter(name for name in done if "-refund-" in name)
    assert after.value.refund_reserved == len(refunds) == 48
    assert after.rev == 1 + len(done) == 1 + 4 * (30 + 50 + 12)


async def test_a_process_that_is_killed_between_reading_and_writing_leaves_nothing_behind(
    mongo: EmbeddedMongo, driver: Driver, database: str, storage: MongoStorage, process: StoreProcess
) -> None:
    await storage.orders.insert(ORDER, "write-0")
    proxy = Proxy(port_of(mongo.url))
    async with proxy.listening() as port:
        victim = await StoreProcess.start(driver)
        await victim.do("open", url=direct(port), database=database)
        proxy.hold(b"victim-note-0")
        victim.ask("change", number=ORDER.out_trade_no, prefix="victim", notes=1, counts=0, refunds=0)
        await asyncio.wait_for(proxy.held.wait(), 10)
        await victim.kill()
    held = await stored(storage)
    assert (held.value, held.rev) == (ORDER, 1)
    payload = await process.do("change", number=ORDER.out_trade_no, prefix="other", notes=1, counts=0, refunds=0)
    assert payload["failed"] == {}
    after = await stored(storage)
    assert (lines(after.value), after.rev) == (["other-note-0"], 2)


def noting(storage: MongoStorage, **options: Any) -> Updater[Order]:
    """Changes orders, with write ids that count up from one."""
    return Updater(storage.orders, lambda order: order.key, CountedIds(), **options)


def note(name: str) -> Any:
    return partial(add_note, entry=TimelineEntry(NOW, name, "merchant"))


async def test_a_change_whose_answer_was_lost_is_made_once(
    mongo: EmbeddedMongo, driver: Driver, database: str, storage: MongoStorage
) -> None:
    await storage.orders.insert(ORDER, "write-0")
    proxy = Proxy(port_of(mongo.url))
    async with proxy.listening() as port:
        ours = a_storage(direct(port), database, driver)
        changes = noting(ours)
        for i in range(2):
            proxy.lose(f"lost-{i}".encode())
            change = await changes.update(ORDER.key, note(f"lost-{i}"))
            assert proxy.lost
            assert change is not None
            assert change.happened
        await ours.close()
    after = await stored(storage)
    assert (lines(after.value), after.rev) == (["lost-0", "lost-1"], 3)
    assert after.writes == ("write-0", "000000000001", "000000000002")


async def test_a_write_that_arrives_after_its_retry_loses(
    mongo: EmbeddedMongo, driver: Driver, database: str, storage: MongoStorage
) -> None:
    """All that the driver sent of the first try is on its way somewhere when the second one is made."""
    await storage.orders.insert(ORDER, "write-0")
    proxy = LateProxy(port_of(mongo.url))
    async with proxy.listening() as port:
        ours = a_storage(direct(port), database, driver)
        changes = noting(ours)
        proxy.keep(b"000000000001")
        change = await changes.update(ORDER.key, note("late"))
        assert change is not None
        assert change.happened
        before = await stored(storage)
        assert (lines(before.value), before.rev, before.writes) == (["late"], 2, ("write-0", "000000000002"))
        assert proxy.kept >= 1
        proxy.keep(b"")
        await proxy.let_arrive()
        assert await stored(storage) == before
        change = await changes.update(ORDER.key, note("next"))
        assert change is not None
        await ours.close()
    after = await stored(storage)
    assert (lines(after.value), after.rev) == (["late", "next"], 3)


async def test_a_write_that_arrives_before_its_retry_is_the_one_that_counts(
    mongo: EmbeddedMongo, driver: Driver, database: str, storage: MongoStorage
) -> None:
    """The first try arrives while the second is on its way, which finds a new revision and its own change made."""
    await storage.orders.insert(ORDER, "write-0")
    proxy = LateProxy(port_of(mongo.url))
    async with proxy.listening() as port:
        ours = a_storage(direct(port), database, driver)
        changes = noting(ours)
        proxy.keep(b"000000000001")
        changing = asyncio.ensure_future(changes.update(ORDER.key, note("late")))
        await asyncio.wait_for(proxy.kept_one.wait(), 5)
        proxy.keep(b"")
        await proxy.let_arrive()
        change = await changing
        assert change is not None
        assert change.happened
        await ours.close()
    after = await stored(storage)
    assert (lines(after.value), after.rev, len(after.writes)) == (["late"], 2, 2)


# -- many orders -------------------------------------------------------------------------------------------------------


async def test_orders_that_several_processes_insert_at_once_are_each_somebodys_also_where_answers_are_lost(
    crowd: list[StoreProcess], mongo: EmbeddedMongo, database: str, raw: Any
) -> None:
    """Each batch is in part stored and in part a duplicate of another process', and some are sent twice."""
    numbers = [f"order-{i:04}" for i in range(300)]
    proxy = Proxy(port_of(mongo.url))
    async with proxy.listening() as port:
        proxy.lose(b"order-0150")
        for process in crowd[:2]:
            await process.do("open", url=direct(port), database=database)
        payload = await asyncio.gather(
            *(process.do("insert", numbers=numbers[:: -1 if i % 2 else 1]) for i, process in enumerate(crowd))
        )
        assert proxy.lost
        for process in crowd[:2]:
            await process.do("open", url=mongo.url, database=database)
    assert Counter(number for each in payload for number in each["ours"]) == Counter(numbers)
    assert await raw[ORDERS].count_documents({}) == len(numbers)


async def test_of_orders_that_want_one_transaction_one_is_paid_by_it(
    crowd: list[StoreProcess], storage: MongoStorage, raw: Any
) -> None:
    numbers = [f"order-{i:04}" for i in range(40)]
    for number in numbers:
        await storage.orders.insert(an_order(number), "write-0")
    payload = await asyncio.gather(
        *(process.do("pay", numbers=numbers[i::4], transaction_id="T1") for i, process in enumerate(crowd))
    )
    outcomes = {number: outcome for each in payload for number, outcome in each["outcomes"].items()}
    [winner] = [number for number, outcome in outcomes.items() if not outcome]
    assert Counter(outcomes.values()) == {"": 1, "transaction_used": 39}
    use = await storage.numbers.get(payment_number(MCHID, "T1"))
    assert use is not None
    holders = await storage.orders.find_by_number("T1", 50)
    assert [(order.key, order.out_trade_no) for order in holders] == [(use.order_key, winner)]
    assert await raw[ORDERS].count_documents({"trade_state": {"$ne": "NOTPAY"}}) == 1


async def test_of_orders_that_want_one_refund_number_one_has_it(
    crowd: list[StoreProcess], storage: MongoStorage, raw: Any
) -> None:
    """The order that has the number gets the same refund again; every other order gets OUT_REFUND_NO_USED."""
    numbers = [f"order-{i:04}" for i in range(40)]
    for i, number in enumerate(numbers):
        await storage.orders.insert(paid(an_order(number), f"T{i}"), "write-0")
    payload = await asyncio.gather(
        *(process.do("refund", numbers=numbers, out_refund_no="R-wanted") for process in crowd)
    )
    outcomes = [Counter(each["outcomes"].values()) for each in payload]
    assert [each["OUT_REFUND_NO_USED"] for each in outcomes] == [39] * 4
    assert {state for each in outcomes for state in each} <= {"OUT_REFUND_NO_USED", "PROCESSING", "REQUESTED"}
    holders = await storage.orders.find_by_number("R-wanted", 50)
    use = await storage.numbers.get(refund_number(MCHID, "R-wanted"))
    assert use is not None
    assert [(order.key, order.refund_reserved) for order in holders] == [(use.order_key, 60)]
    assert await raw[ORDERS].count_documents({"refunds": {"$exists": True}}) == 1


# -- a newer release ---------------------------------------------------------------------------------------------------


async def test_a_process_that_meets_an_order_of_a_newer_release_reads_it_and_leaves_it_alone(
    process: StoreProcess, storage: MongoStorage, raw: Any
) -> None:
    """The process has changed the order just before the newer release did, and remembers the order."""
    await storage.orders.insert(ORDER, "write-0")
    other = an_order("other-order")
    await storage.orders.insert(other, "write-0")
    once = {"notes": 0, "counts": 1, "refunds": 0}
    payload = await process.do("change", number=ORDER.out_trade_no, prefix="before", **once)
    assert payload["failed"] == {}
    upgraded = {"$set": {"schema": SCHEMA + 1, "checks": 70, "meant_otherwise": True}, "$inc": {"rev": 1}}
    await raw[ORDERS].update_one({"_id": ORDER.key}, upgraded)
    before = await raw[ORDERS].find_one({"_id": ORDER.key})
    for _ in range(2):
        payload = await process.do("change", number=ORDER.out_trade_no, prefix="after", **once)
        assert payload["failed"] == {"after-count-0": NewerDocument.__name__}
    assert await process.do("read", number=ORDER.out_trade_no) == {"checks": 70}
    payload = await process.do("change", number=other.out_trade_no, prefix="other", **once)
    assert payload["failed"] == {}
    assert await raw[ORDERS].find_one({"_id": ORDER.key}) == before


# -- a server that stands still ----------------------------------------------------------------------------------------

FROZEN_S = 12.0
ANSWERED_S = 4.5
RECOVERED_S = 5.0
STILL_S = 7.0


@pytest.fixture
def own_mongo(tmp_path: Path) -> Iterator[EmbeddedMongo]:
    """A server that may be stopped."""
    with running(EmbeddedMongo(tmp_path / "mongo")) as server:
        yield server


@pytest.mark.alone
async def test_while_the_server_stands_still_every_call_ends_in_time_and_afterwards_both_drivers_go_on(
    own_mongo: EmbeddedMongo, database: str, all_processes: list[StoreProcess]
) -> None:
    """Under load, with callers who leave and a probe of readiness. PyMongo's own async client can stop working for good
    when a call of it is cancelled; so none may be."""
    assert own_mongo.pid is not None
    storage = a_storage(own_mongo.url, database)
    assert await storage.problems() == []
    loads = []
    for process, driver in zip(all_processes[:2], DRIVERS, strict=True):
        await process.do("open", url=own_mongo.url, database=database)
        loads.append(process.do("load", prefix=f"{driver}-load", loops=12, seconds=FROZEN_S + 9))
    loading = asyncio.gather(*loads)
    await asyncio.sleep(2)
    os.kill(own_mongo.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    await asyncio.sleep(FROZEN_S)
    os.kill(own_mongo.pid, signal.SIGCONT)
    went_on = time.monotonic()
    payload = await loading
    for driver, each in zip(DRIVERS, payload, strict=True):
        calls = each["calls"]
        assert {call[2] for call in calls} <= {"ok", "STORE_UNAVAILABLE", "caller left", "NOT_READY"}, driver
        meanwhile = [call for call in calls if stopped + 0.5 < call[3] and call[4] < went_on]
        assert {call[2] for call in meanwhile} <= {"STORE_UNAVAILABLE", "caller left", "NOT_READY"}, driver
        assert len(meanwhile) > 20, driver
        first_ok = min(call[4] for call in calls if call[3] > stopped + 0.5 and call[2] == "ok")
        assert first_ok < went_on + RECOVERED_S, driver
        later = Counter(call[2] for call in calls if call[3] > went_on + RECOVERED_S)
        assert (set(later), later["ok"] > 50) == ({"ok"}, True), driver
        inserted = [call[1] for call in calls if call[0] == "insert" and call[2] == "ok"]
        kept = await asyncio.gather(*(storage.orders.get(an_order(name).key) for name in inserted))
        assert None not in kept, driver
    await storage.close()
    calls = [call for each in payload for call in each["calls"]]
    assert [call for call in calls if call[4] - call[3] > ANSWERED_S] == []


def test_the_limits_of_callers_are_shorter_than_a_call_may_take() -> None:
    """Otherwise no caller would time out while a call is in progress."""
    assert max(CALLER_S, PROBE_S) < ANSWERED_S


async def ask_until(shop: Shop, number: str, until: float) -> list[tuple[str, int, float]]:
    """Ask for everything that needs the stores, again and again; what was asked, the status, and how long it took."""
    payload: list[tuple[str, int, float]] = []

    async def loop(what: str, ask: Callable[[], Awaitable[Response]]) -> None:
        while time.monotonic() < until:
            started = time.monotonic()
            status = (await ask()).status
            payload.append((what, status, time.monotonic() - started))

    await asyncio.gather(
        *(loop("place", shop.sell) for _ in range(4)),
        *(loop("read", lambda: shop.get(f"/api/orders/{number}", **MERCHANT)) for _ in range(2)),
        loop("close", lambda: shop.ask("POST", f"/api/orders/{number}/close", headers=MERCHANT)),
        loop("list", lambda: shop.get("/api/orders", **MERCHANT)),
        loop("ready", lambda: shop.get("/readyz")),
    )
    return payload


@pytest.mark.alone
async def test_while_the_server_stands_still_the_service_answers_503_in_time_and_afterwards_goes_on(
    own_mongo: EmbeddedMongo, redis: EmbeddedRedis, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """Two services, one with each driver. In the end one order is of a newer release."""
    services = []
    for driver in DRIVERS:
        settings = overlay(free_port(), simulator.url, simulator.credentials, own_mongo.url, redis.url, tmp_path)
        settings["mongo"] |= {"driver": driver, "database": f"still_{driver}"}
        services.append(await asyncio.to_thread(ServiceProcess.start, tmp_path, settings, driver))
    async with Shop(services[0].url, simulator) as one, Shop(services[1].url, simulator) as two:
        shops = (one, two)
        orders = [await shop.sold() for shop in shops]
        numbers = [str(order["out_trade_no"]) for order in orders]
        assert own_mongo.pid is not None
        os.kill(own_mongo.pid, signal.SIGSTOP)
        until = time.monotonic() + STILL_S
        asking = [ask_until(shop, number, until - ANSWERED_S) for shop, number in zip(shops, numbers, strict=True)]
        payload = [each for answers in await asyncio.gather(*asking) for each in answers]
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        os.kill(own_mongo.pid, signal.SIGCONT)
        deadline = time.monotonic() + RECOVERED_S
        for shop in shops:
            while (await shop.sell()).status != 201:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            again = await asyncio.gather(*(shop.sell() for _ in range(20)), shop.get("/readyz"))
            assert Counter(each.status for each in again) == {201: 20, 200: 1}
        for shop, number, driver in zip(shops, numbers, DRIVERS, strict=True):
            await make_newer(own_mongo.url, f"still_{driver}", number)
            refused = await shop.ask("POST", f"/api/orders/{number}/close", headers=MERCHANT)
            assert (refused.status, refused.code) == (503, "NEWER_DOCUMENT")
            assert (await shop.stored(number))["trade_state"] == "NOTPAY"
    assert [await asyncio.to_thread(service.stop) for service in services] == [0, 0]
    assert [line for service in services for line in service.defects] == []
    assert {status for _, status, _ in payload} == {503}
    assert {what for what, _, _ in payload} == {"place", "read", "close", "list", "ready"}
    assert [each for each in payload if each[2] > ANSWERED_S] == []


async def make_newer(url: str, database: str, number: str) -> None:
    """Have a newer release write an order."""
    client: AsyncMongoClient[Document] = AsyncMongoClient(url)
    change = {"$set": {"schema": SCHEMA + 1}, "$inc": {"rev": 1}}
    result = await client[database][ORDERS].update_one({"out_trade_no": number}, change)
    assert result.modified_count == 1
    await client.close()
