"""WeChat's trade bills of a merchant, written from its state machine. Independent of ``wechat`` and ``simulator``.

A bill of a Beijing day is available from the next morning on. Which days have a late or wrong bill is drawn when the
seed begins; the fault happens when that bill is requested.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import IntEnum
from typing import NamedTuple

from proof.faults import Fault, Faults
from proof.wechat.payments import Payment, Refund, Refused, WeChat

BEIJING = timezone(timedelta(hours=8))
READY = time(9, 30)
LATE = (time(12, 30), time(15), time(23, 30))
CORRECTED_H = (5.0, 30.0)
"""Hours from a wrong bill's availability to its correction; 0: corrected with the second download."""
DAYS_WITH_FAULTS = 3
WRONG = (Fault.BILL_LINE_MISSING, Fault.BILL_FOREIGN_LINE, Fault.BILL_OTHER_AMOUNT, Fault.BILL_CHANGED)
FEE_PERMILLE = 6
FOREIGN = "till-{day}"
SHARED, SHARED_NUMBERS = "pos-{day}-{number}", "pos-.*"
"""Sales of another system, whose numbers the settings declare."""

HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
SUMMARY = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
STATES = {"CLOSED": "FAIL", "ABNORMAL": "CHANGE"}


class Stage(IntEnum):
    """The stages of a bill at WeChat: absent, made but not yet requested, wrong, final."""

    WAITED_FOR = 0
    READY = 1
    WRONG = 2
    RIGHT = 3


class Line(NamedTuple):
    """A payment, or a refund if ``out_refund_no`` is set; amounts in fen. ``coupon``: the part of ``amount`` that is
    not the merchant's."""

    at: datetime
    transaction_id: str
    number: str
    openid: str
    amount: int
    out_refund_no: str = ""
    refund_id: str = ""
    state: str = ""
    coupon: int = 0

    @property
    def settled(self) -> int:
        """The part of the amount that the merchant receives, or pays, in fen."""
        return self.amount - self.coupon

    @property
    def fee(self) -> int:
        """WeChat's fee in fen; a refund's is returned."""
        fee = (self.settled * FEE_PERMILLE + 500) // 1000
        return -fee if self.out_refund_no else fee


@dataclass(slots=True)
class Bill:
    """WeChat's bill of one day. ``wrong``: the lines that it shows until ``corrected_at``."""

    day: date
    ready_at: datetime
    denied: bool = False
    fault: Fault | None = None
    corrected_at: datetime | None = None
    lines: list[Line] | None = None
    wrong: list[Line] | None = None
    touched: Line | None = None
    asked: bool = False
    downloads: int = 0


@dataclass(frozen=True, slots=True)
class BillFile:
    """A bill as downloaded; ``lines`` are its contents."""

    day: date
    lines: Sequence[Line]
    text: bytes


def beijing_day(moment: datetime) -> date:
    return moment.astimezone(BEIJING).date()


@dataclass(slots=True)
class Bills:
    """The bills of the merchant ``mchid``."""

    world: WeChat
    faults: Faults
    stream: random.Random
    appid: str
    mchid: str
    bills: dict[date, Bill] = field(default_factory=dict)
    served: list[BillFile] = field(default_factory=list)
    misannounced: list[datetime] = field(default_factory=list)
    """Times at which a wrong digest was announced."""

    def plan(self, first: date) -> None:
        """Draw the faults of the bills from ``first`` on."""
        for number in range(DAYS_WITH_FAULTS):
            bill = self.of(first + timedelta(days=number))
            late, denied = self.faults.comes(Fault.BILL_LATE), self.faults.comes(Fault.BILL_DENIED)
            if late or denied:
                bill.ready_at = next_day(bill.day, self.stream.choice(LATE))
                bill.denied = denied
            bill.fault = next((fault for fault in WRONG if self.faults.comes(fault)), None)
            after = timedelta(hours=self.stream.choice(CORRECTED_H))
            bill.corrected_at = None if bill.fault is Fault.BILL_CHANGED else bill.ready_at + after

    def of(self, day: date) -> Bill:
        return self.bills.setdefault(day, Bill(day, next_day(day, READY)))

    def file(self, day: date, now: datetime) -> BillFile:
        """Return the bill of ``day`` as WeChat has it now. Raises Refused."""
        bill = self.of(day)
        if now < bill.ready_at:
            if bill.ready_at > next_day(day, READY):
                self._count_late(bill, Fault.BILL_DENIED if bill.denied else Fault.BILL_LATE)
            raise Refused("NO_STATEMENT_EXIST" if bill.denied else "STATEMENT_CREATING")
        if bill.lines is None:
            bill.lines = self._lines(day)
            self._spoil(bill)
        lines = self._lines_to_show(bill, now)
        if not lines:
            raise Refused("NO_STATEMENT_EXIST")
        file = BillFile(day, tuple(lines), self._write(lines))
        self.served.append(file)
        bill.downloads += 1
        return file

    def stage(self, day: date, now: datetime) -> Stage:
        """Return the stage of the bill of ``day``."""
        bill = self.of(day)
        if bill.lines is None:
            return Stage.READY if now >= bill.ready_at else Stage.WAITED_FOR
        wrong = bill.wrong is not None and self._lines_to_show(bill, now) is bill.wrong
        return Stage.WRONG if wrong else Stage.RIGHT

    def right_lines(self, day: date) -> list[Line]:
        """Return the lines of the final bill of ``day``; empty if it was not available yet."""
        return self.of(day).lines or []

    def _lines_to_show(self, bill: Bill, now: datetime) -> list[Line]:
        if bill.wrong is None or bill.lines is None:
            return bill.lines or []
        right = bill.downloads > 0 if bill.corrected_at is None else now >= bill.corrected_at
        return bill.lines if right else bill.wrong

    def _count_late(self, bill: Bill, fault: Fault) -> None:
        """Count a late bill once."""
        if not bill.asked:
            bill.asked = True
            self.faults.occurrences.note(bill.day.isoformat(), fault)

    def _lines(self, day: date) -> list[Line]:
        """Return the lines of a day. A refund is on the bill of the day on which WeChat accepted it, with its state
        when the bill is made."""
        payments = [_payment(each) for each in self.world.payments.values() if beijing_day(each.at) == day]
        refunds = [_refund(each) for each in self.world.refunds.values() if beijing_day(each.created_at) == day]
        own = [*payments, *refunds]
        shared = self._make_shared(day) if own and self.faults.lasts(Fault.BILL_SHARED) else []
        return sorted([*own, *shared], key=lambda line: line.at)

    def _make_shared(self, day: date) -> list[Line]:
        """Return sales of another system under the same merchant number: a payment, and one that was refunded."""
        at = datetime.combine(day, time(12), BEIJING).astimezone(UTC)
        first, second = (SHARED.format(day=day, number=number) for number in (1, 2))
        return [
            Line(at, f"4301{day:%Y%m%d}", first, "o-pos", 900),
            Line(at, f"4302{day:%Y%m%d}", second, "o-pos", 300),
            Line(at, f"4302{day:%Y%m%d}", second, "o-pos", 300, f"pos-refund-{day}", f"5031{day:%Y%m%d}", "SUCCESS"),
        ]

    def _spoil(self, bill: Bill) -> None:
        """Apply the fault that was drawn for this bill, if a line suits it."""
        lines, fault = bill.lines or [], bill.fault
        if fault is None or not lines:  # a day without lines has no bill
            return
        if fault is Fault.BILL_FOREIGN_LINE:
            bill.touched = self._foreign(bill.day)
            bill.wrong = [*lines, bill.touched]
        else:
            single = [line for line in lines if self._is_plain(line, only_payments=fault is Fault.BILL_OTHER_AMOUNT)]
            if not single or (fault is not Fault.BILL_OTHER_AMOUNT and len(lines) < 2):
                return
            bill.touched = self.stream.choice(single)
            rest = [line for line in lines if line is not bill.touched]
            altered = [bill.touched._replace(amount=bill.touched.amount + 1)]
            bill.wrong = sorted([*rest, *altered]) if fault is Fault.BILL_OTHER_AMOUNT else rest
        self.faults.occurrences.note(bill.day.isoformat(), fault)

    def _foreign(self, day: date) -> Line:
        """Return a sale of another system under the same merchant number."""
        at = datetime.combine(day, time(23, 59), BEIJING).astimezone(UTC)
        return Line(at, f"4300{day:%Y%m%d}", FOREIGN.format(day=day), "o-till", 700)

    def _is_plain(self, line: Line, *, only_payments: bool) -> bool:
        """Whether ``line`` is the only payment of its order, or a refund that the service requested."""
        if line.number not in self.world.orders:
            return False
        if line.out_refund_no:
            return not only_payments and not self.world.refunds[line.out_refund_no].by_console
        return len(self.world.orders[line.number].payments) == 1

    def _write(self, lines: Sequence[Line]) -> bytes:
        rows = [HEADER, *[self._row(line) for line in lines], SUMMARY, _summary(lines)]
        return ("\ufeff" + "\r\n".join(rows) + "\r\n").encode()

    def _row(self, line: Line) -> str:
        refund, settled_refund = (line.amount, line.settled) if line.out_refund_no else (0, 0)
        total, settled, coupon = (0, 0, 0) if line.out_refund_no else (line.amount, line.settled, line.coupon)
        values = (
            line.at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
            *(self.appid, self.mchid, "0", "", line.transaction_id, line.number, line.openid, "JSAPI"),
            *("REFUND" if line.out_refund_no else "SUCCESS", "OTHERS", "CNY", _yuan(settled), _yuan(coupon)),
            *(line.refund_id or "0", line.out_refund_no or "0", _yuan(settled_refund), "0.00"),
            *("ORIGINAL" if line.out_refund_no else "", line.state, "拿铁咖啡", ""),
            *(f"{_yuan(line.fee)}000", "0.60%", _yuan(total), _yuan(refund), ""),
        )
        return ",".join(f"`{value}" for value in values)


def _payment(payment: Payment) -> Line:
    numbers = payment.transaction_id, payment.number
    return Line(payment.at, *numbers, payment.openid, payment.total, coupon=payment.coupon)


def _refund(refund: Refund) -> Line:
    state = STATES.get(refund.state, refund.state)
    numbers = refund.transaction_id, refund.number
    return Line(
        refund.created_at,
        *numbers,
        "o-payer",
        refund.amount,
        refund.out_refund_no,
        refund.refund_id,
        state,
        refund.coupon,
    )


def _summary(lines: Sequence[Line]) -> str:
    paid = sum(line.amount for line in lines if not line.out_refund_no)
    refunded = sum(line.amount for line in lines if line.out_refund_no)
    settled = sum(line.settled for line in lines if not line.out_refund_no)
    settled_refunds = sum(line.settled for line in lines if line.out_refund_no)
    amounts = (settled, settled_refunds, 0, sum(line.fee for line in lines), paid, refunded)
    return ",".join([f"`{len(lines)}.0", *[f"`{_yuan(amount)}" for amount in amounts]])


def _yuan(fen: int) -> str:
    sign, fen = ("-", -fen) if fen < 0 else ("", fen)
    return f"{sign}{fen // 100}.{fen % 100:02}"


def next_day(day: date, at: time) -> datetime:
    """Return the time ``at`` on the day after ``day``, on which its bill is made."""
    return datetime.combine(day + timedelta(days=1), at, BEIJING).astimezone(UTC)
