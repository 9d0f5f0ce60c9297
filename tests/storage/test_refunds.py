"""Refunds within their order, over the stores: reserved, sent in turn, ended, by several processes at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from storage.stores.all import ORDERS
from tests.contract.samples import HOUR, NOW, a_payment, a_refund, a_refund_fact, an_order
from tests.storage.backing import Backing, Storage
from tests.support.clock import ManualClock
from tests.support.core import Core
from tests.support.store_core import StorageBackend
from wechat.domain.errors import Conflict, FenpayError, Mismatch, NotFound
from wechat.domain.facts import RefundState
from wechat.domain.money import Fen
from wechat.domain.orders import MIN_REFUND_INTERVAL, Order, Refund, TradeState
from wechat.domain.ports import Overdue
from wechat.domain.refunds import (
    LEASE,
    MAX_FAILED,
    MAX_REFUNDS,
    LeaseLost,
    apply_refund,
    claim_refund,
    refuse_refund,
    request_refund,
    send_or_queue,
)
from wechat.domain.transitions import remove_events

ORDER = an_order(total=Fen(100), trade_state=TradeState.SUCCESS, payments=(a_payment(total=100),), next_check_at=None)
MILLISECOND = timedelta(milliseconds=1)


def a_draft(number: str = "refund-1", refund: int = 60, **changes: Any) -> Refund:
    return a_refund(number, **{"refund": Fen(refund), "total": Fen(100), "next_check_at": NOW} | changes)


class RefundStoreFixture:
    """The refunds of ORDER as two processes change them."""

    def __init__(self, *processes: Core) -> None:
        self._processes = processes
        self._turns = 0

    async def update(self, transition: Callable[[Order], Order], key: str = ORDER.key) -> bool:
        """Apply ``transition`` in the processes in turn; return whether the order changed."""
        self._turns += 1
        process = self._processes[self._turns % len(self._processes)]
        return (await process.updates.update(key, transition)).happened

    async def request(self, draft: Refund) -> bool | FenpayError:
        """Reserve a refund; return whether the order changed, or the error that refused the refund."""
        try:
            return await self.update(lambda order: request_refund(order, draft, NOW))
        except FenpayError as error:
            return error

    async def request_and_send(self, draft: Refund, now: datetime = NOW) -> bool | FenpayError:
        """Reserve a refund, and send it or queue it, in one write."""

        def transition(order: Order) -> Order:
            return send_or_queue(request_refund(order, draft, now), draft.out_refund_no, draft.lease, now)

        try:
            return await self.update(transition)
        except FenpayError as error:
            return error

    async def end(self, refund: Refund, state: RefundState) -> bool:
        """Apply WeChat's message that a refund ended in ``state``; return whether the order changed."""
        fact = a_refund_fact(refund, state)
        return await self.update(lambda order: apply_refund(order, fact, source="query", now=NOW))

    async def order(self) -> Order:
        return await self._processes[0].updates.get(ORDER.key)

    async def reserved(self) -> int:
        return (await self.order()).refund_reserved

    async def kept(self) -> list[str]:
        """The numbers of the order's refunds."""
        return [refund.out_refund_no for refund in (await self.order()).refunds]

    async def hand_out(self) -> None:
        """Remove the order's events, as the relay does once it handed them out."""
        ids = frozenset(event.id for event in (await self.order()).outbox)
        await self.update(lambda order: remove_events(order, ids=ids))


@pytest.fixture
async def refund_gateway(storage: Storage, backing: Backing, clock: ManualClock) -> RefundStoreFixture:
    """The refunds of one order, paid with 100 fen."""
    processes = [Core(StorageBackend(stores, clock)) for stores in (storage, backing.open())]
    await processes[0].updates.insert(ORDER)
    return RefundStoreFixture(*processes)


def codes(results: list[bool | FenpayError]) -> Counter[str]:
    """Count the results: errors by their public code, others by ``True`` (reserved) or ``False``."""
    return Counter(result.public_code if isinstance(result, FenpayError) else str(result) for result in results)


# -- reserving ---------------------------------------------------------------------------------------------------------


async def test_of_a_hundred_refunds_of_60_on_a_100_order_exactly_one_is_reserved(
    refund_gateway: RefundStoreFixture,
) -> None:
    """J5, two processes at once."""
    done = await asyncio.gather(*(refund_gateway.request(a_draft(f"refund-{i}")) for i in range(100)))
    assert codes(done) == {"True": 1, "NOT_REFUNDABLE": 99}
    assert (await refund_gateway.reserved(), len((await refund_gateway.order()).refunds)) == (60, 1)


async def test_of_a_hundred_refunds_of_1_on_a_100_order_fifty_are_reserved(refund_gateway: RefundStoreFixture) -> None:
    """J6: WeChat takes no more."""
    done = await asyncio.gather(*(refund_gateway.request(a_draft(f"refund-{i}", 1)) for i in range(100)))
    assert codes(done) == {"True": MAX_REFUNDS, "NOT_REFUNDABLE": 50}
    order = await refund_gateway.order()
    assert (order.refund_reserved, len({refund.out_refund_no for refund in order.refunds})) == (MAX_REFUNDS, 50)


async def test_the_whole_amount_and_not_a_fen_more(refund_gateway: RefundStoreFixture) -> None:
    assert await refund_gateway.request(a_draft()) is True
    assert isinstance(await refund_gateway.request(a_draft("refund-2", 41)), Conflict)
    assert await refund_gateway.request(a_draft("refund-3", 40)) is True
    assert isinstance(await refund_gateway.request(a_draft("refund-4", 1)), Conflict)
    assert await refund_gateway.reserved() == 100


async def test_reserving_again_succeeds_and_changes_nothing(refund_gateway: RefundStoreFixture) -> None:
    done = await asyncio.gather(*(refund_gateway.request(a_draft()) for _ in range(20)))
    assert codes(done) == {"True": 1, "False": 19}
    order = await refund_gateway.order()
    assert (order.refund_reserved, len(order.timeline), len(order.refunds)) == (60, 2, 1)


async def test_the_same_number_with_another_amount_is_not_reserved(refund_gateway: RefundStoreFixture) -> None:
    assert await refund_gateway.request(a_draft()) is True
    assert codes([await refund_gateway.request(a_draft(refund=30))]) == {"OUT_REFUND_NO_USED": 1}
    assert await refund_gateway.reserved() == 60


@pytest.mark.parametrize("state", [TradeState.NOTPAY, TradeState.CLOSED])
async def test_nothing_is_reserved_of_an_order_that_is_not_paid(
    storage: Storage, clock: ManualClock, state: TradeState
) -> None:
    core = Core(StorageBackend(storage, clock))
    unpaid = replace(ORDER, trade_state=state, payments=())
    await core.updates.insert(unpaid)
    assert codes([await RefundStoreFixture(core).request(a_draft())]) == {"ORDER_NOT_PAID": 1}
    assert await core.updates.get(ORDER.key) == unpaid


async def test_nothing_is_reserved_of_an_order_that_does_not_exist(refund_gateway: RefundStoreFixture) -> None:
    with pytest.raises(NotFound):
        await refund_gateway.update(lambda order: request_refund(order, a_draft(), NOW), "nobody")


async def test_of_an_order_paid_late_money_is_reserved(storage: Storage, clock: ManualClock) -> None:
    core = Core(StorageBackend(storage, clock))
    await core.updates.insert(replace(ORDER, trade_state=TradeState.PAID_LATE))
    assert await RefundStoreFixture(core).request(a_draft()) is True


# -- releasing ---------------------------------------------------------------------------------------------------------


async def test_what_is_released_can_be_reserved_again(refund_gateway: RefundStoreFixture) -> None:
    await refund_gateway.request(a_draft())
    released = await asyncio.gather(*(refund_gateway.end(a_draft(), RefundState.CLOSED) for _ in range(20)))
    assert (released.count(True), await refund_gateway.reserved()) == (1, 0)
    assert await refund_gateway.request(a_draft("refund-2", 100)) is True


async def test_what_was_released_is_never_reserved_again_under_its_number(refund_gateway: RefundStoreFixture) -> None:
    await refund_gateway.request(a_draft())
    await refund_gateway.end(a_draft(), RefundState.CLOSED)
    assert await refund_gateway.request(a_draft()) is False
    assert codes([await refund_gateway.request(a_draft(refund=10))]) == {"OUT_REFUND_NO_USED": 1}
    with pytest.raises(LeaseLost):
        await refund_gateway.request_and_send(a_draft(lease="lease"))
    order = await refund_gateway.order()
    assert (order.refund_reserved, [refund.state for refund in order.refunds]) == (0, [RefundState.CLOSED])


async def test_refunds_that_came_to_nothing_are_kept_up_to_a_bound_and_stop_no_other(
    refund_gateway: RefundStoreFixture,
) -> None:
    """A refund is kept beyond the bound until its event is handed out."""
    numbers = [f"refund-{number:03}" for number in range(MAX_FAILED + 5)]
    for number in numbers:
        assert await refund_gateway.request(a_draft(number, 100)) is True
        await refund_gateway.end(a_draft(number, 100), RefundState.CLOSED)
    assert await refund_gateway.kept() == numbers
    await refund_gateway.hand_out()
    assert await refund_gateway.kept() == numbers[5:]
    assert await refund_gateway.request(a_draft("refund-last", 100)) is True


async def test_releasing_what_was_not_reserved_changes_nothing(refund_gateway: RefundStoreFixture) -> None:
    before = await refund_gateway.order()
    with pytest.raises(Mismatch) as refused:
        await refund_gateway.end(a_draft(), RefundState.CLOSED)
    assert refused.value.reason == "unknown_refund"
    with pytest.raises(LeaseLost):
        await refund_gateway.update(lambda order: refuse_refund(order, "refund-1", "lease", "NOT_ENOUGH", "", NOW))
    assert await refund_gateway.order() == before


async def test_a_released_refund_makes_room_among_the_fifty(refund_gateway: RefundStoreFixture) -> None:
    drafts = [a_draft(f"refund-{i}", 1) for i in range(MAX_REFUNDS + 1)]
    for draft in drafts[:-1]:
        assert await refund_gateway.request(draft) is True
    assert isinstance(await refund_gateway.request(drafts[-1]), Conflict)
    await refund_gateway.end(drafts[0], RefundState.CLOSED)
    assert await refund_gateway.request(drafts[-1]) is True


# -- taking turns ------------------------------------------------------------------------------------------------------


async def test_refunds_of_an_order_are_sent_a_minute_apart(refund_gateway: RefundStoreFixture) -> None:
    """Ten refunds are claimed and sent at the same time, each under its own lease: one is sent, nine wait."""
    for number in range(10):
        await refund_gateway.request(a_draft(f"refund-{number}", 1))

    async def send(number: int, now: datetime) -> None:
        name, lease = f"refund-{number}", f"lease-{number}-{now}"
        await refund_gateway.update(lambda order: claim_refund(order, name, lease, now))
        await refund_gateway.update(lambda order: send_or_queue(order, name, lease, now))

    await asyncio.gather(*(send(number, NOW) for number in range(10)))
    sent = [refund.sends for refund in (await refund_gateway.order()).refunds]
    assert sorted(sent) == [0] * 9 + [1]
    waiting = sent.index(0)
    queued = (await refund_gateway.order()).refunds[waiting].next_check_at
    assert queued is not None
    assert queued >= NOW + MIN_REFUND_INTERVAL
    with pytest.raises(LeaseLost):
        await send(waiting, queued - MILLISECOND)
    assert (await refund_gateway.order()).refunds[waiting].sends == 0
    await send(waiting, queued)
    assert (await refund_gateway.order()).refunds[waiting].sends == 1


async def test_of_a_hundred_refunds_at_once_fifty_have_room_one_is_sent_and_the_others_have_a_turn_each(
    refund_gateway: RefundStoreFixture,
) -> None:
    """Two processes at once."""
    drafts = [a_draft(f"refund-{i}", 1, lease=f"lease-{i}", next_check_at=NOW + LEASE) for i in range(100)]
    done = await asyncio.gather(*(refund_gateway.request_and_send(draft) for draft in drafts))
    assert codes(done) == {"True": 50, "NOT_REFUNDABLE": 50}
    order = await refund_gateway.order()
    sent = [refund for refund in order.refunds if refund.sends]
    queued = sorted(refund.queued_until for refund in order.refunds if refund.queued_until)
    assert ([refund.last_sent_at for refund in sent], order.refund_reserved, order.last_refund_at) == ([NOW], 50, NOW)
    assert queued == [NOW + turn * MIN_REFUND_INTERVAL for turn in range(1, 50)]


async def test_a_refund_is_sent_when_there_is_room_and_its_turn_and_otherwise_not(
    refund_gateway: RefundStoreFixture,
) -> None:
    later = NOW + MIN_REFUND_INTERVAL
    assert await refund_gateway.request_and_send(a_draft(lease="lease-1")) is True
    before = await refund_gateway.order()
    assert isinstance(await refund_gateway.request_and_send(a_draft("refund-3", 41, lease="lease-3"), later), Conflict)
    assert await refund_gateway.order() == before
    assert await refund_gateway.request_and_send(a_draft("refund-2", 1, lease="lease-2"), later - MILLISECOND) is True
    queued = (await refund_gateway.order()).refund_of("refund-2")
    assert queued is not None
    assert (queued.sends, queued.lease, queued.next_check_at) == (0, "", later)
    assert (await refund_gateway.order()).last_refund_at == NOW


async def test_sends_are_counted_and_the_first_one_dated(refund_gateway: RefundStoreFixture) -> None:
    await refund_gateway.request(a_draft())
    for times, at in enumerate((NOW, NOW + HOUR), 1):
        await refund_gateway.update(partial(claim_refund, out_refund_no="refund-1", lease=f"lease-{at}", now=at))
        await refund_gateway.update(partial(send_or_queue, out_refund_no="refund-1", lease=f"lease-{at}", now=at))
        [refund] = (await refund_gateway.order()).refunds
        assert (refund.sends, refund.first_sent_at, refund.last_sent_at) == (times, NOW, at)


# -- ending ------------------------------------------------------------------------------------------------------------


async def test_an_end_is_one_write_of_state_date_fields_line_and_outbox(
    refund_gateway: RefundStoreFixture, backing: Backing
) -> None:
    draft = a_draft()
    await refund_gateway.request(draft)
    ended = await asyncio.gather(*(refund_gateway.end(draft, RefundState.SUCCESS) for _ in range(50)))
    assert ended.count(True) == 1
    order = await refund_gateway.order()
    [refund] = order.refunds
    assert (refund.state, refund.refund_id, refund.success_at, refund.next_check_at, len(refund.timeline)) == (
        RefundState.SUCCESS, "50300001", NOW, None, 2,
    )  # fmt: skip
    assert order.trade_state is TradeState.REFUND
    document = await backing.document(ORDERS, ORDER.key)
    [outgoing] = document["outbox"]
    assert (outgoing["type"], outgoing["at"], outgoing["out_refund_no"]) == ("refund.succeeded", NOW, "refund-1")
    assert (document["rev"], document["refund_states"], document["refund_changed_at"]) == (3, ["SUCCESS"], NOW)


@pytest.mark.parametrize("differs", [{"refund": 59}, {"total": 99}, {"mchid": "sim2"}, {"out_trade_no": "another"}])
async def test_a_fact_that_does_not_match_changes_nothing(
    refund_gateway: RefundStoreFixture, differs: dict[str, Any]
) -> None:
    await refund_gateway.request(a_draft())
    before = await refund_gateway.order()
    fact = a_refund_fact(a_draft())
    fact = replace(fact, value=replace(fact.value, **differs))
    with pytest.raises(Mismatch):
        await refund_gateway.update(lambda order: apply_refund(order, fact, source="notify", now=NOW))
    assert await refund_gateway.order() == before


@pytest.mark.parametrize("end", [RefundState.SUCCESS, RefundState.CLOSED, RefundState.REFUSED])
async def test_an_end_is_an_end(refund_gateway: RefundStoreFixture, end: RefundState) -> None:
    await refund_gateway.request(a_draft(lease="lease"))
    if end is RefundState.REFUSED:
        await refund_gateway.update(lambda order: refuse_refund(order, "refund-1", "lease", "NOT_ENOUGH", "", NOW))
    else:
        await refund_gateway.end(a_draft(), end)
    ended = await refund_gateway.order()
    for target in list(RefundState)[1:]:
        try:
            assert not await refund_gateway.end(a_draft(), target)
        except Mismatch as error:
            assert error.reason == "refund_ended"
        assert await refund_gateway.order() == ended


# -- leases ------------------------------------------------------------------------------------------------------------


async def test_of_fifty_who_see_the_same_due_refund_one_holds_it_and_sends_it(
    refund_gateway: RefundStoreFixture,
) -> None:
    await refund_gateway.request(a_draft())
    held = await asyncio.gather(
        *(
            refund_gateway.update(partial(claim_refund, out_refund_no="refund-1", lease=f"lease-{i}", now=NOW))
            for i in range(50)
        )
    )
    [winner] = [i for i, won in enumerate(held) if won]

    async def send(lease: str) -> bool | str:
        try:
            return await refund_gateway.update(lambda order: send_or_queue(order, "refund-1", lease, NOW))
        except LeaseLost:
            return "lost"

    sent = await asyncio.gather(*(send(f"lease-{i}") for i in range(50)))
    assert Counter(sent) == {"lost": 49, True: 1}
    assert sent[winner] is True


async def test_who_holds_an_old_lease_or_a_refund_that_moved_on_does_not_go_on(
    refund_gateway: RefundStoreFixture,
) -> None:
    await refund_gateway.request(a_draft())
    await refund_gateway.update(lambda order: claim_refund(order, "refund-1", "stale", NOW))
    await refund_gateway.update(lambda order: claim_refund(order, "refund-1", "current", NOW + LEASE))
    for lease in ("stale", ""):
        with pytest.raises(LeaseLost):
            await refund_gateway.update(partial(send_or_queue, out_refund_no="refund-1", lease=lease, now=NOW + LEASE))
    await refund_gateway.end(a_draft(), RefundState.PROCESSING)
    with pytest.raises(LeaseLost):
        await refund_gateway.update(lambda order: send_or_queue(order, "refund-1", "current", NOW + LEASE))


async def test_an_ended_refund_has_no_date_and_nobody_looks_at_it(
    refund_gateway: RefundStoreFixture, storage: Storage
) -> None:
    await refund_gateway.request(a_draft())
    assert len(await storage.orders.list_due(NOW, 10)) == 1
    await refund_gateway.end(a_draft(), RefundState.SUCCESS)
    assert list(await storage.orders.list_due(NOW + 9 * HOUR, 10)) == []


async def test_orders_with_due_refunds_come_the_most_overdue_first(storage: Storage, clock: ManualClock) -> None:
    core = Core(StorageBackend(storage, clock))
    minutes = {"order-2": 2, "order-1": 1, "order-3": 540}
    for number, minute in minutes.items():
        refund = a_draft(f"refund-of-{number}", out_trade_no=number, next_check_at=NOW + timedelta(minutes=minute))
        await core.updates.insert(replace(ORDER, out_trade_no=number, refunds=(refund,)))
    assert list(await storage.orders.list_due(NOW, 10)) == []
    now = NOW + timedelta(minutes=3)
    due = await storage.orders.list_due(now, 10)
    assert [stored.value.out_trade_no for stored in due] == ["order-1", "order-2"]
    clock.advance(180)
    assert len(await core.work.claim(10)) == 2
    assert await storage.orders.overdue(now) == Overdue()
    clock.advance(LEASE.total_seconds())
    assert len(await core.work.claim(10)) == 2
