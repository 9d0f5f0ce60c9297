"""The account's two shared credentials: the global access_token and the jsapi_ticket.

WeChat limits how many may be fetched in a day, and a new token of ``cgi-bin/token`` ends the earlier one. So all
processes share them, and one refreshes at a time: within a process by a shared task, among processes by a lock with a
fencing token, where the others wait and read what the holder stored. A value is renewed in the background before it
expires; while renewals fail, the old value is used as long as it is valid.

Sources: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html and
.../Get_access_token.html; jsapi_ticket: .../OA_Web_Apps/JS-SDK.html#62
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from wechat.account.client import BAD_TOKEN, QUOTA, AccountClient
from wechat.domain.errors import AccountRefused, OutcomeUnknown, RemoteError
from wechat.domain.metrics import Metric
from wechat.domain.ports import Runtime, Token, TokenStore
from wechat.domain.times import BEIJING
from wechat.support.single_flight import SingleFlight

EARLY_S = 300  # in its last five minutes WeChat gives a stable token's successor, and both work
JITTER_S = 60
LONGEST_LIFE_S = 7200  # the lifetime that WeChat gives to both
LOCK_S = 15.0  # longer than one refresh may take (transport budget 10 s)
POLL_S = 0.1
REST_S = 5.0  # after a failed refresh, before the next is tried
QUOTA_REST_S = 60.0
TAKEN, TAKEN_S = 3, 3600.0
"""If WeChat ends TAKEN tokens early within TAKEN_S seconds, another system fetches tokens, too."""
RENEW_EVERY_S = 600.0  # 144 a day at most: WeChat limits how often a ticket is fetched

ACCESS_TOKEN = "access_token"  # noqa: S105 - the name of a cache entry
JSAPI_TICKET = "jsapi_ticket"

log = structlog.get_logger("wechat.tokens")
T = TypeVar("T")


def fingerprint(value: str) -> str:
    """Return six characters that distinguish tokens in a log and reveal nothing else."""
    return hashlib.sha256(value.encode()).hexdigest()[-6:]


@dataclass(frozen=True, slots=True)
class Credentials:
    appid: str
    appsecret: str = field(repr=False)
    token_call: str = "stable"  # noqa: S105 - which call, not a token


class Tokens:
    """``access_token`` and ``jsapi_ticket`` of one account."""

    def __init__(self, client: AccountClient, credentials: Credentials, store: TokenStore, runtime: Runtime) -> None:
        self._client = client
        self._credentials = credentials
        self._store = store
        self._access = Shared(ACCESS_TOKEN, self._fetch_access_token, store, runtime)
        self._ticket = Shared(JSAPI_TICKET, self._fetch_ticket, store, runtime)

    async def access_token(self) -> str:
        """Return a valid token. Raises AccountRefused, NotSent, OutcomeUnknown."""
        return await self._access.value()

    async def jsapi_ticket(self) -> str:
        """Return a valid ticket. Raises as ``access_token``."""
        return await self._ticket.value()

    @property
    def taken(self) -> bool:
        """Whether another system repeatedly ends our access_token, by fetching one for the same AppID."""
        return self._access.rejected_lately() >= TAKEN

    async def renew_jsapi_ticket(self) -> bool:
        """Discard the current ticket, so that the next caller fetches another. Return whether it was done.

        A page requests it, and anybody can send such a request; so it is done once in ``RENEW_EVERY_S`` by all
        processes together. Raises as ``access_token``.
        """
        if not await self._store.remember(f"renewed:{JSAPI_TICKET}", "1", RENEW_EVERY_S):
            return False
        await self._ticket.reject(await self._ticket.value())
        return True

    async def call(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """Run ``ask`` with the access_token; if WeChat calls the token invalid, renew it and run ``ask`` again.

        The token is renewed only if it is still the current one: if a hundred callers fail together, one refreshes.
        """
        token = await self.access_token()
        try:
            return await self._ask_with(token, ask)
        except AccountRefused as error:
            if error.errcode not in BAD_TOKEN:
                raise
            return await self._ask_with(await self.access_token(), ask)

    async def close(self) -> None:
        await self._access.close()
        await self._ticket.close()

    async def _ask_with(self, token: str, ask: Callable[[str], Awaitable[T]]) -> T:
        """Run ``ask``. Discard a token that WeChat refuses, in the second attempt, too."""
        try:
            return await ask(token)
        except AccountRefused as error:
            if error.errcode in BAD_TOKEN:
                await self._access.reject(token)
            raise

    async def _fetch_access_token(self) -> dict[str, Any]:
        who = self._credentials
        if who.token_call == "classic":  # noqa: S105
            return await self._client.get(
                "/cgi-bin/token", grant_type="client_credential", appid=who.appid, secret=who.appsecret
            )
        return await self._client.post(
            "/cgi-bin/stable_token",
            {"grant_type": "client_credential", "appid": who.appid, "secret": who.appsecret},
        )

    async def _fetch_ticket(self) -> dict[str, Any]:
        return await self.call(
            lambda token: self._client.get("/cgi-bin/ticket/getticket", access_token=token, type="jsapi")
        )


_CREDENTIAL = re.compile(r"[!-~]{1,1024}", re.ASCII)  # WeChat demands room for 512 characters
_VALUE_FIELDS = {ACCESS_TOKEN: "access_token", JSAPI_TICKET: "ticket"}


class Shared:
    """A credential that many tasks and processes use and that one of them renews."""

    def __init__(
        self, name: str, fetch: Callable[[], Awaitable[dict[str, Any]]], store: TokenStore, runtime: Runtime
    ) -> None:
        self._name = name
        self._rest_key = f"rest:{name}"
        self._fetch = fetch
        self._store = store
        self._clock = runtime.clock
        self._telemetry = runtime.telemetry
        self._held: Token | None = None
        self._held_until_s = 0.0
        self._looks: SingleFlight[Token | None] = SingleFlight()
        self._rejections = 0  # part of the key of a read, because an earlier read may have seen the rejected value
        self._renewal: asyncio.Task[Token] | None = None
        self._failure: RemoteError | None = None
        self._quiet_until: datetime | None = None
        self._quiet_until_s = 0.0
        self._rejected_s: deque[float] = deque(maxlen=TAKEN)
        self._jitter = timedelta(seconds=runtime.random.uniform(0, JITTER_S))

    async def value(self) -> str:
        """Return the credential, from memory if possible. Near its end, a renewal starts in the background."""
        token = self._fresh() or await self._looks.do(str(self._rejections), self._current)
        token = token or self._fresh()  # a renewal may have ended while the store was read
        if token is None:
            return (await self._await_renewal()).value
        if self._near_end(token) and not self._resting():
            self._start_renewal()
        return token.value

    async def reject(self, value: str) -> None:
        """Discard ``value``, which WeChat refused, unless it has been replaced already."""
        await self._store.drop(self._name, value)
        self._rejections += 1
        self._rejected_s.append(self._clock.monotonic())
        if self._held and self._held.value == value:
            self._held = None
        log.warning("token_rejected", name=self._name, fingerprint=fingerprint(value))

    def rejected_lately(self) -> int:
        """Count the values that WeChat has refused within an hour, up to TAKEN."""
        now = self._clock.monotonic()
        return sum(now - at_s < TAKEN_S for at_s in self._rejected_s)

    async def close(self) -> None:
        if self._renewal and not self._renewal.done():
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    def _fresh(self) -> Token | None:
        """Return the value in memory; None without one, or near its end."""
        held = self._held
        return held if held and self._valid(held) and not self._near_end(held) else None

    async def _current(self) -> Token | None:
        """Return the stored token; or the one in memory, if that is newer or the only valid one."""
        held, rejections = self._held if self._held and self._valid(self._held) else None, self._rejections
        stored = await self._store.get(self._name)
        if rejections != self._rejections:
            return await self._current()  # what was read may be the value that was rejected meanwhile
        if stored and self._valid(stored) and (held is None or stored.fence >= held.fence):
            self._hold(stored)
            return stored
        return held

    async def _await_renewal(self) -> Token:
        if self._failure and self._resting():
            raise self._failure.with_traceback(None)  # or each raise would make its traceback longer
        return await asyncio.shield(self._start_renewal())

    def _start_renewal(self) -> asyncio.Task[Token]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name=f"renew {self._name}")
            self._renewal.add_done_callback(_retrieve)
        return self._renewal

    async def _renew(self) -> Token:
        """Refresh under the lock, or wait for the holder's result. Raises RemoteError."""
        before = self._held
        deadline = self._clock.monotonic() + LOCK_S
        while (fence := await self._store.lock(self._name, LOCK_S)) is None:
            fresh = await self._newer_than(before)
            if fresh:
                return fresh
            if self._clock.monotonic() > deadline:
                raise OutcomeUnknown(self._name, wire_message="another process holds the refresh")
            await asyncio.sleep(POLL_S)
        try:
            fresh = await self._newer_than(before)
            if fresh is None and await self._store.recall(self._rest_key):
                raise OutcomeUnknown(self._name, wire_message="another process has just failed to refresh")
            return fresh or await self._refresh(fence)
        finally:
            await self._store.unlock(self._name, fence)

    async def _newer_than(self, before: Token | None) -> Token | None:
        """Return the token that another process has stored meanwhile; None if there is none."""
        stored = await self._store.get(self._name)
        is_same = (
            before is not None and stored is not None and (stored.value, stored.fence) == (before.value, before.fence)
        )
        if stored and not is_same and self._valid(stored) and not self._near_end(stored):
            self._hold(stored)
            return stored
        return None

    async def _refresh(self, fence: int) -> Token:
        try:
            token = self._token(await self._fetch(), fence)
        except RemoteError as error:
            await self._rest(error)
            raise
        self._failure = None
        self._quiet_until = None
        self._telemetry.count(Metric.TOKEN_REFRESHES, self._name, "ok")
        log.info("token_refreshed", name=self._name, fingerprint=fingerprint(token.value))
        if await self._store.save(self._name, token):
            self._hold(token)
            return token
        return await self._newer_than(None) or token

    def _token(self, answer: dict[str, Any], fence: int) -> Token:
        value, seconds = answer.get(_VALUE_FIELDS[self._name]), answer.get("expires_in")
        if not (isinstance(value, str) and _CREDENTIAL.fullmatch(value)) or type(seconds) is not int or seconds <= 0:
            raise OutcomeUnknown(self._name, wire_message="answer without a usable credential")
        now = self._clock.now()
        return Token(value, now, now + timedelta(seconds=min(seconds, LONGEST_LIFE_S)), fence)

    async def _rest(self, error: RemoteError) -> None:
        """Pause the refreshes of this process; of the others, too, for a minute at most.

        The short pause of the others lets a fix in WeChat's console and a restart of one process take effect at once.
        """
        self._telemetry.count(Metric.TOKEN_REFRESHES, self._name, "failed")
        now = self._clock.now()
        errcode = error.errcode if isinstance(error, AccountRefused) else 0
        if errcode == 45009:
            midnight = now.astimezone(BEIJING).replace(hour=0, minute=0, second=0, microsecond=0)
            until = midnight + timedelta(days=1)
        else:
            until = now + timedelta(seconds=QUOTA_REST_S if errcode in QUOTA else REST_S)
        self._failure, self._quiet_until = error, until
        self._quiet_until_s = self._clock.monotonic() + (until - now).total_seconds()
        await self._store.overwrite(self._rest_key, "1", min((until - now).total_seconds(), QUOTA_REST_S))
        log.error("token_refresh_failed", name=self._name, error=str(error), quiet_until=until.isoformat())

    def _resting(self) -> bool:
        by_date = self._quiet_until is not None and self._clock.now() < self._quiet_until
        return by_date and self._clock.monotonic() < self._quiet_until_s

    def _hold(self, token: Token) -> None:
        """Keep ``token`` in memory."""
        self._held = token
        self._held_until_s = self._clock.monotonic() + (token.expires_at - self._clock.now()).total_seconds()

    def _left_s(self, token: Token) -> float:
        """Return the seconds until ``token`` ends. The one in memory ends by the monotonic clock, too: the machine's
        clock may be set back meanwhile, and a page with an expired ticket fails without a word to this service."""
        left_s = (token.expires_at - self._clock.now()).total_seconds()
        return min(left_s, self._held_until_s - self._clock.monotonic()) if token is self._held else left_s

    def _valid(self, token: Token) -> bool:
        return self._left_s(token) > 0

    def _near_end(self, token: Token) -> bool:
        """Whether the token is in its last five minutes, less a jitter; for a short-lived token, in its last fifth."""
        life = token.expires_at - token.issued_at
        early = min(timedelta(seconds=EARLY_S) - self._jitter, life / 5)
        return self._left_s(token) <= early.total_seconds()


def _retrieve(task: asyncio.Task[Token]) -> None:
    """Retrieve the exception of a failed renewal, which is logged already, so that asyncio does not log it again."""
    if not task.cancelled():
        task.exception()
