"""Clocks: the real time, or the WeChat simulator's. ``server.py`` alone builds one."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from time import monotonic, time_ns

import structlog

from wechat.domain.errors import FenpayError
from wechat.pay.v3.payloads import json_object
from wechat.support.transport import Request, Transport

AGAIN_S = 1.0
SHORTEST_SLEEP_S = 0.02  # however fast the simulated time runs

log = structlog.get_logger("clocks")


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(time_ns() // 1_000_000 / 1000, UTC)

    def monotonic(self) -> float:
        return monotonic()

    def start(self) -> None:
        """Do nothing: the machine's time needs no connection."""

    async def ready(self) -> None:
        """Return once ``now`` can be relied on."""

    async def close(self) -> None:
        """Do nothing: no resource is held."""

    @property
    def version(self) -> int:
        return 0

    async def sleep_until(self, moment: datetime, version: int) -> None:
        await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds()))


class SimulatorClock(SystemClock):
    """The WeChat simulator's clock, which an operator of the demo speeds up or moves ahead.

    A long poll is always open there, so that a change is known at once. Until the first answer, and where messages
    carry real dates anyway, ``now`` is the real time. Signatures are never dated by it.
    """

    def __init__(self, transport: Transport, simulator_url: str) -> None:
        self._transport = transport
        self._hosts = (simulator_url,)
        self._seen = 0
        self._base: datetime | None = None
        self._base_at = 0.0
        self._speed = 1.0
        self._version = 0
        self._changed = asyncio.Event()
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def now(self) -> datetime:
        if self._base is None:
            return super().now()
        return _to_milliseconds(self._base + timedelta(seconds=(monotonic() - self._base_at) * self._speed))

    @property
    def version(self) -> int:
        return self._version

    async def sleep_until(self, moment: datetime, version: int) -> None:
        seconds = max(SHORTEST_SLEEP_S, (moment - self.now()).total_seconds() / self._speed)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._version == version:
                    await self._changed.wait()

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="simulator's clock")

    async def ready(self) -> None:
        """Return once the simulator has answered."""
        await self._heard.wait()

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                await self._ask()
            except (FenpayError, LookupError, TypeError, ValueError) as error:  # no answer, or not that of a clock
                log.debug("clock_not_heard", error=str(error))
                await asyncio.sleep(AGAIN_S)

    async def _ask(self) -> None:
        """Wait for a change of the simulator's clock and apply it. Raises RemoteError, Malformed."""
        request = Request("simulator_clock", "GET", f"/simulator/clock?seen={self._seen}")
        reply = json_object((await self._transport.send(self._hosts, request)).body)
        changed, self._seen = int(reply["version"]) != self._seen, int(reply["version"])
        if reply["calendar"] == "simulated":
            self._base, self._base_at = datetime.fromtimestamp(reply["now_s"], UTC), monotonic()
            self._speed = float(reply["speed"])
        if changed:
            self._version += 1
            self._changed.set()
            self._changed = asyncio.Event()
        self._heard.set()


def _to_milliseconds(moment: datetime) -> datetime:
    """Truncate to milliseconds, the precision of stored dates, so that a value equals what is read back."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
