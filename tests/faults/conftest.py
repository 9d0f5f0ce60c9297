"""A service of its own for each fault, because the faults break what others would share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.http.client import Shop
from tests.support.simulator import SimulatorProcess
from tests.support.site import Site, running_site


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimulatorProcess, Path]]:
    state = tmp_path_factory.mktemp("wechat")
    process = SimulatorProcess.start(state)
    yield process, state
    assert process.stop() == 0


@pytest.fixture
def site(tmp_path: Path, simulator: tuple[SimulatorProcess, Path]) -> Iterator[Site]:
    with running_site(tmp_path, *simulator) as site:
        yield site


@pytest.fixture
async def shop(site: Site) -> AsyncIterator[Shop]:
    async with Shop(site.service.url, site.simulator) as shop:
        yield shop
