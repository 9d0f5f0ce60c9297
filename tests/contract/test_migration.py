"""Copying a real database of release 0.1.0: a part of a drilled day, and orders left in the middle of everything."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml
from bson import json_util
from pymongo import MongoClient

from storage.documents import CODEC
from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from storage.migration.copying import Line, Migration, MigrationRefused
from storage.mongo.storage import MongoStorage
from tests.contract.samples import NOW, a_storage
from tests.support.service import API_KEY, ServiceProcess, overlay, run_server
from tests.support.settings import KNOWN
from wechat.domain.deliveries import DeliveryState
from wechat.domain.facts import RefundState
from wechat.domain.numbers import payment_number, refund_number
from wechat.domain.orders import Order, TradeState
from wechat.domain.refunds import NOT_REFUNDABLE

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "release_0_1_0"
MCHID = "sim1966745134"
OLD_PROBE_S = 1.0
OPTIONS = json_util.JSONOptions(document_class=dict, tz_aware=True)

Documents = dict[str, list[dict[str, Any]]]


@pytest.fixture
def old() -> Documents:
    """The documents that release 0.1.0 wrote, by collection."""
    return {
        file.stem: [json_util.loads(line, json_options=OPTIONS) for line in lines(file)]
        for file in FIXTURES.glob("*.jsonl")
    }


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def filled(mongo: EmbeddedMongo, database: str, old: Documents) -> Iterator[Any]:
    """A database as 0.1.0 left it."""
    with MongoClient[dict[str, Any]](mongo.url) as client:
        found = client.get_database(database, codec_options=CODEC)
        for name, documents in old.items():
            found[name].insert_many(documents)
        yield found


def migrate(mongo: EmbeddedMongo, database: str) -> list[Line]:
    migration = Migration(mongo.url, database, MCHID)
    try:
        return migration.run(lambda text: None, probe_s=OLD_PROBE_S)
    finally:
        migration.close()


@pytest.fixture
async def storage(mongo: EmbeddedMongo, database: str) -> Any:
    storage = a_storage(mongo.url, database)
    yield storage
    await storage.close()


async def order(storage: MongoStorage, number: str) -> Order:
    stored = await storage.orders.get(f"{MCHID}:{number}")
    assert stored is not None
    return stored.value


async def test_every_order_refund_and_fen_arrives(
    mongo: EmbeddedMongo, database: str, filled: Any, storage: MongoStorage, old: Documents
) -> None:
    counted = {line.name: line.after for line in await asyncio.to_thread(migrate, mongo, database)}
    paid = [each["total"] for each in old["orders"] if each["trade_state"] in ("SUCCESS", "REFUND", "PAID_LATE")]
    assert (counted["orders"], counted["paid fen"]) == (len(old["orders"]), sum(paid))
    orders = [await order(storage, each["_id"]) for each in old["orders"]]
    assert Counter(each.trade_state for each in orders) == Counter(TradeState(d["trade_state"]) for d in old["orders"])
    ours = {refund.out_refund_no: refund for each in orders for refund in each.refunds}
    assert ours.keys() == {each["_id"] for each in old["refunds"]}
    for each in old["refunds"]:
        assert (ours[each["_id"]].refund, ours[each["_id"]].state) == (each["refund"], each["state"])
    for before, after in zip(old["orders"], orders, strict=True):
        assert (after.transaction_id, after.paid_at) == (before.get("transaction_id", ""), before.get("paid_at"))
        assert [entry.what for entry in after.timeline] == [event["what"] for event in before["events"]]
        assert after.refund_reserved == before.get("refund_reserved", 0)


async def test_numbers_are_reserved_for_the_orders_that_use_them(
    mongo: EmbeddedMongo, database: str, filled: Any, storage: MongoStorage
) -> None:
    await asyncio.to_thread(migrate, mongo, database)
    for number in (payment_number(MCHID, "T-success"), refund_number(MCHID, "refund-success")):
        use = await storage.numbers.get(number)
        assert use is not None
        assert use.order_key == f"{MCHID}:left-success"
    second = await storage.numbers.get(payment_number(MCHID, "T-second"))
    assert second is not None
    assert [payment.transaction_id for payment in (await order(storage, "left-twice")).payments] == [
        "T-first",
        "T-second",
    ]


async def test_work_that_was_left_is_due(
    mongo: EmbeddedMongo, database: str, filled: Any, storage: MongoStorage
) -> None:
    await asyncio.to_thread(migrate, mongo, database)
    unpaid, late = await order(storage, "left-unpaid"), await order(storage, "left-paid-late")
    assert (unpaid.next_check_at, unpaid.checks, unpaid.prepay is not None) == (unpaid.due_at, 1, True)
    assert (late.trade_state, late.due_at) == (TradeState.PAID_LATE, NOW)
    queued = (await order(storage, "left-queued")).refunds[0]
    assert (queued.state, queued.sends, queued.next_check_at is not None) == (RefundState.REQUESTED, 0, True)
    unknown = (await order(storage, "left-unknown")).refunds[0]
    assert (unknown.state, unknown.sends, unknown.first_sent_at) == (RefundState.REQUESTED, 1, unknown.last_sent_at)
    refused = (await order(storage, "left-refused")).refunds[0]
    assert (refused.state, refused.refusal, refused.next_check_at) == (RefundState.REFUSED, "NOT_ENOUGH", None)
    surplus = (await order(storage, "left-twice")).refunds[0]
    assert (surplus.surplus, surplus.transaction_id, surplus.open) == (True, "T-second", True)


async def test_events_that_were_not_handed_out_are_staged_in_their_order(
    mongo: EmbeddedMongo, database: str, filled: Any, storage: MongoStorage, old: Documents
) -> None:
    await asyncio.to_thread(migrate, mongo, database)
    late = await order(storage, "left-paid-late")
    assert [(event.type, event.sequence) for event in late.outbox] == [("order.closed", 1), ("order.paid_late", 2)]
    success = await order(storage, "left-success")
    assert [(event.type, event.out_refund_no) for event in success.outbox] == [
        ("order.paid", ""),
        ("refund.succeeded", "refund-success"),
    ]
    [before] = [each for each in old["orders"] if each["_id"] == "left-success"]
    assert success.outbox[0].id == before["outbox"][0]["id"]  # known to receivers by this id, if it was delivered


async def test_deliveries_notifications_claims_and_books_are_there(
    mongo: EmbeddedMongo, database: str, filled: Any, storage: MongoStorage, old: Documents
) -> None:
    await asyncio.to_thread(migrate, mongo, database)
    states = Counter[str]()
    for state in DeliveryState:
        states[state.value] = len((await storage.deliveries.find(state=state, limit=1000, cursor="")).items)
    assert +states == Counter(each["state"] for each in old["deliveries"])
    [payload] = await storage.notifications.of_order("sim1900000109", "left-unpaid")
    assert payload.verdict == "total"
    claim = await storage.claims.get("basket:left")
    assert claim is not None
    assert claim.value.number == "left-unpaid"
    day = next(each for each in old["book_days"] if each.get("done"))
    kept = await storage.days.get(f"{MCHID}:{day['_id']}")
    assert kept is not None
    assert (kept.value.due_at, kept.value.result is not None) == (None, True)
    open_day = await storage.days.get(f"{MCHID}:2026-03-01")
    assert open_day is not None
    assert open_day.value.due_at is not None
    differences = await storage.differences.of_day(MCHID, NOW.date(), limit=10, cursor="")
    assert [each.status for each in differences.items] == ["open"]


async def test_copying_again_changes_nothing(mongo: EmbeddedMongo, database: str, filled: Any) -> None:
    first = await asyncio.to_thread(migrate, mongo, database)
    before = {name: list(filled[name].find()) for name in filled.list_collection_names()}
    filled["order_documents"].delete_one({"out_trade_no": "left-staged"})  # a copy that was cut off
    assert await asyncio.to_thread(migrate, mongo, database) == first
    after = {name: list(filled[name].find()) for name in filled.list_collection_names()}
    assert {name: sorted(map(str, found)) for name, found in after.items()} == {
        name: sorted(map(str, found)) for name, found in before.items()
    }


async def test_the_old_collections_stay_as_they_are(
    mongo: EmbeddedMongo, database: str, filled: Any, old: Documents
) -> None:
    before = {name: sorted(map(str, filled[name].find())) for name in old}
    await asyncio.to_thread(migrate, mongo, database)
    assert {name: sorted(map(str, filled[name].find())) for name in old} == before


async def test_a_fen_that_is_lost_on_the_way_is_noticed(mongo: EmbeddedMongo, database: str, filled: Any) -> None:
    await asyncio.to_thread(migrate, mongo, database)
    filled["order_documents"].update_one({"out_trade_no": "left-success"}, {"$inc": {"total": -1}})
    with pytest.raises(MigrationRefused) as refused:
        await asyncio.to_thread(migrate, mongo, database)
    assert "paid fen" in refused.value.text.en


async def test_it_refuses_while_a_process_of_the_old_release_works(
    mongo: EmbeddedMongo, database: str, filled: Any
) -> None:
    """Its worker takes the order that is due first, as 0.1.0 did."""
    stopped = threading.Event()

    def old_worker() -> None:
        while not stopped.wait(0.1):
            due = {"next_check_at": {"$gt": NOW.replace(year=1970), "$lte": NOW}}
            due["next_check_at"]["$gt"] = NOW.replace(
                year=1970, month=1, day=1, hour=0, minute=0, second=0, microsecond=0
            )
            filled["orders"].find_one_and_update(due, {"$set": {"next_check_at": NOW}}, sort=[("next_check_at", 1)])

    worker = threading.Thread(target=old_worker)
    worker.start()
    try:
        with pytest.raises(MigrationRefused) as refused:
            await asyncio.to_thread(migrate, mongo, database)
    finally:
        stopped.set()
        worker.join()
    assert refused.value.public_code == "OLD_PROCESS_RUNNING"
    assert "order_documents" not in filled.list_collection_names()
    assert filled["orders"].find_one({"_id": "migration-probe"}) is None


async def test_it_refuses_once_the_new_release_has_changed_orders(
    mongo: EmbeddedMongo, database: str, filled: Any
) -> None:
    await asyncio.to_thread(migrate, mongo, database)
    filled["order_documents"].update_one({"out_trade_no": "left-unpaid"}, {"$inc": {"rev": 1}})
    with pytest.raises(MigrationRefused) as refused:
        await asyncio.to_thread(migrate, mongo, database)
    assert refused.value.public_code == "ALREADY_IN_USE"


async def test_a_database_without_old_orders_has_nothing_to_migrate(mongo: EmbeddedMongo, database: str) -> None:
    with pytest.raises(MigrationRefused) as refused:
        await asyncio.to_thread(migrate, mongo, database)
    assert refused.value.public_code == "NOTHING_TO_MIGRATE"


async def test_a_refund_that_was_never_reserved_and_has_no_room_is_refused(
    mongo: EmbeddedMongo, database: str, filled: Any, storage: MongoStorage
) -> None:
    """0.1.0 stored a refund before it reserved its amount; a process could die between the two."""
    refund = filled["refunds"].find_one({"_id": "refund-queued"})
    filled["refunds"].insert_one(refund | {"_id": "refund-too-much", "refund": 9999})
    await asyncio.to_thread(migrate, mongo, database)
    refused = (await order(storage, "left-queued")).refund_of("refund-too-much")
    assert refused is not None
    assert (refused.state, refused.refusal) == (RefundState.REFUSED, NOT_REFUNDABLE)


def test_the_service_does_not_start_on_old_data_and_does_after_they_were_copied(
    mongo: EmbeddedMongo, redis: EmbeddedRedis, database: str, filled: Any, tmp_path: Path
) -> None:
    known = KNOWN | {"mchid": MCHID}
    settings = overlay(free_port(), "http://127.0.0.1:9", known, mongo.url, redis.url, tmp_path)
    settings["mongo"]["database"] = database
    file = tmp_path / "settings.yml"
    file.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    refused = run_server("--settings", str(file))
    assert refused.returncode == 3
    assert "manage.py migrate" in refused.stderr
    migrate(mongo, database)
    service = ServiceProcess.start(tmp_path, settings)
    try:
        asked = Request(f"{service.url}/api/orders/left-success", headers={"Authorization": f"Bearer {API_KEY}"})  # noqa: S310
        with urlopen(asked) as answer:  # noqa: S310 - loopback
            assert answer.status == 200
    finally:
        assert service.stop() == 0
