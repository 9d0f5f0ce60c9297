"""The demo's clock: what the simulator's operator does to the time is known to the service at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.clocks import SimulatorClock, SystemClock
from storage.embedded.servers import free_port
from tests.support.runtime import RecordedTelemetry
from tests.support.simulator import SimulatorProcess
from wechat.support.transport import Transport

NEAR = timedelta(seconds=0.5)


@pytest.fixture
async def follow() -> AsyncIterator[Callable[[str], SimulatorClock]]:
    transport, clocks = Transport(RecordedTelemetry()), list[SimulatorClock]()

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


async def test_a_sleep_ends_when_the_operator_moves_the_clock(
    tmp_path: Path, follow: Callable[[str], SimulatorClock]
) -> None:
    simulator = SimulatorProcess.start(tmp_path / "state", calendar="simulated")
    clock = follow(simulator.url)
    await clock.sleep_until(clock.now() + timedelta(seconds=5), 0)  # until it is heard at all
    version = clock.version
    minutes = clock.now() + timedelta(minutes=3)
    sleeping = asyncio.create_task(clock.sleep_until(minutes, version))
    await asyncio.sleep(0.1)
    assert not sleeping.done()
    await moved(simulator, advance_s=60)
    await asyncio.wait_for(sleeping, 1)
    assert clock.version > version
    assert clock.now() < minutes
    await asyncio.wait_for(clock.sleep_until(minutes, version), 1)  # set meanwhile: something may be due
    simulator.stop()


async def test_a_sleep_ends_at_its_moment_however_fast_the_time_runs(
    tmp_path: Path, follow: Callable[[str], SimulatorClock]
) -> None:
    simulator = SimulatorProcess.start(tmp_path / "state", calendar="simulated")
    clock = follow(simulator.url)
    await moved(simulator, speed=600)
    await until(lambda: ahead(clock) > timedelta(seconds=1))
    moment = clock.now() + timedelta(minutes=2)
    await asyncio.wait_for(clock.sleep_until(moment, clock.version), 5)
    assert clock.now() >= moment
    simulator.stop()


async def test_a_sleep_in_real_time_ends_at_its_moment_and_one_in_the_past_at_once() -> None:
    clock = SystemClock()
    moment = clock.now() + timedelta(seconds=0.2)
    await asyncio.wait_for(clock.sleep_until(moment, clock.version), 5)
    assert clock.now() >= moment - timedelta(milliseconds=1)
    await asyncio.wait_for(clock.sleep_until(moment - timedelta(days=1), clock.version), 5)


async def test_a_moment_is_as_exact_as_a_stored_date(tmp_path: Path, follow: Callable[[str], SimulatorClock]) -> None:
    """Whole milliseconds, which is what MongoDB keeps of a date."""
    simulator = SimulatorProcess.start(tmp_path / "state", calendar="simulated")
    clock = follow(simulator.url)
    await moved(simulator, advance_s=86400)
    for each in (clock, SystemClock()):
        seen = set()
        for _ in range(50):
            seen.add(each.now().microsecond)
            await asyncio.sleep(0.001)
        assert {microsecond % 1000 for microsecond in seen} == {0}
        assert len(seen) > 10  # and not whole seconds
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
