"""What the use cases need from outside, as protocols; ``storage`` implements them.

Every method may raise ``StoreUnavailable`` when its server does not answer in time, except those of ``TokenStore``,
whose contract is to fall back to the process's own memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from wechat.books import Audit, Difference, Entry, Reconciliation
from wechat.events import Attempt, Delivery, DeliveryState, Staged
from wechat.models import Claim, Move, Notification, Order, OrderEvent, Page, Prepay, Received, TradeState, Verified
from wechat.refund_models import Refund, RefundMove


class Clock(Protocol):
    """Where the time comes from; tests bring their own."""

    def now(self) -> datetime:
        """The wall clock, aware and in UTC."""

    def monotonic(self) -> float:
        """Seconds for measuring spans; never steps back."""

    @property
    def moves(self) -> int:
        """How often it was moved, which only a simulated one is: things are due after it that were not before."""

    async def rest(self, seconds: float, seen: int) -> None:
        """Wait so many real seconds, or until it has been moved more often than the ``seen`` times."""


class OrderStore(Protocol):
    """Orders by ``out_trade_no``. Each writing method is one atomic, durable update of one document."""

    async def insert(self, order: Order) -> bool:
        """Store a new order; False when the number is taken (the stored one is untouched)."""

    async def get(self, out_trade_no: str) -> Order | None: ...

    async def set_prepay(self, out_trade_no: str, prepay: Prepay, event: OrderEvent) -> Order | None:
        """Remember what the unified order gave, while the order is unpaid; None when it no longer is."""

    async def note(self, out_trade_no: str, event: OrderEvent) -> None:
        """Append to the timeline without moving the order."""

    async def move(self, out_trade_no: str, move: Move) -> Order | None:
        """Apply ``move`` if the order is in one of its sources and matches; None (and no change) otherwise.

        State, changed fields, timeline line and outgoing event are written together.
        """

    async def find(self, *, trade_state: TradeState | None, limit: int, cursor: str) -> Page[Order]:
        """Newest first. ``cursor`` is opaque, from an earlier page; a broken one raises ``BadRequest``."""

    async def claim_due(self, now: datetime, lease: timedelta) -> Order | None:
        """Take one order that is due for a look (unpaid, or paid late) and push its date ``lease`` ahead, so nobody
        else takes it."""

    async def settle(self, out_trade_no: str, event: OrderEvent) -> None:
        """Append to the timeline of an order that was paid late, and look at it no more."""

    async def schedule(self, out_trade_no: str, at: datetime, *, close_after: datetime | None = None) -> None:
        """Set when to look at an unpaid order next, counting one check, and when to close it if that changes."""

    async def unconfirmed(self, now: datetime) -> tuple[int, float]:
        """How many orders are overdue for a look, and by how many seconds the oldest is."""

    async def reserve(self, refund: Refund, event: OrderEvent) -> bool:
        """Put ``refund.refund`` fen of its paid order aside: never more than its total in all, for at most 50 refunds
        at a time and 2,000 ever, and for none that was released.

        Whether it is put aside now, be it by this call or by an earlier one for the same refund.
        """

    async def reserve_in_turn(self, refund: Refund, event: OrderEvent, now: datetime, spacing: timedelta) -> bool:
        """``reserve`` and ``take_refund_turn`` in one, for a refund that was not put aside before; both or neither."""

    async def release(self, refund: Refund, event: OrderEvent) -> None:
        """Give back what ``reserve`` put aside, for good: whoever is late cannot put it aside again.

        Nothing happens when it was given back before.
        """

    async def take_refund_turn(self, out_trade_no: str, now: datetime, spacing: timedelta) -> bool:
        """Whether a refund of the order may be sent now; if so, none may for ``spacing``."""


class RefundStore(Protocol):
    """Refunds by ``out_refund_no``. Each writing method is one atomic, durable update of one document."""

    async def insert(self, refund: Refund) -> bool:
        """Store a new refund; False when the number is taken (the stored one is untouched)."""

    async def get(self, out_refund_no: str) -> Refund | None: ...

    async def of_order(self, out_trade_no: str) -> Sequence[Refund]:
        """An order's refunds, oldest first."""

    async def move(self, out_refund_no: str, move: RefundMove) -> Refund | None:
        """Apply ``move`` if the refund is in one of its sources and matches; None (and no change) otherwise.

        State, date, changed fields, timeline line and outgoing event are written together.
        """

    async def schedule(self, refund: Refund, at: datetime | None, event: OrderEvent | None = None) -> Refund | None:
        """Set when to look next (None: never again), if state and date are still those of ``refund``.

        None, and no change, when somebody else has gone on with it since.
        """

    async def claim_due(self, now: datetime, lease: timedelta) -> Refund | None:
        """Take one refund that is due and push its date ``lease`` ahead, so nobody else takes it."""

    async def overdue(self, now: datetime) -> tuple[int, float]:
        """How many refunds are overdue for a look, and by how many seconds the oldest is."""


class ClaimStore(Protocol):
    """First come, first served keys. ``claim`` answers whoever holds the key, which may be the asker."""

    async def claim(self, claim: Claim) -> Claim:
        """Store ``claim`` unless its key is held; the holder's claim either way."""

    async def replace(self, held: Claim, claim: Claim) -> bool:
        """Swap ``held`` for ``claim`` if it is still the one held."""


class NotificationStore(Protocol):
    """Every accepted message, once, however often WeChat repeats it."""

    async def record(
        self, message: Verified[Notification], raw: bytes, headers: Mapping[str, str], now: datetime
    ) -> int:
        """Store it durably, or count the repetition; how many times it has been seen, this one included."""

    async def conclude(self, notification_id: str, verdict: str, now: datetime) -> bool:
        """Write what was out of the ordinary about it: a mismatch, or a message that moves no order.

        The first verdict stays, unless ``applied`` comes after it. Whether this one was written: once, however often
        WeChat repeats the message.
        """

    async def of_order(self, out_trade_no: str) -> Sequence[Received]:
        """What arrived for an order, oldest first."""


class OutboxStore(Protocol):
    """Documents in which moves have staged events, found without looking at those that have none."""

    async def claim(self, now: datetime, lease: timedelta) -> Staged | None:
        """Take one document with staged events, so that nobody else takes it until ``lease`` has passed."""

    async def finish(self, staged: Staged) -> None:
        """All of ``staged`` is handed out. What was staged since then stays due."""

    async def holds(self, key: str) -> bool:
        """Whether a document has staged events."""

    async def put_off(self, staged: Staged, due_at: datetime) -> None:
        """Give a claim back until ``due_at``."""

    async def backlog(self, now: datetime) -> tuple[int, float]:
        """How many documents have staged events, and by how many seconds the oldest is overdue."""


class DeliveryStore(Protocol):
    """Deliveries by event and target."""

    async def add(self, delivery: Delivery) -> None:
        """Store a new delivery; one that is there already stays as it is."""

    async def claim(self, target: str, now: datetime, lease: timedelta) -> Delivery | None:
        """Take one due delivery for ``target``, with ``due_at`` pushed ``lease`` ahead.

        One of an order is not given out while an earlier one of the same order and target is pending.
        """

    async def settle(self, delivery: Delivery, state: DeliveryState, attempt: Attempt) -> bool:
        """End a claimed delivery as delivered or dead, and let the order's next one go; False if it had ended.

        That it was delivered counts even when the claim has run out; that it is dead only while the claim holds.
        """

    async def retry(self, delivery: Delivery, attempt: Attempt, due_at: datetime) -> bool:
        """Put a claimed delivery off, counting the try, unless the claim has run out; whether it was."""

    async def revive(self, delivery_id: str, now: datetime, lease: timedelta) -> Delivery | None:
        """Make a delivery due that has ended, or that failed and is not due for longer than ``lease``, so that nobody
        is at it. Its tries start over. None when it is neither.
        """

    async def of_event(self, event_id: str) -> Sequence[Delivery]: ...

    async def find(self, *, state: DeliveryState | None, limit: int, cursor: str) -> Page[Delivery]:
        """Newest event first. ``cursor`` is the id after which to go on, from an earlier page."""

    async def backlog(self, target: str, now: datetime) -> tuple[int, float]:
        """How many deliveries are pending for ``target``, and by how many seconds the oldest is overdue."""


class BookSource(Protocol):
    """Our payments and refunds as reconciliation wants them: many at a time, little of each."""

    async def paid(self, start: datetime, end: datetime, *, limit: int, cursor: str) -> Page[Entry]:
        """What was paid from ``start`` up to ``end``, oldest first."""

    async def refunded(self, start: datetime, end: datetime, *, limit: int, cursor: str) -> Page[Entry]:
        """Which refunds were sent to WeChat from ``start`` up to ``end``. A page may be empty before the end."""

    async def payments(self, numbers: Sequence[str]) -> Sequence[Entry]:
        """The orders with these out_trade_no, paid or not; at most a batch of 500 is asked for."""

    async def refunds(self, numbers: Sequence[str]) -> Sequence[Entry]:
        """The refunds with these out_refund_no."""


class BookStore(Protocol):
    """Reconciled days and their differences. A difference is one document, whoever finds it and how often."""

    async def newest(self) -> date | None:
        """The latest day that is planned or done."""

    async def plan(self, day: date, due_at: datetime) -> None:
        """Have ``day`` reconciled from ``due_at`` on, unless it is known already."""

    async def take_due(self, now: datetime, lease: timedelta) -> date | None:
        """Lease the earliest day that is due, undone, and leased to nobody."""

    async def take(self, day: date, now: datetime, lease: timedelta) -> bool:
        """Lease ``day``, done or not; False while another holds it."""

    async def put_off(self, day: date, due_at: datetime) -> None:
        """Give the lease back; try again at ``due_at``."""

    async def finish(self, result: Reconciliation) -> None:
        """Keep the result and give the lease back."""

    async def result(self, day: date) -> Reconciliation | None: ...

    async def book(self, differences: Sequence[Difference]) -> None:
        """Store those that are new, at most a batch of 500. One that is there is marked as found again at ``found_at``,
        and opened again if it was gone."""

    async def settle(self, day: date, before: datetime, entry: Audit) -> int:
        """Move to ``entry.target`` what is open and was last found before ``before``; how many moved."""

    async def difference(self, day: date, difference_id: str) -> Difference | None: ...

    async def differences(self, day: date, *, limit: int, cursor: str) -> Page[Difference]:
        """In the order of their ids."""

    async def audit(self, difference_id: str, entry: Audit) -> Difference | None:
        """Move an entry.source difference to entry.target with this line; None (and no change) when it is elsewhere."""


@dataclass(frozen=True, slots=True)
class Token:
    """A credential with its dates. ``fence`` rises with each refresh; a lower one never overwrites a higher one."""

    value: str
    issued_at: datetime
    expires_at: datetime
    fence: int = 0


class TokenStore(Protocol):
    """Short-lived shared values. Never the only guard: every method works, process-locally, without its server."""

    async def get(self, name: str) -> Token | None: ...

    async def put(self, name: str, token: Token) -> bool:
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
