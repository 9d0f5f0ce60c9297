"""Audit entries: inserted, listed, never replaced."""

from __future__ import annotations

from storage.documents import FIRST, LAST, Document, Documents
from storage.store import Codec, DocumentStore
from storage.stores.listing import newest, position, write_cursor
from wechat.domain.audit import Act, AuditEntry, AuditFilter
from wechat.domain.ports import Clock, Page


class AuditEntries:
    """``AuditStore``."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._store = DocumentStore(documents, ENTRY)
        self._clock = clock

    async def insert(self, entry: AuditEntry, write: str) -> bool:
        return await self._store.insert(entry, write)

    async def find(self, wanted: AuditFilter, *, limit: int, cursor: str) -> Page[AuditEntry]:
        equal = {"keys": wanted.key} if wanted.key else {}
        within = (wanted.start or FIRST, wanted.end or LAST)
        found = await newest(
            self._documents, "at", equal, now=self._clock.now(), limit=limit, cursor=cursor, within=within
        )
        shown = found[:limit]
        following = write_cursor(position(shown[-1], "at")) if len(found) > limit else ""
        return Page(tuple(self._store.values(shown)), following)

    async def has(self, entry_id: str) -> bool:
        return await self._documents.get(entry_id) is not None


def _write(entry: AuditEntry) -> Document:
    return {
        "at": entry.at,
        "name": entry.name,
        "role": entry.role,
        "address": entry.address,
        "act": entry.act.value,
        "subject": entry.subject,
        "before": entry.before,
        "after": entry.after,
        "wanted": entry.wanted,
        "keys": list(entry.keys),
    }


def _read(document: Document) -> AuditEntry:
    return AuditEntry(
        id=document["_id"],
        at=document["at"],
        name=document["name"],
        role=document["role"],
        address=document["address"],
        act=Act(document["act"]),
        subject=document["subject"],
        before=document["before"],
        after=document["after"],
        wanted=Act(wanted).value if (wanted := document.get("wanted")) else "",
    )


ENTRY = Codec(
    key=lambda entry: entry.id,
    write=_write,
    read=_read,
    fields=frozenset(
        {"at", "name", "role", "address", "act", "subject", "before", "after", "wanted", "keys"}
    ),
    parts={},
)  # fmt: skip
