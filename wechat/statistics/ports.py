"""The protocols of the statistics' stores; ``storage`` implements them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol

from wechat.domain.ports import Stored, VersionedStore
from wechat.statistics.days import DaySummary
from wechat.statistics.figures import Entry


class Waiting(NamedTuple):
    """Orders that can still be paid: their number, and their sum in fen. ``more``: not all were counted."""

    orders: int
    total: int
    more: bool


class EntrySource(Protocol):
    """A source of entries: many at a time, with few fields of each."""

    def list_sales(self, mchid: str, start: datetime, end: datetime) -> AsyncIterator[Sequence[Entry]]:
        """Yield orders that were created, and payments that were made, from ``start`` until before ``end``."""

    def list_refunds(self, mchid: str, day: date) -> AsyncIterator[Sequence[Entry]]:
        """Yield refunds that were last sent on a Beijing day."""

    async def waiting(self, mchid: str) -> Waiting:
        """Count the orders that can be paid; at most a thousand are read."""

    async def first_day(self, mchid: str, since: date) -> date | None:
        """Return the first Beijing day from ``since`` on that has orders; None if none has."""


class SummaryStore(VersionedStore[DaySummary], Protocol):
    """Summaries of days, by ``DaySummary.key``."""

    async def between(self, mchid: str, first: date, last: date) -> Sequence[DaySummary]:
        """Return the summaries from ``first`` to ``last``, both included, earliest first."""

    async def newest(self, mchid: str) -> date | None:
        """Return the latest day with a summary."""

    async def list_due(self, mchid: str, now: datetime, limit: int) -> Sequence[Stored[DaySummary]]:
        """Return days that are due, the latest first, because today's figures are read the most."""

    async def next_due(self, mchid: str, until: datetime) -> datetime | None:
        """Return the earliest due date of a day up to ``until``; a past date if it is overdue."""
