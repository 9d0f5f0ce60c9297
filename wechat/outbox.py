"""From the outbox to whoever wants to know: plugins and webhooks, each event at least once, an order's events in order.

Two steps, each repeatable. The relay turns what a move has staged into one delivery per target; a courier per target
takes due deliveries one by one. Both work under leases that are part of the taking, so any number of processes may do
the same, and what a killed one held comes back. Targets share nothing: one that is down delays nobody else.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn, Protocol

import structlog
from prometheus_client import Counter, Gauge

from wechat.domain.errors import Conflict, FenpayError, NotFound, Text
from wechat.ending import end
from wechat.events import Attempt, Delivery, DeliveryState, Event, Outcome
from wechat.ledger import alarm
from wechat.ports import Clock, DeliveryStore, OutboxStore

LEASE = timedelta(seconds=60)
HANDLER_S = 30.0  # what a plugin's handler may take; well under the lease
AT_ONCE = 8  # deliveries under way for one target in one process
IDLE_S = 2.0
SOON = timedelta(seconds=1)
GAUGE_S = 15.0
DELAYS_S = (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Seconds between tries: the schedule that Standard Webhooks proposes, three days in all."""
SPREAD = 0.2

Handler = Callable[[Event], Awaitable[None]]

log = structlog.get_logger("wechat.outbox")
DELIVERIES = Counter("fenpay_event_deliveries_total", "Tries to deliver an event", ["target", "result"])
PENDING = Gauge("fenpay_outbox_pending", "Events not delivered yet; target relay: not handed out yet", ["target"])
OLDEST = Gauge("fenpay_outbox_oldest_due_seconds", "By how long the oldest is overdue", ["target"])


class Target(Protocol):
    """Somebody who is told. ``name`` is part of a delivery's identity and stays the same over restarts."""

    @property
    def name(self) -> str: ...

    def wants(self, event_type: str) -> bool: ...

    async def deliver(self, event: Event) -> Outcome:
        """Tell ``event``, within half a minute and without raising."""


class Subscriber:
    """A plugin's handlers as a target. A handler that raises is called again later."""

    def __init__(self, plugin: str, handlers: Mapping[str, Handler], limit_s: float = HANDLER_S) -> None:
        self.name = f"plugin:{plugin}"
        self._handlers = handlers
        self._limit_s = limit_s

    def wants(self, event_type: str) -> bool:
        return event_type in self._handlers

    async def deliver(self, event: Event) -> Outcome:
        """See Target. Everything a plugin may raise means "again later", also that a task of its own was cancelled."""
        try:
            async with asyncio.timeout(self._limit_s):
                await self._handlers[event.type](event)
        except TimeoutError:
            return Outcome(False, "timeout")
        except asyncio.CancelledError:
            if _being_cancelled():
                raise
            return Outcome(False, "raised")
        except Exception:
            log.exception("handler_failed", target=self.name, out_trade_no=event.out_trade_no)
            return Outcome(False, "raised")
        return Outcome(True, "handled")


class Loops:
    """Background tasks that do the same thing over and over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: list[asyncio.Task[NoReturn]] = []

    def run(self, name: str, once: Callable[[], Awaitable[bool]]) -> None:
        """Repeat ``once`` until closed, with a rest whenever there was nothing to do."""
        self._tasks.append(asyncio.create_task(self._forever(once), name=name))

    async def close(self) -> None:
        await end(*self._tasks)

    async def _forever(self, once: Callable[[], Awaitable[bool]]) -> NoReturn:
        while True:
            seen, busy = self._clock.moves, False
            try:
                busy = await once()
            except FenpayError as error:
                log.warning("outbox_waits", error=str(error))
            except Exception:  # whatever it is, the other events still have to go out
                log.exception("outbox_crashed")
            if not busy:
                await self._clock.rest(IDLE_S, seen)


class Relay:
    """Hands staged events out: one delivery for each target that wants one, and a word to this process' couriers.

    ``outboxes`` come as their events do: while an order has some in one, nothing of it leaves those after it.
    """

    def __init__(
        self,
        outboxes: Sequence[OutboxStore],
        deliveries: DeliveryStore,
        targets: Sequence[Target],
        clock: Clock,
        couriers: Sequence[Courier] = (),
    ) -> None:
        self._outboxes = outboxes
        self._deliveries = deliveries
        self._targets = targets
        self._clock = clock
        self._couriers = couriers
        self._gauge_at = 0.0
        self._loops = Loops(clock)

    def start(self) -> None:
        for place in range(len(self._outboxes)):
            self._loops.run("outbox relay", partial(self._step, place))

    async def close(self) -> None:
        await self._loops.close()

    async def once(self) -> bool:
        """Hand out what one document of each outbox has staged; whether there was any. Raises StoreUnavailable."""
        return any([await self._hand_out(place) for place in range(len(self._outboxes))])

    async def _hand_out(self, place: int) -> bool:
        now, outbox = self._clock.now(), self._outboxes[place]
        staged = await outbox.claim(now, LEASE)
        if staged is None:
            return False
        for earlier in self._outboxes[:place]:
            if await earlier.holds(staged.subject.out_trade_no):
                await outbox.put_off(staged, now + SOON)
                return True
        for event, turn in staged.events():
            for target in self._targets:
                if target.wants(event.type):
                    await self._deliveries.add(Delivery(event, target.name, turn, now))
        for courier in self._couriers:
            courier.wake()
        await outbox.finish(staged)
        return True

    async def _step(self, place: int) -> bool:
        await self._gauge()
        return await self._hand_out(place)

    async def _gauge(self) -> None:
        """Renew the metrics, now and then."""
        if self._clock.monotonic() < self._gauge_at:
            return
        self._gauge_at = self._clock.monotonic() + GAUGE_S
        now = self._clock.now()
        staged = [await outbox.backlog(now) for outbox in self._outboxes]
        _measure("relay", sum(count for count, _ in staged), max((age_s for _, age_s in staged), default=0.0))
        for target in self._targets:
            _measure(target.name, *await self._deliveries.backlog(target.name, now))


class Courier:
    """Delivers to one target. ``spread`` is what a pause is multiplied by, so that retries do not come in waves.

    While there is work, each of its loops takes some. When there is none, one of them watches and the others queue
    behind it, so that an idle courier asks the store once in a while and not eight times.
    """

    def __init__(
        self, target: Target, deliveries: DeliveryStore, clock: Clock, spread: Callable[[], float] | None = None
    ) -> None:
        self._target = target
        self._deliveries = deliveries
        self._clock = clock
        self._spread = spread or _spread
        self._watching = asyncio.Lock()
        self._news = asyncio.Event()
        self._loops = Loops(clock)

    def start(self) -> None:
        for _ in range(AT_ONCE):
            self._loops.run(f"courier {self._target.name}", self._step)

    def wake(self) -> None:
        """There may be something due."""
        self._news.set()

    async def close(self) -> None:
        await self._loops.close()

    async def once(self) -> bool:
        """Try one due delivery; whether there was one. Raises StoreUnavailable."""
        delivery = await self._claim()
        if delivery is None:
            return False
        await self._try(delivery)
        return True

    async def _step(self) -> bool:
        if not await self.once():
            await self._try(await self._watch())
        return True

    async def _watch(self) -> Delivery:
        """The next delivery that comes due."""
        async with self._watching:
            while True:
                self._news.clear()
                seen = self._clock.moves
                if delivery := await self._claim():
                    return delivery
                await _first(self._clock.rest(IDLE_S, seen), self._news.wait())

    async def _claim(self) -> Delivery | None:
        return await self._deliveries.claim(self._target.name, self._clock.now(), LEASE)

    async def _try(self, delivery: Delivery) -> None:
        at, started = self._clock.now(), self._clock.monotonic()
        outcome = await self._told(delivery.event)
        attempt = Attempt(at, outcome.result, self._clock.monotonic() - started)
        DELIVERIES.labels(self._target.name, await self._conclude(delivery, outcome, attempt)).inc()

    async def _told(self, event: Event) -> Outcome:
        """What came of it. A target that raises against its word is tried again as any other, and dead in the end."""
        try:
            return await self._target.deliver(event)
        except Exception:
            log.exception("target_crashed", target=self._target.name, out_trade_no=event.out_trade_no)
            return Outcome(False, "raised")

    async def _conclude(self, delivery: Delivery, outcome: Outcome, attempt: Attempt) -> str:
        """Write down what came of a try; in a word."""
        if outcome.ok:
            await self._deliveries.settle(delivery, DeliveryState.DELIVERED, attempt)
            return "delivered"
        if delivery.tries < len(DELAYS_S):
            pause = timedelta(seconds=DELAYS_S[delivery.tries] * self._spread())
            await self._deliveries.retry(delivery, attempt, self._clock.now() + pause)
            return "failed"
        if await self._deliveries.settle(delivery, DeliveryState.DEAD, attempt):
            alarm("event_undelivered", delivery.event.out_trade_no)
        return "dead"


class Resending:
    """Sending an event again by hand."""

    def __init__(self, deliveries: DeliveryStore, clock: Clock) -> None:
        self._deliveries = deliveries
        self._clock = clock

    async def resend(self, event_id: str, target: str = "") -> list[Delivery]:
        """Send the event again to ``target``, or without one to every target that has not got it: those that were
        given up on, and those whose next try is more than a lease away.

        The tries start over, the id stays. Raises NotFound, and Conflict when there is nothing to send again.
        """
        known = await self._deliveries.of_event(event_id)
        chosen = [delivery for delivery in known if target in ("", delivery.target)]
        if not chosen:
            raise NotFound(Text("没有这个事件，或它不发往该目标", "No such event, or not for that target"))
        again = [delivery for delivery in chosen if target or delivery.state is not DeliveryState.DELIVERED]
        revived = [await self._deliveries.revive(delivery.id, self._clock.now(), LEASE) for delivery in again]
        if not any(revived):
            raise Conflict(_nothing_to_resend(again), code="NOTHING_TO_RESEND")
        return [delivery for delivery in revived if delivery]


def _nothing_to_resend(pending: Sequence[Delivery]) -> Text:
    """Why; ``pending`` are the deliveries that have not ended."""
    if not pending:
        return Text("已送达；要再发一次请指明 target", "It was delivered; name a target to send it again")
    if all(delivery.tries for delivery in pending):
        return Text("一分钟之内就会再试", "It is tried again within a minute")
    return Text(
        "还没有轮到它：同一订单更早的事件要先送到，请先补发那一个",
        "Its turn has not come: an earlier event of its order goes first, so send that one again",
    )


def _being_cancelled() -> bool:
    """Whether somebody wants the running task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Until one of ``waits`` is over."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _measure(target: str, pending: int, oldest_s: float) -> None:
    PENDING.labels(target).set(pending)
    OLDEST.labels(target).set(oldest_s)


def _spread() -> float:
    return secrets.SystemRandom().uniform(1 - SPREAD, 1 + SPREAD)
