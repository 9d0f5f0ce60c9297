"""What the use cases need from outside, as protocols; ``storage`` and the composition root implement them.

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
"""Ids of the latest writes that a stored value keeps, for whoever lost the answer to one of them."""


class Clock(Protocol):
    """Where the time comes from; tests bring their own."""

    def now(self) -> datetime:
        """The wall clock: aware, in UTC, to the millisecond, which is as exact as a stored date."""

    def monotonic(self) -> float:
        """Seconds for measuring spans; never steps back."""

    @property
    def version(self) -> int:
        """How often it was set, which only a simulated one is: things are due after it that were not before."""

    async def sleep_until(self, moment: datetime, version: int) -> None:
        """Wait until ``moment``, or until the clock has been set more often than ``version`` times."""


class Random(Protocol):
    """Where randomness comes from; unpredictable in a service, a seed's in a simulation."""

    def token(self, size: int) -> str:
        """``size`` random bytes in lower-case hex."""

    def uniform(self, low: float, high: float) -> float: ...

    def shuffle(self, items: Sequence[S]) -> list[S]: ...


class Telemetry(Protocol):
    """Where metrics, alarms and news go. ``labels`` are the values of the metric's labels, in order."""

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None: ...

    def measure(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add to a histogram."""

    def alarm(self, kind: str, out_trade_no: str = "", *, subject: str = "", error: str = "") -> None:
        """Tell the operator, in the log and in the metrics."""

    @property
    def watched(self) -> bool:
        """Whether anybody listens to news; where nobody does, none has to be made."""

    def publish(self, kind: NewsKind, out_trade_no: str, data: Mapping[str, NewsValue]) -> None:
        """Tell those who listen of what happens now. See ``News`` for what ``data`` may hold."""


class Threads(Protocol):
    """Where blocking work goes."""

    async def run(self, work: Callable[[], S]) -> S:
        """The result of ``work``, done off the event loop."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What use cases take from the machine that they run on."""

    clock: Clock
    random: Random
    telemetry: Telemetry
    threads: Threads


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A value as a store holds it. ``rev`` counts its writes, ``writes`` are the ids of the latest of them, oldest
    first. ``document`` is the store's own, from which it keeps what it does not know.
    """

    value: T
    rev: int
    writes: tuple[str, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)


class VersionedStore(Protocol[T]):
    """Values by key, each changed as a whole and by one compare-and-set."""

    async def insert(self, value: T, write: str) -> bool:
        """Store a new value; False when its key is taken (the stored one is untouched).

        True also when it was this very ``write`` that took the key earlier, though its answer was lost.
        """

    async def get(self, key: str) -> Stored[T] | None: ...

    async def replace(self, stored: Stored[T], value: T, write: str) -> bool:
        """Replace ``stored`` by ``value``; False when another writer has changed it since.

        Raises StoreUnavailable when it is unknown whether it happened, NewerDocument when it must not be tried.
        """


@dataclass(frozen=True, slots=True)
class Page(Generic[S]):
    """A slice of a listing and where the next one starts (empty: nothing follows)."""

    items: tuple[S, ...]
    next_cursor: str = ""


@dataclass(frozen=True, slots=True)
class Overdue:
    """How many orders and refunds are overdue for a check, and by how many seconds the oldest is."""

    orders: int = 0
    oldest_order_s: float = 0.0
    refunds: int = 0
    oldest_refund_s: float = 0.0


class OrderStore(VersionedStore[Order], Protocol):
    """Orders with their refunds, by ``Order.key``."""

    async def list_due(self, now: datetime, limit: int) -> Sequence[Stored[Order]]:
        """Orders of which something is due: a check, or a refund."""

    async def next_due(self, until: datetime) -> datetime | None:
        """The first date up to ``until`` on which an order comes due; a past one for what is overdue."""

    async def overdue(self, now: datetime) -> Overdue:
        """What is due; a thousand orders are looked at, at most."""

    async def with_events(self, until: datetime, limit: int) -> Sequence[Stored[Order]]:
        """Orders whose first staged event is from ``until`` or earlier."""

    async def events_waiting(self, now: datetime) -> tuple[int, float]:
        """How many orders have staged events, a thousand at most, and for how many seconds the oldest has had one."""

    async def find(self, *, trade_state: TradeState | None, limit: int, cursor: str) -> Page[Order]:
        """Newest first. ``cursor`` is opaque, from an earlier page; a broken one raises ``BadRequest``."""

    async def list_refunding(self, state: RefundState, limit: int) -> Sequence[Order]:
        """Orders with a refund in ``state``, which is not a final one, those without a change the longest first."""

    async def changed_since(self, since: datetime, limit: int) -> Sequence[Order]:
        """Orders that were created or paid, or whose refunds changed, since ``since``; of each kind the latest
        ``limit``. The oldest order comes first. Of an order that was only closed, no index has the date."""

    async def find_by_number(self, number: str, limit: int) -> Sequence[Order]:
        """Orders that carry ``number``: their own, a transaction's, a refund's or WeChat's number of a refund."""

    async def get_many(self, keys: Sequence[str]) -> Sequence[Order]:
        """Those by these ``Order.key`` that exist, in the same order."""

    async def search(self, key: str, wanted: OrderFilter, *, limit: int, cursor: str) -> Page[Order]:
        """Orders that have ``key``, see wechat.domain.search; without one, those in the state that is wanted; newest
        first. Of ``wanted``, dates are regarded where they narrow the search, other fields are not. Of orders that
        share a number there are ``limit`` at most and no next page. ``cursor`` as above."""

    async def outlines(self, key: str, wanted: OrderFilter, *, limit: int, cursor: str) -> Page[OrderOutline]:
        """The same, of each order its outline only, which costs a third."""

    async def find_by_refund(self, state: RefundState, *, limit: int, cursor: str) -> Page[Order]:
        """Orders with a refund in ``state``, those whose refunds changed last first. ``cursor`` as above."""


class NumberStore(Protocol):
    """Which order uses a refund number or a transaction: each number belongs to one order and never to another."""

    async def reserve(self, use: NumberUse) -> NumberUse:
        """Store ``use`` unless its number is taken; whose it is either way."""

    async def get(self, number: str) -> NumberUse | None: ...


class ClaimStore(VersionedStore[Claim], Protocol):
    """First come, first served keys, by ``Claim.key``. A claim ends when it has expired."""


class PluginRecordStore(VersionedStore[PluginRecord], Protocol):
    """What plugins keep, by ``PluginRecord.key``."""


class NotificationStore(VersionedStore[StoredNotification], Protocol):
    """Every accepted message, once, however often WeChat repeats it; by ``StoredNotification.id``."""

    async def of_order(self, mchid: str, out_trade_no: str) -> Sequence[Received]:
        """What arrived for an order, oldest first; also what named another merchant number by mistake."""

    async def find(self, mchid: str, *, limit: int, cursor: str) -> Page[StoredNotification]:
        """Those of one merchant, by their first arrival, newest first. ``cursor`` is from an earlier page; a broken one
        raises ``BadRequest``."""


class RefusedStore(VersionedStore[RefusedNotification], Protocol):
    """Messages that were refused, by ``RefusedNotification.place``."""

    async def of_reason(self, reason: str) -> Sequence[Stored[RefusedNotification]]:
        """Those refused for one reason, the latest first."""

    async def latest(self, limit: int) -> Sequence[RefusedNotification]:
        """Those of every reason, the latest first."""

    async def about(self, out_trade_no: str, since: datetime, limit: int) -> Sequence[RefusedNotification]:
        """Those that claim to be about an order, or with an empty number those of which that is not known, that came
        last after ``since``; the latest first."""


class AlarmStore(VersionedStore[Alarm], Protocol):
    """Alarms by ``Alarm.place``."""

    async def of_kind(self, kind: str) -> Sequence[Stored[Alarm]]:
        """Those of one kind, the latest first."""

    async def latest(self, limit: int, *, only_open: bool) -> Sequence[Alarm]:
        """The latest of all kinds; with ``only_open``, of those that nobody has seen and whose cause is there."""


class CallStore(Protocol):
    """Recorded calls by ``Call.id``, each for a limited time."""

    async def add(self, calls: Sequence[Call]) -> None:
        """Store new calls; those that are stored already are left as they are."""

    async def get(self, key: str) -> Stored[Call] | None: ...

    async def of_order(self, out_trade_no: str, limit: int) -> Sequence[Call]:
        """The latest about one order, oldest first."""


class DeliveryStore(VersionedStore[Delivery], Protocol):
    """Deliveries by ``Delivery.id``."""

    async def list_due(self, target: str, now: datetime, limit: int) -> Sequence[Stored[Delivery]]:
        """Deliveries to ``target`` that are due."""

    async def next_due(self, target: str, until: datetime) -> datetime | None:
        """The first date up to ``until`` on which one to ``target`` comes due; a past one for what is overdue."""

    async def overdue(self, target: str, now: datetime) -> tuple[int, float]:
        """How many to ``target`` are due, a thousand at most, and by how many seconds the oldest is overdue."""

    async def pending_of(self, ordering_key: str) -> Sequence[Stored[Delivery]]:
        """What is pending for one order and target, in order."""

    async def of_order(self, order_key: str) -> Sequence[Delivery]:
        """What was to be told of one order, to every target, in order."""

    async def of_event(self, event_id: str) -> Sequence[Delivery]: ...

    async def find(self, *, state: DeliveryState | None, limit: int, cursor: str) -> Page[Delivery]:
        """Newest event first. ``cursor`` is from an earlier page; a broken one raises ``BadRequest``."""


class StaffStore(VersionedStore[StaffMember], Protocol):
    """The people of the console, by ``StaffMember.name``."""

    async def all(self) -> Sequence[StaffMember]:
        """Everybody, by name."""


class StaffSessionStore(VersionedStore[StaffSession], Protocol):
    """Sessions by ``StaffSession.key``, each until its absolute end."""

    async def of_member(self, name: str) -> Sequence[Stored[StaffSession]]:
        """Those of one person, the latest first."""

    async def latest(self) -> Sequence[StaffSession]:
        """Those of everybody, the latest first."""


class FailedLoginStore(VersionedStore[FailedLogins], Protocol):
    """Failed logins by ``FailedLogins.key``."""


class ApiKeyStore(VersionedStore[ApiKey], Protocol):
    """API keys by ``ApiKey.name``."""

    async def all(self) -> Sequence[ApiKey]:
        """The latest, by name."""

    async def of_digest(self, digest: str) -> ApiKey | None:
        """The key that has a secret with this SHA-256, whether or not it has ended."""


class ApprovalStore(VersionedStore[Approval], Protocol):
    """Acts that wait for a second person, by ``Approval.id``."""

    async def waiting(self) -> Sequence[Approval]:
        """Those that nobody has decided, the latest first."""

    async def latest(self) -> Sequence[Approval]:
        """The latest, whatever became of them."""


class AuditStore(Protocol):
    """Audit entries. There is no way to change one."""

    async def insert(self, entry: AuditEntry, write: str) -> bool:
        """Store a new entry; see VersionedStore."""

    async def find(self, wanted: AuditFilter, *, limit: int, cursor: str) -> Page[AuditEntry]:
        """Newest first. ``cursor`` is from an earlier page; a broken one raises ``BadRequest``."""


@dataclass(frozen=True, slots=True)
class Token:
    """A credential with its dates. ``fence`` rises with each refresh; a lower one never overwrites a higher one."""

    value: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    fence: int = 0


class TokenStore(Protocol):
    """Short-lived shared values. Never the only guard: every method works, process-locally, without its server."""

    async def get(self, name: str) -> Token | None: ...

    async def save(self, name: str, token: Token) -> bool:
        """Keep ``token`` until it expires, unless one with a higher fence is there; whether it was kept."""

    async def drop(self, name: str, value: str) -> None:
        """Forget ``name`` if it still holds ``value`` (compare-and-delete)."""

    async def lock(self, name: str, ttl_s: float) -> int | None:
        """Take the lock and get a fence higher than any before, or None when another holds it."""

    async def unlock(self, name: str, fence: int) -> None:
        """Give the lock back if ``fence`` still holds it."""

    async def remember(self, key: str, value: str, ttl_s: float) -> bool:
        """Store a small value if the key is free; whether it was."""

    async def recall(self, key: str) -> str | None: ...

    async def overwrite(self, key: str, value: str, ttl_s: float) -> None: ...


class NewsChannel(Protocol):
    """What carries messages between the processes of an installation: to those that listen now, and to nobody later.

    Methods raise StoreUnavailable while the server is away.
    """

    async def publish(self, topic: str, content: bytes) -> None: ...

    def subscribe(self, *topics: str) -> AsyncIterator[tuple[str, bytes]]:
        """Each message and its topic, for ever; one's own messages, too."""

    async def close(self) -> None: ...
