"""Minutes in which a fault happens to every call: WeChat refuses the merchant's credentials, or the store is down."""

from __future__ import annotations

import asyncio
import random

from proof.faults import Fault, Faults

PAUSE_S = (1800.0, 8 * 3600.0)
LASTS_S = (60.0, 300.0, 1200.0)


class Outage:
    """``stream`` decides when an outage begins, and how long it lasts; ``fault`` is its kind."""

    def __init__(self, fault: Fault, faults: Faults, stream: random.Random) -> None:
        self._fault = fault
        self._faults = faults
        self._stream = stream
        self._until_s = 0.0

    async def inject_faults(self) -> None:
        """Start outages at times, without end."""
        while True:
            await asyncio.sleep(self._stream.uniform(*PAUSE_S))
            if self._faults.comes(self._fault):
                self._until_s = asyncio.get_running_loop().time() + self._stream.choice(LASTS_S)

    def strike(self, process: str) -> Fault | None:
        """Return the outage's fault for a call of ``process``; None without an outage."""
        if self._faults.stopped or asyncio.get_running_loop().time() >= self._until_s:
            return None
        self._faults.occurrences.note(process, self._fault)
        return self._fault
