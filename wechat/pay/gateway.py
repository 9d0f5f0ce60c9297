"""The protocol of a gateway to WeChat Pay, the same for APIv2 and APIv3, and the parts that both versions share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Protocol

from wechat.domain.errors import Cause, OutcomeUnknown, RemoteError
from wechat.domain.facts import Api, Notification, NotificationKind, RemoteRefund, RemoteState, Transaction, Verified
from wechat.domain.orders import AppPayParams, Order, PayParams, Prepay, Refund, TradeType
from wechat.domain.ports import Clock
from wechat.support.transport import Transport

SIGN_ERROR = "SIGN_ERROR"
Nonce = Callable[[], str]


class AnotherOrder(OutcomeUnknown):
    """WeChat answered about another order than the queried one, which proves nothing about ours."""


def random_nonce() -> str:
    """Return 32 characters, the most that WeChat accepts."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Merchant:
    """The merchant number that receives the money, and the AppID of its Official Account.

    ``name`` and ``url`` describe the site to WeChat in MWEB orders.
    """

    mchid: str
    appid: str
    name: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request of ours whose signature WeChat refused. ``said`` is WeChat's message.

    The other fields are known for APIv3 only: ``sent_s`` is the signed time and ``answered_s`` the Date of the answer
    (Unix seconds), ``signed`` is the text that we signed, and ``seen`` the part that WeChat shows of the text that it
    expected, which has ``seen_length`` bytes.
    """

    api: Api
    said: str
    sent_s: float = 0.0
    answered_s: float | None = None
    signed: bytes = b""
    seen: str = ""
    seen_length: int = 0


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The transport, WeChat Pay's hosts in order, the clock and the source of nonces that a gateway uses.

    ``name_cause`` finds out why WeChat refused a signature.
    """

    transport: Transport
    hosts: tuple[str, ...]
    clock: Clock
    nonce: Nonce = random_nonce
    name_cause: Callable[[RefusedRequest], Cause] | None = None

    def explain_refusal(self, error: RemoteError, request: Callable[[], RefusedRequest]) -> RemoteError:
        """Return ``error``, after adding the cause if WeChat refused a signature."""
        if self.name_cause and error.public_code == SIGN_ERROR:
            error.name_cause(self.name_cause(request()))
        return error


class Gateway(Protocol):
    """A gateway to one API version. A call returns its value, or raises GatewayRefused, NotSent or OutcomeUnknown."""

    api: Api

    async def prepay(self, order: Order, at: datetime) -> Prepay:
        """Place ``order`` at WeChat. The same order again gets a new prepay_id, whose lifetime starts at ``at``."""

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        """Query ``order``, by its own number or by ``transaction_id``.

        Raises GatewayRefused with ORDER_NOT_EXIST for an order that never arrived.
        """

    async def close(self, order: Order) -> None:
        """Close ``order`` unpaid. Raises GatewayRefused with ORDER_PAID for a paid order."""

    def pay_params(self, appid: str, prepay: Prepay) -> PayParams:
        """Sign new parameters for the cashier over ``prepay.prepay_id``."""

    def app_params(self, appid: str, prepay: Prepay) -> AppPayParams:
        """Sign new parameters for an app over ``prepay.prepay_id``."""

    def receive(
        self, headers: Mapping[str, str], body: bytes, *, arrived_at: datetime | None = None
    ) -> Verified[Notification]:
        """Verify and parse a notification that came just now, or at ``arrived_at`` by the machine's clock.

        Raises SignatureInvalid or Malformed.
        """

    def claimed_order(self, body: bytes) -> str:
        """Return the out_trade_no in a refused notification, unverified; empty if it cannot be read."""


class RefundGateway(Protocol):
    """Refunds over one API version. Calls end like those of ``Gateway``."""

    api: Api

    async def refund(self, refund: Refund) -> Verified[RemoteRefund]:
        """Send the refund to WeChat. Sending it again does not create a second refund."""

    async def query_refund(self, refund: Refund) -> Verified[RemoteRefund]:
        """Query ``refund``. Raises GatewayRefused with REFUND_NOT_EXIST for a refund that never arrived."""


def sign_for_payer(gateway: Gateway, order: Order) -> PayParams | AppPayParams | None:
    """Return the signed pay parameters of a page (JSAPI) or an app (APP); None without a prepay or for other types."""
    if order.prepay is None or order.trade_type not in (TradeType.JSAPI, TradeType.APP):
        return None
    sign = gateway.pay_params if order.trade_type is TradeType.JSAPI else gateway.app_params
    return sign(order.appid, order.prepay)


def date_of(headers: Mapping[str, str]) -> float | None:
    """Return the Date of an answer, by the sender's clock, in Unix seconds; None without a readable Date."""
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None


def notification_id(mchid: str, kind: NotificationKind, event: str) -> str:
    """Compute the id of a notification, the same for each repetition of its event."""
    return sha256(f"{mchid}\n{kind}\n{event}".encode()).hexdigest()


def remote_state(call: str, text: object) -> RemoteState:
    """Parse ``trade_state`` of a verified answer. Raises OutcomeUnknown for an undocumented state."""
    try:
        return RemoteState(str(text))
    except ValueError:
        raise OutcomeUnknown(call, wire_message="an undocumented trade_state") from None


def same_order(call: str, order: Order, found: Transaction) -> Transaction:
    """Return ``found`` if it is about ``order``. Raises AnotherOrder."""
    appid = found.appid or order.appid  # v3 leaves it out while unpaid
    if (found.out_trade_no, found.mchid, appid) != (order.out_trade_no, order.mchid, order.appid):
        raise AnotherOrder(call, wire_message="the answer is about another order")
    return found


def same_refund(call: str, refund: Refund, found: RemoteRefund) -> RemoteRefund:
    """Return ``found`` if it is about ``refund`` and has its amounts. Raises OutcomeUnknown."""
    asked = (refund.mchid, refund.out_refund_no, refund.out_trade_no, refund.refund, refund.total)
    if (found.mchid, found.out_refund_no, found.out_trade_no, found.refund, found.total) != asked:
        raise OutcomeUnknown(call, wire_message="the answer is about another refund")
    return found
