"""A TCP relay in front of a server that holds requests and forwards them later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

CHUNK = 1 << 20


class LateProxy:
    """The sender of a held request loses its connection at once, as when a network breaks."""

    def __init__(self, port: int) -> None:
        self.kept_one = asyncio.Event()
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._mark = b""
        self._kept: list[tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]] = []

    @property
    def kept(self) -> int:
        """The number of requests that are still held."""
        return len(self._kept)

    def keep(self, mark: bytes) -> None:
        """Hold requests that contain ``mark``; none if it is empty."""
        self._mark = mark

    async def let_arrive(self) -> None:
        """Forward all held requests; their answers are discarded."""
        for request, reader, writer in self._kept:
            writer.write(request)
            await writer.drain()
            assert await reader.read(CHUNK)
            writer.close()
        self._kept.clear()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen; yield the port to connect to in place of the server's."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for _, _, writer in self._kept:
                writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        answers = self._start(self._pump(there_reader, writer))
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if self._mark and self._mark in data:
                    answers.cancel()
                    self._kept.append((data, there_reader, there_writer))
                    self.kept_one.set()
                    writer.close()
                    return
                there_writer.write(data)
                await there_writer.drain()
        there_writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(CHUNK):
                sink.write(data)
                await sink.drain()
            sink.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
