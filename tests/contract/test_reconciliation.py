"""Whole days reconciled over real stores: what was planted is found, nothing is invented, nothing is booked twice."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from storage.books import MongoBooks
from storage.old_driver import Connection
from storage.old_storage import MongoStorage
from tests.contract.books import DAY, START, FileGateway, ShopDay, order, sent_refund, transaction
from tests.contract.samples import an_order
from tests.support.bills import MCHID, Line
from tests.support.clock import ManualClock
from wechat.bill_shelf import BillShelf
from wechat.book_worker import BookWorker
from wechat.books import Audit, Difference, Entry, Kind, Status
from wechat.domain.errors import BadRequest, Conflict, Gone, NotSent
from wechat.domain.money import Fen
from wechat.domain.orders import TradeState
from wechat.pay.bill_download import NotYet
from wechat.reconciliation import LEASE, Reconciler

KINDS = list(Kind)
NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
READY = datetime(2026, 3, 1, 2, 5, tzinfo=UTC)


@pytest.fixture
def gateway() -> FileGateway:
    return FileGateway()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def shelf(gateway: FileGateway, tmp_path: Path, clock: ManualClock) -> BillShelf:
    return BillShelf(gateway, tmp_path / "bills", time(10, 5), timedelta(days=90), clock, MCHID)


@pytest.fixture
def reconciler(storage: MongoStorage, shelf: BillShelf, clock: ManualClock) -> Reconciler:
    return Reconciler(shelf, storage.book_entries, storage.books, clock)


async def everything(storage: MongoStorage, day: date = DAY) -> list[Difference]:
    found: list[Difference] = []
    cursor = ""
    while True:
        page = await storage.books.differences(day, limit=7, cursor=cursor)
        found += page.items
        if not (cursor := page.next_cursor):
            return found


def seeded(count: int = 1000) -> ShopDay:
    """A day with seven differences of each kind; numbers divisible by 5 have refunds."""
    shop = ShopDay(count)
    for kind_number, kind in enumerate(KINDS):
        for turn in range(7):
            number = 100 * kind_number + 5 * turn + (0 if kind.startswith("refund") else 1)
            getattr(shop, kind.value)(number)
    return shop


@pytest.mark.parametrize(("days", "refusal"), [(-1, NotYet), (0, BadRequest), (1, BadRequest), (-92, Gone)], ids=str)
async def test_a_day_without_a_bill_that_is_asked_for_by_hand_is_not_left_to_the_worker(
    days: int, refusal: type[Exception], storage: MongoStorage, reconciler: Reconciler, clock: ManualClock
) -> None:
    clock.advance(-3 * 3600)  # nine in Beijing: no bill of yesterday yet
    with pytest.raises(refusal):
        await reconciler.run(NOON.date() + timedelta(days=days))
    assert await storage.books.take_due(NOON + timedelta(days=9), LEASE) is None


async def test_of_a_thousand_lines_every_planted_difference_is_found_and_none_invented(
    storage: MongoStorage, raw: Connection, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = seeded()
    await shop.store(raw)
    gateway.lines = shop.lines
    result = await reconciler.run(DAY)
    found = await everything(storage)
    assert result.found == shop.planted == Counter(difference.kind for difference in found)
    assert all(difference.status is Status.OPEN for difference in found)
    assert await storage.books.result(DAY) == result
    assert result.theirs.payments + result.theirs.refunds == len(shop.lines)
    assert result.theirs.received == sum(line.total for line in shop.lines)
    assert result.ours.received == sum(order["total"] for order in shop.payments.values() if order["paid_at"])
    assert result.ours.refunded == sum(refund.refund for refund in shop.refunds.values())


async def test_a_day_that_agrees_has_equal_sums_and_no_difference(
    storage: MongoStorage, raw: Connection, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(60)
    await shop.store(raw)
    gateway.lines = shop.lines
    result = await reconciler.run(DAY)
    assert result.found == {}
    ours, theirs = result.ours, result.theirs
    assert (ours.payments, ours.received, ours.refunds, ours.refunded) == (
        theirs.payments,
        theirs.received,
        theirs.refunds,
        theirs.refunded,
    )
    assert theirs.fee_e5 == sum(line.fee_e5 for line in shop.lines)


async def test_a_difference_keeps_when_its_line_says_it_happened(
    storage: MongoStorage, raw: Connection, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(6)
    shop.refund_missing_here(5)
    shop.missing_there(1)
    await shop.store(raw)
    gateway.lines = shop.lines
    await reconciler.run(DAY)
    refund, payment = sorted(await everything(storage), key=lambda one: one.theirs is None)
    assert (refund.theirs and refund.theirs.time, refund.ours) == ("2026-02-28T23:59:59+08:00", None)
    assert (payment.theirs, payment.ours and payment.ours.time) == (None, "")


async def test_the_order_of_the_lines_changes_nothing(
    storage: MongoStorage, raw: Connection, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(20)
    shop.double_payment(3)
    await shop.store(raw)
    gateway.lines = list(reversed(shop.lines))
    await reconciler.run(DAY)
    (found,) = await everything(storage)
    assert (found.kind, found.numbers.transaction_id) == (Kind.DOUBLE_PAYMENT, "second-3")


async def test_two_payments_of_an_unpaid_order_are_one_missing_and_one_double(
    storage: MongoStorage, raw: Connection, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(4)
    shop.missing_here(1)
    shop.double_payment(1)
    await shop.store(raw)
    gateway.lines = shop.lines
    assert (await reconciler.run(DAY)).found == {Kind.MISSING_HERE: 1, Kind.DOUBLE_PAYMENT: 1}


async def test_a_rerun_books_nothing_twice_and_sees_what_is_gone_and_what_is_back(
    storage: MongoStorage, raw: Connection, gateway: FileGateway, reconciler: Reconciler, clock: ManualClock
) -> None:
    shop = ShopDay(30)
    shop.unknown_number(1)
    shop.missing_here(7)
    await shop.store(raw)
    gateway.lines = shop.lines
    first = await reconciler.run(DAY)
    before = await everything(storage)
    clock.advance(60)
    assert (await reconciler.run(DAY)).found == first.found
    assert await everything(storage) == before
    paid = {"trade_state": "SUCCESS", "transaction_id": transaction(7), "paid_at": START}
    await raw.database["orders"].update_one({"_id": order(7)}, {"$set": paid})
    clock.advance(60)
    assert (await reconciler.run(DAY)).found == {Kind.UNKNOWN_NUMBER: 1}
    statuses = {difference.kind: difference.status for difference in await everything(storage)}
    assert statuses == {Kind.UNKNOWN_NUMBER: Status.OPEN, Kind.MISSING_HERE: Status.GONE}
    await raw.database["orders"].update_one({"_id": order(7)}, {"$set": {"trade_state": "NOTPAY"}})
    clock.advance(60)
    await reconciler.run(DAY)
    (back,) = [difference for difference in await everything(storage) if difference.kind is Kind.MISSING_HERE]
    assert [(line.source, line.target) for line in back.audit] == [
        (Status.OPEN, Status.GONE),
        (Status.GONE, Status.OPEN),
    ]


async def test_a_day_asked_for_by_hand_is_matched_with_the_bill_that_wechat_has_now(
    storage: MongoStorage, raw: Connection, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(10)
    await shop.store(raw)
    gateway.lines = shop.lines
    assert (await reconciler.run(DAY)).found == {}
    gateway.lines = [*shop.lines, Line("stranger-1", "foreign-1", 100, START)]
    assert (await reconciler.reconcile(DAY)).found == {}
    assert (await reconciler.run(DAY)).found == {Kind.UNKNOWN_NUMBER: 1}
    gateway.error = NotSent("tradebill")
    assert (await reconciler.run(DAY)).found == {Kind.UNKNOWN_NUMBER: 1}


class DyingBooks(MongoBooks):
    """Writes half a batch, and the process is gone."""

    async def book(self, differences: Sequence[Difference]) -> None:
        await super().book(differences[: len(differences) // 2])
        raise NotSent("test")


async def test_a_run_that_dies_in_the_middle_is_repeated_without_doubles(
    storage: MongoStorage,
    raw: Connection,
    gateway: FileGateway,
    shelf: BillShelf,
    reconciler: Reconciler,
    clock: ManualClock,
) -> None:
    shop = seeded(800)
    await shop.store(raw)
    gateway.lines = shop.lines
    dying = DyingBooks(raw.database["book_days"], raw.database["differences"])
    with pytest.raises(NotSent):
        await Reconciler(shelf, storage.book_entries, dying, clock).run(DAY)
    half = await everything(storage)
    assert 0 < len(half) < shop.planted.total()
    assert await storage.books.result(DAY) is None
    clock.advance(1)
    assert (await reconciler.run(DAY)).found == shop.planted
    assert len(await everything(storage)) == shop.planted.total()


async def test_of_two_runners_one_is_sent_away_and_two_at_once_book_nothing_twice(
    storage: MongoStorage, raw: Connection, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = seeded(800)
    await shop.store(raw)
    gateway.lines = shop.lines
    results = await asyncio.gather(reconciler.run(DAY), reconciler.run(DAY), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Reconciliation"]
    both = await asyncio.gather(reconciler.reconcile(DAY), reconciler.reconcile(DAY))  # as after a lost lease
    assert [result.found for result in both] == [shop.planted, shop.planted]
    found = await everything(storage)
    assert Counter(difference.kind for difference in found) == shop.planted
    assert all(difference.status is Status.OPEN for difference in found)


@pytest.mark.parametrize(
    ("second", "day"),
    [
        (datetime(2026, 2, 27, 15, 59, 59, tzinfo=UTC), date(2026, 2, 27)),
        (datetime(2026, 2, 27, 16, 0, 0, tzinfo=UTC), DAY),
        (datetime(2026, 2, 27, 16, 0, 30, tzinfo=UTC), DAY),
        (datetime(2026, 2, 28, 15, 59, 59, tzinfo=UTC), DAY),
        (datetime(2026, 2, 28, 16, 0, 0, tzinfo=UTC), date(2026, 3, 1)),
    ],
)
async def test_a_payment_is_looked_for_on_the_bill_of_its_beijing_day(
    second: datetime, day: date, storage: MongoStorage, reconciler: Reconciler, clock: ManualClock
) -> None:
    await storage.orders.insert(an_order(trade_state=TradeState.SUCCESS, transaction_id="4200", paid_at=second))
    clock.advance(86400)
    found = {}
    for each in (DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)):
        found[each] = (await reconciler.run(each)).found
    assert [each for each, kinds in found.items() if kinds == {Kind.MISSING_THERE: 1}] == [day]
    assert [kinds for each, kinds in found.items() if each != day] == [{}, {}]


async def test_a_refund_belongs_to_the_day_on_which_it_was_sent(
    storage: MongoStorage, raw: Connection, gateway: FileGateway, reconciler: Reconciler, clock: ManualClock
) -> None:
    sent_at = START + timedelta(days=1, seconds=30)  # asked for half a minute before midnight
    paid = {"total": Fen(101), "trade_state": TradeState.REFUND, "transaction_id": transaction(1), "paid_at": START}
    await storage.orders.insert(an_order(order(1), **paid))
    await storage.refunds.insert(sent_refund(1, 50, sent_at))
    gateway.lines = [Line(order(1), transaction(1), 101, START)]
    assert (await reconciler.run(DAY)).found == {}
    gateway.lines = [Line(order(1), transaction(1), 0, sent_at, "refund-00001", 50)]
    clock.advance(86400)
    assert (await reconciler.run(DAY + timedelta(days=1))).found == {}


async def test_a_line_of_an_order_paid_on_another_day_confirms_it_all_the_same(
    storage: MongoStorage, gateway: FileGateway, reconciler: Reconciler
) -> None:
    paid_at = START - timedelta(seconds=1)
    paid = {"total": Fen(101), "trade_state": TradeState.SUCCESS, "transaction_id": "4200", "paid_at": paid_at}
    await storage.orders.insert(an_order(order(1), **paid))
    gateway.lines = [Line(order(1), "4200", 101, START)]
    assert (await reconciler.run(DAY)).found == {}


async def test_ten_pages_of_the_same_second_are_all_read(storage: MongoStorage) -> None:
    numbers = [order(number) for number in range(50)]
    paid = {"trade_state": TradeState.SUCCESS, "paid_at": START}
    for number in numbers:
        await storage.orders.insert(an_order(number, transaction_id=number, **paid))
    seen: list[str] = []
    cursor = ""
    while True:
        page = await storage.book_entries.paid(START, START + timedelta(days=1), limit=5, cursor=cursor)
        seen += [entry.out_trade_no for entry in page.items]
        if not (cursor := page.next_cursor):
            break
    assert seen == numbers
    assert await storage.book_entries.payments([]) == []


async def test_an_audit_line_is_added_only_where_the_difference_still_is(storage: MongoStorage) -> None:
    ours = Entry(order(0), transaction(0), "", "", 100, "CNY", "SUCCESS")
    difference = Difference.between(DAY, Kind.MISSING_THERE, ours, None, NOON)
    await storage.books.book([difference])
    line = Audit(NOON, "anna", "known", Status.OPEN, Status.KNOWN, "checked")
    changed = await asyncio.gather(*(storage.books.audit(difference.id, line) for _ in range(20)))
    assert sum(one is not None for one in changed) == 1
    stored = await storage.books.difference(DAY, difference.id)
    assert stored is not None
    assert (stored.status, stored.audit) == (Status.KNOWN, (line,))
    assert await storage.books.difference(DAY + timedelta(days=1), difference.id) is None
    await storage.books.book([difference])
    assert await storage.books.difference(DAY, difference.id) == stored


class Work:
    """A worker with its parts."""

    def __init__(self, storage: MongoStorage, shelf: BillShelf, clock: ManualClock) -> None:
        self.store = storage.books
        self.clock = clock
        self.worker = BookWorker(
            Reconciler(shelf, storage.book_entries, storage.books, clock), shelf, self.store, clock
        )

    async def days(self) -> list[date]:
        """Which days were done before there was nothing left to do now."""
        while await self.worker.once():
            pass
        return [day for day in (DAY + timedelta(days=n) for n in range(-5, 10)) if await self.store.result(day)]


@pytest.fixture
def work(storage: MongoStorage, shelf: BillShelf, clock: ManualClock) -> Work:
    return Work(storage, shelf, clock)


async def test_the_day_before_is_reconciled_once_after_its_time(work: Work, gateway: FileGateway) -> None:
    work.clock.advance(-2 * 3600)  # 10:00 in Beijing
    assert await work.days() == []
    work.clock.advance(299)
    assert await work.days() == []
    work.clock.advance(1)
    assert await work.days() == [DAY]
    work.clock.advance(3600)
    assert not await work.worker.once()
    assert gateway.fetched == 1


async def test_a_bill_that_is_not_ready_is_asked_for_every_hour(work: Work, gateway: FileGateway) -> None:
    gateway.error = NotYet()
    assert await work.days() == []
    assert not await work.worker.once()
    work.clock.advance(3599)
    assert not await work.worker.once()
    gateway.error = None
    work.clock.advance(1)
    assert await work.days() == [DAY]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), sqlite3.OperationalError("database or disk is full")]
)
async def test_a_day_that_fails_for_any_reason_is_put_off_counted_alarmed_and_done_later(
    error: Exception, work: Work, gateway: FileGateway
) -> None:
    gateway.error = error
    alarms = failures()
    with capture_logs() as logs:
        assert await work.days() == []
    assert [line["exc_info"] for line in logs if line["event"] == "reconciliation_crashed"] == [True]
    assert not await work.worker.once()  # put off for an hour
    assert failures() == alarms + 1
    assert REGISTRY.get_sample_value("fenpay_unreconciled_day_age_seconds") == (NOON - READY).total_seconds()
    gateway.error = None
    work.clock.advance(3600)
    assert await work.days() == [DAY]
    assert REGISTRY.get_sample_value("fenpay_unreconciled_day_age_seconds") == 0


def failures() -> float:
    return REGISTRY.get_sample_value("fenpay_alarms_total", {"kind": "reconciliation_failed"}) or 0


async def test_a_directory_that_cannot_be_tidied_does_not_keep_a_day_from_its_turn(
    work: Work, shelf: BillShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied() -> None:
        raise PermissionError

    monkeypatch.setattr(shelf, "prune", denied)
    with pytest.raises(PermissionError):
        await work.worker.once()
    assert await work.days() == [DAY]


async def test_a_day_whose_bill_is_gone_for_good_is_tried_once_more_and_never_again(
    work: Work, gateway: FileGateway
) -> None:
    gateway.error = NotYet()
    assert await work.days() == []
    work.clock.advance(92 * 86400)
    assert await work.store.take_due(work.clock.now(), timedelta(0)) == DAY
    await work.days()
    work.clock.advance(86400)
    assert await work.store.take_due(work.clock.now(), timedelta(0)) != DAY


async def test_days_on_which_nothing_ran_are_caught_up_with(
    work: Work, storage: MongoStorage, shelf: BillShelf
) -> None:
    assert await work.days() == [DAY]
    work.clock.advance(3 * 86400)
    assert await Work(storage, shelf, work.clock).days() == [DAY + timedelta(days=n) for n in range(4)]


async def test_ten_workers_reconcile_a_day_once_and_a_dead_ones_lease_runs_out(
    work: Work, storage: MongoStorage, shelf: BillShelf, gateway: FileGateway
) -> None:
    workers = [Work(storage, shelf, work.clock).worker for _ in range(10)]
    assert sum(await asyncio.gather(*(worker.once() for worker in workers))) == 1
    assert gateway.fetched == 1
    work.clock.advance(86400)
    await work.store.plan(DAY + timedelta(days=1), work.clock.now())
    assert await work.store.take_due(work.clock.now(), LEASE) == DAY + timedelta(days=1)  # and dies
    assert not await work.worker.once()
    assert not await work.store.take(DAY + timedelta(days=1), work.clock.now(), LEASE)
    work.clock.advance(LEASE.total_seconds())
    assert await work.worker.once()


async def test_a_failed_run_by_hand_leaves_the_day_free(
    storage: MongoStorage, gateway: FileGateway, reconciler: Reconciler
) -> None:
    gateway.error = NotSent("tradebill")
    with pytest.raises(NotSent):
        await reconciler.run(DAY)
    gateway.error = None
    assert (await reconciler.run(DAY)).found == {}
    assert await storage.books.take(DAY, NOON, LEASE)
    with pytest.raises(Conflict, match="RECONCILIATION_RUNNING"):
        await reconciler.run(DAY)
