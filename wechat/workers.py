"""Work that nobody asks for: looking after unpaid orders.

Each order carries the date of its next look. Any number of processes take due orders one by one, under a lease that is
part of the taking; a process that dies leaves a lease that runs out.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from prometheus_client import Counter, Gauge

from wechat.errors import FenpayError
from wechat.orders import Orders
from wechat.ports import Clock, OrderStore

LEASE = timedelta(seconds=60)
IDLE_S = 2.0
GAUGE_S = 15.0

log = structlog.get_logger("wechat.workers")
CHECKS = Counter("fenpay_order_checks_total", "Looks at unpaid orders", ["result"])
UNCONFIRMED = Gauge("fenpay_unconfirmed_orders", "Unpaid orders whose look is overdue")
OLDEST = Gauge("fenpay_oldest_due_seconds", "By how long the oldest look is overdue")


class OrderWorker:
    """Queries unpaid orders at growing intervals and closes them at the end of their time."""

    def __init__(self, orders: Orders, store: OrderStore, clock: Clock) -> None:
        self._orders = orders
        self._store = store
        self._clock = clock
        self._gauge_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="order worker")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def once(self) -> bool:
        """Look at one due order; whether there was one. Raises StoreUnavailable."""
        order = await self._store.claim_due(self._clock.now(), LEASE)
        if order is None:
            return False
        try:
            await self._orders.check(order)
            CHECKS.labels("ok").inc()
        except FenpayError as error:
            CHECKS.labels("failed").inc()
            log.warning("check_failed", out_trade_no=order.out_trade_no, error=str(error))
        return True

    async def _run(self) -> None:
        while True:
            try:
                await self._gauge()
                busy = await self.once()
            except FenpayError as error:
                log.warning("worker_waits", error=str(error))
                busy = False
            except Exception:  # whatever it is, the other orders still have to be looked after
                log.exception("worker_crashed")
                busy = False
            if not busy:
                await asyncio.sleep(IDLE_S)

    async def _gauge(self) -> None:
        """Renew the metrics, now and then."""
        if self._clock.monotonic() < self._gauge_at:
            return
        self._gauge_at = self._clock.monotonic() + GAUGE_S
        count, oldest_s = await self._store.unconfirmed(self._clock.now())
        UNCONFIRMED.set(count)
        OLDEST.set(oldest_s)
