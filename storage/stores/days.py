"""The stores of reconciled days and of differences: a document each, identified by its subject."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from storage.documents import FIRST, LAST, Document, Documents, Range
from storage.store import Codec, DocumentStore
from wechat.domain.ports import Page, Stored
from wechat.reconciliation.books import Audit, BookEntry, Difference, DifferenceKind, Reconciliation, Status, Totals
from wechat.reconciliation.days import BookDay, day_key

LAST_ID = "g"
"""Greater than any id; ids are hex digits."""


class Days(DocumentStore[BookDay]):
    """``DayStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, DAY)

    async def newest(self, mchid: str) -> date | None:
        """See DayStore. A merchant has a document a day, so all of them are few."""
        return await self._end(mchid, latest=True)

    async def oldest(self, mchid: str) -> date | None:
        """See DayStore."""
        return await self._end(mchid, latest=False)

    async def _end(self, mchid: str, *, latest: bool) -> date | None:
        """Return the first or the last of the planned days."""
        equal = {"mchid": mchid, "planned": True}
        found = await self._documents.find(Range("date", FIRST, LAST, equal, 1, latest=latest))
        return date.fromisoformat(found[0]["day"]) if found else None

    async def between(self, mchid: str, first: date, last: date) -> Sequence[BookDay]:
        found = await self._documents.find(Range("date", _midnight(first), _midnight(last), {"mchid": mchid}))
        return sorted(self.values(found), key=lambda each: each.day)

    async def list_due(self, mchid: str, now: datetime, limit: int) -> Sequence[Stored[BookDay]]:
        found = await self.due_until(Range("due_at", FIRST, now, {"mchid": mchid}, limit=limit))
        return sorted(found, key=lambda stored: stored.value.day)


class Differences(DocumentStore[Difference]):
    """``DifferenceStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, DIFFERENCE)

    async def of_day(self, mchid: str, day: date, *, limit: int, cursor: str) -> Page[Difference]:
        equal = {"day_key": day_key(mchid, day)}
        after = f"{cursor}0" if cursor else ""  # nothing that begins with an id follows it but itself
        found = await self._documents.find(Range("_id", after, LAST_ID, equal, limit + 1))
        shown = found[:limit]
        return Page(tuple(self.values(shown)), shown[-1]["_id"] if len(found) > limit else "")

    async def list_open(self, mchid: str, limit: int) -> Sequence[Difference]:
        found = await self._documents.find(Range("open_at", FIRST, LAST, {"mchid": mchid}, limit))
        return self.values(found)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _write_day(day: BookDay) -> Document:
    document: Document = {"mchid": day.mchid, "day": day.day.isoformat(), "date": _midnight(day.day)}
    for name in ("due_at", "planned", "lease", "leased_until"):
        if value := getattr(day, name):
            document[name] = value
    if day.result:
        document["result"] = _write_result(day.result)
    return document


def _read_day(document: Document) -> BookDay:
    get, day = document.get, date.fromisoformat(document["day"])
    result = get("result")
    return BookDay(
        mchid=document["mchid"],
        day=day,
        due_at=get("due_at"),
        planned=get("planned", False),
        lease=get("lease", ""),
        leased_until=get("leased_until"),
        result=read_result(day, result) if result else None,
    )


def _write_result(result: Reconciliation) -> Document:
    return {
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        "ours": _write_sums(result.recorded),
        "theirs": _write_sums(result.billed),
        "found": {kind.value: count for kind, count in result.found.items()},
        "unread": list(result.unread),
    }


def read_result(day: date, document: Document) -> Reconciliation:
    return Reconciliation(
        day=day,
        started_at=document["started_at"],
        finished_at=document["finished_at"],
        recorded=_read_sums(document["ours"]),
        billed=_read_sums(document["theirs"]),
        found={DifferenceKind(kind): int(count) for kind, count in document["found"].items()},
        unread=tuple([int(line) for line in document.get("unread", ())]),
    )


SUMS = tuple(Totals.__dataclass_fields__)


def _write_sums(sums: Totals) -> Document:
    return {name: getattr(sums, name) for name in SUMS}


def _read_sums(document: Document) -> Totals:
    return Totals(**{name: int(document.get(name, 0)) for name in SUMS})


def _write_difference(difference: Difference) -> Document:
    """Convert a difference. ``ours`` is the recorded side and ``theirs`` the bill's, as earlier releases named them.
    ``open_at`` is derived: only open differences have it, so that they are found among all others."""
    open_at = {"open_at": difference.found_at} if difference.status is Status.OPEN else {}
    return {
        **open_at,
        "mchid": difference.mchid,
        "day": difference.day.isoformat(),
        "day_key": day_key(difference.mchid, difference.day),
        "kind": difference.kind.value,
        "ours": difference.recorded._asdict() if difference.recorded else None,
        "theirs": difference.billed._asdict() if difference.billed else None,
        "found_at": difference.found_at,
        "seen_at": difference.seen_at,
        "status": difference.status.value,
        "audit": [_write_audit(entry) for entry in difference.audit],
    }


def _read_difference(document: Document) -> Difference:
    return Difference(
        id=document["_id"],
        mchid=document["mchid"],
        day=date.fromisoformat(document["day"]),
        kind=DifferenceKind(document["kind"]),
        recorded=_read_entry(document["ours"]),
        billed=_read_entry(document["theirs"]),
        found_at=document["found_at"],
        seen_at=document["seen_at"],
        status=Status(document["status"]),
        audit=tuple([_read_audit(entry) for entry in document["audit"]]),
    )


def _read_entry(document: dict[str, Any] | None) -> BookEntry | None:
    if document is None:
        return None
    values = {name: document[name] for name in BookEntry._fields if name in document}
    return BookEntry(**values | {"amount": int(document["amount"])})


def _write_audit(entry: Audit) -> Document:
    return {
        "at": entry.at,
        "by": entry.by,
        "action": entry.action,
        "source": entry.source.value,
        "target": entry.target.value,
        "detail": entry.detail,
    }


def _read_audit(document: Document) -> Audit:
    source, target = Status(document["source"]), Status(document["target"])
    return Audit(document["at"], document["by"], document["action"], source, target, document.get("detail", ""))


DAY = Codec(
    key=lambda day: day.key,
    write=_write_day,
    read=_read_day,
    fields=frozenset({"mchid", "day", "date", "due_at", "planned", "lease", "leased_until", "result"}),
    parts={},
)
DIFFERENCE = Codec(
    key=lambda difference: difference.id,
    write=_write_difference,
    read=_read_difference,
    fields=frozenset(
        {"mchid", "day", "day_key", "kind", "ours", "theirs", "found_at", "seen_at", "status", "audit", "open_at"}
    ),
    parts={},
)
