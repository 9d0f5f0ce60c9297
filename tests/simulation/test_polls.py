"""Polls that would find nothing are skipped; what is due is found as soon as by the service's own polls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from proof.faults import Faults
from proof.runtime.chance import Chance, SeededRandom
from proof.runtime.loop import SimulatedLoop
from proof.runtime.ports import InlineThreads, ProcessState, SimulatedClock, TracedTelemetry
from proof.runtime.trace import Trace
from proof.service.polls import Polls, subject_of
from storage.memory.storage import MemoryDatabase
from storage.stores.all import ORDERS
from wechat.domain.ports import Runtime
from wechat.orders.worker import OrderWork
from wechat.support.worker import LONGEST_REST, Worker

MINUTE = timedelta(minutes=1)


class Looks(OrderWork):
    """Order work that writes down when it looks, and finds nothing to do."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self.at: list[datetime] = []

    async def claim(self, limit: int) -> Sequence[Any]:
        self.at.append(self._clock.now())
        return ()

    async def next_due(self, until: datetime) -> datetime | None:
        return None

    async def measure(self) -> None:
        """There are no metrics."""


async def _look(
    loop: SimulatedLoop, dates: Sequence[timedelta], ahead: timedelta = timedelta(0), leap: timedelta | None = None
) -> tuple[datetime, list[timedelta]]:
    """Run a worker for ten minutes after another process wrote documents that are due at ``dates``.

    Return the start, and the times since then at which the worker looked for work. ``ahead`` is by how much the
    worker's clock is ahead; ``leap`` moves that clock once, after the writes.
    """
    clock, truth = SimulatedClock(loop, ahead), SimulatedClock(loop)
    database = MemoryDatabase(truth)
    state = ProcessState("x", Trace(loop))
    threads, telemetry = InlineThreads(state, Faults(Chance(1))), TracedTelemetry(state, clock, [])
    runtime = Runtime(clock, SeededRandom(random.Random(1)), telemetry, threads)
    work, polls = Looks(clock), Polls(database)
    worker: Worker[Any] = Worker(work, runtime, 1, timedelta(days=1), LONGEST_REST)
    worker.start()
    own = polls.of_process(clock, [worker], random.Random(1))
    await asyncio.sleep(1)
    start = truth.now()
    for number, after in enumerate(dates):
        database[ORDERS].poke({"_id": str(number), "rev": 1, "writes": [], "due_at": start + after})
        polls.on_write(ORDERS)
    if leap:
        clock.leap(leap)
        own.look()
    await asyncio.sleep(600)
    await worker.close()
    own.close()
    return start, [at - ahead - start for at in work.at]


def look(dates: Sequence[timedelta], ahead: timedelta = timedelta(0), leap: timedelta | None = None) -> list[timedelta]:
    loop = SimulatedLoop(random.Random(1), 100_000)
    try:
        return loop.run_until_complete(_look(loop, dates, ahead, leap))[1]
    finally:
        loop.close()


def test_a_worker_at_rest_sleeps_while_nothing_is_due() -> None:
    assert len(look([])) == 1


def test_it_wakes_at_a_date_that_another_process_has_written() -> None:
    _, second, *_ = look([2 * MINUTE])
    assert second == 2 * MINUTE


def test_what_is_due_at_once_is_found_by_the_next_poll() -> None:
    _, second, *_ = look([timedelta(0)])
    assert timedelta(0) <= second <= LONGEST_REST


def test_while_it_stays_due_it_is_polled_for_as_often_as_in_the_service() -> None:
    first, *_, last = found = look([2 * MINUTE])
    pauses = {later - earlier for earlier, later in pairwise(found[1:])}
    assert pauses == {LONGEST_REST}
    assert first < 2 * MINUTE
    assert last > 9 * MINUTE


def test_a_date_is_read_by_the_clock_of_the_process() -> None:
    _, second, *_ = look([2 * MINUTE], ahead=MINUTE)
    assert second == MINUTE


def test_a_clock_that_leaps_brings_dates_nearer() -> None:
    _, second, *_ = look([5 * MINUTE], leap=4 * MINUTE)
    assert second - 4 * MINUTE <= MINUTE


def test_work_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="looks for"):
        subject_of(object())
