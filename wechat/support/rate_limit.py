"""Rate limits for the effects that outsiders can cause: a log line, a stored copy, a message to a person."""

from __future__ import annotations

from wechat.domain.ports import Clock


class RateLimit:
    """A limit for each key: at most ``burst`` at once, and ``per_s`` a second in the long run.

    Keys come from a fixed set; otherwise ``most_keys`` bounds their number, and the first key is forgotten.
    """

    def __init__(self, clock: Clock, burst: int, per_s: float, most_keys: int = 0) -> None:
        self._clock = clock
        self._burst = burst
        self._per_s = per_s
        self._most_keys = most_keys
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str, units: int = 1) -> bool:
        """Use up ``units`` of the allowance; return whether there were so many."""
        now = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            if self._most_keys and len(self._buckets) >= self._most_keys:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[key] = _Bucket(now, float(self._burst))
        left = min(self._burst, bucket.left + (now - bucket.at_s) * self._per_s)
        allowed = left >= units
        bucket.at_s, bucket.left = now, left - units if allowed else left
        bucket.refused += not allowed
        return allowed

    def give_back(self, key: str) -> None:
        """Return one unit that was taken and does not count."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.left = min(self._burst, bucket.left + 1)

    def refused_since(self, key: str) -> int:
        """Return the number of refusals of ``key`` since the last call of this method."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0
        refused, bucket.refused = bucket.refused, 0
        return refused


class _Bucket:
    """The allowance that one key had left at ``at_s``, and its refusals."""

    __slots__ = ("at_s", "left", "refused")

    def __init__(self, at_s: float, left: float) -> None:
        self.at_s = at_s
        self.left = left
        self.refused = 0
