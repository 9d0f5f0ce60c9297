"""Single flight: of several callers that want the same thing at once, one does it and all get its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Work in progress by key. A caller that goes away does not stop the work for the others."""

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Task[T]] = {}

    async def do(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """The outcome of ``work``, started here or already under way for ``key``."""
        task = self._flights.get(key)
        if task is None:
            task = asyncio.ensure_future(_run(work))
            self._flights[key] = task
            task.add_done_callback(lambda done: self._finish(key, done))
        return await asyncio.shield(task)

    def _finish(self, key: str, task: asyncio.Task[T]) -> None:
        del self._flights[key]
        if not task.cancelled():
            task.exception()  # whoever still waits has it; if all have gone, it must not be logged as lost


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
