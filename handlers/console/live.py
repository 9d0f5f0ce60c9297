"""What happens, for pages that are open: which order to read again, and that there are alarms.

The stream names numbers and nothing else. A page fetches what it shows by its own address, with its reader's rights.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from handlers.console.base import ConsoleHandler
from handlers.web.event_stream import Frame, Streaming
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.orders import OUT_TRADE_NO
from wechat.domain.staff import Permission
from wechat.live.feed import Notice, Topic, Watcher
from wechat.support.tasks import end

SESSION_EVERY_S = 5.0
"""How soon the stream of a session that has ended is closed."""


class LiveHandler(Streaming, ConsoleHandler):
    """``?topic=orders``, ``?topic=alarms``, ``?order=NUMBER``; one stream a page."""

    async def get(self) -> None:
        topics, number = self._topics(), self._number()
        with self.services.insight.live.watch(topics, number) as watcher:
            async with self._end_with_session(watcher):
                await self.services.insight.live.catch_up(watcher)
                await self.send_news(watcher, render)

    def _topics(self) -> list[Topic]:
        wanted = self.get_query_arguments("topic")
        if not set(wanted) <= set(Topic):
            topics = ", ".join(Topic)
            raise BadRequest(Bilingual(f"topic 可取 {topics}", f"topic is one of {topics}"), field="topic")
        return [Topic(each) for each in wanted]

    def _number(self) -> str:
        number = self.get_query_argument("order", "")
        if number and not OUT_TRADE_NO.fullmatch(number):
            raise BadRequest(Bilingual("order 格式不正确", "order has an invalid format"), field="order")
        return number

    @asynccontextmanager
    async def _end_with_session(self, watcher: Watcher) -> AsyncIterator[None]:
        """Close the stream when the session ends, or the person may read no more."""
        task = asyncio.create_task(self._watch_session(watcher), name="console session of a stream")
        try:
            yield
        finally:
            await end(task)

    async def _watch_session(self, watcher: Watcher) -> None:
        while True:
            await asyncio.sleep(SESSION_EVERY_S)
            visit = await self.services.staff.sessions.find_by_key(self.session.key)
            if visit is None or not visit.member.may(Permission.READ):
                watcher.close()
                return


def render(notice: Notice) -> Iterator[Frame]:
    """``order`` with its number, or ``alarms``."""
    if notice.topic is Topic.ALARMS:
        yield "alarms", {}
    else:
        yield "order", {"number": notice.out_trade_no, "new": notice.new}


def routes(services: Services) -> list[Route]:
    if not services.settings.console.enabled:
        return []
    return [
        Route(
            pattern=r"/console/live",
            handler=LiveHandler,
            access=Access.STAFF,
            name="console_live",
            permission=Permission.READ,
        )
    ]
