"""Payments and refunds as reconciliation reads them: a few fields of many documents, by windows of dates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from storage.documents import MILLISECOND, Document, Documents
from storage.stores.order_codec import about_midnight
from storage.stores.windows import windows
from wechat.domain.numbers import refund_number
from wechat.domain.orders import order_key
from wechat.domain.ports import NumberStore
from wechat.domain.refunds import WINDOW
from wechat.domain.times import beijing_day, day_begun_about, day_span
from wechat.reconciliation.books import BookEntry

YEAR_OF_REFUNDS = WINDOW + timedelta(days=8)
"""The longest time from an order's placing to a refund: it can be paid for a week, and refunded for a year
after that."""

PAYMENT_FIELDS = ("out_trade_no", "mchid", "payments", "total", "currency", "trade_state", "paid_at", "created_at")
REFUND_FIELDS = ("out_trade_no", "mchid", "refunds", "created_at")


class BookEntries:
    """``BookSource`` on the collection of orders, for one merchant."""

    def __init__(self, orders: Documents, numbers: NumberStore) -> None:
        self._orders = orders
        self._numbers = numbers

    async def list_payments(self, mchid: str, day: date) -> AsyncIterator[Sequence[BookEntry]]:
        start, end = day_span(day)
        async for found in windows(self._orders, "paid_at", {}, start, end - MILLISECOND, PAYMENT_FIELDS):
            yield [_payment(document) for document in found if document["mchid"] == mchid]

    async def list_refunds(self, mchid: str, day: date) -> AsyncIterator[Sequence[BookEntry]]:
        def on_day(sent_at: datetime) -> bool:
            return beijing_day(sent_at) == day

        async for found in refunded_orders(self._orders, day, day.isoformat(), REFUND_FIELDS):
            yield [entry for document in found if document["mchid"] == mchid for entry in _refunds(document, on_day)]

    async def refunded_about(self, mchid: str, day: date) -> Sequence[BookEntry]:
        batches = refunded_orders(self._orders, day, about_midnight(day), REFUND_FIELDS)
        documents = [document async for found in batches for document in found if document["mchid"] == mchid]
        return [entry for document in documents for entry in _refunds(document, lambda at: day_begun_about(at) == day)]

    async def payments(self, mchid: str, numbers: Sequence[str]) -> Sequence[BookEntry]:
        return [_payment(document) for document in await self._documents(order_key(mchid, n) for n in numbers)]

    async def refunds(self, mchid: str, numbers: Sequence[str]) -> Sequence[BookEntry]:
        uses = await _all(self._numbers.get(refund_number(mchid, number)) for number in numbers)
        wanted, found = set(numbers), await self._documents({use.order_key for use in uses if use})
        return [entry for document in found for entry in _refunds(document) if entry.out_refund_no in wanted]

    async def _documents(self, keys: Iterable[str]) -> list[Document]:
        found = await _all(self._orders.get(key) for key in keys)
        return [document for document in found if document]


def refunded_orders(
    orders: Documents, day: date, refund_day: str, fields: Sequence[str]
) -> AsyncIterator[list[Document]]:
    """Return orders whose ``refund_days`` contain ``refund_day``, which is ``day`` or its midnight; of any merchant."""
    _, end = day_span(day)
    equal = {"refund_days": refund_day}
    return windows(orders, "created_at", equal, end - YEAR_OF_REFUNDS, end - MILLISECOND, fields)


async def _all(reads: Iterable[Any]) -> list[Any]:
    """Return every result; the reads go to the database in groups."""
    return list(await asyncio.gather(*reads))


def _payment(document: Document) -> BookEntry:
    """Return the order's own payment; for an order without one, with an empty transaction_id."""
    payments = document.get("payments", ())
    return BookEntry(
        out_trade_no=document["out_trade_no"],
        transaction_id=payments[0]["transaction_id"] if payments else "",
        out_refund_no="",
        refund_id="",
        amount=int(document["total"]),
        currency=document.get("currency", "CNY"),
        state=document["trade_state"],
    )


def _refunds(document: Document, wanted: Callable[[datetime], bool] | None = None) -> Iterable[BookEntry]:
    """Return the order's refunds; with ``wanted``, those that were last sent in that time: a bill has refunds by their
    day."""
    for refund in document.get("refunds", ()):
        sent_at = refund.get("last_sent_at")
        if wanted is None or (sent_at is not None and wanted(sent_at)):
            yield BookEntry(
                out_trade_no=document["out_trade_no"],
                transaction_id=refund["transaction_id"],
                out_refund_no=refund["out_refund_no"],
                refund_id=refund.get("refund_id", ""),
                amount=int(refund["refund"]),
                currency="CNY",
                state=refund["state"],
            )
