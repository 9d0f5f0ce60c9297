"""Hold a call of an object until a test lets it continue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from wechat.domain.errors import Conflict, GatewayRefused

R = TypeVar("R")


class Stall:
    """Hold the next call of ``name``, before its effect or after it, until ``go``."""

    def __init__(self, held: Any, name: str, *, after: bool = False) -> None:
        self._call: Callable[..., Awaitable[Any]] = getattr(held, name)
        self._held, self._name, self._after = held, name, after
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        setattr(held, name, self._stalled)

    async def _stalled(self, *args: Any, **kwargs: Any) -> Any:
        setattr(self._held, self._name, self._call)
        try:
            if self._after:
                return await self._call(*args, **kwargs)
        finally:
            self.reached.set()
            await self.go.wait()
        return await self._call(*args, **kwargs)


async def stalled(work: Coroutine[Any, Any, R], stall: Stall) -> asyncio.Task[R]:
    """Run work that waits at ``stall``."""
    task = asyncio.create_task(work)
    await stall.reached.wait()
    return task


async def woken(task: asyncio.Task[Any], stall: Stall) -> None:
    stall.go.set()
    with suppress(Conflict, GatewayRefused):
        await task
