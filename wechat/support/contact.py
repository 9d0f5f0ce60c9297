"""The time of WeChat's last answer, and the difference between its clock and this machine's."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache

FORGET_S = 600.0
"""Seconds after which a failure is forgotten: a spare host is rarely asked, so no later answer would clear it."""


class Contact:
    """The latest answers and failures of one transport. Times are seconds, monotonic where so named, else Unix time."""

    def __init__(self) -> None:
        self.answered_monotonic: float | None = None
        self._failures: dict[str, tuple[float, str]] = {}
        self.clock_offset_s: float | None = None
        """Seconds by which this machine's clock is ahead of WeChat's (negative: behind)."""

    def note_answer(self, host: str, headers: Mapping[str, str], sent_s: float, now_s: float, monotonic: float) -> None:
        """Record an answer of any status and compare the clocks. Its Date header is exact to the second."""
        self.answered_monotonic = monotonic
        self._failures.pop(host, None)
        try:
            remote_s = _read_date(headers["Date"])
        except (KeyError, ValueError):
            return
        ahead, behind = now_s - remote_s, remote_s + 1 - sent_s
        self.clock_offset_s = 0.0 if ahead >= 0 and behind >= 0 and ahead < 2 + now_s - sent_s else ahead

    def note_failure(self, host: str, error: str, monotonic: float) -> None:
        """Record that a call got no answer."""
        self._failures[host] = (monotonic, error)

    def failure(self, monotonic: float) -> str:
        """Return the hosts that gave no answer to their latest call, within FORGET_S, and why; empty for none."""
        fresh = {host: error for host, (at, error) in self._failures.items() if monotonic - at < FORGET_S}
        return "; ".join(f"{host} {error}".strip() for host, error in fresh.items())


@lru_cache(maxsize=8)
def _read_date(text: str) -> float:
    """Seconds since the epoch of a Date header, which all answers of one second share. Raises ValueError."""
    return parsedate_to_datetime(text).timestamp()
