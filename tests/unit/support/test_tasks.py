"""Background work ends when it is told to, also where a library has swallowed the first word of it."""

from __future__ import annotations

import asyncio

from wechat.support.tasks import end


async def deaf(times: int) -> None:
    """Goes on after so many cancellations."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not times:
                raise
            times -= 1


async def test_a_task_that_lives_through_two_cancellations_ends_with_the_third() -> None:
    tasks = [asyncio.create_task(deaf(times)) for times in (0, 1, 2)]
    await asyncio.sleep(0)
    await asyncio.wait_for(end(*tasks), 2)
    assert all(task.cancelled() for task in tasks)


async def test_tasks_that_are_over_or_not_there_are_no_trouble() -> None:
    async def fails() -> None:
        raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.wait({task})
    await end(task)
    await end()
