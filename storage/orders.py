"""Orders in MongoDB. Each writing method is one update of one document, acknowledged by a majority's journal."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta

from bson import Int64, ObjectId
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from storage.codec import (
    event_to_document,
    order_from_document,
    order_to_document,
    prepay_to_document,
    stored_changes,
)
from storage.driver import Collection, Document, answering
from storage.outbox import EPOCH, MILLISECOND, staging
from wechat.domain.errors import BadRequest, Mismatch, Text
from wechat.models import OUT_TRADE_NO, PAID_STATES, Move, Order, OrderEvent, Page, Prepay, TradeState
from wechat.refund_models import MAX_ATTEMPTS, MAX_REFUNDS, Refund

UNPAID = TradeState.NOTPAY.value
LATE = TradeState.PAID_LATE.value
PAID = [state.value for state in PAID_STATES]
NEWEST_FIRST = [("created_at", DESCENDING), ("_id", DESCENDING)]
DUE_FIRST = [("next_check_at", ASCENDING)]


class MongoOrders:
    """``OrderStore`` on a collection whose ``_id`` is out_trade_no."""

    def __init__(self, collection: Collection) -> None:
        self._orders = collection

    @answering
    async def insert(self, order: Order) -> bool:
        """See OrderStore. A driver that lost the first reply sends again and is told "duplicate": the mark of this very
        attempt tells our own document from an equal one of somebody else."""
        mark = ObjectId()
        try:
            await self._orders.insert_one(order_to_document(order) | {"mark": mark})
        except DuplicateKeyError:
            stored = await self._orders.find_one({"_id": order.out_trade_no}, {"mark": 1})
            return stored is not None and stored.get("mark") == mark
        return True

    @answering
    async def get(self, out_trade_no: str) -> Order | None:
        return _order(await self._orders.find_one({"_id": out_trade_no}))

    @answering
    async def set_prepay(self, out_trade_no: str, prepay: Prepay, event: OrderEvent) -> Order | None:
        return await self._update(
            {"_id": out_trade_no, "trade_state": UNPAID},
            {"$set": {"prepay": prepay_to_document(prepay)}, "$push": {"events": event_to_document(event)}},
        )

    @answering
    async def note(self, out_trade_no: str, event: OrderEvent) -> None:
        await self._orders.update_one({"_id": out_trade_no}, {"$push": {"events": event_to_document(event)}})

    @answering
    async def move(self, out_trade_no: str, move: Move) -> Order | None:
        """See OrderStore. Raises Mismatch("transaction_used") when another order was paid by this transaction."""
        states = [state.value for state in move.sources]
        try:
            return await self._update({"_id": out_trade_no, "trade_state": {"$in": states}, **move.match}, _moved(move))
        except DuplicateKeyError:
            raise Mismatch("transaction_used") from None

    @answering
    async def find(self, *, trade_state: TradeState | None, limit: int, cursor: str) -> Page[Order]:
        wanted: Document = _after(cursor) if cursor else {}
        if trade_state:
            wanted["trade_state"] = trade_state.value
        found = await self._orders.find(wanted, {"outbox": 0}, sort=NEWEST_FIRST, limit=limit + 1).to_list(limit + 1)
        orders = tuple([order_from_document(document) for document in found[:limit]])
        return Page(orders, _cursor(orders[-1]) if len(found) > limit else "")

    @answering
    async def claim_due(self, now: datetime, lease: timedelta) -> Order | None:
        return await self._update(_due(now), {"$set": {"next_check_at": now + lease}}, sort=DUE_FIRST)

    @answering
    async def schedule(self, out_trade_no: str, at: datetime, *, close_after: datetime | None = None) -> None:
        dates = stored_changes({"next_check_at": at, "close_after": close_after})
        await self._orders.update_one(
            {"_id": out_trade_no, "trade_state": UNPAID}, {"$set": dates, "$inc": {"checks": 1}}
        )

    @answering
    async def settle(self, out_trade_no: str, event: OrderEvent) -> None:
        await self._orders.update_one(
            {"_id": out_trade_no, "trade_state": LATE, "next_check_at": {"$gt": EPOCH}},
            {"$unset": {"next_check_at": ""}, "$push": {"events": event_to_document(event)}},
        )

    @answering
    async def reserve(self, refund: Refund, event: OrderEvent) -> bool:
        result = await self._orders.update_one(_room(refund), _put_aside(refund, event))
        if result.modified_count:
            return True
        held = {_key(refund): Int64(refund.refund)}
        return await self._orders.find_one({"_id": refund.out_trade_no, **held}, {"_id": 1}) is not None

    @answering
    async def reserve_in_turn(self, refund: Refund, event: OrderEvent, now: datetime, spacing: timedelta) -> bool:
        result = await self._orders.update_one(
            _room(refund) | _rested(now, spacing), _put_aside(refund, event, last_refund_at=now)
        )
        return result.modified_count == 1

    @answering
    async def release(self, refund: Refund, event: OrderEvent) -> None:
        """See OrderStore. A zero stays where the amount was, or would have been: ``_room`` wants nothing there."""
        key = _key(refund)
        given_back = await self._orders.update_one(
            {"_id": refund.out_trade_no, key: refund.refund},
            {
                "$set": {key: 0},
                "$inc": {"refund_reserved": Int64(-refund.refund), "refund_count": -1},
                "$push": {"events": event_to_document(event)},
            },
        )
        if not given_back.modified_count and refund.outlived_its_first_lease:
            await self._orders.update_one({"_id": refund.out_trade_no, key: {"$exists": False}}, {"$set": {key: 0}})

    @answering
    async def take_refund_turn(self, out_trade_no: str, now: datetime, spacing: timedelta) -> bool:
        result = await self._orders.update_one(
            {"_id": out_trade_no} | _rested(now, spacing), {"$set": {"last_refund_at": now}}
        )
        return result.modified_count == 1

    @answering
    async def unconfirmed(self, now: datetime) -> tuple[int, float]:
        oldest = await self._orders.find_one(_due(now), {"next_check_at": 1}, sort=DUE_FIRST)
        if oldest is None:
            return 0, 0.0
        count = await self._orders.count_documents(_due(now))
        return count, (now - oldest["next_check_at"]).total_seconds()

    async def _update(
        self, wanted: Document, change: Document, sort: list[tuple[str, int]] | None = None
    ) -> Order | None:
        return _order(
            await self._orders.find_one_and_update(wanted, change, sort=sort, return_document=ReturnDocument.AFTER)
        )


def _order(document: Document | None) -> Order | None:
    return order_from_document(document) if document else None


def _due(now: datetime) -> Document:
    """Only orders that are to be looked at carry a date, so the index holds no others."""
    return {"next_check_at": {"$gt": EPOCH, "$lte": now}}


def _key(refund: Refund) -> str:
    """Where its order holds what is put aside for it."""
    return f"refunds.{refund.out_refund_no}"


def _room(refund: Refund) -> Document:
    """The whole rule for putting it aside: its order is paid, has room for it, and never heard of it before."""
    return {
        "_id": refund.out_trade_no,
        "trade_state": {"$in": PAID},
        "total": refund.total,
        "refund_reserved": {"$not": {"$gt": refund.total - refund.refund}},
        "refund_count": {"$not": {"$gte": MAX_REFUNDS}},
        "refund_attempts": {"$not": {"$gte": MAX_ATTEMPTS}},
        _key(refund): {"$exists": False},
    }


def _rested(now: datetime, spacing: timedelta) -> Document:
    """No refund was sent for ``spacing``."""
    return {"last_refund_at": {"$not": {"$gt": now - spacing}}}


def _put_aside(refund: Refund, event: OrderEvent, **more: datetime) -> Document:
    amount = Int64(refund.refund)
    return {
        "$set": {_key(refund): amount, **more},
        "$inc": {"refund_reserved": amount, "refund_count": 1, "refund_attempts": 1},
        "$push": {"events": event_to_document(event)},
    }


def _moved(move: Move) -> Document:
    """The new state, and what is told of it. No more looks after it, unless the move itself asks for one."""
    staged, due = staging(move.emits, move.event.at)
    update: Document = {
        "$set": {"trade_state": move.target.value, **stored_changes(move.changes), **due},
        "$push": {"events": event_to_document(move.event), **staged},
    }
    return update if "next_check_at" in move.changes else update | {"$unset": {"next_check_at": ""}}


def _cursor(last: Order) -> str:
    text = f"{(last.created_at - EPOCH) // MILLISECOND}.{last.out_trade_no}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _after(cursor: str) -> Document:
    """The filter for what follows ``cursor``. Raises BadRequest."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        milliseconds, out_trade_no = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").split(".")
        created_at = EPOCH + int(milliseconds) * MILLISECOND
    except (binascii.Error, ValueError, OverflowError):
        raise _broken_cursor() from None
    if not OUT_TRADE_NO.fullmatch(out_trade_no):
        raise _broken_cursor()
    return {
        "$or": [
            {"created_at": {"$lt": created_at}},
            {"created_at": created_at, "_id": {"$lt": out_trade_no}},
        ]
    }


def _broken_cursor() -> BadRequest:
    return BadRequest(
        Text("cursor 无效，请用上一页返回的值", "The cursor is not valid; use the one the previous page gave"),
        code="BAD_CURSOR",
        field="cursor",
    )
