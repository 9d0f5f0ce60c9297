"""Read facts about a Redis server, for ``doctor``. Nothing is written."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis import asyncio as aioredis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from wechat.domain.errors import Bilingual

ASK_S = 2.0


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """``trouble`` is the reason why there is no answer. ``policy`` is empty if CONFIG is not allowed; ``memory_limit``
    is in bytes, 0 without one."""

    trouble: Bilingual | None = None
    version: str = ""
    mode: str = "standalone"
    role: str = "master"
    policy: str = ""
    memory_limit: int = 0
    password: bool = False


async def read_facts(url: str) -> RedisFacts:
    """Query the Redis at ``url``. Never raises: a failure is in ``trouble``."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        client: Any = aioredis.Redis.from_url(url, socket_timeout=ASK_S, socket_connect_timeout=ASK_S)
    except ValueError:
        return RedisFacts(trouble=Bilingual("redis.url 不是可用的地址", "redis.url is not a usable address"))
    try:
        await client.ping()
        info: Mapping[str, Any] = await client.info()
        config: Mapping[str, Any] = {}
        with contextlib.suppress(ResponseError):  # managed services do not allow CONFIG
            config = await client.config_get("maxmemory*")
    except (RedisError, OSError) as error:
        return RedisFacts(trouble=describe_failure(error, host))
    finally:
        await client.aclose()
    return RedisFacts(
        version=str(info.get("redis_version", "")),
        mode=str(info.get("redis_mode", "standalone")),
        role=str(info.get("role", "master")),
        policy=str(config.get("maxmemory-policy", info.get("maxmemory_policy", ""))),
        memory_limit=int(config.get("maxmemory", info.get("maxmemory", 0)) or 0),
        password=urlsplit(url).password is not None,
    )


def describe_failure(error: Exception, host: str) -> Bilingual:
    """Describe the host and its failure."""
    said = str(error)
    if isinstance(error, AuthenticationError) or "NOAUTH" in said or "WRONGPASS" in said:
        return Bilingual(f"{host} 拒绝了密码，或要求密码", f"{host} refuses the password, or wants one")
    for word, zh, en in (
        (
            "Connect call failed",
            "拒绝连接：没有运行，或端口不对",
            "refuses the connection: not running, or on another port",
        ),
        ("refused", "拒绝连接：没有在运行，或端口不对", "refuses the connection: it does not run, or not on this port"),
        ("not known", "查不到地址", "cannot be looked up"),
        ("name resolution", "查不到地址：DNS 不可用", "cannot be looked up: there is no DNS"),
        ("No address", "查不到地址", "cannot be looked up"),
        ("CERTIFICATE_VERIFY", "的证书不受信任", "shows a certificate that is not trusted"),
        ("imed out", "没有按时应答", "did not answer in time"),
        ("Timeout", "没有按时应答", "did not answer in time"),
    ):
        if word in said:
            return Bilingual(f"{host} {zh}", f"{host} {en}")
    return Bilingual(f"{host}：{type(error).__name__}", f"{host}: {type(error).__name__}")
