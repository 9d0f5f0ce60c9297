"""What statistics need from outside, as protocols; ``storage`` implements them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol

from wechat.domain.ports import Stored, VersionedStore
from wechat.statistics.days import DaySummary
from wechat.statistics.figures import Entry


class Waiting(NamedTuple):
    """Orders that wait for their payment: how many, and what they add up to in fen. ``more``: there are others."""

    orders: int
    total: int
    more: bool


class EntrySource(Protocol):
    """What orders add to the figures, many at a time, little of each."""

    def list_sales(self, mchid: str, start: datetime, end: datetime) -> AsyncIterator[Sequence[Entry]]:
        """Orders that were created, and payments that were made, from ``start`` until before ``end``."""

    def list_refunds(self, mchid: str, day: date) -> AsyncIterator[Sequence[Entry]]:
        """Refunds that were last sent on a Beijing day."""

    async def waiting(self, mchid: str) -> Waiting:
        """Orders that can be paid; a thousand are looked at, at most."""

    async def first_day(self, mchid: str, since: date) -> date | None:
        """The first Beijing day from ``since`` on of which there are orders; None where there are none."""


class SummaryStore(VersionedStore[DaySummary], Protocol):
    """Summaries of days, by ``DaySummary.key``."""

    async def between(self, mchid: str, first: date, last: date) -> Sequence[DaySummary]:
        """Those of ``first`` to ``last``, both included, earliest first."""

    async def newest(self, mchid: str) -> date | None:
        """The latest day that has one."""

    async def list_due(self, mchid: str, now: datetime, limit: int) -> Sequence[Stored[DaySummary]]:
        """Days that are due, the latest first: today's figures are looked at the most."""

    async def next_due(self, mchid: str, until: datetime) -> datetime | None:
        """The first date up to ``until`` on which a day comes due; a past one for what is overdue."""
