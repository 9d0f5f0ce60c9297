"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class ManualClock:
    """``Clock`` for tests."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._passed_s = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._passed_s

    @property
    def version(self) -> int:
        return 0

    async def sleep_until(self, moment: datetime, version: int) -> None:
        await asyncio.sleep(max(0.0, (moment - self._now).total_seconds()))

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._passed_s += seconds

    def step(self, seconds: float) -> None:
        """Set the clock ahead or back; no time passes."""
        self._now += timedelta(seconds=seconds)
