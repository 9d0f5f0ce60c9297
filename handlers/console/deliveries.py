"""Deliveries of events to receivers: how each attempt ended, what was sent, and sending one or many again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from handlers.console.lists import PAGE, ListHandler
from handlers.console.routes import Page, console_routes
from handlers.console.states import BADGES
from handlers.console.summaries import summarize_deliveries
from handlers.console.texts.deliveries import TEXTS
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.calls.texts import show_line_ends
from wechat.domain.audit import Act
from wechat.domain.deliveries import Answer, Delivery, DeliveryState
from wechat.domain.errors import BadRequest, CallerError, NotFound
from wechat.domain.events import EventType
from wechat.domain.staff import Permission
from wechat.domain.times import beijing
from wechat.events.signature import signed_content
from wechat.events.webhooks import message_headers

PATH = "/console/deliveries"
EVENT_ID = "([0-9a-f]{24})"
UNKEPT = "v1,…"
"""Stands for the signatures of a message, which are not kept."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery as the page of its event shows it. ``answer`` is the latest refusal; ``headers`` and ``signed`` are
    those of the latest attempt whose timestamp is known, and empty without one."""

    delivery: Delivery
    answer: Answer | None
    headers: str
    signed: str


def describe_sent(delivery: Delivery) -> Sent:
    event, attempts = delivery.event, delivery.attempts[::-1]
    answer = next((attempt.answer for attempt in attempts if attempt.answer), None)
    timestamp = next((attempt.timestamp for attempt in attempts if attempt.timestamp), 0)
    if not timestamp:
        return Sent(delivery, answer, "", "")
    headers = message_headers(event.id, timestamp, UNKEPT)
    signed = signed_content(event.id, timestamp, event.body()).decode()
    return Sent(
        delivery, answer, "\n".join(f"{name}: {value}" for name, value in headers.items()), show_line_ends(signed)
    )


class DeliveriesHandler(ListHandler):
    """The list of deliveries."""

    texts = TEXTS

    async def get(self) -> None:
        state = self.chosen(DeliveryState)
        page = await self.services.delivery_store.find(state=state, limit=PAGE, cursor=self.cursor)
        self.render_console(
            "deliveries.html",
            deliveries=page.items,
            following=page.next_cursor,
            chosen=state,
            states=list(DeliveryState),
            targets=self.services.webhook_trials.targets,
            kinds=list(EventType),
            beijing=beijing,
            **BADGES,
        )


class EventHandler(ListHandler):
    """One event: its body, which is the same for each receiver, and what was sent to each. Raises NotFound."""

    texts = TEXTS

    async def get(self, event_id: str) -> None:
        deliveries = await self.services.delivery_store.of_event(event_id)
        if not deliveries:
            raise NotFound
        event = deliveries[0].event
        await self.audit(Act.READ_PAYLOAD, event.out_trade_no, after=f"{event.type} {event.id}")
        body = json.dumps(json.loads(event.body()), ensure_ascii=False, indent=2)
        sent = [describe_sent(delivery) for delivery in deliveries]
        self.render_console("deliveries_event.html", event=event, body=body, sent=sent, beijing=beijing, **BADGES)


class ResendHandler(ListHandler):
    """Resend the chosen deliveries: each ``delivery`` of the form is ``EVENT:TARGET``."""

    texts = TEXTS

    async def post(self) -> None:
        chosen = self.get_body_arguments("delivery")[:PAGE]
        if not chosen:
            raise BadRequest(TEXTS["none_chosen"], field="delivery")
        failures = [failure for failure in [await self.resend(each) for each in chosen] if failure]
        done = len(chosen) - len(failures)
        texts = [self.t("resent", count=done)] if done else []
        texts += [self.t("not_resent", count=len(failures), why=failures[0])] if failures else []
        self.put_flash(" ".join(texts), "error" if failures else "done")
        self.redirect(PATH)

    async def resend(self, delivery: str) -> str:
        """Resend one delivery ``EVENT:TARGET``. Return the reason if it was refused, otherwise an empty text."""
        event, _, target = delivery.partition(":")
        before = [each for each in await self.services.delivery_store.of_event(event) if each.target == target]
        number = before[0].event.out_trade_no if before else ""
        try:
            async with self.audit_act(Act.RESEND, number, summarize_deliveries(before), delivery) as after:
                after.append(summarize_deliveries(await self.services.redelivery.resend(event, target)))
        except CallerError as error:
            return error.text.to(self.lang)
        return ""


class TestHandler(ListHandler):
    """Send one test event of the form's ``type`` to its ``target`` and show the receiver's response."""

    texts = TEXTS

    async def post(self) -> None:
        kind = self.get_body_argument("type", EventType.ORDER_PAID)
        if kind not in list(EventType):
            raise BadRequest(TEXTS["no_such_type"], field="type")
        trial = await self.services.webhook_trials.send(self.get_body_argument("target", ""), EventType(kind))
        result = f"{trial.outcome.result}, {round(trial.duration_s * 1000)} ms"
        await self.audit(Act.RESEND, trial.target, after=f"test {kind} {trial.event.id}: {result}")
        text = self.t("tested", target=trial.target, event=kind, result=result)
        self.put_flash(text, "done" if trial.outcome.ok else "error")
        self.redirect(PATH)


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, DeliveriesHandler, "console_deliveries", Permission.READ),
        Page(f"{PATH}/resend", ResendHandler, "console_deliveries_resend", Permission.RESEND),
        Page(f"{PATH}/test", TestHandler, "console_event_test", Permission.RESEND),
        Page(f"{PATH}/{EVENT_ID}", EventHandler, "console_event", Permission.READ_PAYLOADS),
    )
