"""Finding orders: by whatever number, amount or word a person typed, and by filters.

A text is looked up as the first of its meanings by which any order is found. Every search is one key, or one state, and
a range of dates on one index, so it costs what it shows. What no key holds (an amount below the large ones, filters on
top of a text) is applied to outlines of what these give: a search looks at ``MOST_LOOKED_AT`` of them at most, and then
says how far it came.
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
"""Outlines; reading so many takes about ten times as long as a page of orders."""
EXPORTED = 500
"""Orders that are read at once when all are wanted."""
_CURSOR = re.compile(r"(\d)\.([0-9A-Za-z_\-]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Found:
    """Orders, newest first, where the search goes on (empty at its end), and the date that it reached if it stopped
    before it had found as many as were wanted."""

    orders: tuple[Order, ...]
    next_cursor: str
    reached: datetime | None = None


class OrderSearch:
    """Read-only."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store

    async def find(self, text: str, wanted: OrderFilter, *, limit: int, cursor: str) -> Found:
        """``limit`` orders, fewer at the end and where it has to stop. Raises BadRequest for a broken cursor."""
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
        """Every order that is found, some at a time."""
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
        """Look at outlines until ``limit`` of them fit, then read these orders."""
        key = meaning.key if meaning else wanted.key
        size = limit if meaning and replace(wanted, since=None, until=None) == OrderFilter() else MOST_LOOKED_AT
        found: list[OrderOutline] = []
        looked_at = 0
        page: Page[OrderOutline] | None = None
        while page is None or (page.next_cursor and len(found) < limit and looked_at < MOST_LOOKED_AT):
            page = await self._store.outlines(key, wanted, limit=size, cursor=page.next_cursor if page else cursor)
            looked_at += len(page.items)
            found += [each for each in page.items if wanted.matches(each) and (not meaning or meaning.matches(each))]
        orders = tuple(await self._store.get_many([each.key for each in found[:limit]]))
        if len(found) > limit:
            return Found(orders, found[limit - 1].cursor)
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
