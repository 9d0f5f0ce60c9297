"""``BulkDocuments`` over a MongoDB collection. Writes wait for the journals of a majority.

A call is one command, repeated where the connection was lost. Batches of writes are sent as commands: the driver's own
methods for them take half as long again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import ConnectionFailure

from storage.documents import CODEC, Document, Encoded, Range, Replacement
from storage.mongo.driver import DURABLE, Database, report_no_answer
from wechat.domain.errors import StoreUnavailable

DUPLICATE = 11000


class WriteRefused(Exception):
    """MongoDB refused one document of a batch, for a reason other than its id; ``code`` is MongoDB's."""

    def __init__(self, code: int) -> None:
        super().__init__(f"MongoDB refused a write (code {code})")


class MongoDocuments:
    """A collection of MongoDB."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._collection = database[name]

    def encode(self, document: Document, write: str) -> Encoded:
        raw = bson.encode(document, codec_options=CODEC)
        return Encoded(document["_id"], write, RawBSONDocument(raw), len(raw))

    @report_no_answer
    async def insert_many(self, batch: Sequence[Encoded]) -> Sequence[bool | Exception]:
        """See BulkDocuments. A duplicate is read back: the id of its write distinguishes our own earlier document from
        another writer's."""
        reply = await self._write({"insert": self._name, "documents": [encoded.body for encoded in batch]})
        codes = _error_codes(reply)
        if not codes:
            return [True] * len(batch)
        taken = [batch[index] for index, code in codes.items() if code == DUPLICATE]
        writes = await self._writes_of([encoded.id for encoded in taken])
        return [
            _outcome(codes.get(index), written=encoded.write in writes.get(encoded.id, ()))
            for index, encoded in enumerate(batch)
        ]

    @report_no_answer
    async def get_many(self, ids: Sequence[str]) -> Mapping[str, Document]:
        found = await self._collection.find({"_id": {"$in": list(ids)}}).to_list(len(ids))
        return {document["_id"]: document for document in found}

    @report_no_answer
    async def replace_many(self, batch: Sequence[Replacement]) -> Sequence[bool | Exception]:
        """See BulkDocuments. A batch's answer only counts matches, so the documents are read after a partial
        success."""
        updates = [{"q": {"_id": each.encoded.id, "rev": each.rev}, "u": each.encoded.body} for each in batch]
        reply = await self._write({"update": self._name, "updates": updates})
        codes = _error_codes(reply)
        if not codes and reply["n"] == len(batch):
            return [True] * len(batch)
        writes = await self._writes_of([replacement.encoded.id for replacement in batch])
        return [
            WriteRefused(codes[index])
            if index in codes
            else replacement.encoded.write in writes.get(replacement.encoded.id, ())
            for index, replacement in enumerate(batch)
        ]

    async def _write(self, command: Document) -> Document:
        """Run ``command`` and return the reply. Raises StoreUnavailable if the write is not known to be durable.

        When the connection was lost, the command is sent once more: the ids of its writes show what the first attempt
        did. After a time-out it is not, because the next batch waits for this one and its callers are about to give up.
        """
        command |= {"ordered": False, "writeConcern": DURABLE.document}
        try:
            reply = await self._database.command(command)
        except ConnectionFailure as error:
            if error.timeout:
                raise
            reply = await self._database.command(command)
        if "writeConcernError" in reply:
            raise StoreUnavailable
        return reply

    @report_no_answer
    async def find(self, wanted: Range) -> list[Document]:
        query = {**wanted.equal, wanted.by: {"$gte": wanted.start, "$lte": wanted.end}}
        sort = [(wanted.by, DESCENDING if wanted.latest else ASCENDING)] if wanted.limit else None
        fields = dict.fromkeys(wanted.fields, 1) if wanted.fields else None
        return await self._collection.find(query, fields, sort=sort, limit=wanted.limit).to_list()

    @report_no_answer
    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        return await self._collection.find({field: value}, limit=limit).to_list(limit)

    async def _writes_of(self, ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the latest writes of each document."""
        found = await self._collection.find({"_id": {"$in": list(ids)}}, {"writes": 1}).to_list(len(ids))
        return {document["_id"]: document.get("writes", ()) for document in found}


def _error_codes(reply: Document) -> dict[int, int]:
    """Return MongoDB's code for each refused operation of a batch."""
    return {fault["index"]: int(fault["code"]) for fault in reply.get("writeErrors", ())}


def _outcome(code: int | None, *, written: bool) -> bool | Exception:
    """Return the result of an insert that was answered with ``code``: True, False for a taken id, or WriteRefused."""
    if code is None:
        return True
    return written if code == DUPLICATE else WriteRefused(code)
