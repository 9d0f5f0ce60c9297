"""The use cases and stores that handlers call. Built in ``service/compose.py`` and passed to every plugin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from service.settings.model import Settings
from wechat.account.jssdk import JsSdk
from wechat.account.oauth import OAuth
from wechat.alarms.board import AlarmBoard
from wechat.diagnosis.diagnosis import Diagnosis
from wechat.diagnosis.health import Check, Health
from wechat.domain.ports import CallStore, Clock, DeliveryStore, NotificationStore, OrderStore, TokenStore
from wechat.events.redelivery import Redelivery
from wechat.events.trials import WebhookTrials
from wechat.live.feed import LiveFeed
from wechat.notifications.receiver import NotificationReceiver
from wechat.orders.drafts import Item
from wechat.orders.search import OrderSearch
from wechat.orders.service import Orders
from wechat.reconciliation.bill_cache import BillCache
from wechat.reconciliation.reconciler import Reconciler
from wechat.reconciliation.records import BookRecords
from wechat.reconciliation.repairs import Repairs
from wechat.refunds.service import Refunds
from wechat.slips.client_errors import ClientErrors
from wechat.staff.api_keys import ApiKeys
from wechat.staff.approvals import Approvals
from wechat.staff.audit import AuditLog
from wechat.staff.members import Members
from wechat.staff.operator import OperatorGate
from wechat.staff.sessions import Sessions
from wechat.statistics.statistics import Statistics
from wechat.support.news import NewsFeed
from wechat.support.plugin_storage import PluginStorage
from wechat.support.rate_limit import RateLimit

Probe = Callable[[], Awaitable[None]]


class InFlightRequests:
    """The count of requests being handled, and whether the server is draining."""

    def __init__(self) -> None:
        self.draining = False
        self._in_flight = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    def enter(self) -> None:
        self._in_flight += 1
        self._quiet.clear()

    def leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._quiet.set()

    async def quiet(self, limit_s: float) -> None:
        """Return when no request is being handled, or after ``limit_s``."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), limit_s)


@dataclass(frozen=True, slots=True)
class Books:
    """The use cases of reconciliation."""

    reconciler: Reconciler
    repairs: Repairs
    records: BookRecords
    bill_cache: BillCache


@dataclass(frozen=True, slots=True)
class Staff:
    """The use cases of people, API keys and their permissions."""

    members: Members
    sessions: Sessions
    audit: AuditLog
    approvals: Approvals
    api_keys: ApiKeys
    operator: OperatorGate


@dataclass(frozen=True, slots=True)
class Insight:
    """Read-only data for pages: statistics, the live feed and recorded calls."""

    statistics: Statistics
    live: LiveFeed
    calls: CallStore


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, and the stores that read-only views need. ``probes`` are readiness checks by name; ``unindexed``
    returns the large collections that lack required indexes; ``self_check`` what the doctor finds in the settings file
    and on this machine, in some milliseconds.

    A plugin has its own storage, ``plugin_storage(__name__)``, and its own options in the settings,
    ``settings.plugin_options(__name__)``.
    """

    settings: Settings
    clock: Clock
    orders: Orders
    refunds: Refunds
    books: Books
    staff: Staff
    receiver: NotificationReceiver
    alarms: AlarmBoard
    feed: NewsFeed
    client_errors: ClientErrors
    health: Health
    diagnosis: Diagnosis
    insight: Insight
    oauth: OAuth
    jssdk: JsSdk
    order_store: OrderStore
    notification_store: NotificationStore
    delivery_store: DeliveryStore
    redelivery: Redelivery
    webhook_trials: WebhookTrials
    token_store: TokenStore
    probes: Mapping[str, Probe]
    unindexed: Callable[[], Sequence[str]]
    catalogue: Mapping[str, Item]
    callers: RateLimit
    plugin_storage: Callable[[str], PluginStorage]
    in_flight: InFlightRequests = field(default_factory=InFlightRequests)
    self_check: Callable[[], Sequence[Check]] = tuple

    @property
    def real_time(self) -> datetime:
        """The machine's time, also where ``clock`` is the simulator's: signatures and API keys are dated by it."""
        return datetime.now(UTC)

    @property
    def order_search(self) -> OrderSearch:
        """The search over the order store; it has no state of its own."""
        return OrderSearch(self.order_store)
