"""Iterate over a range of dates in windows of adaptive size.

A window becomes smaller when it returns much and larger when it returns little, so each document is read once and no
answer is large.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from storage.documents import MILLISECOND, Document, Documents, Range

WANTED = 1000
"""Approximate number of documents that a window should return."""
SHORTEST = timedelta(seconds=1)
MAX_GROWTH = 64
"""A window is at most so many times as long as the one before."""
FIRST_WINDOW = timedelta(minutes=10)
MOST = 4 * WANTED


async def windows(
    documents: Documents, by: str, equal: Mapping[str, Any], start: datetime, end: datetime, fields: Sequence[str]
) -> AsyncIterator[list[Document]]:
    """Yield every document dated from ``start`` to ``end``, both included, latest first."""
    span = FIRST_WINDOW
    while end >= start:
        begin = max(start, end - span)
        found = await documents.find(Range(by, begin, end, equal, limit=MOST, latest=True, fields=fields))
        end = begin - MILLISECOND
        if len(found) == MOST:  # cut off, perhaps among several of the same date
            last = found[-1][by]
            found = [document for document in found if document[by] > last]
            found += await documents.find(Range(by, last, last, equal, fields=fields))
            end = last - MILLISECOND
        if found:
            yield found
        span = _next_span(span, len(found))


def _next_span(span: timedelta, found: int) -> timedelta:
    """Return the length of the next window: it grows quickly where there are few documents, so that a quiet year takes
    a few steps."""
    if found > WANTED:
        return max(SHORTEST, span / 2)
    return span * min(MAX_GROWTH, max(2, WANTED // (1 + found)))
