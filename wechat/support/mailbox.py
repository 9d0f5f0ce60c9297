"""A bounded queue for one reader that may be slow; the oldest item is dropped when it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue of at most ``most`` items. A further item replaces the oldest one and is counted in ``missed``."""

    def __init__(self, most: int) -> None:
        self._queue: deque[T] = deque(maxlen=most)
        self._wake = asyncio.Event()
        self.missed = 0
        self.closed = False

    def add(self, item: T) -> None:
        self.missed += len(self._queue) == self._queue.maxlen
        self._queue.append(item)
        self._wake.set()

    async def take(self, timeout_s: float) -> list[T]:
        """Wait for items and return all of them; empty after ``timeout_s`` without any.

        A closed mailbox returns at once, with the remaining items.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        if not self.closed:
            self._wake.clear()
        taken = list(self._queue)
        self._queue.clear()
        return taken

    def close(self) -> None:
        """End the wait of the reader."""
        self.closed = True
        self._wake.set()
