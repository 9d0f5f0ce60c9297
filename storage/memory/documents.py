"""``BulkDocuments`` in this process' own memory: for tests, simulations and a demo without a database server.

Documents are kept as BSON, so what is read back has exactly the types and the precision that MongoDB would return. A
field that is asked for gets an index the first time, so that due work is found without reading what is not due.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import bson

from storage.documents import CODEC, EPOCH, Document, Encoded, Range, Replacement

LAST_ID = "\U0010ffff"
"""Greater than any id."""
REMEMBERED = 1000
"""Number of documents that are also kept decoded."""
SWEEP_EVERY = 1000
"""Number of inserts between two removals of expired documents."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A stored document with the fields that writes and expiry need, so that they do not decode it."""

    raw: bytes
    rev: Any
    writes: Sequence[str]
    expires_at: datetime | None


class MemoryDocuments:
    """A collection in memory. ``expiry`` names the date after which a document is removed; empty: never."""

    def __init__(self, now: Callable[[], datetime], expiry: str = "") -> None:
        self._now = now
        self._expiry = expiry
        self._documents: dict[str, _Held] = {}
        self._decoded: dict[str, Document] = {}
        self._indexes: dict[str, _Index] = {}
        self._inserts = 0

    def encode(self, document: Document, write: str) -> Encoded:
        raw = bson.encode(document, codec_options=CODEC)
        return Encoded(document["_id"], write, raw, len(raw))

    async def insert_many(self, batch: Sequence[Encoded]) -> Sequence[bool]:
        return [self._insert(encoded) for encoded in batch]

    async def get_many(self, ids: Sequence[str]) -> Mapping[str, Document]:
        return {document["_id"]: _copy(document) for document in self._read(ids)}

    async def replace_many(self, batch: Sequence[Replacement]) -> Sequence[bool]:
        return [self._replace(replacement) for replacement in batch]

    async def find(self, wanted: Range) -> list[Document]:
        return [_copy(document, wanted.fields) for document in islice(self._select(wanted), wanted.limit or None)]

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        return [_copy(each) for each in islice(self._read(self._index(field).between(value, value)), limit)]

    def everything(self) -> list[Document]:
        """Return all documents."""
        return [_copy(document) for document in self._read(list(self._documents))]

    def peek(self, identity: str) -> Document | None:
        """Return a copy of a document, without awaiting; None if there is none."""
        return next(map(_copy, self._read([identity])), None)

    def look_at(self, identity: str) -> Document | None:
        """Return a document as it is kept, which must not be changed; None if there is none."""
        held = self._alive(identity)
        return None if held is None else self._decode(identity, held.raw)

    def look_at_all(self) -> list[Document]:
        """Return all documents as they are kept, which must not be changed."""
        return list(self._read(self._documents))

    def earliest(self, wanted: Range) -> Any:
        """Return the value of ``by``, a field with a single value, in the first document of a range; None without
        documents."""
        if not wanted.equal and not self._expiry:
            return self._index(wanted.by).first(_truncate_dates(wanted.start), _truncate_dates(wanted.end))
        return next((document[wanted.by] for document in self._select(wanted)), None)

    def poke(self, document: Document) -> None:
        """Store ``document``, whether its id exists or not."""
        self._save(document["_id"], bson.encode(document, codec_options=CODEC))

    def _insert(self, encoded: Encoded) -> bool:
        held = self._alive(encoded.id)
        if held is not None:
            return encoded.write in held.writes
        self._save(encoded.id, encoded.body)
        self._inserts += 1
        if self._expiry and self._inserts % SWEEP_EVERY == 0:
            self._sweep()
        return True

    def _replace(self, replacement: Replacement) -> bool:
        held = self._alive(replacement.encoded.id)
        if held is None or held.rev != replacement.rev:
            return False
        self._save(replacement.encoded.id, replacement.encoded.body)
        return True

    def _save(self, identity: str, raw: bytes) -> None:
        """Write a document, in place of an existing one."""
        self._remove(identity)
        document = self._decode(identity, raw)
        expires_at = document.get(self._expiry) if self._expiry else None
        self._documents[identity] = _Held(raw, document.get("rev"), document.get("writes", ()), expires_at)
        for index in self._indexes.values():
            index.add(document)

    def _remove(self, identity: str) -> None:
        self._decoded.pop(identity, None)
        if self._documents.pop(identity, None) is not None:
            for index in self._indexes.values():
                index.remove(identity)

    def _index(self, field: str) -> _Index:
        if field not in self._indexes:
            documents = (self._decode(identity, held.raw) for identity, held in self._documents.items())
            self._indexes[field] = _Index(field, documents)
        return self._indexes[field]

    def _select(self, wanted: Range) -> Iterator[Document]:
        """Return the documents of a range, in its order, as ``_read`` yields them."""
        start, end = _truncate_dates(wanted.start), _truncate_dates(wanted.end)
        equal = list(wanted.equal.items())
        for document in self._read(self._index(wanted.by).between(start, end, reverse=wanted.latest)):
            for field, value in equal:
                if not _has(document.get(field), value):
                    break
            else:
                yield document

    def _read(self, ids: Iterable[str]) -> Iterator[Document]:
        """Yield the existing documents of ``ids`` as they are kept: to be read, or copied before they are returned."""
        for identity in ids:
            held = self._alive(identity)
            if held is not None:
                yield self._decode(identity, held.raw)

    def _decode(self, identity: str, raw: bytes) -> Document:
        """Return a document as it is kept. Copying it costs less than decoding it again, so the latest are cached."""
        document = self._decoded.get(identity)
        if document is None:
            if len(self._decoded) >= REMEMBERED:
                self._decoded.clear()
            document = self._decoded[identity] = bson.decode(raw, codec_options=CODEC)
        return document

    def _alive(self, identity: str) -> _Held | None:
        """Return a document that has not expired; None otherwise."""
        held = self._documents.get(identity)
        return None if held is None or (held.expires_at and held.expires_at <= self._now()) else held

    def _sweep(self) -> None:
        for identity in list(self._index(self._expiry).between(EPOCH, self._now())):
            self._remove(identity)


class _Index:
    """Ids in the order of one field's values; for a list, each value counts. Documents without the field are left out.

    Insertion into a sorted list moves at most a few hundred kilobytes for each of 100,000 documents.
    """

    def __init__(self, field: str, documents: Iterable[Document]) -> None:
        self._field = field
        self._by_id = {document["_id"]: self._of(document) for document in documents}
        self._entries: list[tuple[Any, ...]] = sorted(entry for each in self._by_id.values() for entry in each)

    def add(self, document: Document) -> None:
        entries = self._by_id[document["_id"]] = self._of(document)
        for entry in entries:
            insort(self._entries, entry)

    def remove(self, identity: str) -> None:
        for entry in self._by_id.pop(identity):
            del self._entries[bisect_left(self._entries, entry)]

    def between(self, start: Any, end: Any, *, reverse: bool = False) -> Iterator[str]:
        """Yield ids from ``start`` to ``end``, both included. Nothing may be written before the last one is read."""
        first = bisect_left(self._entries, (start,))
        past = bisect_right(self._entries, (end, LAST_ID))
        places = range(past - 1, first - 1, -1) if reverse else range(first, past)
        return (self._entries[place][1] for place in places)

    def first(self, start: Any, end: Any) -> Any:
        """Return the first value from ``start`` to ``end``, both included; None without any."""
        place = bisect_left(self._entries, (start,))
        value = self._entries[place][0] if place < len(self._entries) else None
        return None if value is None or value > end else value

    def _of(self, document: Document) -> set[tuple[Any, str]]:
        held = document.get(self._field)
        values = held if isinstance(held, list) else [held]
        return {(value, document["_id"]) for value in values if value is not None}


def _truncate_dates(value: Any) -> Any:
    """Return ``value`` with dates truncated to milliseconds, as they are stored."""
    if not isinstance(value, datetime) or not value.microsecond % 1000:
        return value
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def _copy(document: Document, fields: Sequence[str] = ()) -> Document:
    """Return a copy of a document, or of ``fields`` and the id, so that changes by the caller change nothing here."""
    if fields:
        names = {"_id", *(field.partition(".")[0] for field in fields)}
        document = {name: value for name, value in document.items() if name in names}
    copied: Document = _copy_part(document)
    return copied


def _copy_part(part: Any) -> Any:
    """Return a copy of a document or a list, down to its plain values."""
    copied = part.copy()
    for place, value in part.items() if part.__class__ is dict else enumerate(part):
        if value.__class__ is dict or value.__class__ is list:
            copied[place] = _copy_part(value)
    return copied


def _has(held: object, value: object) -> bool:
    """Whether ``held`` has ``value`` as in MongoDB: equal to it, or a list with an element equal to it."""
    return value in held if isinstance(held, list) else held == value
