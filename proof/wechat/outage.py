"""Minutes in which WeChat refuses every request because of the merchant's credentials: a key changed in the console, an
API switched off, an expired certificate."""

from __future__ import annotations

import asyncio
import random

from proof.faults import Fault, Faults

PAUSE_S = (1800.0, 8 * 3600.0)
LASTS_S = (60.0, 300.0, 1200.0)


class Outage:
    """``stream`` decides when an outage begins, and how long it lasts."""

    def __init__(self, faults: Faults, stream: random.Random) -> None:
        self._faults = faults
        self._stream = stream
        self._until_s = 0.0

    async def inject_faults(self) -> None:
        """Start outages at times, without end."""
        while True:
            await asyncio.sleep(self._stream.uniform(*PAUSE_S))
            if self._faults.comes(Fault.CREDENTIALS_REFUSED):
                self._until_s = asyncio.get_running_loop().time() + self._stream.choice(LASTS_S)

    def strike(self, process: str) -> Fault | None:
        """Return the outage's fault for a request of ``process``; None without an outage."""
        if self._faults.stopped or asyncio.get_running_loop().time() >= self._until_s:
            return None
        self._faults.occurrences.note(process, Fault.CREDENTIALS_REFUSED)
        return Fault.CREDENTIALS_REFUSED
