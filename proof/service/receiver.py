"""The merchant's system that receives events: it is down at times, and its answers get lost."""

from __future__ import annotations

import asyncio

from proof.faults import Fault, Faults
from proof.runtime.chance import Chance
from proof.runtime.ports import ProcessState
from proof.runtime.trace import Trace
from wechat.domain.deliveries import Event, Outcome
from wechat.events.targets import Target

DOWN_S = (60.0, 30 * 3600.0)
"""Shorter than the retry schedule of deliveries."""
AWAY_S = (24 * 3600.0, 60 * 3600.0)
"""As ``DOWN_S``, for a receiver that is down for days."""


class Receiver:
    """``Target`` for all events. It identifies an event by its id, as receivers must."""

    name, stream = "shop", "receiver"

    def __init__(self, faults: Faults, chance: Chance, trace: Trace) -> None:
        self._faults = faults
        self._stream = chance.stream(self.stream)
        self._trace = trace
        self._down_until = 0.0
        self._seen: dict[str, Event] = {}

    def wants(self, event_type: str) -> bool:
        return True

    async def deliver(self, event: Event) -> Outcome:
        await asyncio.sleep(0.05)
        now = asyncio.get_running_loop().time()
        faults = self._faults.of(event.out_trade_no, f"deliveries of {event.out_trade_no}")
        if now >= self._down_until and faults.comes(Fault.RECEIVER_DOWN):
            self._down_until = now + self._stream.uniform(*DOWN_S)
        if now < self._down_until and faults.has(Fault.RECEIVER_DOWN):
            faults.occurrences.note(event.out_trade_no, Fault.RECEIVER_DOWN)
            return Outcome(False, "http_503")
        self._take(event)
        if faults.happens(Fault.RECEIVER_AFTER):
            return Outcome(False, "timeout")
        return Outcome(True, "http_200")

    def _take(self, event: Event) -> None:
        if event.id not in self._seen:
            self._seen[event.id] = event
            self._trace.add(self.name, "takes", event.type, event.out_trade_no)

    def arrivals(self, out_trade_no: str) -> list[Event]:
        """Return an order's events, in the order of their first arrival."""
        return [event for event in self._seen.values() if event.out_trade_no == out_trade_no]


class DistantReceiver(Receiver):
    """A second receiver, which is down once, for days."""

    name, stream = "warehouse", "distant receiver"

    async def deliver(self, event: Event) -> Outcome:
        await asyncio.sleep(0.05)
        now = asyncio.get_running_loop().time()
        faults = self._faults.of(event.out_trade_no, f"deliveries of {event.out_trade_no} to {self.name}")
        if not self._down_until and faults.happens(Fault.RECEIVER_AWAY):
            self._down_until = now + self._stream.uniform(*AWAY_S)
        if now < self._down_until and faults.has(Fault.RECEIVER_AWAY):
            return Outcome(False, "connect_failed")
        self._take(event)
        return Outcome(True, "http_200")


class ReachedTarget:
    """A receiver as one process reaches it. The process may die before it sends an event, or while it waits for the
    answer."""

    def __init__(self, target: Target, state: ProcessState, faults: Faults) -> None:
        self.name = target.name
        self.wants = target.wants
        self._target = target
        self._state = state
        self._faults = faults

    async def deliver(self, event: Event) -> Outcome:
        await self._state.reach_await(self._faults)
        outcome = await self._target.deliver(event)
        await self._state.reach_await(self._faults)
        return outcome
