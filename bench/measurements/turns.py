"""Measure orders and their notifications at several servers that take turns in one run.

Only the ratio between servers is meaningful on a shared machine. Orders are notified as soon as they are placed: the
service queries WeChat for an order that stays unpaid for half a minute, which the peers do not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import work
from bench.processes.stack import Stack, Target
from bench.work import Requests
from scripts.steps import Failed

TURNS = 4
TURN_ORDERS = 500  # at most
TURN_S = 20.0  # of orders or notifications; a slow server gets fewer of them
WARM_ORDERS = 64  # before anything is measured: connections, caches, threads
EVENTS_S = 2.5  # after notifications: the service looks for new events every 2 s

Orders = Sequence[dict[str, Any]]


@dataclass(slots=True)
class Totals:
    """The results of one kind of request over all turns.

    ``cpu_s`` counts until the server was idle again; ``after_s`` of it were spent after the last answer.
    """

    count: int = 0
    failed: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    after_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Successful answers per second."""
        return (self.count - self.failed) / self.seconds if self.seconds else 0.0

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per request."""
        return 1000 * self.cpu_s / self.count

    @property
    def after_ms(self) -> float:
        """CPU milliseconds per request after the last answer."""
        return 1000 * self.after_s / self.count


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load; ``notify`` makes the notifications of orders placed at it."""

    target: Target
    api: str
    notify: Callable[[Orders], Requests]
    orders: Totals = field(default_factory=Totals)
    notifications: Totals = field(default_factory=Totals)


def take_turns(stack: Stack, servers: Sequence[Server], count: int) -> None:
    """Place and notify ``count`` orders at each server, in turns; every second turn runs in reverse order. Raises
    Failed."""
    for server in servers:
        _warm_up(stack, server)
    turns = max(TURNS, -(-count // TURN_ORDERS))
    for turn in range(turns):
        size = count * (turn + 1) // turns - count * turn // turns
        for server in servers if turn % 2 == 0 else servers[::-1]:
            requests = server.notify(_place_orders(stack, server, size, server.orders))
            _drive(stack, server.target, requests, server.notifications, EVENTS_S)


def _warm_up(stack: Stack, server: Server) -> None:
    """Place and notify a few orders, and check that a forged notification is refused. Raises Failed."""
    requests = server.notify(_place_orders(stack, server, WARM_ORDERS, Totals()))
    if not requests:
        return
    body = requests[0]["body"].replace("OTHERS", "OTHERZ") + " "  # v2 signs the field, v3 every byte
    if stack.drive(server.target, [requests[0] | {"body": body}]).failed != 1:
        raise Failed(f"{server.target.process.name} took a forged notification")
    _drive(stack, server.target, requests, Totals(), EVENTS_S)


def _place_orders(stack: Stack, server: Server, count: int, totals: Totals) -> Orders:
    """Place ``count`` orders; return those that were accepted."""
    answers = _drive(stack, server.target, work.orders(stack.api_key, server.api, count), totals)
    payer = {"openid": stack.keys["users"][0]["openid"]}
    return [json.loads(answer) | payer for answer in answers]


def _drive(stack: Stack, target: Target, requests: Requests, totals: Totals, after_s: float = 0.0) -> Sequence[str]:
    """Send ``requests``, add the figures to ``totals`` and return the bodies of the answers."""
    target.rest()
    before = target.cpu_s()
    seen = stack.drive(target, requests, keep_answers=True, seconds=TURN_S)
    answered = target.cpu_s()
    target.rest(after_s)
    totals.count += seen.count
    totals.failed += seen.failed
    totals.seconds += seen.seconds
    totals.cpu_s += target.cpu_s() - before
    totals.after_s += target.cpu_s() - answered
    return seen.answers
