"""Convert documents of release 0.1.0 to today's values. Pure: nothing is read or written here.

0.1.0 stored refunds in a collection of their own, found an order by its out_trade_no alone, and changed documents by
updates without a revision. Its documents therefore cannot stay beside today's: they are copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from storage.stores.days import read_result
from storage.stores.order_codec import read_entry
from wechat.domain.deliveries import Attempt, Delivery, DeliveryState, Event
from wechat.domain.events import EventType, OutgoingEvent
from wechat.domain.facts import Api, RefundState
from wechat.domain.messages import StoredNotification
from wechat.domain.money import Fen
from wechat.domain.numbers import Claim, NumberUse, payment_number, refund_number
from wechat.domain.orders import Order, Payment, Prepay, Refund, TimelineEntry, TradeState, TradeType, order_key
from wechat.domain.refunds import MAX_FAILED, NOT_REFUNDABLE, SENT, has_room
from wechat.reconciliation.books import Audit, BookEntry, Difference, DifferenceKind, Status
from wechat.reconciliation.days import BookDay

Document = Mapping[str, Any]


def order_from(document: Document, refunds: Sequence[Document]) -> Order:
    """The order in ``document`` with its ``refunds``, the oldest first."""
    get = document.get
    own = _own_payment(document)
    order = Order(
        out_trade_no=document["_id"],
        api=Api(document["api"]),
        appid=document["appid"],
        mchid=document["mchid"],
        trade_type=TradeType(document["trade_type"]),
        description=document["description"],
        total=Fen(int(document["total"])),
        created_at=document["created_at"],
        expires_at=document["expires_at"],
        notify_url=document["notify_url"],
        client_ip=document["client_ip"],
        openid=get("openid", ""),
        attach=get("attach", ""),
        sku=get("sku", ""),
        quantity=int(get("quantity", 0)),
        trade_state=TradeState(document["trade_state"]),
        prepay=_prepay(get("prepay")),
        payments=(*own, *_second_payments(document, refunds)),
        last_refund_at=get("last_refund_at"),
        close_after=get("close_after"),
        next_check_at=get("next_check_at"),
        checks=int(get("checks", 0)),
        currency=get("currency", "CNY"),
        timeline=_timeline(document),
    )
    for each in refunds:
        order = _with_refund(order, refund_from(each), get("refunds", {}).get(each["_id"]))
    outbox = outgoing_events(document, refunds)
    waiting = _not_handed_out([document, *refunds])
    return replace(
        _without_old_failures(order),
        outbox=tuple([event for event in outbox if event.id in waiting]),
        sequence=len(outbox),
    )


def refund_from(document: Document) -> Refund:
    """The refund in ``document``."""
    get, state, timeline = document.get, RefundState(document["state"]), _timeline(document)
    sent = [entry.at for entry in timeline if entry.what == SENT]
    states = {each.lower() for each in RefundState}
    return Refund(
        out_refund_no=document["_id"],
        out_trade_no=document["out_trade_no"],
        transaction_id=document["transaction_id"],
        api=Api(document["api"]),
        appid=document["appid"],
        mchid=document["mchid"],
        refund=Fen(int(document["refund"])),
        total=Fen(int(document["total"])),
        reason=document["reason"],
        by=document["by"],
        notify_url=document["notify_url"],
        created_at=document["created_at"],
        state=state,
        surplus=get("surplus", False),
        refund_id=get("refund_id", ""),
        success_at=get("success_at"),
        next_check_at=get("next_check_at"),
        sends=len(sent),
        first_sent_at=sent[0] if sent else None,
        last_sent_at=sent[-1] if sent else None,
        slow=any(entry.what == "slow" for entry in timeline),
        changes=sum(entry.what in states for entry in timeline),
        refusal=timeline[-1].by if state is RefundState.REFUSED else "",
        timeline=timeline,
    )


def outgoing_events(order: Document, refunds: Sequence[Document]) -> list[OutgoingEvent]:
    """Return every event that an order and its refunds ever staged, in the order of delivery."""
    found = [(entry, "") for entry in order.get("outbox", ())]
    found += [(entry, refund["_id"]) for refund in refunds for entry in refund.get("outbox", ())]
    found.sort(key=lambda pair: pair[0]["at"])
    return [
        OutgoingEvent(entry["id"], EventType(entry["type"]), entry["at"], sequence, out_refund_no)
        for sequence, (entry, out_refund_no) in enumerate(found, start=1)
    ]


def numbers_of(order: Order) -> Iterable[NumberUse]:
    """The numbers that ``order`` uses."""
    for payment in order.payments:
        yield NumberUse(payment_number(order.mchid, payment.transaction_id), order.key)
    for refund in order.refunds:
        yield NumberUse(refund_number(order.mchid, refund.out_refund_no), order.key)


def notification_from(document: Document) -> StoredNotification:
    about = document.get("out_trade_no", "")
    return StoredNotification(
        id=document["_id"],
        api=Api(document["api"]),
        kind=document["kind"],
        mchid=document["mchid"],
        out_trade_no=about,
        order_key=order_key(document["mchid"], about) if about else "",
        proof=document["proof"],
        raw=bytes(document["raw"]),
        headers=document["headers"],
        first_at=document["first_at"],
        last_at=document["last_at"],
        expires_at=document["expires_at"],
        seen=int(document["seen"]),
        verdict=document.get("verdict", ""),
        concluded_at=document.get("concluded_at"),
    )


def delivery_from(document: Document, mchid: str, data: Mapping[str, Any], sequence: int) -> Delivery:
    get = document.get
    return Delivery(
        event=Event(document["event_id"], document["type"], document["at"], document["out_trade_no"], data),
        target=document["target"],
        order_key=order_key(mchid, document["out_trade_no"]),
        sequence=sequence,
        due_at=get("due_at"),
        state=DeliveryState(document["state"]),
        blocked=get("waits", False),
        tries=int(document["tries"]),
        attempts=tuple([Attempt(each["at"], each["result"], each["duration_s"]) for each in document["attempts"]]),
        expires_at=get("expires_at"),
    )


def claim_from(document: Document) -> Claim:
    return Claim(document["_id"], document["out_trade_no"], document["digest"], document["expires_at"])


def day_from(document: Document, mchid: str) -> BookDay:
    day, result = date.fromisoformat(document["_id"]), document.get("result")
    return BookDay(
        mchid=mchid,
        day=day,
        due_at=None if document.get("done") else document.get("due_at"),
        planned=document.get("planned", False),
        result=read_result(day, dict(result)) if result else None,
    )


def difference_from(document: Document, mchid: str) -> Difference:
    """The difference in ``document``, under the id that names its merchant too."""
    difference = Difference.between(
        mchid,
        date.fromisoformat(document["day"]),
        DifferenceKind(document["kind"]),
        _entry(document["ours"]),
        _entry(document["theirs"]),
        document["found_at"],
    )
    return replace(
        difference,
        seen_at=document.get("seen_at", document["found_at"]),
        status=Status(document["status"]),
        audit=tuple([_read_audit(each) for each in document["audit"]]),
    )


def _own_payment(document: Document) -> tuple[Payment, ...]:
    if not document.get("transaction_id"):
        return ()
    payer_total = document.get("payer_total")
    return (
        Payment(
            document["transaction_id"],
            Fen(int(document["total"])),
            document.get("paid_at"),
            None if payer_total is None else int(payer_total),
        ),
    )


def _second_payments(document: Document, refunds: Sequence[Document]) -> tuple[Payment, ...]:
    """Return the second payments that were refunded; 0.1.0 stored no others."""
    numbers = dict.fromkeys(each["transaction_id"] for each in refunds if each.get("surplus"))
    return tuple([Payment(number, Fen(int(document["total"])), None) for number in numbers])


def _with_refund(order: Order, refund: Refund, reserved: int | None) -> Order:
    """Add a refund. A refund that was stored, and neither reserved nor sent before its process ended, is reserved now;
    if the refundable amount is too small, it is refused."""
    unsent = refund.state is RefundState.REQUESTED and not refund.sends
    if unsent and not reserved and not refund.surplus and not has_room(order, refund):
        refund = replace(refund, state=RefundState.REFUSED, refusal=NOT_REFUNDABLE, next_check_at=None)
    if not refund.open:
        refund = replace(refund, next_check_at=None)
    return replace(order, refunds=(*order.refunds, refund))


def _without_old_failures(order: Order) -> Order:
    failed = [refund for refund in order.refunds if not refund.reserves]
    dropped = {refund.out_refund_no for refund in failed[: max(0, len(failed) - MAX_FAILED)]}
    return replace(order, refunds=tuple([each for each in order.refunds if each.out_refund_no not in dropped]))


def _not_handed_out(documents: Iterable[Document]) -> set[str]:
    """Return the ids of events that are not handed out yet."""
    return {
        entry["id"] for document in documents for entry in document.get("outbox", ())[document.get("outbox_done", 0) :]
    }


def _timeline(document: Document) -> tuple[TimelineEntry, ...]:
    return tuple([read_entry(dict(entry)) for entry in document.get("events", ())])


def _prepay(document: Document | None) -> Prepay | None:
    if not document:
        return None
    get, at = document.get, document["obtained_at"]
    return Prepay(at, document["sign_type"], get("prepay_id", ""), get("code_url", ""), get("h5_url", ""))


def _entry(document: Document | None) -> BookEntry | None:
    return BookEntry(**{**document, "amount": int(document["amount"])}) if document else None


def _read_audit(document: Document) -> Audit:
    at: datetime = document["at"]
    source, target = Status(document["source"]), Status(document["target"])
    return Audit(at, document["by"], document["action"], source, target, document.get("detail", ""))
