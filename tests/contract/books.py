"""A shop's day in the stores and on WeChat's bill, with differences planted where they are known."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from storage.codec import order_to_document, refund_to_document
from storage.old_driver import Connection
from tests.contract.samples import a_refund, an_order
from tests.support.bills import Line, trade_file
from wechat.books import Kind
from wechat.domain.facts import RefundState
from wechat.domain.money import Fen
from wechat.domain.orders import Refund, TimelineEntry, TradeState
from wechat.domain.refunds import SENT
from wechat.pay.bill_download import Bill
from wechat.pay.bill_file import receiving
from wechat.pay.bills import BillKind

DAY = date(2026, 2, 28)
START = datetime(2026, 2, 27, 16, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class FileGateway:
    """``BillGateway`` that hands out ``lines``."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.error: Exception | None = None
        self.fetched = 0

    async def fetch(self, day: date, kind: BillKind, into: Path) -> Bill:
        await asyncio.sleep(0)
        self.fetched += 1
        if self.error:
            raise self.error
        with receiving(into) as sink:
            sink.feed(trade_file(self.lines))
            sink.finish()
        return Bill(day, kind, into)


class ShopDay:
    """``count`` orders paid on DAY, every fifth refunded in part, alike on both sides until something is planted."""

    def __init__(self, count: int) -> None:
        self.payments: dict[int, dict[str, Any]] = {}
        self.refunds: dict[int, Refund] = {}
        self.lines: list[Line] = []
        self.planted: Counter[Kind] = Counter()
        for number in range(count):
            self._sell(number)
            if number % 5 == 0:
                self._refund(number)

    def line(self, number: int) -> int:
        """Where the payment of order ``number`` stands on the bill."""
        return next(i for i, line in enumerate(self.lines) if line.transaction_id == transaction(number))

    def refund_line(self, number: int) -> int:
        return next(i for i, line in enumerate(self.lines) if line.out_refund_no == f"refund-{number:05}")

    def missing_here(self, number: int) -> None:
        self.payments[number] |= {"trade_state": TradeState.NOTPAY, "transaction_id": "", "paid_at": None}
        self.planted[Kind.MISSING_HERE] += 1

    def missing_there(self, number: int) -> None:
        del self.lines[self.line(number)]
        self.planted[Kind.MISSING_THERE] += 1

    def amount(self, number: int) -> None:
        self.payments[number]["total"] = Fen(self.payments[number]["total"] + 1)
        self.planted[Kind.AMOUNT] += 1

    def state(self, number: int) -> None:
        self.payments[number] |= {"trade_state": TradeState.CLOSED, "transaction_id": "", "paid_at": None}
        self.planted[Kind.STATE] += 1

    def refund_missing_here(self, number: int) -> None:
        del self.refunds[number]
        self.planted[Kind.REFUND_MISSING_HERE] += 1

    def refund_missing_there(self, number: int) -> None:
        del self.lines[self.refund_line(number)]
        self.planted[Kind.REFUND_MISSING_THERE] += 1

    def double_payment(self, number: int) -> None:
        first = self.lines[self.line(number)]
        self.lines.append(Line(first.out_trade_no, f"second-{number}", first.total, first.at + MINUTE))
        self.planted[Kind.DOUBLE_PAYMENT] += 1

    def unknown_number(self, number: int) -> None:
        self.lines.insert(0, Line(f"stranger-{number}", f"foreign-{number}", 100, START + MINUTE))
        self.planted[Kind.UNKNOWN_NUMBER] += 1

    async def store(self, raw: Connection) -> None:
        """Our side, as the stores hold it."""
        orders = [order_to_document(an_order(order(number), **changes)) for number, changes in self.payments.items()]
        await raw.database["orders"].insert_many(orders, ordered=False)
        if self.refunds:
            await raw.database["refunds"].insert_many(
                list(map(refund_to_document, self.refunds.values())), ordered=False
            )

    def _sell(self, number: int) -> None:
        at = START + timedelta(seconds=number * 80 % 86400)
        total = 100 + number
        self.payments[number] = {
            "total": Fen(total),
            "trade_state": TradeState.REFUND if number % 5 == 0 else TradeState.SUCCESS,
            "transaction_id": transaction(number),
            "paid_at": at,
        }
        self.lines.append(Line(order(number), transaction(number), total, at, fee_e5=total * 6))

    def _refund(self, number: int) -> None:
        at, amount = START + timedelta(seconds=86399), 1 + number // 2
        self.refunds[number] = sent_refund(number, amount, at)
        line = Line(order(number), transaction(number), 0, at, f"refund-{number:05}", amount, fee_e5=-amount * 6)
        self.lines.append(line)


def order(number: int) -> str:
    return f"order-{number:05}"


def transaction(number: int) -> str:
    return f"4200{number:024}"


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
        events=(TimelineEntry(sent_at - MINUTE, "requested", "shop"), TimelineEntry(sent_at, SENT, "worker")),
    )
