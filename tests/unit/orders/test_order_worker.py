"""What orders have due: leases, killed workers, late payments, refunds, and parts that fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from storage.store import SCHEMA
from storage.stores.all import ORDERS
from tests.contract.samples import a_refund, a_refund_fact, an_order, paid
from tests.support.core import Backend, Core, CrashingProxy, CrashPoint, SimulatedCrash
from tests.support.refund_fixture import SURE_NO, FakeRefundGateway, lost, refused
from tests.support.stepped_clock import SteppedClock, let_tasks_run
from wechat.domain.due_work import CHECK_LEASE
from wechat.domain.errors import Mismatch, MismatchReason, NotSent, StoreUnavailable
from wechat.domain.facts import Api, Notification, RefundState, RemoteRefund, RemoteState, Transaction, Verified
from wechat.domain.metrics import Metric
from wechat.domain.orders import (
    MIN_REFUND_INTERVAL,
    AppPayParams,
    Order,
    PayParams,
    Prepay,
    Refund,
    TimelineEntry,
    TradeState,
)
from wechat.domain.refunds import LEASE
from wechat.domain.transitions import close
from wechat.orders.drafts import FIRST_CHECK
from wechat.orders.requests import CreateOrderRequest
from wechat.orders.worker import OrderWork
from wechat.pay.codes import REFUND_NOT_EXIST
from wechat.pay.gateway import Gateway, RefundGateway
from wechat.refunds.late_payments import LatePayments, LatePolicy
from wechat.refunds.requests import RefundRequest
from wechat.support.worker import FAILURE_REST, Worker

FIRST_CHECK_S = FIRST_CHECK.total_seconds()
CHECK_LEASE_S = CHECK_LEASE.total_seconds()
LEASE_S = LEASE.total_seconds()
PROMISE_S = 90
"""So long after an order was placed its payment is known at the latest, also if WeChat's notification is lost."""


class WeChat:
    """``Gateway``: any number of orders. Queries of those in ``slow`` wait, those in ``failing`` raise."""

    api = Api.V3

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.paid: dict[str, str] = {}
        self.queries: list[str] = []
        self.slow: set[str] = set()
        self.failing: dict[str, Exception] = {}

    async def prepay(self, order: Order, at: datetime) -> Prepay:
        return Prepay(at, "RSA", prepay_id=f"wx-{order.out_trade_no}")

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        number = order.out_trade_no
        self.queries.append(number)
        await asyncio.sleep(0)
        if number in self.slow:
            await asyncio.Event().wait()
        if number in self.failing:
            raise self.failing[number]
        payload = Transaction(order.appid, order.mchid, number, RemoteState.NOTPAY)
        if number in self.paid:
            payload = replace(
                payload,
                state=RemoteState.SUCCESS,
                total=order.total,
                transaction_id=self.paid[number],
                openid=order.openid,
                success_time=self.clock.now(),
            )
        return Verified(payload, "test")

    async def close(self, order: Order) -> None:
        raise NotImplementedError

    def pay_params(self, appid: str, prepay: Prepay) -> PayParams:
        return PayParams(appid, "1", "n", f"prepay_id={prepay.prepay_id}", prepay.sign_type, "s")

    def app_params(self, appid: str, prepay: Prepay) -> AppPayParams:
        return AppPayParams(appid, "m", prepay.prepay_id, "Sign=WXPay", "n", "1", "s")

    def receive(self, headers: Any, body: bytes, *, arrived_at: Any = None) -> Verified[Notification]:
        raise NotImplementedError

    def claimed_order(self, body: bytes) -> str:
        raise NotImplementedError


class Shop:
    """Processes over one database, with a WeChat that all of them ask."""

    def __init__(self, policy: LatePolicy = LatePolicy.ASK) -> None:
        self.clock = SteppedClock()
        self.backend = Backend(self.clock)
        self.telemetry = self.backend.telemetry
        self.wechat = WeChat(self.clock)
        self.refund_gateway = FakeRefundGateway()
        self._policy = policy
        self.core = self.process()

    def process(self, crash_point: CrashPoint | None = None) -> Core:
        """Return another process over the same stores; with ``crash_point`` it dies there."""
        gateway: Gateway = self.wechat
        refund_gateway: RefundGateway = self.refund_gateway
        if crash_point:
            gateway, refund_gateway = (
                cast(Gateway, CrashingProxy(gateway, crash_point)),
                cast(RefundGateway, CrashingProxy(refund_gateway, crash_point)),
            )
        refund_gateways = dict.fromkeys(Api, refund_gateway)
        return Core(self.backend, {Api.V3: gateway}, refund_gateways, policy=self._policy, crash_point=crash_point)

    def work(self, late: LatePayments) -> OrderWork:
        """The work of another process, whose policy for late payments is ``late``."""
        core = self.process()
        runtime = self.backend.runtime()
        return OrderWork(core.stores.orders, core.updates, core.orders, core.refunds, late, runtime)

    # -- orders to store -----------------------------------------------------------------------------------------------

    def placed(self, number: str = "order-1", **changes: Any) -> Order:
        """An unpaid order of just now, whose first check comes in half a minute."""
        now = self.clock.now()
        end = now + timedelta(minutes=30)
        dates = {"created_at": now, "expires_at": end, "close_after": end, "next_check_at": now + FIRST_CHECK}
        return self.backend.put(an_order(number, **dates | changes))

    def paid(self, number: str = "order-1", *refunds: Refund) -> Order:
        return self.backend.put(replace(paid(self.placed(number), f"T-{number}", self.clock.now()), refunds=refunds))

    def paid_late(self, number: str = "order-1", *refunds: Refund) -> Order:
        """An order that was paid after it had been closed, and about which nothing was done yet."""
        now = self.clock.now()
        closed = close(self.placed(number), TimelineEntry(now, "closed", "worker"))
        return self.backend.put(replace(paid(closed, f"T-{number}", now), refunds=refunds))

    def refund(self, number: str, order: str = "order-1", amount: int = 60, **changes: Any) -> Refund:
        """A refund that is due now and was not sent yet."""
        now = self.clock.now()
        numbers = {"out_trade_no": order, "transaction_id": f"T-{order}"}
        return a_refund(number, **numbers | {"refund": amount, "created_at": now, "next_check_at": now} | changes)

    # -- what is stored ------------------------------------------------------------------------------------------------

    def order(self, number: str = "order-1") -> Order:
        return self.backend.orders[number]

    def what(self, number: str = "order-1") -> list[str]:
        """The order's timeline, in words."""
        return [entry.what for entry in self.order(number).timeline]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@asynccontextmanager
async def at_work(*workers: Worker[Any]) -> AsyncIterator[None]:
    """``workers`` from start to close, after their first round."""
    for worker in workers:
        worker.start()
    await let_tasks_run()
    try:
        yield
    finally:
        for worker in workers:
            await worker.close()


# -- claims are leases -------------------------------------------------------------------------------------------------


async def test_any_number_of_workers_never_do_the_same_part_twice(shop: Shop) -> None:
    unpaid = [f"unpaid-{i:02}" for i in range(20)]
    refunded = [f"refunded-{i:02}" for i in range(20)]
    late = [f"late-{i:02}" for i in range(20)]
    for number in unpaid:
        shop.placed(number, next_check_at=shop.clock.now())
    for number in refunded:
        shop.paid(number, shop.refund(f"R-{number}", number))
    for number in late:
        shop.paid_late(number, shop.refund(f"R-{number}", number))
    await asyncio.gather(*(shop.process().do_due_work() for _ in range(5)))
    assert Counter(shop.wechat.queries) == dict.fromkeys(unpaid, 1)
    assert Counter(shop.refund_gateway.calls) == {f"refund R-{number}": 1 for number in (*refunded, *late)}
    assert [shop.what(number).count("needs_operator") for number in late] == [1] * 20
    assert [shop.order(number).checks for number in unpaid] == [1] * 20


async def test_a_claim_is_a_lease_that_runs_out(shop: Shop) -> None:
    shop.placed("unpaid", next_check_at=shop.clock.now())
    shop.paid("refunded", shop.refund("R-1", "refunded"))
    first, second = shop.process().work, shop.process().work
    assert sorted(job.order.out_trade_no for job in await first.claim(16)) == ["refunded", "unpaid"]
    assert await second.claim(16) == []
    shop.clock.advance(CHECK_LEASE_S - 1)
    assert await second.claim(16) == []
    shop.clock.advance(1)
    assert [job.order.out_trade_no for job in await second.claim(16)] == ["unpaid"]
    shop.clock.advance(LEASE_S - CHECK_LEASE_S)
    assert "refunded" in [job.order.out_trade_no for job in await second.claim(16)]


async def test_an_orders_check_and_its_refunds_are_claimed_together(shop: Shop) -> None:
    later = shop.refund("R-3", next_check_at=shop.clock.now() + timedelta(minutes=5))
    shop.paid_late("order-1", shop.refund("R-1"), shop.refund("R-2"), later)
    [job] = await shop.core.work.claim(16)
    assert job.order.check_lease == job.lease
    assert [refund.out_refund_no for refund in job.order.refunds if refund.lease == job.lease] == ["R-1", "R-2"]


async def test_no_more_orders_are_claimed_than_are_asked_for(shop: Shop) -> None:
    for i in range(20):
        shop.placed(f"order-{i:02}", next_check_at=shop.clock.now())
    assert len(await shop.core.work.claim(3)) == 3
    assert len(await shop.core.stores.orders.list_due(shop.clock.now(), 100)) == 17


async def test_a_stale_worker_changes_no_date_that_another_one_has_set(shop: Shop) -> None:
    shop.placed(next_check_at=shop.clock.now())
    stale, other = shop.process().work, shop.process()
    [job] = await stale.claim(1)
    shop.clock.advance(CHECK_LEASE_S)
    await other.do_due_work()
    known = shop.order()
    assert (known.checks, known.check_lease) == (1, "")
    shop.clock.advance(1)
    await stale.run(job)
    assert shop.order() == known


@pytest.mark.parametrize("sent_before", [False, True])
async def test_a_stale_worker_sends_no_refund_that_another_one_has_sent(shop: Shop, sent_before: bool) -> None:
    sent_at = shop.clock.now() - timedelta(minutes=5)
    refund = shop.refund("R-1")
    if sent_before:
        refund = replace(refund, sends=1, first_sent_at=sent_at, last_sent_at=sent_at)
    shop.paid("order-1", refund)
    stale, other = shop.process().work, shop.process()
    [job] = await stale.claim(1)
    shop.clock.advance(10 * LEASE_S)
    await other.do_due_work()
    known = shop.order()
    assert shop.refund_gateway.calls.count("refund R-1") == 1
    await stale.run(job)
    assert shop.refund_gateway.calls.count("refund R-1") == 1
    assert shop.order() == known


async def test_a_stale_worker_leaves_a_refund_to_the_one_that_is_sending_it(shop: Shop) -> None:
    """The other worker has marked the refund as sent and has no answer yet: the refund may have reached WeChat."""
    shop.paid("order-1", shop.refund("R-1"))
    stale, other = shop.process().work, shop.process()
    [job] = await stale.claim(1)
    shop.clock.advance(LEASE_S)
    shop.refund_gateway.before.append(lost())
    await other.do_due_work()
    known = shop.order()
    for pause_s in (0, 1, 2 * MIN_REFUND_INTERVAL.total_seconds()):
        shop.clock.advance(pause_s)
        await stale.run(job)
        assert shop.refund_gateway.calls == ["refund R-1"]
        assert shop.order() == known


async def test_an_order_that_is_paid_while_it_is_checked_stays_paid_and_is_checked_no_more(shop: Shop) -> None:
    order = shop.placed(next_check_at=shop.clock.now())
    [job] = await shop.core.work.claim(1)
    shop.backend.put(paid(order, "T-1", shop.clock.now()))
    await shop.core.work.run(job)
    known = shop.order()
    assert (known.trade_state, known.next_check_at, known.due_at) == (TradeState.SUCCESS, None, None)


# -- a worker that is killed -------------------------------------------------------------------------------------------


async def place(shop: Shop) -> str:
    """An order whose payer pays at once, and of which WeChat's notification is lost."""
    sale = CreateOrderRequest(description="咖啡", total=1800, openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")
    placed = await shop.core.orders.place_order(sale, merchant="shop", client_ip="203.0.113.7")
    shop.wechat.paid[placed.order.out_trade_no] = "4200"
    return placed.order.out_trade_no


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after its effect"])
async def test_a_payment_is_known_within_90_s_wherever_the_worker_that_checks_it_is_killed(after: bool) -> None:
    points = 0
    while True:
        shop, crash_point = Shop(), CrashPoint(points + 1, after)
        number = await place(shop)
        shop.clock.advance(FIRST_CHECK_S)
        with suppress(SimulatedCrash):
            await shop.process(crash_point).worker.once()
        if crash_point.calls < crash_point.at:
            break
        points += 1
        elapsed_s, other = FIRST_CHECK_S, shop.process()
        while not shop.order(number).paid:
            assert elapsed_s < PROMISE_S
            shop.clock.advance(1)
            elapsed_s += 1
            await other.worker.once()
        assert [entry.what for entry in shop.order(number).timeline].count("paid") == 1
    assert points >= 5  # look for it, claim it, ask WeChat, reserve the transaction, record it


async def test_a_payment_is_known_within_90_s_also_when_two_workers_in_a_row_are_killed() -> None:
    """They run by themselves, with their rests."""
    shop = Shop()
    workers = [shop.process().worker for _ in range(3)]
    for worker in workers:
        worker.start()
    await let_tasks_run()
    number = await place(shop)
    shop.wechat.slow.add(number)
    for elapsed_s in (FIRST_CHECK_S, CHECK_LEASE_S):
        await shop.clock.run(elapsed_s)
        holder = next(worker for worker in workers if worker._running)
        await holder.close()  # in the middle of its query: its lease stays
        workers.remove(holder)
    assert len(shop.wechat.queries) == 2
    shop.wechat.slow.clear()
    await shop.clock.run(PROMISE_S - FIRST_CHECK_S - CHECK_LEASE_S)
    known = shop.order(number)
    assert known.trade_state is TradeState.SUCCESS
    await workers[0].close()


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after its effect"])
async def test_a_refund_is_sent_once_wherever_the_worker_that_sends_it_is_killed(after: bool) -> None:
    points = 0
    while True:
        shop, crash_point = Shop(), CrashPoint(points + 1, after)
        shop.paid("order-1", shop.refund("R-1"))
        with suppress(SimulatedCrash):
            await shop.process(crash_point).worker.once()
        if crash_point.calls < crash_point.at:
            break
        points += 1
        other = shop.process()
        for pause_s in (*[1] * 5, *[30] * 10):
            shop.clock.advance(pause_s)
            await other.do_due_work()
        assert list(shop.refund_gateway.taken) == ["R-1"]
        assert shop.backend.refunds["R-1"].state is RefundState.PROCESSING
        assert shop.order().refund_reserved == 60
    assert points >= 5


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after its effect"])
async def test_a_late_payment_goes_back_once_wherever_the_worker_is_killed(after: bool) -> None:
    points = 0
    while True:
        shop, crash_point = Shop(LatePolicy.REFUND), CrashPoint(points + 1, after)
        shop.paid_late()
        dying = shop.process(crash_point)
        with suppress(SimulatedCrash):
            for _ in range(3):
                await dying.worker.once()
        if crash_point.calls < crash_point.at:
            break
        points += 1
        other = shop.process()
        for pause_s in (*[1] * 5, *[30] * 10):
            shop.clock.advance(pause_s)
            await other.do_due_work()
        assert list(shop.refund_gateway.taken) == ["late-order-1"]
        assert [refund.refund for refund in shop.order().refunds] == [3600]
        assert (shop.order().trade_state, shop.order().next_check_at) == (TradeState.REFUND, None)
    assert points >= 8


async def test_the_timeline_says_that_a_late_payment_goes_back_also_when_the_worker_is_killed_in_between() -> None:
    """After the refund was reserved, which is due at once, and before the line was written."""
    shop = Shop(LatePolicy.REFUND)
    shop.paid_late()
    [job] = await shop.core.work.claim(1)
    await shop.core.refunds.refund_payment(job.order, job.order.transaction_id, "late-order-1", "订单已关闭，款项退回")
    other = shop.process()
    for _ in range(60):
        shop.clock.advance(1)
        await other.do_due_work()
    assert list(shop.refund_gateway.taken) == ["late-order-1"]
    assert shop.what().count("money_goes_back") == 1


# -- late payments -----------------------------------------------------------------------------------------------------


async def test_a_late_payment_is_left_to_the_operator_where_the_policy_says_so(shop: Shop) -> None:
    shop.paid_late()
    await shop.core.do_due_work()
    assert shop.what()[-1] == "needs_operator"
    assert (shop.order().refunds, shop.order().due_at) == ((), None)
    assert shop.telemetry.counted[Metric.ORDER_CHECKS, "ok"] == 1
    assert shop.wechat.queries == []


async def test_a_late_payment_is_returned_where_the_policy_says_so(shop: Shop) -> None:
    shop = Shop(LatePolicy.REFUND)
    shop.paid_late()
    await shop.core.do_due_work()
    [refund] = shop.order().refunds
    assert (refund.out_refund_no, refund.refund, refund.surplus) == ("late-order-1", 3600, False)
    assert (refund.state, shop.order().next_check_at) == (RefundState.PROCESSING, None)
    assert shop.refund_gateway.calls == ["refund late-order-1"]
    assert "money_goes_back" in shop.what()


async def test_a_late_payment_that_is_recorded_here_is_seen_to_without_a_rest() -> None:
    shop = Shop(LatePolicy.REFUND)
    core = shop.core
    core.updates.on_due = core.worker.wake
    order = shop.backend.put(close(shop.placed(), TimelineEntry(shop.clock.now(), "closed", "worker")))
    shop.wechat.paid[order.out_trade_no] = "4200"
    async with at_work(core.worker):
        await shop.clock.run(1)
        noticed_at = shop.clock.now()
        await core.recorder.apply(await shop.wechat.query(order), source="notify")
        await let_tasks_run()
        assert shop.clock.now() == noticed_at
        assert list(shop.refund_gateway.taken) == ["late-order-1"]


async def test_a_late_payment_that_cannot_be_returned_is_alarmed_and_left_to_the_operator() -> None:
    shop = Shop(LatePolicy.REFUND)
    shop.paid_late("order-1", shop.refund("by-hand", amount=1))
    await shop.core.do_due_work()
    assert shop.telemetry.raised == [("late_money_kept", "order-1")]
    assert shop.what().count("needs_operator") == 1
    assert list(shop.refund_gateway.taken) == ["by-hand"]
    assert shop.order().next_check_at is None


# -- refunds -----------------------------------------------------------------------------------------------------------


async def test_refunds_that_are_due_are_sent_and_then_queried_until_they_end(shop: Shop) -> None:
    shop.paid("order-1", shop.refund("R-1"))
    async with at_work(shop.core.worker):
        assert shop.refund_gateway.calls == ["refund R-1"]
        first_pause_s = MIN_REFUND_INTERVAL.total_seconds()
        await shop.clock.run(first_pause_s - 1)
        assert shop.refund_gateway.calls == ["refund R-1"]
        await shop.clock.run(1)
        assert shop.refund_gateway.calls == ["refund R-1", "query R-1"]
        shop.refund_gateway.turns_out(shop.backend.refunds["R-1"], RefundState.SUCCESS)
        await shop.clock.run(3600)
        assert shop.backend.refunds["R-1"].state is RefundState.SUCCESS
        calls = len(shop.refund_gateway.calls)
        await shop.clock.run(7200)
        assert len(shop.refund_gateway.calls) == calls
    assert shop.telemetry.counted[Metric.REFUND_CHECKS, "failed"] == 0


async def test_the_refunds_of_an_order_are_sent_a_minute_apart_each_at_its_own_time(shop: Shop) -> None:
    shop.paid()
    start = shop.clock.now()
    for i in range(4):
        wanted = RefundRequest(refund=10, reason="缺货", out_refund_no=f"refund-{i}")
        await shop.core.refunds.request("order-1", wanted, by="shop")
    async with at_work(shop.process().worker, shop.process().worker):
        await shop.clock.run(300)
    sent = [refund.last_sent_at for refund in shop.order().refunds]
    assert sent == [start + i * MIN_REFUND_INTERVAL for i in range(4)]
    assert Counter(call for call in shop.refund_gateway.calls if call.startswith("refund")) == {
        f"refund refund-{i}": 1 for i in range(4)
    }


async def test_a_refund_whose_answer_was_lost_is_queried_and_sent_again_only_if_it_never_arrived(shop: Shop) -> None:
    shop.paid("order-1", shop.refund("R-1"))
    shop.paid("order-2", shop.refund("R-2", "order-2"))
    work = shop.core.work
    shop.refund_gateway.before.append(lost())  # of one nothing arrives
    for job in sorted(await work.claim(16), key=lambda job: job.order.out_trade_no):
        await work.run(job)
        shop.refund_gateway.after.append(lost())  # the other arrives, its answer does not
    for _ in range(4):
        shop.clock.advance(MIN_REFUND_INTERVAL.total_seconds())
        await shop.core.do_due_work()
    assert Counter(call for call in shop.refund_gateway.calls if call.startswith("refund")) == {
        "refund R-1": 2,
        "refund R-2": 1,
    }
    assert {refund.state for refund in shop.backend.refunds.values()} == {RefundState.PROCESSING}


# -- parts that fail ---------------------------------------------------------------------------------------------------

ERRORS = [NotSent("refund"), StoreUnavailable(), Mismatch(MismatchReason.REFUND), RuntimeError("a defect")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_a_check_that_fails_does_not_keep_the_refunds_of_its_order_from_being_sent(
    shop: Shop, error: Exception
) -> None:
    class FailingLate:
        async def refund_late(self, order: Order) -> None:
            raise error

    shop.paid_late("order-1", shop.refund("R-1"))
    work = shop.work(cast(LatePayments, FailingLate()))
    assert await Worker(work, shop.backend.runtime()).once()
    assert list(shop.refund_gateway.taken) == ["R-1"]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_a_refund_that_fails_does_not_keep_the_others_of_its_order_from_being_sent(
    shop: Shop, error: Exception
) -> None:
    class Failing(FakeRefundGateway):
        async def refund(self, refund: Refund) -> Verified[RemoteRefund]:
            if refund.out_refund_no == "R-1":
                raise error
            return await super().refund(refund)

        async def query_refund(self, refund: Refund) -> Verified[RemoteRefund]:
            if refund.out_refund_no == "R-1":
                raise error
            return await super().query_refund(refund)

    shop.refund_gateway = Failing()
    shop.paid("order-1", shop.refund("R-1"), shop.refund("R-2"), shop.refund("R-3"))
    worker = shop.process().worker
    assert await worker.once()
    assert [refund.lease for refund in shop.order().refunds[1:]] == ["", ""]  # sent, or queued
    async with at_work(worker):
        await shop.clock.run(900)
    assert sorted(shop.refund_gateway.taken) == ["R-2", "R-3"]
    assert shop.backend.refunds["R-1"].next_check_at is not None  # it comes again


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_an_order_whose_check_fails_is_checked_again_and_holds_up_no_other(shop: Shop, error: Exception) -> None:
    for i in range(20):
        shop.placed(f"order-{i:02}")
        shop.wechat.paid[f"order-{i:02}"] = f"T-{i:02}"
    shop.wechat.failing["order-07"] = error
    async with at_work(shop.core.worker):
        await shop.clock.run(FIRST_CHECK_S)
        unpaid = [number for number, order in shop.backend.orders.items() if not order.paid]
        assert unpaid == ["order-07"]
        shop.wechat.failing.clear()
        await shop.clock.run(120)
        assert shop.order("order-07").paid
        assert shop.wechat.queries.count("order-07") == 2


async def test_slow_queries_hold_up_no_other_order(shop: Shop) -> None:
    for i in range(15):
        shop.placed(f"slow-{i:02}")
        shop.wechat.slow.add(f"slow-{i:02}")
    for i in range(50):
        shop.placed(f"quick-{i:02}")
        shop.wechat.paid[f"quick-{i:02}"] = f"T-{i:02}"
    async with at_work(shop.core.worker):
        await shop.clock.run(FIRST_CHECK_S)
        for _ in range(20):
            await let_tasks_run()
        unpaid = [number for number, order in shop.backend.orders.items() if not order.paid]
        assert sorted(unpaid) == [f"slow-{i:02}" for i in range(15)]


async def test_every_part_is_counted_by_how_it_went(shop: Shop) -> None:
    shop.placed("order-1", next_check_at=shop.clock.now())
    shop.placed("order-2", next_check_at=shop.clock.now())
    shop.wechat.failing["order-2"] = NotSent("query")
    shop.paid("order-3", shop.refund("R-1", "order-3"))
    shop.paid("order-4", shop.refund("R-2", "order-4"))
    shop.refund_gateway.judge = lambda refund: refused() if refund.out_refund_no == "R-2" else None
    await shop.core.do_due_work()
    counted = shop.telemetry.counted
    assert {labels: counted[labels] for labels in counted if "checks" in labels[0]} == {
        (Metric.ORDER_CHECKS, "ok"): 1,
        (Metric.ORDER_CHECKS, "failed"): 1,
        (Metric.REFUND_CHECKS, "ok"): 1,
        (Metric.REFUND_CHECKS, "failed"): 1,
    }


# -- alarms ------------------------------------------------------------------------------------------------------------


async def test_a_refund_that_is_refused_in_the_background_is_alarmed_once(shop: Shop) -> None:
    shop.paid("order-1", shop.refund("R-1"))
    shop.refund_gateway.judge = lambda refund: refused()
    async with at_work(shop.core.worker):
        await shop.clock.run(3600)
    refund = shop.backend.refunds["R-1"]
    assert (refund.state, refund.refusal) == (RefundState.REFUSED, SURE_NO)
    assert shop.telemetry.raised == [("refund_refused", "order-1")]
    assert shop.order().refund_reserved == 0


async def test_a_refund_that_ends_while_its_query_is_refused_raises_no_alarm(shop: Shop) -> None:
    sent_at = shop.clock.now() - timedelta(minutes=5)
    shop.paid("order-1", shop.refund("R-1", sends=1, first_sent_at=sent_at, last_sent_at=sent_at))
    refund = shop.backend.refunds["R-1"]
    fact = a_refund_fact(refund, RefundState.SUCCESS)

    class Late(FakeRefundGateway):
        async def query_refund(self, refund: Refund) -> Verified[RemoteRefund]:
            await shop.core.refunds.apply(fact, source="notify")
            raise refused("NO_AUTH", "refund_query")

    shop.refund_gateway = Late()
    await shop.process().do_due_work()
    assert (shop.backend.refunds["R-1"].state, shop.telemetry.raised) == (RefundState.SUCCESS, [])


async def test_a_query_that_is_refused_leaves_the_refund_open_and_raises_no_alarm(shop: Shop) -> None:
    sent_at = shop.clock.now() - timedelta(minutes=5)
    shop.paid("order-1", shop.refund("R-1", sends=1, first_sent_at=sent_at, last_sent_at=sent_at))
    shop.refund_gateway.before.append(refused("NO_AUTH", "refund_query"))
    await shop.core.do_due_work()
    refund = shop.backend.refunds["R-1"]
    assert (refund.state, shop.telemetry.raised) == (RefundState.REQUESTED, [])
    assert refund.next_check_at is not None
    assert refund.next_check_at > shop.clock.now()
    assert shop.telemetry.counted[Metric.REFUND_CHECKS, "failed"] == 1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"refund": 59}, "refund"),
        ({"total": 3601}, "refund_total"),
        ({"out_trade_no": "order-2"}, "out_trade_no"),
        ({"mchid": "1900000999"}, "mchid"),
        ({"out_refund_no": "R-2"}, "unknown_refund"),
    ],
)
async def test_an_answer_that_does_not_fit_is_alarmed_by_what_is_wrong(
    shop: Shop, changed: dict[str, Any], reason: str
) -> None:
    class Odd(FakeRefundGateway):
        async def refund(self, refund: Refund) -> Verified[RemoteRefund]:
            return Verified(replace((await super().refund(refund)).value, **changed), "desk")

    shop.refund_gateway = Odd()
    shop.paid("order-1", shop.refund("R-1"))
    await shop.process().do_due_work()
    assert shop.telemetry.raised == [(f"refund_{reason}", "order-1")]
    assert shop.backend.refunds["R-1"].state is RefundState.REQUESTED
    assert shop.order().refund_reserved == 60


async def test_a_refund_that_is_not_there_after_all_is_sent_again_and_its_refusal_then_alarmed(shop: Shop) -> None:
    sent_at = shop.clock.now() - timedelta(minutes=5)
    shop.paid("order-1", shop.refund("R-1", sends=1, first_sent_at=sent_at, last_sent_at=sent_at))
    shop.refund_gateway.judge = lambda refund: refused()
    await shop.core.do_due_work()
    assert shop.refund_gateway.calls == ["query R-1", "refund R-1", "query R-1"]
    assert shop.backend.refunds["R-1"].state is RefundState.REFUSED
    assert shop.telemetry.raised == [("refund_refused", "order-1")]
    assert refused(REFUND_NOT_EXIST).public_code == REFUND_NOT_EXIST


# -- what is due is measured, found and not held up ------------------------------------------------------------------------


async def test_what_is_overdue_is_measured(shop: Shop) -> None:
    shop.paid("order-2", shop.refund("R-1", "order-2"), shop.refund("R-2", "order-2"))
    shop.placed("order-1", next_check_at=shop.clock.now())
    shop.placed("later")
    shop.clock.advance(20)
    await shop.core.work.measure()
    measured = shop.telemetry.measured
    assert (measured[Metric.UNCONFIRMED_ORDERS,], measured[Metric.OLDEST_DUE_ORDER,]) == (1, 20)
    assert (measured[Metric.OVERDUE_REFUNDS,], measured[Metric.OLDEST_DUE_REFUND,]) == (2, 20)


async def test_an_idle_worker_looks_for_work_four_times_a_minute(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, due = 0, shop.core.stores.orders.list_due

    async def count(now: datetime, limit: int) -> Any:
        nonlocal looks
        looks += 1
        return await due(now, limit)

    monkeypatch.setattr(shop.core.stores.orders, "list_due", count)
    shop.placed(next_check_at=None)
    async with at_work(shop.core.worker):
        await shop.clock.run(600)
    assert looks == 41


async def test_a_lost_race_for_an_order_does_not_put_the_worker_to_rest_while_others_are_overdue(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only loop takes one of four candidates, and another process changes that order first."""
    for i in range(4):
        shop.placed(f"order-{i}", next_check_at=shop.clock.now())
        shop.wechat.paid[f"order-{i}"] = f"T-{i}"
    shop.clock.advance(5)
    core, other = shop.core, shop.process()
    replace_order, lost_races = core.stores.orders.replace, 0

    async def lose_the_first(stored: Any, value: Order, write: str) -> bool:
        nonlocal lost_races
        if not lost_races:
            lost_races += 1
            change = await other.updates.change(stored, lambda order: replace(order, check_lease="theirs"))
            assert change is not None
        return await replace_order(stored, value, write)

    monkeypatch.setattr(core.stores.orders, "replace", lose_the_first)
    async with at_work(Worker(core.work, shop.backend.runtime(), loops=1)):
        await shop.clock.run(FAILURE_REST.total_seconds())
        assert lost_races == 1
        assert len([order for order in shop.backend.orders.values() if order.paid]) >= 3


async def test_an_order_that_cannot_be_read_holds_up_no_other(shop: Shop) -> None:
    """The unreadable order is one that a newer release wrote, for example."""
    good = shop.placed("order-1", next_check_at=shop.clock.now())
    shop.wechat.paid["order-1"] = "4200"
    collection = shop.backend.database[ORDERS]
    unreadable = collection.peek(shop.placed("unreadable", next_check_at=shop.clock.now()).key)
    assert unreadable is not None
    collection.poke(unreadable | {"api": "v9"})
    async with at_work(shop.core.worker):
        await shop.clock.run(60)
    assert (await shop.core.updates.get(good.key)).paid


async def test_an_order_of_a_newer_schema_is_left_alone_and_holds_up_no_other(shop: Shop) -> None:
    shop.placed("order-1", next_check_at=shop.clock.now())
    shop.wechat.paid["order-1"] = "4200"
    collection = shop.backend.database[ORDERS]
    newer = shop.placed("newer", next_check_at=shop.clock.now() - timedelta(seconds=1))
    document = collection.peek(newer.key)
    assert document is not None
    collection.poke(document | {"schema": SCHEMA + 1})
    async with at_work(shop.core.worker):
        await shop.clock.run(60)
    assert shop.order("order-1").paid
    assert collection.peek(newer.key) == document | {"schema": SCHEMA + 1}
    assert "newer" not in shop.wechat.queries
