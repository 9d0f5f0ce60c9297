"""Deliveries of events, for the merchant's own systems: list them and resend them."""

from __future__ import annotations

from handlers.web.base import ApiHandler, takes_query
from handlers.web.plugin import Access, Route
from handlers.web.query import read_choice
from handlers.web.services import Services
from handlers.web.views import delivery_view, trial_view
from wechat.domain.deliveries import DeliveryState
from wechat.domain.events import EventType


class EventsHandler(ApiHandler):
    """The deliveries, newest event first."""

    @takes_query("state", "limit", "cursor")
    async def get(self) -> None:
        page = await self.services.delivery_store.find(
            state=self._state(), limit=self.page_limit(), cursor=self.get_query_argument("cursor", "")
        )
        deliveries = [delivery_view(delivery) for delivery in page.items]
        self.write_json({"events": deliveries, "next_cursor": page.next_cursor or None})

    def _state(self) -> DeliveryState | None:
        value = self.get_query_argument("state", "")
        return read_choice(DeliveryState, value, "state") if value else None


class ResendHandler(ApiHandler):
    """Resend an event: to ``target``, or to every target whose delivery was given up."""

    @takes_query("target")
    async def post(self, event_id: str) -> None:
        again = await self.services.redelivery.resend(event_id, self.get_query_argument("target", ""))
        self.set_status(202)
        self.write_json({"events": [delivery_view(delivery) for delivery in again]})


class TestHandler(ApiHandler):
    """Send one test event of ``type`` to the webhook ``target`` now."""

    @takes_query("target", "type")
    async def post(self) -> None:
        kind = read_choice(EventType, self.get_query_argument("type", EventType.ORDER_PAID), "type")
        trial = await self.services.webhook_trials.send(self.get_query_argument("target", ""), kind)
        self.write_json(trial_view(trial))


def routes(services: Services) -> list[Route]:
    return [
        Route(pattern=r"/api/events/test", handler=TestHandler, access=Access.MERCHANT, name="api_event_test"),
        Route(pattern=r"/api/events", handler=EventsHandler, access=Access.MERCHANT, name="api_events"),
        Route(
            pattern=r"/api/events/([0-9a-f]{24})/resend",
            handler=ResendHandler,
            access=Access.MERCHANT,
            name="api_resend",
        ),
    ]
