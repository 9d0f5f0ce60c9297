"""The MongoDB side of the service: the stores over one connection, and the indexes they rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from pymongo import ASCENDING, IndexModel
from pymongo.errors import OperationFailure

from storage.book_entries import CREATED_FIRST, PAID_FIRST, MongoBookEntries
from storage.books import MongoBooks
from storage.claims import MongoClaims
from storage.codec import order_from_document, refund_from_document
from storage.deliveries import INDEXES as DELIVERY_INDEXES
from storage.deliveries import MongoDeliveries
from storage.driver import Connection, Document, Driver, answering, connect
from storage.notifications import MongoNotifications
from storage.orders import DUE_FIRST, NEWEST_FIRST, MongoOrders
from storage.outbox import EPOCH, OUTBOX_INDEX, MongoOutbox
from storage.refunds import MongoRefunds
from wechat.domain.errors import StoreUnavailable, Text

DATED = {"next_check_at": {"$gt": EPOCH}}
KEEP_NOTIFICATIONS = timedelta(days=90)


class MongoStorage:
    """Opens lazily: a server that is away at the start is used as soon as it comes. Needs a running event loop."""

    def __init__(
        self,
        url: str,
        database: str,
        driver: Driver = "motor",
        *,
        keep_notifications: timedelta = KEEP_NOTIFICATIONS,
        connection: Connection | None = None,
    ) -> None:
        self._connection = connection or connect(url, database, driver)
        collections = self._connection.database
        self.orders = MongoOrders(collections["orders"])
        self.refunds = MongoRefunds(collections["refunds"])
        self.book_entries = MongoBookEntries(collections["orders"], collections["refunds"])
        self.books = MongoBooks(collections["book_days"], collections["differences"])
        self.claims = MongoClaims(collections["claims"])
        self.deliveries = MongoDeliveries(collections["deliveries"])
        self.outboxes = [
            MongoOutbox(collections["orders"], order_from_document),
            MongoOutbox(collections["refunds"], refund_from_document),
        ]
        self.notifications = MongoNotifications(collections["notifications"], keep_notifications)

    async def problems(self) -> list[Text]:
        """Why the stores cannot be relied on; empty when they can. Indexes that are missing are created on the way, so
        asking again is all it takes after the server has come back or the data have been repaired."""
        try:
            await self._ensure_indexes()
        except StoreUnavailable:
            return [Text("MongoDB 没有应答", "MongoDB does not answer")]
        except OperationFailure as failure:
            return [
                Text(f"MongoDB 建索引失败（错误码 {failure.code}）", f"MongoDB refused an index (code {failure.code})")
            ]
        return []

    async def close(self) -> None:
        await self._connection.close()

    @answering
    async def _ensure_indexes(self) -> None:
        database = self._connection.database
        sharded = (await database.command("hello")).get("msg") == "isdbgrid"
        for name, indexes in _indexes(sharded).items():
            present = await database[name].index_information()
            if missing := [index for index in indexes if not _has(present, index)]:
                await database[name].create_indexes(missing)


def _has(present: Mapping[str, Document], index: IndexModel) -> bool:
    """Whether the index is there and as strict as it must be."""
    found = present.get(index.document["name"])
    return found is not None and bool(found.get("unique")) is bool(index.document.get("unique"))


def _indexes(sharded: bool) -> dict[str, Sequence[IndexModel]]:
    """What each collection needs beside its ``_id``.

    A transaction pays one order. On a sharded cluster MongoDB cannot enforce that across shards (a unique index must
    start with the shard key, here the hashed ``_id``), so there it only serves look-ups; WeChat's signature over the
    pair of numbers is then the only guard.
    """
    return {
        "orders": [
            IndexModel(NEWEST_FIRST, name="newest"),
            IndexModel([("trade_state", ASCENDING), *NEWEST_FIRST], name="newest_by_state"),
            IndexModel(DUE_FIRST, name="look_due", partialFilterExpression=DATED),
            IndexModel(PAID_FIRST, name="paid", partialFilterExpression={"paid_at": {"$gt": EPOCH}}),
            IndexModel(
                [("mchid", ASCENDING), ("transaction_id", ASCENDING)],
                name="transaction",
                unique=not sharded,
                partialFilterExpression={"transaction_id": {"$gt": ""}},
            ),
            OUTBOX_INDEX,
        ],
        "refunds": [
            IndexModel([("out_trade_no", ASCENDING), ("created_at", ASCENDING)], name="by_order"),
            IndexModel(CREATED_FIRST, name="created"),
            IndexModel(DUE_FIRST, name="look_due", partialFilterExpression=DATED),
            OUTBOX_INDEX,
        ],
        "differences": [IndexModel([("day", ASCENDING), ("_id", ASCENDING)], name="by_day")],
        "notifications": [
            IndexModel([("out_trade_no", ASCENDING), ("first_at", ASCENDING)], name="by_order"),
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
        ],
        "deliveries": DELIVERY_INDEXES,
        "claims": [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)],
    }
