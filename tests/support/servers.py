"""Real database servers for tests, and ways to cut their connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import TypeVar

from storage.embedded.servers import EmbeddedServer

S = TypeVar("S", bound=EmbeddedServer)


@contextmanager
def running(server: S) -> Iterator[S]:
    """Run ``server`` from start to stop."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Proxy:
    """A TCP relay in front of a server. It can lose the answer to one request, by closing the connection instead, or
    hold a request for ever, so that its sender can be killed while it waits."""

    def __init__(self, port: int) -> None:
        self.held = asyncio.Event()
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lose = b""
        self._hold = b""

    @property
    def lost(self) -> bool:
        """Whether the answer that ``lose`` requested was lost."""
        return not self._lose

    def lose(self, request: bytes) -> None:
        """Forward the next request with these bytes to the server, and discard its answer."""
        self._lose = request

    def hold(self, request: bytes) -> None:
        """Hold the next request with these bytes and everything after it; then ``held`` is set."""
        self._hold = request

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen; yield the port to connect to in place of the server's."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield self._server.sockets[0].getsockname()[1]
        finally:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        doomed = asyncio.Event()
        for pump in (self._requests(reader, there_writer, doomed), self._answers(there_reader, writer, doomed)):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, doomed: asyncio.Event) -> None:
        with suppress(ConnectionError), closing(sink):
            while data := await source.read(65536):
                if self._hold and self._hold in data:
                    self.held.set()
                    await asyncio.Event().wait()
                if self._lose and self._lose in data:
                    self._lose = b""
                    doomed.set()
                sink.write(data)
                await sink.drain()

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, doomed: asyncio.Event) -> None:
        with suppress(ConnectionError), closing(sink):
            while (data := await source.read(65536)) and not doomed.is_set():
                sink.write(data)
                await sink.drain()
