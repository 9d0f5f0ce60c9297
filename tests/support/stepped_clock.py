"""A clock that wakes sleepers when a test moves it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from tests.support.clock import ManualClock

TURNS = 300
"""Turns of the event loop in which work over memory comes to its end."""


class SteppedClock(ManualClock):
    """``ManualClock`` whose time passes date by date: at each date, all work that follows is done before the next."""

    def __init__(self) -> None:
        super().__init__()
        self._version = 0
        self._moved = asyncio.Event()
        self._sleepers: dict[object, datetime] = {}

    @property
    def version(self) -> int:
        return self._version

    async def sleep_until(self, moment: datetime, version: int) -> None:
        sleeper = object()
        self._sleepers[sleeper] = moment
        try:
            while self.now() < moment and self._version == version:
                await self._moved.wait()
        finally:
            del self._sleepers[sleeper]

    async def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now() + timedelta(seconds=seconds)
        await let_tasks_run()
        while (wakes_at := min(self._sleepers.values(), default=end)) < end:
            await self._move_to(wakes_at)
        await self._move_to(end)

    async def set_ahead(self, seconds: float) -> None:
        """Set the clock, as an operator of a simulation does: all sleepers check again."""
        self._version += 1
        await self._move_to(self.now() + timedelta(seconds=seconds))

    async def _move_to(self, moment: datetime) -> None:
        self.advance(max(0.0, (moment - self.now()).total_seconds()))
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        await let_tasks_run()


async def let_tasks_run() -> None:
    """Run all tasks that need no time."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
