"""What WeChat told us, in MongoDB: each event once, with the raw message, for as long as the settings keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bson import Binary
from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from storage.driver import Collection, Document, answering
from wechat.domain.errors import StoreUnavailable
from wechat.models import Api, Notification, Received, Verified

RAW_BYTES = 64 * 1024
SHOWN = 200
APPLIED = "applied"
HEADERS = (
    "Wechatpay-Serial",
    "Wechatpay-Signature",
    "Wechatpay-Signature-Type",
    "Wechatpay-Timestamp",
    "Wechatpay-Nonce",
    "Content-Type",
    "User-Agent",
    "Request-ID",
)
"""What is kept of a message's headers; proxies and clients can put anything into the others."""


class MongoNotifications:
    """``NotificationStore`` on a collection whose ``_id`` is the event's own identity; kept for ``keep``."""

    def __init__(self, collection: Collection, keep: timedelta) -> None:
        self._notifications = collection
        self._keep = keep

    @answering
    async def record(
        self, message: Verified[Notification], raw: bytes, headers: Mapping[str, str], now: datetime
    ) -> int:
        """See NotificationStore. The first is an insert, which its id lets succeed once; the others count."""
        identity = {"_id": message.value.id}
        first = identity | _first(message, raw, headers, now) | {"expires_at": now + self._keep}
        try:
            await self._notifications.insert_one(first | {"last_at": now, "seen": 1})
        except DuplicateKeyError:
            again = {"$set": {"last_at": now}, "$inc": {"seen": 1}}
            stored = await self._notifications.find_one_and_update(
                identity, again, {"seen": 1}, return_document=ReturnDocument.AFTER
            )
            if stored is None:  # its time of keeping ended in between; WeChat comes again
                raise StoreUnavailable from None
            return int(stored["seen"])
        return 1

    @answering
    async def conclude(self, notification_id: str, verdict: str, now: datetime) -> bool:
        """See NotificationStore. "applied" replaces any other verdict; the first of the others stays."""
        replaceable = {"$ne": APPLIED} if verdict == APPLIED else None
        result = await self._notifications.update_one(
            {"_id": notification_id, "verdict": replaceable}, {"$set": {"verdict": verdict, "concluded_at": now}}
        )
        return result.modified_count == 1

    @answering
    async def of_order(self, out_trade_no: str) -> Sequence[Received]:
        found = self._notifications.find(
            {"out_trade_no": out_trade_no}, {"raw": 0, "headers": 0}, sort=[("first_at", ASCENDING)], limit=SHOWN
        )
        return [_received(document) for document in await found.to_list(SHOWN)]


def _first(message: Verified[Notification], raw: bytes, headers: Mapping[str, str], now: datetime) -> Document:
    """What is written the first time only."""
    notification = message.value
    return {
        "api": notification.api.value,
        "kind": notification.kind,
        "mchid": notification.mchid,
        "out_trade_no": notification.out_trade_no,
        "proof": message.proof,
        "raw": Binary(raw[:RAW_BYTES]),
        "headers": {name: headers[name] for name in HEADERS if name in headers},
        "first_at": now,
    }


def _received(document: Document) -> Received:
    return Received(
        id=document["_id"],
        api=Api(document["api"]),
        kind=document["kind"],
        seen=int(document["seen"]),
        verdict=document.get("verdict", ""),
        first_at=document["first_at"],
        last_at=document["last_at"],
    )
