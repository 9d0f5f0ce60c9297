"""Finished orders in any number: two that lived through the service, copied under other numbers and dates.

So every document is as the service writes it. Of twenty orders one was refunded; each payment and each refund has its
notification and its delivered event.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import MongoClient

from bench.stack import Stack, Target, cpu_s
from storage.embedded import EmbeddedMongo

DATABASE = "fenpay"
REFUNDED = 20  # one order in so many
SPAN = timedelta(days=80)  # of the orders' dates; notifications and deliveries are kept for 90 days
DIGITS = 12
BATCH = 1000
SETTLED_S = 20.0
QUIET_S = 5.0
QUIET = 0.03  # of a core: what the embedded server takes when it has nothing to do
LONGEST_REST_S = 600.0
DATED = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}
NUMBERS = ("_id", "out_trade_no", "transaction_id", "refund_id", "event_id")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Specimen:
    """One finished order and what belongs to it, as (collection, document, where its own numbers stand)."""

    parts: Sequence[tuple[str, Document, Mapping[str, tuple[str, str]]]]

    @classmethod
    def of(cls, found: Mapping[str, Sequence[Document]]) -> Specimen:
        names = {str(document[field]) for group in found.values() for document in group for field in _fields(document)}
        own = sorted((name for name in names if ":" not in name), key=len, reverse=True)
        return cls([(where, each, _places(each, own)) for where, group in found.items() for each in group])

    def copies(self, number: int, earlier: timedelta) -> Iterator[tuple[str, Document]]:
        """Another order just like it, ``earlier``."""
        mark = f"{number:0{DIGITS}}"
        for where, document, places in self.parts:
            dates = {name: value - earlier for name, value in document.items() if isinstance(value, datetime)}
            yield where, document | dates | {name: f"{head}{mark}{tail}" for name, (head, tail) in places.items()}


def specimens(stack: Stack, service: Target, mongo_url: str) -> list[Specimen]:
    """A refunded order and one that was not, once nothing of them is left to do."""
    numbers = [_paid(stack, service) for _ in range(2)]
    stack.ask(service, f"/api/orders/{numbers[0]}/refunds", {"refund": 60, "reason": "bench"})
    with MongoClient[Document](mongo_url, tz_aware=True) as client:
        database = client[DATABASE]
        deadline = time.monotonic() + SETTLED_S
        while not _settled(database) and time.monotonic() < deadline:
            time.sleep(0.1)
        found = [
            {
                "orders": list(database.orders.find({"_id": number})),
                **{
                    name: list(database[name].find({"out_trade_no": number}))
                    for name in ("refunds", "notifications", "deliveries")
                },
            }
            for number in numbers
        ]
    return [Specimen.of(each) for each in found]


def fill(mongo_url: str, count: int, kinds: Sequence[Specimen]) -> dict[str, int]:
    """``count`` finished orders; how many documents each collection has got."""
    refunded, plain = kinds
    step = SPAN / max(count, 1)

    def batch(start: int) -> list[tuple[str, int]]:
        made: dict[str, list[Document]] = {}
        for number in range(start, min(start + BATCH, count)):
            kind = plain if number % REFUNDED else refunded
            for where, document in kind.copies(number, number * step + timedelta(days=3)):
                made.setdefault(where, []).append(document)
        for where, documents in made.items():
            client[DATABASE][where].insert_many(documents, ordered=False)
        return [(where, len(documents)) for where, documents in made.items()]

    filled: dict[str, int] = {}
    with MongoClient[Document](mongo_url) as client, ThreadPoolExecutor(2) as pool:
        for counted in pool.map(batch, range(0, count, BATCH)):
            for where, documents in counted:
                filled[where] = filled.get(where, 0) + documents
    return filled


def fill_store(stack: Stack, mongo: EmbeddedMongo, receiver: str, count: int) -> dict[str, int]:
    """Fill ``mongo`` and wait until the server has tidied up behind it; how many documents each collection has got.

    A service makes the originals, with ``receiver`` as its webhook.
    """
    service = stack.service(mongo.url, name="filling", webhooks=[receiver])
    kinds = specimens(stack, service, mongo.url)
    service.process.stop()
    stored = fill(mongo.url, count, kinds)
    deadline, spent = time.monotonic() + LONGEST_REST_S, QUIET_S
    while spent > QUIET * QUIET_S and time.monotonic() < deadline:
        before = cpu_s(mongo.pid or 0)
        time.sleep(QUIET_S)
        spent = cpu_s(mongo.pid or 0) - before
    return stored


def _paid(stack: Stack, service: Target) -> str:
    """The number of an order that was paid at the simulator."""
    payer = stack.keys["users"][0]["openid"]
    wanted = {"description": "bench", "total": 1800, "trade_type": "JSAPI", "openid": payer}
    number = str(stack.ask(service, "/api/orders", wanted)["out_trade_no"])
    stack.control(f"orders/{number}/payments", {})
    while stack.ask(service, f"/api/orders/{number}")["trade_state"] == "NOTPAY":
        time.sleep(0.05)
    return number


def anything_due(database: Any) -> bool:
    """Whether an order or a refund is still to be looked at, or has something to tell."""
    looks = [(name, date) for name in ("orders", "refunds") for date in ("next_check_at", "outbox_due_at")]
    return any(database[name].find_one({date: DATED}, {"_id": 1}) for name, date in looks)


def _settled(database: Any) -> bool:
    """Whether nothing is left to do, and all three events have been delivered."""
    return not anything_due(database) and database.deliveries.count_documents({"state": "delivered"}) == 3


def _fields(document: Document) -> list[str]:
    return [name for name in NUMBERS if name in document]


def _places(document: Document, own: Sequence[str]) -> dict[str, tuple[str, str]]:
    """For each field with one of the order's ``own`` numbers: what stands before and after the number's last digits."""
    places = {}
    for name in (*_fields(document), *(["lane"] if "lane" in document else [])):
        found = next((number for number in own if number in document[name]), None)
        if found:
            head, _, tail = document[name].partition(found)
            places[name] = (head + found[:-DIGITS], tail)
    return places
