"""When a stream asks again whether its reader may read, and what it does with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from handlers.web import event_stream
from handlers.web.event_stream import Streaming
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
