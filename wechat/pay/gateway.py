"""The protocol of a gateway to WeChat Pay, the same for APIv2 and APIv3, and what both need to build one."""

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
    """The answer is WeChat's, and about another order than the queried one: it proves nothing about ours."""


def random_nonce() -> str:
    """32 characters, the most that WeChat takes."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who takes the money, and for which Official Account."""

    mchid: str
    appid: str
    name: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request of ours whose signature WeChat did not take. ``said`` are WeChat's words.

    The rest is known of APIv3 only: ``sent_s`` is the time that was signed and ``answered_s`` the Date of the answer
    (Unix seconds), ``signed`` is the text that was signed, and ``seen`` is what WeChat shows of the one that it
    expected, of ``seen_length`` bytes in all.
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
    """What a gateway works with: the way out, WeChat Pay's hosts in order, the time it signs with and the nonce;
    ``name_cause`` says why WeChat did not take a signature."""

    transport: Transport
    hosts: tuple[str, ...]
    clock: Clock
    nonce: Nonce = random_nonce
    name_cause: Callable[[RefusedRequest], Cause] | None = None

    def explain_refusal(self, error: RemoteError, request: Callable[[], RefusedRequest]) -> RemoteError:
        """``error``, with its cause where it is a signature that WeChat did not take."""
        if self.name_cause and error.public_code == SIGN_ERROR:
            error.name_cause(self.name_cause(request()))
        return error


class Gateway(Protocol):
    """One generation of the API. Every call ends in its value, GatewayRefused, NotSent or OutcomeUnknown."""

    api: Api

    async def prepay(self, order: Order, at: datetime) -> Prepay:
        """Place ``order`` at WeChat. The same order again gives a fresh prepay_id. Its life is reckoned from ``at``."""

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        """What WeChat knows of ``order``, asked by its own number or by WeChat's.

        Raises GatewayRefused with ORDER_NOT_EXIST for one that never arrived.
        """

    async def close(self, order: Order) -> None:
        """End ``order`` unpaid. Raises GatewayRefused with ORDER_PAID for one that is paid."""

    def pay_params(self, appid: str, prepay: Prepay) -> PayParams:
        """A fresh signature for the cashier over ``prepay.prepay_id``."""

    def app_params(self, appid: str, prepay: Prepay) -> AppPayParams:
        """A fresh signature for an app over ``prepay.prepay_id``."""

    def receive(
        self, headers: Mapping[str, str], body: bytes, *, arrived_at: datetime | None = None
    ) -> Verified[Notification]:
        """Verify and read one notification, which came just now or at ``arrived_at`` by the machine's clock.

        Raises SignatureInvalid or Malformed.
        """

    def claimed_order(self, body: bytes) -> str:
        """The out_trade_no in a notification that was refused, as far as it can be read; unverified."""


class RefundGateway(Protocol):
    """Refunds over one generation of the API. Calls end as ``Gateway``'s do."""

    api: Api

    async def refund(self, refund: Refund) -> Verified[RemoteRefund]:
        """Ask WeChat to give money back. The same refund again is the same refund there."""

    async def query_refund(self, refund: Refund) -> Verified[RemoteRefund]:
        """What WeChat knows of ``refund``. Raises GatewayRefused with REFUND_NOT_EXIST for one that never arrived."""


def sign_for_payer(gateway: Gateway, order: Order) -> PayParams | AppPayParams | None:
    """What a page (JSAPI) or an app (APP) pays ``order`` with; None where a code or a link is enough."""
    if order.prepay is None or order.trade_type not in (TradeType.JSAPI, TradeType.APP):
        return None
    sign = gateway.pay_params if order.trade_type is TradeType.JSAPI else gateway.app_params
    return sign(order.appid, order.prepay)


def date_of(headers: Mapping[str, str]) -> float | None:
    """When an answer was made by the sender's clock, in Unix seconds; None without a readable Date."""
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None


def notification_id(mchid: str, kind: NotificationKind, event: str) -> str:
    """The identity under which repetitions of one event are one document."""
    return sha256(f"{mchid}\n{kind}\n{event}".encode()).hexdigest()


def remote_state(call: str, text: object) -> RemoteState:
    """``trade_state`` from a verified answer; one that is not documented leaves the outcome unknown."""
    try:
        return RemoteState(str(text))
    except ValueError:
        raise OutcomeUnknown(call, wire_message="an undocumented trade_state") from None


def same_order(call: str, order: Order, found: Transaction) -> Transaction:
    """``found``, if it speaks of ``order``. Raises AnotherOrder."""
    appid = found.appid or order.appid  # v3 leaves it out while unpaid
    if (found.out_trade_no, found.mchid, appid) != (order.out_trade_no, order.mchid, order.appid):
        raise AnotherOrder(call, wire_message="the answer is about another order")
    return found


def same_refund(call: str, refund: Refund, found: RemoteRefund) -> RemoteRefund:
    """``found``, if it speaks of ``refund`` and its amounts; otherwise it proves nothing about ours."""
    asked = (refund.mchid, refund.out_refund_no, refund.out_trade_no, refund.refund, refund.total)
    if (found.mchid, found.out_refund_no, found.out_trade_no, found.refund, found.total) != asked:
        raise OutcomeUnknown(call, wire_message="the answer is about another refund")
    return found
