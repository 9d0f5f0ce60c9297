"""News between the processes of an installation.

A process with a listener announces that every few seconds; the others send their news as long as they receive the
announcement. Without listeners nothing is sent. News are not stored; without the channel, each process has its own.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

import structlog

from wechat.domain.errors import FenpayError
from wechat.domain.news import News, NewsKind
from wechat.domain.ports import NewsChannel, Random
from wechat.support.news import MOST_QUEUED, NewsFeed
from wechat.support.tasks import end

NEWS, WANTED = "told", "wanted"
SAY_S = 4.0
HEARD_S = 10.0
"""Seconds for which a process sends news after an announcement."""
AGAIN_S = 5.0

log = structlog.get_logger("wechat.shared_news")


class SharedNews:
    """Brings the news of other processes to ``feed``, and its news to them, from ``start`` to ``close``."""

    def __init__(self, feed: NewsFeed, channel: NewsChannel, random: Random) -> None:
        self._feed = feed
        self._channel = channel
        self._name = random.token(8).encode()
        self._queue: deque[News] = deque(maxlen=MOST_QUEUED)
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        feed.on_listen, feed.on_wanted = self._wake.set, self._send

    def start(self) -> None:
        self._tasks = [asyncio.create_task(_go_on(work), name="shared news") for work in (self._hear, self._speak)]

    async def close(self) -> None:
        if self._tasks:
            await end(*self._tasks)
        await self._channel.close()

    def _send(self, news: News) -> None:
        """Queue news for other processes; a full queue drops its oldest item."""
        self._queue.append(news)
        self._wake.set()

    async def _hear(self) -> None:
        async for topic, message in self._channel.subscribe(NEWS, WANTED):
            sender, _, content = message.partition(b" ")
            if sender == self._name:
                continue
            if topic == WANTED:
                self._feed.want(HEARD_S)
            elif news := _decode(content):
                self._feed.hand_out(news)

    async def _speak(self) -> None:
        while True:
            self._wake.clear()
            if self._feed.listening:
                await self._channel.publish(WANTED, self._name)
            while self._queue:
                await self._channel.publish(NEWS, self._name + b" " + _encode(self._queue.popleft()))
            with suppress(TimeoutError):
                async with asyncio.timeout(SAY_S if self._feed.listening else None):
                    await self._wake.wait()


async def _go_on(work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work`` without end. While the channel is away, only the news of other processes are missing."""
    while True:
        try:
            await work()
        except FenpayError as error:
            log.debug("shared_news_away", error=str(error))
        except Exception:  # any error: later news must still be sent
            log.exception("shared_news_crashed")
        await asyncio.sleep(AGAIN_S)


def _encode(news: News) -> bytes:
    content = [news.kind, news.at.isoformat(), news.out_trade_no, dict(news.data)]
    return json.dumps(content, ensure_ascii=False).encode()


def _decode(content: bytes) -> News | None:
    """Parse a message; None for anything that is not news, such as a kind of another release."""
    try:
        kind, at, out_trade_no, data = json.loads(content)
        return News(NewsKind(kind), datetime.fromisoformat(at), str(out_trade_no), dict(data))
    except (ValueError, TypeError):
        return None
