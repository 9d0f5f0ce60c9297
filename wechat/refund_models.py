"""What the service knows of refunds, and the moves a refund may make. Pure values, like ``wechat.models``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from wechat.models import Api, Fen, OrderEvent, RefundState

MAX_REFUNDS = 50  # of one order; WeChat's limit
MAX_ATTEMPTS = 2000
"""Of one order, with those that came to nothing: its document keeps lines about each, under half a kilobyte. A job that
asks anew as soon as it may, while there is no balance, comes to it in a day and a half."""
LEASE = timedelta(minutes=1)  # far more than a query and a request take
SPACING = timedelta(minutes=1, seconds=10)
"""Between two refunds of one order: WeChat's minute, which it counts from when each reached it, ten seconds at most
after it was sent."""
WINDOW = timedelta(days=365)  # after the payment; WeChat's limit
MAX_REASON = 80  # bytes; WeChat's limit
OUT_REFUND_NO = re.compile(r"[0-9A-Za-z_\-|*@]{6,64}", re.ASCII)

SENT = "sent"
"""The timeline's word for a refund handed to WeChat; written before it is, so it may have been."""
SLOW = "slow"
"""The timeline's word for one that takes longer than PATIENCE."""
LONGEST_PAUSE = timedelta(hours=6)
PATIENCE = timedelta(days=5)  # cards take one to three working days, and a weekend may lie between

REFUND_MOVES: Mapping[RefundState, frozenset[RefundState]] = {
    RefundState.REQUESTED: frozenset(set(RefundState) - {RefundState.REQUESTED}),
    RefundState.PROCESSING: frozenset({RefundState.SUCCESS, RefundState.ABNORMAL, RefundState.CLOSED}),
    RefundState.ABNORMAL: frozenset({RefundState.PROCESSING, RefundState.SUCCESS, RefundState.CLOSED}),
    RefundState.SUCCESS: frozenset(),
    RefundState.CLOSED: frozenset(),
    RefundState.REFUSED: frozenset(),
}
"""Every legal move of a refund."""

RELEASING = frozenset({RefundState.CLOSED, RefundState.REFUSED})
"""Ends in which the money stayed with the merchant, so that the order's reservation is given back."""

OPEN = frozenset({RefundState.REQUESTED, RefundState.PROCESSING, RefundState.ABNORMAL})


def refund_sources(target: RefundState) -> frozenset[RefundState]:
    """The states from which a refund may move to ``target``."""
    return frozenset(state for state, targets in REFUND_MOVES.items() if target in targets)


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund. ``out_refund_no`` is its identity here and at WeChat: a retry never takes another.

    ``api`` is the one it goes through, which may differ from the order's. ``surplus``: it returns, whole, a second
    payment that the order has no claim to. ``next_check_at`` is when a worker looks at it; whoever works on it has
    pushed that date ahead, which keeps others off. Amounts are fen, times aware UTC.
    """

    out_refund_no: str
    out_trade_no: str
    transaction_id: str
    api: Api
    appid: str
    mchid: str
    refund: Fen
    total: Fen
    reason: str
    by: str
    notify_url: str
    created_at: datetime
    state: RefundState = RefundState.REQUESTED
    surplus: bool = False
    refund_id: str = ""
    success_at: datetime | None = None
    next_check_at: datetime | None = None
    events: tuple[OrderEvent, ...] = ()

    @property
    def open(self) -> bool:
        """Whether its end is still to come."""
        return self.state in OPEN

    @property
    def sends(self) -> int:
        """How often it may have reached WeChat."""
        return sum(event.what == SENT for event in self.events)

    @property
    def outlived_its_first_lease(self) -> bool:
        """Whether somebody else than who began it may have worked on it, and may still, late as it is."""
        return self.events[-1].at >= self.created_at + LEASE

    @property
    def first_sent_at(self) -> datetime | None:
        return next((event.at for event in self.events if event.what == SENT), None)

    @property
    def due_at(self) -> datetime | None:
        """About when it is sent, None once it may have reached WeChat: a minute lies between two of one order."""
        return self.next_check_at if self.state is RefundState.REQUESTED and not self.sends else None

    def pause(self, now: datetime) -> timedelta:
        """Until it is asked after: half of its age, at most six hours, and no less than until it may be sent again."""
        return min(max(self._age(now) / 2, SPACING), LONGEST_PAUSE)

    def slow(self, now: datetime) -> bool:
        """Whether it takes longer than any bank does, and its timeline does not say so yet."""
        said = self.state is RefundState.ABNORMAL or any(event.what == SLOW for event in self.events)
        return self._age(now) >= PATIENCE and not said

    def _age(self, now: datetime) -> timedelta:
        """Since it was first sent."""
        return now - (self.first_sent_at or now)


@dataclass(frozen=True, slots=True)
class RefundMove:
    """One conditional change of a refund, if it is in a source of ``target`` and ``match`` holds.

    ``next_check_at`` replaces the refund's date, so that a process that dies right after leaves work, not a loose end.
    """

    target: RefundState
    event: OrderEvent
    next_check_at: datetime
    match: Mapping[str, str | int | datetime | None] = field(default_factory=dict)
    changes: Mapping[str, str | datetime | None] = field(default_factory=dict)
    emits: str = ""

    @property
    def sources(self) -> frozenset[RefundState]:
        return refund_sources(self.target)
