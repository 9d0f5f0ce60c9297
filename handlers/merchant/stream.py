"""News as it happens, for the merchant's own systems and the command line."""

from __future__ import annotations

from collections.abc import Iterator

from handlers.web.base import ApiHandler, takes_query
from handlers.web.event_stream import Frame, Streaming
from handlers.web.plugin import Access, Route
from handlers.web.query import read_choice, read_out_trade_no
from handlers.web.scopes import EVENT_STREAM
from handlers.web.services import Services
from wechat.domain.errors import Forbidden, Unauthorized
from wechat.domain.news import News, NewsKind
from wechat.domain.times import to_v3
from wechat.events.webhooks import Webhook


class KeyStream(Streaming, ApiHandler):
    """A stream that ends when its API key is revoked."""

    async def may_still_read(self) -> bool:
        try:
            await self.admit_merchant()
        except (Unauthorized, Forbidden):
            return False
        return True


class StreamHandler(KeyStream):
    """News of this process as it happens: without personal data, not stored, not repeated."""

    @takes_query("kind", "out_trade_no")
    async def get(self) -> None:
        number = read_out_trade_no(self.get_query_argument("out_trade_no", ""), "out_trade_no")
        with self.services.feed.listen(self._kinds(), number) as listener:
            await self.send_news(listener, render)

    def _kinds(self) -> list[NewsKind]:
        wanted = self.get_query_argument("kind", "").split(",")
        return [read_choice(NewsKind, kind, "kind") for kind in wanted if kind]


class EventStreamHandler(KeyStream):
    """Events as they happen, with the same bytes that webhooks get. ``target`` limits them to the events of that
    webhook, signed with its secrets. Deliveries to webhooks do not change."""

    @takes_query("target")
    async def get(self) -> None:
        target = self.get_query_argument("target", "")
        webhook = self.services.webhook_trials.find(target) if target else None
        with self.services.feed.listen([NewsKind.EVENT]) as listener:
            await self.send_news(listener, lambda news: render_event(news, webhook))


def render_event(news: News, webhook: Webhook | None) -> Iterator[Frame]:
    """Return ``{"id", "type", "body", "headers"}``; without a webhook, the headers contain no signature."""
    event_id, kind, body = (str(news.data[name]) for name in ("id", "type", "body"))
    if webhook is None or webhook.wants(kind):
        headers = webhook.sign(event_id, body.encode()) if webhook else {}
        yield "event", {"id": event_id, "type": kind, "body": body, "headers": headers}


def render(news: News) -> Iterator[Frame]:
    """Return ``{"kind", "at", "out_trade_no", …}``; an event is shown without its body, which may name a person."""
    data = {name: value for name, value in news.data.items() if name != "body"}
    head = {"kind": news.kind.value, "at": to_v3(news.at), "out_trade_no": news.out_trade_no or None}
    yield news.kind.value, head | data


def routes(services: Services) -> list[Route]:
    return [
        Route(pattern=r"/api/stream", handler=StreamHandler, access=Access.MERCHANT, name="api_stream"),
        Route(pattern=EVENT_STREAM, handler=EventStreamHandler, access=Access.MERCHANT, name="api_event_stream"),
    ]
