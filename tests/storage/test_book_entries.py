"""What reconciliation reads: each payment and refund of a Beijing day once, however many there are and how they are
spread over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from storage.stores.book_entries import YEAR_OF_REFUNDS
from tests.contract.samples import MCHID, NOW, a_payment, a_refund, an_order
from tests.storage.backing import Backing, Storage
from wechat.domain.facts import RefundState
from wechat.domain.money import Fen
from wechat.domain.numbers import NumberUse, refund_number
from wechat.domain.orders import Order, Refund, TradeState
from wechat.reconciliation.books import BookEntry

DAY = date(2026, 2, 28)
START, END = datetime(2026, 2, 27, 16, tzinfo=UTC), datetime(2026, 2, 28, 16, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)


def sold(number: str, paid_at: datetime, **changes: Any) -> Order:
    """An order that was paid at ``paid_at``."""
    payment = a_payment(f"T-{number}", paid_at=paid_at)
    return an_order(number, trade_state=TradeState.SUCCESS, payments=(payment,), created_at=paid_at, **changes)


def refund_of(order: Order, number: str, sent_at: datetime | None, **changes: Any) -> Refund:
    draft = a_refund(number, out_trade_no=order.out_trade_no, transaction_id=order.transaction_id)
    return replace(draft, last_sent_at=sent_at, **changes)


async def read(batches: AsyncIterator[Sequence[BookEntry]]) -> list[BookEntry]:
    """All entries; no batch is larger than a window may be."""
    entries: list[BookEntry] = []
    async for batch in batches:
        assert batch
        entries += batch
    return entries


def numbers(entries: Sequence[BookEntry]) -> Counter[str]:
    return Counter(entry.out_refund_no or entry.out_trade_no for entry in entries)


def once(wanted: Sequence[str]) -> Counter[str]:
    return Counter(dict.fromkeys(wanted, 1))


# -- many of them ------------------------------------------------------------------------------------------------------


def a_busy_day(most: int, others: int) -> list[Order]:
    """Orders that were paid spread over DAY, in a rush within minutes, and more in one second than one answer holds.

    Of some of them, and of orders of the year before, refunds were sent on DAY, all within a second. ``others`` is how
    many there are of each kind beside those of that one second.
    """
    spread = [sold(f"spread-{i}", START + timedelta(seconds=86400 * i // others)) for i in range(others)]
    rush = [sold(f"rush-{i}", START + timedelta(hours=12, milliseconds=i * 3)) for i in range(others)]
    burst = [sold(f"burst-{i}", START + timedelta(hours=20, milliseconds=i % 7)) for i in range(most + 10)]
    older = [sold(f"older-{i}", START - YEAR_OF_REFUNDS * (i + 1) / (others + 2)) for i in range(others)]
    refunded = []
    for i, order in enumerate([*burst, *older, *rush[::3]]):
        parts = [refund_of(order, f"R-{order.out_trade_no}-{n}", END - (1 + n) * MILLISECOND) for n in range(1 + i % 3)]
        refunded.append(replace(order, refunds=tuple(parts)))
    return [*spread, *refunded, *(order for i, order in enumerate(rush) if i % 3)]


async def must_read_each_once(storage: Storage, orders: Sequence[Order]) -> None:
    """The day's payments and refunds."""
    paid = [order.out_trade_no for order in orders if order.created_at >= START]
    assert numbers(await read(storage.book_entries.list_payments(MCHID, DAY))) == once(paid)
    refunds = [refund.out_refund_no for order in orders for refund in order.refunds]
    assert numbers(await read(storage.book_entries.list_refunds(MCHID, DAY))) == once(refunds)


async def test_each_payment_and_refund_of_a_busy_day_is_read_once(
    storage: Storage, backing: Backing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The windows are small, because the memory store reads all documents for each window."""
    monkeypatch.setattr("storage.stores.windows.MOST", 60)
    monkeypatch.setattr("storage.stores.windows.WANTED", 15)
    orders = a_busy_day(60, 50)
    await backing.load(orders)
    await must_read_each_once(storage, orders)


async def test_no_payment_falls_between_two_windows(
    storage: Storage, backing: Backing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A payment in each millisecond, and windows of so few payments that one may end after any of them."""
    monkeypatch.setattr("storage.stores.windows.MOST", 20)
    monkeypatch.setattr("storage.stores.windows.WANTED", 5)
    monkeypatch.setattr("storage.stores.windows.SHORTEST", 10 * MILLISECOND)
    orders = [sold(f"order-{i:03}", START + timedelta(hours=20, milliseconds=i)) for i in range(200)]
    await backing.load(orders)
    assert numbers(await read(storage.book_entries.list_payments(MCHID, DAY))) == once([o.out_trade_no for o in orders])


@pytest.mark.parametrize("backing", ["motor", "pymongo"], indirect=True)
async def test_each_of_thousands_of_payments_and_refunds_is_read_once(
    storage: Storage, backing: Backing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.stores.windows.MOST", 1000)
    monkeypatch.setattr("storage.stores.windows.WANTED", 250)
    orders = a_busy_day(1000, 700)
    await backing.load(orders)
    await must_read_each_once(storage, orders)


# -- payments ----------------------------------------------------------------------------------------------------------


async def test_the_payments_of_a_day_are_those_from_its_first_to_its_last_millisecond_in_beijing(
    storage: Storage, backing: Backing
) -> None:
    dates = {"first": START, "last": END - MILLISECOND, "before": START - MILLISECOND, "after": END}
    await backing.load([sold(f"{name}-order", at) for name, at in dates.items()])
    entries = await read(storage.book_entries.list_payments(MCHID, DAY))
    assert numbers(entries) == once(["first-order", "last-order"])


async def test_a_payment_says_what_the_order_says(storage: Storage, backing: Backing) -> None:
    """Also one that came late, or is refunded; an unpaid order and another merchant's are not there."""
    second = a_payment("T-second", paid_at=START)
    orders = [
        sold("paid-order", START, total=Fen(3_000_000_000), currency="HKD"),
        replace(sold("late-order", START), trade_state=TradeState.PAID_LATE),
        replace(sold("refunded-order", START), trade_state=TradeState.REFUND),
        replace(sold("twice-order", START), payments=(a_payment("T-twice-order", paid_at=START), second)),
        an_order("unpaid-order", created_at=START),
        sold("their-order", START, mchid="another"),
    ]
    await backing.load(orders)
    entries = sorted(await read(storage.book_entries.list_payments(MCHID, DAY)))
    assert entries == [
        BookEntry("late-order", "T-late-order", "", "", 3600, "CNY", "PAID_LATE"),
        BookEntry("paid-order", "T-paid-order", "", "", 3_000_000_000, "HKD", "SUCCESS"),
        BookEntry("refunded-order", "T-refunded-order", "", "", 3600, "CNY", "REFUND"),
        BookEntry("twice-order", "T-twice-order", "", "", 3600, "CNY", "SUCCESS"),
    ]
    assert {type(entry.amount) for entry in entries} == {int}


async def test_a_day_without_payments_has_none(storage: Storage) -> None:
    assert await read(storage.book_entries.list_payments(MCHID, DAY)) == []
    assert await read(storage.book_entries.list_refunds(MCHID, DAY)) == []


async def test_orders_are_read_by_their_numbers_paid_or_not(storage: Storage, backing: Backing) -> None:
    await backing.load([sold("paid-order", NOW), an_order("unpaid-order"), sold("their-order", NOW, mchid="another")])
    wanted = ["paid-order", "unpaid-order", "their-order", "nobodys-order"]
    entries = await storage.book_entries.payments(MCHID, wanted)
    assert sorted((entry.out_trade_no, entry.transaction_id, entry.state) for entry in entries) == [
        ("paid-order", "T-paid-order", "SUCCESS"),
        ("unpaid-order", "", "NOTPAY"),
    ]


# -- refunds -----------------------------------------------------------------------------------------------------------


async def test_a_refund_belongs_to_the_day_on_which_it_was_last_sent(storage: Storage, backing: Backing) -> None:
    """Not to the day of its request, of an earlier try, or of its end."""
    order = sold("one-order", START - timedelta(days=5))
    day = timedelta(days=1)
    refunds = (
        refund_of(order, "R-requested-before", START, created_at=START - day),
        refund_of(order, "R-sent-again", END - MILLISECOND, first_sent_at=START - day, sends=2),
        refund_of(order, "R-ended-later", START, success_at=END + day, state=RefundState.SUCCESS),
        refund_of(order, "R-sent-again-later", END, first_sent_at=START, created_at=START),
        refund_of(order, "R-sent-before", START - MILLISECOND, success_at=START),
        refund_of(order, "R-not-sent", None, created_at=START),
    )
    await backing.load([replace(order, refunds=refunds)])
    entries = await read(storage.book_entries.list_refunds(MCHID, DAY))
    assert numbers(entries) == once(["R-requested-before", "R-sent-again", "R-ended-later"])
    next_day = await read(storage.book_entries.list_refunds(MCHID, DAY + day))
    assert numbers(next_day) == once(["R-sent-again-later"])


async def test_a_refund_says_what_was_asked_and_what_became_of_it(storage: Storage, backing: Backing) -> None:
    order = sold("one-order", START)
    amount = Fen(3_000_000_000)
    refunds = (
        refund_of(order, "R-1", START, refund=amount, state=RefundState.SUCCESS, refund_id="503"),
        refund_of(order, "R-2", START, transaction_id="T-second", surplus=True),
    )
    theirs = replace(sold("their-order", START, mchid="another"), refunds=(refund_of(order, "R-3", START),))
    await backing.load([replace(order, refunds=refunds), theirs])
    entries = await read(storage.book_entries.list_refunds(MCHID, DAY))
    assert sorted(entries) == [
        BookEntry("one-order", "T-one-order", "R-1", "503", amount, "CNY", "SUCCESS"),
        BookEntry("one-order", "T-second", "R-2", "", 60, "CNY", "REQUESTED"),
    ]


@pytest.mark.parametrize("days", [1, 364, 371])
async def test_a_refund_of_an_old_order_is_read_too(storage: Storage, backing: Backing, days: int) -> None:
    """An order can be paid within a week, and refunded within a year after the payment."""
    order = sold("old-order", START - timedelta(days=days))
    await backing.load([replace(order, refunds=(refund_of(order, "R-1", START),))])
    assert numbers(await read(storage.book_entries.list_refunds(MCHID, DAY))) == once(["R-1"])


async def test_refunds_are_read_by_their_numbers(storage: Storage, backing: Backing) -> None:
    first = sold("first-order", NOW)
    first = replace(first, refunds=(refund_of(first, "R-1", NOW), refund_of(first, "R-2", None)))
    second = sold("second-order", NOW)
    second = replace(second, refunds=(refund_of(second, "R-3", NOW), refund_of(second, "R-4", NOW)))
    await backing.load([first, second])
    for order in (first, second):
        for refund in order.refunds:
            await storage.numbers.reserve(NumberUse(refund_number(MCHID, refund.out_refund_no), order.key))
    entries = await storage.book_entries.refunds(MCHID, ["R-1", "R-3", "R-4", "R-9"])
    assert numbers(entries) == once(["R-1", "R-3", "R-4"])
    assert await storage.book_entries.refunds("another", ["R-1"]) == []
