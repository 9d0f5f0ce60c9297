"""Refunds while a process stalls for longer than its lease, another one goes on, and the first one wakes up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.support.refund_desk import lost, refused
from tests.unit.test_refunds import Shop
from wechat.domain.errors import Conflict, GatewayRefused, StoreUnavailable
from wechat.domain.facts import RefundState
from wechat.domain.orders import Refund


class Stall:
    """Holds the next call of ``name``, before it has its effect or with the effect done, until ``go``."""

    def __init__(self, held: Any, name: str, *, after: bool = False) -> None:
        self._call: Callable[..., Awaitable[Any]] = getattr(held, name)
        self._held, self._name, self._after = held, name, after
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        setattr(held, name, self._stalled)

    async def _stalled(self, *args: Any, **kwargs: Any) -> Any:
        setattr(self._held, self._name, self._call)
        try:
            if self._after:
                return await self._call(*args, **kwargs)
        finally:
            self.reached.set()
            await self.go.wait()
        return await self._call(*args, **kwargs)


async def stalled(shop: Shop, refund: int, stall: Stall) -> asyncio.Task[Refund]:
    """A request that hangs at ``stall``."""
    task = asyncio.create_task(shop.ask(refund))
    await stall.reached.wait()
    return task


async def woken(task: asyncio.Task[Refund], stall: Stall) -> None:
    stall.go.set()
    with suppress(Conflict, GatewayRefused):
        await task


def only(shop: Shop, refund: int) -> Refund:
    [found] = [each for each in shop.till.store.refunds.values() if each.refund == refund]
    return found


async def test_a_no_that_comes_late_does_not_end_what_another_process_sent_again() -> None:
    shop = Shop()
    shop.till.desk.before = [refused("NOT_ENOUGH")]
    stall = Stall(shop.till.desk, "refund", after=True)
    task = await stalled(shop, 60, stall)
    shop.till.desk.after = [lost()]
    await shop.work(2)
    await woken(task, stall)
    await shop.work(5)
    assert (only(shop, 60).state, shop.reserved) == (RefundState.PROCESSING, 60)


async def test_no_room_that_is_found_out_late_does_not_end_what_another_process_sent() -> None:
    shop = Shop()
    first = await shop.ask(60)
    stall = Stall(shop.till.store, "move")
    task = await stalled(shop, 50, stall)
    await shop.till.refunds.apply(shop.till.desk.turns_out(first, RefundState.CLOSED), source="notify")
    shop.till.desk.after = [lost()]
    await shop.work(2)
    await woken(task, stall)
    await shop.work(5)
    assert (only(shop, 50).state, shop.reserved) == (RefundState.PROCESSING, 50)
    with pytest.raises(Conflict):
        await shop.ask(100)


async def test_what_was_refused_meanwhile_is_not_put_aside_by_who_is_late() -> None:
    """Even if that process then comes no further."""
    shop = Shop()
    stall = Stall(shop.orders, "reserve_in_turn")
    task = await stalled(shop, 60, stall)
    shop.till.desk.before = [refused("NOT_ENOUGH")]
    await shop.work(2)
    assert (only(shop, 60).state, shop.reserved) == (RefundState.REFUSED, 0)
    await fails_from_now_on(shop, task, stall)
    assert shop.reserved == 0
    assert ((await shop.ask(100)).open, shop.reserved) == (True, 100)


async def test_nor_is_what_was_refused_for_want_of_room_once_there_is_room() -> None:
    shop = Shop()
    first = await shop.ask(60)
    stall = Stall(shop.orders, "reserve_in_turn")
    task = await stalled(shop, 50, stall)
    await shop.work(2)
    assert only(shop, 50).state is RefundState.REFUSED
    await shop.till.refunds.apply(shop.till.desk.turns_out(first, RefundState.CLOSED), source="notify")
    await fails_from_now_on(shop, task, stall)
    assert shop.reserved == 0


async def fails_from_now_on(shop: Shop, task: asyncio.Task[Refund], stall: Stall) -> None:
    """Let it put the money aside, if it can, and nothing after that."""
    shop.till.store.down = True
    stall.go.set()
    with pytest.raises(StoreUnavailable):
        await task
    shop.till.store.down = False
