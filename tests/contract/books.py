"""A shop's day in the stores and on WeChat's bill, with differences planted where they are known."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from storage.stores.all import Stores
from tests.contract.samples import a_payment, a_refund, an_order
from tests.support.bills import Line, trade_file
from wechat.domain.facts import RefundState
from wechat.domain.money import Fen
from wechat.domain.numbers import NumberUse, refund_number
from wechat.domain.orders import Order, Refund, TimelineEntry, TradeState
from wechat.domain.refunds import SENT
from wechat.pay.bills.file import receiving
from wechat.pay.bills.gateways import Bill
from wechat.pay.bills.parser import BillKind
from wechat.reconciliation.books import DifferenceKind

DAY = date(2026, 2, 28)
START = datetime(2026, 2, 27, 16, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AT_ONCE = 250
"""Orders that are stored at the same time: each has to be answered before the store's deadline."""


class FileGateway:
    """``BillGateway`` that hands out ``lines``, as ``edit`` changes the file, or says that there is no bill when it is
    ``empty``."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.error: Exception | None = None
        self.empty = False
        self.fetched = 0
        self.edit: Callable[[bytes], bytes] = lambda file: file

    async def fetch(self, day: date, kind: BillKind, into: Path) -> Bill:
        await asyncio.sleep(0)
        self.fetched += 1
        if self.error:
            raise self.error
        if self.empty:
            return Bill(day, kind, None)
        with receiving(into) as sink:
            sink.write(self.edit(trade_file(self.lines)))
            sink.finish()
        return Bill(day, kind, into)


class ShopDay:
    """``count`` orders paid on DAY, every fifth refunded in part, alike on both sides until something is planted."""

    def __init__(self, count: int) -> None:
        self.payments: dict[int, Order] = {}
        self.refunds: dict[int, Refund] = {}
        self.lines: list[Line] = []
        self.planted: Counter[DifferenceKind] = Counter()
        for number in range(count):
            self._sell(number)
            if number % 5 == 0:
                self._refund(number)

    def line(self, number: int) -> int:
        """The index of the bill's line with the payment of order ``number``."""
        return next(i for i, line in enumerate(self.lines) if line.transaction_id == transaction(number))

    def refund_line(self, number: int) -> int:
        return next(i for i, line in enumerate(self.lines) if line.out_refund_no == f"refund-{number:05}")

    def missing_here(self, number: int) -> None:
        self.payments[number] = replace(self.payments[number], trade_state=TradeState.NOTPAY, payments=())
        self.planted[DifferenceKind.MISSING_HERE] += 1

    def missing_there(self, number: int) -> None:
        del self.lines[self.line(number)]
        self.planted[DifferenceKind.MISSING_THERE] += 1

    def amount(self, number: int) -> None:
        total = Fen(self.payments[number].total + 1)
        [payment] = self.payments[number].payments
        self.payments[number] = replace(
            self.payments[number], total=total, payments=(replace(payment, total=total, payer_total=total),)
        )
        self.planted[DifferenceKind.AMOUNT] += 1

    def state(self, number: int) -> None:
        self.payments[number] = replace(self.payments[number], trade_state=TradeState.CLOSED, payments=())
        self.planted[DifferenceKind.STATE] += 1

    def refund_missing_here(self, number: int) -> None:
        del self.refunds[number]
        self.planted[DifferenceKind.REFUND_MISSING_HERE] += 1

    def refund_missing_there(self, number: int) -> None:
        del self.lines[self.refund_line(number)]
        self.planted[DifferenceKind.REFUND_MISSING_THERE] += 1

    def double_payment(self, number: int) -> None:
        first = self.lines[self.line(number)]
        self.lines.append(Line(first.out_trade_no, f"second-{number}", first.total, first.at + MINUTE))
        self.planted[DifferenceKind.DOUBLE_PAYMENT] += 1

    def unknown_number(self, number: int) -> None:
        self.lines.insert(0, Line(f"stranger-{number}", f"foreign-{number}", 100, START + MINUTE))
        self.planted[DifferenceKind.UNKNOWN_NUMBER] += 1

    async def store(self, stores: Stores) -> None:
        """Store the orders of this side with their refunds."""
        refunds = {number: (refund,) for number, refund in self.refunds.items()}
        await store_orders(
            stores, [replace(order, refunds=refunds.get(number, ())) for number, order in self.payments.items()]
        )

    def _sell(self, number: int) -> None:
        at = START + timedelta(seconds=number * 80 % 86400)
        total = 100 + number
        state = TradeState.REFUND if number % 5 == 0 else TradeState.SUCCESS
        self.payments[number] = paid_order(order(number), transaction(number), total, at, state)
        self.lines.append(Line(order(number), transaction(number), total, at, fee_e5=total * 6))

    def _refund(self, number: int) -> None:
        at, amount = START + timedelta(seconds=85799), 1 + number // 2
        self.refunds[number] = sent_refund(number, amount, at)
        line = Line(order(number), transaction(number), 0, at, f"refund-{number:05}", amount, fee_e5=-amount * 6)
        self.lines.append(line)


async def store_orders(stores: Stores, orders: Sequence[Order]) -> None:
    """Store ``orders``, and reserve the numbers of their refunds."""
    for first in range(0, len(orders), AT_ONCE):
        some = orders[first : first + AT_ONCE]
        assert all(await asyncio.gather(*[stores.orders.insert(each, "test") for each in some]))
        numbers = [NumberUse(refund_number(r.mchid, r.out_refund_no), o.key) for o in some for r in o.refunds]
        await asyncio.gather(*[stores.numbers.reserve(number) for number in numbers])


def order(number: int) -> str:
    return f"order-{number:05}"


def transaction(number: int) -> str:
    return f"4200{number:024}"


def paid_order(
    number: str, transaction_id: str, total: int, paid_at: datetime, state: TradeState = TradeState.SUCCESS
) -> Order:
    return an_order(
        number,
        total=Fen(total),
        created_at=paid_at - MINUTE,
        trade_state=state,
        payments=(a_payment(transaction_id, total, paid_at),),
        next_check_at=None,
    )


def sent_refund(number: int, amount: int, sent_at: datetime) -> Refund:
    """A refund that waited a minute for its turn."""
    return a_refund(
        f"refund-{number:05}",
        out_trade_no=order(number),
        transaction_id=transaction(number),
        refund=Fen(amount),
        total=Fen(100 + number),
        state=RefundState.SUCCESS,
        created_at=sent_at - MINUTE,
        next_check_at=None,
        sends=1,
        first_sent_at=sent_at,
        last_sent_at=sent_at,
        timeline=(TimelineEntry(sent_at - MINUTE, "requested", "shop"), TimelineEntry(sent_at, SENT, "worker")),
    )
