"""The stores in this process' own memory: for tests, simulations, and a demo where no database server can run."""

from __future__ import annotations

from storage.documents import BulkDocuments
from storage.memory.documents import MemoryDocuments
from storage.stores.all import COLLECTIONS, EXPIRING, Stores
from wechat.domain.errors import Bilingual
from wechat.domain.ports import Clock, Random


class MemoryDatabase:
    """The collections, which several ``MemoryStorage`` of one process may share."""

    def __init__(self, clock: Clock) -> None:
        self._collections = {
            name: MemoryDocuments(clock.now, "expires_at" if name in EXPIRING else "") for name in COLLECTIONS
        }

    def __getitem__(self, name: str) -> MemoryDocuments:
        return self._collections[name]


class MemoryStorage(Stores):
    """Stores in this process's memory: lost with the process, and not visible to others."""

    def __init__(self, clock: Clock, random: Random, database: MemoryDatabase | None = None) -> None:
        collections = database or MemoryDatabase(clock)

        def collection(name: str) -> BulkDocuments:
            return collections[name]

        super().__init__(collection, clock, random)

    @property
    def unindexed(self) -> tuple[str, ...]:
        """See MongoStorage."""
        return ()

    async def holds_old_release(self) -> bool:
        """See MongoStorage."""
        return False

    async def problems(self) -> list[Bilingual]:
        """Return no problems: memory needs no indexes."""
        return []
