"""Reconciling a Beijing day: WeChat's bill against our orders and refunds, line by line.

A run books differences and nothing else: it never moves money. It may be repeated, may die at any line, and may meet
another run, because a difference is identified by what it says. What an earlier run found and this one does not, is
gone.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import structlog

from wechat.domain.errors import Conflict, Text
from wechat.domain.ports import Runtime
from wechat.pay.bills.gateways import Bill
from wechat.pay.bills.parser import TradeLine, trade_lines
from wechat.reconciliation.bill_cache import BillShelf
from wechat.reconciliation.books import (
    Audit,
    Difference,
    Entry,
    Kind,
    Reconciliation,
    Status,
    Sums,
    Tally,
    judge,
    missing_there,
)
from wechat.reconciliation.match_database import BATCH, Scratch, split_keys
from wechat.reconciliation.ports import BookSource
from wechat.reconciliation.records import BookRecords

LEASE = timedelta(minutes=15)

log = structlog.get_logger("wechat.reconciliation.reconciler")


class Reconciler:
    """Runs a day. ``run`` and ``take`` are apart so that a worker's lease and an operator's are the same thing."""

    def __init__(self, shelf: BillShelf, source: BookSource, records: BookRecords, runtime: Runtime) -> None:
        self._shelf = shelf
        self._source = source
        self._records = records
        self._clock = runtime.clock
        self._threads = runtime.threads

    async def run(self, day: date) -> Reconciliation:
        """Reconcile ``day`` now. Raises Conflict while somebody else does, and what ``BillShelf.renewed`` raises.

        The bill comes first: a day that has none is not written down, and so nothing the worker would be after. Whoever
        asks by hand may doubt the bill that is here, so WeChat is asked for it once more.
        """
        await self._shelf.refetch(day)
        if not await self._records.take(day, self._clock.now(), LEASE):
            text = Text("这一天正在对账，请稍后再看", "This day is being reconciled right now; look again shortly")
            raise Conflict(text, code="RECONCILIATION_RUNNING")
        try:
            return await self.reconcile(day)
        except BaseException:
            await self._records.postpone(day, self._clock.now())
            raise

    async def reconcile(self, day: date) -> Reconciliation:
        """Reconcile a day that the caller has leased; the lease ends with the result."""
        started_at = self._clock.now()
        bill = await self._shelf.bill(day)
        with tempfile.TemporaryDirectory(prefix="fenpay-books-") as directory, _scratch(directory) as scratch:
            theirs = await self._threads.run(partial(_load, scratch, bill))
            ours = await self._load_ours(scratch, day)
            await self._load_strangers(scratch)
            found = await self._book(scratch, day, started_at)
        gone = Audit(self._clock.now(), "reconciliation", "rerun", Status.OPEN, Status.GONE)
        await self._records.close_gone(day, started_at, gone)
        result = Reconciliation(day, started_at, self._clock.now(), ours, theirs, found)
        await self._records.finish(result)
        log.info("reconciled", name=day.isoformat(), total=sum(found.values()))
        return result

    async def _load_ours(self, scratch: Scratch, day: date) -> Sums:
        """Put our entries of ``day`` beside the bill; what they add up to."""
        tally = Tally()
        for source in (self._source.list_payments, self._source.list_refunds):
            async for entries in source(self._records.mchid, day):
                await self._threads.run(partial(scratch.add_ours, entries, of_day=True))
                for entry in entries:
                    tally.entry(entry)
        return tally.sums()

    async def _load_strangers(self, scratch: Scratch) -> None:
        """Look up what the bill speaks of and the day's own entries do not: unpaid orders, and those of other days."""
        after = ""
        while keys := await self._threads.run(partial(scratch.strangers, after)):
            payments, refunds = split_keys(keys)
            mchid = self._records.mchid
            found = [*await self._source.payments(mchid, payments), *await self._source.refunds(mchid, refunds)]
            await self._threads.run(partial(scratch.add_ours, found, of_day=False))
            after = keys[-1]

    async def _book(self, scratch: Scratch, day: date, now: datetime) -> dict[Kind, int]:
        counts: Counter[Kind] = Counter()
        differences = _differences(scratch, self._records.mchid, day, now)
        while batch := await self._threads.run(lambda: list(islice(differences, BATCH))):
            await self._records.book(batch)
            counts.update(difference.kind for difference in batch)
        return dict(counts)


def _scratch(directory: str) -> Scratch:
    return Scratch(Path(directory) / "scratch.sqlite")


def _load(scratch: Scratch, bill: Bill) -> Sums:
    """The bill into ``scratch``; what it adds up to. Raises BillBroken, also when only its end is wrong."""
    tally = Tally()
    if bill.path:
        scratch.add_theirs(_tally(trade_lines(bill.lines()), tally.line))
    return tally.sums()


def _tally(lines: Iterable[TradeLine], tally: Callable[[TradeLine], None]) -> Iterator[Entry]:
    for line in lines:
        tally(line)
        yield Entry.of_line(line)


def _differences(scratch: Scratch, mchid: str, day: date, now: datetime) -> Iterator[Difference]:
    """All of them; only what differs takes memory, and that one by one."""
    for pair in scratch.pairs():
        if kind := judge(pair.ours, pair.theirs, nth=pair.nth, again=pair.again):
            yield Difference.between(mchid, day, kind, pair.ours, pair.theirs, now)
    for ours in scratch.missing_from_bill():
        if kind := missing_there(ours):
            yield Difference.between(mchid, day, kind, ours, None, now)
