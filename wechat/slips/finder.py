"""Find the slip that made a signature wrong, in the background.

Trying every slip takes up to two seconds of CPU, and anybody can send a message. So one message is examined at a time,
in a thread, and one a minute for each reason; others that arrive meanwhile are skipped. No response waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from wechat.domain.errors import FenpayError
from wechat.domain.ports import Runtime
from wechat.sign_explain.model import Keys, Slip
from wechat.support.rate_limit import RateLimit
from wechat.support.tasks import end

EVERY_S = 60.0
MOST_BYTES = 16 * 1024
"""WeChat's own messages are 1 to 5 kB."""

Look = Callable[[Keys], Sequence[Slip]]

log = structlog.get_logger("wechat.slips")


class SlipFinder:
    """Examines messages with the ``keys`` of the settings. Without keys it finds nothing."""

    def __init__(self, keys: Keys | None, runtime: Runtime) -> None:
        self._keys = keys
        self._threads = runtime.threads
        self._limit = RateLimit(runtime.clock, 1, 1 / EVERY_S)
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a message is being examined."""
        return bool(self._tasks) or self._lock.locked()

    def start(self, reason: str, size: int, look: Look, then: Callable[[Sequence[Slip]], Awaitable[None]]) -> bool:
        """Start to examine a message of ``size`` bytes that was refused for ``reason``. Return whether it is examined.

        ``then`` is called with the slips, if any are found. The reasons must be few.
        """
        if self._keys is None or size > MOST_BYTES or self.busy:
            return False
        if not self._limit.take(reason):
            return False
        task = asyncio.create_task(self._examine(reason, look, then), name=f"slips {reason}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def find(self, look: Look) -> Sequence[Slip]:
        """Return the slips of one message, for an operator who waits for them."""
        keys = self._keys
        if keys is None:
            return ()
        async with self._lock:
            return await self._threads.run(lambda: look(keys))

    async def close(self) -> None:
        for task in list(self._tasks):
            await end(task)

    async def _examine(self, reason: str, look: Look, then: Callable[[Sequence[Slip]], Awaitable[None]]) -> None:
        try:
            slips = await self.find(look)
            if slips:
                await then(slips)
        except FenpayError as error:
            log.warning("slip_not_recorded", reason=reason, error=str(error))
        except Exception:  # any error: an outside message may contain anything, and explaining it must not crash
            log.exception("slip_search_failed", reason=reason)


def name_codes(slips: Sequence[Slip]) -> str:
    """Join the codes for a log line or a document: ``MD5_FOR_HMAC KEY_OF_OTHER_API``."""
    return " ".join(slip.code.value for slip in slips)
