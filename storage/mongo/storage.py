"""The stores over MongoDB, and the indexes that they rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo import ASCENDING, IndexModel
from pymongo.errors import OperationFailure, PyMongoError

from storage.documents import EPOCH
from storage.mongo.documents import MongoDocuments
from storage.mongo.driver import Connection, Driver, connect, is_no_answer, shield_call
from storage.stores import all as stores
from storage.stores.all import Stores
from wechat.domain.errors import Bilingual, StoreUnavailable
from wechat.domain.ports import Clock, Random

OLD_ORDERS = "orders"
"""Where release 0.1.0 kept them."""


class MongoStorage(Stores):
    """Opens lazily: a server that is away at the start is used as soon as it comes. Needs a running event loop."""

    def __init__(
        self,
        url: str,
        database: str,
        driver: Driver = "motor",
        *,
        clock: Clock,
        random: Random,
        connection: Connection | None = None,
    ) -> None:
        self._connection = connection or connect(url, database, driver)
        super().__init__(lambda name: MongoDocuments(self._connection.database, name), clock, random)

    async def problems(self) -> list[Bilingual]:
        """Why the stores cannot be relied on; empty when they can. Indexes that are missing are created on the way, so
        asking again is all it takes after the server has come back or the data have been repaired."""
        try:
            await shield_call(self._ensure_indexes())
        except OperationFailure as failure:
            if is_no_answer(failure):
                return [_NO_ANSWER]
            return [
                Bilingual(
                    f"MongoDB 建索引失败（错误码 {failure.code}）", f"MongoDB refused an index (code {failure.code})"
                )
            ]
        except PyMongoError:
            return [_NO_ANSWER]
        return []

    async def holds_old_release(self) -> bool:
        """Whether the database holds orders of release 0.1.0 that were not copied yet. Raises StoreUnavailable."""
        try:
            return await shield_call(self._has_old_orders())
        except PyMongoError as error:
            raise StoreUnavailable from error

    async def close(self) -> None:
        await super().close()
        await self._connection.close()

    async def _has_old_orders(self) -> bool:
        database = self._connection.database
        names = await database.list_collection_names()
        if OLD_ORDERS not in names or stores.ORDERS in names:
            return False
        return bool(await database[OLD_ORDERS].find({}, {"_id": 1}, limit=1).to_list(1))

    async def _ensure_indexes(self) -> None:
        database = self._connection.database
        for name, indexes in INDEXES.items():
            present = await database[name].index_information()
            if missing := [index for index in indexes if index.document["name"] not in present]:
                await database[name].create_indexes(missing)


_NO_ANSWER = Bilingual("MongoDB 没有应答", "MongoDB does not answer")


def _index(name: str, *fields: str, only: str = "") -> IndexModel:
    """An index over ``fields``; with ``only``, over documents that have that field, a date."""
    keys = [(field, ASCENDING) for field in fields]
    if not only:
        return IndexModel(keys, name=name)
    return IndexModel(keys, name=name, partialFilterExpression={only: {"$gt": EPOCH}})


def _revision() -> IndexModel:
    """What each replacement filters on. MongoDB itself would use ``_id`` alone; the embedded server uses an index only
    for a filter whose every field the index has, and would read the whole collection."""
    return _index("revision", "_id", "rev")


def _expiry() -> IndexModel:
    return IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)


INDEXES: Mapping[str, Sequence[IndexModel]] = {
    stores.ORDERS: [
        _revision(),
        _index("created", "created_at"),
        _index("created_by_state", "trade_state", "created_at"),
        _index("by_number", "keys"),
        _index("paid", "paid_at", only="paid_at"),
        _index("due", "due_at", only="due_at"),
        _index("events_due", "outbox_due_at", only="outbox_due_at"),
        _index("refund_changes", "refund_states", "refund_changed_at", only="refund_changed_at"),
        _index("refund_days", "refund_days", "created_at"),
    ],
    stores.NUMBERS: [],
    stores.CLAIMS: [_revision(), _expiry()],
    stores.NOTIFICATIONS: [_revision(), _index("by_order", "out_trade_no"), _expiry()],
    stores.REFUSED: [
        _revision(),
        _index("recent", "last_at"),
        _index("by_reason", "reason", "last_at"),
        _index("by_order", "out_trade_no", "last_at"),
        _expiry(),
    ],
    stores.ALARMS: [
        _revision(),
        _index("recent", "last_at"),
        _index("by_kind", "kind", "last_at"),
        _index("open", "open", "last_at"),
        _expiry(),
    ],
    stores.DELIVERIES: [
        _revision(),
        _index("due", "target", "due_at", only="due_at"),
        _index("by_event", "event_id"),
        _index("by_state", "state", "at"),
        _index("by_ordering_key", "ordering_key"),
        _expiry(),
    ],
    stores.DAYS: [
        _revision(),
        _index("planned", "mchid", "planned", "date"),
        _index("due", "mchid", "due_at", only="due_at"),
    ],
    stores.DIFFERENCES: [_revision(), _index("by_day", "day_key", "_id")],
    stores.PLUGIN_RECORDS: [_revision()],
}
"""None of them is unique: what must be unique is an ``_id``, so that a sharded cluster keeps the promise as well."""
