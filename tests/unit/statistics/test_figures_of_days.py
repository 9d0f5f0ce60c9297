"""The figures of days against a plain recomputation and against the books: random orders, late notifications, coupons,
payments after the close, second payments, refunds that fail, two processes of which one dies with a day in its hands."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.stores.all import SUMMARIES
from storage.stores.statistics import SUMMARY
from tests.contract.samples import MCHID, NOW, a_fact, a_refund, a_refund_fact, an_order
from tests.support.clock import ManualClock
from tests.support.core import Backend, Core
from wechat.domain.errors import Conflict, Mismatch, StoreUnavailable
from wechat.domain.facts import RefundState
from wechat.domain.money import Fen
from wechat.domain.orders import Order, TimelineEntry, TradeState, TradeType
from wechat.domain.payments import record_payment
from wechat.domain.refunds import LeaseLost, apply_refund, claim_refund, request_refund, send_or_queue
from wechat.domain.times import BEIJING
from wechat.domain.transitions import close
from wechat.reconciliation.books import Tally, Totals
from wechat.statistics.days import (
    DELAY,
    LEASE,
    WORK_SHARE,
    DaySummary,
    SummaryLease,
    finish_summary,
    mark_stale,
    next_recheck,
    summary_key,
    take_summary,
)
from wechat.statistics.figures import Figures, Group, Hour, add_up, entries_of, figures_of
from wechat.statistics.statistics import Statistics
from wechat.statistics.summaries import Marks, SummaryWork

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TWELVE = frozenset({12})
NO_MONEY_LEFT = {RefundState.REQUESTED, RefundState.REFUSED, RefundState.CLOSED}


class Process:
    """A process that changes orders, marks the days that they concern, and computes the figures of those days."""

    def __init__(self, backend: Backend) -> None:
        self.core = Core(backend)
        stores = self.core.stores
        self.work = SummaryWork(MCHID, stores.statistics_entries, stores.summaries, Marks(), backend.runtime())
        self.core.updates.observers = (self.work.marks.note,)
        self.statistics = Statistics(MCHID, stores.summaries, stores.statistics_entries, backend.clock)

    async def change(self, order: Order, change: object) -> None:
        """Apply a transition, unless the order refuses it."""
        try:
            await self.core.updates.update(order.key, change)  # type: ignore[arg-type]  # a transition
        except (Conflict, Mismatch, LeaseLost, ValueError):
            return

    async def compute(self) -> list[SummaryLease]:
        """Take the days that are due and compute them; return the leases that were taken."""
        jobs = list(await self.work.claim(1))
        for job in jobs:
            await self.work.run(job)
        return jobs


class Shop:
    """Random things that happen to the orders of two processes."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.clock = ManualClock(NOW)
        self.backend = Backend(self.clock)
        self.processes = [Process(self.backend), Process(self.backend)]
        self.count = 0

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def process(self) -> Process:
        return self.random.choice(self.processes)

    def order(self) -> Order | None:
        orders = list(self.backend.orders.values())
        return self.random.choice(orders) if orders else None

    async def create(self) -> None:
        self.count += 1
        order = an_order(
            f"order-{self.count:03}",
            created_at=self.now,
            total=Fen(self.random.choice([1, 99, 1800, 123_456])),
            channel=self.random.choice(["default", "second"]),
            trade_type=self.random.choice(list(TradeType)),
        )
        await self.process.core.updates.insert(order)

    async def pay(self) -> None:
        """Notified at once or up to a day later; with a coupon; by another payer; a second time."""
        if order := self.order():
            late = self.random.choice([timedelta(), timedelta(seconds=7), HOUR, 25 * HOUR])
            at = max(order.created_at, self.now - late).replace(microsecond=0)
            number = f"T{order.out_trade_no}{self.random.choice(['', '', '-2'])}"
            changes = {"payer_total": order.total // 2, "openid": self.random.choice([order.openid, "osim-b"])}
            fact = a_fact(order, number, success_time=at, **changes)
            now = self.now
            await self.process.change(order, lambda held: record_payment(held, fact, source="notify", now=now))

    async def close(self) -> None:
        if order := self.order():
            now = self.now
            await self.process.change(order, lambda held: close(held, TimelineEntry(now, "closed", "worker")))

    async def refund(self) -> None:
        """Request and send a refund in one transition, as the service does."""
        order = self.order()
        if order is None or not order.payments:
            return
        payment, now = self.random.choice(order.payments), self.now
        surplus = payment is not order.payments[0]
        amount = order.total if surplus else self.random.choice([1, order.total // 2 or 1, order.total])
        draft = a_refund(
            f"R{len(order.refunds)}-{order.out_trade_no}",
            out_trade_no=order.out_trade_no,
            transaction_id=payment.transaction_id,
            refund=Fen(amount),
            total=order.total,
            surplus=surplus,
            created_at=now,
            next_check_at=now,
        )

        def send(held: Order) -> Order:
            claimed = claim_refund(request_refund(held, draft, now), draft.out_refund_no, "lease", now)
            return send_or_queue(claimed, draft.out_refund_no, "lease", now)

        await self.process.change(order, send)

    async def end_refund(self) -> None:
        """WeChat says what has become of one."""
        order = self.order()
        if order is None or not order.refunds:
            return
        refund, now = self.random.choice(order.refunds), self.now
        state = self.random.choice([each for each in RefundState if each is not RefundState.REQUESTED])
        fact = a_refund_fact(refund, state)
        await self.process.change(order, lambda held: apply_refund(held, fact, source="query", now=now))

    async def pass_time(self) -> None:
        self.clock.advance(self.random.choice([0.5, 3, 90, 1800, 3600, 20 * 3600]))

    async def compute(self) -> None:
        await self.process.compute()

    async def die(self) -> None:
        """Take a day and never compute it, as a process that dies; its lease expires."""
        await self.process.work.claim(1)

    async def happen(self, steps: int) -> None:
        for _ in range(steps):
            acts = [self.create, self.pay, self.pay, self.refund, self.end_refund, self.close]
            await self.random.choice([*acts, self.pass_time, self.compute, self.die])()

    async def settle(self) -> None:
        """Compute and move the clock until nothing is left to compute today."""
        for _ in range(4):
            for process in self.processes:
                while await process.compute():
                    pass
            self.clock.advance(max(LEASE, DELAY).total_seconds() + 1)

    def summary(self, day: date) -> DaySummary | None:
        document = self.backend.database[SUMMARIES].peek(summary_key(MCHID, day))
        return SUMMARY.read(document) if document else None


def recompute(orders: list[Order]) -> dict[tuple[date, int, Group], Counter[str]]:
    """Sum ``orders`` by day in Beijing, hour and group: a plain second implementation to compare with."""
    sums: dict[tuple[date, int, Group], Counter[str]] = {}

    def add(order: Order, at: datetime, **amounts: int) -> None:
        local = at.astimezone(BEIJING)
        place = (local.date(), local.hour, Group(order.channel, order.trade_type.value))
        sums.setdefault(place, Counter()).update(amounts)

    for order in orders:
        unpaid = order.trade_state in (TradeState.NOTPAY, TradeState.CLOSED)
        add(order, order.created_at, created=1, converted=0 if unpaid else 1)
        if order.payments and order.payments[0].paid_at:
            add(order, order.payments[0].paid_at, paid=1, received=order.total)
        for refund in order.refunds:
            if refund.last_sent_at and refund.state not in NO_MONEY_LEFT:
                surplus = refund.refund if refund.surplus else 0
                add(order, refund.last_sent_at, refunds=1, refunded=refund.refund, surplus=surplus)
    return sums


async def books_of(process: Process, day: date) -> Totals:
    tally, source = Tally(), process.core.stores.book_entries
    for entries in (source.list_payments, source.list_refunds):
        async for batch in entries(MCHID, day):
            for entry in batch:
                tally.entry(entry)
    return tally.sums()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
async def test_the_figures_equal_a_plain_recomputation_and_the_books(seed: int) -> None:
    shop = Shop(Random(seed))
    await shop.happen(60)
    await shop.settle()
    expected = recompute(list(shop.backend.orders.values()))
    today = shop.now.astimezone(BEIJING).date()
    for number in range((today - NOW.date()).days + 3):
        day = today - number * DAY
        summary = shop.summary(day)
        hours = summary.hours if summary else {}
        for hour in range(24):
            own = {place[2]: sums for place, sums in expected.items() if place[:2] == (day, hour)}
            found = hours[hour].groups if hour in hours else {}
            assert {group: counter_of(figures) for group, figures in found.items() if any(figures.numbers)} == {
                group: +sums for group, sums in own.items() if +sums
            }
            assert add_up(found.values()) == add_up(hours[hour].slices.values() if hour in hours else [])
        books = await books_of(shop.processes[0], day)
        total = summary.total if summary else Figures()
        assert (total.paid, total.received) == (books.payments, books.received)
        assert (total.refunds, total.refunded) == (books.refunds, books.refunded)


def counter_of(figures: Figures) -> Counter[str]:
    names = ("created", "converted", "paid", "received", "refunds", "refunded", "surplus")
    return +Counter(dict(zip(names, figures.numbers, strict=True)))


async def test_a_late_notification_changes_the_hour_of_the_payment_and_no_other() -> None:
    shop = Shop(Random(1))
    [process, _] = shop.processes
    order = an_order(created_at=shop.now)
    await process.core.updates.insert(order)
    await shop.settle()
    paid_at = shop.now.replace(microsecond=0)
    shop.clock.advance(26 * 3600)
    await shop.settle()
    fact = a_fact(order, success_time=paid_at)
    await process.change(order, lambda held: record_payment(held, fact, source="notify", now=shop.now))
    shop.clock.advance(3)
    [job] = await process.compute()
    local = paid_at.astimezone(BEIJING)
    assert (job.day, job.hours) == (local.date(), frozenset({local.hour}))
    summary = shop.summary(local.date())
    assert summary is not None
    assert summary.hours[local.hour].total.received == order.total


async def test_one_process_computes_a_day_at_a_time() -> None:
    shop = Shop(Random(1))
    first, second = shop.processes
    await first.core.updates.insert(an_order(created_at=shop.now))
    await first.work.claim(0)
    shop.clock.advance(DELAY.total_seconds() + 1)
    taken = [*await first.work.claim(1), *await second.work.claim(1)]
    assert len({job.day for job in taken}) == len(taken) > 0


def test_a_worker_that_lost_its_lease_does_not_overwrite_newer_figures() -> None:
    begun = mark_stale(DaySummary(MCHID, NOW.date(), None), TWELVE, NOW)
    stalled = take_summary(begun, "first", NOW)
    taken_over = take_summary(stalled, "second", NOW + LEASE)
    assert (stalled.computing, taken_over.computing, taken_over.lease) == (TWELVE, TWELVE, "second")
    hours = {12: Hour({Group("default", "JSAPI"): Figures(created=1)}, {})}
    assert finish_summary(taken_over, "first", hours, NOW + LEASE, timedelta()) is taken_over


def test_what_is_marked_while_a_day_is_computed_is_computed_again_after_a_rest() -> None:
    begun = mark_stale(DaySummary(MCHID, NOW.date(), None), TWELVE, NOW)
    marked = mark_stale(take_summary(begun, "first", NOW), TWELVE, NOW)
    ended = finish_summary(marked, "first", {}, NOW, timedelta(seconds=1))
    assert (ended.stale, ended.due_at, ended.lease) == (TWELVE, NOW + timedelta(seconds=WORK_SHARE), "")


async def test_marks_survive_a_store_that_does_not_answer() -> None:
    shop = Shop(Random(1))
    [process, _] = shop.processes
    await shop.settle()
    await process.core.updates.insert(an_order(created_at=shop.now))
    shop.clock.advance(DELAY.total_seconds() + 1)
    shop.backend.down.add(SUMMARIES)
    with pytest.raises(StoreUnavailable):
        await process.work.claim(1)
    shop.backend.down.clear()
    await shop.settle()
    [today] = await process.statistics.last_days(1)
    assert today.total.created == 1


async def test_today_is_compared_until_the_same_time_of_day() -> None:
    shop = Shop(Random(1))
    [process, _] = shop.processes
    for days, minutes in ((7, -10), (7, 45), (1, -10), (1, 45), (0, 0)):
        at = NOW - days * DAY + timedelta(minutes=minutes)
        shop.backend.put(an_order(f"order-{days}-{minutes}", created_at=at))
    await shop.settle()
    comparison = await process.statistics.compare()
    assert [comparison.today.created, comparison.yesterday.created, comparison.last_week.created] == [1, 1, 1]
    week = await process.statistics.last_days(8)
    assert [day.total.created for day in week] == [2, 0, 0, 0, 0, 0, 2, 1]


async def test_an_order_that_was_there_before_the_first_start_is_counted() -> None:
    shop = Shop(Random(1))
    paid_at = NOW - 30 * DAY
    order = record_payment(
        an_order(created_at=paid_at), a_fact(an_order(), success_time=paid_at), source="notify", now=paid_at
    )
    shop.backend.put(order)
    await shop.settle()
    days = await shop.processes[0].statistics.last_days(90)
    assert sum(day.total.received for day in days) == order.total


async def test_a_change_that_nobody_marked_is_counted_by_the_recheck_of_the_day() -> None:
    shop = Shop(Random(1))
    [process, _] = shop.processes
    await shop.settle()
    shop.backend.put(an_order(created_at=shop.now))
    shop.clock.advance(24 * 3600)
    await shop.settle()
    assert [day.total.created for day in await process.statistics.last_days(2)] == [1, 0]


async def test_orders_that_wait_are_counted_with_what_they_add_up_to() -> None:
    shop = Shop(Random(1))
    [process, _] = shop.processes
    shop.backend.put(an_order("order-1", created_at=shop.now))
    shop.backend.put(an_order("order-2", created_at=shop.now, trade_state=TradeState.CLOSED))
    shop.backend.put(an_order("order-3", created_at=shop.now, mchid="another"))
    assert await process.statistics.waiting() == (1, 3600, False)


def test_a_refund_of_a_second_payment_takes_nothing_from_the_net() -> None:
    assert Figures(received=1800, refunded=1800, surplus=1800).net == 1800


@pytest.mark.parametrize("state", RefundState)
def test_the_state_of_a_refund_decides_whether_it_counts(state: RefundState) -> None:
    sent = a_refund(last_sent_at=NOW, state=state)
    total = add_up(figures_of(entry) for entry in entries_of(an_order(refunds=(sent,))))
    assert total.refunded == (0 if state in NO_MONEY_LEFT else sent.refund)


def test_slices_are_dropped_by_the_last_recheck_when_no_day_is_compared_any_more() -> None:
    figures = Figures(created=1)
    hours = {12: Hour({Group("default", "JSAPI"): figures}, {0: figures})}
    held = DaySummary(MCHID, NOW.date(), NOW, lease="lease", hours=hours)
    last = next_recheck(NOW.date(), NOW + 2 * DAY)
    assert last is not None
    ended = finish_summary(held, "lease", {}, last, timedelta())
    assert (ended.hours[12].slices, ended.hours[12].total, ended.due_at) == ({}, figures, None)
