"""Minutes in which WeChat refuses every request of the merchant for a reason of credentials: a key that somebody has
changed in the merchant's console, an API that was switched off, a certificate that has ended."""

from __future__ import annotations

import asyncio
import random

from proof.faults import Fault, Faults

PAUSE_S = (1800.0, 8 * 3600.0)
LASTS_S = (60.0, 300.0, 1200.0)


class Outage:
    """``stream`` decides when it may begin, and how long it takes."""

    def __init__(self, faults: Faults, stream: random.Random) -> None:
        self._faults = faults
        self._stream = stream
        self._until_s = 0.0

    async def inject_faults(self) -> None:
        """Let it begin at times, for ever."""
        while True:
            await asyncio.sleep(self._stream.uniform(*PAUSE_S))
            if self._faults.comes(Fault.CREDENTIALS_REFUSED):
                self._until_s = asyncio.get_running_loop().time() + self._stream.choice(LASTS_S)

    def strike(self, process: str) -> Fault | None:
        """The fault while it lasts, which then has happened to a request of ``process``."""
        if self._faults.stopped or asyncio.get_running_loop().time() >= self._until_s:
            return None
        self._faults.occurrences.note(process, Fault.CREDENTIALS_REFUSED)
        return Fault.CREDENTIALS_REFUSED
