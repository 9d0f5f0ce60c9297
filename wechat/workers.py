"""Work that nobody asks for: looking after orders and refunds that carry a date.

Each carries the date of its next look. Any number of processes take what is due one by one, under a lease that is part
of the taking; a process that dies leaves a lease that runs out.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import ClassVar, Generic, TypeVar

import structlog
from prometheus_client import Counter, Gauge

from wechat.domain.errors import CallerError, FenpayError, GatewayRefused, Mismatch
from wechat.ending import end
from wechat.late import LateMoney
from wechat.ledger import alarm
from wechat.models import Order, TradeState
from wechat.orders import Orders
from wechat.ports import Clock, OrderStore, RefundStore
from wechat.refund_models import LEASE as REFUND_LEASE
from wechat.refund_models import Refund
from wechat.refunds import Refunds

LEASE = timedelta(seconds=60)
IDLE_S = 2.0
GAUGE_S = 15.0

T = TypeVar("T", Order, Refund)

log = structlog.get_logger("wechat.workers")
CHECKS = Counter("fenpay_order_checks_total", "Looks at orders", ["result"])
UNCONFIRMED = Gauge("fenpay_unconfirmed_orders", "Orders whose look is overdue")
OLDEST = Gauge("fenpay_oldest_due_seconds", "By how long the oldest look at an order is overdue")
REFUND_CHECKS = Counter("fenpay_refund_checks_total", "Looks at refunds", ["result"])
OVERDUE_REFUNDS = Gauge("fenpay_overdue_refunds", "Refunds whose look is overdue")
OLDEST_REFUND = Gauge("fenpay_oldest_due_refund_seconds", "By how long the oldest look at a refund is overdue")


class DueWorker(Generic[T]):
    """Takes what is due, one by one, for as long as it is started; a subclass says what, and what a look is."""

    name: ClassVar[str]
    checks: ClassVar[Counter]

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gauge_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def claim(self) -> T | None:
        """Take one that is due, under a lease. Raises StoreUnavailable."""
        raise NotImplementedError

    async def look(self, due: T) -> None:
        """Do what is to be done about it now. Raises FenpayError; it comes due again by itself."""
        raise NotImplementedError

    async def measure(self) -> None:
        """Renew the metrics. Raises StoreUnavailable."""
        raise NotImplementedError

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def close(self) -> None:
        if self._task:
            await end(self._task)

    async def once(self) -> bool:
        """Look at one that is due; whether there was one. Raises StoreUnavailable."""
        due = await self.claim()
        if due is None:
            return False
        try:
            await self.look(due)
            self.checks.labels("ok").inc()
        except FenpayError as error:
            self.checks.labels("failed").inc()
            log.warning("check_failed", worker=self.name, out_trade_no=due.out_trade_no, error=str(error))
        return True

    async def _run(self) -> None:
        while True:
            seen = self._clock.moves
            try:
                await self._gauge()
                busy = await self.once()
            except FenpayError as error:
                log.warning("worker_waits", worker=self.name, error=str(error))
                busy = False
            except Exception:  # whatever it is, the others still have to be looked after
                log.exception("worker_crashed", worker=self.name)
                busy = False
            if not busy:
                await self._clock.rest(IDLE_S, seen)

    async def _gauge(self) -> None:
        """Renew the metrics, now and then."""
        if self._clock.monotonic() < self._gauge_at:
            return
        self._gauge_at = self._clock.monotonic() + GAUGE_S
        await self.measure()


class OrderWorker(DueWorker[Order]):
    """Queries unpaid orders at growing intervals, closes them at the end of their time, and sees to late money."""

    name = "order worker"
    checks = CHECKS

    def __init__(self, orders: Orders, late: LateMoney, store: OrderStore, clock: Clock) -> None:
        super().__init__(clock)
        self._orders = orders
        self._late = late
        self._store = store

    async def claim(self) -> Order | None:
        return await self._store.claim_due(self._clock.now(), LEASE)

    async def look(self, due: Order) -> None:
        if due.trade_state is TradeState.PAID_LATE:
            await self._late.settle(due)
        else:
            await self._orders.check(due)

    async def measure(self) -> None:
        count, oldest_s = await self._store.unconfirmed(self._clock.now())
        UNCONFIRMED.set(count)
        OLDEST.set(oldest_s)


class RefundWorker(DueWorker[Refund]):
    """Sends refunds whose turn has come and asks after those under way."""

    name = "refund worker"
    checks = REFUND_CHECKS

    def __init__(self, refunds: Refunds, store: RefundStore, clock: Clock) -> None:
        super().__init__(clock)
        self._refunds = refunds
        self._store = store

    async def claim(self) -> Refund | None:
        return await self._store.claim_due(self._clock.now(), REFUND_LEASE)

    async def look(self, due: Refund) -> None:
        """Whoever asked for the refund has long got an answer, so a no is for the operator."""
        try:
            await self._refunds.advance(due)
        except (GatewayRefused, CallerError):
            if not (await self._refunds.get(due.out_refund_no)).open:
                alarm("refund_refused", due.out_trade_no)
            raise
        except Mismatch as error:
            alarm(f"refund_{error.reason}", due.out_trade_no)
            raise

    async def measure(self) -> None:
        count, oldest_s = await self._store.overdue(self._clock.now())
        OVERDUE_REFUNDS.set(count)
        OLDEST_REFUND.set(oldest_s)
