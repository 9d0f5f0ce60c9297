"""Server-Sent Events: an answer that continues while the client reads it.

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
"""An idle stream sends a comment this often, so that proxies keep the connection open and the client knows that it
works."""
UNREAD_S = 20.0
"""A client that reads nothing for this long is disconnected."""

CHECK_EVERY_S = 5.0
"""How often it is checked that the client may still read."""

FREE_TURN = "free_turn"
"""The key in the application's settings of a function that frees the turn of a connection's request; it may be
missing."""

Frame = tuple[str, object]
"""The name of an event and its data, fit for JSON."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T_co]):
    """A subscription of one reader to news. ``missed`` counts the news that were dropped because the reader was too
    slow."""

    missed: int
    closed: bool

    async def take(self, timeout_s: float) -> Sequence[T_co]:
        """Return all news that have arrived; empty after ``timeout_s`` without any, and once closed."""

    def close(self) -> None:
        """End the wait of ``take``."""


class Streaming(RequestHandler, ABC):
    """A handler whose answer is a stream of news. Mix it in before the handler that checks access."""

    _listener: Source[Any] | None = None

    @abstractmethod
    async def may_still_read(self) -> bool:
        """Whether the reader would be admitted now. Raises StoreUnavailable, TooMany: the check is then
        repeated later."""

    def on_connection_close(self) -> None:
        if self._listener:
            self._listener.close()

    async def send_news(self, listener: Source[T], render: Callable[[T], Iterable[Frame]]) -> None:
        """Send the news of ``listener``, converted by ``render``, until the reader leaves or the listener is closed.

        ``event: missed`` with ``{"count": n}`` stands for news that a slow reader did not get.
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
        """Free the request's turn: a hundred pages that reconnect at once would otherwise block other requests for
        seconds."""
        free_turn = self.settings.get(FREE_TURN)
        if free_turn:
            free_turn(self.request.connection)

    @asynccontextmanager
    async def _check_reader(self, listener: Source[Any]) -> AsyncIterator[None]:
        """While the block runs, close ``listener`` once its reader may no longer read."""
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
        """Flush the written data. Return whether the client still reads."""
        try:
            await asyncio.wait_for(self.flush(), UNREAD_S)
        except StreamClosedError:
            return False
        except TimeoutError:
            cast(Any, self.request.connection).close()
            return False
        return True


def frame(name: str, data: object) -> bytes:
    """Encode one event. JSON contains no line breaks, so the data is one line."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))
