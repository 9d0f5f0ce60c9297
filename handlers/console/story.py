"""The history of an order for its page: events, recorded calls, notifications and deliveries by time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from handlers.console.texts.order import (
    CALLS,
    NO_SIGNATURE,
    NOT_ANSWERED,
    NOTIFICATION,
    TEXTS,
)
from wechat.calls.texts import as_curl, pretty, show_line_ends, signed_answer, signed_request
from wechat.domain.approvals import AT_CONSOLE
from wechat.domain.calls import UNSIGNED, VERIFIED, Call, Direction
from wechat.domain.deliveries import Delivery, DeliveryState
from wechat.domain.errors import Bilingual
from wechat.domain.labels import CALL_VERDICTS, MISMATCHES, SOURCES, TIMELINE, name_of
from wechat.domain.money import yuan
from wechat.domain.orders import Order, TimelineEntry
from wechat.notifications.reasons import REASONS, group_of
from wechat.sign_explain.slips import describe_code

GOOD = frozenset({"paid", "success", "close_confirmed"})
BAD = frozenset(
    {"prepay_refused", "page_refused", "paid_late", "second_payment", "needs_operator", "abnormal", "change", "refused"}
)
WAIT = frozenset({"processing", "prepay_unknown", "not_now", "slow", "close_scheduled"})
PROOFS = ("v2 ", "v3 ")
"""Prefixes of a proof in an entry's ``by``, which otherwise names the author: the API, then the key that verified the
message."""
DELIVERY_TONES = {DeliveryState.DELIVERED: "good", DeliveryState.DEAD: "bad", DeliveryState.PENDING: "wait"}


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the history. ``tone`` is good, wait, bad or empty; ``code`` is the developers' name of it; ``call`` and
    ``delivery`` are shown when the line is opened."""

    at: datetime
    title: str
    more: str = ""
    tone: str = ""
    code: str = ""
    call: Call | None = None
    delivery: Delivery | None = None


def tell_story(order: Order, calls: Sequence[Call], deliveries: Sequence[Delivery], lang: str) -> list[Step]:
    """Return all steps of the order's history, oldest first."""
    steps = [*_events(order.timeline, lang)]
    for refund in order.refunds:
        steps += _events(refund.timeline, lang, refund.out_refund_no if len(order.refunds) > 1 else "")
    steps += [_call(call, lang) for call in calls]
    steps += [_delivery(delivery) for delivery in deliveries]
    return sorted(steps, key=lambda step: step.at)


def error_text(call: Call) -> Bilingual:
    """Return why a call failed or a genuine message was not applied; empty when neither is so."""
    return MISMATCHES.get(call.error, Bilingual(call.error, call.error))


def verdict_text(call: Call) -> Bilingual:
    """Return the result of checking the signature of a call's answer, in words."""
    if call.verdict in CALL_VERDICTS:
        return CALL_VERDICTS[call.verdict]
    if not call.verdict:
        return NO_SIGNATURE if call.status else NOT_ANSWERED
    return REASONS[group_of(call.verdict)].text


@dataclass(frozen=True, slots=True)
class Payload:
    """The contents of a call's page: request and answer, the strings that were signed, and a curl command."""

    call: Call
    request: str
    answer: str
    signed_request: str
    signed_answer: str
    curl: str


def open_payload(call: Call) -> Payload:
    return Payload(
        call,
        pretty(call.request),
        pretty(call.answer),
        show_line_ends(signed_request(call)),
        show_line_ends(signed_answer(call)),
        as_curl(call),
    )


def _events(timeline: Sequence[TimelineEntry], lang: str, refund: str = "") -> Iterator[Step]:
    for entry in timeline:
        tone = "good" if entry.what in GOOD else "bad" if entry.what in BAD else "wait" if entry.what in WAIT else ""
        proof = entry.by if entry.by.startswith(PROOFS) else ""
        parts = [refund, _source(entry.source, lang), "" if proof else _source(entry.by, lang)]
        parts += [_detail(name, value, lang) for name, value in entry.detail.items()]
        yield Step(
            entry.at,
            name_of(TIMELINE, entry.what, lang),
            " · ".join(part for part in parts if part),
            tone,
            code=" · ".join(part for part in (entry.what, entry.source, proof) if part),
        )


def _source(code: str, lang: str) -> str:
    """Return the name of an entry's author: a part of the system, or a person at the console."""
    return code.removeprefix(AT_CONSOLE) if code.startswith(AT_CONSOLE) else name_of(SOURCES, code, lang)


def _detail(name: str, value: str | int, lang: str) -> str:
    """Return an entry's text beside its name; empty for a refund's number, which ``tell_story`` shows where there are
    several refunds."""
    match name:
        case "refund" | "total":
            return f"¥{yuan(int(value))}"
        case "transaction_id":
            return f"{TEXTS['transaction_id'].to(lang)} {value}"
        case "slip":
            return describe_code(str(value)).to(lang)
        case "out_refund_no":
            return ""
        case "message":
            return str(value)
    return f"{name}={value}"


def _call(call: Call, lang: str) -> Step:
    title = NOTIFICATION if call.direction is Direction.IN else CALLS.get(call.call, Bilingual(call.call, call.call))
    went_well = call.verdict in (VERIFIED, UNSIGNED) and not call.error and call.status < 300
    error = error_text(call).to(lang)
    answer = f"HTTP {call.status}" if call.status else "" if error else "–"
    parts = (answer, f"{call.duration_ms} ms", verdict_text(call).to(lang), error)
    more = " · ".join(part for part in parts if part)
    return Step(call.at, title.to(lang), more, "" if went_well else "bad", call=call)


def _delivery(delivery: Delivery) -> Step:
    tone = DELIVERY_TONES[delivery.state]
    return Step(delivery.event.at, f"{delivery.event.type} → {delivery.target}", "", tone, delivery=delivery)
