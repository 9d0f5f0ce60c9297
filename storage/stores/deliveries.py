"""Deliveries: one document for each event and target, kept a while after its end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from storage.documents import FIRST, Document, Documents, Range
from storage.store import Codec, DocumentStore
from storage.stores.listing import newest, position, write_cursor
from wechat.domain.deliveries import Answer, Attempt, Delivery, DeliveryState, Event
from wechat.domain.ports import Clock, Page, Stored

MOST_OF_ORDER = 500
MOST_OF_EVENT = 100
COUNTED = 1000
LAST_LETTER = "\uffff"
"""Greater than any letter of a target's name."""


class Deliveries(DocumentStore[Delivery]):
    """``DeliveryStore``."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        super().__init__(documents, DELIVERY)
        self._clock = clock

    async def list_due(self, target: str, now: datetime, limit: int) -> Sequence[Stored[Delivery]]:
        return await self.due_until(Range("due_at", FIRST, now, {"target": target}, limit=limit))

    async def next_due(self, target: str, until: datetime) -> datetime | None:
        found = await self._documents.find(
            Range("due_at", FIRST, until, {"target": target}, limit=1, fields=("due_at",))
        )
        return found[0]["due_at"] if found else None

    async def overdue(self, target: str, now: datetime) -> tuple[int, float]:
        found = await self._documents.find(
            Range("due_at", FIRST, now, {"target": target}, limit=COUNTED, fields=("due_at",))
        )
        oldest = min((document["due_at"] for document in found), default=now)
        return len(found), (now - oldest).total_seconds()

    async def pending_of(self, ordering_key: str) -> Sequence[Stored[Delivery]]:
        found = await self._documents.find_equal("ordering_key", ordering_key, MOST_OF_ORDER)
        pending = [stored for stored in self.readable(found) if stored.value.pending]
        return sorted(pending, key=lambda stored: stored.value.sequence)

    async def of_order(self, order_key: str) -> Sequence[Delivery]:
        prefix = f"{order_key}:"
        found = await self._documents.find(Range("ordering_key", prefix, prefix + LAST_LETTER, limit=MOST_OF_ORDER))
        return sorted(self.values(found), key=lambda delivery: delivery.sequence)

    async def of_event(self, event_id: str) -> Sequence[Delivery]:
        found = self.values(await self._documents.find_equal("event_id", event_id, MOST_OF_EVENT))
        return sorted(found, key=lambda delivery: delivery.id)

    async def find(self, *, state: DeliveryState | None, limit: int, cursor: str) -> Page[Delivery]:
        """See DeliveryStore. The index is by state and date, so all states together are a page of each, merged."""
        found: list[Document] = []
        for each in [state] if state else DeliveryState:
            equal = {"state": each.value}
            found += await newest(self._documents, "at", equal, now=self._clock.now(), limit=limit, cursor=cursor)
        found.sort(key=lambda document: position(document, "at"), reverse=True)
        shown = found[:limit]
        following = write_cursor(position(shown[-1], "at")) if len(found) > limit else ""
        return Page(tuple(self.values(shown)), following)


def _write(delivery: Delivery) -> Document:
    event = delivery.event
    document: Document = {
        "event_id": event.id,
        "type": event.type,
        "at": event.at,
        "out_trade_no": event.out_trade_no,
        "data": json.dumps(event.data, ensure_ascii=False),  # text, so that the same bytes are signed each time
        "target": delivery.target,
        "order": delivery.order_key,
        "ordering_key": delivery.ordering_key,
        "sequence": delivery.sequence,
        "state": delivery.state.value,
        "tries": delivery.tries,
        "attempts": [_write_attempt(attempt) for attempt in delivery.attempts],
    }
    for name in ("due_at", "lease", "blocked", "expires_at"):
        if value := getattr(delivery, name):
            document[name] = value
    return document


def _read(document: Document) -> Delivery:
    get = document.get
    return Delivery(
        event=Event(
            document["event_id"],
            document["type"],
            document["at"],
            document["out_trade_no"],
            json.loads(document["data"]),
        ),
        target=document["target"],
        order_key=document["order"],
        sequence=document["sequence"],
        due_at=get("due_at"),
        state=DeliveryState(document["state"]),
        lease=get("lease", ""),
        blocked=get("blocked", False),
        tries=document["tries"],
        attempts=tuple([_read_attempt(attempt) for attempt in document["attempts"]]),
        expires_at=get("expires_at"),
    )


def _write_attempt(attempt: Attempt) -> Document:
    document: Document = {"at": attempt.at, "result": attempt.result, "duration_s": round(attempt.duration_s, 3)}
    if attempt.timestamp:
        document["timestamp"] = attempt.timestamp
    if attempt.answer:
        document["answer"] = {"text": attempt.answer.text, "content_type": attempt.answer.content_type}
    return document


def _read_attempt(document: Document) -> Attempt:
    answer = document.get("answer")
    return Attempt(
        document["at"],
        document["result"],
        document["duration_s"],
        int(document.get("timestamp", 0)),
        Answer(answer["text"], answer["content_type"]) if answer else None,
    )


DELIVERY = Codec(
    key=lambda delivery: delivery.id,
    write=_write,
    read=_read,
    fields=frozenset(
        {
            "event_id", "type", "at", "out_trade_no", "data", "target", "order", "ordering_key", "sequence", "state",
            "tries", "attempts", "due_at", "lease", "blocked", "expires_at",
        }
    ),
    parts={"attempts": ("at", frozenset({"at", "result", "duration_s", "timestamp", "answer"}))},
)  # fmt: skip
