"""Store any number of finished orders: copies of two that the service made, under other numbers and dates.

Every document is therefore as the service writes it. One of twenty orders was refunded; each payment and each refund
has its number, its notification and its delivered event. Encoded documents are copied: numbers and dates keep their
lengths, so only their bytes change.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from bench.processes.stack import Stack, Target, cpu_s
from storage.documents import CODEC, EPOCH, MILLISECOND
from storage.embedded.servers import EmbeddedMongo
from storage.stores.all import DELIVERIES, NOTIFICATIONS, NUMBERS, ORDERS
from wechat.domain.search import TAIL
from wechat.domain.times import beijing_day

DATABASE = "fenpay"
REFUNDED = 20  # one order in so many
SPAN = timedelta(days=80)  # of the orders' dates; notifications and deliveries are kept for 90 days
DIGITS = 12
BATCH = 1000
SETTLED_S = 20.0
QUIET_S = 5.0
QUIET = 0.03  # of a core: the embedded server's use when idle
LONGEST_REST_S = 600.0
DATED = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mould:
    """An encoded document, and the positions of the ends of its order's numbers (twelve digits, or only those by which
    an order is searched), of dates and of refund days."""

    collection: str
    raw: bytes
    numbers: Sequence[int]
    tails: Sequence[int]
    dates: Mapping[int, datetime]
    days: Mapping[int, datetime]

    @classmethod
    def of(cls, collection: str, document: Document, own: Sequence[str]) -> Mould:
        raw = bson.encode(document, codec_options=CODEC)
        dates = {moment for moment in _leaves(document) if isinstance(moment, datetime)}
        days = {
            at: refund["last_sent_at"]
            for refund in document.get("refunds", ())
            for at in _find(raw, beijing_day(refund["last_sent_at"]).isoformat().encode())
        }
        return cls(
            collection,
            raw,
            [at + len(number) - DIGITS for number in own for at in _find(raw, number.encode())],
            [at + 1 for number in own for at in _find(raw, f"~{number[-TAIL:]}".encode())],
            {at: moment for moment in dates for at in _find(raw, _pack_date(moment))},
            days,
        )

    def cast(self, number: int, earlier: timedelta) -> RawBSONDocument:
        """Return the document of another order, ``earlier`` by that time."""
        raw, mark = bytearray(self.raw), b"%0*d" % (DIGITS, number)
        for at in self.numbers:
            raw[at : at + DIGITS] = mark
        for at in self.tails:
            raw[at : at + TAIL] = mark[-TAIL:]
        for at, moment in self.dates.items():
            raw[at : at + 8] = _pack_date(moment - earlier)
        for at, moment in self.days.items():
            raw[at : at + 10] = beijing_day(moment - earlier).isoformat().encode()
        return RawBSONDocument(bytes(raw))


Specimen = Sequence[Mould]


def _leaves(value: object) -> Iterator[object]:
    """Yield the plain values of a document, nested ones included."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _find(raw: bytes, wanted: bytes) -> Iterator[int]:
    """Yield the positions of ``wanted``."""
    at = raw.find(wanted)
    while at >= 0:
        yield at
        at = raw.find(wanted, at + 1)


def _pack_date(moment: datetime) -> bytes:
    return struct.pack("<q", (moment - EPOCH) // MILLISECOND)


def specimens(stack: Stack, service: Target, mongo_url: str) -> list[Specimen]:
    """Make a refunded order and one that was not, once nothing is left to do for them; return their documents."""
    numbers = [_paid(stack, service) for _ in range(2)]
    stack.ask(
        service,
        f"/api/orders/{numbers[0]}/refunds",
        {"refund": 60, "reason": "bench", "out_refund_no": f"bench-{numbers[0]}"},
    )
    with MongoClient[Document](mongo_url, tz_aware=True) as client:
        database = client[DATABASE]
        deadline = time.monotonic() + SETTLED_S
        while not _is_complete(database) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [_specimen(database, number) for number in numbers]


def _specimen(database: Any, out_trade_no: str) -> Specimen:
    """Return the documents of one order."""
    about = {"out_trade_no": out_trade_no}
    order = database[ORDERS].find_one(about)
    found = [(ORDERS, order), *((NUMBERS, each) for each in database[NUMBERS].find({"order": order["_id"]}))]
    found += [(where, each) for where in (NOTIFICATIONS, DELIVERIES) for each in database[where].find(about)]
    own = {
        *(key for key in order["keys"] if key[0].isalnum()),
        *(each["_id"] for where, each in found if where == NOTIFICATIONS),
    }
    own |= {each["event_id"] for where, each in found if where == DELIVERIES}
    return [Mould.of(where, each, sorted(own)) for where, each in found]


def fill(
    mongo_url: str, count: int, choose: Callable[[int], Specimen], latest: timedelta = timedelta(days=3)
) -> dict[str, int]:
    """Store ``count`` finished orders, each a copy of what ``choose`` returns, the newest dated ``latest`` before it;
    return the number of documents by collection."""
    step = SPAN / max(count, 1)

    def batch(start: int) -> list[tuple[str, int]]:
        made: dict[str, list[RawBSONDocument]] = {}
        for number in range(start, min(start + BATCH, count)):
            for mould in choose(number):
                document = mould.cast(number, number * step + latest)
                made.setdefault(mould.collection, []).append(document)
        for where, documents in made.items():
            client[DATABASE][where].insert_many(documents, ordered=False)
        return [(where, len(documents)) for where, documents in made.items()]

    filled: dict[str, int] = {}
    with MongoClient[RawBSONDocument](mongo_url) as client, ThreadPoolExecutor(2) as pool:
        for counted in pool.map(batch, range(0, count, BATCH)):
            for where, documents in counted:
                filled[where] = filled.get(where, 0) + documents
    return filled


def fill_store(stack: Stack, mongo: EmbeddedMongo, receiver: str, count: int) -> dict[str, int]:
    """Fill ``mongo`` and wait until the server is idle; return the number of documents by collection.

    A service makes the originals, with ``receiver`` as its webhook.
    """
    service = stack.service(mongo.url, name="filling", webhooks=[receiver])
    refunded, plain = specimens(stack, service, mongo.url)
    service.process.stop()
    stored = fill(mongo.url, count, lambda number: plain if number % REFUNDED else refunded)
    wait_until_quiet(mongo)
    return stored


def wait_until_quiet(mongo: EmbeddedMongo) -> None:
    """Return once the server is idle, after ten minutes at most."""
    deadline, spent = time.monotonic() + LONGEST_REST_S, QUIET_S
    while spent > QUIET * QUIET_S and time.monotonic() < deadline:
        before = cpu_s(mongo.pid or 0)
        time.sleep(QUIET_S)
        spent = cpu_s(mongo.pid or 0) - before


def _paid(stack: Stack, service: Target) -> str:
    """Place an order, pay it at the simulator and return its number."""
    payer = stack.keys["users"][0]["openid"]
    wanted = {"description": "bench", "total": 1800, "trade_type": "JSAPI", "openid": payer}
    number = str(stack.ask(service, "/api/orders", wanted)["out_trade_no"])
    stack.control(f"orders/{number}/payments", {})
    while stack.ask(service, f"/api/orders/{number}")["trade_state"] == "NOTPAY":
        time.sleep(0.05)
    return number


def anything_due(database: Any) -> bool:
    """Whether an order or a refund still has to be checked, or has events to hand out."""
    return any(database[ORDERS].find_one({date: DATED}, {"_id": 1}) for date in ("due_at", "outbox_due_at"))


def _is_complete(database: Any) -> bool:
    """Whether nothing is left to do, and all three events were delivered."""
    return not anything_due(database) and database[DELIVERIES].count_documents({"state": "delivered"}) == 3
