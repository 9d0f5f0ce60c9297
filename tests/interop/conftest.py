"""The simulator for other people's libraries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.sink import Sink
from tests.support.simulator import SimulatorProcess


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(tmp_path_factory.mktemp("interop"))
    yield process
    assert process.stop() == 0


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()
