"""Polls of idle workers, without those that would find nothing.

The service's workers poll the store every few seconds, because another process may have left work there. Most of these
polls find nothing and change nothing, so they are not made here: a worker sleeps until its own next date, and is woken
by the first of its polls that finds something due. That is computed from the store alone, so a date that a dead process
has left is found as in the service.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from storage.documents import FIRST, LAST, Range
from storage.memory.documents import MemoryDocuments
from storage.memory.storage import MemoryDatabase
from storage.stores.all import DAYS, DELIVERIES, ORDERS
from wechat.domain.ports import Clock
from wechat.events.delivery_worker import DeliveryWork
from wechat.events.relay import GRACE, RelayWork
from wechat.events.relay import LONGEST_REST as RELAY_REST
from wechat.orders.worker import OrderWork
from wechat.reconciliation.worker import LONGEST_REST as BOOK_REST
from wechat.reconciliation.worker import BookWork
from wechat.support.worker import LONGEST_REST, Worker


@dataclass(frozen=True, slots=True)
class Subject:
    """The documents that a kind of worker polls for: dates that are ``grace`` old, at least once in ``every``."""

    collection: str
    dates: Range
    grace: timedelta
    every: timedelta


DUE = Range("due_at", FIRST, LAST)

SUBJECTS: dict[type[Any], Subject] = {
    OrderWork: Subject(ORDERS, DUE, timedelta(0), LONGEST_REST),
    RelayWork: Subject(ORDERS, Range("outbox_due_at", FIRST, LAST), GRACE, RELAY_REST),
    DeliveryWork: Subject(DELIVERIES, DUE, timedelta(0), LONGEST_REST),
    BookWork: Subject(DAYS, DUE, timedelta(0), BOOK_REST),
}


def subject_of(work: object) -> Subject:
    """Return the subject of ``work``. Raises ValueError for an unknown kind of work."""
    for kind, subject in SUBJECTS.items():
        if isinstance(work, kind):
            equal = {"target": work.target.name} if isinstance(work, DeliveryWork) else {}
            return replace(subject, dates=replace(subject.dates, equal=equal))
    raise ValueError(f"nobody knows what {work} looks for")


class Polls:
    """The polls of all processes over one database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._dates: list[_EarliestDate] = []

    def of_process(self, clock: Clock, workers: Sequence[Worker[Any]], stream: random.Random) -> ProcessPolls:
        """Poll for the ``workers`` of one process, until the result is closed."""
        return ProcessPolls([_WorkerPolls(self._date_for(worker), clock, worker, stream) for worker in workers])

    def on_write(self, collection: str) -> None:
        """Update the dates in ``collection`` after a write."""
        for date in self._dates:
            if date.subject.collection == collection:
                date.read()

    def _date_for(self, worker: Worker[Any]) -> _EarliestDate:
        """Return the earliest date of the worker's subject, which it shares with workers of other processes."""
        subject = subject_of(worker.work)
        date = next((date for date in self._dates if date.subject == subject), None)
        if date is None:
            date = _EarliestDate(subject, self._database[subject.collection])
            self._dates.append(date)
        return date


class ProcessPolls:
    """The polls of one process."""

    def __init__(self, polls: Sequence[_WorkerPolls]) -> None:
        self._polls = polls
        self.look()

    def look(self) -> None:
        """Compute the next polls again, after a leap of the clock."""
        for polls in self._polls:
            polls.look()

    def close(self) -> None:
        """Stop polling."""
        for polls in self._polls:
            polls.close()


class _EarliestDate:
    """The earliest date of a subject in the store; ``polls`` are computed again when it has changed."""

    def __init__(self, subject: Subject, documents: MemoryDocuments) -> None:
        self.subject = subject
        self.at: datetime | None = None
        self.polls: list[_WorkerPolls] = []
        self._documents = documents
        self.read()

    def read(self) -> None:
        """Read the date after a write."""
        earliest = self._documents.earliest(self.subject.dates)
        at = None if earliest is None else earliest + self.subject.grace
        if at != self.at:
            self.at = at
            for polls in self.polls:
                polls.look()


class _WorkerPolls:
    """The polls of one worker for ``date``. ``timer`` is the first that may find something."""

    def __init__(self, date: _EarliestDate, clock: Clock, worker: Worker[Any], stream: random.Random) -> None:
        self._date = date
        self._clock = clock
        self._worker = worker
        self._every_s = date.subject.every.total_seconds()
        self._phase_s = self._every_s * stream.random()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._polls_at = 0.0
        date.polls.append(self)

    def look(self) -> None:
        """Set the timer of the first poll that finds the earliest date: at that date, if an earlier poll has shown it
        to the worker, or a little later if no poll lies in between."""
        date = self._date.at
        if date is None:
            return
        now = self._loop.time()
        due_s = now + (date - self._clock.now()).total_seconds()
        next_poll = now + self._every_s - (now - self._phase_s) % self._every_s
        self._set(max(due_s, next_poll))

    def close(self) -> None:
        self._date.polls.remove(self)
        if self._timer:
            self._timer.cancel()

    def _set(self, at: float) -> None:
        if self._timer is not None:
            if at >= self._polls_at:
                return
            self._timer.cancel()
        self._polls_at = at
        self._timer = self._loop.call_at(at, self._poll)

    def _poll(self) -> None:
        """Wake the worker if something is due; while it is, every poll finds it."""
        self._timer = None
        date = self._date.at
        if date is not None and date <= self._clock.now():
            if self._worker.rests:
                self._worker.wake(date)
            self._set(self._loop.time() + self._every_s)
        else:
            self.look()
