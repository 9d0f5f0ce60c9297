"""The loop behind every background worker: what it claims and when, what it survives, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.runtime import a_runtime
from tests.support.stepped_clock import SteppedClock, let_tasks_run
from wechat.domain.errors import FenpayError, NotSent, StoreUnavailable
from wechat.support.worker import FAILURE_REST, LONGEST_REST, LOOPS, MEASURE_S, Worker

REST_S = LONGEST_REST.total_seconds()
PAUSE_S = FAILURE_REST.total_seconds()


class Jobs:
    """``Work`` on jobs in memory, each with its date. Those in ``gates`` take until their gate opens."""

    name = "test worker"

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.due: dict[str, datetime] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.errors: dict[str, Exception] = {}
        self.fails: dict[str, Exception] = {}
        self.claims: list[tuple[datetime, int]] = []
        self.measured: list[datetime] = []
        self.done: list[tuple[str, datetime]] = []
        self.running: set[str] = set()
        self.most = 0

    def add(self, *jobs: str, in_s: float = 0) -> None:
        for job in jobs:
            self.due[job] = self.clock.now() + timedelta(seconds=in_s)

    def slow(self, *jobs: str) -> None:
        """Jobs that are due and do not end by themselves."""
        self.add(*jobs)
        for job in jobs:
            self.gates[job] = asyncio.Event()

    async def claim(self, limit: int) -> Sequence[str]:
        self.claims.append((self.clock.now(), limit))
        await asyncio.sleep(0)
        self._fail("claim")
        taken = [job for job, due_at in self.due.items() if due_at <= self.clock.now()][:limit]
        for job in taken:
            del self.due[job]
        return taken

    async def next_due(self, until: datetime) -> datetime | None:
        await asyncio.sleep(0)
        self._fail("next_due")
        return min((due_at for due_at in self.due.values() if due_at <= until), default=None)

    async def run(self, job: str) -> None:
        self.running.add(job)
        self.most = max(self.most, len(self.running))
        try:
            await asyncio.sleep(0)
            if job in self.gates:
                await self.gates[job].wait()
            if job in self.errors:
                raise self.errors[job]
            self.done.append((job, self.clock.now()))
        finally:
            self.running.discard(job)

    async def measure(self) -> None:
        self.measured.append(self.clock.now())
        await asyncio.sleep(0)
        self._fail("measure")

    def _fail(self, call: str) -> None:
        if error := self.fails.get(call):
            raise error

    @property
    def names(self) -> list[str]:
        """The names of the finished jobs, sorted."""
        return sorted(job for job, _ in self.done)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def jobs(clock: SteppedClock) -> Jobs:
    return Jobs(clock)


@asynccontextmanager
async def at_work(jobs: Jobs, loops: int = LOOPS, longest_rest: timedelta = LONGEST_REST) -> AsyncIterator[Worker[str]]:
    """A worker from start to close, after its first round."""
    worker = Worker(jobs, a_runtime(jobs.clock), loops, longest_rest)
    worker.start()
    try:
        await let_tasks_run()
        yield worker
    finally:
        async with asyncio.timeout(5):
            await worker.close()


# -- how much it takes -------------------------------------------------------------------------------------------------


async def test_no_more_is_claimed_than_there_are_free_loops(jobs: Jobs) -> None:
    jobs.slow("a", "b", "c", "d", "e")
    async with at_work(jobs, loops=3):
        assert jobs.running == {"a", "b", "c"}
        assert [limit for _, limit in jobs.claims] == [3]
        jobs.gates["b"].set()
        await let_tasks_run()
        assert jobs.running == {"a", "c", "d"}
        assert [limit for _, limit in jobs.claims] == [3, 1]
        for gate in jobs.gates.values():
            gate.set()
        await let_tasks_run()
        assert jobs.names == ["a", "b", "c", "d", "e"]
    assert jobs.most == 3
    assert max(limit for _, limit in jobs.claims) == 3


async def test_while_no_loop_is_free_nothing_is_claimed(jobs: Jobs, clock: SteppedClock) -> None:
    jobs.slow("a", "b")
    jobs.add("c")
    async with at_work(jobs, loops=2) as worker:
        claims = len(jobs.claims)
        for _ in range(10):
            worker.wake()
            await clock.run(60)
        assert len(jobs.claims) == claims
        jobs.gates["a"].set()
        await let_tasks_run()
        assert jobs.names == ["a", "c"]


async def test_a9_sixteen_jobs_run_at_once(jobs: Jobs) -> None:
    jobs.slow(*[f"job-{i:02}" for i in range(40)])
    async with at_work(jobs):
        assert (len(jobs.running), LOOPS) == (16, 16)
        for gate in jobs.gates.values():
            gate.set()
        await let_tasks_run()
        assert len(jobs.done) == 40
    assert jobs.most == 16


async def test_a_slow_call_holds_up_nothing_else(jobs: Jobs, clock: SteppedClock) -> None:
    jobs.slow(*[f"slow-{i:02}" for i in range(LOOPS - 1)])
    jobs.add(*[f"quick-{i:03}" for i in range(200)])
    async with at_work(jobs) as worker:
        for _ in range(5):
            await let_tasks_run()
        assert jobs.names == [f"quick-{i:03}" for i in range(200)]
        assert len(jobs.running) == LOOPS - 1
        jobs.add("later", in_s=5)
        worker.wake()
        await clock.run(5)
        assert jobs.done[-1] == ("later", clock.now())


async def test_a_job_that_ends_makes_room_for_the_next_without_any_time_passing(
    jobs: Jobs, clock: SteppedClock
) -> None:
    jobs.add(*[f"job-{i:03}" for i in range(100)])
    async with at_work(jobs, loops=1):
        await let_tasks_run()
        await let_tasks_run()
        assert {at for _, at in jobs.done} == {clock.now()}
        assert len(jobs.done) == 100


# -- when it wakes -----------------------------------------------------------------------------------------------------


async def test_news_wakes_it_at_once(jobs: Jobs, clock: SteppedClock) -> None:
    async with at_work(jobs) as worker:
        jobs.add("a")
        await let_tasks_run()
        assert jobs.done == []  # the worker was not notified
        worker.wake()
        await let_tasks_run()
        assert jobs.done == [("a", clock.now())]


async def test_a_date_that_it_is_told_of_while_it_rests_is_slept_until(jobs: Jobs, clock: SteppedClock) -> None:
    async with at_work(jobs, longest_rest=timedelta(minutes=1)) as worker:
        claims = len(jobs.claims)
        for in_s in (50, 20, 30):
            jobs.add(f"in {in_s}", in_s=in_s)
            worker.wake(jobs.due[f"in {in_s}"])
        await clock.run(19)
        assert len(jobs.claims) == claims  # until then there is nothing to do
        await clock.run(1)
        assert jobs.done == [("in 20", clock.now())]


async def test_news_that_comes_while_it_looks_is_not_lost(jobs: Jobs, clock: SteppedClock) -> None:
    class Meanwhile(Jobs):
        async def next_due(self, until: datetime) -> datetime | None:
            found = await super().next_due(until)
            if len(self.claims) == 2:  # just after the look, somebody places an order
                self.add("a")
                worker.wake()
            return found

    work = Meanwhile(clock)
    async with at_work(work) as worker:
        worker.wake()
        await let_tasks_run()
        assert work.done == [("a", clock.now())]


async def test_it_wakes_when_the_next_job_comes_due_and_not_before(jobs: Jobs, clock: SteppedClock) -> None:
    start = clock.now()
    jobs.add("a", in_s=7)
    jobs.add("b", in_s=9.5)
    async with at_work(jobs):
        await clock.run(12)
        assert jobs.done == [("a", start + timedelta(seconds=7)), ("b", start + timedelta(seconds=9.5))]
        looks = sorted({(at - start).total_seconds() for at, _ in jobs.claims})
        assert looks == [0, 7, 9.5]


async def test_a_clock_that_is_set_wakes_it(jobs: Jobs, clock: SteppedClock) -> None:
    jobs.add("a", in_s=3600)
    async with at_work(jobs):
        claims = len(jobs.claims)
        await clock.set_ahead(1800)
        assert len(jobs.claims) == claims + 1
        await clock.set_ahead(1800)
        assert jobs.done == [("a", clock.now())]


async def test_what_another_process_leaves_is_found_within_the_longest_rest(jobs: Jobs, clock: SteppedClock) -> None:
    async with at_work(jobs):
        await clock.run(1)
        jobs.add("a")
        await clock.run(REST_S - 1.001)
        assert jobs.done == []
        await clock.run(0.001)
        assert jobs.names == ["a"]


@pytest.mark.parametrize("rest_s", [5.0, REST_S, 60.0])
async def test_it_does_not_poll_while_idle(jobs: Jobs, clock: SteppedClock, rest_s: float) -> None:
    async with at_work(jobs, longest_rest=timedelta(seconds=rest_s)):
        await clock.run(3600)
        assert len(jobs.claims) == 1 + 3600 / rest_s


async def test_a_job_that_runs_for_long_does_not_make_it_poll(jobs: Jobs, clock: SteppedClock) -> None:
    jobs.slow("a")
    async with at_work(jobs):
        await clock.run(600)
        assert len(jobs.claims) == 1 + 600 / REST_S


# -- what it survives --------------------------------------------------------------------------------------------------

ERRORS = [StoreUnavailable(), NotSent("query"), ValueError("no such value"), KeyError("rev")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("call", ["claim", "next_due"])
async def test_it_rests_after_a_failure_and_goes_on(
    jobs: Jobs, clock: SteppedClock, call: str, error: Exception
) -> None:
    jobs.fails[call] = error
    with capture_logs() as logs:
        async with at_work(jobs):
            await clock.run(10 * PAUSE_S)
            assert len(jobs.claims) == 11  # one claim after each rest
            del jobs.fails[call]
            jobs.add("a")
            await clock.run(PAUSE_S)
            assert jobs.names == ["a"]
    event = "worker_waits" if isinstance(error, FenpayError) else "worker_crashed"
    assert [line["event"] for line in logs] == [event] * 11


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_metrics_that_cannot_be_renewed_hold_up_work_for_a_rest_at_most(
    jobs: Jobs, clock: SteppedClock, error: Exception
) -> None:
    start = clock.now()
    jobs.fails["measure"] = error
    jobs.add("a")
    async with at_work(jobs):
        await clock.run(PAUSE_S)
        assert jobs.done == [("a", start + FAILURE_REST)]
        await clock.run(60)
        assert len(jobs.measured) <= 1 + (60 + PAUSE_S) / MEASURE_S


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_a_job_that_fails_frees_its_loop_and_disturbs_no_other(jobs: Jobs, error: Exception) -> None:
    names = [f"job-{i}" for i in range(6)]
    jobs.add(*names)
    jobs.errors = {"job-0": error, "job-3": error}
    with capture_logs() as logs:
        async with at_work(jobs, loops=2):
            assert jobs.names == ["job-1", "job-2", "job-4", "job-5"]
            jobs.slow("x", "y")
            jobs.add("z")
    event = "job_failed" if isinstance(error, FenpayError) else "job_crashed"
    assert [line["event"] for line in logs] == [event] * 2


# -- how it ends -------------------------------------------------------------------------------------------------------


async def test_close_ends_running_jobs_and_claims_nothing_more(jobs: Jobs, clock: SteppedClock) -> None:
    jobs.slow("a", "b", "c")
    async with at_work(jobs, loops=2) as worker:
        assert jobs.running == {"a", "b"}
        await worker.close()
        assert jobs.running == set()
        claims = len(jobs.claims)
        worker.wake()
        await clock.run(600)
        assert (jobs.done, len(jobs.claims)) == ([], claims)


async def test_close_ends_a_worker_that_rests_and_one_that_was_never_started(jobs: Jobs) -> None:
    async with asyncio.timeout(5):
        async with at_work(jobs):
            assert len(jobs.claims) == 1
        await Worker(jobs, a_runtime(jobs.clock)).close()


async def test_close_ends_a_job_that_takes_its_cancellation_for_a_failure(jobs: Jobs, clock: SteppedClock) -> None:
    """PyMongo's async client may do that to whoever waits for it."""

    class Stubborn(Jobs):
        swallowed = 0

        async def run(self, job: str) -> None:
            self.running.add(job)
            while self.swallowed < 2:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.swallowed += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.running.discard(job)

    work = Stubborn(clock)
    work.add("a")
    async with at_work(work) as worker:
        assert work.running == {"a"}
        async with asyncio.timeout(5):
            await worker.close()
        assert (work.running, work.swallowed) == (set(), 2)


async def test_close_ends_a_loop_that_takes_its_cancellation_for_a_failure(jobs: Jobs, clock: SteppedClock) -> None:
    class Stubborn(Jobs):
        async def claim(self, limit: int) -> Sequence[str]:
            self.claims.append((self.clock.now(), limit))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if len(self.claims) == 1:
                    raise StoreUnavailable from None
                raise
            return []

    work = Stubborn(clock)
    async with at_work(work) as worker:
        async with asyncio.timeout(5):
            await worker.close()
        claims = len(work.claims)
        await clock.run(60)
        assert len(work.claims) == claims


# -- metrics -----------------------------------------------------------------------------------------------------------


async def test_metrics_are_renewed_now_and_then_while_it_is_idle(jobs: Jobs, clock: SteppedClock) -> None:
    start = clock.now()
    async with at_work(jobs):
        assert jobs.measured == [start]
        await clock.run(600)
    assert len(jobs.measured) == 1 + 600 / MEASURE_S


async def test_metrics_are_renewed_as_often_while_it_is_busy(jobs: Jobs, clock: SteppedClock) -> None:
    async with at_work(jobs, loops=1) as worker:
        for _ in range(120):
            jobs.add(*[f"job-{i}" for i in range(5)])
            worker.wake()
            await clock.run(1)
        assert len(jobs.done) == 600
    assert len(jobs.measured) == 120 / MEASURE_S


# -- a round by hand ---------------------------------------------------------------------------------------------------


async def test_once_does_what_is_due_now_and_says_whether_there_was_anything(jobs: Jobs, clock: SteppedClock) -> None:
    worker = Worker(jobs, a_runtime(clock), 3)
    jobs.add("a", "b", "c", "d")
    jobs.add("later", in_s=1)
    assert await worker.once()
    assert jobs.names == ["a", "b", "c"]
    assert await worker.once()
    assert not await worker.once()
    assert jobs.names == ["a", "b", "c", "d"]


async def test_once_survives_a_job_that_fails_and_tells_of_a_store_that_does_not_answer(jobs: Jobs) -> None:
    worker = Worker(jobs, a_runtime(jobs.clock))
    jobs.add("a", "b", "c")
    jobs.errors = {"a": NotSent("query"), "b": ValueError("no such value")}
    assert await worker.once()
    assert jobs.names == ["c"]
    jobs.fails["claim"] = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await worker.once()
