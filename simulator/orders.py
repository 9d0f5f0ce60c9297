"""The one order book that v2 and v3 share, and WeChat's rules for what may happen to an order.

NOTPAY → SUCCESS, or NOTPAY → CLOSED by the merchant or by time. An order number stays taken for good: placing it
again with the same terms gives a fresh prepay_id while it is unpaid, with other terms it is refused.
Sources: https://pay.weixin.qq.com/doc/v3/merchant/4012791897 and .../4012791869 (FAQ: repeated numbers).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from simulator.clock import Clock, moment
from simulator.journal import Journal, plain
from wechat.times import to_v2

PREPAY_LIFE_S = 2 * 3600
H5_LIFE_S = 300
MIN_LIFE_S = 60.0
DEFAULT_LIFE_S = 7 * 86400.0
MAX_LIFE_S = 15 * 86400.0
PREPAYS_KEPT = 5


class Rule(StrEnum):
    """What an order does not allow; each API has its own words for it."""

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
class Terms:
    """What the merchant asks for.

    ``digest`` covers everything that a repetition must not change, times left out; ``life_s`` is the span up to
    time_expire by the wall clock, 0 or less when that is over.
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
class Placed(Terms):
    at_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Prepaid:
    """A prepay_id was given out; ``sign_type`` is the one paySign has to use."""

    out_trade_no: str
    prepay_id: str
    sign_type: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Paid:
    """``openid`` has paid: the truth, whatever a notification says. ``wall_s`` is what the wire calls success_time."""

    out_trade_no: str
    transaction_id: str
    openid: str
    scenario: str
    wall_s: float


@dataclass(frozen=True, slots=True)
class Closed:
    out_trade_no: str
    wall_s: float


@dataclass(frozen=True, slots=True)
class Attempted:
    """A notification was delivered once; ``status`` 0 means that no answer came, ``error`` says why."""

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


@dataclass(slots=True)
class Order:
    """The facts about one order."""

    placed: Placed
    prepays: dict[str, Prepaid] = field(default_factory=dict)
    paid: Paid | None = None
    closed: Closed | None = None
    attempts: list[Attempted] = field(default_factory=list)

    @property
    def expires_s(self) -> float:
        return self.placed.at_s + self.placed.life_s


class Book:
    """Every order, by number. Methods that change one write a fact; the answer has to wait until it is durable."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._orders: dict[str, Order] = {}
        self._by_prepay: dict[str, str] = {}
        self._by_transaction: dict[str, str] = {}
        journal.on(Placed, self._apply_placed)
        journal.on(Prepaid, self._apply_prepaid)
        journal.on(Paid, self._apply_paid)
        journal.on(Closed, self._apply_closed)

    def __len__(self) -> int:
        return len(self._orders)

    def place(self, terms: Terms) -> Prepaid:
        """Take or repeat an order; a fresh prepay_id. Raises RuleBroken PAID, CLOSED, DIFFERENT, OVER."""
        order = self._orders.get(terms.out_trade_no)
        if order is None:
            self._journal.write(self._placed(terms))
        else:
            self._check_open(order)
            if order.placed.digest != terms.digest:
                raise RuleBroken(Rule.DIFFERENT)
        prepaid = Prepaid(terms.out_trade_no, _prepay_id(), terms.sign_type, self._clock.now_s())
        self._journal.write(prepaid)
        return prepaid

    def find(self, out_trade_no: str) -> Order:
        """Raises RuleBroken MISSING."""
        order = self._orders.get(out_trade_no)
        if order is None:
            raise RuleBroken(Rule.MISSING)
        return order

    def find_transaction(self, transaction_id: str) -> Order:
        """Raises RuleBroken MISSING."""
        return self.find(self._by_transaction.get(transaction_id, ""))

    def find_prepay(self, prepay_id: str, life_s: float = PREPAY_LIFE_S) -> tuple[Order, Prepaid] | None:
        """The order behind a prepay_id that is not older than ``life_s``."""
        order = self._orders.get(self._by_prepay.get(prepay_id, ""))
        prepaid = order.prepays.get(prepay_id) if order else None
        if order is None or prepaid is None or self._clock.now_s() >= prepaid.at_s + life_s:
            return None
        return order, prepaid

    def state(self, order: Order) -> str:
        """trade_state: SUCCESS, CLOSED (by the merchant or by time) or NOTPAY."""
        if order.paid:
            return "SUCCESS"
        return "CLOSED" if order.closed or self.expired(order) else "NOTPAY"

    def expired(self, order: Order) -> bool:
        return self._clock.now_s() >= order.expires_s

    def close(self, out_trade_no: str, *, min_age_s: float = 0.0) -> None:
        """Raises RuleBroken MISSING, PAID, CLOSED, YOUNG."""
        order = self.find(out_trade_no)
        self._check_open(order)
        if self._clock.now_s() < order.placed.at_s + min_age_s:
            raise RuleBroken(Rule.YOUNG)
        self._journal.write(Closed(out_trade_no, time.time()))

    def pay(self, order: Order, openid: str, scenario: str) -> Paid:
        """The payer has typed the password. Raises RuleBroken PAID, CLOSED."""
        self._check_open(order)
        paid = Paid(order.placed.out_trade_no, _transaction_id(), openid, scenario, time.time())
        self._journal.write(paid)
        return paid

    def latest(self, limit: int) -> list[Order]:
        """The newest first."""
        numbers = list(self._orders)[: -limit - 1 : -1]
        return [self._orders[number] for number in numbers]

    def _placed(self, terms: Terms) -> Placed:
        """The new order, its life within WeChat's bounds."""
        if terms.life_s <= 0:
            raise RuleBroken(Rule.OVER)
        life_s = min(max(terms.life_s, MIN_LIFE_S), MAX_LIFE_S)
        return Placed(**{**plain(terms), "life_s": life_s}, at_s=self._clock.now_s(), wall_s=time.time())

    def _check_open(self, order: Order) -> None:
        state = self.state(order)
        if state == "SUCCESS":
            raise RuleBroken(Rule.PAID)
        if state == "CLOSED":
            raise RuleBroken(Rule.CLOSED)

    def _apply_placed(self, fact: Placed) -> None:
        self._orders[fact.out_trade_no] = Order(fact)

    def _apply_prepaid(self, fact: Prepaid) -> None:
        prepays = self._orders[fact.out_trade_no].prepays
        prepays[fact.prepay_id] = fact
        self._by_prepay[fact.prepay_id] = fact.out_trade_no
        if len(prepays) > PREPAYS_KEPT:
            oldest = next(iter(prepays))
            del prepays[oldest], self._by_prepay[oldest]

    def _apply_paid(self, fact: Paid) -> None:
        self._orders[fact.out_trade_no].paid = fact
        self._by_transaction[fact.transaction_id] = fact.out_trade_no

    def _apply_closed(self, fact: Closed) -> None:
        self._orders[fact.out_trade_no].closed = fact


def _prepay_id() -> str:
    return f"wxsim{_stamp()}{secrets.token_hex(8)}"


def _transaction_id() -> str:
    return f"sim{_stamp()}{secrets.randbelow(10**11):011d}"


def _stamp() -> str:
    return to_v2(moment(time.time()))
