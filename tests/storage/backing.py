"""The databases that the stores run over, as tests see them: opened by several processes, read and changed behind
their backs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from pymongo import AsyncMongoClient

from storage.documents import CODEC, Document
from storage.memory.storage import MemoryDatabase, MemoryStorage
from storage.mongo.driver import Driver
from storage.mongo.storage import MongoStorage
from storage.store import SCHEMA, Codec
from storage.stores.all import ORDERS
from storage.stores.order_codec import ORDER
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds
from wechat.domain.orders import Order

Storage = MongoStorage | MemoryStorage
LOADED = "loaded"
"""The write id of documents that a test put there."""


class Backing(ABC):
    """A database, which tests open as several processes and whose documents they read and change."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self._opened: list[Storage] = []

    def open(self) -> Storage:
        """Open the stores as one more process."""
        self._opened.append(self._storage())
        return self._opened[-1]

    async def load(self, orders: Sequence[Order]) -> None:
        """Store many new orders at once."""
        await self._add(ORDERS, [document_of(ORDER, order) for order in orders])

    async def change(self, collection: str, identity: str, change: Document, *remove: str) -> None:
        """Change fields of one document, as another release might."""
        document = await self.document(collection, identity) | change
        await self.put(collection, [{name: value for name, value in document.items() if name not in remove}])

    @abstractmethod
    def _storage(self) -> Storage: ...

    @abstractmethod
    async def document(self, collection: str, identity: str) -> Document:
        """A document as it is stored."""

    @abstractmethod
    async def put(self, collection: str, documents: Sequence[Document]) -> None:
        """Store documents whatever is there."""

    @abstractmethod
    async def _add(self, collection: str, documents: Sequence[Document]) -> None:
        """Store documents that are new."""

    async def close(self) -> None:
        for storage in self._opened:
            await storage.close()


class MemoryBacking(Backing):
    """The memory of this process."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self._database = MemoryDatabase(clock)

    def _storage(self) -> Storage:
        return MemoryStorage(self.clock, RandomIds(), self._database)

    async def document(self, collection: str, identity: str) -> Document:
        document = self._database[collection].peek(identity)
        assert document is not None
        return document

    async def put(self, collection: str, documents: Sequence[Document]) -> None:
        await self._add(collection, documents)

    async def _add(self, collection: str, documents: Sequence[Document]) -> None:
        for document in documents:
            self._database[collection].poke(document)


class MongoBacking(Backing):
    """A MongoDB, reached by ``driver``."""

    def __init__(self, clock: ManualClock, url: str, database: str, driver: Driver) -> None:
        super().__init__(clock)
        self._address = (url, database, driver)
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(url)
        self._raw = self._client.get_database(database, codec_options=CODEC)

    def _storage(self) -> Storage:
        return MongoStorage(*self._address, clock=self.clock, random=RandomIds())

    async def document(self, collection: str, identity: str) -> Document:
        document = await self._raw[collection].find_one({"_id": identity})
        assert document is not None
        return document

    async def put(self, collection: str, documents: Sequence[Document]) -> None:
        await self._raw[collection].delete_many({"_id": {"$in": [document["_id"] for document in documents]}})
        await self._add(collection, documents)

    async def _add(self, collection: str, documents: Sequence[Document]) -> None:
        await self._raw[collection].insert_many(documents, ordered=False)

    async def close(self) -> None:
        await super().close()
        await self._client.close()


def document_of(codec: Codec[Order], order: Order) -> Document:
    """``order`` as it is stored the first time."""
    return codec.write(order) | {"_id": codec.key(order), "schema": SCHEMA, "rev": 1, "writes": [LOADED]}
