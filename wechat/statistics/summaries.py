"""The worker that computes the summaries of days, and the marks of hours that have changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial

import structlog

from wechat.domain.errors import StoreUnavailable
from wechat.domain.orders import Order
from wechat.domain.ports import Runtime
from wechat.domain.times import day_span
from wechat.statistics.days import (
    ALL_HOURS,
    DELAY,
    DaySummary,
    SummaryLease,
    finish_summary,
    hour_of,
    mark_stale,
    summary_key,
    take_summary,
)
from wechat.statistics.figures import Hour, HourSums, entries_of
from wechat.statistics.ports import EntrySource, SummaryStore
from wechat.support.update import Updater

LONGEST_REST = timedelta(seconds=30)
HISTORY = timedelta(days=90)
"""The period before today that is computed when there are no summaries yet."""
CANDIDATES = 4
LEASE_BYTES = 6
HOUR = timedelta(hours=1)

log = structlog.get_logger("wechat.statistics")


class Marks:
    """Hours that changes of orders in this process concern, until they are stored."""

    def __init__(self) -> None:
        self._hours: dict[date, set[int]] = {}
        self.on_first: Callable[[], None] = lambda: None

    def note(self, before: Order | None, after: Order) -> None:
        """Remember the hours in which the entries of ``before`` and ``after`` differ."""
        earlier = set(entries_of(before)) if before else set()
        changed = earlier.symmetric_difference(entries_of(after))
        if changed and not self._hours:
            self.on_first()
        for entry in changed:
            self.add(*hour_of(entry.at))

    def add(self, day: date, hour: int) -> None:
        self._hours.setdefault(day, set()).add(hour)

    def take(self) -> Mapping[date, set[int]]:
        """Return all marks and forget them."""
        hours, self._hours = self._hours, {}
        return hours


class SummaryWork:
    """``Work`` on days. Any number of processes may run it; a lease decides which one computes a day."""

    name = "statistics worker"

    def __init__(self, mchid: str, source: EntrySource, store: SummaryStore, marks: Marks, runtime: Runtime) -> None:
        self._mchid = mchid
        self._source = source
        self._store = store
        self.marks = marks
        self._clock = runtime.clock
        self._random = runtime.random
        self._updater: Updater[DaySummary] = Updater(store, lambda day: day.key, runtime.random, remembered=0)
        self._planned: tuple[date, int] | None = None
        self._write_marks_at: datetime | None = None
        marks.on_first = self._on_first_mark
        self.on_due: Callable[[datetime], None] = lambda at: None

    async def claim(self, limit: int) -> Sequence[SummaryLease]:
        """See Work."""
        now = self._clock.now()
        await self._plan(now)
        if self._write_marks_at is not None and self._write_marks_at <= now:
            await self._write_marks(now)
        leases: list[SummaryLease] = []
        for stored in await self._store.list_due(self._mchid, now, CANDIDATES * limit):
            if len(leases) < limit and (lease := await self._take(stored.value.day, now)):
                leases.append(lease)
        return leases

    async def next_due(self, until: datetime) -> datetime | None:
        """See Work."""
        dates = [await self._store.next_due(self._mchid, until), self._write_marks_at, self._next_hour()]
        return min((at for at in dates if at and at <= until), default=None)

    async def run(self, job: SummaryLease) -> None:
        """Compute the hours of ``job``, store them and release the lease. After a failure the lease ends by itself."""
        started_s = self._clock.monotonic()
        hours = await compute_hours(self._source, self._mchid, job.day, job.hours)
        took = timedelta(seconds=self._clock.monotonic() - started_s)
        now = self._clock.now()
        key = summary_key(self._mchid, job.day)
        await self._updater.update(key, lambda held: finish_summary(held, job.lease, hours, now, took))

    async def measure(self) -> None:
        """See Work. Nothing to do: the figures are for people."""

    async def _take(self, day: date, now: datetime) -> SummaryLease | None:
        lease = self._random.token(LEASE_BYTES)
        change = await self._updater.update(summary_key(self._mchid, day), lambda held: take_summary(held, lease, now))
        if change is None or change.after.lease != lease:
            return None
        return SummaryLease(day, lease, change.after.computing)

    async def _plan(self, now: datetime) -> None:
        """Once an hour, mark the current and the previous hour, and all hours of days without a summary."""
        today, hour = hour_of(now)
        if self._planned == (today, hour):
            return
        for day in await self._missing_days(today):
            await self._mark(day, ALL_HOURS, now)
        for each in (now, now - HOUR):
            day, number = hour_of(each)
            await self._mark(day, frozenset({number}), now)
        self._planned = (today, hour)

    async def _missing_days(self, today: date) -> Sequence[date]:
        """Return the days up to ``today`` without a summary, within HISTORY, and the last day with one."""
        earliest = today - HISTORY
        newest = await self._store.newest(self._mchid)
        if newest == today:
            return []
        first = newest or await self._source.first_day(self._mchid, earliest) or today
        day = max(first, earliest)
        return [day + timedelta(days=number) for number in range((today - day).days + 1)]

    async def _write_marks(self, now: datetime) -> None:
        """Store the marks. Raises StoreUnavailable, and then keeps them for the next attempt."""
        self._write_marks_at = None
        taken = self.marks.take()
        for day, hours in taken.items():
            try:
                await self._mark(day, frozenset(hours), now)
            except StoreUnavailable:
                self._remember(taken)
                raise

    def _remember(self, hours_by_day: Mapping[date, set[int]]) -> None:
        for day, hours in hours_by_day.items():
            for hour in hours:
                self.marks.add(day, hour)
        self._write_marks_at = self._clock.now() + DELAY

    async def _mark(self, day: date, hours: frozenset[int], now: datetime) -> None:
        new = mark_stale(DaySummary(self._mchid, day, None), hours, now)
        if not await self._updater.insert(new):
            await self._updater.update(new.key, partial(mark_stale, hours=hours, now=now))

    def _on_first_mark(self) -> None:
        self._write_marks_at = self._clock.now() + DELAY
        self.on_due(self._write_marks_at)

    def _next_hour(self) -> datetime | None:
        if self._planned is None:
            return None
        day, hour = self._planned
        return day_span(day)[0] + (hour + 1) * HOUR


async def compute_hours(source: EntrySource, mchid: str, day: date, hours: frozenset[int]) -> Mapping[int, Hour]:
    """Compute the figures of these hours of a Beijing day, from the orders stored now."""
    begin, _ = day_span(day)
    sums = HourSums(begin)
    for first, last in _runs(hours):
        async for entries in source.list_sales(mchid, begin + first * HOUR, begin + last * HOUR):
            for entry in entries:
                sums.add(entry)
    async for entries in source.list_refunds(mchid, day):
        for entry in entries:
            sums.add(entry)
    return {hour: sums.hour(hour) for hour in hours}


def _runs(hours: frozenset[int]) -> Sequence[tuple[int, int]]:
    """Convert ``{1, 2, 5}`` to ``[(1, 3), (5, 6)]``."""
    starts = [hour for hour in sorted(hours) if hour - 1 not in hours]
    ends = [hour + 1 for hour in sorted(hours) if hour + 1 not in hours]
    return list(zip(starts, ends, strict=True))
