"""The event stream of open pages: which order to reload, and that alarms have changed.

Events carry order numbers and no content. A page reads the content from its own address, with its reader's permissions.
"""

from __future__ import annotations

from collections.abc import Iterator

from handlers.console.base import ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.stream_check import StreamCheckHandler
from handlers.web.event_stream import Frame, Streaming
from handlers.web.plugin import Access, Route
from handlers.web.query import read_choice, read_out_trade_no
from handlers.web.services import Services
from wechat.domain.staff import Permission
from wechat.live.feed import Notice, Topic
from wechat.staff.operator import STREAM_CHECK


class LiveHandler(Streaming, ConsoleHandler):
    """The stream of one page: ``?topic=orders``, ``?topic=alarms`` or ``?order=NUMBER``."""

    async def get(self) -> None:
        topics = [read_choice(Topic, each, "topic") for each in self.get_query_arguments("topic")]
        number = read_out_trade_no(self.get_query_argument("order", ""), "order")
        with self.services.insight.live.watch(topics, number) as watcher:
            await self.services.insight.live.catch_up(watcher)
            await self.send_news(watcher, render)

    async def may_still_read(self) -> bool:
        """Whether the session is valid and the person's role still allows reading."""
        visit = await self.services.staff.sessions.find_by_key(self.session.key)
        return visit is not None and visit.member.may(Permission.READ)


def render(notice: Notice) -> Iterator[Frame]:
    """Return the event's name and data: ``order`` with its number, or ``alarms``."""
    if notice.topic is Topic.ALARMS:
        yield "alarms", {}
    else:
        yield "order", {"number": notice.out_trade_no, "new": notice.new}


def routes(services: Services) -> list[Route]:
    pages = console_routes(services, Page("/console/live", LiveHandler, "console_live", Permission.READ))
    check = Route(pattern=STREAM_CHECK, handler=StreamCheckHandler, access=Access.OPERATOR, name="console_live_check")
    return [*pages, check] if pages else []
