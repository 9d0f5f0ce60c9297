"""Whole days reconciled over real stores: what was planted is found, nothing is invented, nothing is booked twice."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from service.runtime import ThreadPool
from storage.documents import MILLISECOND, Document, Documents, Range
from storage.group_commit import GroupCommit
from storage.mongo.documents import MongoDocuments
from storage.mongo.driver import Connection
from storage.mongo.storage import MongoStorage
from storage.stores.all import ORDERS
from storage.stores.book_entries import BookEntries
from storage.stores.windows import MOST, WANTED, windows
from tests.contract.books import (
    DAY,
    MINUTE,
    START,
    FileGateway,
    ShopDay,
    order,
    paid_order,
    sent_refund,
    store_orders,
    transaction,
)
from tests.support.bills import MCHID, Line
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds, RecordedTelemetry
from wechat.domain.errors import BadRequest, Conflict, Gone, KeysMissing, NotSent, OutcomeUnknown
from wechat.domain.metrics import Metric
from wechat.domain.orders import Order, TradeState
from wechat.domain.ports import NumberStore, Runtime
from wechat.pay.bills.gateways import NotYet
from wechat.reconciliation.bill_cache import BillCache
from wechat.reconciliation.books import Audit, BookEntry, Difference, DifferenceKind, Reconciliation, Status
from wechat.reconciliation.days import DayLease
from wechat.reconciliation.reconciler import LEASE, DayTaken, Reconciler
from wechat.reconciliation.records import BATCH, BookRecords
from wechat.reconciliation.worker import BookWork
from wechat.support.worker import Worker

KINDS = list(DifferenceKind)
NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
READY = datetime(2026, 3, 1, 2, 5, tzinfo=UTC)
NOBODY = cast(NumberStore, None)
"""Where no numbers are asked for."""


@pytest.fixture
def gateway() -> FileGateway:
    return FileGateway()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def telemetry() -> RecordedTelemetry:
    return RecordedTelemetry()


@pytest.fixture
def runtime(clock: ManualClock, telemetry: RecordedTelemetry) -> Runtime:
    return Runtime(clock, RandomIds(), telemetry, ThreadPool())


@pytest.fixture
def shelf(gateway: FileGateway, tmp_path: Path, runtime: Runtime) -> BillCache:
    return BillCache(gateway, tmp_path / "bills", time(10, 5), timedelta(days=90), runtime, MCHID)


@pytest.fixture
def records(storage: MongoStorage, runtime: Runtime) -> BookRecords:
    return BookRecords(MCHID, storage.days, storage.differences, runtime)


@pytest.fixture
def reconciler(storage: MongoStorage, shelf: BillCache, records: BookRecords, runtime: Runtime) -> Reconciler:
    return Reconciler(shelf, storage.book_entries, records, runtime)


async def everything(records: BookRecords, day: date = DAY, limit: int = 7) -> list[Difference]:
    found: list[Difference] = []
    cursor = ""
    while True:
        page = await records.differences(day, limit=limit, cursor=cursor)
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
    days: int, refusal: type[Exception], records: BookRecords, reconciler: Reconciler, clock: ManualClock
) -> None:
    clock.advance(-3 * 3600)  # nine in Beijing: no bill of yesterday yet
    with pytest.raises(refusal):
        await reconciler.run(NOON.date() + timedelta(days=days))
    assert await records.take_due(NOON + timedelta(days=9), LEASE) is None


async def test_of_a_thousand_lines_every_planted_difference_is_found_and_none_invented(
    storage: MongoStorage, records: BookRecords, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = seeded()
    await shop.store(storage)
    gateway.lines = shop.lines
    result = await reconciler.run(DAY)
    found = await everything(records)
    assert result.found == shop.planted == Counter(difference.kind for difference in found)
    assert all(difference.status is Status.OPEN for difference in found)
    assert await records.result(DAY) == result
    assert result.billed.payments + result.billed.refunds == len(shop.lines)
    assert result.billed.received == sum(line.total for line in shop.lines)
    assert result.recorded.received == sum(order.total for order in shop.payments.values() if order.payments)
    assert result.recorded.refunded == sum(refund.refund for refund in shop.refunds.values())


async def test_a_day_that_agrees_has_equal_sums_and_no_difference(
    storage: MongoStorage, records: BookRecords, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(60)
    await shop.store(storage)
    gateway.lines = shop.lines
    result = await reconciler.run(DAY)
    assert result.found == {}
    ours, theirs = result.recorded, result.billed
    assert (ours.payments, ours.received, ours.refunds, ours.refunded) == (
        theirs.payments,
        theirs.received,
        theirs.refunds,
        theirs.refunded,
    )
    assert theirs.fee_e5 == sum(line.fee_e5 for line in shop.lines)


async def test_a_difference_keeps_when_its_line_says_it_happened(
    storage: MongoStorage, records: BookRecords, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(6)
    shop.refund_missing_here(5)
    shop.missing_there(1)
    await shop.store(storage)
    gateway.lines = shop.lines
    await reconciler.run(DAY)
    refund, payment = sorted(await everything(records), key=lambda one: one.billed is None)
    assert (refund.billed and refund.billed.time, refund.recorded) == ("2026-02-28T23:49:59+08:00", None)
    assert (payment.billed, payment.recorded and payment.recorded.time) == (None, "")


async def test_the_order_of_the_lines_changes_nothing(
    storage: MongoStorage, records: BookRecords, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(20)
    shop.double_payment(3)
    await shop.store(storage)
    gateway.lines = list(reversed(shop.lines))
    await reconciler.run(DAY)
    (found,) = await everything(records)
    assert (found.kind, found.numbers.transaction_id) == (DifferenceKind.DOUBLE_PAYMENT, "second-3")


async def test_two_payments_of_an_unpaid_order_are_one_missing_and_one_double(
    storage: MongoStorage, records: BookRecords, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(4)
    shop.missing_here(1)
    shop.double_payment(1)
    await shop.store(storage)
    gateway.lines = shop.lines
    assert (await reconciler.run(DAY)).found == {DifferenceKind.MISSING_HERE: 1, DifferenceKind.DOUBLE_PAYMENT: 1}


async def test_a_rerun_books_nothing_twice_and_sees_what_is_gone_and_what_is_back(
    storage: MongoStorage, records: BookRecords, gateway: FileGateway, reconciler: Reconciler, clock: ManualClock
) -> None:
    shop = ShopDay(30)
    shop.unknown_number(1)
    shop.missing_here(7)
    await shop.store(storage)
    gateway.lines = shop.lines
    first = await reconciler.run(DAY)
    before = await everything(records)
    clock.advance(60)
    assert (await reconciler.run(DAY)).found == first.found
    assert await everything(records) == [replace(difference, seen_at=clock.now()) for difference in before]
    unpaid = shop.payments[7]
    await put(storage, paid_order(order(7), transaction(7), unpaid.total, START))
    clock.advance(60)
    assert (await reconciler.run(DAY)).found == {DifferenceKind.UNKNOWN_NUMBER: 1}
    statuses = {difference.kind: difference.status for difference in await everything(records)}
    assert statuses == {DifferenceKind.UNKNOWN_NUMBER: Status.OPEN, DifferenceKind.MISSING_HERE: Status.GONE}
    await put(storage, unpaid)
    clock.advance(60)
    await reconciler.run(DAY)
    (back,) = [difference for difference in await everything(records) if difference.kind is DifferenceKind.MISSING_HERE]
    assert [(line.source, line.target) for line in back.audit] == [
        (Status.OPEN, Status.GONE),
        (Status.GONE, Status.OPEN),
    ]


async def test_a_day_asked_for_by_hand_is_matched_with_the_bill_that_wechat_has_now(
    storage: MongoStorage, records: BookRecords, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = ShopDay(10)
    await shop.store(storage)
    gateway.lines = shop.lines
    assert (await reconciler.run(DAY)).found == {}
    gateway.lines = [*shop.lines, Line("stranger-1", "foreign-1", 100, START)]
    leased = await records.take(DAY, NOON, LEASE)
    assert leased is not None
    assert (await reconciler.reconcile(leased)).found == {}
    assert (await reconciler.run(DAY)).found == {DifferenceKind.UNKNOWN_NUMBER: 1}
    gateway.error = NotSent("tradebill")
    assert (await reconciler.run(DAY)).found == {DifferenceKind.UNKNOWN_NUMBER: 1}


async def put(storage: MongoStorage, changed: Order) -> None:
    """Store ``changed`` in place of the order by its number."""
    stored = await storage.orders.get(changed.key)
    assert stored is not None
    assert await storage.orders.replace(stored, changed, "put")


class DyingRecords(BookRecords):
    """Records that write half a batch and then fail, as when the process is killed."""

    async def record(self, differences: Sequence[Difference]) -> int:
        await super().record(differences[: len(differences) // 2])
        raise NotSent("test")


async def test_a_run_that_dies_in_the_middle_is_repeated_without_doubles(
    storage: MongoStorage,
    records: BookRecords,
    gateway: FileGateway,
    shelf: BillCache,
    reconciler: Reconciler,
    clock: ManualClock,
    runtime: Runtime,
) -> None:
    shop = seeded(800)
    await shop.store(storage)
    gateway.lines = shop.lines
    dying = DyingRecords(MCHID, storage.days, storage.differences, runtime)
    with pytest.raises(NotSent):
        await Reconciler(shelf, storage.book_entries, dying, runtime).run(DAY)
    half = await everything(records)
    assert 0 < len(half) < shop.planted.total()
    assert await records.result(DAY) is None
    clock.advance(1)
    assert (await reconciler.run(DAY)).found == shop.planted
    assert len(await everything(records)) == shop.planted.total()


async def test_of_two_runners_one_is_sent_away_and_two_at_once_book_nothing_twice(
    storage: MongoStorage, records: BookRecords, gateway: FileGateway, reconciler: Reconciler
) -> None:
    shop = seeded(800)
    await shop.store(storage)
    gateway.lines = shop.lines
    results = await asyncio.gather(reconciler.run(DAY), reconciler.run(DAY), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["DayTaken", "Reconciliation"]
    late, current = [await records.take(DAY, NOON, span) for span in (timedelta(0), LEASE)]
    assert late is not None
    assert current is not None
    both = await asyncio.gather(reconciler.reconcile(late), reconciler.reconcile(current), return_exceptions=True)
    assert isinstance(both[0], DayTaken), "a run whose lease has passed to another one ends no day"
    assert isinstance(both[1], Reconciliation)
    assert both[1].found == shop.planted
    found = await everything(records)
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
    await store_orders(storage, [paid_order(order(1), "4200", 3600, second)])
    clock.advance(86400)
    found = {}
    for each in (DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)):
        found[each] = (await reconciler.run(each)).found
    assert [each for each, kinds in found.items() if kinds == {DifferenceKind.MISSING_THERE: 1}] == [day]
    assert [kinds for each, kinds in found.items() if each != day] == [{}, {}]


async def test_a_refund_belongs_to_the_day_on_which_it_was_sent(
    storage: MongoStorage, gateway: FileGateway, reconciler: Reconciler, clock: ManualClock
) -> None:
    sent_at = START + timedelta(days=1, seconds=30)  # asked for half a minute before midnight
    refunded = paid_order(order(1), transaction(1), 101, START, TradeState.REFUND)
    await store_orders(storage, [replace(refunded, refunds=(sent_refund(1, 50, sent_at),))])
    gateway.lines = [Line(order(1), transaction(1), 101, START)]
    assert (await reconciler.run(DAY)).found == {}
    gateway.lines = [Line(order(1), transaction(1), 0, sent_at, "refund-00001", 50)]
    clock.advance(86400)
    assert (await reconciler.run(DAY + timedelta(days=1))).found == {}


@pytest.mark.parametrize("late_s", [-90, 90])
async def test_a_refund_about_midnight_may_stand_on_the_bill_of_either_day(
    late_s: int, storage: MongoStorage, gateway: FileGateway, reconciler: Reconciler, clock: ManualClock
) -> None:
    """Our clock and WeChat's are minutes apart: what one puts before midnight, the other puts after it."""
    midnight, following = START + timedelta(days=1), DAY + timedelta(days=1)
    refunded = paid_order(order(1), transaction(1), 101, START, TradeState.REFUND)
    refunded = replace(refunded, refunds=(sent_refund(1, 50, midnight - timedelta(seconds=late_s)),))
    await store_orders(storage, [refunded])
    line = Line(order(1), transaction(1), 0, midnight + timedelta(seconds=late_s), "refund-00001", 50)
    payment = Line(order(1), transaction(1), 101, START)
    bills = {DAY: [payment] if late_s > 0 else [payment, line], following: [line] if late_s > 0 else []}
    clock.advance(86400)
    for day in (DAY, following):
        gateway.lines = bills[day]
        assert (await reconciler.run(day)).found == {}, day


async def test_a_refund_about_midnight_that_no_bill_has_is_found_on_the_day_after(
    storage: MongoStorage, gateway: FileGateway, reconciler: Reconciler, clock: ManualClock
) -> None:
    midnight, following = START + timedelta(days=1), DAY + timedelta(days=1)
    refunded = paid_order(order(1), transaction(1), 101, START, TradeState.REFUND)
    await store_orders(storage, [replace(refunded, refunds=(sent_refund(1, 50, midnight - timedelta(seconds=30)),))])
    clock.advance(86400)
    gateway.lines = [Line(order(1), transaction(1), 101, START)]
    assert (await reconciler.run(DAY)).found == {}
    gateway.lines = []
    assert (await reconciler.run(following)).found == {DifferenceKind.REFUND_MISSING_THERE: 1}


async def test_wechats_word_that_there_was_nothing_is_not_believed_before_the_evening_where_we_have_entries(
    storage: MongoStorage, gateway: FileGateway, reconciler: Reconciler, clock: ManualClock
) -> None:
    await store_orders(storage, [paid_order(order(1), transaction(1), 101, START)])
    gateway.empty = True
    with pytest.raises(NotYet):
        await reconciler.run(DAY)
    clock.advance(8 * 3600)
    assert (await reconciler.run(DAY)).found == {DifferenceKind.MISSING_THERE: 1}


async def test_a_day_with_open_differences_is_alarmed_before_it_ends_and_a_settled_one_is_not(
    storage: MongoStorage,
    records: BookRecords,
    gateway: FileGateway,
    reconciler: Reconciler,
    telemetry: RecordedTelemetry,
) -> None:
    gateway.lines = [Line("stranger-1", "foreign-1", 100, START)]
    assert (await reconciler.run(DAY)).found == {DifferenceKind.UNKNOWN_NUMBER: 1}
    assert telemetry.raised == [("books_differ", DAY.isoformat())]
    [difference] = await everything(records)
    await records.audit(difference.id, Audit(NOON, "me", "known", Status.OPEN, Status.KNOWN))
    assert (await reconciler.run(DAY)).found == {DifferenceKind.UNKNOWN_NUMBER: 1}
    assert len(telemetry.raised) == 1


async def test_a_line_of_an_order_paid_on_another_day_confirms_it_all_the_same(
    storage: MongoStorage, gateway: FileGateway, reconciler: Reconciler
) -> None:
    paid_at = START - timedelta(seconds=1)
    await store_orders(storage, [paid_order(order(1), "4200", 101, paid_at)])
    gateway.lines = [Line(order(1), "4200", 101, START)]
    assert (await reconciler.run(DAY)).found == {}


# -- reading our side --------------------------------------------------------------------------------------------------

RUSH = START + timedelta(hours=12)


class Counted:
    """``Documents`` to list, with how often that was done and how many came back."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.finds = 0
        self.read = 0

    async def find(self, wanted: Range) -> list[Document]:
        found = await self._documents.find(wanted)
        self.finds += 1
        self.read += len(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)


class PaidDocuments:
    """Documents of paid orders by ``paid_at``, as a collection with that index lists them."""

    def __init__(self, dates: Sequence[datetime]) -> None:
        self._dates = sorted(dates)

    async def find(self, wanted: Range) -> list[Document]:
        assert (wanted.by, wanted.equal) == ("paid_at", {})
        first, last = bisect_left(self._dates, wanted.start), bisect_right(self._dates, wanted.end)
        found = range(first, last)[::-1] if wanted.latest else range(first, last)
        return [self._document(n) for n in (found[: wanted.limit] if wanted.limit else found)]

    def _document(self, n: int) -> Document:
        payment = {"transaction_id": transaction(n)}
        document = {"out_trade_no": order(n), "mchid": MCHID, "payments": [payment], "total": 100}
        return document | {"trade_state": "SUCCESS", "paid_at": self._dates[n]}


def evenly(count: int) -> list[datetime]:
    """Dates over the day, a whole second each."""
    return [START + timedelta(seconds=86400 * n // count) for n in range(count)]


def in_a_rush(count: int) -> list[datetime]:
    """Dates of which most are within one second, the others over the day."""
    return [*evenly(count // 10), *[RUSH] * (count - count // 10)]


async def numbers_of(entries: AsyncIterator[Sequence[BookEntry]]) -> list[str]:
    return [entry.out_refund_no or entry.out_trade_no async for batch in entries for entry in batch]


async def test_thousands_of_payments_of_a_day_and_of_one_second_are_each_read(storage: MongoStorage) -> None:
    dates = in_a_rush(MOST + 1000)
    assert dates.count(RUSH) > MOST
    others = [START + timedelta(days=1) - MILLISECOND, START - MILLISECOND, START + timedelta(days=1)]
    orders = [paid_order(order(n), transaction(n), 100, at) for n, at in enumerate([*dates, *others])]
    foreign = replace(paid_order("foreign-order", "4201", 100, RUSH), mchid="1900000999")
    await store_orders(storage, [*orders, foreign])
    found = await numbers_of(storage.book_entries.list_payments(MCHID, DAY))
    assert sorted(found) == [order(n) for n in range(len(dates) + 1)]


async def test_thousands_of_refunds_of_a_day_are_each_read_once(storage: MongoStorage, raw: Connection) -> None:
    """Of orders that were placed at any time of the year before, with refunds of other days beside them."""
    orders = []
    for n in range(1500):
        placed_at = START - timedelta(days=n % 360, seconds=n)
        sent_at = START + timedelta(seconds=57 * n % 86400)
        refunds = [sent_refund(n, 10, sent_at), sent_refund(n + 10_000, 10, START - timedelta(seconds=1))]
        refunds.append(sent_refund(n + 20_000, 10, START + timedelta(days=1)))
        paid = paid_order(order(n), transaction(n), 100 + n, placed_at, TradeState.REFUND)
        orders.append(replace(paid, refunds=tuple(refunds)))
    await store_orders(storage, orders)
    documents = Counted(GroupCommit(MongoDocuments(raw.database, ORDERS)))
    source = BookEntries(cast(Documents, documents), storage.numbers)
    found = await numbers_of(source.list_refunds(MCHID, DAY))
    assert sorted(found) == [f"refund-{n:05}" for n in range(1500)]
    assert documents.read == 1500
    assert documents.finds < 60


async def test_a_quiet_year_is_passed_in_a_few_steps() -> None:
    documents = Counted(cast(Documents, PaidDocuments([START])))
    found = [
        each
        async for each in windows(cast(Documents, documents), "paid_at", {}, START - timedelta(days=365), START, ())
    ]
    assert len(found) == 1
    assert documents.finds <= 4


@pytest.mark.parametrize("count", [0, 1, 5_000, 20_000, 80_000])
async def test_a_days_payments_are_each_read_once(count: int) -> None:
    documents = Counted(cast(Documents, PaidDocuments(evenly(count))))
    found = await numbers_of(BookEntries(cast(Documents, documents), NOBODY).list_payments(MCHID, DAY))
    assert Counter(found) == {order(n): 1 for n in range(count)}
    assert documents.read <= count * 1.1
    assert documents.finds <= 20 + 3 * count / WANTED


@pytest.mark.parametrize("count", [5_000, 20_000, 80_000])
async def test_the_payments_of_a_rush_are_each_read_a_few_times_at_most(count: int) -> None:
    documents = Counted(cast(Documents, PaidDocuments(in_a_rush(count))))
    found = await numbers_of(BookEntries(cast(Documents, documents), NOBODY).list_payments(MCHID, DAY))
    assert Counter(found) == {order(n): 1 for n in range(count)}
    assert documents.finds <= 60 + 3 * count / WANTED
    assert documents.read <= 3 * count


async def test_nothing_is_asked_for_without_numbers(storage: MongoStorage) -> None:
    assert await storage.book_entries.payments(MCHID, []) == []
    assert await storage.book_entries.refunds(MCHID, []) == []


# -- records -----------------------------------------------------------------------------------------------------------


async def test_differences_that_are_gone_are_closed_over_several_pages_and_no_others(
    records: BookRecords, gateway: FileGateway, reconciler: Reconciler, clock: ManualClock
) -> None:
    count = 2 * BATCH + 200
    lines = [Line(f"stranger-{n:05}", f"foreign-{n:05}", 100, START + MINUTE) for n in range(count)]
    gateway.lines = lines
    assert (await reconciler.run(DAY)).found == {DifferenceKind.UNKNOWN_NUMBER: count}
    settled = (await everything(records, limit=BATCH))[::100]
    for difference in settled:
        assert await records.audit(difference.id, Audit(NOON, "anna", "known", Status.OPEN, Status.KNOWN))
    known = {difference.id for difference in settled}
    clock.advance(60)
    gateway.lines = lines[::3]
    still = {line.out_trade_no for line in gateway.lines}
    assert (await reconciler.run(DAY)).found == {DifferenceKind.UNKNOWN_NUMBER: len(still)}
    found = await everything(records, limit=BATCH)
    assert len(found) == count
    for difference in found:
        there = difference.numbers.out_trade_no in still
        expected = Status.KNOWN if difference.id in known else Status.OPEN if there else Status.GONE
        assert difference.status is expected
        assert difference.seen_at == (clock.now() if there else NOON)
    clock.advance(60)
    gateway.lines = lines
    await reconciler.run(DAY)
    statuses = Counter(difference.status for difference in await everything(records, limit=BATCH))
    assert statuses == {Status.OPEN: count - len(known), Status.KNOWN: len(known)}


async def test_an_audit_line_is_added_only_where_the_difference_still_is(records: BookRecords) -> None:
    ours = BookEntry(order(0), transaction(0), "", "", 100, "CNY", "SUCCESS")
    difference = Difference.between(MCHID, DAY, DifferenceKind.MISSING_THERE, ours, None, NOON)
    await records.record([difference])
    line = Audit(NOON, "anna", "known", Status.OPEN, Status.KNOWN, "checked")
    changed = await asyncio.gather(*(records.audit(difference.id, line) for _ in range(20)))
    assert sum(one is not None for one in changed) == 1
    stored = await records.difference(DAY, difference.id)
    assert stored is not None
    assert (stored.status, stored.audit) == (Status.KNOWN, (line,))
    assert await records.difference(DAY + timedelta(days=1), difference.id) is None
    await records.record([difference])
    assert await records.difference(DAY, difference.id) == stored


async def taken(records: BookRecords, now: datetime, span: timedelta) -> date | None:
    """The day that a run leases."""
    leased = await records.take_due(now, span)
    return leased.day if leased else None


class Work:
    """A worker with its parts."""

    def __init__(self, storage: MongoStorage, shelf: BillCache, runtime: Runtime, clock: ManualClock) -> None:
        self.records = BookRecords(MCHID, storage.days, storage.differences, runtime)
        self.clock = clock
        self._source = storage.book_entries
        self._shelf = shelf
        self.runtime = runtime
        self.worker = self.process()

    def process(self) -> Worker[DayLease]:
        """The worker of one more process over the same stores."""
        reconciler = Reconciler(self._shelf, self._source, self.records, self.runtime)
        return Worker(BookWork(reconciler, self._shelf, self.records, self.runtime), self.runtime, loops=1)

    async def days(self) -> list[date]:
        """Do all work that is due now, and return the days that have a result."""
        while await self.worker.once():
            pass
        return [day for day in (DAY + timedelta(days=n) for n in range(-5, 10)) if await self.records.result(day)]


@pytest.fixture
def work(storage: MongoStorage, shelf: BillCache, runtime: Runtime, clock: ManualClock) -> Work:
    return Work(storage, shelf, runtime, clock)


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
    "error", [KeysMissing("tradebill"), OutcomeUnknown("tradebill", unverified="unknown_serial")], ids=repr
)
async def test_a_process_that_lacks_a_key_tries_again_soon_and_alarms_nobody(
    error: Exception, work: Work, gateway: FileGateway, telemetry: RecordedTelemetry
) -> None:
    gateway.error = error
    assert await work.days() == []
    assert telemetry.raised == []
    work.clock.advance(300)
    assert await work.days() == []
    assert telemetry.raised == [("reconciliation_failed", DAY.isoformat())]
    gateway.error = None
    work.clock.advance(300)
    assert await work.days() == [DAY]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), sqlite3.OperationalError("database or disk is full")]
)
async def test_a_day_that_fails_for_any_reason_is_put_off_counted_alarmed_and_done_later(
    error: Exception, work: Work, gateway: FileGateway, telemetry: RecordedTelemetry
) -> None:
    gateway.error = error
    with capture_logs() as logs:
        assert await work.days() == []
    assert [line["exc_info"] for line in logs if line["event"] == "reconciliation_crashed"] == [True]
    assert not await work.worker.once()  # put off for an hour
    assert telemetry.raised == [("reconciliation_failed", DAY.isoformat())]
    assert telemetry.measured[Metric.UNRECONCILED_DAY,] == (NOON - READY).total_seconds()
    gateway.error = None
    work.clock.advance(3600)
    assert await work.days() == [DAY]
    assert telemetry.measured[Metric.UNRECONCILED_DAY,] == 0


async def test_a_directory_that_cannot_be_tidied_does_not_keep_a_day_from_its_turn(
    work: Work, shelf: BillCache, monkeypatch: pytest.MonkeyPatch
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
    assert await taken(work.records, work.clock.now(), timedelta(0)) == DAY
    await work.days()
    work.clock.advance(86400)
    assert await taken(work.records, work.clock.now(), timedelta(0)) != DAY


async def test_days_on_which_nothing_ran_are_caught_up_with(work: Work) -> None:
    assert await work.days() == [DAY]
    work.clock.advance(3 * 86400)
    work.worker = work.process()
    assert await work.days() == [DAY + timedelta(days=n) for n in range(4)]


async def test_ten_workers_reconcile_a_day_once_and_a_dead_ones_lease_runs_out(
    work: Work, gateway: FileGateway
) -> None:
    workers = [work.process() for _ in range(10)]
    assert sum(await asyncio.gather(*(worker.once() for worker in workers))) == 1
    assert gateway.fetched == 1
    work.clock.advance(86400)
    await work.records.plan(DAY + timedelta(days=1), work.clock.now())
    assert await taken(work.records, work.clock.now(), LEASE) == DAY + timedelta(days=1)  # its process dies
    assert not await work.worker.once()
    assert not await work.records.take(DAY + timedelta(days=1), work.clock.now(), LEASE)
    work.clock.advance(LEASE.total_seconds())
    assert await work.worker.once()


async def test_a_failed_run_by_hand_leaves_the_day_free(
    records: BookRecords, gateway: FileGateway, reconciler: Reconciler
) -> None:
    gateway.error = NotSent("tradebill")
    with pytest.raises(NotSent):
        await reconciler.run(DAY)
    gateway.error = None
    assert (await reconciler.run(DAY)).found == {}
    assert await records.take(DAY, NOON, LEASE)
    with pytest.raises(Conflict, match="RECONCILIATION_RUNNING"):
        await reconciler.run(DAY)


async def test_a_day_of_another_merchant_number_is_left_to_that(work: Work, storage: MongoStorage) -> None:
    """The settings had another one before, or another service shares the database."""
    other = BookRecords("1900000999", storage.days, storage.differences, work.runtime)
    early = DAY - timedelta(days=3)
    await other.plan(early, NOON)
    assert await work.days() == [DAY]
    assert await taken(other, NOON, LEASE) == early
