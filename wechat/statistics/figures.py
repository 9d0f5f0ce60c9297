"""Sums over the orders of a span of time. Pure values; amounts are fen, times aware UTC.

The rules are those of reconciliation: a payment counts at WeChat's time of payment, with the order's whole price,
coupons included; a refund counts at the time it was last sent, unless it is closed or refused. Therefore a day's
figures equal our side of its reconciliation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple, Self

from wechat.domain.orders import PAID_STATES, Order
from wechat.reconciliation.books import NOT_BACK

SLICE_MINUTES = 5
"""The length of the slices of an hour, by which today is compared with the same time of another day."""


class EntryKind(StrEnum):
    """The kinds of entries that an order adds to the figures, each at its own time."""

    CREATED = "created"
    PAID = "paid"
    REFUND = "refund"


class Group(NamedTuple):
    """The key by which figures are split: the settings entry of the order, and its trade type."""

    channel: str
    trade_type: str


class Entry(NamedTuple):
    """An event that counts. ``amount`` is the price or the refund, in fen; ``state`` the order's or the refund's.

    ``surplus``: a refund of a second payment, which was never counted as received.
    """

    kind: EntryKind
    at: datetime
    group: Group
    amount: int
    state: str
    surplus: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums. ``converted``: how many of the orders created in the period are paid by now.

    ``paid`` and ``received`` are of payments made in the period, even for earlier orders. ``surplus`` is the part of
    ``refunded`` that was never counted as received.
    """

    created: int = 0
    converted: int = 0
    paid: int = 0
    received: int = 0
    refunds: int = 0
    refunded: int = 0
    surplus: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*[own + more for own, more in zip(self.numbers, other.numbers, strict=True)])

    @property
    def numbers(self) -> tuple[int, ...]:
        """The sums in the order of the fields."""
        numbers: tuple[int, ...] = _numbers(self)
        return numbers

    @property
    def net(self) -> int:
        """The received amount less refunds, before fees."""
        return self.received - self.refunded + self.surplus


_numbers = attrgetter(*[field.name for field in fields(Figures)])
NOTHING = Figures()


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour's figures by group, and by the first minute of each slice. Empty ones are left out.

    ``slices`` are removed from days that are no longer used for comparisons.
    """

    groups: Mapping[Group, Figures]
    slices: Mapping[int, Figures]

    @property
    def total(self) -> Figures:
        return add_up(self.groups.values())


def add_up(figures: Iterable[Figures]) -> Figures:
    """Sum figures."""
    return sum(figures, NOTHING)


def entries_of(order: Order) -> Iterator[Entry]:
    """Yield all entries that ``order`` adds to the figures."""
    group = Group(order.channel, order.trade_type.value)
    yield Entry(EntryKind.CREATED, order.created_at, group, order.total, order.trade_state.value)
    if order.paid_at:
        yield Entry(EntryKind.PAID, order.paid_at, group, order.total, order.trade_state.value)
    for refund in order.refunds:
        if refund.last_sent_at:
            at, state = refund.last_sent_at, refund.state.value
            yield Entry(EntryKind.REFUND, at, group, refund.refund, state, refund.surplus)


def figures_of(entry: Entry) -> Figures:
    """Return the figures of one entry."""
    match entry.kind:
        case EntryKind.CREATED:
            return Figures(created=1, converted=int(entry.state in PAID_STATES))
        case EntryKind.PAID:
            return Figures(paid=1, received=entry.amount)
        case EntryKind.REFUND if entry.state in NOT_BACK:
            return NOTHING
        case EntryKind.REFUND:
            return Figures(refunds=1, refunded=entry.amount, surplus=entry.amount if entry.surplus else 0)


class HourSums:
    """Running sums of entries, by hour of a Beijing day."""

    def __init__(self, begin: datetime) -> None:
        """``begin``: the day's first moment."""
        self._begin = begin
        self._hours: dict[int, tuple[dict[Group, Figures], dict[int, Figures]]] = {}

    def add(self, entry: Entry) -> None:
        """Count ``entry``, which lies on the day."""
        hour, seconds = divmod(int((entry.at - self._begin).total_seconds()), 3600)
        minute = seconds // 60 // SLICE_MINUTES * SLICE_MINUTES
        figures = figures_of(entry)
        groups, slices = self._hours.setdefault(hour, ({}, {}))
        groups[entry.group] = groups.get(entry.group, NOTHING) + figures
        slices[minute] = slices.get(minute, NOTHING) + figures

    def hour(self, hour: int) -> Hour:
        groups, slices = self._hours.get(hour, ({}, {}))
        return Hour(groups, slices)
