"""A stream that delays its end, so that the doctor can check whether a proxy passes on each piece at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from handlers.web.base import ApiHandler
from handlers.web.event_stream import Streaming

PAUSES_S = (0.3, 2.0)
"""Before each message. A proxy that buffers may still pass on what comes together with the header."""


class StreamCheckHandler(Streaming, ApiHandler):
    """Send ``: open`` at once and ``: idle`` after each of ``PAUSES_S``, to the operator's command line."""

    async def get(self) -> None:
        await self.send_news(Silence(), lambda _: ())

    async def may_still_read(self) -> bool:
        return True


class Silence:
    """A subscription without news. It closes after ``PAUSES_S``, or with its reader."""

    missed = 0
    closed = False

    def __init__(self) -> None:
        self._gone = asyncio.Event()
        self._pauses_s = list(PAUSES_S)

    async def take(self, timeout_s: float) -> Sequence[object]:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), min(timeout_s, self._pauses_s.pop(0)))
        if not self._pauses_s:
            self.close()
        return ()

    def close(self) -> None:
        self.closed = True
        self._gone.set()
