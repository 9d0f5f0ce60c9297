"""The processes of the service over one database; a dead one is replaced after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from proof.faults import Fault
from proof.service.process import Environment, ServiceProcess

T = TypeVar("T")

CLIENT_S = 30.0
"""How long an HTTP client waits for an answer."""
STEP_S = 60.0
"""The average time between two occasions for a clock to leap."""
AWAY_S = (1, 30, 600)
"""Seconds until a dead process is replaced."""
LEAPS_H, LEAPS_BACK_H = (1.0, 7.0), (-1.0, -0.05)
LEAPS_BACK = 0.25
"""The share of leaps that set a clock back."""
MOST_OCCASIONS = 1440
"""The number of occasions that are drawn in advance."""


class NoAnswer(Exception):
    """A process did not answer in time: it has died, or is very slow."""


class Cluster:
    """Processes in slots: a dead one is replaced in its slot, unless it is gone for good."""

    def __init__(self, size: int, environment: Environment) -> None:
        self._environment = environment
        self._trace = environment.trace
        self._stream = environment.chance.stream("cluster")
        self._calls = environment.chance.stream("calls")
        self._faults = environment.faults.of("", "cluster")
        self._departures = environment.faults.of("", "departures")
        self._gone: set[int] = set()
        self._occurrences = environment.faults.occurrences
        self._started = 0
        self._dead: list[ServiceProcess] = []  # kept, with the calls that wait in them for ever
        self._processes = [self._start(slot) for slot in range(size)]

    async def call(self, work: Callable[[ServiceProcess], Coroutine[Any, Any, T]]) -> T:
        """Call any process that is not gone, as an HTTP client does. Raises NoAnswer, and what ``work`` raises."""
        process = self._calls.choice([each for slot, each in enumerate(self._processes) if slot not in self._gone])
        try:
            async with asyncio.timeout(CLIENT_S):
                await process.state.block_if_dead()
                answer = await process.call(work(process))
                await process.state.block_if_dead()  # a process that died meanwhile has not answered
                return answer
        except TimeoutError:
            raise NoAnswer from None

    async def inject_faults(self) -> None:
        """Make clocks leap at times, without end."""
        while True:
            pause_s, slot = self._next_leap()
            await asyncio.sleep(pause_s)
            if slot is None or not self._processes[slot].state.alive:
                continue
            name = f"process {slot + 1}"
            self._occurrences.note(name, Fault.CLOCK_LEAPS, lasts=True)
            hours = LEAPS_BACK_H if self._stream.random() < LEAPS_BACK else LEAPS_H
            by = timedelta(hours=self._stream.uniform(*hours))
            self._trace.add(name, "clock leaps", str(by))
            self._processes[slot].leap(by)
            self._environment.official_account.note_process()

    def _next_leap(self) -> tuple[float, int | None]:
        """Return the seconds until the next leap of a clock, and its slot; None: draw again then. Occasions without a
        leap take no time to simulate."""
        for occasion in range(MOST_OCCASIONS):
            if self._faults.comes(Fault.CLOCK_LEAPS):
                pause_s = STEP_S * (occasion + self._stream.uniform(0.1, 1.9))
                return pause_s, self._stream.randrange(len(self._processes))
        return MOST_OCCASIONS * STEP_S, None

    @property
    def processes(self) -> Sequence[ServiceProcess]:
        """The running processes."""
        return self._processes

    def replace_all(self) -> None:
        """Replace every process, so that all are alive and have the right time."""
        self._gone.clear()
        for slot in range(len(self._processes)):
            self._kill(slot)
            self._processes[slot] = self._start(slot)

    def replace_gone(self) -> None:
        """Replace the processes that are gone."""
        for slot in sorted(self._gone):
            self._replace(slot)
        self._gone.clear()

    def _start(self, slot: int) -> ServiceProcess:
        self._started += 1
        process = ServiceProcess(slot, self._started, self._environment)
        process.state.on_death = partial(self._die, slot)
        return process

    def _die(self, slot: int) -> None:
        """End the process in a slot; another replaces it after a while, or never if one of the others is left."""
        self._kill(slot)
        if len(self._gone) + 1 < len(self._processes) and self._departures.comes(Fault.PROCESS_GONE):
            self._gone.add(slot)
            self._occurrences.note(f"process {slot + 1}", Fault.PROCESS_GONE)
            return
        asyncio.get_running_loop().call_later(self._stream.choice(AWAY_S), self._replace, slot)

    def _replace(self, slot: int) -> None:
        """Start a process in the slot of a dead one, unless it was replaced already."""
        if not self._processes[slot].state.alive:
            self._processes[slot] = self._start(slot)
            self._trace.add(f"process {slot + 1}", "starts")

    def _kill(self, slot: int) -> None:
        process = self._processes[slot]
        if not process.state.alive:
            return
        process.state.alive = False
        self._environment.official_account.note_process()
        self._dead.append(process)
        asyncio.get_running_loop().create_task(process.close())
        self._trace.add(f"process {slot + 1}", "dies")
