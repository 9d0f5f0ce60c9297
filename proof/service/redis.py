"""The client methods that ``storage.redis.token_cache`` calls, over memory that all processes share.

The scripts are written again in Python; tests with a real server check the ones that Redis runs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from redis.exceptions import ConnectionError as RedisGone

from proof.faults import Fault, Faults
from proof.runtime.ports import ProcessState
from storage.redis.token_cache import DROP_SCRIPT, GET_SCRIPT, LOCK_SCRIPT, SAVE_SCRIPT, UNLOCK_SCRIPT

T = TypeVar("T")

STEP_S = 0.001
TOO_LATE_S = 1.0
LOCK_ENDS_S = 0.3
FENCE = re.compile(rb"(\d+)\|")
VALUE = re.compile(rb"\d+\|\d+\|\d+\|(.*)")

Script = Callable[[Sequence[str], Sequence[object]], object]


class RedisServer:
    """Expiring values, by key."""

    def __init__(self, time_s: Callable[[], float]) -> None:
        self._time_s = time_s
        self._values: dict[str, tuple[bytes, float]] = {}
        self.gone = False
        self._scripts: dict[str, Script] = {
            GET_SCRIPT: self._get,
            LOCK_SCRIPT: self._lock,
            UNLOCK_SCRIPT: self._unlock,
            SAVE_SCRIPT: self._save,
            DROP_SCRIPT: self._drop,
        }

    def get(self, key: str) -> bytes | None:
        value, ends_s = self._values.get(key, (b"", 0.0))
        return value if self._time_s() < ends_s else None

    def set(self, key: str, value: object, life_ms: int, *, if_free: bool = False) -> bool | None:
        """Set a value; return None if ``if_free`` and the key exists, as Redis does."""
        if if_free and self.get(key) is not None:
            return None
        self._values[key] = (str(value).encode(), self._time_s() + life_ms / 1000)
        return True

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[object]) -> object:
        return self._scripts[script](keys, arguments)

    def empty(self) -> None:
        """Remove all values."""
        self._values.clear()

    def end(self, key: str) -> None:
        """Remove one value."""
        self._values.pop(key, None)

    def locks(self) -> list[str]:
        """Return the locks that are held."""
        return [key for key in self._values if key.endswith(":lock") and self.get(key) is not None]

    def _get(self, keys: Sequence[str], arguments: Sequence[object]) -> object:
        value = self.get(keys[0])
        return None if value is None else [value, int((self._values[keys[0]][1] - self._time_s()) * 1000)]

    def _lock(self, keys: Sequence[str], arguments: Sequence[object]) -> object:
        life_ms, least, fence_life_ms = (int(str(argument)) for argument in arguments)
        if self.get(keys[0]) is not None:
            return None
        fence = max(int(self.get(keys[1]) or 0), least) + 1
        self.set(keys[1], fence, fence_life_ms)
        self.set(keys[0], fence, life_ms)
        return fence

    def _unlock(self, keys: Sequence[str], arguments: Sequence[object]) -> object:
        if self.get(keys[0]) == str(arguments[0]).encode():
            self.end(keys[0])
        return None

    def _save(self, keys: Sequence[str], arguments: Sequence[object]) -> object:
        fence, value, life_ms = arguments
        held = FENCE.match(self.get(keys[0]) or b"")
        if held and int(held[1]) > int(str(fence)):
            return 0
        self.set(keys[0], value, int(str(life_ms)))
        return 1

    def _drop(self, keys: Sequence[str], arguments: Sequence[object]) -> object:
        held = VALUE.fullmatch(self.get(keys[0]) or b"")
        if held and held[1] == str(arguments[0]).encode():
            self.end(keys[0])
        return None


class RedisClient:
    """The client of one process, with faults of a network. ``on_trouble`` is called at each failure; ``deaths`` decide
    where the process dies."""

    def __init__(
        self,
        server: RedisServer,
        state: ProcessState,
        faults: Faults,
        deaths: Faults,
        on_trouble: Callable[[], None],
    ) -> None:
        self._server = server
        self._state = state
        self._faults = faults
        self._deaths = deaths
        self._on_trouble = on_trouble

    def register_script(self, script: str) -> Callable[..., Awaitable[object]]:
        async def run(keys: Sequence[str], args: Sequence[object]) -> object:
            answer = await self._call(lambda: self._server.run(script, keys, args))
            if script == LOCK_SCRIPT and answer is not None and self._faults.happens(Fault.REDIS_LOCK):
                self._on_trouble()
                asyncio.get_running_loop().call_later(LOCK_ENDS_S, self._server.end, keys[0])
            return answer

        return run

    async def ping(self) -> bool:
        return await self._call(lambda: True)

    async def get(self, key: str) -> bytes | None:
        return await self._call(lambda: self._server.get(key))

    async def set(self, key: str, value: object, *, px: int, nx: bool = False) -> bool | None:
        return await self._call(lambda: self._server.set(key, value, px, if_free=nx))

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""

    async def _call(self, act: Callable[[], T]) -> T:
        await self._state.block_if_dead()
        await asyncio.sleep(STEP_S)
        await self._state.reach_await(self._deaths)
        if self._server.gone:
            self._on_trouble()
            raise RedisGone
        answer = act()
        if self._faults.happens(Fault.REDIS_SLOW):
            self._on_trouble()
            await asyncio.sleep(TOO_LATE_S)
        await self._state.reach_await(self._deaths)
        return answer
