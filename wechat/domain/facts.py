"""Values that WeChat reports: transactions, refunds, notifications, and the proof of their origin.

Pure values. Amounts are fen, times aware UTC. Names are WeChat Pay v3's; enum members are the strings on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Api(StrEnum):
    """The generation of WeChat Pay that takes an order or a refund."""

    V2 = "v2"
    V3 = "v3"


class RemoteState(StrEnum):
    """``trade_state`` as WeChat reports it (v2 orderquery, v3 query by out_trade_no)."""

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

    @property
    def closed(self) -> bool:
        """Whether the order can no longer be paid at WeChat, and was not."""
        return self in (RemoteState.CLOSED, RemoteState.REVOKED)


class Funds(StrEnum):
    """The part of the merchant's money that pays a refund, for merchants of WeChat Pay's old fund flow. v3's words."""

    AVAILABLE = "AVAILABLE"  # the available balance
    UNSETTLED = "UNSETTLED"  # payments that are not settled yet


class RefundState(StrEnum):
    """The states of a refund. The middle four are WeChat's, the first and the last are ours."""

    REQUESTED = "REQUESTED"  # stored here; no result from WeChat yet
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    ABNORMAL = "ABNORMAL"  # the payer's card or account cannot receive the money; an operator has to act at WeChat
    CLOSED = "CLOSED"  # WeChat ended the refund without paying it out
    REFUSED = "REFUSED"  # certainly not made: refused, or cancelled before WeChat had it


@dataclass(frozen=True, slots=True)
class Transaction:
    """WeChat's report of one order, by query or notification. Optional fields are absent while unpaid."""

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


@dataclass(frozen=True, slots=True)
class RemoteRefund:
    """WeChat's report of one refund of the payment ``transaction_id``, by response, query or notification."""

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
class UnsignedRefundNotice:
    """The refund that a v2 refund notification names. v2 does not sign it: it triggers a query and proves nothing."""

    out_refund_no: str
    out_trade_no: str


@dataclass(frozen=True, slots=True)
class OtherNotice:
    """A notification that this system does not use: of a coupon, a complaint, a payment score.

    ``content`` is the decrypted resource, empty where there was none.
    """

    event_id: str
    event_type: str
    summary: str
    content: Mapping[str, Any]


class NotificationKind(StrEnum):
    """The kind of a notification. ``ECHO`` (a check by WeChat) and ``OTHER`` are recorded and change nothing."""

    PAYMENT = "payment"
    REFUND = "refund"
    OTHER = "other"
    ECHO = "echo"


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification from WeChat. ``id`` is the same for each repetition of the same event.

    At most one of ``transaction``, ``refund``, ``notice`` and ``other`` is set.
    """

    id: str
    api: Api
    kind: NotificationKind
    mchid: str
    transaction: Transaction | None
    created_at: datetime | None = None
    refund: RemoteRefund | None = None
    notice: UnsignedRefundNotice | None = None
    other: OtherNotice | None = None

    @property
    def out_trade_no(self) -> str:
        """The number of the order that the notification is about; empty for none."""
        about = self.transaction or self.refund or self.notice
        return about.out_trade_no if about else ""


@dataclass(frozen=True, slots=True)
class Received:
    """A stored notification in short: ``seen`` counts its arrivals; an empty ``verdict`` means nothing unusual."""

    id: str
    api: Api
    kind: str
    seen: int
    verdict: str
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Verified(Generic[T]):
    """A value with a proved origin. Only gateways create it; transitions that move money accept nothing else.

    ``proof`` names the proof (``v2 MD5``, ``v3 PUB_KEY_ID_…``), for the timeline.
    """

    value: T
    proof: str

    def with_value(self, part: U) -> Verified[U]:
        """Return ``part``, a component of the value, with the same proof."""
        return Verified(part, self.proof)
