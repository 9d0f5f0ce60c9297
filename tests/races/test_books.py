"""A day's books: every planted difference and no other, whoever dies, and whoever runs twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from storage.stores.all import DAYS, DIFFERENCES
from tests.http.client import MERCHANT, Response, Shop
from tests.races.cluster import SCALE, Cluster, crowd, until
from tests.support.servers import Proxy
from tests.support.service import ServiceProcess, overlay
from tests.support.stored import documents
from wechat.reconciliation.books import DifferenceKind
from wechat.reconciliation.reconciler import LEASE
from wechat.reconciliation.worker import RETRY

TRADE_BILL = "/v3/bill/tradebill"
EACH = 5 * SCALE


@dataclass
class BusyDay:
    """A day with differences planted on its bill."""

    day: date
    planted: Counter[tuple[str, ...]]
    found: dict[str, int]


@pytest.fixture(scope="module")
async def busy(cluster: Cluster) -> BusyDay:
    """Some 240 payments, 40 refunds, and as many differences of each kind as ``EACH``."""
    day = await cluster.new_day()
    paid = await cluster.bought(240 * SCALE)
    await cluster.sold(EACH, expires_in_s=7 * 86400)  # still unpaid when the bill comes
    answers = await crowd([cluster.refund(order, 700) for order in paid[: 40 * SCALE]])
    await succeeded(cluster, answers)
    planted: Counter[tuple[str, ...]] = Counter()
    for kind in DifferenceKind:
        response = await cluster.wechat("POST", "bills/faults", {"date": str(day), "kind": kind.value, "times": EACH})
        planted.update(map(identity, response["faults"]))
    await cluster.move_to(day + timedelta(days=1), 10, 6)
    return BusyDay(day, planted, {kind.value: EACH for kind in DifferenceKind})


async def succeeded(cluster: Cluster, answers: list[Response]) -> None:
    """Wait until these refunds have succeeded and the service knows."""
    numbers = [response.json()["out_refund_no"] for response in answers]
    await cluster.advance(seconds=5)
    await crowd([until(partial(_succeeded, cluster, number)) for number in numbers])


async def _succeeded(cluster: Cluster, out_refund_no: str) -> bool:
    return bool((await cluster.ask("GET", f"/api/refunds/{out_refund_no}")).json()["state"] == "SUCCESS")


def identity(response: dict[str, Any]) -> tuple[str, ...]:
    """Kind and numbers of a planted fault, or of one side of a difference."""
    names = ("kind", "out_trade_no", "transaction_id", "out_refund_no")
    return tuple(response.get(name) or "" for name in names)


def told_of(result: dict[str, Any]) -> Counter[tuple[str, ...]]:
    """Count the open differences of a result by kind and numbers."""
    sides = [(d["wechat"] or d["ours"]) | {"kind": d["kind"]} for d in result["differences"] if d["status"] == "open"]
    return Counter(map(identity, sides))


async def test_every_planted_difference_is_found_and_none_is_invented(cluster: Cluster, busy: BusyDay) -> None:
    """K3."""
    result = await cluster.reconciled(busy.day)
    assert result["found"] == busy.found
    assert told_of(result) == busy.planted
    assert result["wechat"]["payments"] + result["wechat"]["refunds"] >= 280 * SCALE


async def test_running_again_books_nothing_twice(cluster: Cluster, busy: BusyDay) -> None:
    """K4, a rerun."""
    before = await cluster.reconciled(busy.day)
    assert (await cluster.reconcile(busy.day)).json()["found"] == busy.found
    after = await cluster.reconciled(busy.day)
    assert after["differences"] == before["differences"]
    assert {len(difference["audit"]) for difference in after["differences"]} == {0}


async def test_of_many_runners_at_once_one_runs_and_nothing_is_booked_twice(
    cluster: Cluster, busy: BusyDay, mongo: EmbeddedMongo
) -> None:
    """K4, two processes, four runs each."""
    forget(mongo.url, busy.day)
    answers = await asyncio.gather(*(cluster.reconcile(busy.day) for _ in range(8)))
    assert {response.status for response in answers} == {200, 409}
    assert {response.code for response in answers if response.status == 409} == {"RECONCILIATION_RUNNING"}
    assert told_of(await cluster.reconciled(busy.day)) == busy.planted


def forget(url: str, day: date) -> None:
    """Delete the run and the differences of ``day``, as if it had never been reconciled."""
    with MongoClient[dict[str, Any]](url) as client:
        client["cluster"][DIFFERENCES].delete_many({"day": day.isoformat()})
    forget_run(url, day)


def forget_run(url: str, day: date) -> None:
    """Delete the run of ``day``, but keep its differences."""
    with MongoClient[dict[str, Any]](url) as client:
        client["cluster"][DAYS].delete_one({"day": day.isoformat()})


def command(name: str, collection: str) -> bytes:
    """The bytes with which a command on ``collection`` begins in MongoDB's wire protocol."""
    return name.encode() + b"\0" + (len(collection) + 1).to_bytes(4, "little") + collection.encode() + b"\0"


@pytest.mark.parametrize(
    ("last_words", "before"),
    [
        (command("insert", DIFFERENCES), forget),
        (command("update", DIFFERENCES), forget_run),
        (b"finished_at\0", forget),  # of the result; the day was written twice before, to lease it
    ],
    ids=["before it books", "before it marks", "before it ends"],
)
async def test_a_run_killed_in_the_middle_is_done_by_another_process_and_nothing_is_booked_twice(
    cluster: Cluster,
    busy: BusyDay,
    mongo: EmbeddedMongo,
    redis: EmbeddedRedis,
    directory: Path,
    last_words: bytes,
    before: Callable[[str, date], None],
) -> None:
    """K4, SIGKILL of the process that runs."""
    before(mongo.url, busy.day)
    proxy = Proxy(urlsplit(mongo.url).port or 0)
    async with proxy.listening() as port:
        url = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        settings = overlay(free_port(), cluster.simulator.url, cluster.simulator.credentials, url, redis.url, directory)
        settings["mongo"]["database"] = "cluster"
        settings["books"]["directory"] = str(directory / "cluster-bills")
        doomed = await asyncio.to_thread(ServiceProcess.start, directory, settings, "doomed")
        async with Shop(doomed.url, cluster.simulator) as shop:
            proxy.hold(last_words)
            run = asyncio.create_task(shop.ask("POST", f"/api/reconciliations/{busy.day}", headers=MERCHANT))
            try:
                await asyncio.wait_for(proxy.held.wait(), 10)
            finally:
                doomed.kill()
            await asyncio.gather(run, return_exceptions=True)
    assert (await cluster.reconcile(busy.day)).code == "RECONCILIATION_RUNNING"
    await cluster.advance(seconds=LEASE.total_seconds() + 1)
    assert told_of(await cluster.reconciled(busy.day)) == busy.planted


async def test_a_bill_that_is_late_is_waited_for_and_alarmed_from_the_evening_on(
    cluster: Cluster, mongo: EmbeddedMongo
) -> None:
    """K5."""
    day = await cluster.new_day()
    await cluster.bought(2)
    next_day = day + timedelta(days=1)
    await cluster.reconciled(day - timedelta(days=1))
    asked, late = await cluster.served(TRADE_BILL), await cluster.alarms("bill_late")
    await cluster.move_to(next_day, 9)
    response = await cluster.reconcile(day)
    assert (response.status, response.code, await cluster.served(TRADE_BILL)) == (409, "BILL_NOT_READY", asked)
    await cluster.fault(TRADE_BILL, "refuse", code="STATEMENT_CREATING", message="账单生成中")
    for hour in range(10, 20):
        await cluster.move_to(next_day, hour, hour - 4)  # an hour and a little after the last time
        asked += 1
        await until(partial(_put_off, cluster, mongo.url, day))
        assert await cluster.served(TRADE_BILL) == asked
    assert await cluster.alarms("bill_late") == late
    await cluster.move_to(next_day, 20, 20)
    await until(partial(_alarmed, cluster, "bill_late", late + 1))
    await cluster.heal()
    await cluster.advance(seconds=RETRY.total_seconds() + 60)
    assert (await cluster.reconciled(day))["found"] == {}


async def _put_off(cluster: Cluster, url: str, day: date) -> bool:
    """Whether the day is due again later and no process is working on it."""
    now, stored = await cluster.now(), documents(url, "cluster", DAYS, "day", [day.isoformat()])
    return all(each["due_at"] > now and "leased_until" not in each for each in stored) and bool(stored)


async def _alarmed(cluster: Cluster, kind: str, times: int) -> bool:
    return await cluster.alarms(kind) == times


async def test_refunds_made_by_hand_in_wechats_console_are_found_by_the_bill_and_booked(cluster: Cluster) -> None:
    """J10."""
    day = await cluster.new_day()
    orders = await cluster.bought(4)
    await succeeded(cluster, [await cluster.refund(orders[0], 500)])
    await cluster.advance(minutes=2)
    made = [(orders[0], 300), (orders[1], 1800), (orders[2], 1)]
    for order, amount in made:
        await cluster.wechat("POST", "console/refunds", {"out_trade_no": order["out_trade_no"], "refund": amount})
    await cluster.move_to(day + timedelta(days=1), 10, 6)
    result = await cluster.reconciled(day)
    assert result["found"] == {"refund_missing_here": len(made)}
    repaired = await crowd([cluster.repair(day, difference, "query") for difference in result["differences"]])
    assert {difference["status"] for difference in repaired} == {"repaired"}
    assert [order["refund_reserved"] for order in await cluster.stored(orders)] == [800, 1800, 1, 0]
    assert (await cluster.refund(orders[0], 1001)).code == "NOT_REFUNDABLE"
    again = (await cluster.reconcile(day)).json()
    truth, ledger = await cluster.wechat("GET", f"books/{day}"), (await cluster.ask("GET", f"/api/ledger/{day}")).json()
    assert again["found"] == {}
    for name in ("payments", "received", "refunds", "refunded"):
        assert again["ours"][name] == again["wechat"][name] == ledger[name] == truth[name]
    assert (ledger["fee"], ledger["net"], ledger["debit"]) == (truth["fee"], truth["net"], ledger["credit"])


async def test_a_day_whose_bill_wechat_has_no_more_is_alarmed_once(cluster: Cluster, mongo: EmbeddedMongo) -> None:
    """K5, after three months."""
    day = await cluster.new_day()
    await cluster.bought(1)
    await cluster.reconciled(day - timedelta(days=1))  # otherwise that day, too, raises an alarm after three months
    failed = await cluster.alarms("reconciliation_failed")
    await cluster.fault(TRADE_BILL, "refuse", code="STATEMENT_CREATING", message="账单生成中")
    await cluster.move_to(day + timedelta(days=1), 10, 6)
    await until(partial(_put_off, cluster, mongo.url, day))
    await cluster.advance(days=92)
    await cluster.heal()
    await until(partial(_alarmed, cluster, "reconciliation_failed", failed + 1))
    await until(
        partial(_put_off, cluster, mongo.url, day)
    )  # a process stopped between alarm and delay would raise the alarm again
    for _ in range(3):
        await cluster.advance(seconds=RETRY.total_seconds() + 1)
        await asyncio.sleep(0.2)
    assert await cluster.alarms("reconciliation_failed") == failed + 1
    response = await cluster.reconcile(day)
    assert (response.status, response.code) == (410, "BILL_TOO_OLD")
