"""Refunds that WeChat has accepted, and its rules for accepting one.

v2, v3 and the merchant console share this register. A number is never free again: the same request again is the same
refund. An accepted refund is PROCESSING until its time has come, and then has the state of its scenario; an ABNORMAL
one waits until the merchant sends the money to another account. The money leaves the wallet when a refund is accepted,
and comes back with a CLOSED one. Sources: https://pay.weixin.qq.com/doc/v3/merchant/4013071036 (申请退款) and v2's
page, chapter=9_4: 50 refunds per order, a minute apart, within a year.
"""

from __future__ import annotations

import heapq
import secrets
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from simulator.state.clock import Clock, moment
from simulator.state.coupons import Share, move_share, settlement_of, split
from simulator.state.journal import Journal, plain
from simulator.state.orders import Order, OrderRegistry, Payment
from simulator.state.wallet import Wallet, fee
from wechat.domain.times import beijing_day, to_v2

WINDOW_S = 365 * 86400.0
MIN_REFUND_INTERVAL_S = 60.0
MOST = 50
BANK_S = 2.0  # duration of an abnormal refund once it is sent to another account


class State(StrEnum):
    """v3's codes; v2 writes REFUNDCLOSE and CHANGE for the last two."""

    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    CLOSED = "CLOSED"
    ABNORMAL = "ABNORMAL"


class Denied(StrEnum):
    """The reason why a refund is refused; each API has its own message for it."""

    NO_PAYMENT = "no such payment"
    OVER_TOTAL = "more than the order"
    OVER_REST = "more than is left"
    ALL_BACK = "all of it went back"
    DIFFERENT = "other amounts under the same number, or not the order's total"
    OVERDUE = "over a year"
    TOO_MANY = "fifty already"
    TOO_SOON = "within a minute of another"
    NOT_ENOUGH = "the balance is too low"
    MISSING = "no such refund"
    NOT_ABNORMAL = "nothing to be sent elsewhere"


class RefundDenied(Exception):
    def __init__(self, denied: Denied) -> None:
        super().__init__(denied.value)
        self.denied = denied


@dataclass(frozen=True, slots=True)
class RefundAsked:
    """The merchant's request of a refund, over ``api``: v2, v3 or console. ``total`` is what the request gives as the
    order's total.

    ``notify_url`` is notified of the end, in the form of ``notify_api``.
    """

    out_refund_no: str
    api: str
    refund: int
    total: int
    reason: str
    notify_url: str = ""
    notify_api: str = ""


class RefundOutcome(NamedTuple):
    """The planned end of a refund: ``outcome`` after ``lasts_s`` simulated seconds. ``scenario`` is its name."""

    scenario: str
    outcome: State
    lasts_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundTaken(RefundAsked):
    """A refund was accepted; ``ends_s`` is the simulated moment at which it becomes ``outcome``."""

    refund_id: str
    out_trade_no: str
    transaction_id: str
    scenario: str
    outcome: str
    at_s: float
    ends_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class RefundEnded:
    """A refund ended: it has been in ``state`` since ``at_s``."""

    out_refund_no: str
    state: str
    at_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class RefundResent:
    """The merchant sent the money of an ABNORMAL refund to another account; it succeeds at ``ends_s``."""

    out_refund_no: str
    ends_s: float


@dataclass(slots=True)
class Refund:
    """The facts about one refund.

    It takes ``share`` of ``payment``, of which ``settled`` fen leave the merchant's balance; ``fee`` fen of WeChat's
    fee come back with it. ``due_s`` is when it ends, None once it has; it has two ``ends`` if the money was rejected
    and sent to another account.
    """

    taken: RefundTaken
    payment: Payment
    share: Share
    settled: int
    fee: int
    due_s: float | None
    ends: list[RefundEnded] = field(default_factory=list)

    @property
    def ended(self) -> RefundEnded | None:
        """The refund's end; None while it is processing."""
        return self.ends[-1] if self.due_s is None else None

    @property
    def state(self) -> State:
        return State(self.ended.state) if self.ended else State.PROCESSING

    def closed_on(self, day: date) -> bool:
        """Whether the refund was CLOSED on a Beijing day."""
        return any(end.state == State.CLOSED and beijing_day(moment(end.wall_s)) == day for end in self.ends)

    def state_at(self, moment_s: float) -> State:
        """Return the state at a simulated moment, as bills show it."""
        until_then = [end.state for end in self.ends if end.at_s <= moment_s]
        return State(until_then[-1]) if until_then else State.PROCESSING


class Refunds:
    """Every refund, by the merchant's number. Reading ends the refunds that are due."""

    def __init__(self, journal: Journal, clock: Clock, orders: OrderRegistry, wallet: Wallet) -> None:
        self._journal = journal
        self._clock = clock
        self._orders = orders
        self._wallet = wallet
        self._refunds: dict[str, Refund] = {}
        self._by_id: dict[str, Refund] = {}
        self._of_order: dict[str, list[Refund]] = {}
        self._of_day: dict[date, list[Refund]] = {}
        self._due: list[tuple[float, str]] = []
        journal.on(RefundTaken, self._apply_taken)
        journal.on(RefundEnded, self._apply_end)
        journal.on(RefundResent, self._apply_resent)

    def __len__(self) -> int:
        return len(self._refunds)

    def find_known(self, asked: RefundAsked, transaction_id: str) -> Refund | None:
        """Return the refund that has this number already. Raises RefundDenied DIFFERENT if the request differs."""
        self.end_due()
        refund = self._refunds.get(asked.out_refund_no)
        if refund is None:
            return None
        taken = refund.taken
        if (taken.transaction_id, taken.refund, taken.total) != (transaction_id, asked.refund, asked.total):
            raise RefundDenied(Denied.DIFFERENT)
        return refund

    def check(self, asked: RefundAsked, order: Order, payment: Payment) -> None:
        """Raise RefundDenied with the first rule that forbids a new refund of ``payment``."""
        total, rest = order.placed.total, payment.left.total
        earlier = self._of_order.get(order.placed.out_trade_no, [])
        rules = {
            Denied.OVER_TOTAL: asked.refund > asked.total,
            Denied.DIFFERENT: asked.total != total,
            Denied.OVERDUE: self._clock.now_s() > (payment.paid.at_s or payment.paid.wall_s) + WINDOW_S,
            Denied.ALL_BACK: not rest,
            Denied.OVER_REST: asked.refund > rest,
            Denied.TOO_MANY: len(earlier) >= MOST,
            Denied.TOO_SOON: bool(earlier) and self._clock.now_s() < earlier[-1].taken.at_s + MIN_REFUND_INTERVAL_S,
        }
        for denied, broken in rules.items():
            if broken:
                raise RefundDenied(denied)
        _, out, fee_back = _costs(payment, asked.refund)
        if out - fee_back > self._wallet.balance:
            raise RefundDenied(Denied.NOT_ENOUGH)

    def take(self, asked: RefundAsked, order: Order, payment: Payment, fate: RefundOutcome) -> Refund:
        """Accept a refund that ``check`` has allowed."""
        now_s, wall_s = self._clock.now_s(), self._clock.calendar_s()
        fact = RefundTaken(
            **plain(asked),
            refund_id=f"simr{to_v2(moment(wall_s))}{secrets.randbelow(10**11):011d}",
            out_trade_no=order.placed.out_trade_no,
            transaction_id=payment.paid.transaction_id,
            scenario=fate.scenario,
            outcome=fate.outcome.value,
            at_s=now_s,
            ends_s=now_s + fate.lasts_s,
            wall_s=wall_s,
        )
        self._journal.write(fact)
        return self._refunds[asked.out_refund_no]

    def resend(self, out_refund_no: str) -> Refund:
        """Send the money of an ABNORMAL refund to another account. Raises RefundDenied MISSING, NOT_ABNORMAL."""
        refund = self.find(out_refund_no)
        if refund.state is not State.ABNORMAL:
            raise RefundDenied(Denied.NOT_ABNORMAL)
        self._journal.write(RefundResent(out_refund_no, self._clock.now_s() + BANK_S))
        return refund

    def find(self, out_refund_no: str) -> Refund:
        """Return the refund. Raises RefundDenied MISSING."""
        self.end_due()
        refund = self._refunds.get(out_refund_no)
        if refund is None:
            raise RefundDenied(Denied.MISSING)
        return refund

    def find_id(self, refund_id: str) -> Refund:
        """Return the refund of WeChat's own number. Raises RefundDenied MISSING."""
        self.end_due()
        refund = self._by_id.get(refund_id)
        if refund is None:
            raise RefundDenied(Denied.MISSING)
        return refund

    def of_order(self, out_trade_no: str) -> list[Refund]:
        """Return the order's refunds, the oldest first."""
        self.end_due()
        return list(self._of_order.get(out_trade_no, ()))

    def closed_on(self, day: date) -> list[Refund]:
        """Return the refunds whose money came back on a Beijing day."""
        self.end_due()
        return [refund for refund in self._refunds.values() if refund.closed_on(day)]

    def taken_on(self, day: date) -> list[Refund]:
        """Return the refunds accepted on a Beijing day, in their order."""
        self.end_due()
        return list(self._of_day.get(day, ()))

    def latest(self, limit: int) -> list[Refund]:
        """Return the latest refunds, the newest first."""
        self.end_due()
        return list(islice(reversed(self._refunds.values()), limit))

    def end_due(self) -> None:
        """End the refunds that are due."""
        while self._due and self._due[0][0] <= self._clock.now_s():
            ends_s, number = heapq.heappop(self._due)
            refund = self._refunds[number]
            if refund.due_s != ends_s:  # an entry of an earlier process's queue: the refund has ended
                continue
            state = State.SUCCESS.value if refund.ends else refund.taken.outcome
            self._journal.write(RefundEnded(number, state, ends_s, self._clock.calendar_of(ends_s)))

    def _apply_taken(self, fact: RefundTaken) -> None:
        _, payment = self._orders.find_payment(fact.transaction_id)
        refund = Refund(fact, payment, *_costs(payment, fact.refund), fact.ends_s)
        self._refunds[fact.out_refund_no] = self._by_id[fact.refund_id] = refund
        self._of_order.setdefault(fact.out_trade_no, []).append(refund)
        self._of_day.setdefault(beijing_day(moment(fact.wall_s)), []).append(refund)
        heapq.heappush(self._due, (fact.ends_s, fact.out_refund_no))
        payment.refunds += 1
        self._move_money(refund, fact.wall_s, 1)

    def _apply_end(self, fact: RefundEnded) -> None:
        refund = self._refunds[fact.out_refund_no]
        refund.ends.append(fact)
        refund.due_s = None
        if refund.state is State.CLOSED:
            self._move_money(refund, fact.wall_s, -1)

    def _apply_resent(self, fact: RefundResent) -> None:
        refund = self._refunds[fact.out_refund_no]
        refund.due_s = fact.ends_s
        heapq.heappush(self._due, (fact.ends_s, fact.out_refund_no))

    def _move_money(self, refund: Refund, wall_s: float, way: int) -> None:
        """Book the refund out of the wallet and its share of the fee in (``way`` 1), or the reverse (-1)."""
        taken, payment = refund.taken, refund.payment
        payment.left = move_share(payment.left, refund.share, -way)
        payment.fee -= way * refund.fee
        numbers = {"business_id": taken.refund_id, "voucher": taken.out_refund_no, "remark": taken.reason}
        self._wallet.record(wall_s, "退款", -way * refund.settled, **numbers)
        self._wallet.record(wall_s, "退回交易手续费", way * refund.fee, **numbers)


def _costs(payment: Payment, refund: int) -> tuple[Share, int, int]:
    """Return the share of a refund of ``refund`` fen, the part that leaves the balance, and the fee that comes back.

    The rest of WeChat's fee comes back once the whole payment is refunded.
    """
    share, coupons = split(payment.left, refund), payment.paid.coupons
    kept = settlement_of(move_share(payment.left, share, -1), coupons)
    return share, settlement_of(share, coupons), max(0, payment.fee - fee(kept))
