"""A stream that delays its end, so that the doctor can check whether a proxy passes on its first bytes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from handlers.web.base import ApiHandler
from handlers.web.event_stream import Streaming

HOLD_S = 2.0


class StreamCheckHandler(Streaming, ApiHandler):
    """Send ``: open`` at once and ``: idle`` after ``HOLD_S``, to the operator's command line."""

    async def get(self) -> None:
        await self.send_news(Silence(), lambda _: ())

    async def may_still_read(self) -> bool:
        return True


class Silence:
    """A subscription without news. It closes after ``HOLD_S``, or with its reader."""

    missed = 0
    closed = False

    def __init__(self) -> None:
        self._gone = asyncio.Event()

    async def take(self, timeout_s: float) -> Sequence[object]:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), min(timeout_s, HOLD_S))
        self.close()
        return ()

    def close(self) -> None:
        self.closed = True
        self._gone.set()
