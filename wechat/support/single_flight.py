"""Single flight: concurrent callers with the same key share one execution and its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Work in progress by key. A cancelled caller does not stop the work for the others."""

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Task[T]] = {}

    async def do(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """Return the outcome of ``work``, started here or already in progress for ``key``."""
        task = self._flights.get(key)
        if task is None or task.done():
            task = asyncio.ensure_future(_run(work))
            self._flights[key] = task
            task.add_done_callback(lambda done: self._finish(key, done))
        return await asyncio.shield(task)

    async def do_anew(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """Return the outcome of ``work`` started after this call.

        Work in progress for ``key`` is waited for first, because its outcome may be older than the reason of this call.
        Concurrent callers share the work that is started then.
        """
        if earlier := self._flights.get(key):
            await asyncio.wait((earlier,))
        return await self.do(key, work)

    def _finish(self, key: str, task: asyncio.Task[T]) -> None:
        if self._flights.get(key) is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # mark it as retrieved: without waiting callers, asyncio would log it as lost


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
