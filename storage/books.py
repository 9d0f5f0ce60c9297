"""Reconciled days and their differences in MongoDB: a document each, identified by what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from bson import Int64
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from storage.driver import Collection, Document, answering
from storage.outbox import EPOCH
from wechat.books import Audit, Difference, Entry, Kind, Reconciliation, Status, Sums
from wechat.models import Page

DUPLICATE = 11000
OLDEST_DAY = [("_id", ASCENDING)]
NEWEST_DAY = [("_id", DESCENDING)]


class MongoBooks:
    """``BookStore`` on two collections: days by ISO date, differences by their own identity."""

    def __init__(self, days: Collection, differences: Collection) -> None:
        self._days = days
        self._differences = differences

    @answering
    async def newest(self) -> date | None:
        found = await self._days.find_one({"planned": True}, {"_id": 1}, sort=NEWEST_DAY)
        return date.fromisoformat(found["_id"]) if found else None

    @answering
    async def plan(self, day: date, due_at: datetime) -> None:
        await self._upsert({"_id": day.isoformat()}, {"planned": True}, {"leased_until": EPOCH} | _undone(due_at))

    @answering
    async def take_due(self, now: datetime, lease: timedelta) -> date | None:
        taken = await self._days.find_one_and_update(
            {"done": False, "due_at": {"$lte": now}, "leased_until": {"$lte": now}},
            {"$set": {"leased_until": now + lease}},
            sort=OLDEST_DAY,
            return_document=ReturnDocument.AFTER,
        )
        return date.fromisoformat(taken["_id"]) if taken else None

    @answering
    async def take(self, day: date, now: datetime, lease: timedelta) -> bool:
        free = {"_id": day.isoformat(), "leased_until": {"$lte": now}}
        return await self._upsert(free, {"leased_until": now + lease}, _undone(now))

    @answering
    async def put_off(self, day: date, due_at: datetime) -> None:
        await self._days.update_one({"_id": day.isoformat()}, {"$set": {"due_at": due_at, "leased_until": EPOCH}})

    @answering
    async def finish(self, result: Reconciliation) -> None:
        done = {"done": True, "leased_until": EPOCH, "result": _result_to_document(result)}
        await self._days.update_one({"_id": result.day.isoformat()}, {"$set": done})

    @answering
    async def result(self, day: date) -> Reconciliation | None:
        found = await self._days.find_one({"_id": day.isoformat()})
        return _result_from_document(day, found["result"]) if found and "result" in found else None

    @answering
    async def book(self, differences: Sequence[Difference]) -> None:
        try:
            await self._differences.insert_many([_to_document(each) for each in differences], ordered=False)
        except BulkWriteError as error:
            if any(fault["code"] != DUPLICATE for fault in error.details["writeErrors"]):
                raise
        seen_at = max(difference.found_at for difference in differences)
        numbers = [difference.id for difference in differences]
        found = {"_id": {"$in": numbers}}
        await self._differences.update_many(found, {"$max": {"seen_at": seen_at}})
        back = Audit(seen_at, "reconciliation", "rerun", Status.GONE, Status.OPEN)
        await self._differences.update_many(found | {"status": back.source.value}, _change(back))

    @answering
    async def settle(self, day: date, before: datetime, entry: Audit) -> int:
        lost = {"day": day.isoformat(), "status": entry.source.value, "seen_at": {"$lt": before}}
        return (await self._differences.update_many(lost, _change(entry))).modified_count

    @answering
    async def difference(self, day: date, difference_id: str) -> Difference | None:
        found = await self._differences.find_one({"_id": difference_id, "day": day.isoformat()})
        return _from_document(found) if found else None

    @answering
    async def differences(self, day: date, *, limit: int, cursor: str) -> Page[Difference]:
        wanted = {"day": day.isoformat(), "_id": {"$gt": cursor}}
        found = await self._differences.find(wanted, sort=[("_id", ASCENDING)], limit=limit + 1).to_list(limit + 1)
        items = tuple([_from_document(document) for document in found[:limit]])
        return Page(items, items[-1].id if len(found) > limit else "")

    @answering
    async def audit(self, difference_id: str, entry: Audit) -> Difference | None:
        changed = await self._differences.find_one_and_update(
            {"_id": difference_id, "status": entry.source.value},
            _change(entry),
            return_document=ReturnDocument.AFTER,
        )
        return _from_document(changed) if changed else None

    async def _upsert(self, wanted: Document, fields: Document, first: Document) -> bool:
        """Whether ``fields`` were written; not when the document is there and does not match."""
        update = {"$set": fields, "$setOnInsert": first}
        try:
            await self._days.find_one_and_update(wanted, update, upsert=True, return_document=ReturnDocument.AFTER)
        except DuplicateKeyError:
            return False
        return True


def _undone(due_at: datetime) -> Document:
    return {"done": False, "due_at": due_at}


def _change(entry: Audit) -> Document:
    return {"$set": {"status": entry.target.value}, "$push": {"audit": _audit_to_document(entry)}}


def _audit_to_document(entry: Audit) -> Document:
    return {
        "at": entry.at,
        "by": entry.by,
        "action": entry.action,
        "source": entry.source.value,
        "target": entry.target.value,
        "detail": entry.detail,
    }


def _audit_from_document(document: Document) -> Audit:
    get = document.get
    source, target = Status(document["source"]), Status(document["target"])
    return Audit(document["at"], document["by"], document["action"], source, target, get("detail", ""))


def _to_document(difference: Difference) -> Document:
    return {
        "_id": difference.id,
        "day": difference.day.isoformat(),
        "kind": difference.kind.value,
        "ours": _entry_to_document(difference.ours),
        "theirs": _entry_to_document(difference.theirs),
        "found_at": difference.found_at,
        "seen_at": difference.found_at,
        "status": difference.status.value,
        "audit": [_audit_to_document(entry) for entry in difference.audit],
    }


def _from_document(document: Document) -> Difference:
    return Difference(
        id=document["_id"],
        day=date.fromisoformat(document["day"]),
        kind=Kind(document["kind"]),
        ours=_entry_from_document(document["ours"]),
        theirs=_entry_from_document(document["theirs"]),
        found_at=document["found_at"],
        status=Status(document["status"]),
        audit=tuple([_audit_from_document(entry) for entry in document["audit"]]),
    )


def _entry_to_document(entry: Entry | None) -> Document | None:
    return entry._asdict() | {"amount": Int64(entry.amount)} if entry else None


def _entry_from_document(document: Document | None) -> Entry | None:
    return Entry(**document | {"amount": int(document["amount"])}) if document else None


def _result_to_document(result: Reconciliation) -> Document:
    return {
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        "ours": _sums_to_document(result.ours),
        "theirs": _sums_to_document(result.theirs),
        "found": {kind.value: Int64(count) for kind, count in result.found.items()},
    }


def _result_from_document(day: date, document: Document) -> Reconciliation:
    return Reconciliation(
        day=day,
        started_at=document["started_at"],
        finished_at=document["finished_at"],
        ours=_sums_from_document(document["ours"]),
        theirs=_sums_from_document(document["theirs"]),
        found={Kind(kind): int(count) for kind, count in document["found"].items()},
    )


def _sums_to_document(sums: Sums) -> Document:
    return {name: Int64(getattr(sums, name)) for name in SUMS}


def _sums_from_document(document: Document) -> Sums:
    return Sums(**{name: int(document.get(name, 0)) for name in SUMS})


SUMS = tuple(Sums.__dataclass_fields__)
