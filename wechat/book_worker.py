"""Reconciles each day on the next one, without being asked.

A day is a due-dated document; any number of processes may run this, a lease decides who does it. Days on which no
process ran are caught up with.
"""

from __future__ import annotations

import asyncio
from datetime import date, datetime, time, timedelta

import structlog
from prometheus_client import Gauge

from wechat.bill_shelf import BillShelf
from wechat.domain.errors import FenpayError, Gone
from wechat.domain.times import BEIJING, beijing_day
from wechat.ending import end
from wechat.ledger import ALARMS
from wechat.pay.bill_download import NotYet
from wechat.ports import BookStore, Clock
from wechat.reconciliation import LEASE, Reconciler

IDLE_S = 60.0
RETRY = timedelta(hours=1)
GIVEN_UP = timedelta(days=3650)
CATCH_UP = timedelta(days=60)
EVENING = time(20)

log = structlog.get_logger("wechat.book_worker")
UNRECONCILED = Gauge(
    "fenpay_unreconciled_day_age_seconds", "Since when the oldest day waits that could not be reconciled"
)


class BookWorker:
    """Plans the day before, takes what is due."""

    def __init__(self, reconciler: Reconciler, shelf: BillShelf, store: BookStore, clock: Clock) -> None:
        self._reconciler = reconciler
        self._shelf = shelf
        self._store = store
        self._clock = clock
        self._planned: date | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="book worker")

    async def close(self) -> None:
        if self._task:
            await end(self._task)

    async def once(self) -> bool:
        """Reconcile one day that is due; whether there was one. Raises StoreUnavailable."""
        await self._plan()
        day = await self._store.take_due(self._clock.now(), LEASE)
        if day is None:
            return False
        try:
            result = await self._reconciler.reconcile(day)
        except FenpayError as error:
            await self._later(day, error)
        except Exception as error:  # a full disk, say: the day must not be forgotten, and somebody has to know
            log.exception("reconciliation_crashed", name=day.isoformat())
            await self._later(day, error)
        else:
            UNRECONCILED.set(0)
            if result.found:
                _alarm("books_differ", day, f"{sum(result.found.values())} differences")
        return True

    async def _plan(self) -> None:
        """Write down yesterday, and the days since the last one written down. Costs nothing on the same day again."""
        yesterday = beijing_day(self._clock.now()) - timedelta(days=1)
        if self._planned == yesterday:
            return
        newest = await self._store.newest()
        day = max(newest + timedelta(days=1), yesterday - CATCH_UP) if newest else yesterday
        while day <= yesterday:
            await self._store.plan(day, self._shelf.ready_at(day))
            day += timedelta(days=1)
        self._planned = yesterday  # first: a directory that cannot be tidied must not keep a day from its turn for ever
        await asyncio.to_thread(self._shelf.prune)

    async def _later(self, day: date, error: Exception) -> None:
        """Try again in an hour, unless WeChat has the bill no more.

        From the evening on, and at once when it is not mere waiting, somebody should know; also where the store does
        not answer, so that comes first. Raises StoreUnavailable.
        """
        now = self._clock.now()
        UNRECONCILED.set((now - self._shelf.ready_at(day)).total_seconds())
        if not isinstance(error, NotYet) or now >= _evening_after(day):
            _alarm("bill_late" if isinstance(error, NotYet) else "reconciliation_failed", day, _said(error))
        await self._store.put_off(day, now + (GIVEN_UP if isinstance(error, Gone) else RETRY))

    async def _run(self) -> None:
        while True:
            seen, busy = self._clock.moves, False
            try:
                busy = await self.once()
            except FenpayError as error:
                log.warning("worker_waits", error=str(error))
            except Exception:  # whatever it is, the other days still have to be reconciled
                log.exception("worker_crashed")
            if not busy:
                await self._clock.rest(IDLE_S, seen)


def _evening_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), EVENING, BEIJING)


def _said(error: Exception) -> str:
    """What went wrong, for the log. Other than ours, an exception's own words may be none."""
    return str(error) if isinstance(error, FenpayError) else repr(error)


def _alarm(kind: str, day: date, error: str) -> None:
    ALARMS.labels(kind).inc()
    log.error("alarm", kind=kind, name=day.isoformat(), error=error)
