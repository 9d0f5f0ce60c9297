"""The stores over MongoDB, and the indexes that they rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo import ASCENDING, IndexModel
from pymongo.errors import PyMongoError

from storage.documents import EPOCH
from storage.mongo.documents import MongoDocuments
from storage.mongo.driver import Connection, Database, Driver, connect, shield_call
from storage.mongo.failures import FAILURES
from storage.stores import all as stores
from storage.stores.all import Stores
from wechat.domain.errors import Bilingual, StoreUnavailable
from wechat.domain.ports import Clock, Random

SMALL = 10_000
"""Maximum documents of a collection whose indexes are created at the start."""
SUPERSEDED = {stores.ORDERS: ("by_number",)}
"""Indexes of earlier releases that others have replaced."""
OLD_ORDERS = "orders"
"""The collection of orders of release 0.1.0."""


class MongoStorage(Stores):
    """The stores over MongoDB, connected when first used, so that a server that starts later is used too. Needs a
    running event loop."""

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
        self.unindexed: tuple[str, ...] = ()
        super().__init__(lambda name: MongoDocuments(self._connection.database, name), clock, random)

    async def problems(self) -> list[Bilingual]:
        """Return why the stores cannot be relied on; empty if they can. Creates missing indexes of small collections;
        large ones need ``manage.py indexes``, which has no deadline."""
        try:
            self.unindexed = tuple(await shield_call(self._ensure_indexes(SMALL)))
        except PyMongoError as failure:
            return [FAILURES.report(failure)]
        return [_missing(self.unindexed)] if self.unindexed else []

    async def holds_old_release(self) -> bool:
        """Whether the database holds orders of release 0.1.0 that were not copied yet. Raises StoreUnavailable."""
        try:
            return await shield_call(self._has_old_orders())
        except PyMongoError as error:
            raise StoreUnavailable(FAILURES.report(error)) from error

    async def close(self) -> None:
        await super().close()
        await self._connection.close()

    async def _has_old_orders(self) -> bool:
        database = self._connection.database
        names = await database.list_collection_names()
        if OLD_ORDERS not in names or stores.ORDERS in names:
            return False
        return bool(await database[OLD_ORDERS].find({}, {"_id": 1}, limit=1).to_list(1))

    async def _ensure_indexes(self, most: int | None) -> list[str]:
        """Create missing indexes of collections with up to ``most`` documents; return the names of the other
        collections that lack some."""
        database = self._connection.database
        large = []
        for name, indexes in (await missing_indexes(database)).items():
            if most is not None and (await database.command({"count": name}))["n"] > most:
                large.append(name)
            else:
                await database[name].create_indexes(indexes)
        return large


async def missing_indexes(database: Database) -> dict[str, list[IndexModel]]:
    """Return the missing indexes by collection."""
    missing = {}
    for name, indexes in INDEXES.items():
        present = await database[name].index_information()
        if wanted := [index for index in indexes if index.document["name"] not in present]:
            missing[name] = wanted
    return missing


async def create_indexes(url: str, name: str, driver: Driver) -> list[str]:
    """Create every missing index of the database ``name``, without a time limit, drop superseded ones, and return the
    names of the created ones. Raises StoreUnavailable, which says why."""
    connection = connect(url, name, driver, operation_ms=None)
    try:
        missing = await missing_indexes(connection.database)
        for collection, indexes in missing.items():
            await connection.database[collection].create_indexes(indexes)
        await _drop_superseded_indexes(connection.database)
    except PyMongoError as error:
        raise StoreUnavailable(FAILURES.report(error)) from error
    finally:
        await connection.close()
    return [f"{collection}.{index.document['name']}" for collection, indexes in missing.items() for index in indexes]


async def _drop_superseded_indexes(database: Database) -> None:
    for collection, names in SUPERSEDED.items():
        for name in set(names) & set(await database[collection].index_information()):
            await database[collection].drop_index(name)


def _missing(collections: Sequence[str]) -> Bilingual:
    names = ", ".join(collections)
    return Bilingual(
        f"{names} 缺少索引；请运行 manage.py indexes --settings …（期间不收款）",
        f"{names} lack indexes; run manage.py indexes --settings … (no money is taken until then)",
    )


def _index(name: str, *fields: str, only: str = "") -> IndexModel:
    """Return an index over ``fields``; with ``only``, over documents that have that field, a date."""
    keys = [(field, ASCENDING) for field in fields]
    if not only:
        return IndexModel(keys, name=name)
    return IndexModel(keys, name=name, partialFilterExpression={only: {"$gt": EPOCH}})


def _revision() -> IndexModel:
    """Return the index that each replacement filters on. MongoDB itself would use ``_id`` alone; the embedded server
    uses an index only for a filter whose every field the index has, and would read the whole collection."""
    return _index("revision", "_id", "rev")


def _expiry() -> IndexModel:
    return IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)


INDEXES: Mapping[str, Sequence[IndexModel]] = {
    stores.ORDERS: [
        _revision(),
        _index("created", "created_at"),
        _index("created_by_state", "trade_state", "created_at"),
        _index("by_key", "keys", "created_at"),
        _index("paid", "paid_at", only="paid_at"),
        _index("due", "due_at", only="due_at"),
        _index("events_due", "outbox_due_at", only="outbox_due_at"),
        _index("refund_changes", "refund_states", "refund_changed_at", only="refund_changed_at"),
        _index("refund_days", "refund_days", "created_at"),
    ],
    stores.NUMBERS: [],
    stores.CLAIMS: [_revision(), _expiry()],
    stores.NOTIFICATIONS: [
        _revision(),
        _index("by_order", "out_trade_no"),
        _index("received", "mchid", "first_at"),
        _expiry(),
    ],
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
        _index("by_day", "mchid", "date"),
        _index("due", "mchid", "due_at", only="due_at"),
    ],
    stores.DIFFERENCES: [
        _revision(),
        _index("by_day", "day_key", "_id"),
        _index("open", "mchid", "open_at", only="open_at"),
    ],
    stores.PLUGIN_RECORDS: [_revision()],
    stores.STAFF: [_revision(), _index("created", "created_at")],
    stores.STAFF_SESSIONS: [
        _revision(),
        _index("created", "created_at"),
        _index("by_member", "name", "created_at"),
        _expiry(),
    ],
    stores.FAILED_LOGINS: [_revision(), _expiry()],
    stores.APPROVALS: [
        _revision(),
        _index("requested", "requested_at"),
        _index("by_state", "state", "requested_at"),
        _expiry(),
    ],
    stores.API_KEYS: [_revision(), _index("created", "created_at"), _index("by_digest", "digests")],
    stores.AUDIT: [_index("at", "at"), _index("by_key", "keys", "at")],
    stores.SUMMARIES: [
        _revision(),
        _index("by_day", "mchid", "date"),
        _index("due", "mchid", "due_at", only="due_at"),
    ],
    stores.CALLS: [_index("by_order", "out_trade_no", "at"), _expiry()],
}
"""No index is unique: unique values are an ``_id``, which stays unique in a sharded cluster too."""
