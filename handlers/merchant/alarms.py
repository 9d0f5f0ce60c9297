"""Alarms for the merchant's operator: list them, and mark one as seen."""

from __future__ import annotations

from handlers.web.base import ApiHandler, takes_query
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from handlers.web.views import alarm_view

ALARM_ID = r"([a-z0-9_]{1,48}-[0-9]{2}-[0-9a-f]{6})"


class AlarmsHandler(ApiHandler):
    """The latest alarms: the open ones, or with ``?all`` every one."""

    @takes_query("all", "limit")
    async def get(self) -> None:
        wanted = "all" not in self.request.query_arguments
        alarms = await self.services.alarms.latest(self.page_limit(), only_open=wanted)
        self.write_json({"alarms": [alarm_view(alarm, self.lang) for alarm in alarms]})


class AlarmSeenHandler(ApiHandler):
    """Mark an alarm as seen by the name of the API key."""

    async def post(self, alarm_id: str) -> None:
        self.write_json(alarm_view(await self.services.alarms.see(alarm_id, self.merchant), self.lang))


def routes(services: Services) -> list[Route]:
    return [
        Route(pattern=r"/api/alarms", handler=AlarmsHandler, access=Access.MERCHANT, name="api_alarms"),
        Route(
            pattern=rf"/api/alarms/{ALARM_ID}/seen",
            handler=AlarmSeenHandler,
            access=Access.MERCHANT,
            name="api_alarm_seen",
        ),
    ]
