"""The embedded servers, once a run, and a fresh database of the same for each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis
from storage.mongo.driver import Connection, Driver, connect
from storage.mongo.storage import MongoStorage
from tests.contract.samples import a_storage
from tests.support.servers import running


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMongo]:
    with running(EmbeddedMongo(tmp_path_factory.mktemp("mongo") / "data")) as server:
        yield server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with running(EmbeddedRedis(tmp_path_factory.mktemp("redis") / "data")) as server:
        yield server


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> Driver:
    return cast(Driver, request.param)


@pytest.fixture
def database() -> str:
    return f"test_{secrets.token_hex(6)}"


@pytest.fixture
async def storage(mongo: EmbeddedMongo, driver: Driver, database: str) -> AsyncIterator[MongoStorage]:
    storage = a_storage(mongo.url, database, driver)
    assert await storage.problems() == []
    yield storage
    await storage.close()


@pytest.fixture
async def raw(mongo: EmbeddedMongo, database: str) -> AsyncIterator[Connection]:
    """The same database without our stores in front; ``raw.client`` can do what they do not use of it."""
    connection = connect(mongo.url, database, "pymongo")
    yield connection
    await connection.close()
