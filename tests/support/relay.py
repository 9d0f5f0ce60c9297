"""Servers that a command may meet on its way: one that loses answers, and one that says always the same."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Self
from urllib.parse import urlsplit


class _Server(ABC):
    """One request a connection, on a free port of loopback."""

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
    """Hands requests on to ``url``, and hangs up where an answer would come. ``swallowed`` are those answers."""

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
    """Says ``bytes`` to everyone, whatever is asked. ``heard`` is what was."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self.heard: list[bytes] = []

    async def answer(self, request: bytes) -> bytes:
        self.heard.append(request)
        return self._said
