"""The order: one aggregate with its payments, refunds, timeline and outgoing events. Pure values.

Amounts are fen, times aware UTC, names WeChat Pay v3's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from wechat.domain.events import EventType, OutgoingEvent, event_id
from wechat.domain.facts import Api, Funds, RefundState
from wechat.domain.money import Fen
from wechat.domain.notes import Note

PREPAY_LIFE = timedelta(hours=2)  # "prepay_id valid for two hours", whatever time_expire says
CODE_URL_LIFE = timedelta(hours=2)
H5_URL_LIFE = timedelta(minutes=5)
DEFAULT_CHANNEL = "default"
MAX_TIMELINE = 200
FIRST_LINES = 20
"""Of a timeline that is longer than it may be, so many lines from the beginning stay, and the latest."""

OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}", re.ASCII)


class TradeType(StrEnum):
    """How the payer pays. v3 calls MWEB "h5" in its path and MWEB in its answers; so do we."""

    JSAPI = "JSAPI"
    NATIVE = "NATIVE"
    MWEB = "MWEB"
    APP = "APP"


class TradeState(StrEnum):
    """WeChat's states that an order of ours can be in, and one of our own: PAID_LATE."""

    NOTPAY = "NOTPAY"
    SUCCESS = "SUCCESS"
    CLOSED = "CLOSED"
    PAID_LATE = "PAID_LATE"  # paid after we had closed it, or by another payer: money is here, goods are not released
    REFUND = "REFUND"  # a refund was started, in part or in full


TRANSITIONS: Mapping[TradeState, frozenset[TradeState]] = {
    TradeState.NOTPAY: frozenset({TradeState.SUCCESS, TradeState.CLOSED, TradeState.PAID_LATE}),
    TradeState.CLOSED: frozenset({TradeState.PAID_LATE}),
    TradeState.SUCCESS: frozenset({TradeState.REFUND}),
    TradeState.PAID_LATE: frozenset({TradeState.REFUND}),
    TradeState.REFUND: frozenset(),
}
"""Every legal transition. ``Order.moved_to`` refuses any other."""

PAID_STATES = frozenset({TradeState.SUCCESS, TradeState.PAID_LATE, TradeState.REFUND})


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of a timeline. ``source`` is who spoke (payer, merchant, notify, query, worker).

    The timeline is for people. No rule about money reads it; alarms do, to be raised once.
    """

    at: datetime
    what: str
    source: str
    by: str = ""
    detail: Mapping[str, str | int] = field(default_factory=dict)


Timeline = tuple[TimelineEntry, ...]


def extend(timeline: Timeline, entry: TimelineEntry, most: int = MAX_TIMELINE) -> Timeline:
    """Append ``entry``. Beyond ``most`` lines, those after the first ``FIRST_LINES`` make room."""
    longer = (*timeline, entry)
    return longer if len(longer) <= most else (*longer[:FIRST_LINES], *longer[FIRST_LINES - most :])


@dataclass(frozen=True, slots=True)
class Prepay:
    """What a unified order returned: one of ``prepay_id`` (JSAPI, APP), ``code_url`` (NATIVE), ``h5_url`` (MWEB).

    ``sign_type`` is the v2 kind the order was signed with, which paySign must repeat; ``RSA`` on v3.
    """

    obtained_at: datetime
    sign_type: str
    prepay_id: str = ""
    code_url: str = ""
    h5_url: str = ""

    def is_usable(self, now: datetime) -> bool:
        """Whether WeChat still accepts it, with a minute in hand so that a payer can act on it."""
        life = H5_URL_LIFE if self.h5_url else CODE_URL_LIFE if self.code_url else PREPAY_LIFE
        return now < self.obtained_at + life - timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class PayParams:
    """What the page hands to the cashier. ``time_stamp`` is seconds as text: a number would change the signature."""

    app_id: str
    time_stamp: str
    nonce_str: str
    package: str
    sign_type: str
    pay_sign: str

    def as_json(self) -> dict[str, str]:
        """For ``WeixinJSBridge`` (``timeStamp``) and ``wx.chooseWXPay`` (``timestamp``); both sign ``timeStamp``."""
        return {
            "appId": self.app_id,
            "timeStamp": self.time_stamp,
            "timestamp": self.time_stamp,
            "nonceStr": self.nonce_str,
            "package": self.package,
            "signType": self.sign_type,
            "paySign": self.pay_sign,
        }


@dataclass(frozen=True, slots=True)
class AppPayParams:
    """What an app hands to WeChat's SDK (``PayReq``). ``partner_id`` is the merchant number."""

    app_id: str
    partner_id: str
    prepay_id: str
    package: str
    nonce_str: str
    time_stamp: str
    sign: str

    def as_json(self) -> dict[str, str]:
        """The names that WeChat signs."""
        return {
            "appid": self.app_id,
            "partnerid": self.partner_id,
            "prepayid": self.prepay_id,
            "package": self.package,
            "noncestr": self.nonce_str,
            "timestamp": self.time_stamp,
            "sign": self.sign,
        }


@dataclass(frozen=True, slots=True)
class Payment:
    """One transaction that WeChat reported for an order, paid by ``openid``.

    ``payer_total`` is what the payer paid, less coupons.
    """

    transaction_id: str
    total: Fen
    paid_at: datetime | None
    payer_total: int | None = None
    openid: str = ""


OPEN = frozenset({RefundState.REQUESTED, RefundState.PROCESSING, RefundState.ABNORMAL})
"""States of a refund whose end is still to come."""

RELEASES_RESERVATION = frozenset({RefundState.CLOSED, RefundState.REFUSED})
"""Ends in which the money stayed with the merchant, so that it can be refunded again."""

MIN_REFUND_INTERVAL = timedelta(minutes=1, seconds=10)
"""Between two refunds of one order: WeChat's minute, which it counts from when each reached it, ten seconds at most
after it was sent."""

LONGEST_PAUSE = timedelta(hours=6)
PATIENCE = timedelta(days=5)  # cards take one to three working days, and a weekend may lie between


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund. ``out_refund_no`` is its identity here and at WeChat: a retry never takes another.

    ``api`` is the one it goes through, which may differ from the order's. ``surplus``: it returns, whole, a second
    payment that the order has no claim to. While it is open, ``next_check_at`` is when a worker looks at it next;
    whoever works on it holds ``lease``, and has moved that date ahead. ``sends`` counts how often it may have reached
    WeChat, ``changes`` its changes of state. ``refusal`` is the code with which it was refused. ``funds`` is what it is
    paid from; None leaves that to WeChat.
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
    lease: str = ""
    sends: int = 0
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    slow: bool = False
    changes: int = 0
    refusal: str = ""
    funds: Funds | None = None
    timeline: Timeline = ()

    @property
    def open(self) -> bool:
        """Whether its end is still to come."""
        return self.state in OPEN

    @property
    def reserves(self) -> bool:
        """Whether its amount counts against what may still be refunded."""
        return self.state not in RELEASES_RESERVATION

    @property
    def queued_until(self) -> datetime | None:
        """About when it is sent, None once it may have reached WeChat: a minute lies between two of one order."""
        return self.next_check_at if self.state is RefundState.REQUESTED and not self.sends else None

    @property
    def changed_at(self) -> datetime:
        """When the latest line of its timeline was written."""
        return self.timeline[-1].at if self.timeline else self.created_at

    def pause(self, now: datetime) -> timedelta:
        """Until it is queried next: half of its age, at most six hours, and no less than until it may be sent again."""
        return min(max(self._age(now) / 2, MIN_REFUND_INTERVAL), LONGEST_PAUSE)

    def is_slow(self, now: datetime) -> bool:
        """Whether it takes longer than any bank does."""
        return self.state is not RefundState.ABNORMAL and self._age(now) >= PATIENCE

    def _age(self, now: datetime) -> timedelta:
        """Since it was first sent."""
        return now - (self.first_sent_at or now)


def order_key(mchid: str, out_trade_no: str) -> str:
    """The identity of an order: WeChat makes a number unique for one merchant only."""
    return f"{mchid}:{out_trade_no}"


@dataclass(frozen=True, slots=True)
class Order:
    """One order. ``(mchid, out_trade_no)`` is its identity here and at WeChat; it never changes.

    ``channel`` names the settings entry that pairs an Official Account with a merchant number. ``expires_at`` is what
    WeChat was told and stays as it is; ``close_after`` is when we close it, sooner where a close was asked for that
    WeChat does not take yet. ``next_check_at`` is when a worker looks at it, ``checks`` how often it was looked at;
    whoever looks holds ``check_lease``. ``payments`` are all transactions that WeChat reported, the order's own first.
    ``refusal`` is the code with which WeChat refused to take it; ``placing_in_doubt``: a request to take it got no
    answer, so that WeChat may have it all the same.
    """

    out_trade_no: str
    api: Api
    appid: str
    mchid: str
    trade_type: TradeType
    description: str
    total: Fen
    created_at: datetime
    expires_at: datetime
    notify_url: str
    client_ip: str
    channel: str = DEFAULT_CHANNEL
    openid: str = ""
    attach: str = ""
    sku: str = ""
    quantity: int = 0
    trade_state: TradeState = TradeState.NOTPAY
    prepay: Prepay | None = None
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    last_refund_at: datetime | None = None
    close_after: datetime | None = None
    next_check_at: datetime | None = None
    check_lease: str = ""
    checks: int = 0
    currency: str = "CNY"
    timeline: Timeline = ()
    outbox: tuple[OutgoingEvent, ...] = ()
    sequence: int = 0
    refusal: str = ""
    placing_in_doubt: bool = False
    notes: tuple[Note, ...] = ()

    @property
    def key(self) -> str:
        return order_key(self.mchid, self.out_trade_no)

    @property
    def paid(self) -> bool:
        return self.trade_state in PAID_STATES

    @property
    def transaction_id(self) -> str:
        """WeChat's number of the order's own payment; empty while unpaid."""
        return self.payments[0].transaction_id if self.payments else ""

    @property
    def paid_at(self) -> datetime | None:
        return self.payments[0].paid_at if self.payments else None

    @property
    def payer_total(self) -> int | None:
        return self.payments[0].payer_total if self.payments else None

    @property
    def paid_by_another(self) -> bool:
        """Whether another payer paid than the one who ordered."""
        payer = self.payments[0].openid if self.payments else ""
        return bool(self.openid and payer and payer != self.openid)

    @property
    def refund_reserved(self) -> int:
        """How many fen of the order's own payment are refunded or reserved for refunds."""
        return sum(refund.refund for refund in self.refunds if refund.reserves and not refund.surplus)

    @property
    def refunded(self) -> int:
        """How many fen of the order's own payment WeChat has given back."""
        given_back = [each for each in self.refunds if each.state is RefundState.SUCCESS and not each.surplus]
        return sum(refund.refund for refund in given_back)

    @property
    def closes_at(self) -> datetime:
        """When an unpaid order is closed."""
        return self.close_after or self.expires_at

    @property
    def due_at(self) -> datetime | None:
        """When a worker has to look at the order or at one of its refunds next; None when nothing is to come."""
        dates = [refund.next_check_at for refund in self.refunds]
        return min((date for date in (self.next_check_at, *dates) if date), default=None)

    @property
    def is_refused(self) -> bool:
        """Whether WeChat has said no to it and certainly does not have it: its number is free for another request."""
        open_here = self.trade_state is TradeState.NOTPAY and self.prepay is None and not self.payments
        return open_here and bool(self.refusal) and not self.placing_in_doubt

    def is_payable(self, now: datetime) -> bool:
        """Whether a payer may still pay it."""
        return self.trade_state is TradeState.NOTPAY and now < self.closes_at

    def refund_of(self, out_refund_no: str) -> Refund | None:
        """Its refund by that number, None when it has none."""
        return next((refund for refund in self.refunds if refund.out_refund_no == out_refund_no), None)

    def with_entry(self, entry: TimelineEntry, **changes: object) -> Order:
        """The order with one more line in its timeline, and ``changes``."""
        return replace(self, timeline=extend(self.timeline, entry), **changes)  # type: ignore[arg-type]  # our own fields

    def moved_to(
        self, target: TradeState, entry: TimelineEntry, event: tuple[EventType, str] | None = None, **changes: object
    ) -> Order:
        """The order in ``target``, where no check is left to do unless ``changes`` say so.

        ``event``, a type and a cause, is staged with it.
        Raises ValueError for a transition that is not in the table.
        """
        if target not in TRANSITIONS[self.trade_state]:
            raise ValueError(f"an order does not move from {self.trade_state} to {target}")
        moves: dict[str, object] = {"trade_state": target, "next_check_at": None, "check_lease": ""}
        staged = self._stage(*event, entry.at) if event else {}
        return self.with_entry(entry, **moves | staged | changes)

    def with_event(self, kind: EventType, cause: str, at: datetime, out_refund_no: str = "") -> Order:
        """Stage an event for plugins and webhooks; ``cause`` makes its id."""
        return replace(self, **self._stage(kind, cause, at, out_refund_no))  # type: ignore[arg-type]  # our own fields

    def _stage(self, kind: EventType, cause: str, at: datetime, out_refund_no: str = "") -> dict[str, object]:
        event = OutgoingEvent(event_id(self.key, kind, cause), kind, at, self.sequence + 1, out_refund_no)
        return {"outbox": (*self.outbox, event), "sequence": event.sequence}
