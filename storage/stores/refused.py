"""The store of refused notifications: a fixed number of entries for each reason, and each for a limited time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bson import Binary

from storage.documents import FIRST, LAST, Document, Documents, Range
from storage.store import Codec, DocumentStore
from wechat.domain.ports import Stored
from wechat.domain.refused import PLACES, RefusedNotification


class RefusedNotifications(DocumentStore[RefusedNotification]):
    """``RefusedStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, REFUSED)

    async def of_reason(self, reason: str) -> Sequence[Stored[RefusedNotification]]:
        wanted = Range("last_at", FIRST, LAST, {"reason": reason}, limit=2 * PLACES, latest=True)
        return self.readable(await self._documents.find(wanted))

    async def latest(self, limit: int) -> Sequence[RefusedNotification]:
        return self.values(await self._documents.find(Range("last_at", FIRST, LAST, limit=limit, latest=True)))

    async def about(self, out_trade_no: str, since: datetime, limit: int) -> Sequence[RefusedNotification]:
        wanted = Range("last_at", since, LAST, {"out_trade_no": out_trade_no}, limit=limit, latest=True)
        return self.values(await self._documents.find(wanted))


def _write(message: RefusedNotification) -> Document:
    document: Document = {
        "reason": message.reason,
        "api": message.api,
        "serial": message.serial,
        "known_serials": list(message.known_serials),
        "out_trade_no": message.out_trade_no,
        "raw": Binary(message.raw),
        "size": message.size,
        "headers": dict(message.headers),
        "body_hash": message.body_hash,
        "arrived_at": message.arrived_at,
        "first_at": message.first_at,
        "last_at": message.last_at,
        "expires_at": message.expires_at,
        "seen": message.seen,
    }
    if message.age_s is not None:
        document["age_s"] = message.age_s
    if message.slips:
        document["slips"] = list(message.slips)
    if message.accepted_at:
        document["accepted_at"] = message.accepted_at
    return document


def _read(document: Document) -> RefusedNotification:
    return RefusedNotification(
        place=document["_id"],
        reason=document["reason"],
        api=document["api"],
        serial=document["serial"],
        known_serials=tuple(document["known_serials"]),
        age_s=document.get("age_s"),
        out_trade_no=document["out_trade_no"],
        raw=bytes(document["raw"]),
        size=int(document["size"]),
        headers=document["headers"],
        body_hash=document["body_hash"],
        arrived_at=document["arrived_at"],
        first_at=document["first_at"],
        last_at=document["last_at"],
        expires_at=document["expires_at"],
        seen=int(document["seen"]),
        accepted_at=document.get("accepted_at"),
        slips=tuple(document.get("slips", ())),
    )


REFUSED = Codec(
    key=lambda message: message.place,
    write=_write,
    read=_read,
    fields=frozenset(
        {
            "reason", "api", "serial", "known_serials", "age_s", "out_trade_no", "raw", "size", "headers", "body_hash",
            "arrived_at", "first_at", "last_at", "expires_at", "seen", "accepted_at", "slips",
        }
    ),
    parts={},
)  # fmt: skip
