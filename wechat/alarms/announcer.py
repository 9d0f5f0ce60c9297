"""Send alarms to the channels of the settings. Alarms that are raised together share a message; messages are
rate-limited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from wechat.alarms.texts import sentence, step
from wechat.domain.alarms import Alarm
from wechat.domain.errors import Bilingual
from wechat.domain.metrics import Metric
from wechat.domain.ports import Runtime
from wechat.support.rate_limit import RateLimit
from wechat.support.tasks import end

GROUP_S = 10.0
"""Seconds for which alarms are collected before they are sent."""
MOST_IN_MESSAGE = 10
MESSAGES, MESSAGES_PER_S = 5, 1 / 120.0
RETRIES = 3

log = structlog.get_logger("wechat.alarms")


class ChannelFailed(Exception):
    """A channel did not accept a message; the text says why, without an address or a secret."""


class Channel(Protocol):
    """A channel to people, such as mail or a chat robot."""

    name: str
    lang: str

    async def send(self, title: str, text: str, alarms: Sequence[Alarm]) -> None:
        """Send a message. Raises ChannelFailed."""

    async def close(self) -> None: ...


class Announcer:
    """Collects alarms and sends them to every channel."""

    def __init__(self, channels: Sequence[Channel], runtime: Runtime, group_s: float = GROUP_S) -> None:
        self._channels = channels
        self._clock = runtime.clock
        self._telemetry = runtime.telemetry
        self._limit = RateLimit(runtime.clock, MESSAGES, MESSAGES_PER_S)
        self._group_s = group_s
        self._waiting: dict[str, list[Alarm]] = {channel.name: [] for channel in channels}
        self._failures: dict[str, int] = {}
        self._added = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._channels:
            self._task = asyncio.create_task(self._run(), name="announcer")

    async def close(self) -> None:
        if self._task:
            await end(self._task)
        for channel in self._channels:
            await channel.close()

    def add(self, alarm: Alarm) -> None:
        """Announce ``alarm`` in the next message."""
        for waiting in self._waiting.values():
            waiting.append(alarm)
        self._added.set()

    async def _run(self) -> None:
        while True:
            await self._added.wait()
            await asyncio.sleep(self._group_s)
            self._added.clear()
            await asyncio.gather(*(self.flush(channel) for channel in self._channels))
            if any(self._waiting.values()):
                self._added.set()

    async def flush(self, channel: Channel) -> None:
        """Send the waiting alarms to one channel, if another message may be sent now."""
        waiting = self._waiting[channel.name]
        if not waiting or not self._limit.take(channel.name):
            return
        alarms = waiting[:]
        try:
            await channel.send(*compose(alarms, channel.lang), alarms)
        except ChannelFailed as error:
            self._report_failure(channel, str(error), len(alarms))
        else:
            self._failures[channel.name] = 0
            del waiting[: len(alarms)]
            self._telemetry.count(Metric.ALARM_MESSAGES, channel.name, "sent")

    def _report_failure(self, channel: Channel, error: str, count: int) -> None:
        """Log the failure. After RETRIES failures the waiting alarms are dropped; they are in the log and the store."""
        failures = self._failures.get(channel.name, 0) + 1
        self._failures[channel.name] = failures
        self._telemetry.count(Metric.ALARM_MESSAGES, channel.name, "failed")
        log.error("alarm_not_announced", target=channel.name, error=error)
        if failures >= RETRIES:
            self._failures[channel.name] = 0
            del self._waiting[channel.name][:count]


def compose(alarms: Sequence[Alarm], lang: str) -> tuple[str, str]:
    """Build title and text of a message, with a line for each alarm and a line for the command to run."""
    count = len(alarms)
    title = Bilingual(f"Fenpay 告警（{count} 条）", f"Fenpay: {count} alarm{'s' if count > 1 else ''}").to(lang)
    lines = []
    for alarm in alarms[:MOST_IN_MESSAGE]:
        lines += [f"• {sentence(alarm).to(lang)}", f"  {step(alarm)}"]
    if count > MOST_IN_MESSAGE:
        more = count - MOST_IN_MESSAGE
        lines.append(
            Bilingual(f"另有 {more} 条：manage.py alarms list", f"{more} more: manage.py alarms list").to(lang)
        )
    return title, "\n".join(lines)
