"""Store, announce, mark and clear alarms.

Raising an alarm does not wait: it is queued, and a task stores and announces it. The log line and the metric are
written before, so that they exist even if the process ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from wechat.alarms.announcer import Announcer
from wechat.domain.alarms import MOST_OF_KIND, Alarm, clear_alarm, mark_seen, new_alarm, place_of_alarm, raise_again
from wechat.domain.errors import Bilingual, NotFound, StoreUnavailable
from wechat.domain.ports import AlarmStore, Runtime
from wechat.support.places import Places
from wechat.support.tasks import end
from wechat.support.update import Updater

MOST_QUEUED = 1000
MAX_ERROR = 300

log = structlog.get_logger("wechat.alarms")


@dataclass(frozen=True, slots=True)
class _Clear:
    """The cause of an alarm is gone."""

    kind: str
    subject: str


class AlarmBoard:
    """All alarms of the installation; its processes share them."""

    def __init__(self, store: AlarmStore, announcer: Announcer, runtime: Runtime) -> None:
        self._store = store
        self._announcer = announcer
        self._places = Places(store, MOST_OF_KIND, runtime.random)
        self._updater = Updater(store, lambda alarm: alarm.place, runtime.random, remembered=0)
        self._clock = runtime.clock
        self._queue: deque[Alarm | _Clear] = deque(maxlen=MOST_QUEUED)
        self._queued = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to store and announce alarms."""
        self._task = asyncio.create_task(self._run(), name="alarms")
        self._announcer.start()

    async def close(self) -> None:
        if self._task:
            await end(self._task)
        await self._announcer.close()

    def raise_alarm(self, kind: str, subject: str = "", error: str = "") -> None:
        """Queue an alarm. A full queue drops its oldest item, whose log line remains."""
        self._enqueue(new_alarm(kind, subject, error[:MAX_ERROR], self._clock.now()))

    def clear(self, kind: str, subject: str = "") -> None:
        """Queue that the cause of an alarm is gone."""
        self._enqueue(_Clear(kind, subject))

    async def latest(self, limit: int, *, only_open: bool) -> Sequence[Alarm]:
        """Return the latest alarms; with ``only_open`` only those neither seen nor cleared."""
        return await self._store.latest(limit, only_open=only_open)

    async def see(self, alarm_id: str, by: str) -> Alarm:
        """Note that ``by`` has seen the alarm. Raises NotFound, also when another alarm has taken its place."""
        now = self._clock.now()
        change = await self._updater.update(
            place_of_alarm(alarm_id), lambda held: mark_seen(held, by, now) if held.id == alarm_id else held
        )
        if change is None or change.after.id != alarm_id:
            raise NotFound(Bilingual("没有这条告警", "There is no such alarm"), code="ALARM_NOT_FOUND")
        return change.after

    def _enqueue(self, what: Alarm | _Clear) -> None:
        self._queue.append(what)
        self._queued.set()

    async def _run(self) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            await self.work()

    async def work(self) -> None:
        """Store and announce the queued alarms, and clear the queued ones."""
        while self._queue:
            what = self._queue.popleft()
            if isinstance(what, Alarm):
                await self._store_alarm(what)
            else:
                await self._store_clear(what)

    async def _store_alarm(self, alarm: Alarm) -> None:
        """Store the alarm, and announce it if it is new or cannot be stored."""
        stored: Alarm | None = None
        with suppress(StoreUnavailable):
            stored = await self._merge(alarm) or await self._merge(alarm)
        if stored is None or stored.count == 1:
            self._announcer.add(stored or alarm)

    async def _merge(self, alarm: Alarm) -> Alarm | None:
        return await self._places.store(
            alarm.kind,
            await self._store.of_kind(alarm.kind),
            lambda place: replace(alarm, place=place),
            lambda held: raise_again(held, alarm) if held.subject == alarm.subject else None,
            lambda held: (alarm.last_at - held.last_at).total_seconds(),
            lambda held: held.place,
        )

    async def _store_clear(self, what: _Clear) -> None:
        now = self._clock.now()
        with suppress(StoreUnavailable):
            for stored in await self._store.of_kind(what.kind):
                if stored.value.subject == what.subject:
                    await self._updater.update(stored.value.place, lambda held: clear_alarm(held, now))
