"""Copies a database of release 0.1.0 into today's collections, and checks that every fen arrived.

The old collections stay as they are. Copying can be repeated: what is there already is left alone. It refuses to run
while a process of 0.1.0 works on the database, or after today's release has changed what was copied.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, PyMongoError

from storage.documents import CODEC, EPOCH, Document
from storage.migration import release_0_1_0 as old
from storage.store import SCHEMA, Codec
from storage.stores import all as stores
from storage.stores.days import DAY, DIFFERENCE
from storage.stores.deliveries import DELIVERY
from storage.stores.notifications import NOTIFICATION
from storage.stores.numbers import CLAIM, NUMBER
from storage.stores.order_codec import ORDER, read_order
from wechat.domain.errors import Bilingual, FenpayError
from wechat.domain.facts import RefundState
from wechat.domain.orders import PAID_STATES, Order

BATCH = 500
DUPLICATE = 11000
WRITE = "from-0.1.0"
PROBE = "migration-probe"
PROBE_S = 30.0
"""The longest time until a running process of 0.1.0 is noticed: it polls due orders every two seconds, or after a query
to WeChat, which may take twenty."""
TIMEOUT_MS = 10_000
TAKEN = frozenset({RefundState.PROCESSING, RefundState.SUCCESS, RefundState.ABNORMAL})
COPIED = {
    "notifications": stores.NOTIFICATIONS,
    "claims": stores.CLAIMS,
    "deliveries": stores.DELIVERIES,
    "book_days": stores.DAYS,
    "differences": stores.DIFFERENCES,
}

T = TypeVar("T")


class MigrationRefused(FenpayError):
    """The database cannot be copied now; the text says why, and what to do."""

    code = "MIGRATION_REFUSED"


@dataclass
class Totals:
    """The contents of one side: documents by kind, and fen. The old side is counted from its own documents, so that a
    mistake in reading them is noticed."""

    counts: Counter[str] = field(default_factory=Counter)

    def add_order(self, order: Order) -> None:
        """Count an order as it was copied."""
        self._count_order(order.trade_state, order.total, len(order.outbox))
        for refund in order.refunds:
            self._count_refund(refund.state, refund.refund)

    def add_old_order(self, document: Document) -> None:
        """Count an order of 0.1.0."""
        self._count_order(document["trade_state"], int(document["total"]), _waiting(document))

    def add_old_refund(self, document: Document) -> None:
        """Count a refund of 0.1.0."""
        self._count_refund(document["state"], int(document["refund"]))
        self.counts["events to hand out"] += _waiting(document)

    def _count_order(self, state: str, total: int, events: int) -> None:
        self.counts["orders"] += 1
        self.counts[f"orders {state}"] += 1
        self.counts["events to hand out"] += events
        if state in PAID_STATES:
            self.counts["paid fen"] += total

    def _count_refund(self, state: str, refund: int) -> None:
        """Count a refund. Refunds that WeChat Pay has not accepted are counted together, because copying may refuse
        some of them."""
        kind = state if state in TAKEN else "not taken"
        self.counts[f"refunds {kind}"] += 1
        self.counts[f"refunds {kind} fen"] += refund


@dataclass(frozen=True)
class Line:
    """A count before and after copying."""

    name: str
    before: int
    after: int


class Migration:
    """The copying of a database, for the merchant ``mchid``."""

    def __init__(self, url: str, database: str, mchid: str) -> None:
        self._client: MongoClient[Document] = MongoClient(
            url, serverSelectionTimeoutMS=TIMEOUT_MS, socketTimeoutMS=TIMEOUT_MS, appname="fenpay migration"
        )
        self._database: Database[Document] = self._client.get_database(
            database,
            codec_options=CODEC,
            write_concern=WriteConcern("majority", j=True),
            read_preference=ReadPreference.PRIMARY,
        )
        self._mchid = mchid

    def close(self) -> None:
        self._client.close()

    def run(self, say: Callable[[Bilingual], None], probe_s: float = PROBE_S) -> list[Line]:
        """Copy everything and compare both sides. Raises MigrationRefused."""
        try:
            self._must_be_possible()
            say(Bilingual("检查旧进程是否都已停止", "Checking that no old process is running"))
            self._must_be_alone(probe_s)
            self._copy(say)
            say(Bilingual("核对笔数与金额", "Comparing numbers and amounts"))
            lines = self._compare()
        except PyMongoError as error:
            raise MigrationRefused(
                Bilingual(f"MongoDB 出错：{type(error).__name__}", f"MongoDB failed: {type(error).__name__}")
            ) from error
        if wrong := [line.name for line in lines if line.before != line.after]:
            names = ", ".join(wrong)
            raise MigrationRefused(
                Bilingual(
                    f"复制后不一致：{names}；请不要启动新版本",
                    f"The copy differs in {names}; do not start the new release",
                )
            )
        return lines

    # -- whether it may run ---------------------------------------------------------------------------------------

    def _must_be_possible(self) -> None:
        if "orders" not in self._database.list_collection_names():
            text = Bilingual(
                "这个数据库里没有 0.1.0 的数据，不需要迁移", "There is nothing of release 0.1.0 in this database"
            )
            raise MigrationRefused(text, code="NOTHING_TO_MIGRATE")
        if self._database[stores.ORDERS].find_one({"rev": {"$gt": 1}}, {"_id": 1}):
            raise MigrationRefused(
                Bilingual(
                    "新版本已经在用这个数据库，不能再迁移",
                    "The new release has changed orders in this database already, so it cannot be copied again",
                ),
                code="ALREADY_IN_USE",
            )

    def _must_be_alone(self, probe_s: float) -> None:
        """Raise MigrationRefused if a worker of 0.1.0 takes an order that is due, which a running process would do."""
        orders = self._database["orders"]
        due_at = EPOCH + timedelta(milliseconds=1)
        probe = {"_id": PROBE, "next_check_at": due_at, "created_at": EPOCH, "trade_state": PROBE}
        orders.delete_one({"_id": PROBE})  # left by an attempt that was killed
        orders.insert_one(probe)
        try:
            deadline = time.monotonic() + probe_s
            while time.monotonic() < deadline:
                time.sleep(min(0.5, probe_s / 4))
                found = orders.find_one({"_id": PROBE})
                if found is None or found["next_check_at"] != due_at:
                    raise _still_running()
        finally:
            orders.delete_one({"_id": PROBE})

    # -- copying --------------------------------------------------------------------------------------------------

    def _copy(self, say: Callable[[Bilingual], None]) -> None:
        say(Bilingual("复制订单与退款", "Copying orders and refunds"))
        for documents in self._batches("orders"):
            orders = [self._order(document) for document in documents]
            self._insert(stores.NUMBERS, NUMBER, [use for order in orders for use in old.numbers_of(order)])
            self._insert(stores.ORDERS, ORDER, orders)
        say(Bilingual("复制通知、推送记录与对账", "Copying notifications, deliveries and reconciliations"))
        self._copy_all("notifications", stores.NOTIFICATIONS, NOTIFICATION, old.notification_from)
        self._copy_all("claims", stores.CLAIMS, CLAIM, old.claim_from)
        self._copy_all("deliveries", stores.DELIVERIES, DELIVERY, self._delivery)
        self._copy_all("book_days", stores.DAYS, DAY, lambda each: old.day_from(each, self._mchid))
        self._copy_all(
            "differences", stores.DIFFERENCES, DIFFERENCE, lambda each: old.difference_from(each, self._mchid)
        )

    def _copy_all(self, source: str, target: str, codec: Codec[T], read: Callable[[Document], T]) -> None:
        for documents in self._batches(source):
            self._insert(target, codec, [read(document) for document in documents])

    def _order(self, document: Document) -> Order:
        refunds = list(self._database["refunds"].find({"out_trade_no": document["_id"]}).sort("created_at", 1))
        return old.order_from(document, refunds)

    def _delivery(self, document: Document) -> Any:
        """Return a delivery with the position of its event among those of its order."""
        number = document["out_trade_no"]
        order = self._database["orders"].find_one({"_id": number}) or {"mchid": self._mchid}
        refunds = list(self._database["refunds"].find({"out_trade_no": number}))
        sequences = {event.id: event.sequence for event in old.outgoing_events(order, refunds)}
        data = json.loads(document["data"])
        return old.delivery_from(document, order["mchid"], data, sequences.get(document["event_id"], 1))

    def _batches(self, name: str) -> Iterator[list[Document]]:
        """Yield all documents of a collection, in batches."""
        documents = iter(self._database[name].find(batch_size=BATCH))
        while batch := list(islice(documents, BATCH)):
            yield batch

    def _insert(self, name: str, codec: Codec[T], values: Sequence[T]) -> None:
        """Store the documents that do not exist yet."""
        documents = [
            codec.write(value) | {"_id": codec.key(value), "schema": SCHEMA, "rev": 1, "writes": [WRITE]}
            for value in values
        ]
        if not documents:
            return
        collection: Collection[Document] = self._database[name]
        try:
            collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if any(fault["code"] != DUPLICATE for fault in error.details["writeErrors"]):
                raise

    # -- comparing ------------------------------------------------------------------------------------------------

    def _compare(self) -> list[Line]:
        """Count both sides."""
        before, after = Totals(), Totals()
        for document in self._database["orders"].find():
            before.add_old_order(document)
        for document in self._database["refunds"].find():
            before.add_old_refund(document)
        for document in self._database[stores.ORDERS].find():
            after.add_order(read_order(document))
        for source, target in COPIED.items():
            before.counts[target] = self._database[source].count_documents({})
            after.counts[target] = self._database[target].count_documents({})
        names = sorted(before.counts.keys() | after.counts.keys())
        return [Line(name, before.counts[name], after.counts[name]) for name in names]


def _waiting(document: Document) -> int:
    """Return the number of events of a document of 0.1.0 that are not handed out yet."""
    return len(document.get("outbox", ())) - int(document.get("outbox_done", 0))


def _still_running() -> MigrationRefused:
    return MigrationRefused(
        Bilingual(
            "还有 0.1.0 的进程在用这个数据库：先停掉全部旧进程（supervisorctl stop fenpay:*），再迁移",
            "A process of release 0.1.0 is still working on this database: stop all of them first "
            "(supervisorctl stop fenpay:*), then migrate",
        ),
        code="OLD_PROCESS_RUNNING",
    )
