"""An order's page: what WeChat knows of it, and everything that happened, in the order in which it happened."""

from __future__ import annotations

from typing import Any, NamedTuple

from simulator.control.calls import order_json
from simulator.control.money_calls import refund_json
from simulator.state.orders import RuleBroken
from simulator.web.pages import PageHandler
from simulator.web.texts import TEXTS


class StoryEvent(NamedTuple):
    """``at`` in RFC 3339; ``detail`` is shown as it is."""

    at: str
    what: str
    detail: str = ""


class Story(PageHandler):
    """GET /simulator/stories/{out_trade_no}."""

    def get(self, out_trade_no: str) -> None:
        self.policy()
        self.simulator.refunds.end_due()
        try:
            found = self.simulator.orders.find(out_trade_no)
        except RuleBroken:
            self.send_error(404)
            return
        refunds = [refund_json(self.simulator, refund) for refund in self.simulator.refunds.of_order(out_trade_no)]
        order = order_json(self.simulator, found)
        self.show("story.html", order=order, events=_events(order, refunds, self.lang))


def _events(order: dict[str, Any], refunds: list[dict[str, Any]], lang: str) -> list[StoryEvent]:
    def translate(name: str) -> str:
        return TEXTS[name].to(lang)

    events = [StoryEvent(order["created_at"], translate("order_created"))]
    if order["paid_at"]:
        events.append(StoryEvent(order["paid_at"], translate("order_paid"), order["scenario"]))
    if order["closed_at"]:
        events.append(StoryEvent(order["closed_at"], translate("order_closed")))
    events += [StoryEvent(each["taken_at"], translate("refunds"), each["out_refund_no"]) for each in refunds]
    events += [
        StoryEvent(each["at"], f"{translate('notification_sent')} {each['kind']}", _answer(each, translate("no_reply")))
        for each in order["attempts"]
    ]
    return sorted(events, key=lambda event: event.at)


def _answer(attempt: dict[str, Any], no_reply: str) -> str:
    """What the merchant answered to a notification."""
    if not attempt["status"]:
        return str(attempt["error"] or no_reply)
    return f"{attempt['status']} {attempt['body']}".strip()
