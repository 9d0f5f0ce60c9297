"""A day's summary as it is kept: its hours, which of them are out of date, and who computes them. Pure transitions.

Whoever changes an order marks the hours that it concerns, however long ago they are. Whoever computes takes the marks
with a lease; what is marked meanwhile is computed once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from wechat.domain.times import beijing_day, day_span
from wechat.statistics.figures import Figures, Hour, add_up

HOURS = 24
ALL_HOURS = frozenset(range(HOURS))
DELAY = timedelta(seconds=2)
"""How long a process gathers changes before it marks their hours, and a day rests at least."""
LEASE = timedelta(minutes=5)
WORK_SHARE = 20
"""Computing a day rests for so many times as long as it took."""
RECHECKS = (timedelta(hours=11), timedelta(days=10))
"""When the whole of a day is computed again after its end, for changes whose process died before it could mark them."""
SLICES_KEPT = timedelta(days=9)


@dataclass(frozen=True, slots=True)
class DaySummary:
    """The figures of a Beijing day of the merchant ``mchid``.

    ``stale`` are hours to be computed, ``computing`` those that the holder of ``lease`` has taken. ``due_at`` is when a
    worker has to look, None once nothing is to come; it does so no sooner than ``rest_until``.
    """

    mchid: str
    day: date
    due_at: datetime | None
    stale: frozenset[int] = frozenset()
    computing: frozenset[int] = frozenset()
    lease: str = ""
    leased_until: datetime | None = None
    rest_until: datetime | None = None
    computed_at: datetime | None = None
    hours: Mapping[int, Hour] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return summary_key(self.mchid, self.day)

    @property
    def total(self) -> Figures:
        return add_up(hour.total for hour in self.hours.values())

    def until(self, hour: int, minute: int) -> Figures:
        """The day's figures up to a time of day, to the slice that the minute lies in."""
        before = [each.total for number, each in self.hours.items() if number < hour]
        slices = self.hours[hour].slices if hour in self.hours else {}
        return add_up([*before, *(figures for start, figures in slices.items() if start <= minute)])


class SummaryLease(NamedTuple):
    """A day that a worker computes: these hours, under ``lease``."""

    day: date
    lease: str
    hours: frozenset[int]


def summary_key(mchid: str, day: date) -> str:
    return f"{mchid}:{day.isoformat()}"


def hour_of(moment: datetime) -> tuple[date, int]:
    """The Beijing day and hour of ``moment``."""
    day = beijing_day(moment)
    return day, int((moment - day_span(day)[0]).total_seconds()) // 3600


def mark_stale(held: DaySummary, hours: frozenset[int], now: datetime) -> DaySummary:
    """Have ``hours`` computed soon. While they are being computed, that waits for the end."""
    if hours <= held.stale:
        return held
    marked = replace(held, stale=held.stale | hours)
    if held.computing:
        return marked
    at = max(now, held.rest_until or now)
    return replace(marked, due_at=at if held.due_at is None else min(at, held.due_at))


def take_summary(held: DaySummary, lease: str, now: datetime) -> DaySummary:
    """Lease a day that is due; as it is while another holds it. Where a recheck is due it takes every hour."""
    if held.due_at is None or held.due_at > now or (held.leased_until is not None and held.leased_until > now):
        return held
    recheck_at = next_recheck(held.day, held.computed_at) if held.computed_at else None
    marked = held.stale | held.computing
    hours = ALL_HOURS if not marked or (recheck_at and recheck_at <= now) else marked
    until = now + LEASE
    return replace(held, stale=frozenset(), computing=hours, lease=lease, leased_until=until, due_at=until)


def finish_summary(
    held: DaySummary, lease: str, hours: Mapping[int, Hour], now: datetime, took: timedelta
) -> DaySummary:
    """Keep what was computed and give the lease back; no change where another worker has taken over."""
    if held.lease != lease:
        return held
    kept = {number: hour for number, hour in {**held.hours, **hours}.items() if hour.groups}
    if now > day_span(held.day)[1] + SLICES_KEPT:
        kept = {number: Hour(hour.groups, {}) for number, hour in kept.items()}
    rest_until = now + max(DELAY, WORK_SHARE * took)
    return replace(
        held,
        computing=frozenset(),
        lease="",
        leased_until=None,
        rest_until=rest_until,
        computed_at=now,
        hours=kept,
        due_at=rest_until if held.stale else next_recheck(held.day, now),
    )


def next_recheck(day: date, now: datetime) -> datetime | None:
    """When the whole day is computed again; None after the last time."""
    end = day_span(day)[1]
    return next((end + after for after in RECHECKS if end + after > now), None)
