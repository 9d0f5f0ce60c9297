"""The relay: turn the events that orders have staged into one delivery for each target that subscribes to them.

The process that changed an order hands its events out at once. Events that a killed process has left are found by their
date, and another process hands them out after a few seconds. Every step may be repeated, because a delivery is
identified by its event and target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from wechat.domain.deliveries import Delivery, staged_events
from wechat.domain.errors import StoreUnavailable
from wechat.domain.events import OutgoingEvent
from wechat.domain.metrics import Metric
from wechat.domain.news import NewsKind
from wechat.domain.orders import Order
from wechat.domain.ports import DeliveryStore, OrderStore, Runtime, Stored
from wechat.domain.transitions import remove_events
from wechat.events.delivery_worker import DeliveryWorker
from wechat.events.targets import Target
from wechat.orders.updates import OrderUpdates, alarm_of
from wechat.support.update import WRITE_BYTES

GRACE = timedelta(seconds=3)
"""The age of events from which any process may hand them out, not only the one that staged them."""
LONGEST_REST = timedelta(seconds=5)
"""The longest time between two searches for events that a killed process has left."""
MOST_KNOWN = 10_000
"""Changed orders that this process remembers to hand out; further ones are found by their date."""


class RelayWork:
    """``Work`` on orders with staged events. ``workers`` are woken when there are new deliveries."""

    name = "event relay"

    def __init__(
        self,
        store: OrderStore,
        updates: OrderUpdates,
        deliveries: DeliveryStore,
        targets: Sequence[Target],
        runtime: Runtime,
        workers: Sequence[DeliveryWorker] = (),
    ) -> None:
        self._store = store
        self._updates = updates
        self._deliveries = deliveries
        self._targets = targets
        self._clock = runtime.clock
        self._random = runtime.random
        self._telemetry = runtime.telemetry
        self._workers = workers
        self._own: dict[str, Order] = {}
        self._reported: dict[str, None] = {}
        self._under_way: set[str] = set()
        self._retry_at: datetime | None = None

    def add(self, order: Order) -> None:
        """Remember an order that this process changed and that has events to hand out."""
        if len(self._own) < MOST_KNOWN:
            self._own[order.key] = order

    def skip_alarms(self, ids: Sequence[str]) -> None:
        """Note that this process has reported the changes that staged these events, so that none is alarmed twice."""
        self._reported.update(dict.fromkeys(ids))
        while len(self._reported) > MOST_KNOWN:
            del self._reported[next(iter(self._reported))]

    async def claim(self, limit: int) -> Sequence[Order]:
        """See Work. Orders are not leased, because handing out twice changes nothing.

        While a slow store delays an order that was found by its date, the order is not claimed again.
        """
        found: Sequence[Stored[Order]] = ()
        if len(self._own) < limit:
            found = await self._store.with_events(self._clock.now() - GRACE, limit - len(self._own))
        own = [self._own.pop(key) for key in list(self._own)[:limit]]
        taken = {order.key for order in own} | self._under_way
        left = [stored.value for stored in found if stored.value.key not in taken]
        self._under_way.update(order.key for order in left)
        return [*own, *left]

    async def next_due(self, until: datetime) -> datetime | None:
        """See Work. Only a failure sets a date: others' events are found at each rest, and ours wake the worker."""
        retry_at, self._retry_at = self._retry_at, None
        return retry_at

    async def run(self, job: Order) -> None:
        try:
            await self._hand_out(job)
        except StoreUnavailable:
            self._retry_at = self._clock.now() + GRACE
            raise
        finally:
            self._under_way.discard(job.key)

    async def measure(self) -> None:
        waiting, oldest_s = await self._store.events_waiting(self._clock.now())
        self._telemetry.measure(Metric.PENDING_EVENTS, waiting, "relay")
        self._telemetry.measure(Metric.OLDEST_EVENT, oldest_s, "relay")

    async def _hand_out(self, job: Order) -> None:
        now, write = self._clock.now(), self._random.token(WRITE_BYTES)
        for event, sequence in staged_events(job):  # in turn: if stored alone, a later event would be delivered first
            wanted = [target.name for target in self._targets if target.wants(event.type)]
            deliveries = [Delivery(event, name, job.key, sequence, now) for name in wanted]
            await asyncio.gather(*[self._deliveries.insert(delivery, write) for delivery in deliveries])
            if self._telemetry.watched:
                data = {"id": event.id, "type": event.type, "body": event.body().decode()}
                self._telemetry.publish(NewsKind.EVENT, event.out_trade_no, data)
        for worker in self._workers:
            worker.wake()
        for staged in job.outbox:
            self._report(job, staged)
        ids = frozenset([event.id for event in job.outbox])
        await self._updates.update(job.key, lambda order: remove_events(order, ids))

    def _report(self, order: Order, event: OutgoingEvent) -> None:
        """Raise the alarm of an event whose change this process has not reported, before the event is removed.

        Two processes that hand out the same event may both raise it, each of them once. The id stays remembered,
        because an older copy of the order may still be handed out.
        """
        alarm = "" if event.id in self._reported else alarm_of(order, event)
        if alarm:
            self.skip_alarms([event.id])
            self._telemetry.alarm(alarm, order.out_trade_no)
