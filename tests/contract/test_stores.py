"""What the MongoDB stores promise, over both drivers, against a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from storage.embedded import EmbeddedMongo
from storage.old_driver import Connection, Driver, connect
from storage.old_storage import MongoStorage
from tests.contract.samples import CREATED, HOUR, NOW, PREPAID, PREPAY, a_claim, a_close, a_message, a_payment, an_order
from tests.support.servers import Proxy
from wechat.domain.errors import BadRequest, Mismatch, StoreUnavailable
from wechat.domain.orders import Order, TradeState

NUMBER = an_order().out_trade_no
RACERS = 50


async def test_an_order_comes_back_as_it_was_stored(storage: MongoStorage) -> None:
    order = an_order(attach="桌号 7", prepay=PREPAY, transaction_id="42", paid_at=NOW, payer_total=0, checks=3)
    assert await storage.orders.insert(order)
    stored = await storage.orders.get(NUMBER)
    assert stored == order
    assert stored is not None
    assert (type(stored.total), type(stored.payer_total), type(stored.quantity)) == (int, int, int)


async def test_an_unknown_number_is_none(storage: MongoStorage) -> None:
    assert await storage.orders.get("nobody") is None


async def test_a_taken_number_is_refused_and_the_stored_order_untouched(storage: MongoStorage) -> None:
    assert await storage.orders.insert(an_order())
    assert not await storage.orders.insert(an_order(description="another"))
    assert await storage.orders.get(NUMBER) == an_order()


async def test_of_fifty_equal_inserts_exactly_one_wins(storage: MongoStorage) -> None:
    won = await asyncio.gather(*(storage.orders.insert(an_order()) for _ in range(RACERS)))
    assert won.count(True) == 1


async def test_fields_of_a_later_release_are_ignored_and_missing_ones_have_defaults(
    storage: MongoStorage, raw: Connection
) -> None:
    await storage.orders.insert(an_order())
    await raw.database["orders"].update_one(
        {"_id": NUMBER},
        {
            "$set": {"from_the_future": {"a": [1]}, "events.0.mood": "good"},
            "$unset": {"openid": "", "currency": "", "checks": "", "close_after": ""},
        },
    )
    assert await storage.orders.get(NUMBER) == an_order(openid="", close_after=None)


async def test_a_prepay_is_kept_while_the_order_is_unpaid(storage: MongoStorage) -> None:
    await storage.orders.insert(an_order())
    assert await storage.orders.set_prepay(NUMBER, PREPAY, PREPAID) == an_order(
        prepay=PREPAY, events=(CREATED, PREPAID)
    )
    await storage.orders.move(NUMBER, a_payment())
    assert await storage.orders.set_prepay(NUMBER, PREPAY, PREPAID) is None


async def test_a_note_is_appended_and_nothing_else_changes(storage: MongoStorage) -> None:
    await storage.orders.insert(an_order())
    await storage.orders.note(NUMBER, PREPAID)
    assert await storage.orders.get(NUMBER) == an_order(events=(CREATED, PREPAID))


async def test_a_move_writes_state_fields_timeline_and_outbox_together(storage: MongoStorage, raw: Connection) -> None:
    await storage.orders.insert(an_order())
    move = a_payment("T1")
    paid = an_order(
        trade_state=TradeState.SUCCESS,
        transaction_id="T1",
        paid_at=NOW,
        payer_total=3600,
        next_check_at=None,
        events=(CREATED, move.event),
    )
    assert await storage.orders.move(NUMBER, move) == paid
    assert await storage.orders.get(NUMBER) == paid
    document = await raw.database["orders"].find_one({"_id": NUMBER})
    assert document is not None
    [outgoing] = document["outbox"]
    assert (outgoing["type"], outgoing["at"], document["outbox_due_at"]) == ("order.paid", NOW, NOW)
    assert "next_check_at" not in document


async def test_of_fifty_moves_exactly_one_is_made(storage: MongoStorage, raw: Connection) -> None:
    await storage.orders.insert(an_order())
    moved = await asyncio.gather(*(storage.orders.move(NUMBER, a_payment()) for _ in range(RACERS)))
    assert len([order for order in moved if order]) == 1
    document = await raw.database["orders"].find_one({"_id": NUMBER})
    assert document is not None
    assert (len(document["outbox"]), len(document["events"])) == (1, 2)


async def test_of_payment_and_close_one_is_made(storage: MongoStorage) -> None:
    await storage.orders.insert(an_order())
    moves = [a_payment(), a_close()] * 10
    moved = await asyncio.gather(*(storage.orders.move(NUMBER, move) for move in moves))
    assert len([order for order in moved if order]) == 1


@pytest.mark.parametrize("differs", [{"total": 3599}, {"mchid": "sim2"}, {"appid": "wx0"}, {"trade_type": "NATIVE"}])
async def test_a_move_that_does_not_match_changes_nothing(storage: MongoStorage, differs: dict[str, str | int]) -> None:
    await storage.orders.insert(an_order())
    assert await storage.orders.move(NUMBER, replace(a_payment(), match={"total": 3600, **differs})) is None
    assert await storage.orders.get(NUMBER) == an_order()


async def test_a_move_from_the_wrong_state_changes_nothing(storage: MongoStorage) -> None:
    await storage.orders.insert(an_order())
    assert await storage.orders.move(NUMBER, a_payment(target=TradeState.REFUND)) is None
    closed = await storage.orders.move(NUMBER, a_close())
    assert closed is not None
    assert await storage.orders.move(NUMBER, a_payment()) is None
    assert await storage.orders.get(NUMBER) == closed


async def test_a_transaction_pays_one_order_only(storage: MongoStorage) -> None:
    await storage.orders.insert(an_order())
    await storage.orders.insert(an_order("20260301120507def"))
    await storage.orders.move(NUMBER, a_payment("T1"))
    with pytest.raises(Mismatch) as refused:
        await storage.orders.move("20260301120507def", a_payment("T1"))
    assert refused.value.reason == "transaction_used"
    assert await storage.orders.get("20260301120507def") == an_order("20260301120507def")


async def test_a_listing_pages_newest_first_without_gap_or_repetition(storage: MongoStorage) -> None:
    orders = [
        an_order(f"2026030112{i:04d}", created_at=NOW + timedelta(milliseconds=i // 3), openid=f"o{i}")
        for i in range(10)
    ]
    await asyncio.gather(*(storage.orders.insert(order) for order in orders))
    listed: list[Order] = []
    cursor = ""
    while True:
        page = await storage.orders.find(trade_state=None, limit=3, cursor=cursor)
        listed += page.items
        if not (cursor := page.next_cursor):
            break
    assert listed == sorted(orders, key=lambda order: (order.created_at, order.out_trade_no), reverse=True)


async def test_a_listing_can_be_of_one_state(storage: MongoStorage) -> None:
    for i in range(4):
        await storage.orders.insert(an_order(f"2026030112{i:04d}"))
    await storage.orders.move("20260301120002", a_payment())
    paid = await storage.orders.find(trade_state=TradeState.SUCCESS, limit=10, cursor="")
    assert [order.out_trade_no for order in paid.items] == ["20260301120002"]
    assert paid.next_cursor == ""


@pytest.mark.parametrize(
    "cursor", ["x", "!!!!", "MTIz", "OTk5OTk5OTk5OTk5OTk5OTk5OS5hYmNkZWY", "MS57IiRndCI6IiJ9", "é"]
)
async def test_a_broken_cursor_is_a_bad_request(storage: MongoStorage, cursor: str) -> None:
    with pytest.raises(BadRequest):
        await storage.orders.find(trade_state=None, limit=3, cursor=cursor)


async def test_due_orders_are_taken_once_each_and_again_when_the_lease_has_run_out(storage: MongoStorage) -> None:
    numbers = {f"2026030112{i:04d}" for i in range(5)}
    for number in numbers:
        await storage.orders.insert(an_order(number))
    now, lease = NOW + timedelta(minutes=1), timedelta(minutes=1)
    taken = await asyncio.gather(*(storage.orders.claim_due(now, lease) for _ in range(10)))
    assert sorted(order.out_trade_no for order in taken if order) == sorted(numbers)
    assert await storage.orders.claim_due(now, lease) is None
    again = await storage.orders.claim_due(now + lease, lease)
    assert again is not None


async def test_only_unpaid_orders_are_looked_after(storage: MongoStorage) -> None:
    await storage.orders.insert(an_order())
    await storage.orders.move(NUMBER, a_payment())
    await storage.orders.schedule(NUMBER, NOW)
    assert await storage.orders.claim_due(NOW + HOUR, HOUR) is None


async def test_a_schedule_sets_the_next_look_and_counts_it(storage: MongoStorage) -> None:
    await storage.orders.insert(an_order())
    await storage.orders.schedule(NUMBER, NOW + HOUR)
    assert await storage.orders.get(NUMBER) == an_order(next_check_at=NOW + HOUR, checks=1)
    await storage.orders.schedule(NUMBER, NOW, close_after=NOW)
    assert await storage.orders.get(NUMBER) == an_order(next_check_at=NOW, close_after=NOW, checks=2)


async def test_overdue_looks_are_counted_with_the_age_of_the_oldest(storage: MongoStorage) -> None:
    assert await storage.orders.unconfirmed(NOW) == (0, 0.0)
    for i, late_s in enumerate((10, 40, -5)):
        await storage.orders.insert(an_order(f"2026030112{i:04d}", next_check_at=NOW - timedelta(seconds=late_s)))
    assert await storage.orders.unconfirmed(NOW) == (2, 40.0)


async def test_a_key_belongs_to_its_first_claim(storage: MongoStorage) -> None:
    assert await storage.claims.claim(a_claim()) == a_claim()
    assert await storage.claims.claim(a_claim("other", "d2")) == a_claim()


async def test_of_fifty_claims_all_are_told_of_the_same_one(storage: MongoStorage) -> None:
    told = await asyncio.gather(*(storage.claims.claim(a_claim(f"number-{i}")) for i in range(RACERS)))
    assert len({claim.out_trade_no for claim in told}) == 1


async def test_a_held_claim_is_replaced_once(storage: MongoStorage) -> None:
    held = await storage.claims.claim(a_claim())
    swaps = [storage.claims.replace(held, replace(held, out_trade_no=f"number-{i}")) for i in range(10)]
    assert (await asyncio.gather(*swaps)).count(True) == 1
    assert (await storage.claims.claim(a_claim())).out_trade_no.startswith("number-")


async def test_a_repeated_message_is_one_document_that_counts(storage: MongoStorage) -> None:
    seen = await asyncio.gather(
        *(storage.notifications.record(a_message(), b"{}", {}, NOW + timedelta(seconds=i)) for i in range(RACERS))
    )
    assert sorted(seen) == list(range(1, RACERS + 1))
    [stored] = await storage.notifications.of_order(NUMBER)
    assert (stored.id, stored.api, stored.kind, stored.seen, stored.verdict) == (
        "event-1", "v3", "TRANSACTION.SUCCESS", RACERS, "",
    )  # fmt: skip


async def test_the_first_message_is_kept_raw_with_the_headers_that_matter(
    storage: MongoStorage, raw: Connection
) -> None:
    headers = {"Wechatpay-Serial": "PUB_KEY_ID_1", "User-Agent": "Mozilla/4.0", "Cookie": "c", "Authorization": "a"}
    await storage.notifications.record(a_message(), b"\x00first", headers, NOW)
    await storage.notifications.record(a_message(), b"second", {}, NOW + HOUR)
    document = await raw.database["notifications"].find_one({"_id": "event-1"})
    assert document is not None
    assert document["raw"] == b"\x00first"
    assert document["headers"] == {"Wechatpay-Serial": "PUB_KEY_ID_1", "User-Agent": "Mozilla/4.0"}
    assert (document["first_at"], document["last_at"]) == (NOW, NOW + HOUR)
    assert document["expires_at"] == NOW + timedelta(days=90)


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
    storage: MongoStorage, verdicts: list[str], left: str
) -> None:
    await storage.notifications.record(a_message(), b"{}", {}, NOW)
    for verdict in verdicts:
        await storage.notifications.conclude("event-1", verdict, NOW)
    [stored] = await storage.notifications.of_order(NUMBER)
    assert stored.verdict == left


async def test_the_messages_of_an_order_are_listed_oldest_first(storage: MongoStorage) -> None:
    for name, after_s in (("b", 20), ("a", 10), ("c", 30)):
        await storage.notifications.record(a_message(name), b"{}", {}, NOW + timedelta(seconds=after_s))
    await storage.notifications.record(a_message("d", "another-order"), b"{}", {}, NOW)
    assert [message.id for message in await storage.notifications.of_order(NUMBER)] == ["a", "b", "c"]


# -- the server -------------------------------------------------------------------------------------------------------


class Commands(CommandListener):
    """Remembers every command that was sent."""

    def __init__(self) -> None:
        self.sent: list[CommandStartedEvent] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append(event)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


async def test_every_write_waits_for_a_majority_and_the_journal_whatever_the_url_says(
    mongo: EmbeddedMongo, driver: Driver, database: str
) -> None:
    commands = Commands()
    connection = connect(f"{mongo.url}/?w=0&journal=false", database, driver, listeners=[commands])
    storage = MongoStorage("", "", connection=connection)
    await storage.problems()
    await storage.orders.insert(an_order())
    await storage.orders.set_prepay(NUMBER, PREPAY, PREPAID)
    await storage.orders.note(NUMBER, PREPAID)
    await storage.orders.claim_due(NOW + HOUR, HOUR)
    await storage.orders.schedule(NUMBER, NOW)
    await storage.orders.move(NUMBER, a_payment())
    held = await storage.claims.claim(a_claim())
    await storage.claims.replace(held, held)
    await storage.notifications.record(a_message(), b"{}", {}, NOW)
    await storage.notifications.conclude("event-1", "applied", NOW)
    await storage.close()
    writes = [event.command for event in commands.sent if event.command_name in ("insert", "update", "findAndModify")]
    assert len(writes) == 10
    assert {str(sorted(command["writeConcern"].items())) for command in writes} == {"[('j', True), ('w', 'majority')]"}
    assert all("txnNumber" in command for command in writes)


async def test_an_insert_whose_answer_was_lost_is_known_as_ours(
    mongo: EmbeddedMongo, driver: Driver, database: str
) -> None:
    proxy = Proxy(int(mongo.url.rpartition(":")[2]))
    async with proxy.listening() as port:
        storage = MongoStorage(f"mongodb://127.0.0.1:{port}/?directConnection=true", database, driver)
        for i in range(3):
            proxy.lose(b"mark")
            assert await storage.orders.insert(an_order(f"2026030112{i:04d}"))
            assert proxy.lost
        await storage.close()


@pytest.fixture
async def nowhere(driver: Driver) -> Any:
    storage = MongoStorage("mongodb://127.0.0.1:1", "nowhere", driver)
    yield storage
    await storage.close()


CALLS: dict[str, Callable[[MongoStorage], Any]] = {
    "insert": lambda s: s.orders.insert(an_order()),
    "get": lambda s: s.orders.get(NUMBER),
    "set_prepay": lambda s: s.orders.set_prepay(NUMBER, PREPAY, PREPAID),
    "note": lambda s: s.orders.note(NUMBER, PREPAID),
    "move": lambda s: s.orders.move(NUMBER, a_payment()),
    "find": lambda s: s.orders.find(trade_state=None, limit=1, cursor=""),
    "claim_due": lambda s: s.orders.claim_due(NOW, HOUR),
    "schedule": lambda s: s.orders.schedule(NUMBER, NOW),
    "unconfirmed": lambda s: s.orders.unconfirmed(NOW),
    "claim": lambda s: s.claims.claim(a_claim()),
    "replace": lambda s: s.claims.replace(a_claim(), a_claim()),
    "record": lambda s: s.notifications.record(a_message(), b"", {}, NOW),
    "conclude": lambda s: s.notifications.conclude("event-1", "applied", NOW),
    "of_order": lambda s: s.notifications.of_order(NUMBER),
}


async def test_every_call_says_within_three_seconds_that_the_server_is_away(nowhere: MongoStorage) -> None:
    started = time.monotonic()
    results = await asyncio.gather(*(call(nowhere) for call in CALLS.values()), return_exceptions=True)
    assert time.monotonic() - started < 3
    assert [type(result) for result in results] == [StoreUnavailable] * len(CALLS)
    [problem] = await nowhere.problems()
    assert "MongoDB" in problem.zh


async def test_a_missing_index_is_made_and_one_that_cannot_be_made_is_a_problem(
    mongo: EmbeddedMongo, driver: Driver, database: str, raw: Connection
) -> None:
    orders = raw.database["orders"]
    for number in ("first", "second"):
        await orders.insert_one({"_id": number, "mchid": "m", "transaction_id": "T1"})
    storage = MongoStorage(mongo.url, database, driver)
    [problem] = await storage.problems()
    assert "11000" in problem.en
    await orders.update_one({"_id": "second"}, {"$set": {"transaction_id": "T2"}})
    assert await storage.problems() == []
    assert (await orders.index_information())["transaction"]["unique"]
    await storage.close()


async def test_old_claims_and_notifications_are_removed_by_the_server(storage: MongoStorage, raw: Connection) -> None:
    for name in ("claims", "notifications"):
        indexes = await raw.database[name].index_information()
        assert indexes["expiry"]["expireAfterSeconds"] == 0
