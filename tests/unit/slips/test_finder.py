"""Explaining a signature costs seconds of CPU and outsiders choose the messages: how much of it they can cause."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from service.runtime import ThreadPool
from tests.contract.samples import NOW
from tests.support.clock import ManualClock
from tests.support.runtime import a_runtime
from wechat.domain.errors import StoreUnavailable
from wechat.domain.ports import Runtime
from wechat.sign_explain.conclusion import slip
from wechat.sign_explain.model import Keys, Slip
from wechat.sign_explain.slips import SlipCode
from wechat.slips.finder import MOST_BYTES, SlipFinder

FOUND = (slip(SlipCode.MD5_FOR_HMAC),)


class Desk:
    """A finder with real threads, and a look that waits until the test lets it go on."""

    def __init__(self, keys: Keys | None = Keys(v2="k" * 32)) -> None:  # noqa: B008 - frozen
        self.clock = ManualClock(NOW)
        runtime = a_runtime(self.clock)
        self.finder = SlipFinder(keys, Runtime(self.clock, runtime.random, runtime.telemetry, ThreadPool()))
        self.told: list[Sequence[Slip]] = []
        self.looks = 0
        self.go = threading.Event()

    def start(self, reason: str = "sign_wrong", size: int = 100) -> bool:
        return self.finder.start(reason, size, self._look, self._note)

    async def settle(self) -> None:
        self.go.set()
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("slips ")))

    def _look(self, keys: Keys) -> Sequence[Slip]:
        self.looks += 1
        assert self.go.wait(5)
        return FOUND

    async def _note(self, slips: Sequence[Slip]) -> None:
        self.told.append(slips)


async def test_it_looks_beside_the_work_and_tells_what_it_found() -> None:
    desk = Desk()
    assert desk.start()
    await asyncio.sleep(0)  # the loop goes on meanwhile
    assert desk.told == []
    await desk.settle()
    assert desk.told == [FOUND]


async def test_one_is_examined_at_a_time_and_one_a_minute_for_each_reason() -> None:
    desk = Desk()
    started = [desk.start(reason) for reason in ("sign_wrong", "aead_tag", "pay_sign") for _ in range(1000)]
    assert started == [True, *2999 * [False]]
    await desk.settle()
    assert [desk.start("sign_wrong") for _ in range(1000)] == 1000 * [False]
    assert desk.start("aead_tag")
    await desk.settle()
    desk.clock.advance(60)
    assert desk.start("sign_wrong")
    await desk.settle()
    assert desk.looks == 3


async def test_a_message_that_is_too_long_and_a_finder_without_keys_cost_nothing() -> None:
    desk = Desk()
    assert not desk.start(size=MOST_BYTES + 1)
    bare = Desk(None)
    assert not bare.start()
    assert await bare.finder.find(lambda keys: FOUND) == ()
    assert desk.looks == bare.looks == 0


async def test_a_look_or_a_store_that_fails_ends_the_search_and_nothing_else() -> None:
    desk = Desk()

    def crash(keys: Keys) -> Sequence[Slip]:
        raise RecursionError

    async def refuse(slips: Sequence[Slip]) -> None:
        raise StoreUnavailable

    assert desk.finder.start("one", 1, crash, refuse)
    await desk.settle()
    assert desk.finder.start("two", 1, lambda keys: FOUND, refuse)
    await desk.settle()
    assert desk.start("three")
    await desk.settle()
    assert desk.told == [FOUND]


async def test_an_operator_waits_for_the_one_that_is_being_examined() -> None:
    desk = Desk()
    desk.start()
    await asyncio.sleep(0)
    asked = asyncio.ensure_future(desk.finder.find(lambda keys: FOUND))
    await asyncio.sleep(0)
    assert not asked.done()
    desk.go.set()
    assert await asked == FOUND


async def test_closing_ends_a_search() -> None:
    desk = Desk()
    desk.start()
    await asyncio.sleep(0)
    await desk.finder.close()
    assert not desk.finder.busy
    desk.go.set()
