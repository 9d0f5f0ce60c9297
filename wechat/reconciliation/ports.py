"""The protocols of reconciliation's stores; ``storage`` implements them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Protocol

from wechat.domain.ports import Page, Stored, VersionedStore
from wechat.reconciliation.books import BookEntry, Difference
from wechat.reconciliation.days import BookDay


class BookSource(Protocol):
    """A source of our payments and refunds: many at a time, with few fields of each."""

    def list_payments(self, mchid: str, day: date) -> AsyncIterator[Sequence[BookEntry]]:
        """Yield the payments of a Beijing day, each once, in batches of a few thousand at most."""

    def list_refunds(self, mchid: str, day: date) -> AsyncIterator[Sequence[BookEntry]]:
        """Yield the refunds that were last sent to WeChat on a Beijing day."""

    async def refunded_about(self, mchid: str, day: date) -> Sequence[BookEntry]:
        """Return the refunds that were last sent within minutes of the midnight at which ``day`` begins."""

    async def payments(self, mchid: str, numbers: Sequence[str]) -> Sequence[BookEntry]:
        """Return the orders with these out_trade_no, paid or not; callers pass at most 500."""

    async def refunds(self, mchid: str, numbers: Sequence[str]) -> Sequence[BookEntry]:
        """Return the refunds with these out_refund_no."""


class DayStore(VersionedStore[BookDay], Protocol):
    """Days to reconcile, by ``BookDay.key``."""

    async def newest(self, mchid: str) -> date | None:
        """Return the latest planned day."""

    async def oldest(self, mchid: str) -> date | None:
        """Return the first planned day, with which the books begin."""

    async def between(self, mchid: str, first: date, last: date) -> Sequence[BookDay]:
        """Return the stored days from ``first`` to ``last``, both included, earliest first."""

    async def list_due(self, mchid: str, now: datetime, limit: int) -> Sequence[Stored[BookDay]]:
        """Return days of ``mchid`` that are due and not done, earliest first."""


class DifferenceStore(VersionedStore[Difference], Protocol):
    """Differences by id. A difference is one document, even if several runs find it."""

    async def of_day(self, mchid: str, day: date, *, limit: int, cursor: str) -> Page[Difference]:
        """Return the differences of a day, by id."""

    async def list_open(self, mchid: str, limit: int) -> Sequence[Difference]:
        """Return open differences, those found first at the front."""
