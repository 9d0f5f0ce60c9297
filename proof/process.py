"""One process of the service: the real use cases, workers and gateways over stores and a wire that fail.

It dies without a word: from then on nothing that it does reaches the world, and nothing in the world answers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from proof.chance import Chance, SeededRandom
from proof.faults import Fault, Faults
from proof.merchant import Account
from proof.trace import Trace
from storage.documents import BulkDocuments, Document, Encoded, Range, Replacement
from storage.memory.storage import MemoryDatabase
from storage.stores.all import Stores
from wechat.domain.errors import NotSent, OutcomeUnknown, StoreUnavailable
from wechat.domain.facts import Api
from wechat.domain.metrics import Metric
from wechat.domain.ports import Runtime
from wechat.events.delivery_worker import DeliveryWorker
from wechat.events.relay import RelayWork
from wechat.events.targets import Target
from wechat.notifications.receiver import NotificationReceiver, Receivers
from wechat.orders.payments import PaymentRecorder
from wechat.orders.service import OrderDefaults, Orders
from wechat.orders.updates import OrderUpdates
from wechat.orders.worker import OrderWork
from wechat.refunds.late_payments import LatePayments, LatePolicy
from wechat.refunds.service import RefundDefaults, Refunds
from wechat.support.claims import Claims
from wechat.support.worker import Worker
from wechat.transport import Answer, Request, Transport

T = TypeVar("T")

START = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
"""Noon in Beijing."""
REST = timedelta(minutes=30)
"""How long workers rest at most. The service's own rests are seconds; this leaves simulated time to skip."""
NO_ANSWER_S = 2.0
APART_S = 120.0
TOTAL_S = 10.0


class SimulatedClock:
    """``Clock`` of one process: the loop's time, apart from the true one by ``offset``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, offset: timedelta = timedelta(0)) -> None:
        self._loop = loop
        self._offset = offset
        self._version = 0
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        moment = START + self._offset + timedelta(seconds=self._loop.time())
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    @property
    def version(self) -> int:
        return self._version

    def leap(self, by: timedelta) -> None:
        """Set it ahead."""
        self._offset += by
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def sleep_until(self, moment: datetime, version: int) -> None:
        try:
            async with asyncio.timeout(max(0.0, (moment - self.now()).total_seconds())):
                while self._version == version:
                    await self._changed.wait()
        except TimeoutError:
            return


class NoThreads:
    """``Threads`` that nobody may use."""

    async def run(self, work: Callable[[], T]) -> T:
        raise RuntimeError("there are no threads here")


@dataclass(slots=True)
class Life:
    """Whether a process lives. ``alarms`` is where its alarms go."""

    name: str
    trace: Trace
    alarms: list[tuple[str, str]]
    alive: bool = True
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    async def must_go_on(self) -> None:
        """Return while the process lives; a dead one waits here for ever."""
        if not self.alive:
            self.waiting.append(asyncio.get_running_loop().create_future())
            await self.waiting[-1]


class Telemetry:
    """``Telemetry`` that keeps the alarms."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Nobody reads it."""

    def measure(self, metric: Metric, value: float, *labels: str) -> None:
        """Nobody reads it."""

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Nobody reads it."""

    def alarm(self, kind: str, out_trade_no: str = "", *, day: str = "", error: str = "") -> None:
        if self._life.alive:
            self._life.alarms.append((kind, out_trade_no or day))
            self._life.trace.add(self._life.name, "alarm", kind, out_trade_no)


class FaultyDocuments:
    """``BulkDocuments`` of one process over the shared memory, with a server's faults.

    ``written`` is called with each id whose document was written.
    """

    def __init__(
        self, inner: BulkDocuments, name: str, life: Life, faults: Faults, written: Callable[[str, str], None]
    ) -> None:
        self._inner = inner
        self._name = name
        self._life = life
        self._faults = faults
        self._written = written

    def encode(self, document: Document, write: str) -> Encoded:
        return self._inner.encode(document, write)

    async def insert_many(self, batch: Sequence[Encoded]) -> Sequence[bool | Exception]:
        return await self._write(batch, self._inner.insert_many, [encoded.id for encoded in batch])

    async def replace_many(self, batch: Sequence[Replacement]) -> Sequence[bool | Exception]:
        return await self._write(batch, self._inner.replace_many, [each.encoded.id for each in batch])

    async def get_many(self, ids: Sequence[str]) -> Any:
        return await self._read(lambda: self._inner.get_many(ids))

    async def find(self, wanted: Range) -> list[Document]:
        return await self._read(lambda: self._inner.find(wanted))

    async def find_equal(self, field: str, value: str, limit: int) -> list[Document]:
        return await self._read(lambda: self._inner.find_equal(field, value, limit))

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        await self._reach_server()
        if self._faults.strikes(Fault.STORE_BEFORE):
            await self._fail("read")
        found = await read()
        await self._life.must_go_on()
        return found

    async def _write(
        self,
        batch: Sequence[T],
        write: Callable[[Sequence[T]], Awaitable[Sequence[bool | Exception]]],
        ids: Sequence[str],
    ) -> Sequence[bool | Exception]:
        await self._reach_server()
        fault = self._faults.first(Fault.STORE_BEFORE, Fault.STORE_AFTER, Fault.STORE_LATE, Fault.STORE_HALF)
        if fault is Fault.STORE_BEFORE:
            await self._fail("write")
        if fault is Fault.STORE_LATE:
            asyncio.get_running_loop().call_later(3.0, self._write_late, batch, write, ids)
            await self._fail("write (late)")
        part = batch[: len(batch) // 2] if fault is Fault.STORE_HALF else batch
        results = await write(part)
        for identity, result in zip(ids, results, strict=False):
            if result is True:
                self._written(self._name, identity)
        if fault:
            await self._fail("write (done)")
        await self._life.must_go_on()
        return results

    def _write_late(self, batch: Any, write: Any, ids: Sequence[str]) -> None:
        """The write arrives after its sender has given it up. Writes to memory end without waiting."""
        try:
            write(batch).send(None)
        except StopIteration as done:
            for identity, result in zip(ids, done.value, strict=False):
                if result is True:
                    self._written(self._name, identity)

    async def _reach_server(self) -> None:
        await self._life.must_go_on()
        await asyncio.sleep(1.5 if self._faults.strikes(Fault.STORE_SLOW) else 0.002)
        await self._life.must_go_on()

    async def _fail(self, what: str) -> None:
        self._life.trace.add(self._life.name, "store fails", f"{what} {self._name}")
        await asyncio.sleep(NO_ANSWER_S)
        await self._life.must_go_on()
        raise StoreUnavailable


class FaultyWire:
    """``Transport`` to the state machine, with a network's faults and WeChat's moods."""

    def __init__(self, account: Account, api: Api, life: Life, faults: Faults, true_clock: SimulatedClock) -> None:
        self._account = account
        self._api = api
        self._life = life
        self._faults = faults
        self._clock = true_clock

    async def send(self, hosts: Sequence[str], request: Request) -> Answer:
        """As ``Transport.send``: a repeatable request goes to a second host after an unknown outcome."""
        try:
            return await self._once(request)
        except OutcomeUnknown:
            if not request.repeatable:
                raise
        return await self._once(request)

    async def _once(self, request: Request) -> Answer:
        await self._life.must_go_on()
        await asyncio.sleep(4.0 if self._faults.strikes(Fault.WIRE_SLOW) else 0.05)
        await self._life.must_go_on()
        before = self._faults.first(
            Fault.WIRE_NOT_SENT,
            Fault.WIRE_BEFORE,
            Fault.WIRE_500_BEFORE,
            Fault.WIRE_NOT_NOW,
            Fault.WIRE_NEW_CODE,
        )
        if before:
            return await self._refuse(before, request)
        answer = self._account.answer(self._api, request, self._clock.now())
        self._life.trace.add(self._life.name, "WeChat", f"{request.call} {answer.status}")
        await self._life.must_go_on()
        after = self._faults.first(Fault.WIRE_AFTER, Fault.WIRE_500_AFTER, Fault.WIRE_UNSIGNED, Fault.WIRE_WRONG_SIGN)
        return await self._spoil(after, answer, request) if after else answer

    async def _refuse(self, fault: Fault, request: Request) -> Answer:
        """Nothing happens at WeChat."""
        self._life.trace.add(self._life.name, "fault", f"{request.call}: {fault}")
        if fault is Fault.WIRE_NOT_SENT:
            raise NotSent(request.call)
        if fault is Fault.WIRE_BEFORE:
            await asyncio.sleep(TOTAL_S / 2)
            await self._life.must_go_on()
            raise OutcomeUnknown(request.call)
        if fault is Fault.WIRE_500_BEFORE:
            return Answer(500, {}, b"")
        code = "SIGN_ERROR" if fault is Fault.WIRE_NOT_NOW else "TEA_BREAK"
        return self._account.refusal(self._api, code)

    async def _spoil(self, fault: Fault, answer: Answer, request: Request) -> Answer:
        """It happened, and what comes back does not say so."""
        self._life.trace.add(self._life.name, "fault", f"{request.call}: {fault}")
        if fault is Fault.WIRE_AFTER:
            await asyncio.sleep(TOTAL_S / 2)
            await self._life.must_go_on()
            raise OutcomeUnknown(request.call)
        if fault is Fault.WIRE_500_AFTER:
            return Answer(500, {}, b"")
        return self._account.spoil(self._api, answer, unsigned=fault is Fault.WIRE_UNSIGNED)


class ServiceProcess:
    """The service as ``compose`` builds it, without handlers: placed, notified and worked by methods."""

    def __init__(
        self,
        name: str,
        database: MemoryDatabase,
        account: Account,
        target: Target,
        faults: Faults,
        chance: Chance,
        true_clock: SimulatedClock,
        life: Life,
        written: Callable[[str, str], None],
        policy: LatePolicy,
    ) -> None:
        loop = asyncio.get_running_loop()
        stream = chance.stream(name)
        apart = timedelta(seconds=stream.uniform(-APART_S, APART_S) if faults.lasts(Fault.CLOCK_APART) else 0)
        self.life = life
        self.clock = SimulatedClock(loop, apart)
        runtime = Runtime(self.clock, SeededRandom(stream), Telemetry(life), NoThreads())

        def collection(documents: str) -> BulkDocuments:
            return cast(BulkDocuments, FaultyDocuments(database[documents], documents, life, faults, written))

        self._stores = Stores(collection, self.clock, runtime.random)
        wires = {api: cast(Transport, FaultyWire(account, api, life, faults, true_clock)) for api in Api}
        gateways, refund_gateways = account.gateways(wires, self.clock, runtime.random)
        self.updates = OrderUpdates(self._stores.orders, runtime)
        recorder = PaymentRecorder(self.updates, self._stores.numbers, account.mchid, runtime)
        claims = Claims(self._stores.claims, runtime)
        defaults = OrderDefaults(
            account.appid, account.mchid, Api.V3, account.notify_url, timedelta(minutes=30), 10_000_000, 9
        )
        self.orders = Orders(defaults, {}, gateways, self.updates, recorder, claims, runtime)
        refunds = RefundDefaults(account.mchid, {api: api for api in Api}, account.notify_url)
        self.refunds = Refunds(refunds, refund_gateways, self.updates, self._stores.numbers, claims, runtime)
        late = LatePayments(policy, self.refunds, self.updates, runtime)
        receivers = Receivers(recorder, self.refunds, late)
        self.receiver = NotificationReceiver(gateways, self._stores.notifications, receivers, runtime)
        self._workers = self._compose_workers(target, late, runtime)
        for worker in self._workers:
            worker.start()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which goes on when the caller gives up, as a handler does."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask for it
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop its workers, once it is dead or all is over."""
        self.life.alive = False
        for worker in self._workers:
            await worker.close()

    def _compose_workers(self, target: Target, late: LatePayments, runtime: Runtime) -> Sequence[Worker[Any]]:
        stores, updates = self._stores, self.updates
        deliveries = DeliveryWorker(target, stores.deliveries, runtime, REST)
        relay = RelayWork(stores.orders, updates, stores.deliveries, [target], runtime, [deliveries])
        relay_worker = Worker(relay, runtime, 16, REST)
        order_work = OrderWork(stores.orders, updates, self.orders, self.refunds, late, runtime)
        order_worker = Worker(order_work, runtime, 16, REST)
        updates.on_due = order_worker.wake

        def hand_out(order: Any) -> None:
            relay.add(order)
            relay_worker.wake()

        updates.on_events = hand_out
        return [order_worker, relay_worker, deliveries]
