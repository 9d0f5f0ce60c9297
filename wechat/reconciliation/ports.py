"""What reconciliation needs from outside, as protocols; ``storage`` implements them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Protocol

from wechat.domain.ports import Page, Stored, VersionedStore
from wechat.reconciliation.books import BookEntry, Difference
from wechat.reconciliation.days import BookDay


class BookSource(Protocol):
    """Our payments and refunds as reconciliation reads them: many at a time, little of each."""

    def list_payments(self, mchid: str, day: date) -> AsyncIterator[Sequence[BookEntry]]:
        """What was paid on a Beijing day, each payment once, in batches of a few thousand at most."""

    def list_refunds(self, mchid: str, day: date) -> AsyncIterator[Sequence[BookEntry]]:
        """The refunds that were last sent to WeChat on a Beijing day."""

    async def refunded_about(self, mchid: str, day: date) -> Sequence[BookEntry]:
        """The refunds that were last sent within minutes of the midnight with which ``day`` begins."""

    async def payments(self, mchid: str, numbers: Sequence[str]) -> Sequence[BookEntry]:
        """The orders with these out_trade_no, paid or not; at most a batch of 500 is asked for."""

    async def refunds(self, mchid: str, numbers: Sequence[str]) -> Sequence[BookEntry]:
        """The refunds with these out_refund_no."""


class DayStore(VersionedStore[BookDay], Protocol):
    """Reconciled days, by ``BookDay.key``."""

    async def newest(self, mchid: str) -> date | None:
        """The latest day that was planned."""

    async def oldest(self, mchid: str) -> date | None:
        """The first day that was planned: since then the books are kept."""

    async def between(self, mchid: str, first: date, last: date) -> Sequence[BookDay]:
        """Those of ``first`` to ``last``, both included, that are known, earliest first."""

    async def list_due(self, mchid: str, now: datetime, limit: int) -> Sequence[Stored[BookDay]]:
        """Days of ``mchid`` that are due and not done, the earliest first."""


class DifferenceStore(VersionedStore[Difference], Protocol):
    """Differences, by id. One is one document, whoever finds it and how often."""

    async def of_day(self, mchid: str, day: date, *, limit: int, cursor: str) -> Page[Difference]:
        """In the order of their ids."""

    async def list_open(self, mchid: str, limit: int) -> Sequence[Difference]:
        """Differences that nobody has settled, those found first at the front."""
