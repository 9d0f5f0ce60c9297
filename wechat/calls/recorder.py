"""Record calls to WeChat and WeChat's notifications in the background; no request waits for it.

Each exchange is added to a bounded queue. A task masks secrets and writes a batch every quarter of a second. When the
queue is full, or the database does not answer for long, records are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from wechat.calls.redaction import redact
from wechat.domain.calls import Call, Exchange
from wechat.domain.errors import StoreUnavailable
from wechat.domain.metrics import Metric
from wechat.domain.ports import CallStore, Runtime
from wechat.support.rate_limit import RateLimit
from wechat.support.tasks import end

GATHER_S = 0.25
RETRY_S = 2.0
CLOSE_S = 2.0
BATCH = 100
MOST_QUEUED = 2000
MOST_QUEUED_BYTES = 8 * 1024 * 1024
ID_BYTES = 12
DAY_S = 86_400.0
OF_ORDER, OF_ORDER_PER_S, MOST_ORDERS = 60, 1 / 30, 5000
"""Limits for the calls that are kept of one order, at once and in the long run, so that a message that is sent very
often does not fill the database."""

log = structlog.get_logger("wechat.calls")


class _Queued(NamedTuple):
    """A queued exchange. Its ``id`` is chosen before, so that a batch that is written twice is stored once."""

    id: str
    ended_at: datetime
    exchange: Exchange
    size: int


class CallRecorder:
    """Records calls. ``keep``: how long a call is kept. ``most_body``: characters of each body. ``most_daily``: bytes
    of calls that are kept a day, in the long run; as many again are kept at once after a quiet day."""

    def __init__(self, store: CallStore, runtime: Runtime, keep: timedelta, most_body: int, most_daily: int) -> None:
        self._store = store
        self._clock = runtime.clock
        self._random = runtime.random
        self._telemetry = runtime.telemetry
        self._keep = keep
        self._most_body = most_body
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0
        self._limit = RateLimit(runtime.clock, OF_ORDER, OF_ORDER_PER_S, MOST_ORDERS)
        self._volume = RateLimit(runtime.clock, most_daily, most_daily / DAY_S)
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to write in the background."""
        self._task = asyncio.create_task(self._run(), name="calls")

    async def close(self) -> None:
        """Write the queued calls, if the database answers in time."""
        if self._task is None:
            return
        await end(self._task)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.flush()
        except Exception:  # any error: the process must end
            self._drop("closed", len(self._queue))

    def record(self, exchange: Exchange) -> None:
        """Queue an exchange that has just ended."""
        if len(self._queue) >= MOST_QUEUED or self._queued_bytes >= MOST_QUEUED_BYTES:
            self._drop("full")
        elif exchange.out_trade_no and not self._limit.take(exchange.out_trade_no):
            self._drop("repeated")
        elif not self._volume.take("bytes", size := exchange.size):
            self._drop("volume")
        else:
            self._queue.append(_Queued(self._random.token(ID_BYTES), self._clock.now(), exchange, size))
            self._queued_bytes += size
            self._arrived.set()

    async def flush(self) -> None:
        """Write all queued calls.

        Raises StoreUnavailable, and then unwritten calls stay queued. A batch that the database refuses for another
        reason is dropped, and that error is raised.
        """
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            pairs = [(queued, call) for queued in batch if (call := self._redact(queued))]
            readable = [queued for queued, _ in pairs]
            try:
                await self._store.add([call for _, call in pairs])
            except (StoreUnavailable, asyncio.CancelledError):
                self._queue.extendleft(reversed(readable))
                raise
            except Exception:
                self._forget(readable)
                self._drop("refused", len(readable))
                raise
            self._forget(readable)

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(GATHER_S)
            self._arrived.clear()
            try:
                await self.flush()
            except Exception as error:
                if not isinstance(error, StoreUnavailable):  # any error: later calls must still be written
                    log.error("calls_not_written", error=repr(error))
                self._arrived.set()
                await asyncio.sleep(RETRY_S)

    def _redact(self, queued: _Queued) -> Call | None:
        """Build the stored form; None, with a log line, if masking fails, so that one exchange stops no other."""
        exchange = queued.exchange
        started_at = queued.ended_at - timedelta(seconds=exchange.duration_s)
        try:
            return redact(exchange, queued.id, started_at, self._keep, self._most_body)
        except Exception as error:  # an outside message may cause any error; its text may quote a secret
            log.error("call_not_recorded", call=exchange.call, error=type(error).__name__)
            self._forget([queued])
            self._drop("unreadable")
            return None

    def _forget(self, done: Iterable[_Queued]) -> None:
        """Subtract calls from the size of the queue, because they are not queued again."""
        self._queued_bytes -= sum(queued.size for queued in done)

    def _drop(self, reason: str, count: int = 1) -> None:
        if count:
            self._telemetry.count(Metric.CALLS_DROPPED, reason, by=count)
