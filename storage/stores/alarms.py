"""The store of alarms: a fixed number of entries for each kind."""

from __future__ import annotations

from collections.abc import Sequence

from storage.documents import FIRST, LAST, Document, Documents, Range
from storage.store import Codec, DocumentStore
from wechat.domain.alarms import MOST_OF_KIND, Alarm
from wechat.domain.ports import Stored


class Alarms(DocumentStore[Alarm]):
    """``AlarmStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, ALARM)

    async def of_kind(self, kind: str) -> Sequence[Stored[Alarm]]:
        wanted = Range("last_at", FIRST, LAST, {"kind": kind}, limit=2 * MOST_OF_KIND, latest=True)
        return self.readable(await self._documents.find(wanted))

    async def latest(self, limit: int, *, only_open: bool) -> Sequence[Alarm]:
        equal = {"open": True} if only_open else {}
        return self.values(await self._documents.find(Range("last_at", FIRST, LAST, equal, limit=limit, latest=True)))


def _write(alarm: Alarm) -> Document:
    document: Document = {
        "kind": alarm.kind,
        "subject": alarm.subject,
        "error": alarm.error,
        "first_at": alarm.first_at,
        "last_at": alarm.last_at,
        "expires_at": alarm.expires_at,
        "count": alarm.count,
        "open": alarm.open,
    }
    for name in ("seen_at", "seen_by", "cleared_at"):
        if value := getattr(alarm, name):
            document[name] = value
    return document


def _read(document: Document) -> Alarm:
    return Alarm(
        place=document["_id"],
        kind=document["kind"],
        subject=document["subject"],
        error=document["error"],
        first_at=document["first_at"],
        last_at=document["last_at"],
        expires_at=document["expires_at"],
        count=int(document["count"]),
        seen_at=document.get("seen_at"),
        seen_by=document.get("seen_by", ""),
        cleared_at=document.get("cleared_at"),
    )


ALARM = Codec(
    key=lambda alarm: alarm.place,
    write=_write,
    read=_read,
    fields=frozenset(
        {
            "kind", "subject", "error", "first_at", "last_at", "expires_at", "count", "open", "seen_at", "seen_by",
            "cleared_at",
        }
    ),
    parts={},
)  # fmt: skip
