"""One simulator with a calendar of its own and one pair of stores; a pair of service processes on top of them.

The second process of a pair runs in another time zone, which must not make a difference to anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.races.cluster import Cluster
from tests.simulator.sink import Sink
from tests.support.servers import running
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from tests.support.webhooks import KEY, secret_of

ZONES = ("Asia/Shanghai", "America/Los_Angeles")


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("races")


@pytest.fixture(scope="session")
def simulator(directory: Path) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(directory / "wechat", calendar="simulated")
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="session")
def mongo(directory: Path) -> Iterator[EmbeddedMongo]:
    with running(EmbeddedMongo(directory / "mongo")) as server:
        yield server


@pytest.fixture(scope="session")
def redis(directory: Path) -> Iterator[EmbeddedRedis]:
    with running(EmbeddedRedis(directory / "redis")) as server:
        yield server


@asynccontextmanager
async def run_cluster(
    directory: Path, simulator: SimulatorProcess, mongo: str, redis: str, name: str, policy: str
) -> AsyncIterator[Cluster]:
    """Two processes over the database ``name``, with this policy for late money. No log of theirs tells of a crash."""
    services, sink = [], Sink()
    for zone in ZONES:
        settings = overlay(free_port(), simulator.url, simulator.credentials, mongo, redis, directory)
        settings["mongo"]["database"] = name
        settings["books"]["directory"] = str(directory / f"{name}-bills")
        settings["pay"]["late_policy"] = policy
        settings["webhooks"] = [
            {"name": "cluster", "url": sink.url, "secrets": [secret_of(KEY)], "allow_private": True}
        ]
        file = f"{name}-{zone.replace('/', '-')}"
        services.append(ServiceProcess.start(directory, settings, file, TZ=zone))
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo)
    async with client, Shop(services[0].url, simulator) as one, Shop(services[1].url, simulator) as two:
        yield Cluster(simulator, services, (one, two), sink, client[name])
    assert [service.stop() for service in services] == [0, 0]
    assert [line for service in services for line in service.defects] == []
    sink.close()


@pytest.fixture(scope="session")
async def cluster(
    directory: Path, simulator: SimulatorProcess, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> AsyncIterator[Cluster]:
    """Late money waits for an operator here."""
    async with run_cluster(directory, simulator, mongo.url, redis.url, "cluster", "ask") as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def no_fault_outlives_its_test(simulator: SimulatorProcess) -> Iterator[None]:
    yield
    simulator.control("DELETE", "faults")
