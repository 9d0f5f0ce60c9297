"""Orders and refunds as reconciliation reads them: a few fields of many documents, through indexes by date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from pymongo import ASCENDING

from storage.driver import Collection, Document, answering
from storage.outbox import EPOCH, MILLISECOND
from wechat.books import Entry
from wechat.models import Page
from wechat.refund_models import SENT

PAID_FIRST = [("paid_at", ASCENDING), ("_id", ASCENDING)]
CREATED_FIRST = [("created_at", ASCENDING), ("_id", ASCENDING)]
WAIT = timedelta(days=2)
"""How long before a day a refund may have been asked for that was sent on it: they queue a minute apart per order."""

_PAYMENT = {"transaction_id": 1, "total": 1, "currency": 1, "trade_state": 1, "paid_at": 1}
_REFUND = {
    "out_trade_no": 1,
    "transaction_id": 1,
    "refund_id": 1,
    "refund": 1,
    "state": 1,
    "created_at": 1,
    "events.at": 1,
    "events.what": 1,
}


class MongoBookEntries:
    """``BookSource`` on the collections of orders and refunds."""

    def __init__(self, orders: Collection, refunds: Collection) -> None:
        self._orders = orders
        self._refunds = refunds

    @answering
    async def paid(self, start: datetime, end: datetime, *, limit: int, cursor: str) -> Page[Entry]:
        wanted = _between("paid_at", start, end, cursor)
        found = await self._orders.find(wanted, _PAYMENT, sort=PAID_FIRST, limit=limit).to_list(limit)
        return _page(found, limit, "paid_at", _payment)

    @answering
    async def refunded(self, start: datetime, end: datetime, *, limit: int, cursor: str) -> Page[Entry]:
        wanted = _between("created_at", start - WAIT, end, cursor)
        found = await self._refunds.find(wanted, _REFUND, sort=CREATED_FIRST, limit=limit).to_list(limit)
        return _page(found, limit, "created_at", _refund, lambda document: start <= _sent_at(document) < end)

    @answering
    async def payments(self, numbers: Sequence[str]) -> Sequence[Entry]:
        return [_payment(document) for document in await _named(self._orders, numbers, _PAYMENT)]

    @answering
    async def refunds(self, numbers: Sequence[str]) -> Sequence[Entry]:
        return [_refund(document) for document in await _named(self._refunds, numbers, _REFUND)]


async def _named(collection: Collection, numbers: Sequence[str], fields: Document) -> list[Document]:
    if not numbers:
        return []
    found = collection.find({"_id": {"$in": list(numbers)}}, fields, sort=[("_id", ASCENDING)], limit=len(numbers))
    return await found.to_list(len(numbers))


def _between(field: str, start: datetime, end: datetime, cursor: str) -> Document:
    """The filter for what has its date from ``start`` up to ``end`` and follows ``cursor``."""
    if not cursor:
        return {field: {"$gte": start, "$lt": end}}
    milliseconds, number = cursor.split(".", 1)
    last = EPOCH + int(milliseconds) * MILLISECOND
    return {field: {"$gte": last, "$lt": end}, "$or": [{field: {"$gt": last}}, {"_id": {"$gt": number}}]}


def _page(
    found: list[Document],
    limit: int,
    field: str,
    entry: Callable[[Document], Entry],
    belongs: Callable[[Document], bool] = lambda _: True,
) -> Page[Entry]:
    entries = tuple([entry(document) for document in found if belongs(document)])
    if len(found) < limit:
        return Page(entries)
    last = found[-1]
    return Page(entries, f"{(last[field] - EPOCH) // MILLISECOND}.{last['_id']}")


def _payment(document: Document) -> Entry:
    return Entry(
        out_trade_no=document["_id"],
        transaction_id=document.get("transaction_id", ""),
        out_refund_no="",
        refund_id="",
        amount=int(document["total"]),
        currency=document.get("currency", "CNY"),
        state=document["trade_state"],
    )


def _refund(document: Document) -> Entry:
    return Entry(
        out_trade_no=document["out_trade_no"],
        transaction_id=document["transaction_id"],
        out_refund_no=document["_id"],
        refund_id=document.get("refund_id", ""),
        amount=int(document["refund"]),
        currency="CNY",
        state=document["state"],
    )


def _sent_at(document: Document) -> datetime:
    """When it last went to WeChat, which is when WeChat put it on a bill."""
    sent = [event["at"] for event in document.get("events", ()) if event["what"] == SENT]
    at: datetime = sent[-1] if sent else document["created_at"]
    return at
