"""The store of received notifications: each once, with the raw message, for as long as the settings keep it."""

from __future__ import annotations

from collections.abc import Sequence

from bson import Binary

from storage.documents import Document, Documents
from storage.store import Codec, DocumentStore
from storage.stores.listing import newest, position, write_cursor
from wechat.domain.facts import Api, Received
from wechat.domain.messages import StoredNotification
from wechat.domain.ports import Clock, Page

SHOWN = 200
OTHER_MERCHANT = "mchid"
"""The verdict on a message that names a merchant number other than ours."""


class Notifications(DocumentStore[StoredNotification]):
    """``NotificationStore``."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        super().__init__(documents, NOTIFICATION)
        self._clock = clock

    async def of_order(self, mchid: str, out_trade_no: str) -> Sequence[Received]:
        found = self.values(await self._documents.find_equal("out_trade_no", out_trade_no, SHOWN))
        about = [message for message in found if message.mchid == mchid or message.verdict == OTHER_MERCHANT]
        return [message.summary() for message in sorted(about, key=lambda message: message.first_at)]

    async def find(self, mchid: str, *, limit: int, cursor: str) -> Page[StoredNotification]:
        now, equal = self._clock.now(), {"mchid": mchid}
        found = await newest(self._documents, "first_at", equal, now=now, limit=limit, cursor=cursor)
        shown = found[:limit]
        following = write_cursor(position(shown[-1], "first_at")) if len(found) > limit else ""
        return Page(tuple(self.values(shown)), following)


def _write(message: StoredNotification) -> Document:
    document: Document = {
        "api": message.api.value,
        "kind": str(message.kind),
        "mchid": message.mchid,
        "out_trade_no": message.out_trade_no,
        "order": message.order_key,
        "proof": message.proof,
        "raw": Binary(message.raw),
        "headers": dict(message.headers),
        "first_at": message.first_at,
        "last_at": message.last_at,
        "expires_at": message.expires_at,
        "seen": message.seen,
    }
    if message.verdict:
        document |= {"verdict": str(message.verdict), "concluded_at": message.concluded_at}
    return document


def _read(document: Document) -> StoredNotification:
    return StoredNotification(
        id=document["_id"],
        api=Api(document["api"]),
        kind=document["kind"],
        mchid=document["mchid"],
        out_trade_no=document["out_trade_no"],
        order_key=document["order"],
        proof=document["proof"],
        raw=bytes(document["raw"]),
        headers=document["headers"],
        first_at=document["first_at"],
        last_at=document["last_at"],
        expires_at=document["expires_at"],
        seen=int(document["seen"]),
        verdict=document.get("verdict", ""),
        concluded_at=document.get("concluded_at"),
    )


NOTIFICATION = Codec(
    key=lambda message: message.id,
    write=_write,
    read=_read,
    fields=frozenset(
        {
            "api", "kind", "mchid", "out_trade_no", "order", "proof", "raw", "headers", "first_at", "last_at",
            "expires_at", "seen", "verdict", "concluded_at",
        }
    ),
    parts={},
)  # fmt: skip
