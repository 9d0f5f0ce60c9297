"""An event loop in virtual time. Which of the tasks that are ready runs next is drawn from a seed.

Time moves only when nothing is ready, and then straight to the next timer. There are no sockets and no threads: what
asks for one fails. When nothing is ready and no timer is set, everybody waits for somebody else for ever.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from typing import Any


class Deadlock(Exception):
    """Nothing can run any more, although somebody waits."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """``steps`` counts what has run; ``most_steps`` is when to give up."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, chance: random.Random, most_steps: int) -> None:
        super().__init__()
        self._chance = chance
        self._time = 0.0
        self._most_steps = most_steps
        self.steps = 0

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._time

    def _run_once(self) -> None:
        """Run one ready callback, drawn by chance; ``BaseEventLoop`` calls this for ever."""
        self._advance()
        self.steps += 1
        if self.steps > self._most_steps:
            raise Deadlock(f"no end after {self._most_steps} steps")
        ready = self._ready
        chosen = int(self._chance.random() * len(ready))
        ready[0], ready[chosen] = ready[chosen], ready[0]
        handle = ready.popleft()
        if not handle.cancelled():
            handle._run()

    def _advance(self) -> None:
        """Make ready what is due; where nothing is ready, move to the next timer."""
        scheduled = self._scheduled
        while scheduled and (scheduled[0].cancelled() or scheduled[0].when() <= self._time or not self._ready):
            timer = heapq.heappop(scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            if not timer.cancelled():
                self._time = max(self._time, timer.when())
                self._ready.append(timer)
        if not self._ready:
            raise Deadlock("nothing is ready and no timer is set")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when their time comes."""

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        raise RuntimeError("there are no threads here")

    def run_in_executor(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        raise RuntimeError("there are no threads here")

    def _write_to_self(self) -> None:
        """Nobody has to be woken."""

    def _process_events(self, event_list: Any) -> None:
        """There is no selector."""
