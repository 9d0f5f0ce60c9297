"""Deliver events to one target: each at least once, those of an order in sequence, with retries over three days.

A delivery is blocked while an earlier one of the same order is pending. Each target has a worker of its own, so that a
target that is down delays no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from wechat.domain.deliveries import (
    Attempt,
    Delivery,
    DeliveryState,
    Event,
    Outcome,
    block_delivery,
    claim_delivery,
    finish_delivery,
    retry_delivery,
    unblock_delivery,
)
from wechat.domain.errors import StoreUnavailable
from wechat.domain.metrics import Metric
from wechat.domain.news import NewsKind
from wechat.domain.ports import DeliveryStore, Runtime, Stored
from wechat.events.targets import Target
from wechat.support.update import Updater
from wechat.support.worker import LONGEST_REST, Candidates, Worker

LEASE = timedelta(seconds=60)
AT_ONCE = 8  # deliveries under way for one target in one process
STEP = timedelta(seconds=1)
LEASE_BYTES = 6
REMEMBERED = 8 * AT_ONCE
"""Deliveries that are kept as they were written last, so that the result of an attempt is written without reading."""
DELAYS_S = (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Seconds between attempts: the schedule that Standard Webhooks proposes, three days in all."""
SPREAD = 0.2
"""The fraction by which a pause is lengthened or shortened at random, so that retries do not coincide."""

log = structlog.get_logger("wechat.events")


class DeliveryJob(NamedTuple):
    """A delivery that ``lease`` holds."""

    delivery: Delivery
    lease: str


class DeliveryWork:
    """``Work`` on the deliveries to one target. ``spread`` returns the factor of the next pause.

    ``on_due`` is called with the new date when a delivery is made due.
    """

    def __init__(
        self, target: Target, store: DeliveryStore, runtime: Runtime, spread: Callable[[], float] | None = None
    ) -> None:
        self.name = f"deliveries to {target.name}"
        self.target = target
        self._store = store
        self._clock = runtime.clock
        self._random = runtime.random
        self._telemetry = runtime.telemetry
        self.on_due: Callable[[datetime], None] = lambda at: None
        self._spread = spread or (lambda: runtime.random.uniform(1 - SPREAD, 1 + SPREAD))
        self._updater: Updater[Delivery] = Updater(
            store, lambda delivery: delivery.id, runtime.random, remembered=REMEMBERED
        )
        self._candidates: Candidates[Stored[Delivery]] = Candidates(runtime.random)

    async def claim(self, limit: int) -> Sequence[DeliveryJob]:
        """See Work. A candidate that has to wait is replaced by the next one."""
        name, now = self.target.name, self._clock.now()
        return await self._candidates.claim(
            limit, lambda most: self._store.list_due(name, now, most), lambda chosen: self._claim_all(chosen, now)
        )

    async def next_due(self, until: datetime) -> datetime | None:
        return await self._store.next_due(self.target.name, until)

    async def run(self, job: DeliveryJob) -> None:
        at, started = self._clock.now(), self._clock.monotonic()
        outcome = await self._deliver(job.delivery.event)
        duration_s = self._clock.monotonic() - started
        attempt = Attempt(at, outcome.result, duration_s, outcome.timestamp, outcome.answer)
        result = await self._conclude(job, outcome, attempt)
        self._telemetry.count(Metric.EVENT_DELIVERIES, self.target.name, result)
        event = job.delivery.event
        told = {"id": event.id, "type": event.type, "target": self.target.name, "outcome": result}
        self._telemetry.publish(NewsKind.DELIVERY, event.out_trade_no, told | {"result": outcome.result})

    async def measure(self) -> None:
        overdue, oldest_s = await self._store.overdue(self.target.name, self._clock.now())
        self._telemetry.measure(Metric.PENDING_EVENTS, overdue, self.target.name)
        self._telemetry.measure(Metric.OLDEST_EVENT, oldest_s, self.target.name)

    async def _claim_all(self, chosen: Sequence[Stored[Delivery]], now: datetime) -> Sequence[DeliveryJob]:
        """Claim all of ``chosen``, and only then block those that have to wait, because one may wait for another."""
        claimed = await asyncio.gather(*[self._claim(stored, now) for stored in chosen])
        jobs = [job for job in claimed if job]
        free = await asyncio.gather(*[self._is_free(job, now) for job in jobs])
        return [job for job, is_free in zip(jobs, free, strict=True) if is_free]

    async def _claim(self, stored: Stored[Delivery], now: datetime) -> DeliveryJob | None:
        """Claim a delivery; None when another worker was faster, or when the claim's outcome is unknown.

        In both cases the delivery comes due again.
        """
        lease = self._random.token(LEASE_BYTES)
        try:
            change = await self._updater.change(stored, lambda each: claim_delivery(each, lease, now, now + LEASE))
        except StoreUnavailable:
            return None
        return DeliveryJob(change.after, lease) if change and change.happened else None

    async def _is_free(self, job: DeliveryJob, now: datetime) -> bool:
        """Whether no earlier delivery is pending; otherwise the claimed one is blocked until the earlier one ends.

        The earlier one may end before the block is written and then unblocks nothing, so it is looked up once more.
        """
        delivery = job.delivery
        earlier = await self._earlier(delivery)
        if earlier is None:
            return True
        until = max(earlier.due_at or now, now + STEP)
        await self._updater.update(delivery.id, lambda each: block_delivery(each, job.lease, until))
        if await self._earlier(delivery) is None:
            await self._updater.update(delivery.id, lambda each: unblock_delivery(each, now))
        return False

    async def _earlier(self, delivery: Delivery) -> Delivery | None:
        """Return the first pending delivery with a smaller sequence number; the first event of an order has none."""
        if delivery.sequence <= 1:
            return None
        pending = await self._store.pending_of(delivery.ordering_key)
        return next((each.value for each in pending if each.value.sequence < delivery.sequence), None)

    async def _deliver(self, event: Event) -> Outcome:
        """Deliver ``event`` and return the outcome. If the target raises, which it must not, the event is retried."""
        try:
            return await self.target.deliver(event)
        except Exception:
            log.exception("target_crashed", target=self.target.name, out_trade_no=event.out_trade_no)
            return Outcome(False, "raised")

    async def _conclude(self, job: DeliveryJob, outcome: Outcome, attempt: Attempt) -> str:
        """Store the result of an attempt. Return ``delivered``, ``failed`` or ``dead``."""
        delivery = job.delivery
        if outcome.ok:
            await self._finish(job, DeliveryState.DELIVERED, attempt)
            return "delivered"
        if delivery.tries < len(DELAYS_S):
            due_at = self._clock.now() + timedelta(seconds=DELAYS_S[delivery.tries] * self._spread())
            await self._updater.update(delivery.id, lambda each: retry_delivery(each, job.lease, attempt, due_at))
            self.on_due(due_at)
            return "failed"
        await self._raise_alarm(job)
        await self._finish(job, DeliveryState.DEAD, attempt)
        return "dead"

    async def _raise_alarm(self, job: DeliveryJob) -> None:
        """Raise the alarm, unless another worker has ended the delivery.

        The alarm precedes the write, because no worker returns to a dead delivery.
        """
        held = await self._updater.get(job.delivery.id)
        if held and held.lease == job.lease:
            self._telemetry.alarm("event_undelivered", held.event.out_trade_no)

    async def _finish(self, job: DeliveryJob, state: DeliveryState, attempt: Attempt) -> None:
        """End a delivery and unblock the next one of its order, unless the delivery had ended already."""
        change = await self._updater.update(
            job.delivery.id, lambda held: finish_delivery(held, job.lease, state, attempt)
        )
        if change is None or not change.happened:
            return
        pending = await self._store.pending_of(job.delivery.ordering_key)
        following = next((each.value for each in pending if each.value.sequence > job.delivery.sequence), None)
        if following and following.blocked:
            now = self._clock.now()
            await self._updater.update(following.id, lambda each: unblock_delivery(each, now))
            self.on_due(now)


class DeliveryWorker(Worker[DeliveryJob]):
    """Delivers to one target, from ``start`` to ``close``."""

    def __init__(
        self,
        target: Target,
        store: DeliveryStore,
        runtime: Runtime,
        longest_rest: timedelta = LONGEST_REST,
        horizon: timedelta | None = None,
    ) -> None:
        work = DeliveryWork(target, store, runtime)
        super().__init__(work, runtime, AT_ONCE, longest_rest, horizon)
        work.on_due = self.wake
