"""Bills with lines that match none of our orders (reversals at a till, orders of other systems) and with malformed lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path

import pytest

from service.runtime import ThreadPool
from service.settings.sections import BooksSettings
from storage.memory.storage import MemoryStorage
from tests.contract.books import DAY, MINUTE, START, FileGateway, ShopDay, order, transaction
from tests.support.bills import MCHID, Line
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds, RecordedTelemetry
from wechat.domain.ports import Runtime
from wechat.pay.bills.parser import MOST_UNREAD, BillBroken
from wechat.reconciliation.accounts import Account, double_entry
from wechat.reconciliation.bill_cache import BillCache
from wechat.reconciliation.books import BookEntry, Difference, DifferenceKind, Reconciliation, classify
from wechat.reconciliation.reconciler import BOOKS_DIFFER, Reconciler
from wechat.reconciliation.records import BookRecords

PAID = BookEntry("order-1", "4200", "", "", 1800, "CNY", "SUCCESS")


class Day:
    """A day of ten orders, and the bill of it."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock(START + timedelta(days=1, hours=12))
        self.telemetry = RecordedTelemetry()
        self.shop = ShopDay(10)
        self.gateway = FileGateway()
        self._runtime = Runtime(self.clock, RandomIds(), self.telemetry, ThreadPool())
        self._storage = MemoryStorage(self.clock, RandomIds())
        self._bills = BillCache(self.gateway, directory, time(10, 5), timedelta(days=90), self._runtime, MCHID)
        self._records = BookRecords(MCHID, self._storage.days, self._storage.differences, self._runtime)

    async def reconcile(self, *lines: Line, foreign: Sequence[str] = ()) -> tuple[Reconciliation, list[Difference]]:
        """Reconcile the day with ``lines`` added to the bill; return the result and the differences."""
        await self.shop.store(self._storage)
        self.gateway.lines = [*self.shop.lines, *lines]
        reconciler = Reconciler(self._bills, self._storage.book_entries, self._records, self._runtime, foreign)
        result = await reconciler.run(DAY)
        return result, list((await self._records.differences(DAY, limit=50, cursor="")).items)


def till_payment(number: str = "TILL-000001", total: int = 500) -> Line:
    return Line(number, f"4200{number}", total, START + MINUTE)


def taken_back(payment: Line) -> Line:
    """The line of a reversal in WeChat's format: the payment's numbers and the amount returned."""
    return replace(payment, trade_state="REVOKED", total=0, refund=payment.total, at=payment.at + MINUTE)


@pytest.fixture
def day(tmp_path: Path) -> Day:
    return Day(tmp_path / "bills")


@pytest.mark.parametrize("order_of_lines", [1, -1])
async def test_a7_a_till_payment_that_was_taken_back_nets_to_zero(day: Day, order_of_lines: int) -> None:
    payment = till_payment()
    lines = [payment, taken_back(payment)][::order_of_lines]
    result, differences = await day.reconcile(*lines)
    assert (differences, day.telemetry.raised) == ([], [])
    assert result.billed.received - result.billed.refunded == result.recorded.received - result.recorded.refunded
    wallet = double_entry(result.billed).balance(Account.WALLET) + result.billed.fee  # our records have no fees
    assert wallet == double_entry(result.recorded).balance(Account.WALLET)


async def test_a7_a_reversal_alone_is_money_that_went_out(day: Day) -> None:
    """The payment was on an earlier day's bill."""
    result, differences = await day.reconcile(taken_back(till_payment()))
    assert differences == []
    assert result.billed.refunded - result.recorded.refunded == 500
    assert result.billed.payments == result.recorded.payments


async def test_a7_an_order_of_ours_that_was_taken_back_is_told_of_once_with_its_amount(day: Day) -> None:
    payment = day.shop.lines[day.shop.line(1)]
    _, [difference] = await day.reconcile(taken_back(payment))
    assert difference.kind is DifferenceKind.STATE
    assert difference.billed is not None
    assert (difference.billed.state, difference.billed.amount) == ("REVOKED", payment.total)
    assert difference.billed.out_trade_no == order(1)


def test_a7_an_unpaid_order_is_no_double_payment_because_of_one_that_was_taken_back() -> None:
    unpaid = PAID._replace(state="NOTPAY", transaction_id="")
    assert classify(unpaid, PAID._replace(state="REVOKED"), nth=2, taken_back=True) is None
    assert classify(unpaid, PAID, nth=1) is DifferenceKind.MISSING_HERE


async def test_a7_numbers_of_other_systems_that_are_declared_raise_no_alarm(day: Day) -> None:
    other = till_payment("TILL-000002")
    refund = Line("TILL-000003", "4200x", 0, START + MINUTE, out_refund_no="TILL-R-3", refund=100)
    _, differences = await day.reconcile(other, refund, foreign=["POS.*", "TILL-[0-9]{6}"])
    assert (differences, day.telemetry.raised) == ([], [])


async def test_a7_what_is_not_declared_still_does(day: Day) -> None:
    _, differences = await day.reconcile(
        *[till_payment(number) for number in ("TILL-00002", "xTILL-000002", "TILL-000002x", "till-000002")],
        foreign=["TILL-[0-9]{6}"],
    )
    assert [each.kind for each in differences] == [DifferenceKind.UNKNOWN_NUMBER] * 4
    assert [kind for kind, *_ in day.telemetry.raised] == [BOOKS_DIFFER]


async def test_a7_an_order_of_ours_is_compared_though_its_number_is_declared(day: Day) -> None:
    day.shop.amount(1)
    second = Line(order(2), "4200-second", 100, START + MINUTE)
    _, differences = await day.reconcile(second, foreign=[".*"])
    assert sorted(each.kind for each in differences) == [DifferenceKind.AMOUNT, DifferenceKind.DOUBLE_PAYMENT]
    assert transaction(1) in {each.numbers.transaction_id for each in differences}


def test_a7_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="regular expression"):
        BooksSettings.model_validate({"foreign_numbers": ["TILL-("]})


# -- malformed lines --------------------------------------------------------------------------------------------------


def spoil(number: str, old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Change ``old`` to ``new`` in the line of the payment ``number``."""

    def edit(file: bytes) -> bytes:
        lines = file.split(b"\r\n")
        [place] = [i for i, line in enumerate(lines) if number.encode() in line and b"`SUCCESS," in line]
        assert old in lines[place]
        lines[place] = lines[place].replace(old, new, 1)
        return b"\r\n".join(lines)

    return edit


SPOILT: dict[str, tuple[bytes, bytes]] = {
    "a price that is none": (b"`CNY,`", b"`CNY,`x"),
    "a time that is none": (b"`2026-0", b"`2026-9"),
    "a column too few": (b",`CNY,`", b",`"),
    "a column too many": (b",`CNY,`", b",`CNY,`,`"),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_b10_one_bad_line_is_told_by_its_number_and_the_rest_of_the_day_is_read(day: Day, name: str) -> None:
    """An unread line names no order, so its payment is reported as missing on the bill and is not counted as billed."""
    hurt = day.shop.payments[3]
    day.gateway.edit = spoil(hurt.out_trade_no, *SPOILT[name])
    result, differences = await day.reconcile()
    [line] = result.unread
    assert 2 <= line <= len(day.shop.lines) + 1
    assert [(each.kind, each.numbers.out_trade_no) for each in differences] == [
        (DifferenceKind.MISSING_THERE, hurt.out_trade_no)
    ]
    assert (result.recorded.payments, result.billed.payments) == (10, 9)
    assert result.billed.received == result.recorded.received - hurt.total
    assert day.telemetry.alarms("bill_lines_unread") == 1


async def test_b10_a_bill_whose_summary_does_not_count_the_bad_line_is_refused(day: Day) -> None:
    day.gateway.edit = lambda file: file.replace(b"\r\n", b"\r\n`no line at all\r\n", 1)
    with pytest.raises(BillBroken, match="summary"):
        await day.reconcile()


async def test_b10_what_has_more_bad_lines_than_good_is_no_bill(day: Day) -> None:
    day.gateway.edit = lambda file: file.replace(b"`CNY,`", b"`CNY,`x")
    extra = [till_payment(f"TILL-{n:06}") for n in range(MOST_UNREAD + 1)]
    with pytest.raises(BillBroken, match="value"):
        await day.reconcile(*extra)


async def test_b10_a_line_break_within_a_field_is_no_bad_line(day: Day) -> None:
    number = day.shop.payments[3].out_trade_no
    day.gateway.edit = spoil(number, b",`CNY,`", b",`CNY\r\n,`")
    result, _ = await day.reconcile()
    assert (result.unread, result.billed.payments) == ((), 10)
