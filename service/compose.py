"""The composition root: everything that handlers and background workers need, built from the settings.

``server.py`` and the drill use all of it, the simulation in ``proof`` its core. Nothing here connects to anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from handlers.web import plugin
from handlers.web.services import Books, Probe, Services
from service.clocks import SimulatorClock, SystemClock
from service.parts import gateways
from service.parts.alarm_channels import build_channels
from service.parts.core_settings import (
    BillCacheSettings,
    CoreSettings,
    read_bill_settings,
    read_catalogue,
    read_core_settings,
)
from service.parts.insight import build_insight, build_summary_worker
from service.parts.recording import record_calls
from service.parts.staff import build_staff
from service.runtime import PrometheusTelemetry, SystemRandom, ThreadPool
from service.settings.model import Settings
from storage.memory.storage import MemoryStorage
from storage.mongo.storage import MongoStorage
from storage.redis.news_channel import NewsChannel
from storage.redis.token_cache import TokenCache
from storage.stores.all import Stores
from wechat.account.client import AccountClient
from wechat.account.jssdk import JsSdk
from wechat.account.oauth import OAuth
from wechat.account.tokens import Credentials, Tokens
from wechat.alarms.announcer import Announcer
from wechat.alarms.board import AlarmBoard
from wechat.diagnosis.diagnosis import Diagnosis
from wechat.diagnosis.health import Health, Sources
from wechat.domain.errors import StoreUnavailable
from wechat.domain.events import OF_ORDERS
from wechat.domain.facts import Api
from wechat.domain.orders import Order
from wechat.domain.ports import Clock, Runtime, TokenStore
from wechat.events.delivery_worker import DeliveryWorker
from wechat.events.notices import NoticeForwarder
from wechat.events.redelivery import Redelivery
from wechat.events.relay import LONGEST_REST as RELAY_REST
from wechat.events.relay import RelayWork
from wechat.events.targets import Target
from wechat.events.trials import WebhookTrials
from wechat.events.webhooks import Webhook
from wechat.notifications.receiver import NotificationReceiver, Receivers
from wechat.notifications.refusals import Refusals
from wechat.orders.payments import PaymentRecorder
from wechat.orders.service import Orders
from wechat.orders.updates import ALARMING, OrderUpdates
from wechat.orders.worker import OrderWork
from wechat.pay.bills.gateways import BillGateway
from wechat.pay.gateway import Gateway, RefundGateway
from wechat.reconciliation.bill_cache import BillCache
from wechat.reconciliation.days import DayLease
from wechat.reconciliation.reconciler import Reconciler
from wechat.reconciliation.records import BookRecords
from wechat.reconciliation.repairs import Repairs
from wechat.reconciliation.worker import LONGEST_REST as BOOK_REST
from wechat.reconciliation.worker import BookWork
from wechat.refunds.late_payments import LatePayments
from wechat.refunds.service import Refunds
from wechat.slips.client_errors import ClientErrors
from wechat.slips.finder import SlipFinder
from wechat.support.claims import Claims
from wechat.support.news import NewsFeed
from wechat.support.plugin_storage import PluginStorage
from wechat.support.rate_limit import RateLimit
from wechat.support.shared_news import SharedNews
from wechat.support.transport import Transport
from wechat.support.worker import LONGEST_REST, Worker

CALLS, CALLS_PER_S, MOST_CALLERS = 100, 20.0, 10_000
"""Limits per payer or address: calls at once, calls per second, and the number of payers and addresses; as high as in
deploy/nginx.conf, because many payers may share an address."""

Storage = MongoStorage | MemoryStorage


class Closing(Protocol):
    async def close(self) -> None: ...


class Background(Closing, Protocol):
    def start(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Process:
    """The composed service before its start: ``background`` is to be started, ``closing`` to be closed in reverse
    order."""

    services: Services
    storage: Storage
    clock: SystemClock
    background: Sequence[Background]
    closing: Sequence[Closing]
    transports: Sequence[Transport]


@dataclass(frozen=True, slots=True)
class Core:
    """The use cases of orders, refunds and notifications."""

    store: Stores
    updates: OrderUpdates
    orders: Orders
    refunds: Refunds
    late_payments: LatePayments
    redelivery: Redelivery
    receiver: NotificationReceiver
    finder: SlipFinder


@dataclass(frozen=True, slots=True)
class Account:
    """The Official Account: its API, its tokens, and the JS-SDK signatures of pages."""

    client: AccountClient
    tokens: Tokens
    jssdk: JsSdk


def compose(settings: Settings, mongo_url: str, redis_url: str, telemetry: PrometheusTelemetry) -> Process:
    """Build everything: signatures are dated by ``machine``, everything else by ``clock``. Raises ConfigError."""
    transport, machine = Transport(telemetry), SystemClock()
    clock, runtime, feed = _runtime(settings, transport, machine, telemetry)
    pay = gateways.build(settings, transport, Runtime(machine, runtime.random, telemetry, runtime.threads))
    storage, token_store = _storage(settings, mongo_url, runtime), _token_cache(settings, redis_url, clock)
    core = build_core(storage, pay.gateways, pay.refunds, read_core_settings(settings), runtime, machine)
    account = _account(settings, transport, token_store, runtime)
    hooks, alarms = _webhooks(settings, machine), _alarm_board(settings, core, runtime, machine, telemetry)
    services = Services(
        settings=settings,
        clock=clock,
        orders=core.orders,
        refunds=core.refunds,
        books=_books(settings, core, pay, runtime),
        staff=build_staff(settings, core.store, token_store, runtime, machine),
        receiver=core.receiver,
        alarms=alarms,
        feed=feed,
        client_errors=ClientErrors(core.orders, core.updates, account.jssdk, core.finder, runtime),
        health=_health(settings, transport, pay, account, core, alarms, runtime),
        diagnosis=_diagnosis(core, clock),
        insight=build_insight(settings.pay.mchid, core.store, core.updates, runtime),
        oauth=OAuth(account.client, _credentials(settings), settings.account.open_url, token_store),
        jssdk=account.jssdk,
        order_store=core.store.orders,
        notification_store=core.store.notifications,
        delivery_store=core.store.deliveries,
        redelivery=core.redelivery,
        webhook_trials=WebhookTrials(hooks, settings.pay.mchid, runtime),
        token_store=token_store,
        probes={"mongo": _probe(storage)},
        unindexed=lambda: storage.unindexed,
        catalogue=read_catalogue(settings),
        callers=RateLimit(clock, CALLS, CALLS_PER_S, MOST_CALLERS),
        plugin_storage=lambda name: PluginStorage(core.store.plugin_records, name, runtime),
    )
    background = _background(core, pay, services, hooks, [transport, *pay.closing], redis_url, runtime)
    parts = [transport, *pay.closing, storage, services.staff.api_keys, token_store, account.tokens, *hooks, clock]
    return Process(services, storage, clock, background, [*parts, core.finder, *background], [transport, *pay.closing])


def _books(settings: Settings, core: Core, pay: gateways.Pay, runtime: Runtime) -> Books:
    bills, mchid = pay.bills[settings.pay.api], settings.pay.mchid
    return build_books(core, bills, read_bill_settings(settings), mchid, runtime)


def _background(
    core: Core,
    pay: gateways.Pay,
    services: Services,
    webhooks: Sequence[Webhook],
    transports: Sequence[Transport],
    redis_url: str,
    runtime: Runtime,
) -> list[Background]:
    """Return the background tasks, in the order of their start; they are closed in reverse."""
    settings = services.settings
    calls = record_calls(settings.calls, core.store.calls, transports, core.receiver, runtime)
    targets: list[Target] = [*webhooks, *plugin.subscribers(settings.plugin_names, services)]
    workers = [
        *build_workers(core, targets, runtime, settings.workers.loops),
        build_book_worker(services.books, runtime),
        build_summary_worker(settings.pay.mchid, core.store, core.updates, runtime),
    ]
    news = SharedNews(services.feed, NewsChannel(redis_url, settings.redis.prefix), runtime.random)
    return [*calls, *pay.background, services.alarms, services.health, services.insight.live, news, *workers]


def _runtime(
    settings: Settings, transport: Transport, machine: SystemClock, telemetry: PrometheusTelemetry
) -> tuple[SystemClock, Runtime, NewsFeed]:
    """Return the runtime of the use cases: clock, randomness, telemetry, threads and news."""
    clock = SimulatorClock(transport, settings.simulator_url) if settings.simulator_url else machine
    telemetry.feed = feed = NewsFeed(clock)
    return clock, Runtime(clock, SystemRandom(), telemetry, ThreadPool()), feed


def _account(settings: Settings, transport: Transport, token_store: TokenStore, runtime: Runtime) -> Account:
    origins = (settings.http.origin, *settings.account.js_origins)
    return build_account(transport, settings.account.api_url, _credentials(settings), origins, token_store, runtime)


def _alarm_board(
    settings: Settings, core: Core, runtime: Runtime, machine: Clock, telemetry: PrometheusTelemetry
) -> AlarmBoard:
    """Return the board that receives every alarm of the process."""
    announcer = Announcer(build_channels(settings.alarms, runtime, machine), runtime)
    board = AlarmBoard(core.store.alarms, announcer, runtime)
    telemetry.on_alarm = board.raise_alarm
    return board


def _health(
    settings: Settings,
    transport: Transport,
    pay: gateways.Pay,
    account: Account,
    core: Core,
    alarms: AlarmBoard,
    runtime: Runtime,
) -> Health:
    ask = gateways.harmless_query(settings, pay.gateways[settings.pay.api])
    sources = Sources(pay.ring, account.tokens, transport.contact, core.receiver, pay.ends, ask, SystemClock())
    return Health(sources, runtime, alarms.clear)


def _token_cache(settings: Settings, url: str, clock: Clock) -> TokenCache:
    return TokenCache(url, clock, f"{settings.redis.prefix}{settings.account.appid}:")


def _diagnosis(core: Core, clock: Clock) -> Diagnosis:
    return Diagnosis(core.orders, core.store.notifications, core.receiver.refusals, core.store.deliveries, clock)


def _credentials(settings: Settings) -> Credentials:
    account = settings.account
    return Credentials(account.appid, account.appsecret.get_secret_value(), account.token_call)


def _webhooks(settings: Settings, machine: SystemClock) -> list[Webhook]:
    return [
        Webhook(hook.name, hook.url, hook.keys, hook.events, machine, allow_private=hook.allow_private)
        for hook in settings.webhooks
    ]


def _storage(settings: Settings, mongo_url: str, runtime: Runtime) -> Storage:
    if settings.in_memory:
        return MemoryStorage(runtime.clock, runtime.random)
    database, driver = settings.mongo.database, settings.mongo.driver
    return MongoStorage(mongo_url, database, driver, clock=runtime.clock, random=runtime.random)


def build_account(
    transport: Transport,
    api_url: str,
    credentials: Credentials,
    origins: Sequence[str],
    token_store: TokenStore,
    runtime: Runtime,
) -> Account:
    """Build the clients of the account that need its access_token or jsapi_ticket, which all processes share."""
    client = AccountClient(transport, api_url)
    tokens = Tokens(client, credentials, token_store, runtime)
    return Account(client, tokens, JsSdk(credentials.appid, tokens, origins, runtime))


def build_core(
    store: Stores,
    pay_gateways: Mapping[Api, Gateway],
    refund_gateways: Mapping[Api, RefundGateway],
    terms: CoreSettings,
    runtime: Runtime,
    machine: Clock,
) -> Core:
    """Build the use cases of orders, refunds and notifications. ``machine`` dates signatures."""
    mchid = terms.orders.mchid
    updates = OrderUpdates(store.orders, runtime)
    recorder = PaymentRecorder(updates, store.numbers, mchid, runtime)
    claims = Claims(store.claims, runtime)
    orders = Orders(terms.orders, terms.catalogue, pay_gateways, updates, recorder, claims, runtime)
    refunds = Refunds(terms.refunds, refund_gateways, updates, store.numbers, claims, runtime)
    late_payments = LatePayments(terms.late_policy, refunds, updates, runtime)
    receivers = Receivers(orders, recorder, refunds, late_payments)
    finder = SlipFinder(terms.slip_keys, runtime)
    refusals = Refusals(store.refused, finder, runtime, machine)
    receiver = NotificationReceiver(pay_gateways, store.notifications, receivers, refusals, runtime)
    return Core(store, updates, orders, refunds, late_payments, Redelivery(store.deliveries, runtime), receiver, finder)


def build_workers(
    core: Core,
    targets: Sequence[Target],
    runtime: Runtime,
    loops: int,
    rest: timedelta = LONGEST_REST,
    relay_rest: timedelta = RELAY_REST,
    horizon: timedelta | None = None,
) -> list[Worker[Any]]:
    """Return the workers on orders, events and deliveries; each change of an order wakes the workers that it concerns.

    See ``Worker`` for ``horizon``.
    """
    store, updates = core.store, core.updates
    deliveries = [DeliveryWorker(target, store.deliveries, runtime, rest, horizon) for target in targets]
    relay = RelayWork(store.orders, updates, store.deliveries, targets, runtime, deliveries)
    relay_worker = Worker(relay, runtime, loops, relay_rest)
    order_work = OrderWork(store.orders, updates, core.orders, core.refunds, core.late_payments, runtime)
    order_worker = Worker(order_work, runtime, loops, rest, horizon)
    received = frozenset(kind for kind in OF_ORDERS if any(target.wants(kind) for target in targets))
    updates.wanted = received | ALARMING
    core.receiver.on_other = NoticeForwarder(store.deliveries, targets, lambda: _wake(deliveries), runtime).forward
    updates.on_due = order_worker.wake
    core.redelivery.on_due = lambda: _wake(deliveries)
    updates.on_reported = relay.skip_alarms
    updates.on_events = lambda order: _hand_out(order, relay, relay_worker)
    return [order_worker, relay_worker, *deliveries]


def _wake(workers: Sequence[DeliveryWorker]) -> None:
    for worker in workers:
        worker.wake()


def _hand_out(order: Order, relay: RelayWork, worker: Worker[Order]) -> None:
    relay.add(order)
    worker.wake()


def build_books(core: Core, bills: BillGateway, terms: BillCacheSettings, mchid: str, runtime: Runtime) -> Books:
    """Build reconciliation and repairs, with bills from ``bills``."""
    bill_cache = BillCache(bills, terms.directory, terms.after, terms.keep, runtime, mchid=mchid)
    source = core.store.book_entries
    records = BookRecords(mchid, core.store.days, core.store.differences, runtime)
    return Books(
        reconciler=Reconciler(bill_cache, source, records, runtime, terms.foreign_numbers),
        repairs=Repairs(core.orders, core.refunds, source, records, runtime.clock),
        records=records,
        bill_cache=bill_cache,
    )


def build_book_worker(books: Books, runtime: Runtime, rest: timedelta = BOOK_REST) -> Worker[DayLease]:
    """Return the worker that reconciles each day on the next one."""
    return Worker(BookWork(books.reconciler, books.bill_cache, books.records, runtime), runtime, 1, rest)


def _probe(store: Storage) -> Probe:
    async def probe() -> None:
        for problem in await store.problems():
            raise StoreUnavailable(problem)

    return probe
