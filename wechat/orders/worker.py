"""The due work of orders: checks of unpaid orders, late payments, and refunds to send or to query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

import structlog

from wechat.domain.due_work import claim_due, parts_of
from wechat.domain.errors import FenpayError, Mismatch, StoreUnavailable
from wechat.domain.metrics import Metric
from wechat.domain.orders import Order, Refund, TradeState
from wechat.domain.ports import OrderStore, Runtime, Stored
from wechat.domain.refunds import mark_slow
from wechat.orders.service import Orders
from wechat.orders.updates import OrderUpdates
from wechat.refunds.late_payments import LatePayments
from wechat.refunds.service import Refunds
from wechat.support.worker import Candidates

LEASE_BYTES = 6

log = structlog.get_logger("wechat.orders")


class OrderJob(NamedTuple):
    """An order of which ``lease`` holds the due parts."""

    order: Order
    lease: str


class OrderWork:
    """``Work`` on orders. An order's check and its refunds are claimed together, because they are one document."""

    name = "order worker"

    def __init__(
        self,
        store: OrderStore,
        updates: OrderUpdates,
        orders: Orders,
        refunds: Refunds,
        late_payments: LatePayments,
        runtime: Runtime,
    ) -> None:
        self._store = store
        self._updates = updates
        self._orders = orders
        self._refunds = refunds
        self._late_payments = late_payments
        self._clock = runtime.clock
        self._random = runtime.random
        self._telemetry = runtime.telemetry
        self._candidates: Candidates[Stored[Order]] = Candidates(runtime.random)

    async def claim(self, limit: int) -> Sequence[OrderJob]:
        """See Work."""
        now = self._clock.now()
        return await self._candidates.claim(
            limit, lambda most: self._store.list_due(now, most), lambda chosen: self._claim_all(chosen, now)
        )

    async def next_due(self, until: datetime) -> datetime | None:
        return await self._store.next_due(until)

    async def run(self, job: OrderJob) -> None:
        claimed = parts_of(job.order, job.lease)
        if claimed.check:
            await self._count(Metric.ORDER_CHECKS, partial(self._check, job))
        for refund in claimed.refunds:
            await self._count(Metric.REFUND_CHECKS, partial(self._advance, job.order, refund))

    async def measure(self) -> None:
        overdue = await self._store.overdue(self._clock.now())
        self._telemetry.measure(Metric.UNCONFIRMED_ORDERS, overdue.orders)
        self._telemetry.measure(Metric.OLDEST_DUE_ORDER, overdue.oldest_order_s)
        self._telemetry.measure(Metric.OVERDUE_REFUNDS, overdue.refunds)
        self._telemetry.measure(Metric.OLDEST_DUE_REFUND, overdue.oldest_refund_s)

    async def _claim_all(self, chosen: Sequence[Stored[Order]], now: datetime) -> Sequence[OrderJob]:
        claimed = await asyncio.gather(*[self._claim(stored, now) for stored in chosen])
        return [job for job in claimed if job]

    async def _claim(self, stored: Stored[Order], now: datetime) -> OrderJob | None:
        """Claim the due parts of an order; None when another worker was faster, or when the claim's outcome is unknown.

        In both cases the order comes due again.
        """
        lease = self._random.token(LEASE_BYTES)
        try:
            change = await self._updates.change(stored, lambda order: claim_due(order, lease, now))
        except StoreUnavailable:
            return None
        return OrderJob(change.after, lease) if change and change.happened else None

    async def _check(self, job: OrderJob) -> None:
        if job.order.paid:
            await self._late_payments.refund_late(job.order)
        elif job.order.trade_state is TradeState.CLOSED:
            await self._orders.check_after_close(job.order, job.lease)
        else:
            await self._orders.check(job.order, job.lease)

    async def _advance(self, order: Order, refund: Refund) -> None:
        try:
            await self._report_slow(order, refund)
            await self._refunds.advance(order, refund)
        except Mismatch as error:
            self._telemetry.alarm(f"refund_{error.reason}", order.out_trade_no)
            raise

    async def _report_slow(self, order: Order, refund: Refund) -> None:
        """Tell the operator of a refund that takes longer than any bank needs, and only then mark it."""
        now = self._clock.now()
        if refund.is_slow(now) and not refund.slow:
            self._telemetry.alarm("refund_slow", order.out_trade_no)
            await self._updates.update(order.key, lambda held: mark_slow(held, refund.out_refund_no, now))

    async def _count(self, metric: Metric, work: Callable[[], Awaitable[None]]) -> None:
        """Do one part of a job and count its result; an error is logged, so that the other parts are still done."""
        try:
            await work()
        except FenpayError as error:
            self._telemetry.count(metric, "failed")
            log.warning("check_failed", name=self.name, error=str(error))
        except Exception:
            self._telemetry.count(metric, "failed")
            log.exception("check_crashed", name=self.name)
        else:
            self._telemetry.count(metric, "ok")
