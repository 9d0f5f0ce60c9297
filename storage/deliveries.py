"""Deliveries in MongoDB: one document for each event and target, kept a while after its end.

``due_at`` is there only while a delivery is pending: the index on it knows no other documents. ``lane`` is order and
target, within which deliveries go by their ``turn``. ``waits`` tells one that was put off for an earlier one from one
that somebody is delivering: only the former may be called.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from storage.driver import Collection, Document, answering
from storage.outbox import EPOCH
from wechat.events import Attempt, Delivery, DeliveryState, Event
from wechat.models import Page

KEEP = timedelta(days=90)
ATTEMPTS = 20  # recorded, the latest
PENDING = DeliveryState.PENDING.value
BLOCKED = 50  # looked at in one claim
STEP = timedelta(seconds=1)
DUE_FIRST = [("due_at", ASCENDING)]
IN_TURN = [("turn", ASCENDING)]
NEWEST_FIRST = [("_id", DESCENDING)]  # an event's id begins with the second it was made in

INDEXES = [
    IndexModel([("target", ASCENDING), *DUE_FIRST], name="due", partialFilterExpression={"due_at": {"$gt": EPOCH}}),
    IndexModel([("lane", ASCENDING), ("state", ASCENDING), *IN_TURN], name="in_turn"),
    IndexModel([("state", ASCENDING), *NEWEST_FIRST], name="newest_by_state"),
    IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
]


class MongoDeliveries:
    """``DeliveryStore`` on a collection whose ``_id`` is event and target."""

    def __init__(self, collection: Collection) -> None:
        self._deliveries = collection

    @answering
    async def add(self, delivery: Delivery) -> None:
        try:
            await self._deliveries.insert_one(_document(delivery))
        except DuplicateKeyError:  # whoever handed it out before was cut off before finishing
            return

    @answering
    async def claim(self, target: str, now: datetime, lease: timedelta) -> Delivery | None:
        """See DeliveryStore. One whose turn has not come is put off to when its predecessor is due."""
        until = now + lease
        for _ in range(BLOCKED):
            taken = {"$set": {"due_at": until}, "$unset": {"waits": ""}}
            document = await self._update(_due(target, now), taken, DUE_FIRST)
            if document is None:
                return None
            earlier = await self._earlier(document)
            if earlier is None:
                return _delivery(document)
            await self._put_off(document, max(earlier["due_at"], now + STEP), now)
        return None

    @answering
    async def settle(self, delivery: Delivery, state: DeliveryState, attempt: Attempt) -> bool:
        late = {"_id": delivery.id, "state": {"$in": [PENDING, DeliveryState.DEAD.value]}}
        document = await self._update(
            late if state is DeliveryState.DELIVERED else _held(delivery),
            {
                "$set": {"state": state.value, "expires_at": attempt.at + KEEP},
                "$unset": {"due_at": ""},
                **_tried(attempt),
            },
        )
        if document is None:
            return False
        await self._call_next(document, attempt.at)
        return True

    @answering
    async def retry(self, delivery: Delivery, attempt: Attempt, due_at: datetime) -> bool:
        put_off = {"$set": {"due_at": due_at}, **_tried(attempt)}
        return await self._update(_held(delivery), put_off) is not None

    @answering
    async def revive(self, delivery_id: str, now: datetime, lease: timedelta) -> Delivery | None:
        ended = {"state": {"$in": [DeliveryState.DELIVERED.value, DeliveryState.DEAD.value]}}
        resting = {"state": PENDING, "tries": {"$gt": 0}, "due_at": {"$gt": now + lease}}
        document = await self._update(
            {"_id": delivery_id, "$or": [ended, resting]},
            {"$set": {"state": PENDING, "due_at": now, "tries": 0}, "$unset": {"expires_at": ""}},
        )
        return _delivery(document) if document else None

    @answering
    async def of_event(self, event_id: str) -> Sequence[Delivery]:
        wanted = {"_id": {"$gte": f"{event_id}:", "$lt": f"{event_id};"}}  # ";" follows ":"
        return await self._list(wanted, 100)

    @answering
    async def find(self, *, state: DeliveryState | None, limit: int, cursor: str) -> Page[Delivery]:
        wanted: Document = {"state": state.value} if state else {}
        if cursor:
            wanted["_id"] = {"$lt": cursor}
        found = await self._list(wanted, limit + 1)
        page = tuple(found[:limit])
        return Page(page, page[-1].id if len(found) > limit else "")

    @answering
    async def backlog(self, target: str, now: datetime) -> tuple[int, float]:
        oldest = await self._deliveries.find_one(_due(target, now), {"due_at": 1}, sort=DUE_FIRST)
        count = await self._deliveries.count_documents({"target": target, "due_at": {"$gt": EPOCH}})
        return count, (now - oldest["due_at"]).total_seconds() if oldest else 0.0

    async def _earlier(self, document: Document) -> Document | None:
        """The first of those that go before it."""
        before = {"turn": {"$lt": document["turn"]}}
        return await self._deliveries.find_one(_lane(document) | before, {"due_at": 1}, sort=IN_TURN)

    async def _put_off(self, document: Document, at: datetime, now: datetime) -> None:
        """Let it wait until ``at``. Whatever it waits for may have ended before this was written, and called nobody."""
        await self._deliveries.update_one(_as_found(document), {"$set": {"due_at": at, "waits": True}})
        if await self._earlier(document) is None:
            await self._deliveries.update_one({"_id": document["_id"], "waits": True}, _called(now))

    async def _call_next(self, document: Document, at: datetime) -> None:
        """Make the next in the lane due, if it waits for that."""
        after = {"turn": {"$gt": document["turn"]}}
        following = await self._deliveries.find_one(_lane(document) | after, {"_id": 1}, sort=IN_TURN)
        if following:
            await self._deliveries.update_one(following | {"waits": True}, _called(at))

    async def _list(self, wanted: Document, limit: int) -> list[Delivery]:
        found = self._deliveries.find(wanted, sort=NEWEST_FIRST, limit=limit)
        return [_delivery(document) for document in await found.to_list(limit)]

    async def _update(
        self, wanted: Document, change: Document, sort: list[tuple[str, int]] | None = None
    ) -> Document | None:
        return await self._deliveries.find_one_and_update(
            wanted, change, sort=sort, return_document=ReturnDocument.AFTER
        )


def _due(target: str, now: datetime) -> Document:
    return {"target": target, "due_at": {"$gt": EPOCH, "$lte": now}}


def _lane(document: Document) -> Document:
    """What is pending for the same order and target."""
    return {"lane": document["lane"], "state": PENDING}


def _held(delivery: Delivery) -> Document:
    """As the claim has left it: the date of its lease tells it from any later claim, and from an ended delivery."""
    return {"_id": delivery.id, "due_at": delivery.due_at}


def _called(at: datetime) -> Document:
    return {"$set": {"due_at": at}, "$unset": {"waits": ""}}


def _as_found(document: Document) -> Document:
    """The delivery, if nobody has changed its date since."""
    return {"_id": document["_id"], "due_at": document["due_at"]}


def _tried(attempt: Attempt) -> Document:
    recorded = {"at": attempt.at, "result": attempt.result, "duration_s": round(attempt.duration_s, 3)}
    return {"$inc": {"tries": 1}, "$push": {"attempts": {"$each": [recorded], "$slice": -ATTEMPTS}}}


def _document(delivery: Delivery) -> Document:
    event = delivery.event
    return {
        "_id": delivery.id,
        "event_id": event.id,
        "type": event.type,
        "at": event.at,
        "out_trade_no": event.out_trade_no,
        "data": json.dumps(event.data, ensure_ascii=False),  # text, so that the same bytes are signed each time
        "target": delivery.target,
        "lane": f"{event.out_trade_no}:{delivery.target}",
        "turn": delivery.turn,
        "due_at": delivery.due_at,
        "state": delivery.state.value,
        "tries": delivery.tries,
        "attempts": [],
    }


def _delivery(document: Document) -> Delivery:
    return Delivery(
        event=Event(
            document["event_id"],
            document["type"],
            document["at"],
            document["out_trade_no"],
            json.loads(document["data"]),
        ),
        target=document["target"],
        turn=document["turn"],
        due_at=document.get("due_at"),
        state=DeliveryState(document["state"]),
        tries=document["tries"],
        attempts=tuple([Attempt(a["at"], a["result"], a["duration_s"]) for a in document["attempts"]]),
    )
