"""Add, rotate and revoke API keys, and look them up by their secret with each request.

Each process caches the result of a look-up, even a negative one, for a few seconds. So a revoked key stops working
everywhere within that time, and repeating a wrong key does not read the database each time.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from wechat.domain.api_keys import (
    USED_EVERY,
    ApiKey,
    KeySecret,
    check_key_name,
    check_overlap,
    check_scopes,
    revoke,
    rotate,
    touch_key,
)
from wechat.domain.errors import Bilingual, Conflict, NotFound, StoreUnavailable, TooMany
from wechat.domain.ports import ApiKeyStore, Runtime
from wechat.support.rate_limit import RateLimit
from wechat.support.single_flight import SingleFlight
from wechat.support.tasks import end
from wechat.support.update import Updater

PREFIX = "fenpay_"
"""The beginning of every secret made here, by which secret scanners recognise one."""
SECRET_BYTES = 32
SECRET = re.compile(rf"{PREFIX}[0-9a-f]{{{2 * SECRET_BYTES}}}", re.ASCII)
REMEMBERED_S = 3.0
MOST_REMEMBERED = 2000
GUESSES, GUESSES_PER_S, MOST_ADDRESSES = 20, 1.0, 10_000
"""Limits for look-ups of unknown secrets from one address, at once and a second."""
LOOKUPS, LOOKUPS_PER_S = 200, 100.0
"""The same limits for all addresses together. A recently found secret does not count."""
EVERYBODY = "everybody"

log = structlog.get_logger("wechat.keys")


class _Found(NamedTuple):
    """The result of a look-up (None for nothing), and until when it is valid (monotonic seconds)."""

    key: ApiKey | None
    until_s: float


class ApiKeys:
    """API keys in the store that all processes share. ``configured``: names of keys in the settings."""

    def __init__(self, store: ApiKeyStore, configured: Collection[str], runtime: Runtime) -> None:
        self._store = store
        self._configured = frozenset(configured)
        self._clock = runtime.clock
        self._random = runtime.random
        self._updater = Updater(store, lambda key: key.name, runtime.random, remembered=0)
        self._found: OrderedDict[str, _Found] = OrderedDict()
        self._lookups: SingleFlight[ApiKey | None] = SingleFlight()
        self._guesses = RateLimit(runtime.clock, GUESSES, GUESSES_PER_S, MOST_ADDRESSES)
        self._all_guesses = RateLimit(runtime.clock, LOOKUPS, LOOKUPS_PER_S)
        self._seen: dict[str, datetime] = {}
        self._writes: set[asyncio.Task[None]] = set()

    async def all(self) -> Sequence[ApiKey]:
        """Return all keys, by name, revoked ones, too."""
        return await self._store.all()

    async def add(self, name: str, scopes: Collection[str], by: str) -> tuple[ApiKey, str]:
        """Create a key; return it and its secret, which is not stored. Raises BadRequest, Conflict for a taken name."""
        now, secret = self._clock.now(), self._new_secret()
        key = ApiKey(check_key_name(name), check_scopes(scopes), (KeySecret(digest_of(secret), now),), now, by)
        if name in self._configured or not await self._updater.insert(key):
            text = Bilingual(
                f"API Key 名称 {name} 已使用（已吊销的也保留名称），请换一个",
                f"The name {name} is taken (a revoked key keeps its name); choose another",
            )
            raise Conflict(text, code="KEY_EXISTS", field="name")
        return key, secret

    async def rotate(self, name: str, overlap_hours: int) -> tuple[ApiKey, str]:
        """Give the key a new secret; return the key and that secret. The old secret works for ``overlap_hours``.

        Raises BadRequest, NotFound, Conflict.
        """
        now, secret, overlap = self._clock.now(), self._new_secret(), check_overlap(overlap_hours)
        return await self._update(name, lambda key: rotate(key, digest_of(secret), overlap, now)), secret

    async def revoke(self, name: str) -> ApiKey:
        """Revoke the key; every process refuses it within ``REMEMBERED_S``. Raises NotFound."""
        now = self._clock.now()
        return await self._update(name, lambda key: revoke(key, now))

    async def find(self, secret: str, address: str) -> ApiKey | None:
        """Return the active key with ``secret``; None without one. Raises TooMany, StoreUnavailable."""
        if not SECRET.fullmatch(secret):
            return None
        digest, now = digest_of(secret), self._clock.now()
        key = await self._look_up(digest, address)
        if key is None or not key.accepts(digest, now):
            return None
        self._note_use(key, now)
        return key

    async def close(self) -> None:
        """Cancel unfinished writes of last uses."""
        if self._writes:
            await end(*self._writes)

    async def _look_up(self, digest: str, address: str) -> ApiKey | None:
        found = self._found.get(digest)
        if found is not None and self._clock.monotonic() < found.until_s:
            return found.key
        is_known = found is not None and found.key is not None
        return await self._lookups.do(digest, lambda: self._read(digest, "" if is_known else address))

    async def _read(self, digest: str, guesser: str) -> ApiKey | None:
        """Read the key from the store. ``guesser`` is the address whose limit applies; empty for a known secret."""
        if guesser:
            self._count_guess(guesser)
        key = await self._store.of_digest(digest)
        if key is not None and guesser:
            self._guesses.give_back(guesser)
            self._all_guesses.give_back(EVERYBODY)
        self._remember(digest, key)
        return key

    def _count_guess(self, address: str) -> None:
        """Count a guess of ``address``. Raises TooMany."""
        if not self._guesses.take(address) or not self._all_guesses.take(EVERYBODY):
            raise TooMany

    def _remember(self, digest: str, key: ApiKey | None) -> None:
        self._found.pop(digest, None)
        self._found[digest] = _Found(key, self._clock.monotonic() + REMEMBERED_S)
        if len(self._found) > MOST_REMEMBERED:
            self._found.popitem(last=False)

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        """Store the last use in the background, if the stored one is old."""
        seen = [each for each in (key.used_at, self._seen.get(key.name)) if each]
        if seen and now - max(seen) < USED_EVERY:
            return
        self._seen[key.name] = now
        task = asyncio.create_task(self._write_use(key.name, now), name="key_use")
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write_use(self, name: str, now: datetime) -> None:
        try:
            await self._updater.update(name, lambda key: touch_key(key, now))
        except StoreUnavailable as error:
            log.warning("key_use_not_written", name=name, error=str(error))

    async def _update(self, name: str, transition: Callable[[ApiKey], ApiKey]) -> ApiKey:
        change = await self._updater.update(name, transition)
        if change is None:
            text = Bilingual(
                "没有这个 API Key；配置文件中的 API Key 请在配置文件里修改",
                "There is no such key; one from the settings file is changed there",
            )
            raise NotFound(text, code="KEY_NOT_FOUND")
        self._found = OrderedDict((digest, found) for digest, found in self._found.items() if _is_other(found, name))
        return change.after

    def _new_secret(self) -> str:
        return PREFIX + self._random.token(SECRET_BYTES)


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _is_other(found: _Found, name: str) -> bool:
    return found.key is None or found.key.name != name
