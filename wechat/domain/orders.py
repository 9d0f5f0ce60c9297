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

PREPAY_LIFE = timedelta(hours=2)  # "prepay_id valid for two hours", independent of time_expire
CODE_URL_LIFE = timedelta(hours=2)
H5_URL_LIFE = timedelta(minutes=5)
DEFAULT_CHANNEL = "default"
MAX_TIMELINE = 200
FIRST_LINES = 20
"""Lines from the beginning that stay when a timeline exceeds its limit; after them the latest ones stay."""

OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}", re.ASCII)


class TradeType(StrEnum):
    """The way a payer pays. v3 writes "h5" for MWEB in its path, and MWEB in its responses; this system writes MWEB."""

    JSAPI = "JSAPI"
    NATIVE = "NATIVE"
    MWEB = "MWEB"
    APP = "APP"


class TradeState(StrEnum):
    """The states of an order: four of WeChat's, and PAID_LATE, which is ours."""

    NOTPAY = "NOTPAY"
    SUCCESS = "SUCCESS"
    CLOSED = "CLOSED"
    PAID_LATE = "PAID_LATE"  # paid after closing, or by another payer: the money is here, goods are not released
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
    """A line of a timeline. ``source`` is its origin (payer, merchant, notify, query, worker).

    The timeline is for people. No rule about money reads it; alarms read it, so that each is raised once.
    """

    at: datetime
    what: str
    source: str
    by: str = ""
    detail: Mapping[str, str | int] = field(default_factory=dict)


Timeline = tuple[TimelineEntry, ...]


def extend(timeline: Timeline, entry: TimelineEntry, most: int = MAX_TIMELINE) -> Timeline:
    """Append ``entry``. Beyond ``most`` lines, the oldest ones after the first ``FIRST_LINES`` are dropped."""
    longer = (*timeline, entry)
    return longer if len(longer) <= most else (*longer[:FIRST_LINES], *longer[FIRST_LINES - most :])


@dataclass(frozen=True, slots=True)
class Prepay:
    """The result of a unified order: one of ``prepay_id`` (JSAPI, APP), ``code_url`` (NATIVE), ``h5_url`` (MWEB).

    ``sign_type`` is the v2 signature type of the order, which paySign must repeat; ``RSA`` on v3.
    """

    obtained_at: datetime
    sign_type: str
    prepay_id: str = ""
    code_url: str = ""
    h5_url: str = ""

    def is_usable(self, now: datetime) -> bool:
        """Whether WeChat still accepts the result, with a margin of one minute so that a payer can act on it."""
        life = H5_URL_LIFE if self.h5_url else CODE_URL_LIFE if self.code_url else PREPAY_LIFE
        return now < self.obtained_at + life - timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class PayParams:
    """Parameters of WeChat's cashier. ``time_stamp`` is seconds as text: a number would change the signature."""

    app_id: str
    time_stamp: str
    nonce_str: str
    package: str
    sign_type: str
    pay_sign: str

    def as_json(self) -> dict[str, str]:
        """Return the fields for ``WeixinJSBridge`` and ``wx.chooseWXPay`` (``timestamp``); both sign ``timeStamp``."""
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
    """Parameters of WeChat's SDK in an app (``PayReq``). ``partner_id`` is the merchant number."""

    app_id: str
    partner_id: str
    prepay_id: str
    package: str
    nonce_str: str
    time_stamp: str
    sign: str

    def as_json(self) -> dict[str, str]:
        """Return the parameters under the names that are signed."""
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
    """A transaction that WeChat reported for an order, paid by ``openid``.

    ``payer_total`` is what the payer paid, less coupons.
    """

    transaction_id: str
    total: Fen
    paid_at: datetime | None
    payer_total: int | None = None
    openid: str = ""


OPEN = frozenset({RefundState.REQUESTED, RefundState.PROCESSING, RefundState.ABNORMAL})
"""States of a refund that are not final."""

RELEASES_RESERVATION = frozenset({RefundState.CLOSED, RefundState.REFUSED})
"""Final states in which the money stayed with the merchant, so that the amount can be refunded again."""

MIN_REFUND_INTERVAL = timedelta(minutes=1, seconds=10)
"""The least time between two refunds of one order. WeChat demands a minute, counted from the arrival of each request,
which is ten seconds at most after its sending."""

LONGEST_PAUSE = timedelta(hours=6)
PATIENCE = timedelta(days=5)  # cards take one to three working days, and a weekend may lie between


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund. ``(mchid, out_refund_no)`` is its identity here and at WeChat: a retry never uses another number.

    ``api`` is the API version that it is sent through, which may differ from the order's. ``surplus``: it refunds a
    whole second payment that the order has no claim to. While the refund is open, ``next_check_at`` is the date of the
    next check; the worker that checks holds ``lease`` and has moved that date ahead. ``sends`` counts how often it may
    have reached WeChat, ``changes`` its changes of state. ``refusal`` is the code of its refusal. ``funds`` is the
    money that pays it; None leaves the choice to WeChat.
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
        """Whether the state is not final."""
        return self.state in OPEN

    @property
    def reserves(self) -> bool:
        """Whether the amount reduces the refundable amount."""
        return self.state not in RELEASES_RESERVATION

    @property
    def queued_until(self) -> datetime | None:
        """The approximate date of sending, at least a minute after the order's last refund; None once it was sent."""
        return self.next_check_at if self.state is RefundState.REQUESTED and not self.sends else None

    @property
    def changed_at(self) -> datetime:
        """The time of the latest line in the refund's timeline."""
        return self.timeline[-1].at if self.timeline else self.created_at

    def pause(self, now: datetime) -> timedelta:
        """Compute the pause before the next query: half of the age, within MIN_REFUND_INTERVAL and LONGEST_PAUSE."""
        return min(max(self._age(now) / 2, MIN_REFUND_INTERVAL), LONGEST_PAUSE)

    def is_slow(self, now: datetime) -> bool:
        """Whether the refund takes longer than any bank needs."""
        return self.state is not RefundState.ABNORMAL and self._age(now) >= PATIENCE

    def _age(self, now: datetime) -> timedelta:
        """Return the time since the refund was first sent."""
        return now - (self.first_sent_at or now)


def order_key(mchid: str, out_trade_no: str) -> str:
    """Return the identity of an order; an out_trade_no is unique for one merchant only."""
    return f"{mchid}:{out_trade_no}"


@dataclass(frozen=True, slots=True)
class Order:
    """An order. ``(mchid, out_trade_no)`` is its identity here and at WeChat; it never changes.

    ``channel`` names the settings entry that pairs an Official Account with a merchant number. ``expires_at`` is the
    deadline that WeChat was told and never changes; ``close_after`` is the date of closing when a close was requested
    that WeChat does not accept yet. ``next_check_at`` is the date of the next check, ``checks`` their number; the
    worker that checks holds ``check_lease``. ``payments`` are all transactions that WeChat reported, the order's own
    first. ``refusal`` is the code with which WeChat refused the order; ``placing_in_doubt``: a request to place it got
    no response, so WeChat may have it nevertheless.
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
        """Whether the paying user is not the ordering user."""
        payer = self.payments[0].openid if self.payments else ""
        return bool(self.openid and payer and payer != self.openid)

    @property
    def refund_reserved(self) -> int:
        """The amount of the order's own payment that is refunded or reserved for refunds, in fen."""
        return sum(refund.refund for refund in self.refunds if refund.reserves and not refund.surplus)

    @property
    def refunded(self) -> int:
        """The amount of the order's own payment that WeChat has refunded, in fen."""
        given_back = [each for each in self.refunds if each.state is RefundState.SUCCESS and not each.surplus]
        return sum(refund.refund for refund in given_back)

    @property
    def closes_at(self) -> datetime:
        """The date on which the order is closed if it is still unpaid."""
        return self.close_after or self.expires_at

    @property
    def due_at(self) -> datetime | None:
        """The date on which a worker has to check the order or one of its refunds; None when no check is planned."""
        dates = (self.next_check_at, *[refund.next_check_at for refund in self.refunds])
        return min([date for date in dates if date], default=None)

    @property
    def is_refused(self) -> bool:
        """Whether WeChat refused the order and certainly does not have it, so that its number may be reused."""
        open_here = self.trade_state is TradeState.NOTPAY and self.prepay is None and not self.payments
        return open_here and bool(self.refusal) and not self.placing_in_doubt

    def is_payable(self, now: datetime) -> bool:
        """Whether a payer may still pay the order."""
        return self.trade_state is TradeState.NOTPAY and now < self.closes_at

    def refund_of(self, out_refund_no: str) -> Refund | None:
        """Return the order's refund with that number, None when there is none."""
        return next((refund for refund in self.refunds if refund.out_refund_no == out_refund_no), None)

    def with_entry(self, entry: TimelineEntry, **changes: object) -> Order:
        """Return the order with ``entry`` added to its timeline, and ``changes`` applied."""
        return replace(self, timeline=extend(self.timeline, entry), **changes)  # type: ignore[arg-type]  # our own fields

    def moved_to(
        self, target: TradeState, entry: TimelineEntry, event: tuple[EventType, str] | None = None, **changes: object
    ) -> Order:
        """Return the order in state ``target``, without a next check unless ``changes`` set one.

        ``event``, a type and a cause, is staged at the same time. Raises ValueError for an illegal transition.
        """
        if target not in TRANSITIONS[self.trade_state]:
            raise ValueError(f"an order does not move from {self.trade_state} to {target}")
        moves: dict[str, object] = {"trade_state": target, "next_check_at": None, "check_lease": ""}
        staged = self._stage(*event, entry.at) if event else {}
        return self.with_entry(entry, **moves | staged | changes)

    def with_event(self, kind: EventType, cause: str, at: datetime, out_refund_no: str = "") -> Order:
        """Stage an event for plugins and webhooks; its id is computed from ``cause``."""
        return replace(self, **self._stage(kind, cause, at, out_refund_no))  # type: ignore[arg-type]  # our own fields

    def _stage(self, kind: EventType, cause: str, at: datetime, out_refund_no: str = "") -> dict[str, object]:
        event = OutgoingEvent(event_id(self.key, kind, cause), kind, at, self.sequence + 1, out_refund_no)
        return {"outbox": (*self.outbox, event), "sequence": event.sequence}
