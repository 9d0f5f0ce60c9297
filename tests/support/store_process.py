"""A process with the stores and the core, for races between processes; its parent sends it tasks.

    python -m tests.support.store_process DRIVER

Reads one JSON object per line, ``{"task": ..., ...}``, and prints one with the result. The first task is to open a
database.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self, cast

from service import logs
from storage.mongo.driver import Driver
from storage.mongo.storage import MongoStorage
from tests.contract.samples import MCHID, a_fact, a_refund, an_order
from tests.support.core import Core
from tests.support.refund_fixture import FakeRefundGateway
from tests.support.runtime import RandomIds
from tests.support.store_core import RunningClock, StorageBackend
from wechat.domain.errors import FenpayError, Mismatch
from wechat.domain.facts import Api
from wechat.domain.money import Fen
from wechat.domain.numbers import NumberUse, refund_number
from wechat.domain.orders import Order, Refund, TimelineEntry, order_key
from wechat.domain.refunds import request_refund
from wechat.domain.transitions import add_note
from wechat.pay.gateway import RefundGateway
from wechat.refunds.requests import RefundRequest
from wechat.support.update import Transition

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 8
CALLER_S = 3.0
"""Seconds that a caller of the stores may wait, as for a notification."""
PROBE_S = 2.0
Json = dict[str, Any]


class StoreProcess:
    """The parent's side."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, driver: Driver) -> Self:
        argv, pipe = ("-m", "tests.support.store_process", driver), asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, *argv, cwd=ROOT, stdin=pipe, stdout=pipe, limit=1 << 24
        )
        return cls(process)

    async def do(self, task: str, **arguments: Any) -> Json:
        """Send ``task`` and return its result."""
        self.ask(task, **arguments)
        return await self.answer()

    def ask(self, task: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"task": task, **arguments}).encode() + b"\n")

    async def answer(self) -> Json:
        assert self._process.stdout is not None
        answer: Json = json.loads(await self._process.stdout.readline())
        return answer

    async def kill(self) -> None:
        """Send SIGKILL, as a power cut would."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """End the process; return its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self._process.wait()


# -- the child's side --------------------------------------------------------------------------------------------------


class Tasks:
    """The tasks of a process."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._clock = RunningClock()
        self._opened: list[MongoStorage] = []

    async def open(self, url: str, database: str) -> Json:
        """Use this database from now on."""
        self._storage = MongoStorage(url, database, self._driver, clock=self._clock, random=RandomIds())
        backend, gateways = StorageBackend(self._storage, self._clock), dict.fromkeys(Api, FakeRefundGateway())
        self._core = Core(backend, refund_gateways=cast(Mapping[Api, RefundGateway], gateways))
        self._opened.append(self._storage)
        return {}

    async def close(self) -> None:
        for storage in self._opened:
            await storage.close()

    async def change(self, number: str, prefix: str, notes: int, counts: int, refunds: int) -> Json:
        """Change one order so many times in each way, a few at once; return what was done, and what failed, by name."""
        key, now = order_key(MCHID, number), self._clock.now()
        order = await self._core.updates.get(key)
        drafts = [_draft(order, f"{prefix}-refund-{i}") for i in range(refunds)]
        work: dict[str, Transition[Order]] = {
            **{f"{prefix}-note-{i}": _note(f"{prefix}-note-{i}", now) for i in range(notes)},
            **{f"{prefix}-count-{i}": _count for i in range(counts)},
            **{draft.out_refund_no: partial(request_refund, draft=draft, now=now) for draft in drafts},
        }
        names = RandomIds().shuffle(list(work))
        outcomes = await _few_at_once([partial(self._core.updates.update, key, work[name]) for name in names])
        failed = {name: type(error).__name__ for name, error in zip(names, outcomes, strict=True) if error}
        return {"done": [name for name in names if name not in failed], "failed": failed}

    async def insert(self, numbers: Sequence[str]) -> Json:
        """Insert orders; return those that this process inserted."""
        stored = await asyncio.gather(*(self._core.updates.insert(an_order(number)) for number in numbers))
        return {"ours": [number for number, ours in zip(numbers, stored, strict=True) if ours]}

    async def pay(self, numbers: Sequence[str], transaction_id: str) -> Json:
        """Pay orders by one transaction, all at once; return for each the reason of its refusal, or an empty text."""

        async def pay(number: str) -> str:
            try:
                await self._core.recorder.apply(a_fact(an_order(number), transaction_id), source="notify")
            except Mismatch as error:
                return error.reason
            return ""

        return {"outcomes": dict(zip(numbers, await asyncio.gather(*map(pay, numbers)), strict=True))}

    async def refund(self, numbers: Sequence[str], out_refund_no: str) -> Json:
        """Request a refund of each order under one number, all at once; return for each the reason of its refusal, or
        its state."""
        wanted = RefundRequest(refund=60, reason="缺货", out_refund_no=out_refund_no)

        async def refund(number: str) -> str:
            try:
                return (await self._core.refunds.request(number, wanted, by="shop")).state
            except FenpayError as error:
                return error.public_code

        return {"outcomes": dict(zip(numbers, await asyncio.gather(*map(refund, numbers)), strict=True))}

    async def read(self, number: str) -> Json:
        order = await self._core.updates.get(order_key(MCHID, number))
        return {"checks": order.checks}

    async def load(self, prefix: str, loops: int, seconds: float) -> Json:
        """Use the stores as a busy service does, each loop an order of its own; return the result and time of each
        call.

        Callers give up after a while, and a readiness probe is cancelled when it takes too long.
        """
        until = time.monotonic() + seconds
        calls: list[list[Any]] = []
        numbers = [f"{prefix}-order-{i}" for i in range(loops)]
        await self.insert(numbers)
        await asyncio.gather(
            *(self._use(number, calls, until) for number in numbers),
            self._probe(calls, until),
        )
        return {"calls": calls}

    async def _use(self, number: str, calls: list[list[Any]], until: float) -> None:
        key, now = order_key(MCHID, number), self._clock.now()
        for i in count():
            name = f"{number}-{i}"
            steps: tuple[tuple[str, Awaitable[Any]], ...] = (
                ("note", self._core.updates.update(key, _note(name, now))),
                ("insert", self._core.updates.insert(an_order(name))),
                ("reserve", self._storage.numbers.reserve(NumberUse(refund_number(MCHID, name), key))),
                ("read", self._core.updates.get(key)),
                ("list", self._storage.orders.find(trade_state=None, limit=5, cursor="")),
            )
            for kind, step in steps:
                if time.monotonic() < until:
                    await _record(calls, kind, name, step, CALLER_S if i % 2 else None)
                else:
                    cast(Any, step).close()
            if time.monotonic() >= until:
                return

    async def _probe(self, calls: list[list[Any]], until: float) -> None:
        """Probe readiness as a load balancer does."""
        while time.monotonic() < until:
            await _record(calls, "probe", "", self._probed(), PROBE_S)
            await asyncio.sleep(0.2)

    async def _probed(self) -> None:
        for problem in await self._storage.problems():
            raise FenpayError(problem, code="NOT_READY")


async def _record(calls: list[list[Any]], kind: str, name: str, call: Awaitable[Any], limit_s: float | None) -> None:
    started = time.monotonic()
    outcome = "ok"
    try:
        async with asyncio.timeout(limit_s):
            await call
    except TimeoutError:
        outcome = "caller left"
    except FenpayError as error:
        outcome = error.public_code
    except Exception as error:
        outcome = type(error).__name__
    calls.append([kind, name, outcome, started, time.monotonic()])
    await asyncio.sleep(0.01 if outcome == "ok" else 0.1)


async def _few_at_once(work: Sequence[Callable[[], Awaitable[Any]]]) -> list[Exception | None]:
    """Run ``work``, a few at once; return the exception of each, or None."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(each: Callable[[], Awaitable[Any]]) -> Exception | None:
        async with places:
            try:
                await each()
            except Exception as error:
                return error
        return None

    return await asyncio.gather(*map(one, work))


def _note(name: str, now: datetime) -> Transition[Order]:
    return partial(add_note, entry=TimelineEntry(now, name, "merchant"))


def _draft(order: Order, out_refund_no: str) -> Refund:
    """Return a refund of one fen."""
    about = {"out_trade_no": order.out_trade_no, "transaction_id": order.transaction_id, "total": order.total}
    return a_refund(out_refund_no, refund=Fen(1), **about)


def _count(order: Order) -> Order:
    """Change the order so that applying it twice is noticed."""
    return replace(order, checks=order.checks + 1)


async def main(driver: str) -> None:
    logs.setup("critical", "json")
    tasks = Tasks(cast(Driver, driver))
    lines = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        arguments = json.loads(line)
        result = await getattr(tasks, arguments.pop("task"))(**arguments)
        print(json.dumps(result), flush=True)  # noqa: T201 - what the parent waits for
    await tasks.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
