"""Reconcile a Beijing day: WeChat's bill against our orders and refunds, line by line.

A run stores differences and nothing else: it never moves money. It may be repeated, interrupted at any line, and run
beside another one, because a difference is identified by its content. Differences that a run does not find again are
cleared.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import structlog

from wechat.domain.errors import Bilingual, Conflict, Gone
from wechat.domain.ports import Runtime
from wechat.domain.times import BEIJING
from wechat.pay.bills.gateways import Bill, NotYet
from wechat.pay.bills.parser import BillBroken, BillKind, TradeLine, trade_lines
from wechat.reconciliation.bill_cache import BillCache
from wechat.reconciliation.books import (
    Audit,
    BookEntry,
    Difference,
    DifferenceKind,
    Reconciliation,
    Status,
    Tally,
    Totals,
    classify,
    missing_there,
)
from wechat.reconciliation.days import DayLease
from wechat.reconciliation.match_database import BATCH, MatchDatabase, split_keys
from wechat.reconciliation.ports import BookSource
from wechat.reconciliation.records import BookRecords

LEASE = timedelta(minutes=15)
EVENING = time(20)
"""The Beijing time of day from which a person should know that the bill of the previous day is missing."""
BOOKS_DIFFER = "books_differ"
BILL_UNREAD = "bill_lines_unread"

log = structlog.get_logger("wechat.reconciliation.reconciler")


class Reconciler:
    """Reconciles days. ``reconcile`` takes a lease, so that a worker's and an operator's runs exclude each other."""

    def __init__(
        self,
        bill_cache: BillCache,
        source: BookSource,
        records: BookRecords,
        runtime: Runtime,
        foreign_numbers: Sequence[str] = (),
    ) -> None:
        """``foreign_numbers``: patterns of the order numbers that other systems use at this merchant number."""
        self._foreign = [re.compile(pattern, re.ASCII) for pattern in foreign_numbers]
        self._bill_cache = bill_cache
        self._source = source
        self._records = records
        self._clock = runtime.clock
        self._threads = runtime.threads
        self._telemetry = runtime.telemetry

    async def run(self, day: date) -> Reconciliation:
        """Reconcile ``day`` now. Raises Conflict while another run does, and what ``BillCache.refetch`` raises.

        The bill is fetched first, so that a day without one is not stored, and the worker never waits for it. It is
        fetched again even if it is on disk, because an operator may doubt that copy.
        """
        await self._bill_cache.refetch(day)
        leased = await self._records.take(day, self._clock.now(), LEASE)
        if leased is None:
            raise DayTaken
        try:
            return await self.reconcile(leased)
        except BaseException:
            await self._records.postpone(leased, self._clock.now())
            raise

    async def reconcile(self, leased: DayLease) -> Reconciliation:
        """Reconcile a day that the caller has leased; the result ends the lease.

        Raises DayTaken when another run has taken the day over, and what ``BillCache.bill`` raises.
        """
        day, started_at = leased.day, self._clock.now()
        bill = await self._bill_cache.bill(day)
        with (
            tempfile.TemporaryDirectory(prefix="fenpay-books-") as directory,
            _match_database(directory) as database,
        ):
            billed, unread = await self._threads.run(partial(_load, database, bill))
            recorded = await self._load_entries(database, day)
            self._must_not_be_early(bill, recorded)
            await self._load_unmatched_keys(database)
            elsewhere = await self._load_midnights(database, day)
            found, open_count = await self._record_differences(database, day, started_at, elsewhere)
        gone = Audit(self._clock.now(), "reconciliation", "rerun", Status.OPEN, Status.GONE)
        await self._records.close_gone(day, started_at, gone)
        if unread:
            lines = ", ".join(map(str, unread))
            self._telemetry.alarm(BILL_UNREAD, subject=day.isoformat(), error=f"lines {lines}")
        if open_count:  # before ``finish``: after a crash, the next run raises the alarm again
            self._telemetry.alarm(BOOKS_DIFFER, subject=day.isoformat(), error=f"{open_count} differences")
        result = Reconciliation(day, started_at, self._clock.now(), recorded, billed, found, unread)
        if not await self._records.finish(leased, result):
            raise DayTaken
        log.info("reconciled", name=day.isoformat(), total=sum(found.values()))
        return result

    def _must_not_be_early(self, bill: Bill, recorded: Totals) -> None:
        """Raise NotYet until the evening if WeChat reports a day without entries of which we have some.

        WeChat reports that, too, before it begins to make the bill; all our entries would then become differences.
        """
        has_entries = recorded.payments or recorded.refunds
        if bill.path is None and has_entries and self._clock.now() < evening_after(bill.day):
            raise NotYet

    def _is_foreign(self, out_trade_no: str) -> bool:
        return any(pattern.fullmatch(out_trade_no) for pattern in self._foreign)

    async def _load_midnights(self, database: MatchDatabase, day: date) -> Callable[[BookEntry], bool]:
        """Load refunds sent about midnight. Return a test for entries that the bill of ``day`` may lack.

        ``last_sent_at`` is by our clock. WeChat may have accepted a refund that was sent about midnight on the other
        day: those of the midnight before must be on this bill or the earlier one; those of the midnight after are
        checked tomorrow.
        """
        mchid = self._records.mchid
        before, after = [await self._source.refunded_about(mchid, each) for each in (day, day + timedelta(days=1))]
        await self._threads.run(partial(database.add_entries, before, of_day=True))
        waiting = {entry.out_refund_no for entry in after}
        early = {entry.out_refund_no for entry in before}
        missing = await self._threads.run(lambda: [entry for entry in database.missing_from_bill() if entry.is_refund])
        if any(entry.out_refund_no in early for entry in missing):
            earlier = await self._threads.run(partial(_refunds_of, await self._bill_before(day)))
            waiting |= early & earlier
        return lambda entry: entry.out_refund_no in waiting

    async def _bill_before(self, day: date) -> Bill:
        """Return the bill of the previous day; an empty one if WeChat no longer has it."""
        yesterday = day - timedelta(days=1)
        try:
            return await self._bill_cache.bill(yesterday)
        except Gone:
            return Bill(yesterday, BillKind.ALL, None)

    async def _load_entries(self, database: MatchDatabase, day: date) -> Totals:
        """Add our entries of ``day`` to the database and return their sums."""
        tally = Tally()
        for source in (self._source.list_payments, self._source.list_refunds):
            async for entries in source(self._records.mchid, day):
                await self._threads.run(partial(database.add_entries, entries, of_day=True))
                for entry in entries:
                    tally.entry(entry)
        return tally.sums()

    async def _load_unmatched_keys(self, database: MatchDatabase) -> None:
        """Add our entries for the bill's other numbers: unpaid orders, and entries of other days."""
        after = ""
        while keys := await self._threads.run(partial(database.unmatched_keys, after)):
            payments, refunds = split_keys(keys)
            mchid = self._records.mchid
            found = [*await self._source.payments(mchid, payments), *await self._source.refunds(mchid, refunds)]
            await self._threads.run(partial(database.add_entries, found, of_day=False))
            after = keys[-1]

    async def _record_differences(
        self, database: MatchDatabase, day: date, now: datetime, elsewhere: Callable[[BookEntry], bool]
    ) -> tuple[dict[DifferenceKind, int], int]:
        """Store the differences. Return their number by kind, and how many of them are open."""
        counts: Counter[DifferenceKind] = Counter()
        open_count = 0
        differences = _differences(database, self._records.mchid, day, now, elsewhere, self._is_foreign)
        while batch := await self._threads.run(lambda: list(islice(differences, BATCH))):
            open_count += await self._records.record(batch)
            counts.update(difference.kind for difference in batch)
        return dict(counts), open_count


class DayTaken(Conflict):
    """Another run holds the day."""

    code = "RECONCILIATION_RUNNING"
    text = Bilingual("这一天正在对账，请稍后再试", "This day is being reconciled right now; try again shortly")


def evening_after(day: date) -> datetime:
    """Return the time from which the bill of ``day`` is late."""
    return datetime.combine(day + timedelta(days=1), EVENING, BEIJING)


def _match_database(directory: str) -> MatchDatabase:
    return MatchDatabase(Path(directory) / "scratch.sqlite")


def _load(database: MatchDatabase, bill: Bill) -> tuple[Totals, tuple[int, ...]]:
    """Load the bill into ``database``. Return its sums and the numbers of its unreadable lines.

    Raises BillBroken, also when only the end of the bill is wrong.
    """
    tally, unread = Tally(), list[BillBroken]()
    if bill.path:
        database.add_bill(_tally(trade_lines(bill.lines(), unread=unread), tally.line))
    return tally.sums(), tuple([fault.line for fault in unread])


def _tally(lines: Iterable[TradeLine], tally: Callable[[TradeLine], None]) -> Iterator[BookEntry]:
    for line in lines:
        tally(line)
        yield BookEntry.of_line(line)


def _refunds_of(bill: Bill) -> set[str]:
    """Return the out_refund_no on a bill."""
    if bill.path is None:
        return set()
    return {line.out_refund_no for line in trade_lines(bill.lines(), unread=[]) if line.is_refund}


def _differences(
    database: MatchDatabase,
    mchid: str,
    day: date,
    now: datetime,
    elsewhere: Callable[[BookEntry], bool],
    foreign: Callable[[str], bool],
) -> Iterator[Difference]:
    """Yield all differences, one by one, so that memory does not grow with the bill.

    ``elsewhere``: whether another bill has the entry. ``foreign``: whether an order number belongs to another system,
    so that its absence here is no difference.
    """
    for pair in database.pairs():
        kind = classify(pair.recorded, pair.billed, nth=pair.nth, again=pair.again, taken_back=pair.taken_back)
        if kind and not (pair.recorded is None and foreign(pair.billed.out_trade_no)):
            yield Difference.between(mchid, day, kind, pair.recorded, pair.billed, now)
    for recorded in database.missing_from_bill():
        if (kind := missing_there(recorded)) and not (recorded.is_refund and elsewhere(recorded)):
            yield Difference.between(mchid, day, kind, recorded, None, now)
