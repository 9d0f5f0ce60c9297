"""One simulator for the session, a merchant at it, and an address for its notifications."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.merchant import Merchant
from tests.simulator.sink import Sink
from tests.support.simulator import SimulatorProcess


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(tmp_path_factory.mktemp("simulator"))
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="session")
def merchant(simulator: SimulatorProcess) -> Merchant:
    return Merchant(simulator)


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture
def shop(simulator: SimulatorProcess, sink: Sink) -> Iterator[Merchant]:
    """A merchant whose notifications arrive in ``sink``; the simulator's faults and speed are put back."""
    yield Merchant(simulator, sink.url)
    simulator.control("DELETE", "faults")
    simulator.control("POST", "clock", {"speed": 1})
