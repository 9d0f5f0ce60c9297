"""Simulated time: it runs ``speed`` times as fast as the wall clock and can be moved ahead, never back.

It decides the lifetimes of tokens, codes, prepay_ids and orders, when a notification is due and when a bill is
available. Signatures are dated by the wall clock; otherwise a service with the right time would refuse every message
after an advance. The dates in messages and bills (success_time, time_end, a bill's day) come from the calendar: the
wall clock's, or the simulated one for services that follow this clock.

Moments are unix seconds as float: they are added, compared and logged, and become text only on the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

FOLLOW_S = 8.0
HEARD_S = 1.0


class Calendar(StrEnum):
    """The clock that dates messages and bills."""

    WALL = "wall"
    SIMULATED = "simulated"


class Clock:
    """A clock that starts ``ahead_s`` seconds ahead of the wall clock."""

    def __init__(self, speed: float = 1.0, ahead_s: float = 0.0, calendar: Calendar = Calendar.WALL) -> None:
        self.on_change: list[Callable[[], None]] = []
        self.calendar = calendar
        self._speed = speed
        self._from_wall_s = time.time()
        self._from_s = self._from_wall_s + ahead_s

    @property
    def speed(self) -> float:
        return self._speed

    def now_s(self) -> float:
        """Return the simulated moment."""
        return self._from_s + (time.time() - self._from_wall_s) * self._speed

    def calendar_s(self) -> float:
        """Return the current moment as messages and bills date it."""
        return self.calendar_of(self.now_s())

    def calendar_of(self, simulated_s: float) -> float:
        """Return the date of an event that was due at a simulated moment and is noticed now."""
        return simulated_s if self.calendar is Calendar.SIMULATED else time.time()

    def run_at(self, speed: float) -> None:
        """Run from now on at ``speed`` simulated seconds per second. Raises ValueError unless positive."""
        if not 0 < speed <= 1_000_000:
            raise ValueError("speed is a number above 0, at most 1000000")
        self._restart(0.0)
        self._speed = speed
        self._notify_watchers()

    def advance(self, seconds: float) -> None:
        """Move ahead. Raises ValueError for a negative number."""
        if not 0 <= seconds <= 10 * 365 * 86400:
            raise ValueError("advance_s is a number of seconds, 0 or more")
        self._restart(seconds)
        self._notify_watchers()

    def wait_s(self, due_s: float) -> float:
        """Return the real seconds until the simulated moment ``due_s``."""
        return max(0.0, (due_s - self.now_s()) / self._speed)

    def _restart(self, ahead_s: float) -> None:
        now_s = self.now_s()
        self._from_wall_s = time.time()
        self._from_s = now_s + ahead_s

    def _notify_watchers(self) -> None:
        for tell in self.on_change:
            tell()


class Followers:
    """Services that follow this clock. Each has a long poll open, which a change answers at once."""

    def __init__(self, clock: Clock) -> None:
        self.version = time.time_ns() // 1_000_000  # differs from all versions of earlier processes
        self._asking = 0
        self._behind = 0
        self._news = asyncio.Event()
        self._heard = asyncio.Event()
        clock.on_change.append(self._announce)

    async def wait(self, seen: int) -> None:
        """Wait until the version differs from ``seen``, or until the long poll ends."""
        if seen != self.version:
            return
        self._caught_up()
        self._asking += 1
        try:
            await wait(self._news, FOLLOW_S)
        finally:
            self._asking -= 1

    async def wait_for_followers(self) -> None:
        """Wait until all followers have received the latest change, or until a time limit."""
        if self._behind:
            await wait(self._heard, HEARD_S)

    def _announce(self) -> None:
        self.version += 1
        self._behind = self._asking
        self._heard.clear()
        self._news.set()
        self._news = asyncio.Event()

    def _caught_up(self) -> None:
        self._behind = max(0, self._behind - 1)
        if not self._behind:
            self._heard.set()


async def wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for ``event`` or ``seconds``, whichever comes first."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for of 3.11 can lose a cancellation
            await event.wait()


def moment(unix_s: float) -> datetime:
    """Return ``unix_s`` as the aware datetime that wechat.domain.times prints."""
    return datetime.fromtimestamp(unix_s, UTC)
