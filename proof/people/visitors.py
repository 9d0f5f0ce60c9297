"""Users of the account's tokens: pages that need a JS-SDK signature, and calls with a token."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from proof.checks.key_watch import takes_strange_keys
from proof.service.cluster import Cluster, NoAnswer
from proof.service.official_account import PAGE, World
from proof.service.process import ServiceProcess
from wechat.account.jssdk import JsConfig
from wechat.domain.errors import FenpayError

PAUSE_S = (60.0, 5400.0)
CROWD = 8
RENEWAL_S = 60.0
OPENID = "o-visitor"
TICKET_GRACE = timedelta(minutes=5)
"""How long an expired ticket may still sign: clocks are up to four minutes apart, and an answer takes seconds."""
HOUR = timedelta(hours=1)
LIFE = timedelta(hours=2)
CLEAN_HOUR = 2
"""The maximum of token calls in an hour without faults: a token is valid for two hours, and near its end WeChat may
return the same one again."""
REST = timedelta(seconds=4)
"""The shortest time between two calls that WeChat refuses, over all processes; the service promises five seconds by its
own clocks."""


class Visitors:
    """Make requests without end; ``world.report`` is called with each violation."""

    def __init__(self, world: World, cluster: Cluster, stream: random.Random) -> None:
        self._world = world
        self._cluster = cluster
        self._stream = stream

    async def visit(self) -> None:
        """Make one request, or many at once."""
        while True:
            count = self._stream.choice([1, 1, CROWD])
            ask = self._stream.choice([self._open_page, self._call])
            await asyncio.gather(*[ask() for _ in range(count)])
            await asyncio.sleep(self._stream.uniform(*PAUSE_S))

    async def check_end(self) -> list[str]:
        """Return what does not work although no fault happens any more, and violations of the limits of token calls."""
        for process in self._cluster.processes:
            if takes_strange_keys(process.ring):
                return [f"{process.state.name} has a key that is not WeChat's"]
            try:
                await _call_with_token(process)
                self._check_page(await process.account.jssdk.config(PAGE), timedelta(0))
            except FenpayError as error:
                return [f"{process.state.name} has no token or no ticket: {error!r}"]
        await asyncio.sleep(RENEWAL_S)  # until a renewal in the background has ended
        if locks := self._world.redis.locks():
            return [f"locks are left: {', '.join(locks)}"]
        return [*refreshes_are_few(self._world, len(self._cluster.processes))]

    async def _open_page(self) -> None:
        try:
            self._check_page(await self._cluster.call(lambda process: process.account.jssdk.config(PAGE)), TICKET_GRACE)
        except (FenpayError, NoAnswer):
            return

    async def _call(self) -> None:
        try:
            await self._cluster.call(_call_with_token)
        except (FenpayError, NoAnswer):
            return

    def _check_page(self, config: JsConfig, grace: timedelta) -> None:
        """Check that the page is signed with a valid ticket of WeChat's."""
        text = f"jsapi_ticket={{}}&noncestr={config.nonce_str}&timestamp={config.timestamp}&url={PAGE}"
        ticket = self._world.account.ticket_of(config.signature, text)
        now = self._world.clock.now()
        if ticket is None:
            self._world.report("a page was signed with a ticket that WeChat never gave")
        elif now >= ticket.ends_at + grace:
            self._world.report(f"a page was signed with a ticket that ended {now - ticket.ends_at} ago")


async def _call_with_token(process: ServiceProcess) -> object:
    """Make a call with a token, as the service's other calls do."""
    account = process.account
    return await account.tokens.call(
        lambda token: account.client.get("/cgi-bin/user/info", access_token=token, openid=OPENID)
    )


def refreshes_are_few(world: World, processes: int) -> Iterator[str]:
    """Check that few calls fetch a token and few are refused: the lock, and the pause after a failure, apply to all
    processes."""
    issued, grounds = world.account.issued, world.grounds
    for at in issued:
        count = _count(issued, at - HOUR, at)
        single = (*grounds.revoked, *grounds.lost, *grounds.processes)
        since = at - HOUR - LIFE
        allowed = CLEAN_HOUR + sum(since <= ground <= at for ground in single)
        if any(since <= ground <= at for ground in grounds.redis):
            allowed += 4 * processes
        if count > allowed:
            yield f"{count} tokens were fetched in the hour before {at:%d. %H:%M:%S}, {allowed} are allowed"
            return
    for before, after in pairwise(world.account.refused):
        if after - before < REST and not world.redis_failed_since(before - HOUR):
            yield f"a call of {after:%d. %H:%M:%S} was refused, and one {after - before} before it"
            return


def _count(moments: list[datetime], start: datetime, end: datetime) -> int:
    return bisect_left(moments, end) - bisect_left(moments, start) + 1
