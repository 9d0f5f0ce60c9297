"""Refunds while a process stalls for longer than its lease, another one goes on, and the first one wakes up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from storage.memory.documents import MemoryDocuments
from storage.stores.all import ORDERS
from tests.support.core import Backend, Core
from tests.support.refund_fixture import TURN_S, FakeRefundGateway, Shop, fact, lost, refused
from tests.support.stall import Stall, stalled, woken
from wechat.domain.errors import Conflict, GatewayRefused, StoreUnavailable
from wechat.domain.facts import RefundState
from wechat.domain.orders import Refund
from wechat.support.update import LIMIT_S


def orders_of(backend: Backend) -> MemoryDocuments:
    """The collection of orders, of which a call can be held."""
    return backend.database[ORDERS]


def only(shop: Shop, refund: int) -> Refund:
    [found] = [each for each in shop.backend.refunds.values() if each.refund == refund]
    return found


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def late(shop: Shop) -> Core:
    """The process that stalls."""
    return shop.fixture.process()


async def test_a_refusal_that_comes_late_does_not_end_what_another_process_sent_again(shop: Shop, late: Core) -> None:
    shop.refund_gateway.before = [refused()]
    stall = Stall(shop.refund_gateway, "refund", after=True)
    task = await stalled(shop.ask(60, process=late), stall)
    shop.refund_gateway.after = [lost()]
    await shop.work(2)
    await woken(task, stall)
    await shop.work(5)
    assert (only(shop, 60).state, shop.reserved) == (RefundState.PROCESSING, 60)


async def test_no_room_that_is_found_out_late_does_not_end_what_another_process_sent(shop: Shop, late: Core) -> None:
    first = await shop.ask(60)
    stall = Stall(orders_of(shop.backend), "get_many", after=True)
    task = await stalled(shop.ask(50, key="k1", process=late), stall)
    await shop.fixture.refunds.apply(shop.refund_gateway.turns_out(first, RefundState.CLOSED), source="notify")
    shop.clock.advance(TURN_S)
    shop.refund_gateway.after = [lost()]
    await shop.ask(50, key="k1")
    await woken(task, stall)
    await shop.work(5)
    assert (only(shop, 50).state, shop.reserved) == (RefundState.PROCESSING, 50)
    assert list(shop.refund_gateway.taken) == [first.out_refund_no, only(shop, 50).out_refund_no]
    with pytest.raises(Conflict):
        await shop.ask(100)


async def test_a_refund_that_was_refused_meanwhile_is_not_reserved_by_who_is_late(shop: Shop, late: Core) -> None:
    """Even if that process then comes no further."""
    stall = Stall(orders_of(shop.backend), "replace_many")
    task = await stalled(shop.ask(60, key="k1", process=late), stall)
    shop.refund_gateway.before = [refused()]
    with pytest.raises(GatewayRefused):
        await shop.ask(60, key="k1")
    assert (only(shop, 60).state, shop.reserved) == (RefundState.REFUSED, 0)
    await fails_from_now_on(shop, task, stall)
    assert shop.reserved == 0
    shop.clock.advance(TURN_S)
    assert ((await shop.ask(100)).open, shop.reserved) == (True, 100)


async def test_nor_is_one_for_which_there_was_no_room_once_there_is_room(shop: Shop, late: Core) -> None:
    """The late write was decided when there was room, which another refund has taken since and released again."""
    stall = Stall(orders_of(shop.backend), "replace_many")
    task = await stalled(shop.ask(50, key="k1", process=late), stall)
    first = await shop.ask(60)
    with pytest.raises(Conflict):
        await shop.ask(50, key="k1")
    await shop.fixture.refunds.apply(shop.refund_gateway.turns_out(first, RefundState.CLOSED), source="notify")
    await fails_from_now_on(shop, task, stall)
    assert shop.reserved == 0
    assert list(shop.backend.refunds) == [first.out_refund_no]


async def fails_from_now_on(shop: Shop, task: asyncio.Task[Refund], stall: Stall) -> None:
    """Let the write that is under way reach the store, and nothing after it, until the request gives up."""
    shop.backend.down.add(ORDERS)
    shop.clock.advance(LIMIT_S)
    stall.go.set()
    with pytest.raises(StoreUnavailable):
        await task
    shop.backend.down.clear()


async def test_a_claim_that_is_written_late_takes_nothing_from_who_went_on(shop: Shop, late: Core) -> None:
    shop.refund_gateway.before = [lost()]
    refund = await shop.ask(60)
    shop.clock.advance(TURN_S)
    stall = Stall(orders_of(shop.backend), "replace_many")
    task = await stalled(late.work_once(), stall)
    await shop.work(0)
    stored = shop.stored(refund)
    await woken(task, stall)
    assert not task.result()
    assert shop.stored(refund) == stored
    assert shop.calls == ["refund", "query", "refund"]


async def test_who_marked_a_refund_as_sent_and_stalled_sends_the_same_one(shop: Shop, late: Core) -> None:
    stall = Stall(shop.refund_gateway, "refund")
    task = await stalled(shop.ask(60, process=late), stall)
    await shop.work(2)
    await woken(task, stall)
    assert list(shop.refund_gateway.taken) == [task.result().out_refund_no]
    assert (only(shop, 60).state, only(shop, 60).sends, shop.reserved) == (RefundState.PROCESSING, 2, 60)


async def test_a_notice_is_not_answered_by_a_query_that_began_before_it(shop: Shop) -> None:
    """WeChat has made the refund while the worker's answer, which does not say so, is on its way."""
    refund = await shop.ask(60)
    shop.clock.advance(TURN_S)
    querying = Stall(shop.refund_gateway, "query_refund", after=True)
    worker = await stalled(shop.fixture.core.work_once(), querying)
    shop.refund_gateway.turns_out(refund, RefundState.SUCCESS)
    queried = asyncio.create_task(shop.fixture.refunds.query(refund.out_refund_no))
    await asyncio.sleep(0.05)
    await woken(worker, querying)
    assert (await queried).state is RefundState.SUCCESS
    assert shop.calls == ["refund", "query", "query"]


async def test_a_refusal_is_not_checked_by_a_query_that_began_before_it(shop: Shop, late: Core) -> None:
    """An operator's query is under way when WeChat receives the first try and then refuses the second one."""
    shop.refund_gateway.before = [lost()]
    refund = await shop.ask(60)
    shop.clock.advance(TURN_S)
    sending = Stall(shop.refund_gateway, "refund")
    task = await stalled(late.work_once(), sending)
    querying = Stall(shop.refund_gateway, "query_refund", after=True)
    operator = await stalled(late.refunds.query(refund.out_refund_no), querying)
    shop.refund_gateway.judge = refuses_as_the_first_arrives(shop.refund_gateway)
    sending.go.set()
    await asyncio.sleep(0.05)
    await woken(operator, querying)
    await task
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.PROCESSING, 60)


def refuses_as_the_first_arrives(refund_gateway: FakeRefundGateway) -> Callable[[Refund], GatewayRefused]:
    def judge(refund: Refund) -> GatewayRefused:
        refund_gateway.taken[refund.out_refund_no] = fact(refund, RefundState.PROCESSING)
        return refused("INVALID_REQUEST")

    return judge
