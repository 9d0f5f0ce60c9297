"""Search orders by a number, an amount or a word that a person typed, and by filters.

The meanings of a text are tried in order until one finds an order. Every search uses one key, or one state, and a range
of dates on one index, so its cost is that of the orders it shows. Conditions without a key (an amount below the large
ones, filters beside a text) are applied to the outlines of the orders found: a search reads at most ``MOST_LOOKED_AT``
outlines, and then reports the date it reached.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime

from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.orders import Order
from wechat.domain.ports import OrderStore, Page
from wechat.domain.search import Meaning, OrderFilter, OrderOutline, meanings

MOST_LOOKED_AT = 500
"""Outlines that one search reads, which takes a few times as long as a page of orders."""
FIRST_LOOK = 100
"""Outlines that are read before the others: where many orders match, these are enough."""
EXPORTED = 500
"""Orders that are read at once for an export."""
_CURSOR = re.compile(r"(\d)\.([0-9A-Za-z_\-]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Found:
    """Orders, newest first, and the cursor of the next page (empty at the end).

    ``reached`` is the date that the search reached when it stopped before it had found as many orders as requested.
    """

    orders: tuple[Order, ...]
    next_cursor: str
    reached: datetime | None = None


class OrderSearch:
    """Searches orders; read-only."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store

    async def find(self, text: str, wanted: OrderFilter, *, limit: int, cursor: str) -> Found:
        """Return up to ``limit`` orders, fewer at the end and where the search stops. Raises BadRequest (cursor)."""
        if not text.strip():
            return await self._collect(None, wanted, limit, cursor)
        choices = meanings(text)
        if cursor:
            place, rest = _read_cursor(cursor, len(choices))
            return _number_cursor(await self._collect(choices[place], wanted, limit, rest), place)
        for place, meaning in enumerate(choices):
            found = await self._collect(meaning, wanted, limit, "")
            if found.orders or found.reached:
                return _number_cursor(found, place)
        return Found((), "")

    async def all(self, text: str, wanted: OrderFilter) -> AsyncIterator[tuple[Order, ...]]:
        """Yield all matching orders, in batches."""
        cursor = ""
        while True:
            found = await self.find(text, wanted, limit=EXPORTED, cursor=cursor)
            yield found.orders
            cursor = found.next_cursor
            if not cursor:
                return

    async def _collect(self, meaning: Meaning | None, wanted: OrderFilter, limit: int, cursor: str) -> Found:
        if meaning is None and wanted.is_served_by_key:
            page = await self._store.search(wanted.key, wanted, limit=limit, cursor=cursor)
            return Found(tuple(page.items), page.next_cursor)
        return await self._select(meaning, wanted, limit, cursor)

    async def _select(self, meaning: Meaning | None, wanted: OrderFilter, limit: int, cursor: str) -> Found:
        """Read outlines until ``limit`` of them match, then read these orders."""
        key = meaning.key if meaning else wanted.key
        is_exact = meaning and replace(wanted, since=None, until=None) == OrderFilter()
        size = limit if is_exact else min(max(limit, FIRST_LOOK), MOST_LOOKED_AT)
        found: list[OrderOutline] = []
        looked_at = 0
        page: Page[OrderOutline] | None = None
        while page is None or (page.next_cursor and len(found) < limit and looked_at < MOST_LOOKED_AT):
            page = await self._store.outlines(key, wanted, limit=size, cursor=page.next_cursor if page else cursor)
            looked_at += len(page.items)
            size = limit if is_exact else MOST_LOOKED_AT - looked_at
            found += [each for each in page.items if wanted.matches(each) and (not meaning or meaning.matches(each))]
        orders = tuple(await self._store.get_many([each.key for each in found[:limit]]))
        if len(found) > limit:
            return Found(orders, self._store.cursor_after(found[limit - 1]))
        stopped = page.next_cursor and len(found) < limit and page.items
        return Found(orders, page.next_cursor, page.items[-1].created_at if stopped else None)


def _number_cursor(found: Found, place: int) -> Found:
    return replace(found, next_cursor=f"{place}.{found.next_cursor}") if found.next_cursor else found


def _read_cursor(cursor: str, choices: int) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None or int(match[1]) >= choices:
        raise BadRequest(
            Bilingual("cursor 无效，请从第一页重新查找", "The cursor is not valid; search again from the first page"),
            code="BAD_CURSOR",
            field="cursor",
        )
    return int(match[1]), match[2]
