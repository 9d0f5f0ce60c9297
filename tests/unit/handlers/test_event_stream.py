"""When a stream asks again whether its reader may read, and what it does with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from handlers.web import edge, event_stream
from handlers.web.edge import READ_TURNS, Edge
from handlers.web.event_stream import FREE_TURN, Streaming
from wechat.domain.errors import StoreUnavailable


class Silence:
    """A source without news."""

    missed = 0

    def __init__(self) -> None:
        self.closed = False
        self._end = asyncio.Event()

    async def take(self, timeout_s: float) -> Sequence[str]:
        await self._end.wait()
        return []

    def close(self) -> None:
        self.closed = True
        self._end.set()


class Handler(Streaming):
    """Gives the answers of a test, one each time."""

    def initialize(self, answers: list[Any]) -> None:
        self.answers = answers

    async def get(self) -> None:
        await self.send_news(Silence(), lambda _: [])

    async def may_still_read(self) -> bool:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([True, False], id="refused"),
        pytest.param([StoreUnavailable(), False], id="refused after the store was away"),
        pytest.param([RuntimeError("a defect")], id="a defect"),
    ],
)
async def test_a_stream_is_closed_once_its_reader_is_refused(
    answers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "CHECK_EVERY_S", 0.01)
    server = HTTPServer(Application([("/", Handler, {"answers": answers})]))
    listening, port = bind_unused_port()
    server.add_socket(listening)
    try:
        async with (
            asyncio.timeout(5),
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/") as answer,
        ):
            assert (await answer.read()).startswith(b": open\n\n")
    finally:
        server.stop()
    assert answers == []


class Plain(RequestHandler):
    """Any other page."""

    async def get(self) -> None:
        self.write(b"here")


async def test_streams_that_go_on_hold_up_no_other_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "TURN_S", 3600.0)
    application = Application([("/", Handler, {"answers": []}), ("/plain", Plain)])
    server = Edge(application)
    application.settings[FREE_TURN] = server.free_turn
    listening, port = bind_unused_port()
    server.add_sockets([listening])
    try:
        async with asyncio.timeout(10), AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            for _ in range(READ_TURNS):
                stream = await stack.enter_async_context(session.get(f"http://127.0.0.1:{port}/"))
                assert await stream.content.readline() == b": open\n"
            plain = await stack.enter_async_context(session.get(f"http://127.0.0.1:{port}/plain"))
            assert await plain.read() == b"here"
    finally:
        server.stop()
        await server.close_all_connections()
