"""Finding orders: by whatever number, amount or word a person typed, and by filters.

A text is looked up as the first of its meanings by which any order is found. State, dates and keys are served by
indexes. The other filters are applied to what these give: a search looks at ``MOST_LOOKED_AT`` orders at most, and then
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
from wechat.domain.search import Meaning, OrderFilter, meanings

BATCH = 100
MOST_LOOKED_AT = 300
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
        """At least ``limit`` orders where there are so many, and never more than ``limit + BATCH``. Raises BadRequest
        for a broken cursor."""
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
        found: list[Order] = []
        looked_at = 0
        page: Page[Order] | None = None
        while page is None or (page.next_cursor and len(found) < limit and looked_at < MOST_LOOKED_AT):
            size = limit if _is_served_by_index(meaning, wanted) else BATCH
            page = await self._store.search(
                meaning.key if meaning else "", wanted, limit=size, cursor=page.next_cursor if page else cursor
            )
            looked_at += len(page.items)
            found += [each for each in page.items if wanted.matches(each) and (not meaning or meaning.matches(each))]
        stopped = bool(page.next_cursor) and len(found) < limit
        return Found(tuple(found), page.next_cursor, page.items[-1].created_at if stopped else None)


def _is_served_by_index(meaning: Meaning | None, wanted: OrderFilter) -> bool:
    """Whether every order that the store finds is one that is wanted."""
    state = None if meaning is None else wanted.trade_state
    return replace(wanted, trade_state=state, since=None, until=None) == OrderFilter()


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
