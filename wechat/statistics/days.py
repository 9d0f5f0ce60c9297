"""A day's stored summary: its hours, those that are out of date, and the lease of their computation. Pure transitions.

A process that changes an order marks the hours that the change concerns, however long ago they are. A worker takes the
marks with a lease; hours that are marked meanwhile are computed once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from wechat.domain.times import BEIJING, day_span
from wechat.statistics.figures import Figures, Hour, add_up

HOURS = 24
ALL_HOURS = frozenset(range(HOURS))
DELAY = timedelta(seconds=2)
"""The time for which a process collects changes before it marks their hours; also the shortest pause of a day."""
LEASE = timedelta(minutes=5)
WORK_SHARE = 20
"""The pause after computing a day, as a multiple of the time it took."""
RECHECKS = (timedelta(hours=11), timedelta(days=10))
"""Times after a day's end when the whole day is computed again, for changes that a killed process did not mark."""
SLICES_KEPT = timedelta(days=9)


@dataclass(frozen=True, slots=True)
class DaySummary:
    """The figures of a Beijing day of the merchant ``mchid``.

    ``stale`` are hours to be computed, ``computing`` those that the holder of ``lease`` has taken. ``due_at`` is the
    date of the next computation, None when none is planned; it is not before ``rest_until``.
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
        """Sum the day's figures up to a time of day, including the whole slice that contains the minute."""
        before = [each.total for number, each in self.hours.items() if number < hour]
        slices = self.hours[hour].slices if hour in self.hours else {}
        return add_up([*before, *(figures for start, figures in slices.items() if start <= minute)])


class SummaryLease(NamedTuple):
    """The hours of a day that a worker computes under ``lease``."""

    day: date
    lease: str
    hours: frozenset[int]


def summary_key(mchid: str, day: date) -> str:
    return f"{mchid}:{day.isoformat()}"


def hour_of(moment: datetime) -> tuple[date, int]:
    """Return the Beijing day and hour of ``moment``."""
    local = moment.astimezone(BEIJING)
    return local.date(), local.hour


def mark_stale(held: DaySummary, hours: frozenset[int], now: datetime) -> DaySummary:
    """Mark ``hours`` for computation and make the day due, after its pause at the earliest.

    While the day is being computed, its due date stays: ``finish_summary`` makes it due again.
    """
    if hours <= held.stale:
        return held
    marked = replace(held, stale=held.stale | hours)
    if held.computing:
        return marked
    at = max(now, held.rest_until or now)
    return replace(marked, due_at=at if held.due_at is None else min(at, held.due_at))


def take_summary(held: DaySummary, lease: str, now: datetime) -> DaySummary:
    """Lease a due day, unless another worker holds it, and take its marked hours.

    All hours are taken when a recheck is due, and when none is marked.
    """
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
    """Store the computed hours and release the lease; ignored when another worker has taken over."""
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
    """Return when the whole day is computed again; None after the last time."""
    end = day_span(day)[1]
    return next((end + after for after in RECHECKS if end + after > now), None)
