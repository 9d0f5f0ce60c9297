"""The one loop that changes stored values: read, apply a pure transition, replace by compare-and-set, or start over.

When another writer was faster, or the answer to a write was lost, the value is read again. Each document keeps the ids
of its latest writes: if one of ours is among them, that write happened. Otherwise the outcome is unknown, because the
write may still arrive. The loop then starts over with the revision that it reads now, and a write that arrives late
fails, because the revision has changed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from wechat.domain.errors import NewerDocument, StoreUnavailable
from wechat.domain.ports import WRITES_KEPT, Random, Stored, VersionedStore

T = TypeVar("T")

LIMIT_S = 2.5
"""The most seconds for a change, including the wait for the lock and all attempts; callers may cancel it earlier."""
PAUSE_S = 0.02
"""Seconds between two attempts while the store does not answer and the outcome of a write is unknown."""
WRITE_BYTES = 6
REMEMBERED = 2000
"""Values that a process caches from its latest writes, so that the next change of one needs no read."""

Transition = Callable[[T], T]


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """The result of an update. When nothing had to be written, ``before`` and ``after`` are the same object."""

    before: T
    after: T

    @property
    def happened(self) -> bool:
        return self.before is not self.after


class Updater(Generic[T]):
    """Changes values of one store. Within the process, a key has one change at a time."""

    def __init__(
        self,
        store: VersionedStore[T],
        key: Callable[[T], str],
        random: Random,
        *,
        limit_s: float = LIMIT_S,
        remembered: int = REMEMBERED,
    ) -> None:
        self._store = store
        self._key = key
        self._random = random
        self._limit_s = limit_s
        self._locks = _Locks()
        self._remembered: OrderedDict[str, Stored[T]] = OrderedDict()
        self._most = remembered

    async def insert(self, value: T) -> bool:
        """Store a new value; False when its key is taken. Raises StoreUnavailable when the outcome is unknown."""
        write = self._random.token(WRITE_BYTES)
        try:
            async with asyncio.timeout(self._limit_s):
                stored = await self._insert(value, write)
        except TimeoutError:
            raise StoreUnavailable from None
        if stored:
            self._remember(self._key(value), Stored(value, 1, (write,)))
        return stored

    async def get(self, key: str) -> T | None:
        """Return the stored value; None when there is none."""
        stored = await self._store.get(key)
        return stored.value if stored else None

    async def update(self, key: str, transition: Transition[T]) -> Change[T] | None:
        """Apply ``transition`` to the value of ``key``; None if there is no such value.

        Raises the transition's errors, and StoreUnavailable after ``limit_s``. ``transition`` may be called repeatedly.
        """
        try:
            async with asyncio.timeout(self._limit_s), self._locks.hold(key):
                return await self._update(key, transition)
        except TimeoutError:
            raise StoreUnavailable from None

    async def change(self, stored: Stored[T], transition: Transition[T]) -> Change[T] | None:
        """Apply ``transition`` to a value that was read just now, in one attempt; None when another writer was faster.

        Raises StoreUnavailable also when the outcome is unknown.
        """
        change = _apply_transition(stored, transition)
        if not change.happened or await self._write(stored, change, self._random.token(WRITE_BYTES)):
            return change
        return None

    async def _insert(self, value: T, write: str) -> bool:
        """Insert until the outcome is known."""
        while True:
            try:
                return await self._store.insert(value, write)
            except StoreUnavailable:
                await asyncio.sleep(PAUSE_S)

    async def _update(self, key: str, transition: Transition[T]) -> Change[T] | None:
        tried: dict[str, Change[T]] = {}
        done = await self._update_from_cache(key, transition, tried)
        while done is None:
            stored = await self._read(key, in_doubt=bool(tried))
            if stored is None:
                return None
            done = next((tried[write] for write in stored.writes if write in tried), None)
            done = done or await self._try(stored, _apply_transition(stored, transition), tried)
        return done

    async def _update_from_cache(
        self, key: str, transition: Transition[T], tried: dict[str, Change[T]]
    ) -> Change[T] | None:
        """Change the cached value without reading it; None unless that write succeeds.

        A refusal by the transition, or an unchanged value, does not count, because the cached value may be out of date.
        """
        stored = self._remembered.get(key)
        if stored is None:
            return None
        try:
            change = _apply_transition(stored, transition)
        except Exception:
            return None
        return await self._try(stored, change, tried) if change.happened else None

    async def _try(self, stored: Stored[T], change: Change[T], tried: dict[str, Change[T]]) -> Change[T] | None:
        """Write ``change``; None when another writer was faster, or when the outcome is unknown."""
        if not change.happened:
            return change
        write = self._random.token(WRITE_BYTES)
        tried[write] = change
        try:
            return change if await self._write(stored, change, write) else None
        except NewerDocument:
            raise
        except StoreUnavailable:
            return None

    async def _write(self, stored: Stored[T], change: Change[T], write: str) -> bool:
        """Replace ``stored``; False when another writer was faster."""
        key = self._key(stored.value)
        self._remembered.pop(key, None)
        if not await self._store.replace(stored, change.after, write):
            return False
        writes = (*stored.writes, write)[-WRITES_KEPT:]
        self._remember(key, Stored(change.after, stored.rev + 1, writes, stored.document))
        return True

    async def _read(self, key: str, *, in_doubt: bool) -> Stored[T] | None:
        """Read the stored value. While the outcome of a write is unknown, repeat until the store answers."""
        while True:
            try:
                return await self._store.get(key)
            except StoreUnavailable:
                if not in_doubt:
                    raise
                await asyncio.sleep(PAUSE_S)

    def _remember(self, key: str, stored: Stored[T]) -> None:
        if not self._most:
            return
        held = self._remembered.pop(key, None)
        self._remembered[key] = held if held is not None and held.rev > stored.rev else stored
        if len(self._remembered) > self._most:
            self._remembered.popitem(last=False)


class _Locks:
    """A lock per key, removed when no task holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[str, _Lock] = {}

    def hold(self, key: str) -> _Lock:
        """Return the lock of ``key``, to be entered with ``async with``."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = _Lock(lambda: self._locks.pop(key))
        return lock


class _Lock:
    """A lock. ``on_free`` is called when no task holds it or waits for it any more."""

    def __init__(self, on_free: Callable[[], object]) -> None:
        self._lock = asyncio.Lock()
        self._users = 0
        self._on_free = on_free

    async def __aenter__(self) -> None:
        self._users += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
        self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if not self._users:
            self._on_free()


def _apply_transition(stored: Stored[T], transition: Transition[T]) -> Change[T]:
    """Apply ``transition`` to a stored value. A transition that changes nothing returns the same object."""
    return Change(stored.value, transition(stored.value))
