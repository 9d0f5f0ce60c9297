"""``BulkDocuments`` in this process' own memory: for tests, simulations and a demo without a database server.

Documents are kept as BSON, so what is read back has exactly the types and the precision that MongoDB would return. A
field that is asked for gets an index the first time, so that due work is found without reading what is not due.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import bson

from storage.documents import CODEC, EPOCH, Document, Encoded, Range, Replacement

SWEEP_EVERY = 1000
"""Inserts between two removals of what has expired."""


class MemoryDocuments:
    """One collection. ``expiry`` names the date after which a document is removed; empty: never."""

    def __init__(self, now: Callable[[], datetime], expiry: str = "") -> None:
        self._now = now
        self._expiry = expiry
        self._documents: dict[str, bytes] = {}
        self._indexes: dict[str, _Index] = {}
        self._inserts = 0

    def encode(self, document: Document, write: str) -> Encoded:
        raw = bson.encode(document, codec_options=CODEC)
        return Encoded(document["_id"], write, raw, len(raw))

    async def insert_many(self, batch: Sequence[Encoded]) -> Sequence[bool]:
        return [self._insert(encoded) for encoded in batch]

    async def get_many(self, ids: Sequence[str]) -> Mapping[str, Document]:
        return {document["_id"]: document for document in self._read(ids)}

    async def replace_many(self, batch: Sequence[Replacement]) -> Sequence[bool]:
        return [self._replace(replacement) for replacement in batch]

    async def find(self, wanted: Range) -> list[Document]:
        start, end = _truncate_dates(wanted.start), _truncate_dates(wanted.end)
        ids = self._index(wanted.by).between(start, end, reverse=wanted.latest)
        found = []
        for document in self._read(ids):
            if all(_has(document.get(field), value) for field, value in wanted.equal.items()):
                found.append(document)
                if len(found) == wanted.limit:
                    break
        return found

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        return list(self._read(self._index(field).between(value, value)))[:limit]

    def everything(self) -> list[Document]:
        """All documents."""
        return list(self._read(self._documents))

    def peek(self, identity: str) -> Document | None:
        """One document, at once."""
        return next(self._read([identity]), None)

    def poke(self, document: Document) -> None:
        """Store ``document`` whatever is there."""
        self._put(document["_id"], bson.encode(document, codec_options=CODEC))

    def _insert(self, encoded: Encoded) -> bool:
        held = self.peek(encoded.id)
        if held is not None:
            return encoded.write in held["writes"]
        self._put(encoded.id, encoded.body)
        self._inserts += 1
        if self._expiry and self._inserts % SWEEP_EVERY == 0:
            self._sweep()
        return True

    def _replace(self, replacement: Replacement) -> bool:
        held = self.peek(replacement.encoded.id)
        if held is None or held["rev"] != replacement.rev:
            return False
        self._put(replacement.encoded.id, replacement.encoded.body)
        return True

    def _put(self, identity: str, raw: bytes) -> None:
        """Write a document, or a new one in its place."""
        self._remove(identity)
        self._documents[identity] = raw
        if self._indexes:
            document = _decode(raw)
            for index in self._indexes.values():
                index.add(document)

    def _remove(self, identity: str) -> None:
        raw = self._documents.pop(identity, None)
        if raw is not None and self._indexes:
            document = _decode(raw)
            for index in self._indexes.values():
                index.remove(document)

    def _index(self, field: str) -> _Index:
        if field not in self._indexes:
            self._indexes[field] = _Index(field, map(_decode, self._documents.values()))
        return self._indexes[field]

    def _read(self, ids: Iterable[str]) -> Iterator[Document]:
        """Those of ``ids`` that exist."""
        now = self._now()
        for identity in ids:
            raw = self._documents.get(identity)
            document = None if raw is None else _decode(raw)
            if document is not None and not self._is_over(document, now):
                yield document

    def _is_over(self, document: Document, now: datetime) -> bool:
        ends = document.get(self._expiry) if self._expiry else None
        return ends is not None and ends <= now

    def _sweep(self) -> None:
        for identity in self._index(self._expiry).between(EPOCH, self._now()):
            self._remove(identity)


class _Index:
    """Ids in the order of one field's values; of a list, each value counts. Documents without the field are left out.

    A list kept in order by insertion moves at most a few hundred kilobytes for each of 100,000 documents.
    """

    def __init__(self, field: str, documents: Iterable[Document]) -> None:
        self._field = field
        self._entries: list[tuple[Any, str]] = sorted(entry for each in documents for entry in self._of(each))

    def add(self, document: Document) -> None:
        for entry in self._of(document):
            insort(self._entries, entry)

    def remove(self, document: Document) -> None:
        for entry in self._of(document):
            del self._entries[bisect_left(self._entries, entry)]

    def between(self, start: Any, end: Any, *, reverse: bool = False) -> list[str]:
        """Ids from ``start`` to ``end``, both included."""
        first = bisect_left(self._entries, start, key=_value)
        past = bisect_right(self._entries, end, key=_value)
        ids = [identity for _, identity in self._entries[first:past]]
        return ids[::-1] if reverse else ids

    def _of(self, document: Document) -> set[tuple[Any, str]]:
        held = document.get(self._field)
        values = held if isinstance(held, list) else [held]
        return {(value, document["_id"]) for value in values if value is not None}


def _value(entry: tuple[Any, str]) -> Any:
    return entry[0]


def _truncate_dates(value: Any) -> Any:
    """``value`` as exact as a stored one: dates have milliseconds."""
    return _decode(bson.encode({"value": value}))["value"]


def _decode(raw: bytes) -> Document:
    return bson.decode(raw, codec_options=CODEC)


def _has(held: object, value: object) -> bool:
    """MongoDB's equality: a list has a value when one of its elements is equal."""
    return value in held if isinstance(held, list) else held == value
