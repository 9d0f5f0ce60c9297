"""Simulated time: it runs ``speed`` times as fast as the wall clock and can be pushed ahead, never back.

It decides how long tokens, codes, prepay_ids and orders live and when a notification is due. What the merchant reads
or checks (signature timestamps, success_time, time_end) is wall-clock time, or a service whose own clock is right
would refuse everything after an advance.

Moments are unix seconds as float: they are added, compared and logged, and become text only on the wire.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """Starts ``ahead_s`` seconds ahead of the wall clock."""

    def __init__(self, speed: float = 1.0, ahead_s: float = 0.0) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._speed = speed
        self._from_wall_s = time.time()
        self._from_s = self._from_wall_s + ahead_s

    @property
    def speed(self) -> float:
        return self._speed

    def now_s(self) -> float:
        """The simulated moment."""
        return self._from_s + (time.time() - self._from_wall_s) * self._speed

    def set_speed(self, speed: float) -> None:
        """Go on from the present moment at ``speed`` simulated seconds a second. Raises ValueError unless positive."""
        if not 0 < speed <= 1_000_000:
            raise ValueError("speed is a number above 0, at most 1000000")
        self._restart(0.0)
        self._speed = speed
        self.on_change()

    def advance(self, seconds: float) -> None:
        """Jump ahead. Raises ValueError for a negative number."""
        if not 0 <= seconds <= 10 * 365 * 86400:
            raise ValueError("advance_s is a number of seconds, 0 or more")
        self._restart(seconds)
        self.on_change()

    def wait_s(self, due_s: float) -> float:
        """Real seconds until the simulated moment ``due_s``."""
        return max(0.0, (due_s - self.now_s()) / self._speed)

    def _restart(self, ahead_s: float) -> None:
        now_s = self.now_s()
        self._from_wall_s = time.time()
        self._from_s = now_s + ahead_s


def moment(unix_s: float) -> datetime:
    """``unix_s`` as the aware datetime that wechat.times prints."""
    return datetime.fromtimestamp(unix_s, UTC)
