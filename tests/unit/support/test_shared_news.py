"""News between processes, over a channel that may refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.contract.samples import NOW
from tests.support.clock import ManualClock
from tests.support.runtime import a_runtime
from wechat.domain.errors import StoreUnavailable
from wechat.support import shared_news as module
from wechat.support.news import NewsFeed
from wechat.support.shared_news import WANTED, SharedNews


class Channel:
    """``NewsChannel`` whose subscription fails with each of ``failures`` before it brings anything."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    async def close(self) -> None: ...

    async def publish(self, topic: str, content: bytes) -> None: ...

    async def subscribe(self, *topics: str) -> AsyncIterator[tuple[str, bytes]]:
        if self.failures:
            raise self.failures.pop(0)
        yield WANTED, b"another "
        await asyncio.Event().wait()


async def test_a_channel_that_fails_in_any_way_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    clock = ManualClock(NOW)
    feed = NewsFeed(clock)
    wanted = asyncio.Event()
    monkeypatch.setattr(feed, "want", lambda seconds: wanted.set())
    shared = SharedNews(feed, Channel(StoreUnavailable(), RuntimeError("no such topic")), a_runtime(clock).random)
    shared.start()
    await asyncio.wait_for(wanted.wait(), 5)
    await shared.close()
