"""What the shared short-lived values promise, with Redis, without it, and when it goes away in the middle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from redis import asyncio as aioredis

from storage.embedded.servers import EmbeddedRedis
from storage.memory.tokens import Expiring
from storage.redis.token_cache import REST_S, TokenCache
from tests.support.clock import ManualClock
from tests.support.servers import running
from wechat.domain.ports import Token

GONE = "redis://127.0.0.1:1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["redis", "redis gone"])
async def cache(
    request: pytest.FixtureRequest, redis: EmbeddedRedis, clock: ManualClock, database: str
) -> AsyncIterator[TokenCache]:
    cache = TokenCache(redis.url if request.param == "redis" else GONE, clock, f"{database}:")
    yield cache
    await cache.close()


@pytest.fixture
async def two(redis: EmbeddedRedis, clock: ManualClock, database: str) -> AsyncIterator[tuple[TokenCache, TokenCache]]:
    """Two processes that share one Redis."""
    pair = (TokenCache(redis.url, clock, f"{database}:"), TokenCache(redis.url, clock, f"{database}:"))
    yield pair
    for cache in pair:
        await cache.close()


def a_token(clock: ManualClock, value: str = "secret-1", fence: int = 1) -> Token:
    return Token(value, clock.now(), clock.now() + timedelta(hours=2), fence)


async def test_a_token_comes_back_as_it_was_put(cache: TokenCache, clock: ManualClock) -> None:
    assert await cache.get("access_token") is None
    assert await cache.save("access_token", a_token(clock))
    assert await cache.get("access_token") == a_token(clock)


async def test_a_lower_fence_never_overwrites_a_higher_one(cache: TokenCache, clock: ManualClock) -> None:
    assert await cache.save("access_token", a_token(clock, "new", 7))
    assert not await cache.save("access_token", a_token(clock, "late", 6))
    assert await cache.save("access_token", a_token(clock, "same", 7))
    assert await cache.get("access_token") == a_token(clock, "same", 7)


async def test_a_token_is_dropped_only_if_it_is_the_one_that_failed(cache: TokenCache, clock: ManualClock) -> None:
    await cache.save("access_token", a_token(clock, "current"))
    await cache.drop("access_token", "older")
    assert await cache.get("access_token") == a_token(clock, "current")
    await cache.drop("access_token", "current")
    assert await cache.get("access_token") is None


async def test_of_twenty_that_want_the_lock_one_gets_it(cache: TokenCache) -> None:
    fences = await asyncio.gather(*(cache.lock("refresh", 10) for _ in range(20)))
    assert len([fence for fence in fences if fence is not None]) == 1


async def test_fences_rise_from_lock_to_lock(cache: TokenCache) -> None:
    fences = []
    for _ in range(3):
        fence = await cache.lock("refresh", 10)
        assert fence is not None
        await cache.unlock("refresh", fence)
        fences.append(fence)
    assert fences == sorted(set(fences))


async def test_only_the_holder_unlocks(cache: TokenCache) -> None:
    fence = await cache.lock("refresh", 10)
    assert fence is not None
    await cache.unlock("refresh", fence - 1)
    assert await cache.lock("refresh", 10) is None
    await cache.unlock("refresh", fence)
    assert await cache.lock("refresh", 10) is not None


async def test_a_key_is_remembered_once(cache: TokenCache) -> None:
    taken = await asyncio.gather(*(cache.remember("state", f"v{i}", 10) for i in range(20)))
    assert taken.count(True) == 1
    assert await cache.recall("state") == f"v{taken.index(True)}"


async def test_a_value_can_be_overwritten_and_an_unknown_one_is_none(cache: TokenCache) -> None:
    assert await cache.recall("state") is None
    await cache.remember("state", "pending", 10)
    await cache.overwrite("state", "完成", 10)
    assert await cache.recall("state") == "完成"


async def test_processes_share_tokens_locks_and_values(two: tuple[TokenCache, TokenCache], clock: ManualClock) -> None:
    here, there = two
    await here.save("access_token", a_token(clock))
    assert await there.get("access_token") == a_token(clock)
    assert await here.lock("refresh", 10) is not None
    assert await there.lock("refresh", 10) is None
    assert await here.remember("state", "mine", 10)
    assert not await there.remember("state", "theirs", 10)
    assert await there.recall("state") == "mine"


@pytest.mark.parametrize("ahead_s", [7 * 3600, -7 * 3600])
async def test_a_token_lives_as_long_for_a_process_whose_clock_is_hours_apart(
    redis: EmbeddedRedis, clock: ManualClock, database: str, ahead_s: int
) -> None:
    theirs = ManualClock(clock.now() + timedelta(seconds=ahead_s))
    there, here = TokenCache(redis.url, theirs, f"{database}:"), TokenCache(redis.url, clock, f"{database}:")
    await there.save("jsapi_ticket", a_token(theirs))
    found = await here.get("jsapi_ticket")
    assert found is not None
    assert abs(found.expires_at - a_token(clock).expires_at) < timedelta(seconds=5)
    assert found.expires_at - found.issued_at == timedelta(hours=2)
    assert (found.value, found.fence) == ("secret-1", 1)
    for cache in (there, here):
        await cache.close()


async def test_a_holder_that_slept_past_its_lock_cannot_overwrite_its_successor(
    two: tuple[TokenCache, TokenCache], clock: ManualClock
) -> None:
    sleeper, successor = two
    old = await sleeper.lock("refresh", 0.02)
    await asyncio.sleep(0.05)
    new = await successor.lock("refresh", 10)
    assert old is not None
    assert new is not None
    await successor.save("access_token", a_token(clock, "new", new))
    assert not await sleeper.save("access_token", a_token(clock, "old", old))
    await sleeper.unlock("refresh", old)
    assert await successor.lock("refresh", 10) is None
    assert await sleeper.get("access_token") == a_token(clock, "new", new)


@pytest.mark.parametrize("poison", [b"", b"garbage", b"1|2|3", b"x|1|2|v", b"\xff\xfe", b"1|1|2|a b", b"9" * 5000])
async def test_a_poisoned_value_counts_as_absent_and_can_be_replaced(
    redis: EmbeddedRedis, clock: ManualClock, database: str, poison: bytes
) -> None:
    cache, client = TokenCache(redis.url, clock, f"{database}:"), aioredis.Redis.from_url(redis.url)
    await client.set(f"{database}:{{access_token}}:token", poison)
    assert await cache.get("access_token") is None
    assert await cache.save("access_token", a_token(clock))
    assert await cache.get("access_token") == a_token(clock)
    await client.aclose()
    await cache.close()


async def test_a_value_of_another_type_counts_as_absent(
    redis: EmbeddedRedis, clock: ManualClock, database: str
) -> None:
    cache, client = TokenCache(redis.url, clock, f"{database}:"), aioredis.Redis.from_url(redis.url)
    await client.sadd(f"{database}:{{access_token}}:token", "a")
    assert await cache.get("access_token") is None
    assert await cache.save("access_token", a_token(clock))
    assert await cache.get("access_token") == a_token(clock)
    await client.aclose()
    await cache.close()


async def test_what_this_process_stored_outlives_redis_and_redis_is_used_again_when_it_is_back(
    tmp_path: Path, clock: ManualClock
) -> None:
    server = EmbeddedRedis(tmp_path / "redis")
    with running(server):
        cache = TokenCache(server.url, clock)
        fence = await cache.lock("refresh", 10)
        assert fence is not None
        await cache.save("access_token", a_token(clock, "kept", fence))
        await cache.remember("state", "kept", 60)
        server.stop()
        assert await cache.get("access_token") == a_token(clock, "kept", fence)
        assert not await cache.remember("state", "again", 60)
        local = await cache.lock("another", 10)
        assert local is not None
        assert local > fence
        assert not await cache.reachable()
        server.start()
        clock.advance(REST_S)
        assert await cache.reachable()
        assert not await cache.remember("state", "again", 60)
        shared = await cache.lock("refresh-2", 10)
        assert shared is not None
        assert shared > local
        await cache.close()


@pytest.mark.alone
async def test_callers_do_not_wait_for_a_redis_that_is_away(clock: ManualClock, tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda r, w: asyncio.sleep(60), "127.0.0.1", 0)
    cache = TokenCache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", clock)
    started = time.monotonic()
    assert await cache.get("access_token") is None
    assert time.monotonic() - started < 0.6
    started = time.monotonic()
    for _ in range(1000):
        await cache.get("access_token")
    assert time.monotonic() - started < 0.2
    await cache.close()
    server.close()


def test_memory_is_bounded_and_forgets_what_has_ended_before_what_is_oldest(clock: ManualClock) -> None:
    values: Expiring[int] = Expiring(clock.monotonic, most=3)
    values.set("oldest", 1, 100)
    values.set("brief", 2, 1)
    values.set("newer", 3, 100)
    clock.advance(2)
    values.set("newest", 4, 100)
    assert [values.get(key) for key in ("oldest", "brief", "newer", "newest")] == [1, None, 3, 4]
    values.set("one more", 5, 100)
    assert [values.get(key) for key in ("oldest", "newer", "newest", "one more")] == [None, 3, 4, 5]


async def test_an_ended_token_is_absent(cache: TokenCache, clock: ManualClock) -> None:
    soon = replace(a_token(clock), expires_at=clock.now() + timedelta(seconds=0.02))
    await cache.save("access_token", soon)
    await asyncio.sleep(0.05)
    clock.advance(1)
    assert await cache.get("access_token") is None
