"""Servers between a command and its service: one that loses answers, and one that always answers the same."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Self
from urllib.parse import urlsplit


class _Server(ABC):
    """A server of one request per connection, on a free port of loopback."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        writer.write(await self.answer(head + await reader.readexactly(sum(lengths))))
        await writer.drain()
        writer.close()

    @abstractmethod
    async def answer(self, request: bytes) -> bytes: ...


class Relay(_Server):
    """Forward requests to ``url``, and close the connection instead of answering. ``swallowed`` are the lost
    answers."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self.swallowed: list[bytes] = []

    async def answer(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        writer.write(request)
        self.swallowed.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()
        return b""


class Canned(_Server):
    """Answer ``bytes`` to every request. ``heard`` are the requests."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self.heard: list[bytes] = []

    async def answer(self, request: bytes) -> bytes:
        self.heard.append(request)
        return self._said
