"""The Official Account's part of a process: the real tokens and JS-SDK signatures over a transport and a Redis that
fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from proof.faults import Fault, Faults
from proof.runtime.ports import ProcessState
from proof.runtime.trace import Trace
from proof.service.redis import RedisClient, RedisServer
from proof.wechat.official_account import OfficialAccount, Trouble
from service.compose import Account, build_account
from storage.redis.token_cache import TokenCache
from wechat.account.tokens import Credentials
from wechat.domain.errors import NotSent, OutcomeUnknown
from wechat.domain.ports import Clock, Runtime
from wechat.support.transport import Answer, Request, Transport

APPID, SECRET = "wxproof", "s" * 32
ORIGIN = "https://pay.example.com"
PAGE = f"{ORIGIN}/shop?from=menu"
STABLE, CLASSIC = "stable", "classic"
TOKEN_CALLS = (STABLE, STABLE, CLASSIC)
"""Two of three seeds fetch the stable token, the default of the settings."""
SLOW_S = 4.0
NO_ANSWER_S = 10.0
STEP_S = 900.0
"""The average time between two occasions for a fault of the account or of Redis."""
MOST_OCCASIONS = 400
"""The number of occasions that are drawn in advance."""
TOLD_GRACE = timedelta(minutes=1)
"""How long a process may use a token after WeChat refused it: calls under way end."""


@dataclass(slots=True)
class Grounds:
    """The times of events that justify more token calls than one in two hours."""

    revoked: list[datetime] = field(default_factory=list)
    lost: list[datetime] = field(default_factory=list)
    redis: list[datetime] = field(default_factory=list)
    processes: list[datetime] = field(default_factory=list)
    """Times at which processes died or had their clock leap."""


class World:
    """The parts that all processes share: WeChat's side of the account, and Redis.

    ``report`` is called with each violation; ``stream`` decides the faults of the account and of Redis.
    """

    def __init__(
        self, faults: Faults, clock: Clock, stream: random.Random, trace: Trace, report: Callable[[str], None]
    ) -> None:
        self.account = OfficialAccount(APPID, SECRET)
        self.redis = RedisServer(asyncio.get_running_loop().time)
        self.grounds = Grounds()
        self.token_call = stream.choice(TOKEN_CALLS)
        self.faults = faults
        self.clock = clock
        self.trace = trace
        self.report = report
        self._stream = stream
        self._down_until: datetime | None = None
        self._troubles: dict[Fault, Callable[[], None]] = {
            Fault.TOKEN_REVOKED: self._revoke_token,
            Fault.TOKENS_DOWN: self._take_api_down,
            Fault.TOKENS_REFUSED: self._refuse_tokens,
            Fault.REDIS_EMPTY: self._empty_redis,
            Fault.REDIS_GONE: self._take_redis_down,
        }

    def is_down(self) -> bool:
        """Whether the account's API gives no answer now."""
        return self._down_until is not None and self.clock.now() < self._down_until

    def note_redis_trouble(self) -> None:
        """Record a failure of Redis, after which processes may not have seen each other's writes."""
        self.grounds.redis.append(self.clock.now())

    def note_process(self) -> None:
        """Record that a process dies, perhaps with a token that it has not stored, or that its clock leaps."""
        self.grounds.processes.append(self.clock.now())

    def redis_failed_since(self, moment: datetime) -> bool:
        return bool(self.grounds.redis) and self.grounds.redis[-1] >= moment

    async def inject_faults(self) -> None:
        """Cause faults of the account and of Redis, without end."""
        while True:
            pause_s, coming = self._next_troubles()
            await asyncio.sleep(pause_s)
            for fault in coming:
                self.faults.occurrences.note("", fault)
                self._troubles[fault]()

    def _next_troubles(self) -> tuple[float, list[Fault]]:
        """Return the seconds until the next occasion with a fault, and the faults. Other occasions take no time to
        simulate."""
        for occasion in range(MOST_OCCASIONS):
            coming = [fault for fault in self._troubles if self.faults.comes(fault)]
            if coming:
                return STEP_S * (occasion + self._stream.uniform(0.1, 1.9)), coming
        return MOST_OCCASIONS * STEP_S, []

    def _revoke_token(self) -> None:
        now = self.clock.now()
        self.grounds.revoked.append(now)
        self.account.revoke(now, at_once=self.token_call == STABLE)

    def _take_api_down(self) -> None:
        self._down_until = self.clock.now() + timedelta(seconds=self._stream.choice([60, 900, 3 * 3600]))

    def _refuse_tokens(self) -> None:
        trouble = self._stream.choice(list(Trouble))
        self.trace.add("WeChat", "account", f"{trouble}")
        self.account.trouble = trouble
        asyncio.get_running_loop().call_later(self._stream.choice([60, 1800]), self._end_trouble)

    def _empty_redis(self) -> None:
        self.note_redis_trouble()
        self.redis.empty()

    def _take_redis_down(self) -> None:
        if not self.redis.gone:
            self.redis.gone = True
            asyncio.get_running_loop().call_later(self._stream.choice([1, 60, 3 * 3600]), self._bring_redis_back)

    def end_faults(self) -> None:
        """End the faults of the account and of Redis."""
        self._down_until = None
        self.account.trouble = None
        self._bring_redis_back()

    def _end_trouble(self) -> None:
        self.account.trouble = None

    def _bring_redis_back(self) -> None:
        if self.redis.gone:
            self.trace.add("Redis", "comes back")
            self.redis.gone = False


class AccountWire:
    """``Transport`` of one process to the Official Account's API. ``deaths`` decide where the process dies."""

    def __init__(self, world: World, state: ProcessState, faults: Faults, deaths: Faults) -> None:
        self._world = world
        self._state = state
        self._faults = faults
        self._deaths = deaths
        self._told_at: dict[str, datetime] = {}

    async def send(self, hosts: Sequence[str], request: Request) -> Answer:
        world, faults = self._world, self._faults
        await self._state.block_if_dead()
        token = _token_in(request)
        self._check_told(token)
        await asyncio.sleep(SLOW_S if faults.happens(Fault.TOKENS_SLOW) else 0.05)
        await self._state.reach_await(self._deaths)
        if world.is_down():
            raise NotSent(request.call)
        answer = world.account.answer(request, world.clock.now())
        self._state.trace.add(self._state.name, "account", f"{request.call} {answer.body[:24]!r}")
        await self._state.reach_await(self._deaths)
        if faults.happens(Fault.TOKENS_LOST):
            world.grounds.lost.append(world.clock.now())
            await asyncio.sleep(NO_ANSWER_S)
            await self._state.block_if_dead()
            raise OutcomeUnknown(request.call)
        if token and b'"errcode": 40001' in answer.body:
            self._told_at.setdefault(token, world.clock.now())
        return answer

    def _check_told(self, token: str) -> None:
        """Check that a token that WeChat has refused is not used again, unless Redis failed and brought it back."""
        told_at = self._told_at.get(token)
        if told_at is None or self._world.redis_failed_since(told_at - TOLD_GRACE):
            return
        now = self._world.clock.now()
        if now - told_at > TOLD_GRACE:
            self._world.report(f"{self._state.name} uses {token}, which was refused at {told_at:%H:%M:%S}")


def build_official_account(world: World, state: ProcessState, runtime: Runtime, number: int) -> Account:
    """Build the account's part of the process with this ``number``, as ``compose`` does."""
    faults = world.faults.of(state.name, f"process {number}, account")
    own = world.faults.of(state.name, f"process {number}, Redis")
    deaths = world.faults.of(state.name, f"process {number}, deaths about the account")
    client = RedisClient(world.redis, state, own, deaths, world.note_redis_trouble)
    token_store = TokenCache("redis://in-memory", runtime.clock, f"proof:{APPID}:", client)
    transport = cast(Transport, AccountWire(world, state, faults, deaths))
    credentials = Credentials(APPID, SECRET, world.token_call)
    return build_account(transport, "https://account", credentials, (ORIGIN,), token_store, runtime)


def _token_in(request: Request) -> str:
    """Return the access_token of ``request``; empty without one."""
    return request.target.partition("access_token=")[2].partition("&")[0]
