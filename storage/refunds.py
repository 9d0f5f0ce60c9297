"""Refunds in MongoDB. Each writing method is one update of one document, acknowledged by a majority's journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from storage.codec import event_to_document, refund_from_document, refund_to_document, stored_changes
from storage.driver import Collection, Document, Sort, answering
from storage.orders import DUE_FIRST
from storage.outbox import EPOCH, staging
from wechat.models import OrderEvent
from wechat.refund_models import Refund, RefundMove

SHOWN = 500


class MongoRefunds:
    """``RefundStore`` on a collection whose ``_id`` is out_refund_no."""

    def __init__(self, collection: Collection) -> None:
        self._refunds = collection

    @answering
    async def insert(self, refund: Refund) -> bool:
        """See RefundStore. The mark tells this very attempt, sent again by the driver, from somebody else's."""
        mark = ObjectId()
        try:
            await self._refunds.insert_one(refund_to_document(refund) | {"mark": mark})
        except DuplicateKeyError:
            stored = await self._refunds.find_one({"_id": refund.out_refund_no}, {"mark": 1})
            return stored is not None and stored.get("mark") == mark
        return True

    @answering
    async def get(self, out_refund_no: str) -> Refund | None:
        return _refund(await self._refunds.find_one({"_id": out_refund_no}))

    @answering
    async def of_order(self, out_trade_no: str) -> Sequence[Refund]:
        found = self._refunds.find(
            {"out_trade_no": out_trade_no}, {"outbox": 0}, sort=[("created_at", ASCENDING)], limit=SHOWN
        )
        return [refund_from_document(document) for document in await found.to_list(SHOWN)]

    @answering
    async def move(self, out_refund_no: str, move: RefundMove) -> Refund | None:
        states = [state.value for state in move.sources]
        staged, due = staging(move.emits, move.event.at)
        fields = {"state": move.target.value, "next_check_at": move.next_check_at, **stored_changes(move.changes)}
        return await self._update(
            {"_id": out_refund_no, "state": {"$in": states}, **move.match},
            {"$set": fields | due, "$push": {"events": event_to_document(move.event), **staged}},
        )

    @answering
    async def schedule(self, refund: Refund, at: datetime | None, event: OrderEvent | None = None) -> Refund | None:
        unchanged = {
            "_id": refund.out_refund_no,
            "state": refund.state.value,
            "next_check_at": refund.next_check_at,  # null also finds a field that is not there
        }
        change: Document = {"$set": {"next_check_at": at}} if at else {"$unset": {"next_check_at": ""}}
        if event:
            change["$push"] = {"events": event_to_document(event)}
        return await self._update(unchanged, change)

    @answering
    async def claim_due(self, now: datetime, lease: timedelta) -> Refund | None:
        return await self._update(_due(now), {"$set": {"next_check_at": now + lease}}, sort=DUE_FIRST)

    @answering
    async def overdue(self, now: datetime) -> tuple[int, float]:
        oldest = await self._refunds.find_one(_due(now), {"next_check_at": 1}, sort=DUE_FIRST)
        if oldest is None:
            return 0, 0.0
        count = await self._refunds.count_documents(_due(now))
        return count, (now - oldest["next_check_at"]).total_seconds()

    async def _update(self, wanted: Document, change: Document, sort: Sort | None = None) -> Refund | None:
        return _refund(
            await self._refunds.find_one_and_update(wanted, change, sort=sort, return_document=ReturnDocument.AFTER)
        )


def _refund(document: Document | None) -> Refund | None:
    return refund_from_document(document) if document else None


def _due(now: datetime) -> Document:
    return {"next_check_at": {"$gt": EPOCH, "$lte": now}}
