"""The runtime of a simulated process: its clock, its threads, its alarms, and its state."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from proof.checks.alarms import Alarm
from proof.faults import Fault, Faults
from proof.runtime.trace import Trace
from wechat.domain.metrics import Metric
from wechat.domain.news import NewsKind, NewsValue

T = TypeVar("T")

START = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
"""Noon in Beijing."""
THREAD_S = 0.01
STALL_S = 1800.0


class SimulatedClock:
    """``Clock`` of one process: the loop's time plus ``offset``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, offset: timedelta = timedelta(0)) -> None:
        self._loop = loop
        self._offset_s = offset.total_seconds()
        self._version = 0
        self._sleepers: list[asyncio.Future[None]] = []
        self._asked_at_s = -1.0
        self._now = START

    @property
    def offset(self) -> timedelta:
        """The difference from a clock that showed ``START`` in the beginning."""
        return timedelta(seconds=self._offset_s)

    def now(self) -> datetime:
        """Return the time to the millisecond; one object for all callers at the same time."""
        at_s = self._loop.time()
        if at_s != self._asked_at_s:
            self._now = START + timedelta(milliseconds=int((self._offset_s + at_s) * 1000))
            self._asked_at_s = at_s
        return self._now

    def monotonic(self) -> float:
        return self._loop.time()

    @property
    def version(self) -> int:
        return self._version

    def leap(self, by: timedelta) -> None:
        """Set the clock ahead, or back if ``by`` is negative."""
        self._offset_s += by.total_seconds()
        self._asked_at_s = -1.0
        self._version += 1
        for over in self._sleepers:
            _end(over)

    async def sleep_until(self, moment: datetime, version: int) -> None:
        if self._version == version:
            over = self._loop.create_future()
            timer = self._loop.call_later(max(0.0, (moment - self.now()).total_seconds()), _end, over)
            self._sleepers.append(over)
            try:
                await over
            finally:
                timer.cancel()
                self._sleepers.remove(over)


def _end(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


@dataclass(slots=True)
class ProcessState:
    """Whether a process is alive. ``blocked`` are the calls that wait for ever since it died; ``trouble_s`` is when the
    network or the store last failed it. ``on_death`` is called when a fault ends it."""

    name: str
    trace: Trace
    alive: bool = True
    blocked: list[asyncio.Future[None]] = field(default_factory=list)
    trouble_s: float = -math.inf
    on_death: Callable[[], None] = lambda: None

    def note_trouble(self) -> None:
        """Record that the network or the store fails the process now."""
        self.trouble_s = asyncio.get_running_loop().time()

    def may_die(self, faults: Faults) -> None:
        """End the process here if the fault happens."""
        if self.alive and faults.happens(Fault.PROCESS_DIES):
            self.on_death()

    async def reach_await(self, faults: Faults) -> None:
        """Go on at an await, at which the process may die: a dead one waits here for ever."""
        self.may_die(faults)
        if not self.alive:
            await self.block_if_dead()

    async def block_if_dead(self) -> None:
        """Return while the process is alive; a call of a dead one waits here for ever."""
        if not self.alive:
            self.blocked.append(asyncio.get_running_loop().create_future())
            await self.blocked[-1]


class InlineThreads:
    """``Threads`` that does the work at once, and returns a moment later, in which a process may die."""

    def __init__(self, state: ProcessState, faults: Faults) -> None:
        self._state = state
        self._faults = faults

    async def run(self, work: Callable[[], T]) -> T:
        await asyncio.sleep(STALL_S if self._faults.happens(Fault.PROCESS_STALLS) else THREAD_S)
        await self._state.reach_await(self._faults)
        result = work()
        await self._state.reach_await(self._faults)
        return result


class TracedTelemetry:
    """``Telemetry`` that keeps alarms and writes them to the trace."""

    def __init__(self, state: ProcessState, clock: SimulatedClock, alarms: list[Alarm]) -> None:
        self._state = state
        self._clock = clock
        self._alarms = alarms

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Do nothing."""

    def measure(self, metric: Metric, value: float, *labels: str) -> None:
        """Do nothing."""

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Do nothing."""

    def alarm(self, kind: str, out_trade_no: str = "", *, subject: str = "", error: str = "") -> None:
        state = self._state
        if state.alive:
            at_s = asyncio.get_running_loop().time()
            self._alarms.append(Alarm(kind, out_trade_no, subject, at_s, self._clock.now(), at_s - state.trouble_s))
            state.trace.add(state.name, "alarm", f"{kind} {subject} {error}".strip(), out_trade_no)

    @property
    def watched(self) -> bool:
        return False

    def publish(self, kind: NewsKind, out_trade_no: str, data: Mapping[str, NewsValue]) -> None:
        """Do nothing."""
