"""The core of the service over stores that a test opened, and a running clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from storage.stores.all import Stores
from tests.support.clock import ManualClock
from tests.support.core import Backend, CrashPoint


class StorageBackend(Backend):
    """``Backend`` of a core that uses ``storage``."""

    def __init__(self, storage: Stores, clock: ManualClock) -> None:
        super().__init__(clock)
        self._storage = storage

    def stores(self, crash_point: CrashPoint | None = None) -> Stores:
        assert crash_point is None
        return self._storage


class RunningClock(ManualClock):
    """The real time, to the millisecond."""

    def now(self) -> datetime:
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        return time.monotonic()
