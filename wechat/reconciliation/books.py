"""The books of a Beijing day: the payments and refunds of our side and of WeChat's bill, and their differences.

Pure values and one pure function, ``classify``. Amounts are fen; a fee keeps WeChat's 1/100,000 yuan (``fee_e5``) until
it is shown, so that a sum of fees is rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, Self

from wechat.domain.facts import RefundState
from wechat.domain.orders import TradeState
from wechat.domain.times import to_v3
from wechat.pay.bills.parser import TradeLine

_write_time = lru_cache(maxsize=1024)(to_v3)
"""Cached, because lines of a bill are in the order of their times, and many have the same time."""
FEE_UNITS_PER_FEN = 1000  # 1/100,000 yuan
UNPAID = frozenset({TradeState.NOTPAY, TradeState.CLOSED})
NOT_ACCEPTED = frozenset({RefundState.REQUESTED, RefundState.REFUSED})
"""States of a recorded refund that WeChat does not have."""
NOT_BACK = NOT_ACCEPTED | {RefundState.CLOSED}
"""States of a refund that was not paid out."""
PAID = "SUCCESS"
"""Both sides' state of a valid payment."""
REVERSED = "REVOKED"
"""A bill's state of a payment that was reversed at the till."""
FAILED = "FAIL"
"""A bill's state of a refund that was not paid out."""

REFUND_STATES: Mapping[str, frozenset[RefundState]] = {
    "SUCCESS": frozenset({RefundState.SUCCESS}),
    FAILED: frozenset({RefundState.CLOSED}),
}
"""The recorded states that agree with a bill's 退款状态. A bill is not updated later, so any other value (PROCESSING,
CHANGE) only says that WeChat accepted the refund."""

ACCEPTED = frozenset(RefundState) - NOT_ACCEPTED


class DifferenceKind(StrEnum):
    """The kinds of differences between our side and the bill."""

    MISSING_HERE = "missing_here"  # WeChat has a payment of an order that is unpaid here
    MISSING_THERE = "missing_there"  # paid here, not on the bill
    AMOUNT = "amount"
    STATE = "state"
    REFUND_MISSING_HERE = "refund_missing_here"
    REFUND_MISSING_THERE = "refund_missing_there"
    DOUBLE_PAYMENT = "double_payment"  # a payment beside the one that the order has
    UNKNOWN_NUMBER = "unknown_number"  # no order here has this number


class Action(StrEnum):
    """The actions that a difference permits."""

    QUERY = "query"  # query WeChat and apply the verified answer
    REFUND = "refund"  # refund the surplus payment
    KNOWN = "known"  # nothing to do; a person has checked it


ACTIONS: Mapping[DifferenceKind, tuple[Action, ...]] = {
    DifferenceKind.MISSING_HERE: (Action.QUERY, Action.KNOWN),
    DifferenceKind.MISSING_THERE: (Action.QUERY, Action.KNOWN),
    DifferenceKind.AMOUNT: (Action.QUERY, Action.KNOWN),
    DifferenceKind.STATE: (Action.QUERY, Action.KNOWN),
    DifferenceKind.REFUND_MISSING_HERE: (Action.QUERY, Action.KNOWN),
    DifferenceKind.REFUND_MISSING_THERE: (Action.QUERY, Action.KNOWN),
    DifferenceKind.DOUBLE_PAYMENT: (Action.REFUND, Action.KNOWN),
    DifferenceKind.UNKNOWN_NUMBER: (Action.KNOWN,),
}
"""The actions of each kind. A payment without an order is refunded in the merchant console, not here."""


class BookEntry(NamedTuple):
    """A payment or refund of one side. ``out_refund_no`` and ``refund_id`` are empty for a payment.

    ``amount`` is the payment's price or the requested refund; ``state`` is the side's own state. ``time`` is the bill
    line's time, RFC 3339 in Beijing time, as text, because it is only passed on. It is empty for our entries, and in
    differences from before this field existed.
    """

    out_trade_no: str
    transaction_id: str
    out_refund_no: str
    refund_id: str
    amount: int
    currency: str
    state: str
    time: str = ""

    @property
    def is_refund(self) -> bool:
        return bool(self.out_refund_no or self.refund_id)

    @classmethod
    def of_line(cls, line: TradeLine) -> Self:
        """Build the entry of a bill line. A reversal has the amount of the reversed payment and no refund numbers."""
        if line.is_reversal:
            line = line._replace(out_refund_no="", refund_id="", total=line.refund or line.total)
        amount, state = (line.refund, line.refund_status) if line.is_refund else (line.total, line.trade_state)
        return cls(
            line.out_trade_no,
            line.transaction_id,
            line.out_refund_no,
            line.refund_id,
            amount,
            line.currency,
            state,
            _write_time(line.time),
        )


class Status(StrEnum):
    """The status of a difference."""

    OPEN = "open"
    REPAIRED = "repaired"  # both sides agree, or the surplus payment is being refunded
    KNOWN = "known"
    GONE = "gone"  # a later run did not find it any more


@dataclass(frozen=True, slots=True)
class Audit:
    """An act on a difference: who, when, and the change. These records are only ever added."""

    at: datetime
    by: str
    action: str
    source: Status
    target: Status
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between the two sides.

    ``id`` is computed from merchant, day, kind and numbers, so that finding it again creates no second one. ``seen_at``
    is the time of the last run that found it.
    """

    id: str
    mchid: str
    day: date
    kind: DifferenceKind
    recorded: BookEntry | None
    billed: BookEntry | None
    found_at: datetime
    seen_at: datetime
    status: Status = Status.OPEN
    audit: tuple[Audit, ...] = ()

    @classmethod
    def between(
        cls,
        mchid: str,
        day: date,
        kind: DifferenceKind,
        recorded: BookEntry | None,
        billed: BookEntry | None,
        now: datetime,
    ) -> Self:
        """Create a difference, identified by its content. At least one of ``recorded`` and ``billed`` is given."""
        numbers = _either(recorded, billed)[:4]
        identity = "\n".join((mchid, day.isoformat(), kind, *numbers))
        return cls(sha256(identity.encode()).hexdigest()[:32], mchid, day, kind, recorded, billed, now, now)

    @property
    def numbers(self) -> BookEntry:
        """The entry with the numbers: WeChat's if there is one, or else ours."""
        return _either(self.recorded, self.billed)


def find_again(difference: Difference, now: datetime) -> Difference:
    """Mark a difference as found by another run; a cleared one is opened again."""
    if difference.seen_at >= now:
        return difference
    seen = replace(difference, seen_at=now)
    if seen.status is not Status.GONE:
        return seen
    return set_status(seen, Audit(now, "reconciliation", "rerun", Status.GONE, Status.OPEN))


def set_status(difference: Difference, entry: Audit) -> Difference:
    """Change a difference from ``entry.source`` to ``entry.target``; in any other status it stays as it is."""
    if difference.status is not entry.source:
        return difference
    return replace(difference, status=entry.target, audit=(*difference.audit, entry))


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of payments and refunds, in fen; the fee in 1/100,000 yuan. ``settled``: without others' coupons."""

    payments: int = 0
    received: int = 0
    settled: int = 0
    refunds: int = 0
    refunded: int = 0
    settled_refunded: int = 0
    fee_e5: int = 0

    @property
    def fee(self) -> int:
        return rounded_fen(self.fee_e5)

    @property
    def net(self) -> int:
        """The change of the merchant's balance."""
        return self.settled - self.settled_refunded - self.fee


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result of a run. ``found`` counts the differences of each kind, repaired and checked ones, too.

    ``unread`` are the numbers of the bill's unreadable lines. ``billed`` lacks them; our entries that they may confirm
    are listed as differences.
    """

    day: date
    started_at: datetime
    finished_at: datetime
    recorded: Totals
    billed: Totals
    found: Mapping[DifferenceKind, int] = field(default_factory=dict)
    unread: tuple[int, ...] = ()


def classify(
    recorded: BookEntry | None, billed: BookEntry, *, nth: int = 1, again: bool = False, taken_back: bool = False
) -> DifferenceKind | None:
    """Return the kind of difference between a bill line and our entry with its number; None when they agree.

    ``nth`` counts the lines of that number up to this one; ``again``: an earlier line had the same numbers.
    ``taken_back``: the bill has a reversal of this payment, so that the two lines cancel out.
    """
    if billed.is_refund:
        return _classify_refund(recorded, billed, again)
    return _classify_reversal(recorded, billed) if taken_back else _classify_payment(recorded, billed, nth, again)


def _classify_payment(recorded: BookEntry | None, billed: BookEntry, nth: int, again: bool) -> DifferenceKind | None:
    if recorded is None:
        return DifferenceKind.UNKNOWN_NUMBER
    unpaid = recorded.state in UNPAID
    another = nth > 1 if unpaid else recorded.transaction_id != billed.transaction_id
    if again or another:
        return DifferenceKind.DOUBLE_PAYMENT
    if unpaid:
        return DifferenceKind.MISSING_HERE if recorded.state == TradeState.NOTPAY else DifferenceKind.STATE
    if (recorded.amount, recorded.currency) != (billed.amount, billed.currency):
        return DifferenceKind.AMOUNT
    return None if billed.state == PAID else DifferenceKind.STATE


def _classify_reversal(recorded: BookEntry | None, billed: BookEntry) -> DifferenceKind | None:
    """Return STATE, for the line of the reversal only, if our order counts as paid by the reversed payment."""
    paid_by_it = (
        recorded is not None and recorded.state not in UNPAID and recorded.transaction_id == billed.transaction_id
    )
    return DifferenceKind.STATE if paid_by_it and billed.state == REVERSED else None


def missing_there(recorded: BookEntry) -> DifferenceKind | None:
    """Return the kind of difference of an entry that is not on the bill; None if it need not be there."""
    if recorded.is_refund:
        return None if recorded.state in NOT_ACCEPTED else DifferenceKind.REFUND_MISSING_THERE
    return None if recorded.state in UNPAID else DifferenceKind.MISSING_THERE


def rounded_fen(fee_e5: int) -> int:
    """Round a fee to whole fen, half a fen away from zero, as WeChat does."""
    whole = (abs(fee_e5) + FEE_UNITS_PER_FEN // 2) // FEE_UNITS_PER_FEN
    return whole if fee_e5 >= 0 else -whole


def sum_lines(lines: Iterable[TradeLine]) -> Totals:
    """Sum the lines of a bill."""
    tally = Tally()
    for line in lines:
        tally.line(line)
    return tally.sums()


class Tally:
    """Running sums of entries."""

    def __init__(self) -> None:
        self._payments = self._received = self._settled = 0
        self._refunds = self._refunded = self._settled_refunded = self._fee_e5 = 0

    def line(self, line: TradeLine) -> None:
        """Add a bill line."""
        self._fee_e5 += line.fee_e5
        if line.is_reversal:
            self._add_refund(line.refund or line.total, line.settled_refund or line.settled)
        elif not line.is_refund:
            self._add_payment(line.total, line.settled)
        elif line.refund_status != FAILED:
            self._add_refund(line.refund, line.settled_refund)

    def entry(self, entry: BookEntry) -> None:
        """Add a recorded payment, or a refund that was paid out. Coupons and fees are known from the bill only."""
        if entry.is_refund and entry.state not in NOT_BACK:
            self._add_refund(entry.amount, entry.amount)
        elif not entry.is_refund:
            self._add_payment(entry.amount, entry.amount)

    def sums(self) -> Totals:
        return Totals(
            self._payments,
            self._received,
            self._settled,
            self._refunds,
            self._refunded,
            self._settled_refunded,
            self._fee_e5,
        )

    def _add_payment(self, total: int, settled: int) -> None:
        self._payments, self._received, self._settled = (
            self._payments + 1,
            self._received + total,
            self._settled + settled,
        )

    def _add_refund(self, refund: int, settled: int) -> None:
        self._refunds += 1
        self._refunded, self._settled_refunded = self._refunded + refund, self._settled_refunded + settled


def _classify_refund(recorded: BookEntry | None, billed: BookEntry, again: bool) -> DifferenceKind | None:
    if recorded is None or again:
        return DifferenceKind.REFUND_MISSING_HERE
    if (recorded.amount, recorded.out_trade_no) != (billed.amount, billed.out_trade_no):
        return DifferenceKind.AMOUNT
    return None if recorded.state in REFUND_STATES.get(billed.state, ACCEPTED) else DifferenceKind.STATE


def _either(recorded: BookEntry | None, billed: BookEntry | None) -> BookEntry:
    found = billed or recorded
    if found is None:
        raise ValueError("a difference has a side")
    return found
