"""Short-lived values in the process's own memory: bounded, and gone with the process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from wechat.domain.ports import Clock, Token

MOST = 10_000
CLOCKS_APART = timedelta(minutes=1)
"""The maximum difference between a token's own date and the store's before the store's is used."""

T = TypeVar("T")


class Expiring(Generic[T]):
    """A dict whose entries expire; when it is full, the oldest are removed. ``now`` is in seconds and never
    decreases."""

    def __init__(self, now: Callable[[], float], most: int = MOST) -> None:
        self._now = now
        self._most = most
        self._entries: dict[str, tuple[T, float]] = {}

    def get(self, key: str) -> T | None:
        value, ends = self._entries.get(key, (None, 0.0))
        return value if self._now() < ends else None

    def left_s(self, key: str) -> float:
        """Return the seconds until the entry of ``key`` expires; 0 without one."""
        return max(0.0, self._entries[key][1] - self._now()) if key in self._entries else 0.0

    def set(self, key: str, value: T, life_s: float) -> None:
        self._entries.pop(key, None)  # the newest are last
        if len(self._entries) >= self._most:
            self._make_room()
        self._entries[key] = (value, self._now() + life_s)

    def delete(self, key: str) -> None:
        self._entries.pop(key, None)

    def _make_room(self) -> None:
        now = self._now()
        self._entries = {key: entry for key, entry in self._entries.items() if now < entry[1]}
        while len(self._entries) >= self._most:
            del self._entries[next(iter(self._entries))]


def by_our_clock(token: Token, ends_at: datetime) -> Token:
    """Return ``token``, which a store keeps until ``ends_at``, with new dates if the clock that gave it its dates
    differed from ours: that of another process, or ours before it was set."""
    shift = ends_at - token.expires_at
    if abs(shift) <= CLOCKS_APART:
        return token
    return replace(token, issued_at=token.issued_at + shift, expires_at=ends_at)


class MemoryTokens:
    """``TokenStore`` without a server: sufficient for one process, and the fallback while Redis is away."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: Expiring[Token] = Expiring(clock.monotonic)
        self._locks: Expiring[int] = Expiring(clock.monotonic)
        self._values: Expiring[str] = Expiring(clock.monotonic)
        self._fence = 0

    @property
    def fence(self) -> int:
        """The highest fence seen so far."""
        return self._fence

    def saw(self, fence: int) -> None:
        """Note a fence given out elsewhere: later fences here are greater."""
        self._fence = max(self._fence, fence)

    async def get(self, name: str) -> Token | None:
        token = self._tokens.get(name)
        ends_at = self._clock.now() + timedelta(seconds=self._tokens.left_s(name))
        return by_our_clock(token, ends_at) if token else None

    async def save(self, name: str, token: Token) -> bool:
        self.saw(token.fence)
        held = self._tokens.get(name)
        if held and held.fence > token.fence:
            return False
        self._tokens.set(name, token, (token.expires_at - self._clock.now()).total_seconds())
        return True

    async def drop(self, name: str, value: str) -> None:
        held = self._tokens.get(name)
        if held and held.value == value:
            self._tokens.delete(name)

    async def lock(self, name: str, ttl_s: float) -> int | None:
        if self._locks.get(name) is not None:
            return None
        self._fence += 1
        self._locks.set(name, self._fence, ttl_s)
        return self._fence

    async def unlock(self, name: str, fence: int) -> None:
        if self._locks.get(name) == fence:
            self._locks.delete(name)

    async def remember(self, key: str, value: str, ttl_s: float) -> bool:
        if self._values.get(key) is not None:
            return False
        self._values.set(key, value, ttl_s)
        return True

    async def recall(self, key: str) -> str | None:
        return self._values.get(key)

    async def overwrite(self, key: str, value: str, ttl_s: float) -> None:
        self._values.set(key, value, ttl_s)

    async def forget(self, key: str) -> None:
        self._values.delete(key)
