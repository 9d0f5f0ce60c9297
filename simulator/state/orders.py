"""The register of orders that v2 and v3 share, and WeChat's rules for changes of an order.

NOTPAY → SUCCESS → REFUND, or NOTPAY → CLOSED by the merchant or by time. An order number is never free again: placing
it again with the same terms returns a new prepay_id while it is unpaid; with other terms it is refused. Sources:
https://pay.weixin.qq.com/doc/v3/merchant/4012791897 and .../4012791869 (FAQ: repeated numbers).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from simulator.state.clock import Clock, moment
from simulator.state.coupons import Coupon, Share, as_coupons, settlement_of, whole
from simulator.state.journal import Journal, plain
from simulator.state.wallet import Wallet, fee
from wechat.domain.times import beijing_day, to_v2

PREPAY_LIFE_S = 2 * 3600
H5_LIFE_S = 300
MIN_LIFE_S = 60.0
DEFAULT_LIFE_S = 7 * 86400.0
MAX_LIFE_S = 15 * 86400.0
PREPAYS_KEPT = 5
PAID_STATES = ("SUCCESS", "REFUND")


class Rule(StrEnum):
    """A rule of orders that was broken; each API has its own message for it."""

    PAID = "paid"
    CLOSED = "closed"
    DIFFERENT = "different terms"
    MISSING = "no such order"
    YOUNG = "too young to close"
    OVER = "over before it began"


class RuleBroken(Exception):
    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.value)
        self.rule = rule


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """The merchant's request of an order.

    ``digest`` covers everything that a repetition must not change, times left out; ``life_s`` is the time until
    time_expire by the wall clock, 0 or less if that has passed.
    """

    out_trade_no: str
    api: str
    trade_type: str
    appid: str
    mchid: str
    description: str
    attach: str
    total: int
    currency: str
    openid: str
    notify_url: str
    device_info: str
    sign_type: str
    digest: str
    life_s: float

    @staticmethod
    def digest_of(api: str, trade_type: str, asked: dict[str, Any]) -> str:
        text = json.dumps([api, trade_type, asked], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(OrderRequest):
    at_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Prepaid:
    """A prepay_id was issued; ``sign_type`` is the one that paySign must use."""

    out_trade_no: str
    prepay_id: str
    sign_type: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Paid:
    """``openid`` has paid: the actual payment, whatever a notification says. ``wall_s`` is success_time in messages.

    The ``coupons`` have paid a part.
    """

    out_trade_no: str
    transaction_id: str
    openid: str
    scenario: str
    wall_s: float
    at_s: float = 0.0
    coupons: tuple[Coupon, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "coupons", as_coupons(self.coupons))


@dataclass(frozen=True, slots=True)
class Closed:
    out_trade_no: str
    wall_s: float


@dataclass(frozen=True, slots=True)
class Attempted:
    """A notification was sent once; about a refund if one is named.

    ``status`` 0 means that no answer came, ``error`` says why. ``serial_no`` names the key that a v3 message claims to
    be signed with.
    """

    delivery_id: str
    out_trade_no: str
    kind: str
    notification_id: str
    wall_s: float
    status: int
    body: str
    error: str
    took_s: float
    right: bool
    out_refund_no: str = ""
    serial_no: str = ""


@dataclass(slots=True)
class Payment:
    """A payment and its refunds: ``fee`` fen are WeChat's, ``left`` is what ``refunds`` did not take."""

    paid: Paid
    whole: Share
    left: Share
    fee: int
    refunds: int = 0

    @property
    def refunded(self) -> int:
        return self.whole.total - self.left.total

    @property
    def settled(self) -> int:
        """The part of the price that the merchant's balance received, in fen: all but the free coupons."""
        return settlement_of(self.whole, self.paid.coupons)


@dataclass(slots=True)
class Order:
    """The facts about one order. The first of its ``payments`` is its own; there should be no other."""

    placed: Placed
    prepays: dict[str, Prepaid] = field(default_factory=dict)
    payments: list[Payment] = field(default_factory=list)
    closed: Closed | None = None
    attempts: list[Attempted] = field(default_factory=list)

    @property
    def expires_s(self) -> float:
        return self.placed.at_s + self.placed.life_s

    @property
    def payment(self) -> Payment | None:
        """The order's own payment; None if it is unpaid."""
        return self.payments[0] if self.payments else None


class OrderRegistry:
    """Every order, by number. Methods that change one write a fact; the answer must wait until it is durable."""

    def __init__(self, journal: Journal, clock: Clock, wallet: Wallet) -> None:
        self._journal = journal
        self._clock = clock
        self._wallet = wallet
        self._orders: dict[str, Order] = {}
        self._by_prepay: dict[str, str] = {}
        self._by_transaction: dict[str, tuple[Order, Payment]] = {}
        self._by_day: dict[date, list[tuple[Order, Payment]]] = {}
        journal.on(Placed, self._apply_order)
        journal.on(Prepaid, self._apply_prepaid)
        journal.on(Paid, self._apply_paid)
        journal.on(Closed, self._apply_close)

    def __len__(self) -> int:
        return len(self._orders)

    def place(self, request: OrderRequest) -> Prepaid:
        """Place or repeat an order; return a new prepay_id. Raises RuleBroken PAID, CLOSED, DIFFERENT, OVER."""
        order = self._orders.get(request.out_trade_no)
        if order is None:
            self._journal.write(self._build_order(request))
        else:
            self._check_open(order)
            if order.placed.digest != request.digest:
                raise RuleBroken(Rule.DIFFERENT)
        prepay_id = f"wxsim{self._stamp()}{secrets.token_hex(8)}"
        prepaid = Prepaid(request.out_trade_no, prepay_id, request.sign_type, self._clock.now_s())
        self._journal.write(prepaid)
        return prepaid

    def find(self, out_trade_no: str) -> Order:
        """Return the order. Raises RuleBroken MISSING."""
        order = self._orders.get(out_trade_no)
        if order is None:
            raise RuleBroken(Rule.MISSING)
        return order

    def find_payment(self, transaction_id: str) -> tuple[Order, Payment]:
        """Return the order and payment of a transaction id. Raises RuleBroken MISSING."""
        found = self._by_transaction.get(transaction_id)
        if found is None:
            raise RuleBroken(Rule.MISSING)
        return found

    def find_prepay(self, prepay_id: str, life_s: float = PREPAY_LIFE_S) -> tuple[Order, Prepaid] | None:
        """Return the order and the prepay_id's record if that is not older than ``life_s``; None otherwise."""
        order = self._orders.get(self._by_prepay.get(prepay_id, ""))
        prepaid = order.prepays.get(prepay_id) if order else None
        if order is None or prepaid is None or self._clock.now_s() >= prepaid.at_s + life_s:
            return None
        return order, prepaid

    def state(self, order: Order, payment: Payment | None = None) -> str:
        """Return the trade_state of an order, or of one of its payments: SUCCESS, REFUND, CLOSED (also by time) or
        NOTPAY."""
        if payment := payment or order.payment:
            return "REFUND" if payment.refunds else "SUCCESS"
        return "CLOSED" if order.closed or self.has_timed_out(order) else "NOTPAY"

    def has_timed_out(self, order: Order) -> bool:
        return self._clock.now_s() >= order.expires_s

    def close(self, out_trade_no: str, *, min_age_s: float = 0.0) -> None:
        """Close an order. Raises RuleBroken MISSING, PAID, CLOSED, YOUNG."""
        order = self.find(out_trade_no)
        self._check_open(order)
        if self._clock.now_s() < order.placed.at_s + min_age_s:
            raise RuleBroken(Rule.YOUNG)
        self._journal.write(Closed(out_trade_no, self._clock.calendar_s()))

    def pay(self, order: Order, openid: str, scenario: str, coupons: tuple[Coupon, ...] = ()) -> Paid:
        """Pay an order. Raises RuleBroken PAID, CLOSED."""
        self._check_open(order)
        return self.pay_anyway(order, openid, scenario, coupons)

    def pay_anyway(self, order: Order, openid: str, scenario: str, coupons: tuple[Coupon, ...] = ()) -> Paid:
        """Pay an order in any state: after the close, a second time, or by another payer."""
        number = order.placed.out_trade_no
        transaction_id = f"sim{self._stamp()}{secrets.randbelow(10**11):011d}"
        at = (self._clock.calendar_s(), self._clock.now_s())
        paid = Paid(number, transaction_id, openid, scenario, *at, coupons)
        self._journal.write(paid)
        return paid

    def sell(self, request: OrderRequest, openid: str) -> Paid:
        """Place and pay an order at once, at a till. Raises ValueError if its number is taken."""
        if request.out_trade_no in self._orders:
            raise ValueError("the number is taken")
        self._journal.write(self._build_order(request))
        return self.pay(self._orders[request.out_trade_no], openid, "till")

    def paid_on(self, day: date) -> list[tuple[Order, Payment]]:
        """Return the payments of a Beijing day, in their order."""
        return list(self._by_day.get(day, ()))

    def unpaid(self) -> list[Order]:
        """Return the unpaid orders, the newest first."""
        return [order for order in reversed(self._orders.values()) if not order.payments]

    def latest(self, limit: int) -> list[Order]:
        """Return the latest orders, the newest first."""
        numbers = list(self._orders)[: -limit - 1 : -1]
        return [self._orders[number] for number in numbers]

    def _build_order(self, request: OrderRequest) -> Placed:
        """Return the new order, its lifetime within WeChat's bounds."""
        if request.life_s <= 0:
            raise RuleBroken(Rule.OVER)
        life_s = min(max(request.life_s, MIN_LIFE_S), MAX_LIFE_S)
        return Placed(**{**plain(request), "life_s": life_s}, at_s=self._clock.now_s(), wall_s=self._clock.calendar_s())

    def _check_open(self, order: Order) -> None:
        state = self.state(order)
        if state in PAID_STATES:
            raise RuleBroken(Rule.PAID)
        if state == "CLOSED":
            raise RuleBroken(Rule.CLOSED)

    def _apply_order(self, fact: Placed) -> None:
        self._orders[fact.out_trade_no] = Order(fact)

    def _apply_prepaid(self, fact: Prepaid) -> None:
        prepays = self._orders[fact.out_trade_no].prepays
        prepays[fact.prepay_id] = fact
        self._by_prepay[fact.prepay_id] = fact.out_trade_no
        if len(prepays) > PREPAYS_KEPT:
            oldest = next(iter(prepays))
            del prepays[oldest], self._by_prepay[oldest]

    def _apply_paid(self, fact: Paid) -> None:
        order = self._orders[fact.out_trade_no]
        parts = whole(order.placed.total, fact.coupons)
        received = settlement_of(parts, fact.coupons)
        payment = Payment(fact, parts, parts, fee(received))
        order.payments.append(payment)
        self._by_transaction[fact.transaction_id] = (order, payment)
        self._by_day.setdefault(beijing_day(moment(fact.wall_s)), []).append((order, payment))
        numbers = {"business_id": fact.transaction_id, "voucher": fact.out_trade_no}
        self._wallet.record(fact.wall_s, "交易", received, **numbers)
        self._wallet.record(fact.wall_s, "扣除交易手续费", -payment.fee, **numbers)

    def _apply_close(self, fact: Closed) -> None:
        self._orders[fact.out_trade_no].closed = fact

    def _stamp(self) -> str:
        return to_v2(moment(self._clock.calendar_s()))
