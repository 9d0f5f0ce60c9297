"""Redis's publish/subscribe as ``NewsChannel``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from redis import asyncio as aioredis
from redis.exceptions import RedisError

from wechat.domain.errors import StoreUnavailable

CONNECT_S = 1.0
ALIVE_S = 30
"""The interval at which an idle connection is checked."""


class NewsChannel:
    """See ``wechat.domain.ports.NewsChannel``. It has connections of its own: listening occupies one."""

    def __init__(self, url: str, prefix: str) -> None:
        self._prefix = f"{prefix}news:"
        self._redis: Any = aioredis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_S,
            socket_keepalive=True,
            health_check_interval=ALIVE_S,
            client_name="fenpay-news",
        )

    async def close(self) -> None:
        await self._redis.aclose()

    async def publish(self, topic: str, content: bytes) -> None:
        try:
            await self._redis.publish(self._prefix + topic, content)
        except (RedisError, OSError) as error:
            raise StoreUnavailable from error

    async def subscribe(self, *topics: str) -> AsyncIterator[tuple[str, bytes]]:
        names: Mapping[str, str] = {self._prefix + topic: topic for topic in topics}
        try:
            async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(*names)
                while True:
                    message = await subscription.get_message(timeout=ALIVE_S)
                    if message:
                        yield names[message["channel"].decode()], message["data"]
        except (RedisError, OSError) as error:
            raise StoreUnavailable from error
