"""The stores over MongoDB by both drivers and over this process' memory, each test in a database of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest

from storage.embedded.servers import EmbeddedMongo
from storage.mongo.driver import Driver
from tests.contract.samples import NOW
from tests.storage.backing import Backing, MemoryBacking, MongoBacking, Storage
from tests.support.clock import ManualClock
from tests.support.servers import running


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMongo]:
    with running(EmbeddedMongo(tmp_path_factory.mktemp("mongo") / "data")) as server:
        yield server


@pytest.fixture
def database() -> str:
    return f"test_{secrets.token_hex(6)}"


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> Driver:
    return cast(Driver, request.param)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(params=["motor", "pymongo", "memory"])
async def backing(
    request: pytest.FixtureRequest, mongo: EmbeddedMongo, database: str, clock: ManualClock
) -> AsyncIterator[Backing]:
    """The database of the test."""
    memory = request.param == "memory"
    backing = MemoryBacking(clock) if memory else MongoBacking(clock, mongo.url, database, request.param)
    yield backing
    await backing.close()


@pytest.fixture
async def storage(backing: Backing) -> Storage:
    """The stores as one process has them, ready for use."""
    storage = backing.open()
    assert await storage.problems() == []
    return storage
