"""Orders and refunds as JSON: what a payer sees, and what a merchant sees on top of it."""

from __future__ import annotations

from typing import Any

from wechat.alarms.texts import sentence, step
from wechat.diagnosis.diagnosis import explain
from wechat.diagnosis.snapshot import OrderSnapshot, RemoteStatus
from wechat.domain.alarms import Alarm
from wechat.domain.calls import Call
from wechat.domain.deliveries import Answer, Delivery, order_data, refund_data
from wechat.domain.errors import RemoteError
from wechat.domain.facts import Received
from wechat.domain.orders import Order, Refund, TimelineEntry
from wechat.domain.refunds import find_not_now
from wechat.domain.refused import RefusedNotification
from wechat.domain.times import BEIJING, to_v3
from wechat.events.trials import Trial
from wechat.notifications.reasons import REASONS
from wechat.orders.service import OrderWithPayParams
from wechat.sign_explain.model import Slip
from wechat.sign_explain.slips import describe_code

PAYER_FIELDS = (
    "out_trade_no",
    "description",
    "total",
    "currency",
    "trade_state",
    "created_at",
    "expires_at",
    "paid_at",
)


def payer_view(order: Order) -> dict[str, Any]:
    """Return the fields of an order that a page may know. ``total`` in fen, times in RFC 3339."""
    data = order_data(order)
    return {name: data[name] for name in PAYER_FIELDS}


def merchant_view(order: Order) -> dict[str, Any]:
    """Return all fields of an order except those that only a browser may use."""
    view = order_data(order) | {"timeline": [_line(event) for event in order.timeline]}
    if order.prepay and order.prepay.code_url:
        view["code_url"] = order.prepay.code_url
    if order.prepay and order.prepay.h5_url:
        view["h5_url"] = order.prepay.h5_url
    return view


def refund_view(refund: Refund) -> dict[str, Any]:
    """Return a refund for merchants; ``due_at`` is when it will be sent, None once it may have reached WeChat Pay.

    ``not_now`` is WeChat Pay's latest answer if it was no decision on the refund itself; the refund is then sent again.
    """
    waits = find_not_now(refund)
    return refund_data(refund) | {
        "sends": refund.sends,
        "not_now": {"code": waits.by, "message": waits.detail.get("message", "")} if waits else None,
        "due_at": to_v3(refund.queued_until) if refund.queued_until else None,
        "timeline": [_line(event) for event in refund.timeline],
    }


def received_view(message: Received) -> dict[str, Any]:
    """Return a received notification: its type, how often it arrived, and its outcome."""
    return {
        "id": message.id,
        "api": message.api.value,
        "kind": message.kind,
        "seen": message.seen,
        "verdict": message.verdict or "accepted",
        "first_at": to_v3(message.first_at),
        "last_at": to_v3(message.last_at),
    }


def alarm_view(alarm: Alarm, lang: str) -> dict[str, Any]:
    """Return an alarm: its meaning, how often it was raised, and its state, ``open``, ``seen`` or ``cleared``."""
    state = "cleared" if alarm.cleared_at else "seen" if alarm.seen_at else "open"
    return {
        "id": alarm.id,
        "kind": alarm.kind,
        "subject": alarm.subject or None,
        "error": alarm.error or None,
        "sentence": sentence(alarm).to(lang),
        "next": step(alarm),
        "state": state,
        "count": alarm.count,
        "first_at": to_v3(alarm.first_at),
        "last_at": to_v3(alarm.last_at),
        "seen_at": to_v3(alarm.seen_at) if alarm.seen_at else None,
        "seen_by": alarm.seen_by or None,
        "cleared_at": to_v3(alarm.cleared_at) if alarm.cleared_at else None,
    }


def refused_view(message: RefusedNotification, lang: str) -> dict[str, Any]:
    """Return a refused notification: its claims, the reason for the refusal, and what to do; without its content."""
    reason = REASONS[message.reason]
    return {
        "id": message.id,
        "api": message.api,
        "reason": message.reason,
        "meaning": reason.text.to(lang),
        "fix": reason.fix.to(lang),
        "slips": [{"code": code, "text": describe_code(code).to(lang)} for code in message.slips],
        "serial": message.serial or None,
        "known_serials": list(message.known_serials),
        "age_s": message.age_s,
        "out_trade_no": message.out_trade_no or None,
        "bytes": message.size,
        "seen": message.seen,
        "first_at": to_v3(message.first_at),
        "last_at": to_v3(message.last_at),
        "accepted_at": to_v3(message.accepted_at) if message.accepted_at else None,
    }


def slip_view(slip: Slip, lang: str) -> dict[str, Any]:
    """Return a slip: its code and text, the wrong line and the right one."""
    return {
        "code": slip.code.value,
        "text": slip.text.to(lang),
        "wrong": slip.wrong or None,
        "right": slip.right or None,
    }


def refused_message(message: RefusedNotification) -> dict[str, Any]:
    """Return headers and body as received; bytes that are not UTF-8 are shown as ``\\xNN``."""
    return {"headers": dict(message.headers), "body": message.raw.decode("utf-8", "backslashreplace")}


def why_view(case: OrderSnapshot, lang: str) -> dict[str, Any]:
    """Return the diagnosis of an order: a sentence in ``lang``, the next step, and the data that they are based on."""
    sentence, next_step = explain(case)
    return {
        "out_trade_no": case.order.out_trade_no,
        "sentence": sentence.to(lang),
        "next": next_step or None,
        "ours": merchant_view(case.order),
        "wechat": _look(case.look, lang),
        "notifications": [received_view(message) for message in case.received],
        "refused": [refused_view(message, lang) for message in case.unverified],
        "refunds": [refund_view(refund) for refund in case.refunds],
    }


def call_view(call: Call) -> dict[str, Any]:
    """Return a recorded call without headers and bodies; ``verdict`` is that of its signature, None without one."""
    return {
        "id": call.id,
        "at": to_v3(call.at),
        "direction": call.direction.value,
        "call": call.call,
        "method": call.method,
        "url": call.url,
        "status": call.status or None,
        "duration_ms": call.duration_ms,
        "request_id": call.request_id or None,
        "verdict": call.verdict or None,
        "error": call.error or None,
    }


def with_pay(view: dict[str, Any], placed: OrderWithPayParams) -> dict[str, Any]:
    """Add to ``view`` what the cashier needs, if the order can still be paid in a page."""
    return view | {"pay": placed.pay.as_json()} if placed.pay else view


def remote_view(error: RemoteError, lang: str) -> dict[str, Any]:
    """Return WeChat Pay's error, its causes and next step: for merchants only, never for payers."""
    return {
        "call": error.call,
        "code": error.wire_code,
        "message": error.wire_message,
        "request_id": error.request_id,
        "causes": [cause.to(lang) for cause in error.advice.causes],
        "next": error.advice.next_step.to(lang),
    }


def trial_view(trial: Trial) -> dict[str, Any]:
    """Return a test event and its receiver's answer; ``body`` is the sent body as text."""
    return {
        "id": trial.event.id,
        "type": trial.event.type,
        "target": trial.target,
        "delivered": trial.outcome.ok,
        "result": trial.outcome.result,
        "duration_s": round(trial.duration_s, 4),
        "answer": _answer_view(trial.outcome.answer),
        "body": trial.event.body().decode(),
    }


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """Return the state of a delivery; ``due_at`` is the next attempt, None after the last one."""
    event = delivery.event
    return {
        "id": event.id,
        "type": event.type,
        "at": to_v3(event.at),
        "out_trade_no": event.out_trade_no,
        "target": delivery.target,
        "state": delivery.state.value,
        "due_at": to_v3(delivery.due_at) if delivery.due_at else None,
        "tries": delivery.tries,
        "attempts": [
            {
                "at": to_v3(attempt.at),
                "result": attempt.result,
                "duration_s": attempt.duration_s,
                "answer": _answer_view(attempt.answer),
            }
            for attempt in delivery.attempts
        ],
    }


def _answer_view(answer: Answer | None) -> dict[str, str] | None:
    """Return the beginning of a receiver's refusal; others wrote it."""
    return {"content_type": answer.content_type, "text": answer.text} if answer else None


def _look(look: RemoteStatus, lang: str) -> dict[str, Any]:
    """Return WeChat Pay's answer: a transaction, or the error."""
    there, error = look.transaction, look.error
    view: dict[str, Any] = {"outcome": look.outcome.value}
    if there:
        view |= {
            "trade_state": there.state.value,
            "transaction_id": there.transaction_id or None,
            "total": there.total,
            "payer_total": there.payer_total,
            "openid": there.openid or None,
            "success_time": to_v3(there.success_time) if there.success_time else None,
        }
    if error:
        view["error"] = {"code": error.public_code, "message": error.text.to(lang)}
    if isinstance(error, RemoteError):
        view["error"]["wechat"] = remote_view(error, lang)
    return view


def _line(event: TimelineEntry) -> dict[str, Any]:
    return {
        "at": event.at.astimezone(BEIJING).isoformat(timespec="milliseconds"),
        "what": event.what,
        "source": event.source,
        "by": event.by or None,
        "detail": dict(event.detail),
    }
