"""The core of the service over memory, with gateways of the test: several processes over one database.

A process can be made to die at a call to the outside, before the call or after its effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, cast

from storage.documents import BulkDocuments, Document, Encoded
from storage.memory.storage import MemoryDatabase
from storage.stores.all import CLAIMS, DELIVERIES, NOTIFICATIONS, NUMBERS, ORDERS, Stores
from storage.stores.notifications import NOTIFICATION
from storage.stores.order_codec import ORDER
from tests.support.clock import ManualClock
from tests.support.runtime import InlineThreads, RandomIds, RecordedTelemetry
from wechat.domain.errors import FenpayError, StoreUnavailable
from wechat.domain.facts import Api
from wechat.domain.messages import StoredNotification
from wechat.domain.metrics import Metric
from wechat.domain.numbers import NumberUse, refund_number
from wechat.domain.orders import Order, Refund
from wechat.domain.ports import Clock, OrderStore, Random, Runtime
from wechat.notifications.receiver import NotificationReceiver, Receivers
from wechat.notifications.refusals import Refusals
from wechat.orders.drafts import Item, OrderDefaults
from wechat.orders.payments import PaymentRecorder
from wechat.orders.service import Orders
from wechat.orders.updates import OrderUpdates
from wechat.orders.worker import OrderWork
from wechat.pay.gateway import Gateway, RefundGateway
from wechat.refunds.drafts import RefundDefaults
from wechat.refunds.late_payments import LatePayments, LatePolicy
from wechat.refunds.service import Refunds
from wechat.slips.finder import SlipFinder
from wechat.support.claims import Claims
from wechat.support.worker import LOOPS, Worker

SAME: Mapping[Api, Api] = MappingProxyType({api: api for api in Api})
DEFAULTS = OrderDefaults(
    "wxsim0123456789", "sim1900000109", Api.V3, "https://pay.example.com/notify", timedelta(minutes=30), 10_000, 9
)


class SimulatedCrash(Exception):
    """The process ended here."""


@dataclass
class CrashPoint:
    """Counts calls to the outside; the process ends at call ``at``, before it or after its effect."""

    at: int = 0
    after: bool = False
    calls: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended: none of its calls reaches the world any more."""
        return bool(self.at) and self.calls >= self.at


class CrashingProxy:
    """An object with async methods, which work until the process has crashed."""

    def __init__(self, inner: object, crash_point: CrashPoint) -> None:
        self._inner, self._crash_point = inner, crash_point

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._crash_point.has_ended:
                raise SimulatedCrash
            self._crash_point.calls += 1
            ends = self._crash_point.calls == self._crash_point.at
            if ends and not self._crash_point.after:
                raise SimulatedCrash
            result = await method(*args, **kwargs)
            if ends:
                raise SimulatedCrash
            return result

        return call


class CrashingDocuments(CrashingProxy):
    """A collection that works until the process has crashed. Encoding is not a call to the outside."""

    def __init__(self, inner: BulkDocuments, crash_point: CrashPoint) -> None:
        super().__init__(inner, crash_point)
        self._documents = inner

    def encode(self, document: Document, write: str) -> Encoded:
        return self._documents.encode(document, write)


class DownDocuments:
    """The collection ``name``, which does not answer while it is in ``down``."""

    def __init__(self, inner: BulkDocuments, name: str, down: set[str]) -> None:
        self._inner, self._name, self._down = inner, name, down

    def encode(self, document: Document, write: str) -> Encoded:
        return self._inner.encode(document, write)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._name in self._down:
                raise StoreUnavailable
            return await getattr(self._inner, name)(*args, **kwargs)

        return call


@dataclass
class Backend:
    """The parts that all processes share: the database, the clock, the metrics. ``down`` are collections that do not
    answer."""

    clock: ManualClock
    telemetry: RecordedTelemetry = field(default_factory=RecordedTelemetry)
    down: set[str] = field(default_factory=set)
    random: Random = field(default_factory=RandomIds)

    def __post_init__(self) -> None:
        self.database = MemoryDatabase(self.clock)

    def stores(self, crash_point: CrashPoint | None = None) -> Stores:
        """Return the stores of one process."""

        def collection(name: str) -> BulkDocuments:
            documents = cast(BulkDocuments, DownDocuments(self.database[name], name, self.down))
            return cast(BulkDocuments, CrashingDocuments(documents, crash_point)) if crash_point else documents

        return Stores(collection, self.clock, self.random)

    def runtime(self, clock: Clock | None = None) -> Runtime:
        return Runtime(clock or self.clock, self.random, self.telemetry, InlineThreads())

    # -- direct access to the stored data ----------------------------------------------------------------------------

    def put(self, order: Order) -> Order:
        """Store ``order``, in place of one with its number, and reserve the numbers of its refunds."""
        document = ORDER.write(order) | {"_id": order.key, "schema": 1, "writes": ["test"]}
        held = self.database[ORDERS].peek(order.key)
        self.database[ORDERS].poke(document | {"rev": held["rev"] + 1 if held else 1})
        for refund in order.refunds:
            number = refund_number(order.mchid, refund.out_refund_no)
            use = NumberUse(number, order.key)
            self.database[NUMBERS].poke({"_id": use.number, "order": use.order_key, "rev": 1, "writes": ["test"]})
        return order

    @property
    def orders(self) -> dict[str, Order]:
        """The stored orders by out_trade_no."""
        found = [ORDER.read(document) for document in self.database[ORDERS].everything()]
        return {order.out_trade_no: order for order in found}

    @property
    def refunds(self) -> dict[str, Refund]:
        """The stored refunds by out_refund_no."""
        return {refund.out_refund_no: refund for order in self.orders.values() for refund in order.refunds}

    @property
    def staged(self) -> list[tuple[str, str]]:
        """The events that were staged, each as (the number of its refund or order, its type)."""
        return [
            (event.out_refund_no or order.out_trade_no, event.type.value)
            for order in self.orders.values()
            for event in order.outbox
        ]

    @property
    def messages(self) -> list[StoredNotification]:
        """The stored notifications."""
        return [NOTIFICATION.read(document) for document in self.database[NOTIFICATIONS].everything()]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of documents in each collection."""
        names = (ORDERS, NUMBERS, CLAIMS, NOTIFICATIONS, DELIVERIES)
        return {name: len(self.database[name].everything()) for name in names}


class StrictWork(OrderWork):
    """Work on orders that raises exceptions of a job's part, which a worker only logs."""

    async def _count(self, metric: Metric, work: Callable[[], Awaitable[None]]) -> None:
        with suppress(FenpayError):
            await work()


class Core:
    """The use cases of orders, refunds and notifications in one process."""

    def __init__(
        self,
        backend: Backend,
        gateways: Mapping[Api, Gateway] | None = None,
        refund_gateways: Mapping[Api, RefundGateway] | None = None,
        *,
        policy: LatePolicy = LatePolicy.ASK,
        route: Mapping[Api, Api] = SAME,
        defaults: OrderDefaults = DEFAULTS,
        catalogue: Mapping[str, Item] | None = None,
        crash_point: CrashPoint | None = None,
        updates: Callable[[OrderStore, Runtime], OrderUpdates] = OrderUpdates,
        under_way_s: float = 0.0,
    ) -> None:
        runtime = backend.runtime()
        self.backend = backend
        self.stores = backend.stores(crash_point)
        self.updates = updates(self.stores.orders, runtime)
        self.recorder = PaymentRecorder(self.updates, self.stores.numbers, defaults.mchid, runtime)
        claims = Claims(self.stores.claims, runtime)
        self.orders = Orders(defaults, catalogue or {}, gateways or {}, self.updates, self.recorder, claims, runtime)
        refund_defaults = RefundDefaults(defaults.mchid, route, defaults.notify_url)
        self.refunds = Refunds(
            refund_defaults,
            refund_gateways or {},
            self.updates,
            self.stores.numbers,
            claims,
            runtime,
            under_way_s=under_way_s,
        )
        self.late_payments = LatePayments(policy, self.refunds, self.updates, runtime)
        parts = (self.stores.orders, self.updates, self.orders, self.refunds, self.late_payments, runtime)
        self.work, self._strict_work = OrderWork(*parts), StrictWork(*parts)
        self.worker = Worker(self.work, runtime)
        receivers = Receivers(self.orders, self.recorder, self.refunds, self.late_payments)
        self.refusals = Refusals(self.stores.refused, SlipFinder(None, runtime), runtime, backend.clock)
        self.receiver = NotificationReceiver(
            gateways or {}, self.stores.notifications, receivers, self.refusals, runtime
        )

    async def do_due_work(self) -> None:
        """Do the workers' work until nothing is due."""
        while await self.worker.once():
            pass

    async def work_once(self) -> bool:
        """Do the work that is due now, one job after the other; return whether there was any. Exceptions of jobs are
        raised."""
        jobs = await self._strict_work.claim(LOOPS)
        for job in jobs:
            await self._strict_work.run(job)
        return bool(jobs)
