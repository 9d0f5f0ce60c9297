"""``VersionedStore`` over ``Documents``: a codec, a revision, and the ids of the latest writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import structlog

from storage.documents import Document, Documents, Range
from wechat.domain.errors import NewerDocument
from wechat.domain.ports import WRITES_KEPT, Stored

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger("storage")

SCHEMA = 1
"""Version of the documents that this release writes. A release that adds a top-level field, or a field to a part named
in ``Codec.parts``, keeps it: older processes carry unknown fields along. One that changes what a field means raises it,
and older processes then refuse to write such a document."""

MOST_UNREADABLE = 1000
"""Maximum ids of unreadable documents that a store remembers."""

ENVELOPE = frozenset({"_id", "schema", "rev", "writes"})


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """The conversion between a value and a document. ``fields`` are all fields that ``write`` may produce.

    ``parts`` are lists of sub-documents with the field that identifies each: their unknown fields are kept too.
    """

    key: Callable[[T], str]
    write: Callable[[T], Document]
    read: Callable[[Document], T]
    fields: frozenset[str]
    parts: Mapping[str, tuple[str, frozenset[str]]]


class DocumentStore(Generic[T]):
    """A collection of values of one type."""

    def __init__(self, documents: Documents, codec: Codec[T]) -> None:
        self._documents = documents
        self._codec = codec
        self._unreadable: set[str] = set()

    async def insert(self, value: T, write: str) -> bool:
        """See VersionedStore."""
        document = self._codec.write(value)
        document["_id"] = self._codec.key(value)
        document["schema"] = SCHEMA
        document["rev"] = 1
        document["writes"] = [write]
        return await self._documents.insert(document, write)

    async def get(self, key: str) -> Stored[T] | None:
        document = await self._documents.get(key)
        return None if document is None else self.read(document)

    async def replace(self, stored: Stored[T], value: T, write: str) -> bool:
        """See VersionedStore."""
        if int(stored.document.get("schema", SCHEMA)) > SCHEMA:
            raise NewerDocument
        document = self._codec.write(value)
        self._keep_unknown(stored.document, document)
        document["_id"] = self._codec.key(value)
        document["schema"] = SCHEMA
        document["rev"] = stored.rev + 1
        document["writes"] = [*stored.writes, write][-WRITES_KEPT:]
        return await self._documents.replace(document, stored.rev, write)

    def read(self, document: Document) -> Stored[T]:
        """Return ``document`` as a value with its revision."""
        return Stored(self._codec.read(document), int(document["rev"]), tuple(document["writes"]), document)

    def readable(self, documents: Sequence[Document]) -> list[Stored[T]]:
        """Return the readable ones of ``documents``. The others are logged, so that an unreadable document blocks no
        other."""
        return self.read_each(documents, self.read)

    def read_each(self, documents: Sequence[Document], read: Callable[[Document], R]) -> list[R]:
        """Read documents as ``readable`` does, with another ``read``."""
        found = []
        for document in documents:
            try:
                found.append(read(document))
            except (LookupError, TypeError, ValueError) as error:
                self._report(document["_id"], error)
        return found

    def values(self, documents: Sequence[Document]) -> list[T]:
        """Return the values of the readable ones of ``documents``."""
        return [stored.value for stored in self.readable(documents)]

    def _report(self, key: str, error: Exception) -> None:
        """Log a document that cannot be read, once."""
        if key not in self._unreadable and len(self._unreadable) < MOST_UNREADABLE:
            self._unreadable.add(key)
            log.error("document_unreadable", name=key, error=repr(error))

    async def due_until(self, wanted: Range) -> list[Stored[T]]:
        """Return what is due in a range of dates; unreadable documents do not count towards the limit."""
        found = await self._documents.find(replace(wanted, limit=wanted.limit + len(self._unreadable)))
        return self.readable(found)[: wanted.limit]

    def _keep_unknown(self, old: Mapping[str, Any], new: Document) -> None:
        """Copy the fields that this release does not know, so that a newer one finds them again."""
        for name in old.keys() - self._codec.fields - ENVELOPE:
            new[name] = old[name]
        for part, (identity, fields) in self._codec.parts.items():
            _keep_unknown_of_parts(old.get(part, ()), new.get(part, ()), identity, fields)


def _keep_unknown_of_parts(
    old: Sequence[Document], new: Sequence[Document], identity: str, fields: frozenset[str]
) -> None:
    strange = {part[identity]: part for part in old if part.keys() - fields}
    for part in new:
        found = strange.get(part[identity])
        if found:
            part.update({name: found[name] for name in found.keys() - fields})
