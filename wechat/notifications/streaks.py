"""Detect that notifications are refused repeatedly for one reason, which raises an alarm."""

from __future__ import annotations

from dataclasses import dataclass

from wechat.domain.ports import Clock

GOES_ON = 3
"""The number of refusals for one reason that make an ongoing streak, if the first is at least ``GOES_ON_S`` ago."""
GOES_ON_S = 30.0  # WeChat repeats a notification after 15, 15 and 30 seconds
FORGET_S = 15 * 60.0
"""Seconds without a refusal after which a streak is over."""
ALARM_EVERY_S = 3600.0


@dataclass(slots=True)
class _Streak:
    """Consecutive refusals for one reason. Times are monotonic seconds."""

    first_s: float
    last_s: float
    quiet_until_s: float
    count: int = 0

    def goes_on(self, now_s: float) -> bool:
        long_enough = self.count >= GOES_ON and now_s - self.first_s >= GOES_ON_S
        return long_enough and now_s - self.last_s <= FORGET_S


class Streaks:
    """Streaks by reason; there are few reasons."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._streaks: dict[str, _Streak] = {}

    def count(self, reason: str) -> bool:
        """Count a refusal. Return whether an alarm is due: an ongoing streak whose last alarm was an hour ago."""
        now_s = self._clock.monotonic()
        streak = self._streaks.get(reason)
        if streak is None or now_s - streak.last_s > FORGET_S:
            streak = self._streaks[reason] = _Streak(now_s, now_s, now_s)
        streak.last_s, streak.count = now_s, streak.count + 1
        if not streak.goes_on(now_s) or now_s < streak.quiet_until_s:
            return False
        streak.quiet_until_s = now_s + ALARM_EVERY_S
        return True

    def ongoing(self) -> list[str]:
        """Return the reasons that have an ongoing streak."""
        now_s = self._clock.monotonic()
        return [reason for reason, streak in self._streaks.items() if streak.goes_on(now_s)]
