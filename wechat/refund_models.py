"""What the service knows of refunds, and the moves a refund may make. Pure values, like ``wechat.models``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from wechat.models import Api, Fen, OrderEvent

MAX_REFUNDS = 50  # of one order; WeChat's limit
SPACING = timedelta(minutes=1)  # between two refunds of one order; WeChat's limit
WINDOW = timedelta(days=365)  # after the payment; WeChat's limit


class RefundState(StrEnum):
    """A refund's life. The middle four are WeChat's words, the first and the last are ours."""

    REQUESTED = "REQUESTED"  # stored here; WeChat has not said anything yet
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    ABNORMAL = "ABNORMAL"  # the payer's card or account does not take it; an operator has to act at WeChat
    CLOSED = "CLOSED"  # WeChat gave up; the money never left
    REFUSED = "REFUSED"  # certainly not done


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

    ``api`` is the one it goes through, which may differ from the order's. Amounts are fen, times aware UTC.
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
    refund_id: str = ""
    success_at: datetime | None = None
    next_check_at: datetime | None = None
    checks: int = 0
    events: tuple[OrderEvent, ...] = ()

    @property
    def sent(self) -> bool:
        """Whether it was ever sent to WeChat, however that ended."""
        return any(event.what == "sent" for event in self.events)


@dataclass(frozen=True, slots=True)
class RefundFact:
    """What WeChat says of one refund, by answer, query or notification."""

    mchid: str
    out_refund_no: str
    out_trade_no: str
    refund_id: str
    state: RefundState
    refund: int
    total: int
    success_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefundMove:
    """One conditional change of a refund, if it is in a source of ``target`` and its amounts agree."""

    target: RefundState
    event: OrderEvent
    match: Mapping[str, str | int] = field(default_factory=dict)
    changes: Mapping[str, str | datetime | None] = field(default_factory=dict)
    emits: str = ""

    @property
    def sources(self) -> frozenset[RefundState]:
        return refund_sources(self.target)
