"""What the service knows: orders, what WeChat says of them, and the moves an order may make.

Pure values: no input or output, no clock. Amounts are ``Fen`` (int, 1/100 yuan), times are aware UTC.
Names are WeChat Pay v3's; enum members are the strings on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, NewType, TypeVar

from wechat.domain.errors import BadRequest, Text

Fen = NewType("Fen", int)
T = TypeVar("T")
U = TypeVar("U")

MAX_TOTAL = 10_000_000  # fen: 100,000 yuan, far above any web-page sale and far below WeChat's own field width
PREPAY_LIFE = timedelta(hours=2)  # "prepay_id valid for two hours", whatever time_expire says
CODE_URL_LIFE = timedelta(hours=2)
H5_URL_LIFE = timedelta(minutes=5)

OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}", re.ASCII)


def fen(value: object, *, field: str = "total", most: int = MAX_TOTAL) -> Fen:
    """``value`` as an amount. Only a true int from 1 to ``most`` passes: no bool, float, text or Decimal."""
    if type(value) is not int or not 1 <= value <= most:
        raise BadRequest(
            Text(
                f"{field} 必须是以分为单位的整数，1 到 {most}",
                f"{field} must be a whole number of fen from 1 to {most}",
            ),
            code="BAD_AMOUNT",
            field=field,
        )
    return Fen(value)


def yuan(amount: int) -> str:
    """``1800`` fen as ``18.00``, for a person's eyes, without a float on the way."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"


class Api(StrEnum):
    """Which generation of WeChat Pay took an order."""

    V2 = "v2"
    V3 = "v3"


class TradeType(StrEnum):
    """How the payer pays. v3 calls MWEB "h5" in its path and MWEB in its answers; so do we."""

    JSAPI = "JSAPI"
    NATIVE = "NATIVE"
    MWEB = "MWEB"


class TradeState(StrEnum):
    """WeChat's states that an order of ours can be in, and one of our own: PAID_LATE."""

    NOTPAY = "NOTPAY"
    SUCCESS = "SUCCESS"
    CLOSED = "CLOSED"
    PAID_LATE = "PAID_LATE"  # paid after we had closed it, or by another payer: money is here, goods are not released
    REFUND = "REFUND"  # a refund was started, in part or in full


class RemoteState(StrEnum):
    """``trade_state`` as WeChat reports it (v2 5.3, v3 6.6 of docs/protocol sources)."""

    SUCCESS = "SUCCESS"
    REFUND = "REFUND"
    NOTPAY = "NOTPAY"
    CLOSED = "CLOSED"
    REVOKED = "REVOKED"
    USERPAYING = "USERPAYING"
    PAYERROR = "PAYERROR"
    ACCEPT = "ACCEPT"

    @property
    def paid(self) -> bool:
        """Whether money has reached the merchant (a refund presupposes a payment)."""
        return self in (RemoteState.SUCCESS, RemoteState.REFUND)


MOVES: Mapping[TradeState, frozenset[TradeState]] = {
    TradeState.NOTPAY: frozenset({TradeState.SUCCESS, TradeState.CLOSED, TradeState.PAID_LATE}),
    TradeState.CLOSED: frozenset({TradeState.PAID_LATE}),
    TradeState.SUCCESS: frozenset({TradeState.REFUND}),
    TradeState.PAID_LATE: frozenset({TradeState.REFUND}),
    TradeState.REFUND: frozenset(),
}
"""Every legal move. What is not here cannot happen: stores are asked to move *from* the states that allow it."""

PAID_STATES = frozenset({TradeState.SUCCESS, TradeState.PAID_LATE, TradeState.REFUND})


def sources_of(target: TradeState) -> frozenset[TradeState]:
    """The states from which an order may move to ``target``."""
    return frozenset(state for state, targets in MOVES.items() if target in targets)


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One line of an order's timeline. ``source`` is who spoke (payer, merchant, notify, query, worker)."""

    at: datetime
    what: str
    source: str
    by: str = ""
    detail: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepay:
    """What a unified order gave: exactly one of ``prepay_id`` (JSAPI), ``code_url`` (NATIVE), ``h5_url`` (MWEB).

    ``sign_type`` is the v2 kind the order was signed with, which paySign must repeat; ``RSA`` on v3.
    """

    obtained_at: datetime
    sign_type: str
    prepay_id: str = ""
    code_url: str = ""
    h5_url: str = ""

    def alive(self, now: datetime) -> bool:
        """Whether WeChat still accepts it, with a minute in hand so that a payer can act on it."""
        life = H5_URL_LIFE if self.h5_url else CODE_URL_LIFE if self.code_url else PREPAY_LIFE
        return now < self.obtained_at + life - timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Order:
    """One order. ``out_trade_no`` is its identity here and at WeChat, for good.

    ``expires_at`` is what WeChat was told and stays as it is; ``close_after`` is when we close it, sooner where a close
    was asked for that WeChat does not take yet. ``next_check_at`` is when a worker looks at it, ``checks`` how often it
    has been looked at. ``refund_reserved`` fen of the total are refunded or promised to refunds.
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
    openid: str = ""
    attach: str = ""
    sku: str = ""
    quantity: int = 0
    trade_state: TradeState = TradeState.NOTPAY
    prepay: Prepay | None = None
    transaction_id: str = ""
    paid_at: datetime | None = None
    payer_total: int | None = None
    close_after: datetime | None = None
    next_check_at: datetime | None = None
    checks: int = 0
    refund_reserved: int = 0
    currency: str = "CNY"
    events: tuple[OrderEvent, ...] = ()

    @property
    def paid(self) -> bool:
        return self.trade_state in PAID_STATES

    def expired(self, now: datetime) -> bool:
        return now >= self.expires_at

    def with_event(self, event: OrderEvent) -> Order:
        return replace(self, events=(*self.events, event))


@dataclass(frozen=True, slots=True)
class Transaction:
    """What WeChat says of one order, by query or notification. Optional fields are absent while unpaid."""

    appid: str
    mchid: str
    out_trade_no: str
    state: RemoteState
    total: int | None = None
    currency: str = "CNY"
    transaction_id: str = ""
    trade_type: str = ""
    openid: str = ""
    payer_total: int | None = None
    success_time: datetime | None = None
    bank_type: str = ""
    attach: str = ""


class RefundState(StrEnum):
    """A refund's life. The middle four are WeChat's words, the first and the last are ours."""

    REQUESTED = "REQUESTED"  # stored here; WeChat has not said anything yet
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    ABNORMAL = "ABNORMAL"  # the payer's card or account does not take it; an operator has to act at WeChat
    CLOSED = "CLOSED"  # WeChat gave up; the money never left
    REFUSED = "REFUSED"  # certainly not done


@dataclass(frozen=True, slots=True)
class RefundFact:
    """What WeChat says of one refund, by answer, query or notification; of the payment ``transaction_id``."""

    mchid: str
    out_refund_no: str
    out_trade_no: str
    refund_id: str
    state: RefundState
    refund: int
    total: int
    success_time: datetime | None = None
    transaction_id: str = ""


@dataclass(frozen=True, slots=True)
class RefundHint:
    """Which refund v2 says there is news of. v2 does not sign such messages: a reason to ask, never a fact."""

    out_refund_no: str
    out_trade_no: str


@dataclass(frozen=True, slots=True)
class Notification:
    """A message from WeChat. ``id`` is the same for each repetition of the same event.

    At most one of ``transaction``, ``refund`` and ``hint`` is there.
    """

    id: str
    api: Api
    kind: str
    mchid: str
    transaction: Transaction | None
    created_at: datetime | None = None
    refund: RefundFact | None = None
    hint: RefundHint | None = None

    @property
    def out_trade_no(self) -> str:
        """Which order it is about; empty when about none."""
        about = self.transaction or self.refund or self.hint
        return about.out_trade_no if about else ""


@dataclass(frozen=True, slots=True)
class Received:
    """A stored message: how often it came, and what was out of the ordinary about it (``verdict`` empty: nothing)."""

    id: str
    api: Api
    kind: str
    seen: int
    verdict: str
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Verified(Generic[T]):
    """A value whose origin was proved. Only gateways make one; functions that move money accept nothing else.

    ``proof`` says how (``v2 MD5``, ``v3 PUB_KEY_ID_…``), for the timeline.
    """

    value: T
    proof: str

    def part(self, pick: Callable[[T], U]) -> Verified[U]:
        """Something inside the value, proved by the same proof."""
        return Verified(pick(self.value), self.proof)


@dataclass(frozen=True, slots=True)
class Move:
    """One conditional change of an order: from ``sources`` to ``target``, if ``match`` still holds."""

    target: TradeState
    event: OrderEvent
    match: Mapping[str, str | int] = field(default_factory=dict)
    changes: Mapping[str, str | int | datetime | None] = field(default_factory=dict)
    emits: str = ""

    @property
    def sources(self) -> frozenset[TradeState]:
        return sources_of(self.target)


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
class Claim:
    """Who holds a key (an Idempotency-Key, a payer's open basket): the order, and a digest of what was asked."""

    key: str
    out_trade_no: str
    digest: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A slice of a listing and where the next one starts (empty: nothing follows)."""

    items: tuple[T, ...]
    next_cursor: str = ""
