"""The processes of the service over one database; one that dies is replaced after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from proof.chance import Chance
from proof.faults import Fault, Faults
from proof.merchant import Account
from proof.process import Life, ServiceProcess, SimulatedClock
from proof.trace import Trace
from storage.memory.storage import MemoryDatabase
from wechat.events.targets import Target
from wechat.refunds.late_payments import LatePolicy

T = TypeVar("T")

CLIENT_S = 30.0
"""How long an HTTP client waits for an answer."""
STEP_S = 60.0
"""Between two chances of a process to die or of its clock to leap."""
LEAPS_H = (1.0, 7.0)


class NoAnswer(Exception):
    """A process did not answer in time: it has died, or is very slow."""


class Cluster:
    """``alarms`` are those of all processes, in order."""

    def __init__(
        self,
        size: int,
        database: MemoryDatabase,
        account: Account,
        target: Target,
        faults: Faults,
        chance: Chance,
        true_clock: SimulatedClock,
        trace: Trace,
        written: Callable[[str, str], None],
        policy: LatePolicy,
    ) -> None:
        self.alarms: list[tuple[str, str]] = []
        self._faults = faults
        self._trace = trace
        self._stream = chance.stream("cluster")
        self._births = 0
        self._dead: list[Life] = []  # kept, with whatever waits in them for ever

        def start(slot: int) -> ServiceProcess:
            self._births += 1
            life = Life(f"process {slot + 1}", trace, self.alarms)
            return ServiceProcess(
                f"process {self._births}", database, account, target, faults, chance, true_clock, life, written, policy
            )

        self._start = start
        self._processes = [start(slot) for slot in range(size)]

    async def call(self, work: Callable[[ServiceProcess], Coroutine[Any, Any, T]]) -> T:
        """Ask any process, as a client over HTTP does. Raises NoAnswer, and what ``work`` raises."""
        process = self._stream.choice(self._processes)
        try:
            async with asyncio.timeout(CLIENT_S):
                await process.life.must_go_on()
                answer = await process.call(work(process))
                await process.life.must_go_on()  # a process that died meanwhile has not answered
                return answer
        except TimeoutError:
            raise NoAnswer from None

    async def live(self) -> None:
        """Let processes die and clocks leap, for ever."""
        while True:
            await asyncio.sleep(STEP_S * self._stream.uniform(0.1, 1.9))
            slot = self._stream.randrange(len(self._processes))
            if self._faults.strikes(Fault.PROCESS_DIES):
                self._kill(slot)
                await asyncio.sleep(self._stream.choice([1, 30, 600]))
                self._processes[slot] = self._start(slot)
                self._trace.add(f"process {slot + 1}", "starts")
            if self._faults.strikes(Fault.CLOCK_LEAPS):
                by = timedelta(hours=self._stream.uniform(*LEAPS_H))
                self._trace.add(f"process {slot + 1}", "clock leaps", str(by))
                self._processes[slot].clock.leap(by)

    def revive(self) -> None:
        """Replace the dead, and give everybody the right time."""
        for slot in range(len(self._processes)):
            self._kill(slot)
            self._processes[slot] = self._start(slot)

    def _kill(self, slot: int) -> None:
        process = self._processes[slot]
        process.life.alive = False
        self._dead.append(process.life)
        asyncio.get_running_loop().create_task(process.close())
        self._trace.add(f"process {slot + 1}", "dies")
