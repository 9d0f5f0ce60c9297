"""Background workers: one loop that claims due work, and a number of tasks that do it.

Work is found by its due date. While nothing is due, the worker sleeps until the next date in the store, or until it is
woken in this process. Work that another process leaves is found within ``LONGEST_REST``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from wechat.domain.errors import FenpayError
from wechat.domain.ports import Random, Runtime
from wechat.support.tasks import end

LOOPS = 16
"""Jobs at the same time, so that one slow call to WeChat does not delay the others."""
CANDIDATES = 4
"""Due jobs that are read for each free loop."""
LONGEST_REST = timedelta(seconds=15)
FAILURE_REST = timedelta(seconds=2)
OVERDUE_REST = timedelta(seconds=1)
"""The pause when overdue work could not be claimed, because other workers may be doing it, or one of them failed."""
MEASURE_S = 15.0

J = TypeVar("J")
C = TypeVar("C")

log = structlog.get_logger("wechat.worker")


class Work(Protocol[J]):
    """A kind of work for a ``Worker``: how to claim, find and do its jobs."""

    name: str

    async def claim(self, limit: int) -> Sequence[J]:
        """Lease up to ``limit`` due jobs. Raises StoreUnavailable."""

    async def next_due(self, until: datetime) -> datetime | None:
        """Return the due date of the next job, past or up to ``until``; None without one. Raises StoreUnavailable."""

    async def run(self, job: J) -> None:
        """Do a job. The job comes due again by itself unless ``run`` ends it."""

    async def measure(self) -> None:
        """Update the metrics. Raises StoreUnavailable."""


class Worker(Generic[J]):
    """Does ``work`` from ``start`` to ``close``.

    When nothing is due, the worker looks for the next date within ``horizon``, by default ``longest_rest``. A shorter
    one fits a worker that is woken for later dates. Metrics are updated at most once in ``longest_rest``.
    """

    def __init__(
        self,
        work: Work[J],
        runtime: Runtime,
        loops: int = LOOPS,
        longest_rest: timedelta = LONGEST_REST,
        horizon: timedelta | None = None,
    ) -> None:
        self._work = work
        self._clock = runtime.clock
        self._loops = loops
        self._longest_rest = longest_rest
        self._horizon = longest_rest if horizon is None else horizon
        self._measure_s = max(MEASURE_S, longest_rest.total_seconds())
        self._running: set[asyncio.Task[None]] = set()
        self._has_news = False
        self._sleep: asyncio.Timeout | None = None
        self._rests_until: datetime | None = None
        self._measure_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._forever(), name=self._work.name)

    @property
    def work(self) -> Work[J]:
        return self._work

    @property
    def rests(self) -> bool:
        """Whether the worker sleeps because nothing is due."""
        return self._rests_until is not None

    def wake(self, at: datetime | None = None) -> None:
        """Tell the worker of work that may be due at ``at`` (None: now); it then sleeps no longer than that."""
        if at is None or self._rests_until is None or at <= self._clock.now():
            self._has_news = True
        elif at < self._rests_until:
            self._rests_until = at
        else:
            return
        if self._sleep:
            self._sleep.reschedule(asyncio.get_running_loop().time())
            self._sleep = None

    async def close(self) -> None:
        await end(*([self._task] if self._task else []), *self._running)

    async def once(self) -> bool:
        """Claim and do due jobs, as many as there are loops. Return whether there were any. Raises StoreUnavailable."""
        jobs = await self._work.claim(self._loops)
        await asyncio.gather(*[self._do(job) for job in jobs])
        return bool(jobs)

    async def _forever(self) -> None:
        while True:
            version = self._clock.version
            self._has_news = False
            try:
                next_at = await self._take()
            except FenpayError as error:
                log.warning("worker_waits", worker=self._work.name, error=str(error))
                next_at = self._clock.now() + FAILURE_REST
            except Exception:  # any error: the other jobs must still be done
                log.exception("worker_crashed", worker=self._work.name)
                next_at = self._clock.now() + FAILURE_REST
            if next_at is not None:
                await self._rest(next_at, version)

    async def _take(self) -> datetime | None:
        """Start as many jobs as there are free loops. Return the end of the next sleep; None when more is due."""
        await self._measure()
        if len(self._running) >= self._loops:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        free = self._loops - len(self._running)
        jobs = await self._work.claim(free)
        for job in jobs:
            task = asyncio.create_task(self._do(job), name=f"{self._work.name} job")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return None if len(jobs) == free else await self._next_due(busy=bool(jobs))

    async def _do(self, job: J) -> None:
        try:
            await self._work.run(job)
        except FenpayError as error:
            log.warning("job_failed", worker=self._work.name, error=str(error))
        except Exception:
            log.exception("job_crashed", worker=self._work.name)

    async def _next_due(self, *, busy: bool) -> datetime | None:
        """Return when to look again. Overdue work that could not be claimed is tried again after a pause."""
        now = self._clock.now()
        next_at = await self._work.next_due(now + self._horizon)
        if next_at is None:
            return now + self._longest_rest
        if next_at > now:
            return next_at
        return None if busy else now + OVERDUE_REST

    async def _rest(self, until: datetime, version: int) -> None:
        """Sleep until ``until``, or an earlier date given to ``wake``, or until woken."""
        self._rests_until = until
        try:
            while not self._has_news and await self._is_woken(self._rests_until, version):
                pass
        finally:
            self._rests_until = None

    async def _is_woken(self, until: datetime, version: int) -> bool:
        """Sleep until ``until``. Return whether ``wake`` has ended the sleep before."""
        try:
            async with asyncio.timeout(None) as self._sleep:
                await self._clock.sleep_until(until, version)
        except TimeoutError:
            return True
        finally:
            self._sleep = None
        return False

    async def _measure(self) -> None:
        """Update the metrics if the last update is old enough."""
        if self._clock.monotonic() >= self._measure_at:
            self._measure_at = self._clock.monotonic() + self._measure_s
            await self._work.measure()


class Candidates(Generic[C]):
    """Due jobs that were read and not tried yet. More are read than needed, and they are tried in random order.

    Processes that read the same jobs therefore seldom collide, and a long backlog is not read again for each free loop.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._waiting: list[C] = []

    async def claim(
        self,
        limit: int,
        read: Callable[[int], Awaitable[Sequence[C]]],
        claim: Callable[[Sequence[C]], Awaitable[Sequence[J]]],
    ) -> list[J]:
        """Claim up to ``limit`` jobs. If another process has taken a candidate, the next one is tried."""
        jobs = await self._claim_waiting(limit, claim)
        if len(jobs) < limit:
            self._waiting = self._random.shuffle(await read(CANDIDATES * limit))
            jobs += await self._claim_waiting(limit - len(jobs), claim)
        return jobs

    async def _claim_waiting(self, limit: int, claim: Callable[[Sequence[C]], Awaitable[Sequence[J]]]) -> list[J]:
        jobs: list[J] = []
        while self._waiting and len(jobs) < limit:
            count = limit - len(jobs)
            chosen, self._waiting = self._waiting[:count], self._waiting[count:]
            jobs += await claim(chosen)
        return jobs
