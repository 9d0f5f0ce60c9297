"""Report certificates that end soon: at the start, daily from 60 days before the end, with an alarm from 7 days on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta

import structlog

from wechat.domain.ports import Runtime
from wechat.domain.times import beijing_day
from wechat.pay.certificates import CertificateRole

WARN_DAYS, URGENT_DAYS, ALARM_DAYS = 60, 30, 7
"""Days before the end: a warning in the log, an error in the log, and an alarm with a degraded health."""
ALARM = "certificate_ends"

log = structlog.get_logger("wechat.expiry")


def days_left(ends_at: datetime, now: datetime) -> int:
    """Return the whole days until ``ends_at``; negative after it."""
    return (ends_at - now) // timedelta(days=1)


class ExpiryWatch:
    """Checks the certificates once a day. ``ends`` returns the end of each certificate by its name."""

    def __init__(self, ends: Callable[[], Mapping[CertificateRole, datetime]], runtime: Runtime) -> None:
        self._ends = ends
        self._clock = runtime.clock
        self._telemetry = runtime.telemetry
        self._checked_on: date | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="certificate ends")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check(self) -> None:
        """Warn of each certificate that ends within WARN_DAYS; only the first call of a Beijing day does it."""
        now = self._clock.now()
        if self._checked_on == beijing_day(now):
            return
        self._checked_on = beijing_day(now)
        for name, ends_at in self._ends().items():
            self._warn(name, ends_at, days_left(ends_at, now))

    def _warn(self, name: CertificateRole, ends_at: datetime, days: int) -> None:
        if days >= WARN_DAYS:
            return
        day = beijing_day(ends_at)
        when = f"{name} ended on {day}" if days < 0 else f"{name} ends in {days} days, on {day}"
        (log.error if days < URGENT_DAYS else log.warning)("certificate_ends", name=name, error=when)
        if days <= ALARM_DAYS:
            self._telemetry.alarm(ALARM, subject=name, error=when)

    async def _run(self) -> None:
        while True:
            self.check()
            await self._clock.sleep_until(self._clock.now() + timedelta(days=1), self._clock.version)
