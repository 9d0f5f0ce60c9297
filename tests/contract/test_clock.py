"""The demo's clock: what the simulator's operator does to the time is known to the service at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clocks import SimulatorClock
from storage.embedded import free_port
from tests.support.simulator import SimulatorProcess
from wechat.transport import Transport

NEAR = timedelta(seconds=0.5)


@pytest.fixture
async def follow() -> AsyncIterator[Callable[[str], SimulatorClock]]:
    transport, clocks = Transport(), list[SimulatorClock]()

    def follow(url: str) -> SimulatorClock:
        clocks.append(SimulatorClock(transport, url))
        clocks[-1].start()
        return clocks[-1]

    yield follow
    for clock in clocks:
        await clock.close()
    await transport.close()


async def until(holds: Callable[[], bool]) -> None:
    """Within five seconds."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come to that")


def ahead(clock: SimulatorClock) -> timedelta:
    return clock.now() - datetime.now(UTC)


async def moved(simulator: SimulatorProcess, **change: float) -> None:
    await asyncio.to_thread(simulator.control, "POST", "clock", change)


async def test_leaps_and_speed_are_known_when_the_operator_has_an_answer(
    tmp_path: Path, follow: Callable[[str], SimulatorClock]
) -> None:
    simulator = SimulatorProcess.start(tmp_path / "state", calendar="simulated")
    clock = follow(simulator.url)
    await asyncio.sleep(0.2)
    assert abs(ahead(clock)) < NEAR
    for days in (1, 2, 3):
        await moved(simulator, advance_s=86400)
        assert abs(ahead(clock) - timedelta(days=days)) < NEAR
    await moved(simulator, speed=3600)
    await until(lambda: ahead(clock) > timedelta(days=3, minutes=10))
    await moved(simulator, speed=1)
    there = datetime.fromisoformat(simulator.control("GET", "clock")["now"])
    assert abs(clock.now() - there) < timedelta(seconds=2)
    simulator.stop()


async def test_a_simulator_that_comes_later_or_again_is_followed_from_then_on(
    tmp_path: Path, follow: Callable[[str], SimulatorClock]
) -> None:
    port = free_port()
    clock = follow(f"http://127.0.0.1:{port}")
    assert abs(ahead(clock)) < NEAR
    simulator = SimulatorProcess.start(tmp_path / "state", port=port, calendar="simulated")
    await moved(simulator, advance_s=7200)
    await until(lambda: ahead(clock) > timedelta(hours=1, minutes=59))
    simulator.kill()
    assert ahead(clock) > timedelta(hours=1, minutes=59)
    simulator = SimulatorProcess.start(tmp_path / "state", port=port, calendar="simulated")
    await moved(simulator, advance_s=7200)
    await until(lambda: ahead(clock) > timedelta(hours=3, minutes=59))
    simulator.stop()


async def test_a_rest_ends_when_the_operator_moves_the_clock(
    tmp_path: Path, follow: Callable[[str], SimulatorClock]
) -> None:
    simulator = SimulatorProcess.start(tmp_path / "state", calendar="simulated")
    clock = follow(simulator.url)
    await clock.rest(5, 0)  # until it is heard at all
    seen = clock.moves
    resting = asyncio.create_task(clock.rest(60, seen))
    await asyncio.sleep(0.1)
    assert not resting.done()
    await moved(simulator, advance_s=60)
    await asyncio.wait_for(resting, 1)
    await asyncio.wait_for(clock.rest(60, seen), 1)  # who was at work when it moved does not rest at all
    simulator.stop()


async def test_where_messages_carry_real_dates_the_time_is_the_real_one(
    tmp_path: Path, follow: Callable[[str], SimulatorClock]
) -> None:
    simulator = SimulatorProcess.start(tmp_path / "state")
    clock = follow(simulator.url)
    await moved(simulator, advance_s=86400)
    await asyncio.sleep(0.2)
    assert abs(ahead(clock)) < NEAR
    simulator.stop()
