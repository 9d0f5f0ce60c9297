"""The overview: today compared with other days, what needs a person now, and charts of the latest days."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from handlers.console.base import ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.states import TRADE_TYPES, name_channel
from handlers.console.texts.audit import ACTS
from handlers.console.texts.overview import TEXTS
from handlers.merchant.alarms import ALARM_ID
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.alarms.texts import OF_DAYS, sentence
from wechat.diagnosis.attention import MOST, AttentionFinder
from wechat.domain.alarms import Alarm
from wechat.domain.approvals import Approval
from wechat.domain.audit import Act
from wechat.domain.errors import CallerError
from wechat.domain.labels import REFUND_STATES
from wechat.domain.money import yuan
from wechat.domain.orders import OUT_TRADE_NO
from wechat.domain.staff import Permission
from wechat.domain.times import BEIJING, beijing
from wechat.reconciliation.labels import KINDS
from wechat.statistics.figures import NOTHING, Figures, Group, add_up
from wechat.statistics.statistics import DayFigures

OVERVIEW = "/console/overview"
SPANS = (7, 30, 90)
HOURS = 24
EVENT_ID = r"([0-9a-f]{24})"


class OverviewHandler(ConsoleHandler):
    """The page; for a page that is already open, its parts with the current figures."""

    texts = TEXTS

    async def get(self) -> None:
        statistics, span = self.services.insight.statistics, self._span()
        figures = statistics.compare(), statistics.last_days(span), statistics.waiting()
        comparison, days, waiting = await asyncio.gather(*figures)
        attention, to_confirm = await asyncio.gather(self._finder().find(), self._list_to_confirm())
        found = {"waiting": waiting, "attention": attention, "to_confirm": to_confirm}
        page = self._page(comparison=comparison, days=days, span=span, **found)
        self.render_console("overview_parts.html" if self.is_partial else "overview.html", **page)

    async def _list_to_confirm(self) -> Sequence[Approval]:
        """Return the acts that wait for a second person and that this person may perform."""
        waiting = await self.services.staff.approvals.waiting()
        return [each for each in waiting if self.staff.may(each.permission)]

    def _finder(self) -> AttentionFinder:
        services = self.services
        return AttentionFinder(
            services.order_store, services.delivery_store, services.alarms, services.books.records, services.health
        )

    def _span(self) -> int:
        wanted = self.get_query_argument("days", str(SPANS[0]))
        return next((span for span in SPANS if str(span) == wanted), SPANS[0])

    def _page(self, **context: Any) -> dict[str, Any]:
        days = context["days"]
        return context | {
            "spans": SPANS,
            "most": MOST,
            "money": money,
            "name_channel": name_channel,
            "acts": ACTS,
            "rate": rate,
            "clock": clock_time,
            "beijing": beijing,
            "sentence": sentence,
            "alarm_page": page_of_alarm,
            "kinds": KINDS,
            "refund_states": REFUND_STATES,
            "groups": sum_groups(days),
            "types": TRADE_TYPES,
            "total": add_up(day.total for day in days),
            "chart": chart_data(days),
        }


class SeenHandler(ConsoleHandler):
    """Mark an alarm as seen. Raises NotFound."""

    texts = TEXTS

    async def post(self, alarm_id: str) -> None:
        await self.services.alarms.see(alarm_id, self.staff.name)
        await self.audit(Act.SEE_ALARM, alarm_id)
        self.put_flash(self.t("seen_done"))
        self.redirect(OVERVIEW)


class ResendHandler(ConsoleHandler):
    """Resend an event to the targets that have not received it."""

    texts = TEXTS

    async def post(self, event_id: str) -> None:
        try:
            async with self.audit_act(Act.RESEND, event_id):
                await self.services.redelivery.resend(event_id)
        except CallerError as error:
            self.put_flash(error.text.to(self.lang), "error")
        else:
            self.put_flash(self.t("resend_done"))
        self.redirect(OVERVIEW)


def money(fen: int) -> str:
    """Format fen: 1800 is ``¥18.00``, with separators between thousands."""
    whole, _, cents = yuan(abs(fen)).partition(".")
    return f"{'−' if fen < 0 else ''}¥{int(whole):,}.{cents}"


def rate(figures: Figures) -> str:
    """Return the share of orders that were paid, as ``95.0 %``; a dash without orders."""
    return f"{100 * figures.converted / figures.created:.1f} %" if figures.created else "–"


def clock_time(moment: Any) -> str:
    return f"{moment.astimezone(BEIJING):%H:%M:%S}"


def page_of_alarm(alarm: Alarm) -> str:
    """Return the path of the page about the alarm's subject; empty if there is none."""
    if alarm.kind in OF_DAYS:
        return f"/console/reconciliation/{alarm.subject}"
    return f"/console/orders/{alarm.subject}" if OUT_TRADE_NO.fullmatch(alarm.subject) else ""


def sum_groups(days: Sequence[DayFigures]) -> list[tuple[Group, Figures]]:
    """Sum the figures of all ``days`` by channel and trade type, the largest first."""
    sums: dict[Group, Figures] = {}
    for day in days:
        for group, figures in day.groups.items():
            sums[group] = sums.get(group, NOTHING) + figures
    return sorted(sums.items(), key=lambda entry: entry[1].received, reverse=True)


def hours_of(day: DayFigures) -> list[Figures]:
    return [day.hours.get(hour, NOTHING) for hour in range(HOURS)]


def chart_data(days: Sequence[DayFigures]) -> str:
    """Return the charts' data as JSON for an HTML attribute; amounts in fen."""
    return orjson.dumps(
        {
            "days": [day.day.isoformat() for day in days],
            "received": [day.total.received for day in days],
            "refunded": [day.total.refunded for day in days],
            "hours": [[hour.received for hour in hours_of(day)] for day in days],
            "refunded_hours": [[hour.refunded for hour in hours_of(day)] for day in days],
        }
    ).decode()


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(OVERVIEW, OverviewHandler, "console_overview", Permission.READ),
        Page(rf"{OVERVIEW}/alarms/{ALARM_ID}/seen", SeenHandler, "console_alarm_seen", Permission.NOTE),
        Page(rf"{OVERVIEW}/events/{EVENT_ID}/resend", ResendHandler, "console_event_resend", Permission.RESEND),
    )
