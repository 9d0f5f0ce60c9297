"""An alarm and its life: raised, seen by somebody, cleared when its cause is gone. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

MOST_OF_KIND = 100
"""Alarms that are kept of each kind."""
KEEP = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Alarm:
    """``subject`` is the order, day or reason that it is about, empty where there is none. ``count``: how often."""

    place: str
    kind: str
    subject: str
    error: str
    first_at: datetime
    last_at: datetime
    expires_at: datetime
    count: int = 1
    seen_at: datetime | None = None
    seen_by: str = ""
    cleared_at: datetime | None = None

    @property
    def id(self) -> str:
        """What names it to people: its place, and its subject, because a place is taken again by other alarms."""
        return f"{self.place}-{sha256(self.subject.encode()).hexdigest()[:6]}"

    @property
    def open(self) -> bool:
        """Whether somebody still has to look."""
        return self.seen_at is None and self.cleared_at is None


def place_of_alarm(alarm_id: str) -> str:
    """The place in an ``id``."""
    return alarm_id.rpartition("-")[0]


def new_alarm(kind: str, subject: str, error: str, now: datetime) -> Alarm:
    """An alarm that has no place yet."""
    return Alarm("", kind, subject, error, now, now, now + KEEP)


def raise_again(held: Alarm, again: Alarm) -> Alarm:
    """Count it once more. One that was cleared begins anew; one that somebody has seen stays seen."""
    if held.cleared_at:
        return replace(again, place=held.place)
    return replace(held, count=held.count + 1, error=again.error, last_at=again.last_at, expires_at=again.expires_at)


def mark_seen(alarm: Alarm, by: str, now: datetime) -> Alarm:
    return alarm if alarm.seen_at else replace(alarm, seen_at=now, seen_by=by)


def clear_alarm(alarm: Alarm, now: datetime) -> Alarm:
    """Its cause is gone."""
    return alarm if alarm.cleared_at else replace(alarm, cleared_at=now)
