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
"""How documents are written as BSON and read: dates come back aware, in UTC."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)  # as exact as a stored date
FIRST = EPOCH + MILLISECOND
"""The earliest date that an index over dates holds."""
LAST = datetime(9000, 1, 1, tzinfo=UTC)
"""Later than any date that is stored."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A document in the form that its database takes, and its size in bytes."""

    id: str
    write: str
    body: Any
    size: int


@dataclass(frozen=True, slots=True)
class Replacement:
    """``encoded`` in the place of the document by its id, if that is still at revision ``rev``."""

    encoded: Encoded
    rev: int


@dataclass(frozen=True, slots=True)
class Range:
    """Documents whose ``equal`` fields have these values and whose ``by``, a date or a text, lies from ``start`` to
    ``end``, both included. Where ``limit`` is set, the first so many, or the ``latest``. ``fields``: only these."""

    by: str
    start: datetime | str
    end: datetime | str
    equal: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 0
    latest: bool = False
    fields: Sequence[str] = ()


class BulkDocuments(Protocol):
    """One collection, a batch of operations a call; within a batch, each id comes once.

    A call raises StoreUnavailable when it is unknown what became of its operations.
    """

    def encode(self, document: Document, write: str) -> Encoded:
        """Prepare ``document`` for a batch. It carries ``_id``, ``rev`` and ``writes``."""

    async def insert_many(self, batch: Sequence[Encoded]) -> Sequence[bool | Exception]:
        """Whether each was stored, now or earlier by the same write; False where its id is taken."""

    async def get_many(self, ids: Sequence[str]) -> Mapping[str, Document]:
        """Those that exist, by id."""

    async def replace_many(self, batch: Sequence[Replacement]) -> Sequence[bool | Exception]:
        """Whether each was written; False where the revision has moved on."""

    async def find(self, wanted: Range) -> list[Document]: ...

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        """Documents by equality on one indexed field, in no order."""


class Documents(Protocol):
    """The same collection, an operation a call; what the stores work with."""

    async def insert(self, document: Document, write: str) -> bool: ...

    async def insert_all(self, documents: Sequence[Document]) -> None:
        """Store new documents, each under a write by the name of its id; those that are there already are left. Raises
        StoreUnavailable, and why a document was refused; the others are stored."""

    async def get(self, identity: str) -> Document | None: ...

    async def replace(self, document: Document, rev: int, write: str) -> bool: ...

    async def find(self, wanted: Range) -> list[Document]: ...

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]: ...
