"""The protocols of everything outside the use cases; ``storage`` and the composition root implement them.

Every method of a store may raise ``StoreUnavailable`` when its server does not answer in time, except those of
``TokenStore``, whose contract is to fall back to the process's own memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from wechat.domain.alarms import Alarm
from wechat.domain.api_keys import ApiKey
from wechat.domain.approvals import Approval
from wechat.domain.audit import AuditEntry, AuditFilter
from wechat.domain.calls import Call
from wechat.domain.deliveries import Delivery, DeliveryState
from wechat.domain.facts import Received, RefundState
from wechat.domain.messages import StoredNotification
from wechat.domain.metrics import Metric
from wechat.domain.news import NewsKind, NewsValue
from wechat.domain.numbers import Claim, NumberUse
from wechat.domain.orders import Order, TradeState
from wechat.domain.plugin_records import PluginRecord
from wechat.domain.refused import RefusedNotification
from wechat.domain.search import OrderFilter, OrderOutline
from wechat.domain.staff import FailedLogins, StaffMember, StaffSession

T = TypeVar("T")
S = TypeVar("S")


WRITES_KEPT = 8
"""Ids of the latest writes that a stored value keeps, for a writer that lost the answer to one of them."""


class Clock(Protocol):
    """A source of time; tests use one of their own."""

    def now(self) -> datetime:
        """Return the wall clock: aware, in UTC, to the millisecond, the precision of a stored date."""

    def monotonic(self) -> float:
        """Return seconds for measuring spans; never steps back."""

    @property
    def version(self) -> int:
        """The number of times the clock was set; 0 for a real one. Setting a simulated clock makes other work due."""

    async def sleep_until(self, moment: datetime, version: int) -> None:
        """Sleep until ``moment``, or until the clock has been set more than ``version`` times."""


class Random(Protocol):
    """A source of randomness: unpredictable in a service, from a seed in a simulation."""

    def token(self, size: int) -> str:
        """Return ``size`` random bytes in lower-case hex."""

    def uniform(self, low: float, high: float) -> float: ...

    def shuffle(self, items: Sequence[S]) -> list[S]: ...


class Telemetry(Protocol):
    """The receiver of metrics, alarms and news. ``labels`` are the values of the metric's labels, in order."""

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None: ...

    def measure(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add to a histogram."""

    def alarm(self, kind: str, out_trade_no: str = "", *, subject: str = "", error: str = "") -> None:
        """Tell the operator, in the log and in the metrics."""

    @property
    def watched(self) -> bool:
        """Whether anybody listens to news; without listeners no news need be built."""

    def publish(self, kind: NewsKind, out_trade_no: str, data: Mapping[str, NewsValue]) -> None:
        """Send news to the listeners. See ``News`` for what ``data`` may hold."""


class Threads(Protocol):
    """A runner of blocking work."""

    async def run(self, work: Callable[[], S]) -> S:
        """Run ``work`` outside the event loop and return its result."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The services of the machine that use cases need."""

    clock: Clock
    random: Random
    telemetry: Telemetry
    threads: Threads


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A value as a store holds it. ``rev`` counts its writes; ``writes`` are the ids of the latest ones, oldest first.
    ``document`` is the store's own form, from which the store keeps fields that this release does not know."""

    value: T
    rev: int
    writes: tuple[str, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)


class VersionedStore(Protocol[T]):
    """Values by key. Each change replaces the whole value by one compare-and-set."""

    async def insert(self, value: T, write: str) -> bool:
        """Store a new value; False when its key is taken (the stored value is untouched).

        True also when this same ``write`` took the key earlier and its answer was lost.
        """

    async def get(self, key: str) -> Stored[T] | None: ...

    async def replace(self, stored: Stored[T], value: T, write: str) -> bool:
        """Replace ``stored`` by ``value``; False when another writer has changed it since.

        Raises StoreUnavailable when the outcome is unknown, NewerDocument when a newer release wrote it.
        """


@dataclass(frozen=True, slots=True)
class Page(Generic[S]):
    """A page of a listing, and the cursor of the next page (empty: there is none)."""

    items: tuple[S, ...]
    next_cursor: str = ""


@dataclass(frozen=True, slots=True)
class Overdue:
    """The number of orders and refunds that are overdue for a check, and the seconds by which the oldest is overdue."""

    orders: int = 0
    oldest_order_s: float = 0.0
    refunds: int = 0
    oldest_refund_s: float = 0.0


class OrderStore(VersionedStore[Order], Protocol):
    """Orders with their refunds, by ``Order.key``."""

    async def list_due(self, now: datetime, limit: int) -> Sequence[Stored[Order]]:
        """Return orders with a due check or a due refund."""

    async def next_due(self, until: datetime) -> datetime | None:
        """Return the earliest due date of an order, if it is ``until`` or earlier; a past date for an overdue order."""

    async def overdue(self, now: datetime) -> Overdue:
        """Count what is overdue; at most a thousand orders are read."""

    async def with_events(self, until: datetime, limit: int) -> Sequence[Stored[Order]]:
        """Return orders whose first staged event is from ``until`` or earlier."""

    async def events_waiting(self, now: datetime) -> tuple[int, float]:
        """Return the number of orders with staged events (at most 1,000), and the oldest event's age in seconds."""

    async def find(self, *, trade_state: TradeState | None, limit: int, cursor: str) -> Page[Order]:
        """Return orders, newest first. ``cursor`` is opaque, from an earlier page. Raises BadRequest if invalid."""

    async def list_refunding(self, state: RefundState, limit: int) -> Sequence[Order]:
        """Return orders with a refund in ``state``, which is not final, the longest unchanged order first."""

    async def changed_since(self, since: datetime, limit: int) -> Sequence[Order]:
        """Return orders that were created or paid, or whose refunds changed, since ``since``: of each kind the latest
        ``limit``, all together with the oldest order first. Closed orders are missing, because no index holds the date
        of a close."""

    async def find_by_number(self, number: str, limit: int) -> Sequence[Order]:
        """Return orders with ``number``: an order's, a transaction's, a refund's, or WeChat's number of a refund."""

    async def get_many(self, keys: Sequence[str]) -> Sequence[Order]:
        """Return the existing orders with these ``Order.key``, in the order of ``keys``."""

    async def search(self, key: str, wanted: OrderFilter, *, limit: int, cursor: str) -> Page[Order]:
        """Return orders that have ``key`` (see wechat.domain.search); without ``key``, those in ``wanted.trade_state``.
        Newest first. Of ``wanted`` only the dates are applied, where they narrow the search. Of orders that share a
        number at most ``limit`` are returned and no next page. ``cursor`` as above."""

    async def outlines(self, key: str, wanted: OrderFilter, *, limit: int, cursor: str) -> Page[OrderOutline]:
        """Return only the outlines of the orders that ``search`` returns, at a third of the cost."""

    def cursor_after(self, found: OrderOutline) -> str:
        """Return the cursor with which a listing of outlines continues after ``found``."""

    async def find_by_refund(self, state: RefundState, *, limit: int, cursor: str) -> Page[Order]:
        """Return orders with a refund in ``state``, by the latest change of their refunds. ``cursor`` as above."""


class NumberStore(Protocol):
    """The owners of refund numbers and transactions: each number belongs to one order for good."""

    async def reserve(self, use: NumberUse) -> NumberUse:
        """Store ``use`` unless its number is taken. Return the stored use, which may be another order's."""

    async def get(self, number: str) -> NumberUse | None: ...


class ClaimStore(VersionedStore[Claim], Protocol):
    """Claims by ``Claim.key``: the first request that claims a key holds it until the claim expires."""


class PluginRecordStore(VersionedStore[PluginRecord], Protocol):
    """Records of plugins, by ``PluginRecord.key``."""


class NotificationStore(VersionedStore[StoredNotification], Protocol):
    """Accepted notifications by ``StoredNotification.id``, each once, even if WeChat repeats it."""

    async def of_order(self, mchid: str, out_trade_no: str) -> Sequence[Received]:
        """Return an order's notifications, oldest first; also those that name another merchant number by mistake."""

    async def find(self, mchid: str, *, limit: int, cursor: str) -> Page[StoredNotification]:
        """Return a merchant's notifications by first arrival, newest first. ``cursor`` is from an earlier page; an
        invalid one raises ``BadRequest``."""


class RefusedStore(VersionedStore[RefusedNotification], Protocol):
    """Refused notifications, by ``RefusedNotification.place``."""

    async def of_reason(self, reason: str) -> Sequence[Stored[RefusedNotification]]:
        """Return the messages refused for one reason, the latest first."""

    async def latest(self, limit: int) -> Sequence[RefusedNotification]:
        """Return the messages refused for any reason, the latest first."""

    async def about(self, out_trade_no: str, since: datetime, limit: int) -> Sequence[RefusedNotification]:
        """Return messages that name an order and came last after ``since``, the latest first. An empty ``out_trade_no``
        finds messages whose order is not known."""


class AlarmStore(VersionedStore[Alarm], Protocol):
    """Alarms by ``Alarm.place``."""

    async def of_kind(self, kind: str) -> Sequence[Stored[Alarm]]:
        """Return the alarms of one kind, the latest first."""

    async def latest(self, limit: int, *, only_open: bool) -> Sequence[Alarm]:
        """Return the alarms of all kinds, the latest first; with ``only_open`` only those neither seen nor cleared."""


class CallStore(Protocol):
    """Recorded calls by ``Call.id``, each for a limited time."""

    async def add(self, calls: Sequence[Call]) -> None:
        """Store new calls; calls that are stored already stay as they are."""

    async def get(self, key: str) -> Stored[Call] | None: ...

    async def of_order(self, out_trade_no: str, limit: int) -> Sequence[Call]:
        """Return the latest ``limit`` calls about one order, oldest first."""


class DeliveryStore(VersionedStore[Delivery], Protocol):
    """Deliveries by ``Delivery.id``."""

    async def list_due(self, target: str, now: datetime, limit: int) -> Sequence[Stored[Delivery]]:
        """Return deliveries to ``target`` that are due."""

    async def next_due(self, target: str, until: datetime) -> datetime | None:
        """Return the earliest due date of a delivery to ``target`` up to ``until``; a past date if it is overdue."""

    async def overdue(self, target: str, now: datetime) -> tuple[int, float]:
        """Return the number of overdue deliveries to ``target`` (at most 1,000) and the oldest's delay in seconds."""

    async def pending_of(self, ordering_key: str) -> Sequence[Stored[Delivery]]:
        """Return the pending deliveries of one order to one target, by sequence."""

    async def of_order(self, order_key: str) -> Sequence[Delivery]:
        """Return all deliveries of one order, to every target, by sequence."""

    async def of_event(self, event_id: str) -> Sequence[Delivery]: ...

    async def find(self, *, state: DeliveryState | None, limit: int, cursor: str) -> Page[Delivery]:
        """Return deliveries, newest event first. ``cursor`` as in ``OrderStore.find``."""


class StaffStore(VersionedStore[StaffMember], Protocol):
    """The people of the console, by ``StaffMember.name``."""

    async def all(self) -> Sequence[StaffMember]:
        """Return all people, by name."""


class StaffSessionStore(VersionedStore[StaffSession], Protocol):
    """Sessions by ``StaffSession.key``, each until ``expires_at``."""

    async def of_member(self, name: str) -> Sequence[Stored[StaffSession]]:
        """Return one person's sessions, the latest first."""

    async def latest(self) -> Sequence[StaffSession]:
        """Return the sessions of all people, the latest first."""


class FailedLoginStore(VersionedStore[FailedLogins], Protocol):
    """Failed logins by ``FailedLogins.key``."""


class ApiKeyStore(VersionedStore[ApiKey], Protocol):
    """API keys by ``ApiKey.name``."""

    async def all(self) -> Sequence[ApiKey]:
        """The latest, by name."""

    async def of_digest(self, digest: str) -> ApiKey | None:
        """Return the key that has a secret with this SHA-256, even if the secret has ended."""


class ApprovalStore(VersionedStore[Approval], Protocol):
    """Acts that wait for a second person, by ``Approval.id``."""

    async def waiting(self) -> Sequence[Approval]:
        """Return the undecided approvals, the latest first."""

    async def latest(self) -> Sequence[Approval]:
        """Return the latest approvals, in any state."""


class AuditStore(Protocol):
    """Entries of the audit log. No method changes an entry."""

    async def insert(self, entry: AuditEntry, write: str) -> bool:
        """Store a new entry; see VersionedStore."""

    async def find(self, wanted: AuditFilter, *, limit: int, cursor: str) -> Page[AuditEntry]:
        """Return matching entries, newest first. ``cursor`` as in ``OrderStore.find``."""

    async def has(self, entry_id: str) -> bool:
        """Whether there is an entry with this id."""


@dataclass(frozen=True, slots=True)
class Token:
    """A credential with its dates. ``fence`` rises with each refresh; a lower fence never overwrites a higher one."""

    value: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    fence: int = 0


class TokenStore(Protocol):
    """Short-lived values that processes share, never the only guard: without its server, each process has its own."""

    async def get(self, name: str) -> Token | None: ...

    async def save(self, name: str, token: Token) -> bool:
        """Store ``token`` until it expires, unless a higher fence is stored. Return whether it was stored."""

    async def drop(self, name: str, value: str) -> None:
        """Delete ``name`` if it still holds ``value`` (compare-and-delete)."""

    async def lock(self, name: str, ttl_s: float) -> int | None:
        """Take the lock for ``ttl_s`` and return a fence higher than any before; None when another process holds it."""

    async def unlock(self, name: str, fence: int) -> None:
        """Release the lock if ``fence`` still holds it."""

    async def remember(self, key: str, value: str, ttl_s: float) -> bool:
        """Store a small value for ``ttl_s`` if the key is free. Return whether it was stored."""

    async def recall(self, key: str) -> str | None: ...

    async def overwrite(self, key: str, value: str, ttl_s: float) -> None: ...


class NewsChannel(Protocol):
    """Messages between the processes of an installation, to current listeners only; nothing is stored.

    Methods raise StoreUnavailable while the server is away.
    """

    async def publish(self, topic: str, content: bytes) -> None: ...

    def subscribe(self, *topics: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield each message with its topic, without end; messages of this process, too."""

    async def close(self) -> None: ...
