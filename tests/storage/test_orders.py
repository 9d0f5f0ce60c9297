"""Orders over the stores: transitions by several processes, what is due, what is staged."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.documents import Document
from storage.stores.all import ORDERS
from tests.contract.samples import CREATED, HOUR, NOW, a_fact, a_payment, a_refund, an_order, paid
from tests.storage.backing import Backing, Storage
from tests.support.clock import ManualClock
from tests.support.core import Core
from tests.support.store_core import StorageBackend
from wechat.domain.deliveries import staged_events
from wechat.domain.due_work import CHECK_LEASE, claim_due
from wechat.domain.errors import Conflict, Mismatch
from wechat.domain.events import EventType, OutgoingEvent
from wechat.domain.orders import Order, TimelineEntry, TradeState
from wechat.domain.payments import record_payment
from wechat.domain.ports import Overdue
from wechat.domain.transitions import close, remove_events, schedule_check, schedule_close, stop_checking

ORDER = an_order()
CLOSED = TimelineEntry(NOW, "closed", "worker")
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def core(storage: Storage, clock: ManualClock) -> Core:
    """The use cases of one process."""
    return Core(StorageBackend(storage, clock))


@pytest.fixture
def other(backing: Backing, clock: ManualClock) -> Core:
    """The use cases of another process."""
    return Core(StorageBackend(backing.open(), clock))


async def stored_order(storage: Storage, order: Order = ORDER) -> Order:
    stored = await storage.orders.get(order.key)
    assert stored is not None
    return stored.value


# -- transitions -------------------------------------------------------------------------------------------------------


async def test_of_payments_and_closes_at_once_goods_go_out_only_for_an_order_that_was_never_closed(
    storage: Storage, core: Core, other: Core
) -> None:
    """Whichever is first, the other kind is refused, or the payment is one that came late."""
    await core.updates.insert(ORDER)
    fact = a_fact(ORDER)

    async def pay(process: Core) -> Any:
        return await process.updates.update(ORDER.key, lambda o: record_payment(o, fact, source="notify", now=NOW))

    async def end(process: Core) -> Any:
        return await process.updates.update(ORDER.key, lambda o: close(o, CLOSED))

    work = [act(process) for act in (pay, end) for process in (core, other) for _ in range(5)]
    changes = await asyncio.gather(*work, return_exceptions=True)
    happened = [change for change in changes if not isinstance(change, BaseException) and change.happened]
    refused = {type(change) for change in changes if isinstance(change, Exception)}
    order = await stored_order(storage)
    events = [event.type for event in order.outbox]
    if order.trade_state is TradeState.SUCCESS:
        assert (events, len(happened), refused) == ([EventType.ORDER_PAID], 1, {Conflict})
    else:
        assert order.trade_state is TradeState.PAID_LATE
        assert (events, len(happened)) == ([EventType.ORDER_CLOSED, EventType.ORDER_PAID_LATE], 2)
    assert [payment.transaction_id for payment in order.payments] == [fact.value.transaction_id]


@pytest.mark.parametrize("differs", [{"total": 3599}, {"mchid": "sim2"}, {"appid": "wx0"}, {"trade_type": "NATIVE"}])
async def test_a_payment_that_does_not_match_changes_nothing(
    storage: Storage, core: Core, differs: dict[str, Any]
) -> None:
    await core.updates.insert(ORDER)
    fact = a_fact(ORDER, **differs)
    with pytest.raises(Mismatch) as refused:
        await core.updates.update(ORDER.key, lambda order: record_payment(order, fact, source="notify", now=NOW))
    assert refused.value.reason == next(iter(differs))
    assert await stored_order(storage) == ORDER


async def test_a_transition_that_its_state_does_not_allow_changes_nothing(storage: Storage, core: Core) -> None:
    order = paid(ORDER)
    await core.updates.insert(order)
    with pytest.raises(Conflict):
        await core.updates.update(order.key, lambda held: close(held, CLOSED))
    assert await stored_order(storage) == order


async def test_a_transaction_pays_one_order_only(storage: Storage, core: Core) -> None:
    another = an_order("20260301120507def")
    for order in (ORDER, another):
        await core.updates.insert(order)
    await core.recorder.apply(a_fact(ORDER, "T1"), source="notify")
    with pytest.raises(Mismatch) as refused:
        await core.recorder.apply(a_fact(another, "T1"), source="notify")
    assert refused.value.reason == "transaction_used"
    assert await stored_order(storage, another) == another


async def test_a_check_sets_the_next_date_and_counts_itself(storage: Storage, core: Core) -> None:
    await core.updates.insert(ORDER)
    await core.updates.update(ORDER.key, lambda order: schedule_check(order, NOW + HOUR, ""))
    checked = replace(ORDER, next_check_at=NOW + HOUR, checks=1)
    assert await stored_order(storage) == checked
    line = TimelineEntry(NOW, "close_scheduled", "merchant")
    await core.updates.update(ORDER.key, lambda order: schedule_close(order, NOW, line))
    assert await stored_order(storage) == replace(
        checked, next_check_at=NOW, close_after=NOW, checks=2, timeline=(CREATED, line)
    )


# -- what is due -------------------------------------------------------------------------------------------------------


async def test_what_is_due_is_every_order_whose_own_date_or_a_refunds_has_come(
    storage: Storage, backing: Backing
) -> None:
    def with_dates(number: str, own: Any, *refunds: Any) -> Order:
        parts = [a_refund(f"{number}-{i}", next_check_at=at, out_trade_no=number) for i, at in enumerate(refunds)]
        return an_order(number, next_check_at=own, refunds=tuple(parts))

    orders = [
        with_dates("order-now", NOW),
        with_dates("order-late", NOW - HOUR),
        with_dates("order-soon", NOW + MILLISECOND),
        with_dates("order-none", None),
        with_dates("refund-now", None, NOW, None),
        with_dates("refund-late", NOW + HOUR, NOW + HOUR, NOW - 2 * HOUR),
        with_dates("refund-soon", NOW + HOUR, NOW + MILLISECOND),
        with_dates("refund-none", None, None),
    ]
    await backing.load(orders)
    due = await storage.orders.list_due(NOW, 10)
    assert sorted(stored.value.out_trade_no for stored in due) == [
        "order-late", "order-now", "refund-late", "refund-now",
    ]  # fmt: skip
    assert [stored.value for stored in due if stored.value.out_trade_no == "refund-late"] == [orders[5]]
    first_two = await storage.orders.list_due(NOW, 2)
    assert [stored.value.out_trade_no for stored in first_two] == ["refund-late", "order-late"]


async def test_the_next_date_is_the_first_one_up_to_a_bound(storage: Storage, backing: Backing) -> None:
    ahead = [timedelta(seconds=s) for s in (7, 9, 60)]
    await backing.load([an_order(f"order-{i}-", next_check_at=NOW + span) for i, span in enumerate(ahead)])
    assert await storage.orders.next_due(NOW + 15 * SECOND) == NOW + 7 * SECOND
    assert await storage.orders.next_due(NOW + 7 * SECOND) == NOW + 7 * SECOND
    assert await storage.orders.next_due(NOW + 6 * SECOND) is None
    await backing.load([an_order("order-past", next_check_at=NOW - 5 * SECOND)])
    assert await storage.orders.next_due(NOW + 15 * SECOND) == NOW - 5 * SECOND


async def test_orders_that_cannot_be_read_hold_up_no_other(storage: Storage, backing: Backing) -> None:
    """Neither what is due or staged, nor a listing; they take no place among the first of them either."""
    event = OutgoingEvent("e", EventType.ORDER_PAID, NOW - HOUR, 1)
    orders = [an_order(f"order-{i}-", next_check_at=NOW - HOUR + i * SECOND, outbox=(event,)) for i in range(6)]
    await backing.load(orders)
    damages: list[Document] = [{"api": "v9"}, {"total": "free"}, {"prepay": {"from": "afar"}}]
    for order, damage in zip(orders[:3], damages, strict=True):
        await backing.change(ORDERS, order.key, damage)
    for _ in range(3):  # the first calls may have to find out which orders are unreadable
        due = await storage.orders.list_due(NOW, 3)
        staged = await storage.orders.with_events(NOW, 3)
    readable = {order.out_trade_no for order in orders[3:]}
    assert {stored.value.out_trade_no for stored in due} == readable
    assert {stored.value.out_trade_no for stored in staged} == readable
    page = await storage.orders.find(trade_state=None, limit=10, cursor="")
    assert {order.out_trade_no for order in page.items} == readable
    assert list(await storage.orders.find_by_number("order-0-", 5)) == []


async def test_overdue_checks_are_counted_with_the_age_of_the_oldest(storage: Storage, backing: Backing) -> None:
    assert await storage.orders.overdue(NOW) == Overdue()
    late = [NOW - timedelta(seconds=late_s) for late_s in (10, 40, -5)]
    await backing.load([an_order(f"2026030112{i:04d}", next_check_at=at) for i, at in enumerate(late)])
    refunds = (a_refund("R1", next_check_at=NOW - 2 * SECOND), a_refund("R2", next_check_at=NOW - HOUR))
    future = a_refund("R3", next_check_at=NOW + HOUR)
    await backing.load([an_order("refund-order", next_check_at=NOW + HOUR, refunds=(*refunds, future))])
    assert await storage.orders.overdue(NOW) == Overdue(2, 40.0, 2, 3600.0)


async def test_due_orders_are_claimed_once_each_and_again_when_the_lease_has_run_out(
    core: Core, other: Core, clock: ManualClock
) -> None:
    numbers = {f"2026030112{i:04d}" for i in range(20)}
    for number in numbers:
        await core.updates.insert(an_order(number))
    clock.advance(60)
    claimed: list[str] = []
    while True:
        rounds = await asyncio.gather(*[process.work.claim(4) for process in (core, other) for _ in range(5)])
        found = [job.order.out_trade_no for jobs in rounds for job in jobs]
        claimed += found
        if not found and not await core.work.claim(4):
            break
    assert Counter(claimed) == Counter(numbers)
    clock.advance(CHECK_LEASE.total_seconds() - 0.001)
    assert await core.work.claim(40) == []
    clock.advance(0.001)
    assert {job.order.out_trade_no for job in await core.work.claim(40)} == numbers


async def test_of_fifty_who_read_the_same_due_order_one_claims_it(
    storage: Storage, core: Core, other: Core, clock: ManualClock
) -> None:
    await core.updates.insert(ORDER)
    clock.advance(60)
    [held] = await storage.orders.list_due(clock.now(), 10)
    now = clock.now()

    def claim(process: Core, lease: str) -> Any:
        return process.updates.change(held, lambda order: claim_due(order, lease, now))

    claims = await asyncio.gather(*(claim((core, other)[i % 2], f"lease-{i}") for i in range(50)))
    [won] = [change for change in claims if change]
    assert (await stored_order(storage)).check_lease == won.after.check_lease
    assert list(await storage.orders.list_due(now, 10)) == []


async def test_an_order_that_is_paid_in_time_is_not_looked_at_any_more(
    storage: Storage, core: Core, clock: ManualClock
) -> None:
    await core.updates.insert(ORDER)
    await core.recorder.apply(a_fact(ORDER), source="notify")
    await core.updates.update(ORDER.key, lambda order: schedule_check(order, NOW, ""))
    clock.advance(3600)
    assert list(await storage.orders.list_due(clock.now(), 10)) == []
    assert await core.work.claim(10) == []


async def test_an_order_paid_late_is_looked_at_until_that_is_ended(storage: Storage, core: Core) -> None:
    await core.updates.insert(replace(ORDER, trade_state=TradeState.CLOSED, next_check_at=None))
    assert list(await storage.orders.list_due(NOW, 10)) == []
    fact = a_fact(ORDER)
    await core.updates.update(ORDER.key, lambda order: record_payment(order, fact, source="notify", now=NOW))
    [due] = await storage.orders.list_due(NOW, 10)
    assert due.value.trade_state is TradeState.PAID_LATE
    line = TimelineEntry(NOW, "needs_operator", "policy")
    for _ in range(2):
        await core.updates.update(ORDER.key, lambda order: stop_checking(order, line))
    assert list(await storage.orders.list_due(NOW + 2 * HOUR, 10)) == []
    assert (await stored_order(storage)).timeline.count(line) == 1


# -- what is staged ----------------------------------------------------------------------------------------------------


async def test_what_a_payment_stages_is_found_from_its_date_until_it_is_removed(storage: Storage, core: Core) -> None:
    await core.updates.insert(ORDER)
    await core.recorder.apply(a_fact(ORDER, "T1"), source="notify")
    assert list(await storage.orders.with_events(NOW - MILLISECOND, 10)) == []
    [stored] = await storage.orders.with_events(NOW, 10)
    [(event, sequence)] = staged_events(stored.value)
    assert (event.type, event.at, event.out_trade_no, sequence) == ("order.paid", NOW, ORDER.out_trade_no, 1)
    assert (event.data["transaction_id"], event.data["trade_state"]) == ("T1", "SUCCESS")
    [again] = await storage.orders.with_events(NOW + HOUR, 10)
    assert again == stored


async def test_what_is_handed_out_is_no_longer_found(storage: Storage, core: Core) -> None:
    await core.updates.insert(paid(ORDER))
    ids = frozenset(event.id for event in paid(ORDER).outbox)
    changes = [await core.updates.update(ORDER.key, lambda order: remove_events(order, ids)) for _ in range(2)]
    assert [change.happened for change in changes] == [True, False]
    assert list(await storage.orders.with_events(NOW + HOUR, 10)) == []
    assert await storage.orders.events_waiting(NOW + HOUR) == (0, 0.0)
    assert (await stored_order(storage)).sequence == 1


async def test_what_is_staged_while_another_event_is_handed_out_is_not_lost(storage: Storage, core: Core) -> None:
    await core.updates.insert(ORDER)
    await core.updates.update(ORDER.key, lambda order: close(order, CLOSED))
    [first] = await storage.orders.with_events(NOW, 10)
    fact = a_fact(ORDER)
    await core.updates.update(ORDER.key, lambda order: record_payment(order, fact, source="notify", now=NOW))
    [both] = await storage.orders.with_events(NOW, 10)
    assert [event.type for event in both.value.outbox] == ["order.closed", "order.paid_late"]
    handed_out = frozenset(event.id for event in first.value.outbox)
    await core.updates.update(ORDER.key, lambda order: remove_events(order, handed_out))
    [second] = await storage.orders.with_events(NOW, 10)
    assert [(event.type, event.sequence) for event in second.value.outbox] == [("order.paid_late", 2)]


async def test_sequences_rise_even_when_the_clocks_of_two_processes_disagree(storage: Storage, core: Core) -> None:
    await core.updates.insert(ORDER)
    await core.updates.update(ORDER.key, lambda order: close(order, CLOSED))
    fact, earlier = a_fact(ORDER), NOW - HOUR
    await core.updates.update(ORDER.key, lambda order: record_payment(order, fact, source="notify", now=earlier))
    order = await stored_order(storage)
    assert [(event.type, event.sequence) for event in order.outbox] == [("order.closed", 1), ("order.paid_late", 2)]


async def test_an_event_that_nobody_wants_is_not_staged(storage: Storage, core: Core) -> None:
    core.updates.wanted = frozenset({EventType.ORDER_CLOSED})
    await core.updates.insert(ORDER)
    await core.recorder.apply(a_fact(ORDER), source="notify")
    assert list(await storage.orders.with_events(NOW + HOUR, 10)) == []
    assert (await stored_order(storage)).trade_state is TradeState.SUCCESS


async def test_orders_with_staged_events_are_counted_with_the_age_of_the_oldest(
    storage: Storage, backing: Backing
) -> None:
    assert await storage.orders.events_waiting(NOW) == (0, 0.0)
    orders = [
        an_order(f"2026030112{i:04d}", outbox=(OutgoingEvent("e", EventType.ORDER_PAID, at, 1),))
        for i, at in enumerate((NOW - 10 * SECOND, NOW - 40 * SECOND, NOW + 5 * SECOND))
    ]
    await backing.load([*orders, an_order()])
    assert await storage.orders.events_waiting(NOW) == (2, 40.0)
    found = await storage.orders.with_events(NOW, 1)
    assert [stored.value for stored in found] == [orders[1]]


async def test_an_order_is_found_by_the_date_of_its_first_staged_event(storage: Storage, backing: Backing) -> None:
    outbox = (
        OutgoingEvent("e1", EventType.ORDER_CLOSED, NOW, 1),
        OutgoingEvent("e2", EventType.ORDER_PAID, NOW - HOUR, 2),
    )
    await backing.load([an_order(outbox=outbox, payments=(a_payment(),))])
    assert list(await storage.orders.with_events(NOW - MILLISECOND, 10)) == []
    assert len(await storage.orders.with_events(NOW, 10)) == 1
