"""Two service processes over the same stores and the same simulator, shared by the whole run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.support.manage import Manage
from tests.support.platform import Platform
from tests.support.servers import running
from tests.support.service import API_KEY, ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("service")
    (path / "verify").mkdir()
    return path


@pytest.fixture(scope="session")
def simulator(directory: Path) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(directory / "wechat")
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


@pytest.fixture(scope="session")
def pair(
    directory: Path, simulator: SimulatorProcess, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> Iterator[tuple[ServiceProcess, ServiceProcess]]:
    """Two processes, as behind nginx: same address outside, same stores, two ports."""
    known = simulator.credentials
    first = overlay(free_port(), simulator.url, known, mongo.url, redis.url, directory)
    second = overlay(free_port(), simulator.url, known, mongo.url, redis.url, directory)
    one, two = ServiceProcess.start(directory, first, "first"), ServiceProcess.start(directory, second, "second")
    yield one, two
    assert (one.stop(), two.stop()) == (0, 0)


@pytest.fixture(scope="session")
def service(pair: tuple[ServiceProcess, ServiceProcess]) -> ServiceProcess:
    return pair[0]


@pytest.fixture(scope="session")
def platform(simulator: SimulatorProcess, directory: Path) -> Platform:
    return Platform(simulator.credentials, directory / "wechat")


@pytest.fixture
def manage(service: ServiceProcess) -> Manage:
    """The command line in front of the first process."""
    return Manage(service.url, API_KEY)


@pytest.fixture
async def shop(service: ServiceProcess, simulator: SimulatorProcess) -> AsyncIterator[Shop]:
    """A browser and a merchant's system at the first process."""
    async with Shop(service.url, simulator) as shop:
        yield shop
    simulator.control("DELETE", "faults")


@pytest.fixture(autouse=True)
def no_defect_in_the_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that uses ``pair`` if a process has logged a traceback: no request may crash a process."""
    yield
    if "pair" in request.fixturenames:
        pair = request.getfixturevalue("pair")
        assert [line for process in pair for line in process.defects] == []
