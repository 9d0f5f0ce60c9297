"""Staged events, in the documents that the moves change.

``outbox`` holds every event the document ever had, a handful, and ``outbox_done`` how many of them have been handed
out. ``outbox_due_at`` is there only while some have not: the index on it knows no other documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from pymongo import ASCENDING, IndexModel, ReturnDocument

from storage.driver import Collection, Document, answering
from wechat.events import Entry, Staged, Subject

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)  # as exact as a stored date
DUE_FIRST = [("outbox_due_at", ASCENDING)]
# _id stands in it because the embedded server uses an index only for queries whose every field it has
OUTBOX_INDEX = IndexModel(
    [*DUE_FIRST, ("_id", ASCENDING)], name="outbox", partialFilterExpression={"outbox_due_at": {"$gt": EPOCH}}
)


def staging(event_type: str, at: datetime) -> tuple[Document, Document]:
    """What an update that tells others adds to its ``$push`` and to its ``$set``; nothing for an empty type."""
    if not event_type:
        return {}, {}
    return {"outbox": {"id": str(ObjectId()), "type": event_type, "at": at}}, {"outbox_due_at": at}


class MongoOutbox:
    """``OutboxStore`` on a collection whose updates use ``staging``; ``subject`` reads its documents."""

    def __init__(self, collection: Collection, subject: Callable[[Document], Subject]) -> None:
        self._documents = collection
        self._subject = subject

    @answering
    async def claim(self, now: datetime, lease: timedelta) -> Staged | None:
        document = await self._documents.find_one_and_update(
            _due(now),
            {"$set": {"outbox_due_at": now + lease}},
            sort=DUE_FIRST,
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            return None
        entries = _entries(document["outbox"])
        return Staged(
            key=document["_id"],
            subject=self._subject(document),
            entries=entries[document.get("outbox_done", 0) :],
            done=len(entries),
            due_at=document["outbox_due_at"],
        )

    @answering
    async def finish(self, staged: Staged) -> None:
        """See OutboxStore. Whatever was staged since, and whoever else has claimed it, has changed the date."""
        await self._documents.update_one(
            {"outbox_due_at": staged.due_at, "_id": staged.key},
            {"$set": {"outbox_done": staged.done}, "$unset": {"outbox_due_at": ""}},
        )

    @answering
    async def holds(self, key: str) -> bool:
        return await self._documents.find_one({"_id": key, "outbox_due_at": {"$gt": EPOCH}}, {"_id": 1}) is not None

    @answering
    async def put_off(self, staged: Staged, due_at: datetime) -> None:
        await self._documents.update_one(
            {"outbox_due_at": staged.due_at, "_id": staged.key}, {"$set": {"outbox_due_at": due_at}}
        )

    @answering
    async def backlog(self, now: datetime) -> tuple[int, float]:
        oldest = await self._documents.find_one(_due(now), {"outbox_due_at": 1}, sort=DUE_FIRST)
        count = await self._documents.count_documents({"outbox_due_at": {"$gt": EPOCH}})
        return count, (now - oldest["outbox_due_at"]).total_seconds() if oldest else 0.0


def _due(now: datetime) -> Document:
    return {"outbox_due_at": {"$gt": EPOCH, "$lte": now}}


def _entries(documents: Sequence[Document]) -> tuple[Entry, ...]:
    """The staged events with turns that rise even where two processes' clocks disagree."""
    entries: list[Entry] = []
    for document in documents:
        at = document["at"]
        turn = max(at, entries[-1].turn + MILLISECOND) if entries else at
        entries.append(Entry(document["id"], document["type"], at, turn))
    return tuple(entries)
