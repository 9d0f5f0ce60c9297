"""WeChat Pay as a plain state machine: orders, payments, refunds, by WeChat's rules, independent of ``simulator/``.

It has no transport and no signatures, and times are arguments. Refusals carry WeChat's own codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

YOUNG = timedelta(minutes=5)
"""v2 does not close younger orders."""
MOST_REFUNDS = 50
ANY_ORDER = ""
UNVERIFIED = "unverified"
"""Stands for the wrong field, in ``disputed``, of messages that an attacker without WeChat's keys sends for hours."""
STALE = "stale"
"""Stands for the time of genuine messages that arrive again after hours; also the service's word for the reason."""
MIN_REFUND_INTERVAL = timedelta(minutes=1)


UNDECIDED = frozenset({"NOT_ENOUGH", "FREQUENCY_LIMITED"})
"""Refusals of a refund after which the same request may succeed."""


class Refused(Exception):
    """WeChat refuses; ``code`` is v3's code of the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The terms of an order, which WeChat compares when it is placed again."""

    number: str
    total: int
    openid: str
    description: str
    expires_at: datetime


@dataclass(slots=True)
class Payment:
    transaction_id: str
    number: str
    total: int
    openid: str
    at: datetime
    coupon: int = 0

    @property
    def payer_total(self) -> int:
        """The amount that the payer paid, in fen."""
        return self.total - self.coupon


@dataclass(slots=True)
class Refund:
    """``state``: PROCESSING, SUCCESS, ABNORMAL or CLOSED. ``by_console``: the service did not request it. ``coupon``:
    the part of ``amount`` that goes back to the coupon's issuer."""

    out_refund_no: str
    refund_id: str
    transaction_id: str
    number: str
    amount: int
    total: int
    created_at: datetime
    coupon: int = 0
    by_console: bool = False
    state: str = "PROCESSING"
    success_at: datetime | None = None
    states: list[str] = field(default_factory=list)
    """The states that the refund has had."""


@dataclass(slots=True)
class Order:
    request: OrderRequest
    api: str
    prepay_id: str
    created_at: datetime
    closed: bool = False
    payments: list[Payment] = field(default_factory=list)

    @property
    def number(self) -> str:
        return self.request.number


class WeChat:
    """The data of one merchant at WeChat. ``on_refund`` is called with each refund that is accepted."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.payments: dict[str, Payment] = {}
        self.refunds: dict[str, Refund] = {}
        self.misquoted: set[str] = set()
        """Orders for which a notification with another amount was sent."""
        self.disputed: set[tuple[str, str]] = set()
        """Orders for which another merchant's notification was sent, each with the wrong field."""
        self.misstated: set[str] = set()
        """Orders whose amount queries tell wrongly until a person who was alarmed complains."""
        self.without_balance: set[str] = set()
        """Orders whose refunds are refused for want of balance until a person who was alarmed pays in."""
        self.is_alarmed: Callable[[str, str], bool] = lambda kind, number: True
        """Whether an alarm of a kind was raised about an order."""
        self.deferred: set[str] = set()
        """Orders of which a refund was refused for want of balance."""
        self.denied: set[str] = set()
        """Orders of which a refund was refused for good."""
        self.overdrawn: dict[str, str] = {}
        """Payments of which the service asked more back than its own refunds have left, each with the refund's number.
        WeChat refuses that, so the money alone does not show it. What people refund in the console does not count."""
        self._ids = 0
        self.on_refund: Callable[[Refund], None] = lambda refund: None
        self.on_said_paid: Callable[[Payment], None] = lambda payment: None
        """Called when WeChat says in a genuine message or answer that a payment is there."""

    def note_splice(self) -> None:
        """Record that a notice joined from pieces was sent. It may name any order, with an unknown refund."""
        self.disputed.add((ANY_ORDER, "unknown_refund"))

    # -- calls of the service -------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, api: str, now: datetime) -> Order:
        """Place an order; the same terms again return the same order."""
        existing = self.orders.get(request.number)
        if existing is None:
            existing = self.orders[request.number] = Order(request, api, self._next("wx"), now)
        if existing.payments:
            raise Refused("ORDERPAID")
        if existing.closed:
            raise Refused("ORDER_CLOSED")
        if existing.request != request:
            raise Refused("OUT_TRADE_NO_USED")
        return existing

    def find(self, number: str) -> Order:
        if number not in self.orders:
            raise Refused("ORDER_NOT_EXIST")
        return self.orders[number]

    def find_payment(self, transaction_id: str) -> Payment:
        if transaction_id not in self.payments:
            raise Refused("ORDER_NOT_EXIST")
        return self.payments[transaction_id]

    def close(self, number: str, api: str, now: datetime) -> None:
        order = self.find(number)
        if order.payments:
            raise Refused("ORDERPAID")
        if api == "v2" and now - order.created_at < YOUNG:
            raise Refused("TRADE_STATE_ERROR")
        order.closed = True

    def refund(self, transaction_id: str, out_refund_no: str, amount: int, total: int, now: datetime) -> Refund:
        """Accept a refund; the same request again returns the same refund."""
        payment = self.find_payment(transaction_id)
        existing = self.refunds.get(out_refund_no)
        if existing and (existing.transaction_id, existing.amount) == (transaction_id, amount):
            return existing
        try:
            if existing:
                raise Refused("INVALID_REQUEST")
            if payment.total != total:
                raise Refused("PARAM_ERROR")
            return self._take_refund(payment, out_refund_no, amount, now, by_console=False)
        except Refused as refused:
            if refused.code in UNDECIDED:
                self.deferred.add(payment.number)
            else:
                self.denied.add(payment.number)
            raise

    def find_refund(self, out_refund_no: str) -> Refund:
        if out_refund_no not in self.refunds:
            raise Refused("RESOURCE_NOT_EXISTS")
        return self.refunds[out_refund_no]

    # -- acts of people -------------------------------------------------------------------------------------------

    def pay(
        self, number: str, openid: str, now: datetime, *, against_the_rules: bool = False, with_coupon: bool = False
    ) -> Payment | None:
        """Pay an order, with a coupon a third of it; return None if WeChat refuses. Against the rules, a closed or paid
        order can be paid."""
        order = self.orders[number]
        if not against_the_rules and (order.closed or order.payments or now >= order.request.expires_at):
            return None
        total = order.request.total
        payment = Payment(self._next("4200"), number, total, openid, now, total // 3 if with_coupon else 0)
        order.payments.append(payment)
        self.payments[payment.transaction_id] = payment
        return payment

    def refund_at_console(self, payment: Payment, amount: int, now: datetime) -> Refund | None:
        """Make a refund that the service did not request; None if the amount does not suffice."""
        try:
            return self._take_refund(payment, self._next("console"), amount, now, by_console=True)
        except Refused:
            return None

    def end_refund(self, refund: Refund, state: str, now: datetime) -> None:
        """Set a refund to ``state``, unless it has ended."""
        if refund.state in ("PROCESSING", "ABNORMAL"):
            refund.state = state
            refund.states.append(state)
            refund.success_at = now if state == "SUCCESS" else None

    # -- queries --------------------------------------------------------------------------------------------------

    def tell_state(self, order: Order) -> str:
        """Return the state of an order in a query's answer."""
        if not order.payments:
            return "CLOSED" if order.closed else "NOTPAY"
        return self.tell_payment(order.payments[0])

    def tell_payment(self, payment: Payment) -> str:
        """Return the state of a payment in a query's answer."""
        if self.is_refunded(payment):
            return "REFUND"
        self.on_said_paid(payment)
        return "SUCCESS"

    def is_refunded(self, payment: Payment) -> bool:
        """Whether a refund of the payment was accepted, in part or in full."""
        return any(refund.transaction_id == payment.transaction_id for refund in self.refunds.values())

    def tell_first_payment(self, order: Order) -> Payment:
        """Return an order's first payment as a query's answer tells it."""
        first = order.payments[0]
        wrong = order.number in self.misstated and not self.is_alarmed("query_total", order.number)
        return replace(first, total=first.total + 1) if wrong else first

    def given_back(self, transaction_id: str) -> int:
        """Return the amount of a payment that is refunded or being refunded, in fen."""
        return _sum(refund for refund in self.refunds.values() if refund.transaction_id == transaction_id)

    def _take_refund(
        self, payment: Payment, out_refund_no: str, amount: int, now: datetime, *, by_console: bool
    ) -> Refund:
        own = [refund for refund in self.refunds.values() if refund.transaction_id == payment.transaction_id]
        if amount > payment.total - self.given_back(payment.transaction_id):
            if not by_console and amount > payment.total - _sum(each for each in own if not each.by_console):
                self.overdrawn[payment.transaction_id] = out_refund_no
            raise Refused("INVALID_REQUEST")
        if not by_console and self._lacks_balance(payment.number):
            raise Refused("NOT_ENOUGH")
        if len(own) >= MOST_REFUNDS:
            raise Refused("INVALID_REQUEST")
        if not by_console and any(
            now - refund.created_at < MIN_REFUND_INTERVAL for refund in own if not refund.by_console
        ):
            raise Refused("FREQUENCY_LIMITED")
        refund = Refund(
            out_refund_no,
            self._next("5030"),
            payment.transaction_id,
            payment.number,
            amount,
            payment.total,
            now,
            payment.coupon * amount // payment.total,
            by_console,
        )
        self.refunds[out_refund_no] = refund
        self.on_refund(refund)
        return refund

    def _lacks_balance(self, number: str) -> bool:
        return number in self.without_balance and not self.is_alarmed("refund_not_now", number)

    def _next(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}{self._ids:020}"


def _sum(refunds: Iterable[Refund]) -> int:
    """Return the amount of those refunds that WeChat has not closed, in fen."""
    return sum(refund.amount for refund in refunds if refund.state != "CLOSED")
