"""Server-Sent Events: an answer that goes on for as long as somebody reads it.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar, cast

import orjson
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from wechat.domain.errors import StoreUnavailable, TooMany
from wechat.support.tasks import end

HEARTBEAT_S = 10.0
"""An idle stream carries a comment this often: a proxy in between keeps it, and a reader knows that it lives."""
UNREAD_S = 20.0
"""A reader that takes nothing for so long is let go."""

CHECK_EVERY_S = 5.0
"""How soon the stream of a reader who may read no more is closed."""

FREE_TURN = "free_turn"
"""The application's setting with what frees the turn of a request, by its connection; there may be none."""

Frame = tuple[str, object]
"""The name of an event and its data, fit for JSON."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T_co]):
    """Where the news of one reader come from. ``missed`` counts those that it was too slow for."""

    missed: int
    closed: bool

    async def take(self, timeout_s: float) -> Sequence[T_co]:
        """All that has come; empty after ``timeout_s`` without any, and when it is closed."""

    def close(self) -> None:
        """End the wait of whoever takes."""


class Streaming(RequestHandler, ABC):
    """A handler whose answer is a stream of news. Mix it in before the handler that decides who may read."""

    _listener: Source[Any] | None = None

    @abstractmethod
    async def may_still_read(self) -> bool:
        """Whether the reader would be let in now. Raises StoreUnavailable, TooMany: it is asked again."""

    def on_connection_close(self) -> None:
        if self._listener:
            self._listener.close()

    async def send_news(self, listener: Source[T], render: Callable[[T], Iterable[Frame]]) -> None:
        """Write what ``listener`` hears, as ``render`` shows it, until the reader leaves or the listener is closed.

        ``event: missed`` with ``{"count": n}`` stands for what a slow reader did not get.
        """
        self._listener, missed = listener, 0
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")  # nginx would keep it back to fill its buffers
        self.write(b": open\n\n")
        self._free_turn()
        async with self._check_reader(listener):
            while await self._send() and not listener.closed:
                news = await listener.take(HEARTBEAT_S)
                self.write(b"".join([frame(*each) for one in news for each in render(one)]) or b": idle\n\n")
                if listener.missed > missed:
                    self.write(frame("missed", {"count": listener.missed - missed}))
                    missed = listener.missed

    def _free_turn(self) -> None:
        """Hold up no other request: a hundred pages that come back at once would, for seconds."""
        free_turn = self.settings.get(FREE_TURN)
        if free_turn:
            free_turn(self.request.connection)

    @asynccontextmanager
    async def _check_reader(self, listener: Source[Any]) -> AsyncIterator[None]:
        """Close ``listener`` once its reader may read no more."""
        task = asyncio.create_task(self._close_without_access(listener), name="reader of a stream")
        try:
            yield
        finally:
            await end(task)

    async def _close_without_access(self, listener: Source[Any]) -> None:
        allowed = True
        try:
            while allowed:
                await asyncio.sleep(CHECK_EVERY_S)
                with suppress(StoreUnavailable, TooMany):
                    allowed = await self.may_still_read()
        finally:
            listener.close()

    async def _send(self) -> bool:
        """Send what was written; whether somebody still reads."""
        try:
            await asyncio.wait_for(self.flush(), UNREAD_S)
        except StreamClosedError:
            return False
        except TimeoutError:
            cast(Any, self.request.connection).close()
            return False
        return True


def frame(name: str, data: object) -> bytes:
    """One event. JSON has no line ends of its own, so the data is one line."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))
