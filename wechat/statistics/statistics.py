"""Figures for people: today compared with other days at the same time, and days by hour and by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from wechat.domain.ports import Clock
from wechat.statistics.days import DaySummary, hour_of
from wechat.statistics.figures import NOTHING, Figures, Group
from wechat.statistics.ports import EntrySource, SummaryStore, Waiting

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Today until now, and yesterday and the same weekday last week until the same time of day.

    ``computed_at``: today's figures include the changes up to this time; None if none were computed yet.
    """

    today: Figures
    yesterday: Figures
    last_week: Figures
    computed_at: datetime | None


@dataclass(frozen=True, slots=True)
class DayFigures:
    """A day's figures: in total, by hour, and by channel and trade type."""

    day: date
    total: Figures
    hours: Mapping[int, Figures]
    groups: Mapping[Group, Figures]


class Statistics:
    """Figures of the merchant ``mchid``. Every method raises StoreUnavailable."""

    def __init__(self, mchid: str, store: SummaryStore, source: EntrySource, clock: Clock) -> None:
        self._mchid = mchid
        self._store = store
        self._source = source
        self._clock = clock

    async def compare(self) -> Comparison:
        """Compare today with yesterday and last week; reads a week of summaries."""
        now = self._clock.now()
        today, hour = hour_of(now)
        found = {each.day: each for each in await self._store.between(self._mchid, today - WEEK, today)}
        own, minute = found.get(today), now.minute

        def until_now(day: date) -> Figures:
            return found[day].until(hour, minute) if day in found else NOTHING

        total = own.total if own else NOTHING
        return Comparison(total, until_now(today - DAY), until_now(today - WEEK), own.computed_at if own else None)

    async def last_days(self, count: int) -> Sequence[DayFigures]:
        """Return the last ``count`` days, today included, earliest first; a day without a summary is zero."""
        today, _ = hour_of(self._clock.now())
        first = today - (count - 1) * DAY
        found = {each.day: each for each in await self._store.between(self._mchid, first, today)}
        days = [first + number * DAY for number in range(count)]
        return [_day_figures(day, found.get(day)) for day in days]

    async def waiting(self) -> Waiting:
        """Count the orders that can still be paid."""
        return await self._source.waiting(self._mchid)


def _day_figures(day: date, summary: DaySummary | None) -> DayFigures:
    hours = summary.hours if summary else {}
    groups: dict[Group, Figures] = {}
    for hour in hours.values():
        for group, figures in hour.groups.items():
            groups[group] = groups.get(group, NOTHING) + figures
    totals = {number: hour.total for number, hour in hours.items()}
    return DayFigures(day, summary.total if summary else NOTHING, totals, groups)
