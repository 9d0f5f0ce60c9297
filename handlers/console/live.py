"""What happens, for pages that are open: which order to read again, and that there are alarms.

The stream names numbers and nothing else. A page fetches what it shows by its own address, with its reader's rights.
"""

from __future__ import annotations

from collections.abc import Iterator

from handlers.console.base import ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.web.event_stream import Frame, Streaming
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.orders import OUT_TRADE_NO
from wechat.domain.staff import Permission
from wechat.live.feed import Notice, Topic


class LiveHandler(Streaming, ConsoleHandler):
    """``?topic=orders``, ``?topic=alarms``, ``?order=NUMBER``; one stream a page."""

    async def get(self) -> None:
        topics, number = self._topics(), self._number()
        with self.services.insight.live.watch(topics, number) as watcher:
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

    async def may_still_read(self) -> bool:
        """Until the session ends, or the person's role does not allow it any more."""
        visit = await self.services.staff.sessions.find_by_key(self.session.key)
        return visit is not None and visit.member.may(Permission.READ)


def render(notice: Notice) -> Iterator[Frame]:
    """``order`` with its number, or ``alarms``."""
    if notice.topic is Topic.ALARMS:
        yield "alarms", {}
    else:
        yield "order", {"number": notice.out_trade_no, "new": notice.new}


def routes(services: Services) -> list[Route]:
    return console_routes(services, Page("/console/live", LiveHandler, "console_live", Permission.READ))
