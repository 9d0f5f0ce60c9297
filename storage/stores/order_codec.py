"""Orders as documents, and back.

Written by hand: this is the format that old and new releases share. Reading gives a default to fields that are not
there; empty fields are not stored. Amounts are plain ints, which BSON returns as ``Int64`` where they need the room.

Some fields are derived for listings only, and never read back: ``due_at``, ``outbox_due_at``, ``paid_at``, ``keys``,
``refund_states``, ``refund_changed_at``, ``refund_days``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from storage.documents import Document
from storage.store import Codec
from wechat.domain.events import EventType, OutgoingEvent
from wechat.domain.facts import Api, Funds, RefundState
from wechat.domain.money import Fen
from wechat.domain.notes import Note
from wechat.domain.orders import (
    DEFAULT_CHANNEL,
    Order,
    Payment,
    Prepay,
    Refund,
    TimelineEntry,
    TradeState,
    TradeType,
)
from wechat.domain.search import OrderOutline, search_keys
from wechat.domain.times import beijing_day, day_begun_about


def write_order(order: Order) -> Document:
    """Return the document of ``order`` without its envelope."""
    document: Document = {
        "channel": order.channel,
        "out_trade_no": order.out_trade_no,
        "api": order.api.value,
        "appid": order.appid,
        "mchid": order.mchid,
        "trade_type": order.trade_type.value,
        "description": order.description,
        "total": order.total,
        "currency": order.currency,
        "created_at": order.created_at,
        "expires_at": order.expires_at,
        "notify_url": order.notify_url,
        "client_ip": order.client_ip,
        "trade_state": order.trade_state.value,
        "checks": order.checks,
        "sequence": order.sequence,
        "timeline": [write_entry(entry) for entry in order.timeline],
    }
    for name in _PLAIN:
        value = getattr(order, name)
        if value:
            document[name] = value
    if order.prepay:
        document["prepay"] = _write_prepay(order.prepay)
    if order.payments:
        document["payments"] = [_write_payment(payment) for payment in order.payments]
    if order.refunds:
        document["refunds"] = [_write_refund(refund) for refund in order.refunds]
    if order.notes:
        document["notes"] = [{"at": note.at, "by": note.by, "text": note.text} for note in order.notes]
    if order.outbox:
        document["outbox"] = [_write_event(event) for event in order.outbox]
    _derive(order, document)
    return document


def read_order(document: Document) -> Order:
    """Return the order in ``document``."""
    get = document.get
    prepay = get("prepay")
    shared = {name: document[name] for name in ("out_trade_no", "appid", "mchid")}
    total = Fen(int(document["total"]))
    return Order(
        out_trade_no=document["out_trade_no"],
        api=Api(document["api"]),
        appid=document["appid"],
        mchid=document["mchid"],
        trade_type=TradeType(document["trade_type"]),
        description=document["description"],
        total=total,
        created_at=document["created_at"],
        expires_at=document["expires_at"],
        notify_url=document["notify_url"],
        client_ip=document["client_ip"],
        channel=get("channel", DEFAULT_CHANNEL),
        openid=get("openid", ""),
        attach=get("attach", ""),
        sku=get("sku", ""),
        quantity=int(get("quantity", 0)),
        trade_state=TradeState(document["trade_state"]),
        prepay=_read_prepay(prepay) if prepay else None,
        payments=tuple([_read_payment(payment) for payment in get("payments", ())]),
        refunds=tuple([_read_refund(refund, shared, total) for refund in get("refunds", ())]),
        last_refund_at=get("last_refund_at"),
        close_after=get("close_after"),
        next_check_at=get("next_check_at"),
        check_lease=get("check_lease", ""),
        checks=get("checks", 0),
        currency=get("currency", "CNY"),
        timeline=tuple([read_entry(entry) for entry in get("timeline", ())]),
        outbox=tuple([_read_event(event) for event in get("outbox", ())]),
        sequence=get("sequence", 0),
        refusal=get("refusal", ""),
        placing_in_doubt=get("placing_in_doubt", False),
        notes=tuple([Note(note["at"], note["by"], note["text"]) for note in get("notes", ())]),
    )


OUTLINE_FIELDS = (
    "created_at",
    "trade_state",
    "channel",
    "trade_type",
    "total",
    "description",
    "attach",
    "out_trade_no",
    "payments",
)
"""Whole fields only: to pick a part of one, the embedded server takes three times as long for a document."""


def read_outline(document: Document) -> OrderOutline:
    """Return the outline of an order from a document with ``OUTLINE_FIELDS``."""
    get = document.get
    return OrderOutline(
        key=document["_id"],
        created_at=document["created_at"],
        trade_state=TradeState(document["trade_state"]),
        channel=get("channel", DEFAULT_CHANNEL),
        trade_type=TradeType(document["trade_type"]),
        total=Fen(int(document["total"])),
        description=document["description"],
        attach=get("attach", ""),
        numbers=(document["out_trade_no"], *[payment["transaction_id"] for payment in get("payments", ())]),
    )


def write_entry(entry: TimelineEntry) -> Document:
    document: Document = {"at": entry.at, "what": entry.what, "source": entry.source}
    if entry.by:
        document["by"] = entry.by
    if entry.detail:
        document["detail"] = dict(entry.detail)
    return document


def read_entry(document: Document) -> TimelineEntry:
    get, detail = document.get, document.get("detail")
    if detail:
        detail = {name: int(value) if isinstance(value, int) else value for name, value in detail.items()}
    return TimelineEntry(document["at"], document["what"], document["source"], get("by", ""), detail or {})


_PLAIN = (
    "refusal",
    "placing_in_doubt",
    "openid",
    "attach",
    "sku",
    "quantity",
    "last_refund_at",
    "close_after",
    "next_check_at",
    "check_lease",
)
_REFUND_PLAIN = (
    "surplus",
    "refund_id",
    "success_at",
    "next_check_at",
    "lease",
    "sends",
    "first_sent_at",
    "last_sent_at",
    "slow",
    "changes",
    "refusal",
)


def _derive(order: Order, document: Document) -> None:
    """Add the fields that listings search by."""
    due_at = order.due_at
    if due_at:
        document["due_at"] = due_at
    if order.outbox:
        document["outbox_due_at"] = order.outbox[0].at
    if order.paid_at:
        document["paid_at"] = order.paid_at
    document["keys"] = search_keys(order)
    if not order.refunds:
        return
    document["refund_states"] = sorted({refund.state.value for refund in order.refunds})
    document["refund_changed_at"] = max(refund.changed_at for refund in order.refunds)
    days = {day for refund in order.refunds if refund.last_sent_at for day in _days_of(refund.last_sent_at)}
    if days:
        document["refund_days"] = sorted(days)


def about_midnight(day: date) -> str:
    """Return the value in ``refund_days`` of a refund that was sent about the midnight with which ``day`` begins."""
    return f"{day.isoformat()}T00:00"


def _days_of(sent_at: datetime) -> Iterator[str]:
    yield beijing_day(sent_at).isoformat()
    if begun := day_begun_about(sent_at):
        yield about_midnight(begun)


def _write_prepay(prepay: Prepay) -> Document:
    document: Document = {"obtained_at": prepay.obtained_at, "sign_type": prepay.sign_type}
    for name in ("prepay_id", "code_url", "h5_url"):
        if value := getattr(prepay, name):
            document[name] = value
    return document


def _read_prepay(document: Document) -> Prepay:
    get = document.get
    return Prepay(
        document["obtained_at"], document["sign_type"], get("prepay_id", ""), get("code_url", ""), get("h5_url", "")
    )


def _write_payment(payment: Payment) -> Document:
    document: Document = {"transaction_id": payment.transaction_id, "total": payment.total}
    if payment.paid_at:
        document["paid_at"] = payment.paid_at
    if payment.payer_total is not None:
        document["payer_total"] = payment.payer_total
    if payment.openid:
        document["openid"] = payment.openid
    return document


def _read_payment(document: Document) -> Payment:
    payer_total = document.get("payer_total")
    return Payment(
        document["transaction_id"],
        Fen(int(document["total"])),
        document.get("paid_at"),
        None if payer_total is None else int(payer_total),
        document.get("openid", ""),
    )


def _write_refund(refund: Refund) -> Document:
    document: Document = {
        "out_refund_no": refund.out_refund_no,
        "transaction_id": refund.transaction_id,
        "api": refund.api.value,
        "refund": refund.refund,
        "reason": refund.reason,
        "by": refund.by,
        "notify_url": refund.notify_url,
        "created_at": refund.created_at,
        "state": refund.state.value,
        "timeline": [write_entry(entry) for entry in refund.timeline],
    }
    for name in _REFUND_PLAIN:
        if value := getattr(refund, name):
            document[name] = value
    if refund.funds:
        document["funds"] = refund.funds.value
    return document


def _read_refund(document: Document, shared: Mapping[str, Any], total: Fen) -> Refund:
    """Return a refund; values that it shares with its order come from the order."""
    plain: dict[str, Any] = {name: document[name] for name in _REFUND_PLAIN if name in document}
    if "funds" in document:
        plain["funds"] = Funds(document["funds"])
    return Refund(
        out_refund_no=document["out_refund_no"],
        transaction_id=document["transaction_id"],
        api=Api(document["api"]),
        refund=Fen(int(document["refund"])),
        total=total,
        reason=document["reason"],
        by=document["by"],
        notify_url=document["notify_url"],
        created_at=document["created_at"],
        state=RefundState(document["state"]),
        timeline=tuple([read_entry(entry) for entry in document.get("timeline", ())]),
        **shared,
        **plain,
    )


def _write_event(event: OutgoingEvent) -> Document:
    document: Document = {"id": event.id, "type": event.type.value, "at": event.at, "sequence": event.sequence}
    if event.out_refund_no:
        document["out_refund_no"] = event.out_refund_no
    return document


def _read_event(document: Document) -> OutgoingEvent:
    at: datetime = document["at"]
    return OutgoingEvent(
        document["id"], EventType(document["type"]), at, document["sequence"], document.get("out_refund_no", "")
    )


_REFUND_FIELDS = frozenset(
    {
        "out_refund_no",
        "transaction_id",
        "api",
        "refund",
        "reason",
        "by",
        "notify_url",
        "created_at",
        "state",
        "timeline",
        "funds",
    }
    | set(_REFUND_PLAIN)
)
_FIELDS = frozenset(
    {
        "channel", "out_trade_no", "api", "appid", "mchid", "trade_type", "description", "total", "currency",
        "created_at", "expires_at", "notify_url", "client_ip", "trade_state", "checks", "sequence", "timeline",
        "prepay", "payments", "refunds", "outbox", "notes",
        "due_at", "outbox_due_at", "paid_at", "keys", "refund_states", "refund_changed_at", "refund_days",
    }
    | set(_PLAIN)
)  # fmt: skip

ORDER = Codec(
    key=lambda order: order.key,
    write=write_order,
    read=read_order,
    fields=_FIELDS,
    parts={
        "payments": ("transaction_id", frozenset({"transaction_id", "total", "paid_at", "payer_total", "openid"})),
        "refunds": ("out_refund_no", _REFUND_FIELDS),
    },
)
