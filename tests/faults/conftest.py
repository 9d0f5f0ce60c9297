"""A service of its own for each fault, because the faults break what others would share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.support.platform import Platform
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess


@dataclass
class Site:
    """Everything behind one address, each part to be broken."""

    service: ServiceProcess
    simulator: SimulatorProcess
    mongo: EmbeddedMongo
    redis: EmbeddedRedis
    platform: Platform
    settings: dict[str, Any]
    directory: Path


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimulatorProcess, Path]]:
    state = tmp_path_factory.mktemp("wechat")
    process = SimulatorProcess.start(state)
    yield process, state
    assert process.stop() == 0


@pytest.fixture
def site(tmp_path: Path, simulator: tuple[SimulatorProcess, Path]) -> Iterator[Site]:
    process, state = simulator
    mongo, redis = EmbeddedMongo(tmp_path / "mongo"), EmbeddedRedis(tmp_path / "redis")
    mongo.start()
    redis.start()
    settings = overlay(free_port(), process.url, process.credentials, mongo.url, redis.url, tmp_path)
    service = ServiceProcess.start(tmp_path, settings)
    yield Site(service, process, mongo, redis, Platform(process.credentials, state), settings, tmp_path)
    service.stop()
    mongo.stop()
    redis.stop()
    process.control("DELETE", "faults")
    assert service.defects == []


@pytest.fixture
async def shop(site: Site) -> AsyncIterator[Shop]:
    async with Shop(site.service.url, site.simulator) as shop:
        yield shop
