"""The bills of a Beijing day: when they are available, their lines, and the actual sums.

A trade bill lists payments by success_time and refunds by the time they were accepted; a refund's status is that of the
morning on which the bill is made, 09:00 of the next day by the simulated clock. It is available from 10:00. Source:
https://pay.weixin.qq.com/doc/v3/merchant/4013071218 (账单开发指引).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from simulator.bills.faults import InjectedDifference, InjectedDifferences, InjectedKind
from simulator.bills.lines import REFUND_STATUSES, Line, TradeKind, flow_file, trade_file
from simulator.state.clock import Clock, moment
from simulator.state.coupons import whole
from simulator.state.orders import Order, OrderRegistry, Paid, Payment
from simulator.state.refunds import Refund, Refunds, State
from simulator.state.wallet import Movement, Wallet, fee
from wechat.domain.times import YEARS, beijing_day, day_span

MADE = timedelta(hours=9)
READY = timedelta(hours=10)
KEPT = timedelta(days=92)
DOWNLOAD_S = 300.0
DOWNLOADS = 100


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def read_day(text: str) -> date:
    """Parse a day such as ``2026-03-01``. Raises ValueError, also near the ends of the calendar, where another time
    zone leaves it."""
    day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    if day is None or day.year not in YEARS:
        raise ValueError("no day")
    return day


class NoBill(StrEnum):
    """The reason why there is no bill; each API has its own message for it."""

    NOT_OVER = "the day is not over"
    CREATING = "being made"
    EMPTY = "nothing happened on that day"
    TOO_OLD = "older than three months"


class BillMissing(Exception):
    def __init__(self, why: NoBill) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True, slots=True)
class Truth:
    """The actual sums of a day, in fen. ``fee`` is what WeChat kept, ``net`` the change of the balance.

    ``settled`` and ``settled_refunded`` are ``received`` and ``refunded`` without free coupons. ``refunds`` counts
    those that were accepted and not closed on the same day.
    """

    payments: int
    received: int
    settled: int
    refunds: int
    refunded: int
    settled_refunded: int
    fee: int
    net: int
    balance: int


class Download(NamedTuple):
    """A file behind a token, until ``ends_s``."""

    file: bytes
    ends_s: float


class Bills:
    def __init__(
        self, clock: Clock, orders: OrderRegistry, refunds: Refunds, wallet: Wallet, injected: InjectedDifferences
    ) -> None:
        self._clock = clock
        self._orders = orders
        self._refunds = refunds
        self._wallet = wallet
        self._injected = injected
        self._downloads: dict[str, Download] = {}

    def trade(self, day: date, kind: TradeKind) -> bytes:
        """Return the trade bill of ``day``, with its injected differences. Raises BillMissing."""
        self._must_be_ready(day)
        lines = self._injected.apply(day, self.true_lines(day), lambda number: _would_be(self._orders.find(number)))
        wanted = [line for line in lines if kind is TradeKind.ALL or line.is_refund is (kind is TradeKind.REFUND)]
        if not wanted:
            raise BillMissing(NoBill.EMPTY)
        return trade_file(wanted, kind)

    def flow(self, day: date) -> bytes:
        """Return the fund flow bill of the basic account. Raises BillMissing."""
        self._must_be_ready(day)
        movements = self._movements(day)
        if not movements:
            raise BillMissing(NoBill.EMPTY)
        return flow_file(movements)

    def plant(self, day: date, kind: InjectedKind, number: str) -> InjectedDifference:
        """Inject a difference into the bill of ``day``, on a refund or on an order's own payment. Raises ValueError.

        A surplus payment is one for which the merchant has no sale: a bill without it agrees with the merchant's books.
        """
        unpaid = [_would_be(order) for order in self._orders.unpaid() if _placed_on(order) == day]
        return self._injected.plant(day, kind, list(filter(self._counts, self.true_lines(day))), unpaid, number)

    def truth(self, day: date) -> Truth:
        """Return the actual sums of a day."""
        self._refunds.end_due()
        movements = self._movements(day)
        taken, closed = self._refunds.taken_on(day), self._refunds.closed_on(day)
        paid = self._orders.paid_on(day)
        return Truth(
            payments=len(paid),
            received=sum(order.placed.total for order, _ in paid),
            settled=sum(payment.settled for _, payment in paid),
            refunds=sum(not refund.closed_on(day) for refund in taken),
            refunded=sum(refund.taken.refund for refund in taken) - sum(refund.taken.refund for refund in closed),
            settled_refunded=sum(refund.settled for refund in taken) - sum(refund.settled for refund in closed),
            fee=-sum(movement.amount for movement in movements if movement.kind.endswith("手续费")),
            net=sum(movement.amount for movement in movements),
            balance=self._wallet.balance,
        )

    def offer(self, file: bytes) -> str:
        """Return a token for ``file``, valid for five minutes."""
        token = secrets.token_urlsafe(24)
        self._downloads[token] = Download(file, self._clock.now_s() + DOWNLOAD_S)
        for old in list(islice(self._downloads, max(0, len(self._downloads) - DOWNLOADS))):
            del self._downloads[old]
        return token

    def download(self, token: str) -> bytes | None:
        """Return the file of ``token``; None once it has expired."""
        found = self._downloads.get(token)
        return found.file if found and self._clock.now_s() < found.ends_s else None

    def _must_be_ready(self, day: date) -> None:
        end, now = day_span(day)[1], moment(self._clock.now_s())
        if now < end:
            raise BillMissing(NoBill.NOT_OVER)
        if now < end + READY:
            raise BillMissing(NoBill.CREATING)
        if now > end + KEPT:
            raise BillMissing(NoBill.TOO_OLD)

    def true_lines(self, day: date) -> list[Line]:
        """Return the lines without injected differences, by time."""
        made_s = (day_span(day)[1] + MADE).timestamp()
        paid = [_line(order, payment) for order, payment in self._orders.paid_on(day)]
        refunded = [self._refund(refund, made_s) for refund in self._refunds.taken_on(day)]
        return sorted([*paid, *refunded], key=lambda line: line.at_s)

    def _refund(self, refund: Refund, made_s: float) -> Line:
        taken, state = refund.taken, refund.state_at(made_s)
        order, payment = self._orders.find_payment(taken.transaction_id)
        succeeded = next((end.wall_s for end in refund.ends if end.state == State.SUCCESS), None)
        return replace(
            _line(order, payment),
            at_s=taken.wall_s,
            trade_state="REFUND",
            fee=0 if state is State.CLOSED else -refund.fee,
            total=0,
            coupons=0,
            settled=0,
            refund_id=taken.refund_id,
            out_refund_no=taken.out_refund_no,
            refund=taken.refund,
            settled_refund=refund.settled,
            prepaid_refund=refund.settled - refund.share.cash,
            refund_status=REFUND_STATUSES[state],
            refunded_s=succeeded if state is State.SUCCESS else None,
        )

    def _counts(self, line: Line) -> bool:
        """Whether ``line`` is a refund, or its order's own payment and no second one."""
        own = self._orders.find(line.out_trade_no).payment
        return line.is_refund or (own is not None and own.paid.transaction_id == line.transaction_id)

    def _movements(self, day: date) -> list[Movement]:
        start_s, end_s = (edge.timestamp() for edge in day_span(day))
        return [movement for movement in self._wallet.movements if start_s <= movement.wall_s < end_s]


def _line(order: Order, payment: Payment) -> Line:
    """Return the bill's line of a payment."""
    placed, paid = order.placed, payment.paid
    return Line(
        at_s=paid.wall_s,
        appid=placed.appid,
        mchid=placed.mchid,
        device_info=placed.device_info,
        transaction_id=paid.transaction_id,
        out_trade_no=placed.out_trade_no,
        openid=paid.openid,
        trade_type=placed.trade_type,
        trade_state="SUCCESS",
        description=placed.description,
        attach=placed.attach,
        fee=fee(payment.settled),
        total=placed.total,
        coupons=sum(payment.whole.coupons),
        settled=payment.settled,
    )


def _would_be(order: Order) -> Line:
    """Return the bill's line of an order's payment, or the one it would have if it had been paid when it was placed."""
    placed, parts = order.placed, whole(order.placed.total, ())
    paid = Paid(placed.out_trade_no, "", placed.openid, "", placed.wall_s)
    return _line(order, order.payment or Payment(paid, parts, parts, fee(placed.total)))


def _placed_on(order: Order) -> date:
    return beijing_day(moment(order.placed.wall_s))
