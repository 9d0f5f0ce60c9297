"""Pages of documents, newest first, by equality and a closed range of dates on one index.

The window of dates grows into the past, in ever larger steps, until the page is full. So a page costs what it shows,
not what is stored, also on a server that reads a whole range before it sorts: the first window is a small multiple of
the time since the newest order.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from storage.documents import EPOCH, FIRST, LAST, MILLISECOND, Document, Documents, Range
from wechat.domain.errors import BadRequest, Bilingual

FIRST_SPAN = timedelta(minutes=1)
GROWTH = 4
MARGIN = 1.5
"""How many times as many documents a window should hold as are still wanted."""
LONGEST_SPAN = timedelta(days=20_000)
"""Reaches back beyond every stored date, and stays within the dates that exist."""
_IDENTITY = re.compile(r"[0-9A-Za-z_\-|*@:.]+", re.ASCII)


class Position(NamedTuple):
    """The position of a document in a listing: its date, then its id."""

    at: datetime
    identity: str


async def newest(
    documents: Documents,
    by: str,
    equal: Mapping[str, Any],
    *,
    now: datetime,
    limit: int,
    cursor: str,
    within: tuple[datetime, datetime] = (FIRST, LAST),
    fields: Sequence[str] = (),
) -> list[Document]:
    """Return at least ``limit`` + 1 documents after ``cursor``, newest first, or all there are, with dates ``within``
    two dates, both included. ``fields``: return only these. Raises BadRequest."""
    after = read_cursor(cursor) if cursor else None
    first, last_of_all = within
    end, span = min(after.at, last_of_all) if after else last_of_all, FIRST_SPAN
    start = min(end, now) - span  # the first window includes later dates too, because a clock may be wrong
    found: list[Document] = []
    while len(found) <= limit and end >= first:
        start = max(first, start)
        batch = await documents.find(Range(by, start, end, equal, limit=limit + 1, latest=True, fields=fields))
        if len(batch) > limit:  # cut off, perhaps among several of the same date
            last = batch[-1][by]
            batch = [each for each in batch if each[by] > last]
            batch += await documents.find(Range(by, last, last, equal, fields=fields))
            end = last - MILLISECOND
        else:
            end, span = start - MILLISECOND, _next_span(span, len(batch), limit + 1 - len(found))
            start = end - span
        found += [each for each in batch if after is None or position(each, by) < after]
    return sorted(found, key=lambda each: position(each, by), reverse=True)


def _next_span(span: timedelta, found: int, wanted: int) -> timedelta:
    """Return the length of the next window after one of ``span`` held ``found`` of the ``wanted`` documents."""
    growth = min(GROWTH, MARGIN * (wanted - found) / found) if found else GROWTH
    return max(FIRST_SPAN, min(span * growth, LONGEST_SPAN))


def position(document: Document, by: str) -> Position:
    return Position(document[by], document["_id"])


def write_cursor(at: Position) -> str:
    text = f"{(at.at - EPOCH) // MILLISECOND}.{at.identity}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Position:
    """Parse a cursor. Raises BadRequest for anything that ``write_cursor`` did not make."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        milliseconds, _, identity = (
            base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").partition(".")
        )
        at = EPOCH + int(milliseconds) * MILLISECOND
        if write_cursor(Position(at, identity)) != cursor:
            raise _broken_cursor()
    except (binascii.Error, ValueError, OverflowError):
        raise _broken_cursor() from None
    if not _IDENTITY.fullmatch(identity) or at < FIRST:
        raise _broken_cursor()
    return Position(at, identity)


def _broken_cursor() -> BadRequest:
    return BadRequest(
        Bilingual("cursor 无效，请用上一页返回的值", "The cursor is not valid; use the one the previous page gave"),
        code="BAD_CURSOR",
        field="cursor",
    )
