"""A day to reconcile, as stored: its due date, its lease and its result. Pure transitions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from wechat.reconciliation.books import Reconciliation


@dataclass(frozen=True, slots=True)
class BookDay:
    """A Beijing day of the merchant ``mchid``. ``due_at`` is None when it is done; ``lease`` ends at ``leased_until``.

    ``planned``: the worker planned it; False for a day that was only run by hand.
    """

    mchid: str
    day: date
    due_at: datetime | None
    planned: bool = False
    lease: str = ""
    leased_until: datetime | None = None
    result: Reconciliation | None = None

    @property
    def key(self) -> str:
        return day_key(self.mchid, self.day)


class DayLease(NamedTuple):
    """A day that a run has leased with ``token``."""

    day: date
    token: str


def day_key(mchid: str, day: date) -> str:
    return f"{mchid}:{day.isoformat()}"


def plan_day(held: BookDay) -> BookDay:
    """Mark a day as planned, even if it was run by hand before."""
    return held if held.planned else replace(held, planned=True)


def take_day(held: BookDay, lease: str, now: datetime, span: timedelta) -> BookDay:
    """Lease a day, done or not, unless another run holds it."""
    if held.leased_until is not None and held.leased_until > now:
        return held
    return replace(held, lease=lease, leased_until=now + span)


def take_due_day(held: BookDay, lease: str, now: datetime, span: timedelta) -> BookDay:
    """Lease a due day unless another run holds it. The day is due again when the lease ends."""
    if held.due_at is None or held.due_at > now:
        return held
    taken = take_day(held, lease, now, span)
    return taken if taken is held else replace(taken, due_at=now + span)


def postpone_day(held: BookDay, lease: str, due_at: datetime) -> BookDay:
    """Release ``lease``, and run again at ``due_at`` unless the day is done. Another run's lease stays as it is."""
    if held.lease != lease:
        return held
    return replace(held, lease="", leased_until=None, due_at=due_at if held.due_at else None)


def finish_day(held: BookDay, lease: str, result: Reconciliation) -> BookDay:
    """Store the result and release ``lease``; ignored when another run has taken over."""
    if held.lease != lease:
        return held
    return replace(held, lease="", leased_until=None, due_at=None, result=result)
