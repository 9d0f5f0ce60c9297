"""Bounded storage: a fixed number of places for each group; when they are full, the oldest value is replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from wechat.domain.ports import Random, Stored, VersionedStore

T = TypeVar("T")
WRITE_BYTES = 6


class Places(Generic[T]):
    """Stores values of a group in ``most`` places, ``GROUP-00`` and on, which are the keys of the values."""

    def __init__(self, store: VersionedStore[T], most: int, random: Random) -> None:
        self._store = store
        self._most = most
        self._random = random

    async def store(
        self,
        group: str,
        held: Sequence[Stored[T]],
        place_value: Callable[[str], T],
        merge: Callable[[T], T | None],
        age: Callable[[T], float],
        place_of: Callable[[T], str],
    ) -> T | None:
        """Store a value in a place of its group and return it; None when another writer was faster.

        ``held`` are the group's stored values. If ``merge`` accepts one of them, the value is merged with it. Otherwise
        the value takes a free place, or that of the held value with the greatest ``age``.
        """
        write = self._random.token(WRITE_BYTES)
        for stored in held:
            merged = merge(stored.value)
            if merged is not None:
                return merged if await self._store.replace(stored, merged, write) else None
        taken = {place_of(stored.value) for stored in held}
        free = next((place for place in self._names(group) if place not in taken), None)
        if free:
            value = place_value(free)
            return value if await self._store.insert(value, write) else None
        oldest: Stored[T] = max(held, key=lambda stored: age(stored.value))
        value = place_value(place_of(oldest.value))
        return value if await self._store.replace(oldest, value, write) else None

    def _names(self, group: str) -> list[str]:
        return [f"{group}-{number:02}" for number in range(self._most)]
