"""What the pains are induced with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.live import Live
from tests.doctor.site import Site
from tests.support.simulator import SimulatorProcess
from tests.unit.conftest import account, clock, platform, transport

__all__ = ["account", "clock", "platform", "transport"]


@pytest.fixture(scope="package")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(tmp_path_factory.mktemp("wechat"))
    yield process
    assert process.stop() == 0


@pytest.fixture
def live(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[Live]:
    """Settings in front of the simulator."""
    yield Live(simulator, tmp_path)
    simulator.control("DELETE", "faults")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Settings of a production installation in which everything is in order."""
    return Site(tmp_path)
