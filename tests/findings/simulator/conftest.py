"""One simulator a module, with simulated dates; a merchant at it, and an address for its notifications."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.merchant import Merchant
from tests.simulator.sink import Sink
from tests.support.simulator import SimulatorProcess


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(tmp_path_factory.mktemp("simulator"), calendar="simulated")
    yield process
    assert process.stop() == 0


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture
def shop(simulator: SimulatorProcess, sink: Sink) -> Merchant:
    return Merchant(simulator, sink.url)
