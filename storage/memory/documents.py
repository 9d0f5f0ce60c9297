"""``BulkDocuments`` in this process' own memory: for tests, simulations and a demo without a database server.

Documents are kept as BSON, so what is read back has exactly the types and the precision that MongoDB would return.
Listings read everything, which suits the few documents of a demo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import bson

from storage.documents import CODEC, Document, Encoded, Range, Replacement

SWEEP_EVERY = 1000
"""Inserts between two removals of what has expired."""


class MemoryDocuments:
    """One collection. ``expiry`` names the date after which a document is removed; empty: never."""

    def __init__(self, now: Callable[[], datetime], expiry: str = "") -> None:
        self._now = now
        self._expiry = expiry
        self._documents: dict[str, bytes] = {}
        self._inserts = 0

    def encode(self, document: Document, write: str) -> Encoded:
        raw = bson.encode(document, codec_options=CODEC)
        return Encoded(document["_id"], write, raw, len(raw))

    async def insert_many(self, batch: Sequence[Encoded]) -> Sequence[bool]:
        return [self._insert(encoded) for encoded in batch]

    async def get_many(self, ids: Sequence[str]) -> Mapping[str, Document]:
        found = {identity: self._get(identity) for identity in ids}
        return {identity: document for identity, document in found.items() if document is not None}

    async def replace_many(self, batch: Sequence[Replacement]) -> Sequence[bool]:
        return [self._replace(replacement) for replacement in batch]

    async def find(self, wanted: Range) -> list[Document]:
        found = [document for document in self._all() if _matches(document, wanted)]
        if wanted.limit:
            found.sort(key=lambda document: document[wanted.by], reverse=wanted.latest)
            found = found[: wanted.limit]
        return found

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        found = [document for document in self._all() if _has(document.get(field), value)]
        return found[:limit]

    def everything(self) -> list[Document]:
        """All documents."""
        return self._all()

    def peek(self, identity: str) -> Document | None:
        """One document, at once."""
        return self._get(identity)

    def poke(self, document: Document) -> None:
        """Store ``document`` whatever is there."""
        self._documents[document["_id"]] = bson.encode(document, codec_options=CODEC)

    def _insert(self, encoded: Encoded) -> bool:
        held = self._get(encoded.id)
        if held is not None:
            return encoded.write in held["writes"]
        self._documents[encoded.id] = encoded.body
        self._inserts += 1
        if self._expiry and self._inserts % SWEEP_EVERY == 0:
            self._sweep()
        return True

    def _replace(self, replacement: Replacement) -> bool:
        held = self._get(replacement.encoded.id)
        if held is None or held["rev"] != replacement.rev:
            return False
        self._documents[replacement.encoded.id] = replacement.encoded.body
        return True

    def _get(self, identity: str) -> Document | None:
        raw = self._documents.get(identity)
        document = None if raw is None else bson.decode(raw, codec_options=CODEC)
        return None if document is None or self._expired(document) else document

    def _all(self) -> list[Document]:
        decoded = [bson.decode(raw, codec_options=CODEC) for raw in self._documents.values()]
        return [document for document in decoded if not self._expired(document)]

    def _expired(self, document: Document) -> bool:
        ends = document.get(self._expiry) if self._expiry else None
        return ends is not None and ends <= self._now()

    def _sweep(self) -> None:
        kept = {document["_id"] for document in self._all()}
        self._documents = {identity: raw for identity, raw in self._documents.items() if identity in kept}


def _matches(document: Document, wanted: Range) -> bool:
    at = document.get(wanted.by)
    if at is None or not wanted.start <= at <= wanted.end:
        return False
    return all(_has(document.get(field), value) for field, value in wanted.equal.items())


def _has(held: object, value: object) -> bool:
    """MongoDB's equality: a list has a value when one of its elements is equal."""
    return value in held if isinstance(held, list) else held == value
