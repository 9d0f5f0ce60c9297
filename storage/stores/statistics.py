"""Summaries of days, and what they are computed from: a few fields of many orders, by windows of dates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from storage.documents import FIRST, LAST, MILLISECOND, Document, Documents, Range
from storage.store import Codec, DocumentStore
from storage.stores.book_entries import refunded_orders
from storage.stores.windows import windows
from wechat.domain.orders import DEFAULT_CHANNEL, TradeState
from wechat.domain.ports import Clock, Stored
from wechat.domain.times import beijing_day, day_span
from wechat.statistics.days import DaySummary
from wechat.statistics.figures import Entry, EntryKind, Figures, Group, Hour
from wechat.statistics.ports import Waiting

MOST_WAITING = 1000
LONGEST_WAIT = timedelta(days=8)
"""An order can be paid for a week; no older order is still unpaid."""
SALE_FIELDS = ("mchid", "channel", "trade_type", "total", "trade_state", "created_at", "paid_at")
REFUND_FIELDS = ("mchid", "channel", "trade_type", "refunds", "created_at")
WAITING_FIELDS = ("mchid", "total", "created_at")


class StatisticsEntries:
    """``EntrySource`` on the collection of orders."""

    def __init__(self, orders: Documents, clock: Clock) -> None:
        self._orders = orders
        self._clock = clock

    async def list_sales(self, mchid: str, start: datetime, end: datetime) -> AsyncIterator[Sequence[Entry]]:
        for by, kind in (("created_at", EntryKind.CREATED), ("paid_at", EntryKind.PAID)):
            async for found in windows(self._orders, by, {}, start, end - MILLISECOND, SALE_FIELDS):
                yield [_sale(document, kind, by) for document in found if document["mchid"] == mchid]

    async def list_refunds(self, mchid: str, day: date) -> AsyncIterator[Sequence[Entry]]:
        async for found in refunded_orders(self._orders, day, day.isoformat(), REFUND_FIELDS):
            yield [entry for document in found if document["mchid"] == mchid for entry in _refunds(document, day)]

    async def waiting(self, mchid: str) -> Waiting:
        now = self._clock.now()
        equal = {"trade_state": TradeState.NOTPAY.value}
        wanted = Range(
            "created_at", now - LONGEST_WAIT, now, equal, MOST_WAITING + 1, latest=True, fields=WAITING_FIELDS
        )
        found = await self._orders.find(wanted)
        own = [document for document in found[:MOST_WAITING] if document["mchid"] == mchid]
        return Waiting(len(own), sum(int(document["total"]) for document in own), len(found) > MOST_WAITING)

    async def first_day(self, mchid: str, since: date) -> date | None:
        """See EntrySource. Reads day by day, because an answer's cost depends on the documents in its range."""
        start, _ = day_span(since)
        now = self._clock.now()
        while start <= now:
            end = start + timedelta(days=1)
            found = await self._orders.find(Range("created_at", start, end, limit=1, fields=("created_at",)))
            if found:
                return beijing_day(found[0]["created_at"])
            start = end
        return None


class DaySummaries(DocumentStore[DaySummary]):
    """``SummaryStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, SUMMARY)

    async def between(self, mchid: str, first: date, last: date) -> Sequence[DaySummary]:
        found = await self._documents.find(Range("date", _midnight(first), _midnight(last), {"mchid": mchid}))
        return sorted(self.values(found), key=lambda summary: summary.day)

    async def newest(self, mchid: str) -> date | None:
        """See SummaryStore. A merchant has a document a day, so all of them are few."""
        wanted = Range("date", FIRST, LAST, {"mchid": mchid}, 1, latest=True, fields=("date", "day"))
        found = await self._documents.find(wanted)
        return date.fromisoformat(found[0]["day"]) if found else None

    async def list_due(self, mchid: str, now: datetime, limit: int) -> Sequence[Stored[DaySummary]]:
        found = await self.due_until(Range("due_at", FIRST, now, {"mchid": mchid}, limit=limit, latest=True))
        return sorted(found, key=lambda stored: stored.value.day, reverse=True)

    async def next_due(self, mchid: str, until: datetime) -> datetime | None:
        wanted = Range("due_at", FIRST, until, {"mchid": mchid}, limit=1, fields=("due_at",))
        found = await self._documents.find(wanted)
        return found[0]["due_at"] if found else None


def _group(document: Document) -> Group:
    return Group(document.get("channel", DEFAULT_CHANNEL), document["trade_type"])


def _sale(document: Document, kind: EntryKind, by: str) -> Entry:
    return Entry(kind, document[by], _group(document), int(document["total"]), document["trade_state"])


def _refunds(document: Document, day: date) -> Iterator[Entry]:
    for refund in document.get("refunds", ()):
        sent_at = refund.get("last_sent_at")
        if sent_at is not None and beijing_day(sent_at) == day:
            amount, surplus = int(refund["refund"]), bool(refund.get("surplus"))
            yield Entry(EntryKind.REFUND, sent_at, _group(document), amount, refund["state"], surplus)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


_DATES = ("due_at", "lease", "leased_until", "rest_until", "computed_at")


def _write(summary: DaySummary) -> Document:
    document: Document = {
        "mchid": summary.mchid,
        "day": summary.day.isoformat(),
        "date": _midnight(summary.day),
        "stale": sorted(summary.stale),
        "computing": sorted(summary.computing),
        "hours": [_write_hour(number, hour) for number, hour in sorted(summary.hours.items())],
    }
    for name in _DATES:
        if value := getattr(summary, name):
            document[name] = value
    return document


def _read(document: Document) -> DaySummary:
    dates: dict[str, Any] = {name: document[name] for name in _DATES if name in document}
    return DaySummary(
        mchid=document["mchid"],
        day=date.fromisoformat(document["day"]),
        due_at=dates.pop("due_at", None),
        stale=frozenset(document["stale"]),
        computing=frozenset(document["computing"]),
        hours={int(each["hour"]): _read_hour(each) for each in document["hours"]},
        **dates,
    )


def _write_hour(number: int, hour: Hour) -> Document:
    groups = [[*group, *figures.numbers] for group, figures in sorted(hour.groups.items())]
    slices = [[minute, *figures.numbers] for minute, figures in sorted(hour.slices.items())]
    return {"hour": number, "groups": groups, "slices": slices}


def _read_hour(document: Mapping[str, Any]) -> Hour:
    return Hour(
        {Group(channel, kind): _figures(numbers) for channel, kind, *numbers in document["groups"]},
        {int(minute): _figures(numbers) for minute, *numbers in document["slices"]},
    )


def _figures(numbers: Sequence[int]) -> Figures:
    """Return the figures that this release knows; a later release may add others at the end."""
    return Figures(*[int(number) for number in numbers[: len(fields(Figures))]])


SUMMARY = Codec(
    key=lambda summary: summary.key,
    write=_write,
    read=_read,
    fields=frozenset({"mchid", "day", "date", "stale", "computing", "hours", *_DATES}),
    parts={"hours": ("hour", frozenset({"hour", "groups", "slices"}))},
)
