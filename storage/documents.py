"""The protocol of a collection of documents with a revision, which MongoDB and this process's own memory implement.

Whole documents are inserted, read by id and replaced; no update names a field. Every write filters on the id, or on id
and revision, and listings are an equality and a closed range of dates on one index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from bson.codec_options import CodecOptions

Document = dict[str, Any]

CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
"""Options of BSON: dates are read as aware, in UTC."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)  # precision of stored dates
FIRST = EPOCH + MILLISECOND
"""The earliest date in an index over dates."""
LAST = datetime(9000, 1, 1, tzinfo=UTC)
"""A date later than any that is stored."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A document in the form that its database takes, and its size in bytes."""

    id: str
    write: str
    body: Any
    size: int


@dataclass(frozen=True, slots=True)
class Replacement:
    """A replacement of the document by its id with ``encoded``, if the document is still at revision ``rev``."""

    encoded: Encoded
    rev: int


@dataclass(frozen=True, slots=True)
class Range:
    """Documents whose ``equal`` fields have these values and whose ``by``, a date or a text, is between ``start`` and
    ``end``, both included. With ``limit``, only that many of the first, or with ``latest`` of the last. ``fields``:
    return only these."""

    by: str
    start: datetime | str
    end: datetime | str
    equal: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 0
    latest: bool = False
    fields: Sequence[str] = ()


class BulkDocuments(Protocol):
    """A collection whose methods take a batch of operations; within a batch, each id occurs once.

    A call raises StoreUnavailable if the outcome of its operations is unknown.
    """

    def encode(self, document: Document, write: str) -> Encoded:
        """Prepare ``document`` for a batch. It carries ``_id``, ``rev`` and ``writes``."""

    async def insert_many(self, batch: Sequence[Encoded]) -> Sequence[bool | Exception]:
        """Return for each whether it was stored, now or earlier by the same write; False if its id is taken."""

    async def get_many(self, ids: Sequence[str]) -> Mapping[str, Document]:
        """Return the existing documents, by id."""

    async def replace_many(self, batch: Sequence[Replacement]) -> Sequence[bool | Exception]:
        """Return for each whether it was written; False if the revision has changed."""

    async def find(self, wanted: Range) -> list[Document]: ...

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        """Return documents by equality on one indexed field, in no order."""


class Documents(Protocol):
    """A collection whose methods take one operation; the stores work with it."""

    async def insert(self, document: Document, write: str) -> bool: ...

    async def insert_all(self, documents: Sequence[Document]) -> None:
        """Store new documents, each by a write that has its id as name; existing ones are left unchanged. Raises
        StoreUnavailable, or the database's refusal of a document; the other documents are stored nevertheless."""

    async def get(self, identity: str) -> Document | None: ...

    async def replace(self, document: Document, rev: int, write: str) -> bool: ...

    async def find(self, wanted: Range) -> list[Document]: ...

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]: ...
