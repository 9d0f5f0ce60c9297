"""Shared short-lived values in Redis, backed by the process's own memory while Redis is away.

Redis is a convenience: whatever it does, each method answers within half a second and keeps its meaning for this
process. Values may be secrets, so neither they nor an error that could quote one is ever logged.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from storage.memory.tokens import MemoryTokens, by_our_clock
from wechat.domain.errors import Bilingual, ConfigError
from wechat.domain.ports import Clock, Token

TIMEOUT_S = 0.2
BUDGET_S = 0.45  # one call, its one retry and any connecting
REST_S = 5.0
CONNECTIONS = 64
"""Maximum calls to Redis at once. Further calls wait here: the driver would refuse calls beyond its pool's connections,
which would look like a server that is away."""

FENCE_LIFE_MS = 30 * 24 * 3600 * 1000

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

log = structlog.get_logger("storage.redis.token_cache")
AWAY = object()

# Each script is one atomic step. Its keys share a hash tag, so it runs on a cluster too.
GET_SCRIPT = """
local held = redis.pcall('GET', KEYS[1])
if type(held) ~= 'string' then return false end
return {held, redis.call('PTTL', KEYS[1])}
"""
LOCK_SCRIPT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local fence = math.max((tonumber(redis.call('GET', KEYS[2])) or 0), tonumber(ARGV[2])) + 1
redis.call('SET', KEYS[2], fence, 'PX', ARGV[3])
redis.call('SET', KEYS[1], fence, 'PX', ARGV[1])
return fence
"""
UNLOCK_SCRIPT = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
SAVE_SCRIPT = """
local held = redis.pcall('GET', KEYS[1])
local fence = type(held) == 'string' and tonumber(string.match(held, '^(%d+)|')) or 0
if fence > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
DROP_SCRIPT = """
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and string.match(held, '^%d+|%d+|%d+|(.*)$') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
_STORED = re.compile(rb"(\d{1,15})\|(\d{1,14})\|(\d{1,14})\|([\x21-\x7e]+)")


class TokenCache:
    """``TokenStore`` over Redis and memory. Values stored by this process go to both, so that losing Redis does not
    lose them.

    After a failure Redis is not called for a few seconds, so that not every caller waits for it. ``client`` replaces a
    connection to ``url``.
    """

    def __init__(self, url: str, clock: Clock, prefix: str = "fenpay:", client: Any = None) -> None:
        self._clock = clock
        self._prefix = prefix
        self._memory = MemoryTokens(clock)
        self._rests_until = 0.0
        self._away = False
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._redis: Any = client or _client(url)
        script = self._redis.register_script
        self._get, self._put, self._drop = map(script, (GET_SCRIPT, SAVE_SCRIPT, DROP_SCRIPT))
        self._lock, self._unlock = map(script, (LOCK_SCRIPT, UNLOCK_SCRIPT))

    async def reachable(self) -> bool:
        """Whether Redis answers; within a few seconds of a failure, whether it did then."""
        return await self._ask(self._redis.ping) is not AWAY

    async def close(self) -> None:
        await self._redis.aclose()

    async def get(self, name: str) -> Token | None:
        answer = await self._ask(lambda: self._get(keys=[self._key("token", name)], args=[]))
        if answer is AWAY:
            return await self._memory.get(name)
        stored, left_ms = answer or (None, 0)
        token = _decode(stored)
        if token:
            token = by_our_clock(token, self._clock.now() + left_ms * MILLISECOND)
            await self._memory.save(name, token)
        return token

    async def save(self, name: str, token: Token) -> bool:
        kept_here = await self._memory.save(name, token)
        life_ms = max(1, (token.expires_at - self._clock.now()) // MILLISECOND)
        kept = await self._ask(
            lambda: self._put(keys=[self._key("token", name)], args=[token.fence, _encode(token), life_ms])
        )
        return kept_here if kept is AWAY else bool(kept)

    async def drop(self, name: str, value: str) -> None:
        await self._memory.drop(name, value)
        await self._ask(lambda: self._drop(keys=[self._key("token", name)], args=[value]))

    async def lock(self, name: str, ttl_s: float) -> int | None:
        fence = await self._ask(
            lambda: self._lock(
                keys=[self._key("lock", name), self._key("fence", name)],
                args=[_ms(ttl_s), self._memory.fence, FENCE_LIFE_MS],
            )
        )
        if fence is AWAY:
            return await self._memory.lock(name, ttl_s)
        if fence is None:
            return None
        self._memory.saw(int(fence))
        return int(fence)

    async def unlock(self, name: str, fence: int) -> None:
        await self._memory.unlock(name, fence)
        await self._ask(lambda: self._unlock(keys=[self._key("lock", name)], args=[fence]))

    async def remember(self, key: str, value: str, ttl_s: float) -> bool:
        """See TokenStore. A key that was taken while Redis was away stays taken in this process after Redis has come
        back."""
        if not await self._memory.remember(key, value, ttl_s):
            return False
        free = await self._ask(lambda: self._redis.set(self._key("value", key), value, nx=True, px=_ms(ttl_s)))
        if free is AWAY or free:
            return True
        await self._memory.forget(key)
        return False

    async def recall(self, key: str) -> str | None:
        stored = await self._ask(lambda: self._redis.get(self._key("value", key)))
        if stored is AWAY or stored is None:
            return await self._memory.recall(key)
        return _text(stored)

    async def overwrite(self, key: str, value: str, ttl_s: float) -> None:
        await self._memory.overwrite(key, value, ttl_s)
        await self._ask(lambda: self._redis.set(self._key("value", key), value, px=_ms(ttl_s)))

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{{{name}}}:{kind}"

    async def _ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Return Redis's answer, None if it holds a value of another type, AWAY if Redis cannot be relied on."""
        if self._resting():
            return AWAY
        async with self._free:
            return AWAY if self._resting() else await self._answer(call)

    async def _answer(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(BUDGET_S):
                answer = await call()
        except (RedisError, OSError, TimeoutError) as error:
            if isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE"):
                return None
            self._rest(type(error).__name__)
            return AWAY
        self._back()
        return answer

    def _resting(self) -> bool:
        """Whether Redis is not called because of a recent failure."""
        return self._clock.monotonic() < self._rests_until

    def _rest(self, error: str) -> None:
        self._rests_until = self._clock.monotonic() + REST_S
        if not self._away:
            log.warning("redis_away", error=error)
        self._away = True

    def _back(self) -> None:
        if self._away:
            log.info("redis_back")
        self._away = False


def _client(url: str) -> Any:
    try:
        return aioredis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
            client_name="fenpay",
            max_connections=CONNECTIONS,
        )
    except ValueError:
        raise ConfigError([Bilingual("redis.url：不是可用的地址", "redis.url: is not a usable address")]) from None


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _encode(token: Token) -> str:
    dates = ((moment - EPOCH) // MILLISECOND for moment in (token.issued_at, token.expires_at))
    return "|".join(map(str, (token.fence, *dates, token.value)))


def _decode(stored: bytes | None) -> Token | None:
    """The token, or None for anything that is not one."""
    match = _STORED.fullmatch(stored or b"")
    if match is None:
        return None
    fence, issued_ms, expires_ms = (int(part) for part in match.groups()[:3])
    dates = (EPOCH + issued_ms * MILLISECOND, EPOCH + expires_ms * MILLISECOND)
    return Token(match[4].decode("ascii"), *dates, fence)


def _text(stored: bytes) -> str | None:
    try:
        return stored.decode("utf-8")
    except UnicodeDecodeError:
        return None
