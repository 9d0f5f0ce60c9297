"""The simulated loop: virtual time, an order drawn from a seed, no threads."""

from __future__ import annotations

import asyncio
import random

import pytest

from proof.runtime.loop import Deadlock, SimulatedLoop


def run(coroutine, seed: int = 1, most_steps: int = 100_000):  # type: ignore[no-untyped-def]
    loop = SimulatedLoop(random.Random(seed), most_steps)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


async def finishing_order(count: int) -> list[int]:
    done: list[int] = []

    async def finish(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    await asyncio.gather(*(finish(number) for number in range(count)))
    return done


def test_a_year_passes_at_once() -> None:
    async def sleep() -> float:
        await asyncio.sleep(365 * 86400)
        return asyncio.get_running_loop().time()

    assert run(sleep()) == 365 * 86400


def test_what_is_ready_runs_in_an_order_that_follows_from_the_seed() -> None:
    first, again, other = (run(finishing_order(20), seed) for seed in (1, 1, 2))
    assert first == again
    assert sorted(first) == sorted(other) == list(range(20))
    assert first != other
    assert first != list(range(20))


def test_timers_run_in_the_order_of_their_dates() -> None:
    async def sleepers() -> list[int]:
        done: list[int] = []

        async def wake(after: int) -> None:
            await asyncio.sleep(after)
            done.append(after)

        await asyncio.gather(*(wake(after) for after in (5, 1, 4, 2, 3)))
        return done

    assert run(sleepers()) == [1, 2, 3, 4, 5]


def test_time_limits_are_of_virtual_time() -> None:
    async def wait() -> None:
        async with asyncio.timeout(3600):
            await asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError):
        run(wait())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_when_everybody_waits_for_somebody_else_it_is_said() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock, match="nothing is ready"):
        run(wait())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_never_ends_is_given_up() -> None:
    async def turn() -> None:
        while True:  # noqa: ASYNC110 - what is tested
            await asyncio.sleep(1)

    with pytest.raises(Deadlock, match="1000 steps"):
        run(turn(), most_steps=1000)


def test_threads_are_refused() -> None:
    async def use_a_thread() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(RuntimeError, match="threads"):
        run(use_a_thread())


def test_tasks_of_a_set_come_in_the_same_order_in_every_run() -> None:
    async def numbers(waste: int) -> list[str]:
        kept = [object() for _ in range(waste)]  # other addresses
        tasks = {asyncio.create_task(asyncio.sleep(1), name=str(number)) for number in range(50)}
        await asyncio.wait(tasks)
        return [task.get_name() for task in tasks] if kept or not waste else []

    assert run(numbers(0)) == run(numbers(1)) == run(numbers(10_000))
