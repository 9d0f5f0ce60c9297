"""The interface to the MongoDB driver, and the choice of it.

``motor`` is the default; ``pymongo`` is its successor, PyMongo's own async client. The protocols below name what is
used of either; both satisfy them without a wrapper.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, cast

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, IndexModel, ReadPreference, WriteConcern
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern

from storage.documents import CODEC, Document
from storage.mongo.failures import FAILURES
from wechat.domain.errors import Bilingual, ConfigError, StoreUnavailable

Driver = Literal["motor", "pymongo"]
Filter = Mapping[str, Any]
Sort = Sequence[tuple[str, int]]

DURABLE = WriteConcern("majority", j=True)
SELECTION_MS = 1000
OPERATION_MS = 2000

NO_ADDRESS = Bilingual(
    "mongo.url：不是可用的地址；密码里的特殊字符要百分号转义",
    "mongo.url: is not a usable address; special characters of a password must be percent-encoded",
)

P = ParamSpec("P")
R = TypeVar("R")


class Cursor(Protocol):
    async def to_list(self, length: int | None = None) -> list[Document]: ...


class Collection(Protocol):
    """The methods used of a collection."""

    def find(
        self, wanted: Filter, projection: Filter | None = None, /, *, sort: Sort | None = None, limit: int = 0
    ) -> Cursor: ...

    async def index_information(self) -> Mapping[str, Document]: ...

    async def drop_index(self, name: str) -> None: ...

    async def create_indexes(self, indexes: Sequence[IndexModel]) -> list[str]: ...


class Database(Protocol):
    """The methods used of a database."""

    def __getitem__(self, name: str) -> Collection: ...

    async def command(self, command: str | Document) -> Document: ...

    async def list_collection_names(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """A database whose every write waits for a majority and the journal, and the method that closes it."""

    database: Database
    client: Any

    async def close(self) -> None:
        """Close the client. Motor's way of closing blocks, so a thread does it."""
        if isinstance(self.client, AsyncMongoClient):
            await self.client.close()
        else:
            await asyncio.to_thread(self.client.close)


def connect(
    url: str,
    database: str,
    driver: Driver = "motor",
    *,
    listeners: Sequence[CommandListener] = (),
    operation_ms: int | None = OPERATION_MS,
) -> Connection:
    """Return a client that connects when first used, bound to the running event loop.

    Options of ``url`` about durability and about reading from other servers than the primary are overruled. Finding a
    server takes one second at most, an answer two; the driver repeats a read without an answer once. Raises ConfigError
    for an invalid ``url``.
    """
    FAILURES.connect(url)
    make: Callable[..., Any] = AsyncIOMotorClient if driver == "motor" else AsyncMongoClient
    try:
        client = make(
            url,
            appname="fenpay",
            serverSelectionTimeoutMS=SELECTION_MS,
            connectTimeoutMS=SELECTION_MS,
            socketTimeoutMS=operation_ms,
            event_listeners=list(listeners),
        )
    except (ConfigurationError, ValueError):
        raise ConfigError([NO_ADDRESS]) from None
    durable = client.get_database(
        database,
        codec_options=CODEC,
        write_concern=DURABLE,
        read_concern=ReadConcern("majority"),
        read_preference=ReadPreference.PRIMARY,
    )
    return Connection(cast(Database, durable), client)


def report_no_answer(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Turn "no trustworthy answer from the server" into StoreUnavailable."""

    @functools.wraps(method)
    async def guard(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except PyMongoError as error:
            if is_no_answer(error) or isinstance(error, OperationFailure):
                FAILURES.report(error)
            if is_no_answer(error):
                raise StoreUnavailable from error
            raise

    return guard


async def shield_call(call: Coroutine[Any, Any, R]) -> R:
    """Return the result of ``call``, which continues when the caller is cancelled: drivers lose connections
    otherwise."""
    task = asyncio.get_running_loop().create_task(call)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # callers may have gone
    return await asyncio.shield(task)


def is_no_answer(error: PyMongoError) -> bool:
    """Whether ``error`` leaves it unknown what the server did."""
    return error.timeout or isinstance(error, ConnectionFailure | ExecutionTimeout | WriteConcernError)
