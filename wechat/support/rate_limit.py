"""Rate limits for what outsiders can cause: a log line, a stored copy, a message to a person."""

from __future__ import annotations

from wechat.domain.ports import Clock


class RateLimit:
    """At most ``burst`` at once and ``per_s`` a second in the long run, for each key.

    Keys come from a fixed set, or there are ``most_keys`` of them: then the one that came first is forgotten.
    """

    def __init__(self, clock: Clock, burst: int, per_s: float, most_keys: int = 0) -> None:
        self._clock = clock
        self._burst = burst
        self._per_s = per_s
        self._most_keys = most_keys
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str) -> bool:
        """Whether it may be done now."""
        now = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            if self._most_keys and len(self._buckets) >= self._most_keys:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[key] = _Bucket(now, float(self._burst))
        left = min(self._burst, bucket.left + (now - bucket.at_s) * self._per_s)
        allowed = left >= 1
        bucket.at_s, bucket.left = now, left - 1 if allowed else left
        bucket.refused += not allowed
        return allowed

    def give_back(self, key: str) -> None:
        """Undo a ``take``: what was done does not count."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.left = min(self._burst, bucket.left + 1)

    def refused_since(self, key: str) -> int:
        """How often it was refused since this was asked last."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0
        refused, bucket.refused = bucket.refused, 0
        return refused


class _Bucket:
    """What is left of one key's allowance at ``at_s``."""

    __slots__ = ("at_s", "left", "refused")

    def __init__(self, at_s: float, left: float) -> None:
        self.at_s = at_s
        self.left = left
        self.refused = 0
