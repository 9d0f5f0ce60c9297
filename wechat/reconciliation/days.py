"""A day that is reconciled, as it is kept: when it is due, who works on it, and its result. Pure transitions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from wechat.reconciliation.books import Reconciliation


@dataclass(frozen=True, slots=True)
class BookDay:
    """A Beijing day of the merchant ``mchid``. ``due_at`` is None once it is done; ``lease`` is held by a run until
    ``leased_until``. ``planned``: by the worker, not only run by hand."""

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
    """A day that a run holds under ``token``."""

    day: date
    token: str


def day_key(mchid: str, day: date) -> str:
    return f"{mchid}:{day.isoformat()}"


def plan_day(held: BookDay) -> BookDay:
    """Count a day that was run by hand among the planned ones."""
    return held if held.planned else replace(held, planned=True)


def take_day(held: BookDay, lease: str, now: datetime, span: timedelta) -> BookDay:
    """Lease a day, done or not, unless another run holds it."""
    if held.leased_until is not None and held.leased_until > now:
        return held
    return replace(held, lease=lease, leased_until=now + span)


def take_due_day(held: BookDay, lease: str, now: datetime, span: timedelta) -> BookDay:
    """Lease a day that is due and not done, unless another run holds it; its date moves ahead with the lease."""
    if held.due_at is None or held.due_at > now:
        return held
    taken = take_day(held, lease, now, span)
    return taken if taken is held else replace(taken, due_at=now + span)


def postpone_day(held: BookDay, lease: str, due_at: datetime) -> BookDay:
    """Give ``lease`` back; run again at ``due_at``, unless the day is done. Another run's lease stays as it is."""
    if held.lease != lease:
        return held
    return replace(held, lease="", leased_until=None, due_at=due_at if held.due_at else None)


def finish_day(held: BookDay, lease: str, result: Reconciliation) -> BookDay:
    """Keep the result and give ``lease`` back. A run that another one has overtaken ends nothing."""
    if held.lease != lease:
        return held
    return replace(held, lease="", leased_until=None, due_at=None, result=result)
