"""Reconcile each day automatically on the next day.

A day is a stored document with a due date; any number of processes may run this worker, and a lease decides which one
reconciles the day. Days on which no process ran are reconciled later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import structlog

from wechat.domain.errors import FenpayError, Gone, KeysMissing, RemoteError
from wechat.domain.metrics import Metric
from wechat.domain.ports import Runtime
from wechat.domain.times import beijing_day
from wechat.pay.bills.gateways import NotYet
from wechat.reconciliation.bill_cache import BillCache
from wechat.reconciliation.days import DayLease
from wechat.reconciliation.reconciler import LEASE, DayTaken, Reconciler, evening_after
from wechat.reconciliation.records import BookRecords

LONGEST_REST = timedelta(minutes=1)
RETRY = timedelta(hours=1)
RETRY_WITHOUT_KEYS = timedelta(minutes=5)
GIVEN_UP = timedelta(days=3650)
CATCH_UP = timedelta(days=60)

log = structlog.get_logger("wechat.reconciliation.worker")


class BookWork:
    """``Work`` on days: plans the previous days and leases those that are due."""

    name = "book worker"

    def __init__(self, reconciler: Reconciler, bill_cache: BillCache, records: BookRecords, runtime: Runtime) -> None:
        self._reconciler = reconciler
        self._bill_cache = bill_cache
        self._records = records
        self._clock = runtime.clock
        self._threads = runtime.threads
        self._telemetry = runtime.telemetry
        self._planned_until: date | None = None
        """The last day that this process has planned."""
        self._excused_days: set[date] = set()
        """Days whose first failure for want of WeChat's keys raised no alarm."""

    async def claim(self, limit: int) -> Sequence[DayLease]:
        """See Work. Claims one day at a time."""
        await self._plan()
        leased = await self._records.take_due(self._clock.now(), LEASE)
        return [] if leased is None else [leased]

    async def next_due(self, until: datetime) -> datetime | None:
        """See Work. Always None: looking for due days once a minute is enough."""
        return None

    async def run(self, job: DayLease) -> None:
        try:
            await self._reconciler.reconcile(job)
        except DayTaken:
            log.info("reconciliation_overtaken", name=job.day.isoformat())
        except FenpayError as error:
            await self._later(job, error)
        except Exception as error:  # a full disk, for example: the day is tried again, and an alarm is raised
            log.exception("reconciliation_crashed", name=job.day.isoformat())
            await self._later(job, error)
        else:
            self._telemetry.measure(Metric.UNRECONCILED_DAY, 0)

    async def measure(self) -> None:
        """See Work. Nothing to do: the metric is set with each day."""

    async def _plan(self) -> None:
        """Plan yesterday, and the days since the last planned one. Does nothing when called again on the same day."""
        yesterday = beijing_day(self._clock.now()) - timedelta(days=1)
        if self._planned_until == yesterday:
            return
        newest = await self._records.newest()
        day = max(newest + timedelta(days=1), yesterday - CATCH_UP) if newest else yesterday
        while day <= yesterday:
            await self._records.plan(day, self._bill_cache.ready_at(day))
            day += timedelta(days=1)
        self._planned_until = yesterday  # before pruning, because a failure of that must not block reconciliation
        await self._threads.run(self._bill_cache.prune)

    async def _later(self, leased: DayLease, error: Exception) -> None:
        """Postpone the day and, unless it merely waits, raise an alarm. Raises StoreUnavailable.

        The alarm comes first, so that it is raised even if the store does not answer.
        """
        day, now = leased.day, self._clock.now()
        self._telemetry.measure(Metric.UNRECONCILED_DAY, (now - self._bill_cache.ready_at(day)).total_seconds())
        if not self._merely_waits(day, error, now):
            kind = "bill_late" if isinstance(error, NotYet) else "reconciliation_failed"
            self._telemetry.alarm(kind, subject=day.isoformat(), error=_describe(error))
        await self._records.postpone(leased, now + _pause_after(error))

    def _merely_waits(self, day: date, error: Exception, now: datetime) -> bool:
        """Whether no alarm is needed: the bill is still being made before the evening, or WeChat's keys are being
        fetched.

        Keys are missing after a start and when WeChat has a new key; only the first such failure of a day is excused.
        """
        if _lacks_keys(error) and day not in self._excused_days:
            self._excused_days.add(day)
            return True
        return isinstance(error, NotYet) and now < evening_after(day)


def _pause_after(error: Exception) -> timedelta:
    """Return the pause before the next attempt: WeChat's keys come within minutes; a bill that is gone never comes."""
    if _lacks_keys(error):
        return RETRY_WITHOUT_KEYS
    return GIVEN_UP if isinstance(error, Gone) else RETRY


def _lacks_keys(error: Exception) -> bool:
    """Whether the answer could not be verified because a key is missing, which is then fetched at once."""
    if isinstance(error, RemoteError) and error.unverified == "unknown_serial":
        return True
    return isinstance(error, KeysMissing)


def _describe(error: Exception) -> str:
    """Describe the error for the log. An exception that is not ours may have no message, so its repr is used."""
    return str(error) if isinstance(error, FenpayError) else repr(error)
