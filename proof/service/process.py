"""A process of the service: the real use cases, workers and gateways over stores and transports that fail.

When it dies, nothing that it does reaches the world any more, and nothing in the world answers it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import time, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from proof.checks.alarms import Alarm
from proof.checks.key_watch import KeyWatch
from proof.checks.refund_sends import RefundSends
from proof.faults import Fault, Faults
from proof.runtime.chance import Chance, SeededRandom
from proof.runtime.outage import Outage
from proof.runtime.ports import InlineThreads, ProcessState, SimulatedClock, TracedTelemetry
from proof.runtime.trace import FAULT, Trace
from proof.service.official_account import World, build_official_account
from proof.service.polls import Polls
from proof.service.receiver import ReachedTarget
from proof.service.store import FaultyDocuments
from proof.wechat.bill_wire import BillDownloads
from proof.wechat.bills import SHARED_NUMBERS
from proof.wechat.merchant import CREDENTIALS, Account, Gateways
from service.compose import (
    Background,
    Core,
    build_book_worker,
    build_books,
    build_core,
    build_workers,
)
from service.parts.core_settings import BillCacheSettings
from storage.documents import BulkDocuments
from storage.memory.storage import MemoryDatabase
from storage.stores.all import Stores
from wechat.domain.errors import NotSent, OutcomeUnknown, SignatureInvalid
from wechat.domain.facts import Api
from wechat.domain.ports import Runtime
from wechat.events.targets import Target
from wechat.refunds.late_payments import LatePolicy
from wechat.support.transport import Answer, Request, Transport
from wechat.support.worker import LONGEST_REST, LOOPS, Worker

T = TypeVar("T")

REST = timedelta(days=1)
"""The longest sleep of workers. ``Polls`` makes those of the service's polls that find something, and skips the
others."""
REST_FROM_BOOKS = timedelta(hours=6)
"""The longest sleep of the worker on the books: it stores a new day after midnight, which is due at ten."""
BILLS_AFTER = time(10, 5)
BILLS_KEPT = timedelta(days=30)
APART_S = 120.0
NO_ANSWER_FROM_WECHAT_S = 5.0
SECONDS_S = 4.0
"""The time of a request or an answer that takes long, and less than the time limit."""


REFUSALS = {
    Fault.WIRE_NEW_CODE: "UNDOCUMENTED_CODE",
    Fault.REFUND_NO_BALANCE: "NOT_ENOUGH",
}


class FaultyWire:
    """``Transport`` to the state machine, with faults of a network and refusals of WeChat.

    ``added`` are faults with a random stream of their own, so that they do not change when the others happen; so have
    the ``deaths`` during downloads.
    """

    def __init__(
        self,
        account: Account,
        api: Api,
        state: ProcessState,
        faults: Faults,
        added: Faults,
        deaths: Faults,
        clock: SimulatedClock,
        sends: RefundSends,
    ) -> None:
        self._account = account
        self._outage = account.outage
        self._api = api
        self._state = state
        self._faults = faults
        self._added = added
        self._sends = sends
        self._clock = clock
        reach_await = partial(state.reach_await, deaths)
        self._bills = BillDownloads(account.bill_desk, faults, clock.now, reach_await, self._tell_of_download)

    async def download(self, host: str, request: Request, sink: Callable[[bytes], None], *, most: int) -> Answer:
        """Download as ``Transport.download`` does."""
        return await self._bills.download(request, sink)

    async def send(self, hosts: Sequence[str], request: Request) -> Answer:
        """Send as ``Transport.send`` does: a repeatable request goes to a second host after an unknown outcome."""
        try:
            return await self._once(request)
        except OutcomeUnknown:
            if not request.repeatable:
                raise
        return await self._once(request)

    async def _once(self, request: Request) -> Answer:
        await self._state.block_if_dead()
        slow = self._faults.happens(Fault.WIRE_SLOW)
        await asyncio.sleep(SECONDS_S if slow else 0.05)
        await self._state.reach_await(self._faults)
        before = self._outage.strike(self._state.name) or self._faults.first(
            Fault.WIRE_NOT_SENT,
            Fault.WIRE_BEFORE,
            Fault.WIRE_500_BEFORE,
            Fault.WIRE_NOT_NOW,
            Fault.WIRE_NEW_CODE,
        )
        if before is None:
            before = self._added.first(Fault.WIRE_FORGED)
        if before is None and request.call == "refund":
            before = self._faults.first(Fault.REFUND_NO_BALANCE)
        if before is not Fault.WIRE_NOT_SENT:
            self._sends.note(request)
        if before:
            return await self._refuse(before, request)
        answer = self._account.answer(self._api, request, self._clock.now())
        self._tell("WeChat", request, str(answer.status))
        if not slow and self._added.happens(Fault.WIRE_LATE):
            await asyncio.sleep(SECONDS_S)
        await self._state.reach_await(self._faults)
        after = self._faults.first(Fault.WIRE_AFTER, Fault.WIRE_500_AFTER, Fault.WIRE_UNSIGNED, Fault.WIRE_WRONG_SIGN)
        return await self._answer_badly(after, answer, request) if after else answer

    async def _refuse(self, fault: Fault, request: Request) -> Answer:
        """Refuse the request without any effect at WeChat."""
        self._tell(FAULT, request, fault)
        if fault is Fault.WIRE_NOT_SENT:
            raise NotSent(request.call)
        if fault is Fault.WIRE_BEFORE:
            await self._time_out(request)
        if fault is Fault.WIRE_500_BEFORE:
            return self._account.server_error(self._api, request)
        if fault is Fault.WIRE_FORGED:
            return self._account.forge_answer(self._api, request, self._clock.now())
        if fault is Fault.WIRE_NOT_NOW:
            return self._account.refuse_for_now(self._api, request)
        if fault is Fault.CREDENTIALS_REFUSED:
            return self._account.refuse_for_now(self._api, request, CREDENTIALS)
        return self._account.refusal(self._api, REFUSALS[fault])

    async def _answer_badly(self, fault: Fault, answer: Answer, request: Request) -> Answer:
        """Return an answer that hides the effect that the request had: none, a 500, or a broken signature."""
        self._tell(FAULT, request, fault)
        if fault is Fault.WIRE_AFTER:
            await self._time_out(request)
        if fault is Fault.WIRE_500_AFTER:
            return self._account.server_error(self._api, request)
        return self._account.break_signature(self._api, request, answer, unsigned=fault is Fault.WIRE_UNSIGNED)

    def _tell(self, what: str, request: Request, detail: str) -> None:
        if what == FAULT:
            self._state.note_trouble()
        orders = self._account.orders_of(request)
        self._state.trace.add_for_each(self._state.name, what, f"{request.call}: {detail}", orders)

    def _tell_of_download(self, detail: str) -> None:
        self._state.note_trouble()
        self._state.trace.add(self._state.name, FAULT, detail)

    async def _time_out(self, request: Request) -> None:
        """Raise OutcomeUnknown after the time limit."""
        await asyncio.sleep(NO_ANSWER_FROM_WECHAT_S)
        await self._state.block_if_dead()
        raise OutcomeUnknown(request.call)


@dataclass(frozen=True, slots=True)
class Environment:
    """The parts that all processes share. ``clock`` shows the true time; ``on_write`` as in ``FaultyDocuments``;
    ``bills_in`` returns the folder of bills of the process in a slot."""

    database: MemoryDatabase
    store_outage: Outage
    account: Account
    official_account: World
    targets: Sequence[Target]
    faults: Faults
    chance: Chance
    clock: SimulatedClock
    trace: Trace
    on_write: Callable[[str, str, str], None]
    late_policy: LatePolicy
    polls: Polls
    alarms: list[Alarm]
    bills_in: Callable[[int], Path]


class ServiceProcess:
    """The core of the service as ``compose`` builds it, without handlers. ``number`` counts the processes so far."""

    def __init__(self, slot: int, number: int, environment: Environment) -> None:
        account, name = environment.account, f"process {slot + 1}"
        environment.faults.occurrences.forget(name)
        faults = environment.faults.of(name, f"process {number}")
        stream = environment.chance.stream(f"process {number}")
        apart = timedelta(seconds=stream.uniform(-APART_S, APART_S) if faults.lasts(Fault.CLOCK_APART) else 0)
        state = ProcessState(name, environment.trace)
        self.state = state
        self._number = number
        self.clock = SimulatedClock(asyncio.get_running_loop(), environment.clock.offset + apart)
        threads = InlineThreads(state, faults.of(name, f"process {number}, threads"))
        telemetry = TracedTelemetry(state, self.clock, environment.alarms)
        runtime = Runtime(self.clock, SeededRandom(stream), telemetry, threads)

        def collection(name: str) -> BulkDocuments:
            own = faults.of(state.name, f"process {number}, {name}")
            inner, outage = environment.database[name], environment.store_outage
            added = faults.of(state.name, f"process {number}, {name}, answers")
            documents = FaultyDocuments(inner, name, state, own, added, outage, environment.on_write)
            return cast(BulkDocuments, documents)

        wires = _connect(state, number, environment)
        apart_from_core = replace(runtime, random=SeededRandom(environment.chance.stream(f"process {number}, account")))
        gateways = account.gateways(wires, runtime, apart_from_core)
        stores = Stores(collection, self.clock, runtime.random)
        terms = account.terms(environment.late_policy)
        core = build_core(stores, gateways.orders, gateways.refunds, terms, runtime, self.clock)
        self.orders, self.refunds, self.receiver = core.orders, core.refunds, core.receiver
        self.redelivery = core.redelivery
        bills = BillCacheSettings(environment.bills_in(slot), BILLS_AFTER, BILLS_KEPT, (SHARED_NUMBERS,))
        self.books = build_books(core, gateways.bills, bills, account.mchid, runtime)
        self.account = build_official_account(environment.official_account, state, apart_from_core, number)
        self._watch_keys(gateways, environment)
        self._start_workers(core, environment, runtime, stream)

    def _watch_keys(self, gateways: Gateways, environment: Environment) -> None:
        self.ring = gateways.ring
        self._key_watch = KeyWatch(environment.account.keys, environment.clock, environment.official_account.report)
        self.ring.on_replaced = self._key_watch.on_download
        self._background: list[Background] = [gateways.certificates] if gateways.certificates else []
        for part in self._background:
            part.start()

    def _start_workers(self, core: Core, environment: Environment, runtime: Runtime, stream: random.Random) -> None:
        """Build and start the workers, and create the process's polls, which wake them."""
        faults = environment.faults.of(self.state.name, f"process {self._number}, deliveries")
        targets = [ReachedTarget(target, self.state, faults) for target in environment.targets]
        self._workers: list[Worker[Any]] = [
            *build_workers(core, targets, runtime, LOOPS, REST, REST, LONGEST_REST),
            build_book_worker(self.books, runtime, REST_FROM_BOOKS),
        ]
        for worker in self._workers:
            worker.start()
        self._polls = environment.polls.of_process(self.clock, self._workers, stream)

    def leap(self, by: timedelta) -> None:
        """Set the process's clock ahead."""
        self.clock.leap(by)
        self._polls.look()

    async def receive(self, headers: Mapping[str, str], body: bytes) -> None:
        """Receive a message as /notify does. Raises as the receiver does."""
        known = self._key_watch.known
        try:
            await self.receiver.receive(headers, body)
        except SignatureInvalid as error:
            self._key_watch.on_refusal(headers, error.reason, known)
            raise

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of ``work``, which continues when the caller gives up, as a handler does."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # callers may have gone
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop the background work of a dead process."""
        self._polls.close()
        for part in (*self._workers, *self._background):
            await part.close()
        await self.account.tokens.close()


def _connect(state: ProcessState, number: int, environment: Environment) -> dict[Api, Transport]:
    """Return the transports of a process to WeChat Pay."""
    faults = environment.faults.of(state.name, f"process {number}, wire")
    added = environment.faults.of(state.name, f"process {number}, forgers")
    deaths = environment.faults.of(state.name, f"process {number}, downloads")
    sends = RefundSends(environment.official_account.report)
    account, clock = environment.account, environment.clock
    return {api: cast(Transport, FaultyWire(account, api, state, faults, added, deaths, clock, sends)) for api in Api}
