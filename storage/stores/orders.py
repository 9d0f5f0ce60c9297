"""Orders with their refunds: compare-and-set by key, what is due, and listings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from storage.documents import FIRST, LAST, Documents, Range
from storage.store import DocumentStore
from storage.stores.listing import Position, newest, position, write_cursor
from storage.stores.order_codec import ORDER, OUTLINE_FIELDS, read_outline
from wechat.domain.facts import RefundState
from wechat.domain.orders import Order, TradeState
from wechat.domain.ports import Clock, Overdue, Page, Stored
from wechat.domain.search import SIGNS, OrderFilter, OrderOutline, outline

COUNTED = 1000
"""Maximum due documents that a metric counts."""


class Orders(DocumentStore[Order]):
    """``OrderStore``."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        super().__init__(documents, ORDER)
        self._clock = clock

    async def list_due(self, now: datetime, limit: int) -> Sequence[Stored[Order]]:
        return await self.due_until(Range("due_at", FIRST, now, limit=limit))

    async def next_due(self, until: datetime) -> datetime | None:
        found = await self._documents.find(Range("due_at", FIRST, until, limit=1, fields=("due_at",)))
        return found[0]["due_at"] if found else None

    async def overdue(self, now: datetime) -> Overdue:
        fields = ("next_check_at", "refunds")
        found = await self._documents.find(Range("due_at", FIRST, now, limit=COUNTED, fields=fields))
        orders = [each["next_check_at"] for each in found if each.get("next_check_at", now) < now]
        parts = [part.get("next_check_at", now) for each in found for part in each.get("refunds", ())]
        refunds = [at for at in parts if at < now]
        return Overdue(len(orders), _age(orders, now), len(refunds), _age(refunds, now))

    async def with_events(self, until: datetime, limit: int) -> Sequence[Stored[Order]]:
        return await self.due_until(Range("outbox_due_at", FIRST, until, limit=limit))

    async def events_waiting(self, now: datetime) -> tuple[int, float]:
        fields = ("outbox_due_at",)
        found = await self._documents.find(Range("outbox_due_at", FIRST, now, limit=COUNTED, fields=fields))
        dates = [each["outbox_due_at"] for each in found]
        return len(dates), _age(dates, now)

    async def find(self, *, trade_state: TradeState | None, limit: int, cursor: str) -> Page[Order]:
        equal = {"trade_state": trade_state.value} if trade_state else {}
        return await self._page("created_at", equal, limit, cursor)

    async def list_refunding(self, state: RefundState, limit: int) -> Sequence[Order]:
        equal = {"refund_states": state.value}
        return self.values(
            await self._documents.find(Range("refund_changed_at", FIRST, self._clock.now(), equal, limit))
        )

    async def changed_since(self, since: datetime, limit: int) -> Sequence[Order]:
        """See OrderStore. Reads a range of each index that has a date of a change."""
        now = self._clock.now()
        wanted = [Range(by, since, now, limit=limit, latest=True) for by in ("created_at", "paid_at")]
        for state in RefundState:
            equal = {"refund_states": state.value}
            wanted.append(Range("refund_changed_at", since, now, equal, limit=limit, latest=True))
        batches = await asyncio.gather(*[self._documents.find(each) for each in wanted])
        documents = {document["_id"]: document for batch in batches for document in batch}
        return self.values(sorted(documents.values(), key=lambda document: document["created_at"]))

    async def find_by_number(self, number: str, limit: int) -> Sequence[Order]:
        return self.values(await self._documents.find_equal("keys", number, limit))

    async def get_many(self, keys: Sequence[str]) -> Sequence[Order]:
        found = await asyncio.gather(*[self._documents.get(key) for key in keys])
        return self.values([document for document in found if document])

    async def search(self, key: str, wanted: OrderFilter, *, limit: int, cursor: str) -> Page[Order]:
        if key and not key.startswith(SIGNS):
            return Page(tuple(await self.find_by_number(key, limit)), "")
        return await self._page("created_at", _equal(key, wanted), limit, cursor, _within(wanted))

    async def outlines(self, key: str, wanted: OrderFilter, *, limit: int, cursor: str) -> Page[OrderOutline]:
        if key and not key.startswith(SIGNS):
            return Page(tuple(map(outline, await self.find_by_number(key, limit))), "")
        found = await newest(
            self._documents,
            "created_at",
            _equal(key, wanted),
            now=self._clock.now(),
            limit=limit,
            cursor=cursor,
            within=_within(wanted),
            fields=OUTLINE_FIELDS,
        )
        outlines = self.read_each(found[:limit], read_outline)
        following = write_cursor(position(found[limit - 1], "created_at")) if len(found) > limit else ""
        return Page(tuple(outlines), following)

    def cursor_after(self, found: OrderOutline) -> str:
        return write_cursor(Position(found.created_at, found.key))

    async def find_by_refund(self, state: RefundState, *, limit: int, cursor: str) -> Page[Order]:
        return await self._page("refund_changed_at", {"refund_states": state.value}, limit, cursor)

    async def _page(
        self,
        by: str,
        equal: Mapping[str, Any],
        limit: int,
        cursor: str,
        within: tuple[datetime, datetime] = (FIRST, LAST),
    ) -> Page[Order]:
        now = self._clock.now()
        found = await newest(self._documents, by, equal, now=now, limit=limit, cursor=cursor, within=within)
        following = write_cursor(position(found[limit - 1], by)) if len(found) > limit else ""
        return Page(tuple(self.values(found[:limit])), following)


def _equal(key: str, wanted: OrderFilter) -> Mapping[str, str]:
    if key:
        return {"keys": key}
    return {"trade_state": wanted.trade_state.value} if wanted.trade_state else {}


def _within(wanted: OrderFilter) -> tuple[datetime, datetime]:
    return wanted.since or FIRST, wanted.until or LAST


def _age(dates: Sequence[datetime], now: datetime) -> float:
    """Return the age of the earliest of ``dates``, in seconds; 0 without any."""
    return (now - min(dates)).total_seconds() if dates else 0.0
