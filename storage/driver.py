"""The one place that knows which MongoDB driver is in use.

``motor`` is the default; ``pymongo`` is its successor, PyMongo's own async client. What the stores need of either is in
the protocols below, which both satisfy as they are: no wrapper stands between a store and its driver.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, cast

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, IndexModel, WriteConcern
from pymongo.errors import ConfigurationError, ConnectionFailure, ExecutionTimeout, PyMongoError, WriteConcernError
from pymongo.monitoring import CommandListener
from pymongo.results import UpdateResult

from wechat.domain.errors import ConfigError, StoreUnavailable, Text

Driver = Literal["motor", "pymongo"]
Document = dict[str, Any]
Filter = Mapping[str, Any]
Sort = Sequence[tuple[str, int]]

SELECTION_MS = 1000
OPERATION_MS = 2000
DEADLINE_S = 2.5
"""For a whole store method: Motor's calls queue for a few threads, where no timeout of the driver's counts yet."""

NO_ADDRESS = Text(
    "mongo.url：不是可用的地址；密码里的特殊字符要百分号转义",
    "mongo.url: is not a usable address; special characters of a password must be percent-encoded",
)

P = ParamSpec("P")
R = TypeVar("R")


class Cursor(Protocol):
    async def to_list(self, length: int | None = None) -> list[Document]: ...


class Collection(Protocol):
    """What the stores use of a collection."""

    async def insert_one(self, document: Document, /) -> object: ...

    async def insert_many(self, documents: Sequence[Document], /, *, ordered: bool) -> object: ...

    async def find_one(
        self, wanted: Filter, projection: Filter | None = None, /, *, sort: Sort | None = None
    ) -> Document | None: ...

    def find(self, wanted: Filter, projection: Filter | None = None, /, *, sort: Sort, limit: int) -> Cursor: ...

    async def update_one(self, wanted: Filter, update: Filter, /) -> UpdateResult: ...

    async def update_many(self, wanted: Filter, update: Filter, /) -> UpdateResult: ...

    async def find_one_and_update(
        self,
        wanted: Filter,
        update: Filter,
        projection: Filter | None = None,
        /,
        *,
        sort: Sort | None = None,
        upsert: bool = False,
        return_document: bool,
    ) -> Document | None: ...

    async def count_documents(self, wanted: Filter, /) -> int: ...

    async def index_information(self) -> Mapping[str, Document]: ...

    async def create_indexes(self, indexes: Sequence[IndexModel]) -> list[str]: ...


class Database(Protocol):
    """What the stores use of a database."""

    def __getitem__(self, name: str) -> Collection: ...

    async def command(self, command: str) -> Document: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """A database whose every write waits for a majority and the journal, and the way to leave it."""

    database: Database
    _client: Any

    async def close(self) -> None:
        """Say goodbye to the server, or give up on that: Motor's way of closing blocks, so a thread does it."""
        if isinstance(self._client, AsyncMongoClient):
            await self._client.close()
        else:
            await asyncio.to_thread(self._client.close)


def connect(
    url: str, database: str, driver: Driver = "motor", *, listeners: Sequence[CommandListener] = ()
) -> Connection:
    """A lazily connecting client, bound to the running event loop. What ``url`` says of durability is overruled.

    A call ends within two seconds, of which finding a server may take one. Raises ConfigError for no usable ``url``.
    """
    make: Callable[..., Any] = AsyncIOMotorClient if driver == "motor" else AsyncMongoClient
    try:
        client = make(
            url,
            appname="fenpay",
            serverSelectionTimeoutMS=SELECTION_MS,
            connectTimeoutMS=SELECTION_MS,
            timeoutMS=OPERATION_MS,
            retryWrites=True,
            event_listeners=list(listeners),
        )
    except (ConfigurationError, ValueError):
        raise ConfigError([NO_ADDRESS]) from None
    durable = client.get_database(
        database,
        codec_options=CodecOptions(tz_aware=True, tzinfo=UTC),
        write_concern=WriteConcern("majority", j=True),
    )
    return Connection(cast(Database, durable), client)


def answering(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Turn "no trustworthy answer from the server" into StoreUnavailable; every store method wears this."""

    @functools.wraps(method)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await method(*args, **kwargs)
        except TimeoutError as error:
            raise StoreUnavailable from error
        except PyMongoError as error:
            if _no_answer(error):
                raise StoreUnavailable from error
            raise

    return guarded


def _no_answer(error: PyMongoError) -> bool:
    return error.timeout or isinstance(error, ConnectionFailure | ExecutionTimeout | WriteConcernError)
