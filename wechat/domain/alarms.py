"""An alarm and its states: raised, seen by a person, cleared when its cause is gone. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

MOST_OF_KIND = 100
"""Alarms that are kept of each kind."""
KEEP = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm, raised ``count`` times. ``subject`` is the order, day or reason that it is about; empty for none."""

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
        """The alarm's id for people: place and digest of the subject. Another alarm may take the place later."""
        return f"{self.place}-{sha256(self.subject.encode()).hexdigest()[:6]}"

    @property
    def open(self) -> bool:
        """Whether a person still has to look at the alarm."""
        return self.seen_at is None and self.cleared_at is None


def place_of_alarm(alarm_id: str) -> str:
    """Return the place that an alarm's ``id`` contains."""
    return alarm_id.rpartition("-")[0]


def new_alarm(kind: str, subject: str, error: str, now: datetime) -> Alarm:
    """Create an alarm that has no place yet."""
    return Alarm("", kind, subject, error, now, now, now + KEEP)


def raise_again(held: Alarm, again: Alarm) -> Alarm:
    """Count the alarm once more. A cleared alarm starts anew as ``again``; a seen alarm stays seen."""
    if held.cleared_at:
        return replace(again, place=held.place)
    return replace(held, count=held.count + 1, error=again.error, last_at=again.last_at, expires_at=again.expires_at)


def mark_seen(alarm: Alarm, by: str, now: datetime) -> Alarm:
    return alarm if alarm.seen_at else replace(alarm, seen_at=now, seen_by=by)


def clear_alarm(alarm: Alarm, now: datetime) -> Alarm:
    """Note that the alarm's cause is gone."""
    return alarm if alarm.cleared_at else replace(alarm, cleared_at=now)
