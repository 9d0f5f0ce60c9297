"""An order's page: WeChat's data of it, and all its events by time."""

from __future__ import annotations

from typing import Any, NamedTuple

from simulator.control.calls import order_json
from simulator.control.money_calls import refund_json
from simulator.control.scenarios import SCENARIO_NAMES, Scenario
from simulator.state.orders import RuleBroken
from simulator.web.pages import PageHandler
from simulator.web.parts import LOOKS
from simulator.web.texts import name_attempt, name_state, translator
from wechat.domain.money import yuan


class StoryEvent(NamedTuple):
    """``at`` in RFC 3339; ``looks`` is good, wait, bad or empty; ``detail`` is shown unchanged."""

    at: str
    what: str
    looks: str = ""
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
    t = translator(lang)
    events = [StoryEvent(order["created_at"], t("order_created"), detail=", ".join(order["prepay_ids"]))]
    if order["paid_at"]:
        events.append(StoryEvent(order["paid_at"], t("order_paid"), "good", _scenario(order["scenario"], lang)))
    if order["closed_at"]:
        events.append(StoryEvent(order["closed_at"], t("order_closed")))
    for refund in refunds:
        state, number = name_state(refund["state"], lang, refund=True), refund["out_refund_no"]
        detail = f"{number} ¥{yuan(refund['refund'])} {state}"
        events.append(StoryEvent(refund["taken_at"], t("refunds"), LOOKS.get(refund["state"], ""), detail))
    events += [_notification(each, lang) for each in order["attempts"]]
    return sorted(events, key=lambda event: event.at)


def _scenario(name: str, lang: str) -> str:
    return SCENARIO_NAMES[Scenario(name)].to(lang) if name in list(Scenario) else name


def _notification(attempt: dict[str, Any], lang: str) -> StoryEvent:
    """Return the event of an attempt to notify, with the merchant's answer."""
    t = translator(lang)
    answer = f"{attempt['status']} {attempt['body']}".strip() if attempt["status"] else attempt["error"]
    what = f"{t('notification_sent')} · {name_attempt(attempt['kind'], lang)}"
    return StoryEvent(attempt["at"], what, "good" if attempt["right"] else "bad", answer or t("no_reply"))
