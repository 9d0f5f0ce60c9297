"""Listings: newest first in pages, without gap or repetition, however many documents share a date or how far apart they
are."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from storage.stores.all import DIFFERENCES
from storage.stores.listing import Position, read_cursor, write_cursor
from storage.stores.orders import Orders
from tests.contract.samples import HOUR, MCHID, NOW, a_refund, an_order, paid
from tests.storage.backing import Backing, Storage
from tests.storage.values import a_delivery
from tests.support.clock import ManualClock
from wechat.domain.deliveries import Delivery, DeliveryState
from wechat.domain.errors import BadRequest
from wechat.domain.facts import RefundState
from wechat.domain.orders import Order, TimelineEntry, TradeState
from wechat.domain.ports import Page
from wechat.reconciliation.books import BookEntry, Difference, DifferenceKind
from wechat.reconciliation.days import BookDay

MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)


async def all_pages(fetch: Callable[[str], Awaitable[Page[Any]]], limit: int) -> list[Any]:
    """The items of all pages. Fails if a page but the last one is not full, or holds more than ``limit``."""
    listed: list[Any] = []
    cursor = ""
    while True:
        page = await fetch(cursor)
        listed += page.items
        assert len(page.items) <= limit
        if not (cursor := page.next_cursor):
            return listed
        assert len(page.items) == limit


def newest_first(orders: Sequence[Order]) -> list[Order]:
    return sorted(orders, key=lambda order: (order.created_at, order.out_trade_no), reverse=True)


def pages(store: Orders, limit: int, state: TradeState | None = None) -> Callable[[str], Awaitable[Page[Order]]]:
    return lambda cursor: store.find(trade_state=state, limit=limit, cursor=cursor)


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 7, 40, 100])
async def test_orders_are_listed_newest_first_also_those_of_one_date(
    storage: Storage, backing: Backing, limit: int
) -> None:
    orders = [
        an_order(f"2026030112{i:04d}", created_at=NOW + timedelta(milliseconds=i // 3), openid=f"o{i}")
        for i in range(40)
    ]
    await backing.load(orders)
    assert await all_pages(pages(storage.orders, limit), limit) == newest_first(orders)


async def test_orders_of_one_state_are_listed_alone(storage: Storage, backing: Backing) -> None:
    unpaid = [an_order(f"2026030112{i:04d}", created_at=NOW - i * SECOND) for i in range(30)]
    of_state = [paid(order) for order in unpaid[::4]]
    await backing.load([order for order in unpaid if order not in unpaid[::4]] + of_state)
    listed = await all_pages(pages(storage.orders, 3, TradeState.SUCCESS), 3)
    assert listed == newest_first(of_state)
    assert await all_pages(pages(storage.orders, 3, TradeState.CLOSED), 3) == []


async def test_orders_that_lie_years_apart_are_all_listed(storage: Storage, backing: Backing) -> None:
    years = (1971, 1999, 2013, 2024, 2025, 2026)
    orders = [an_order(f"20260301{year}", created_at=datetime(year, 2, 1, tzinfo=UTC)) for year in years]
    await backing.load([*orders, an_order(created_at=NOW)])
    assert await all_pages(pages(storage.orders, 2), 2) == newest_first([*orders, an_order(created_at=NOW)])


async def test_hundreds_of_orders_of_one_millisecond_are_listed_once_each(storage: Storage, backing: Backing) -> None:
    burst = [an_order(f"burst-{i:04d}", created_at=NOW - HOUR) for i in range(250)]
    around = [an_order(f"around-{i:04d}", created_at=NOW - i * MILLISECOND) for i in range(50)]
    await backing.load([*burst, *around])
    assert await all_pages(pages(storage.orders, 30), 30) == newest_first([*burst, *around])


@pytest.mark.parametrize("ahead", [MILLISECOND, HOUR, timedelta(days=400)])
async def test_an_order_that_a_wrong_clock_dated_ahead_is_listed_first(
    storage: Storage, backing: Backing, ahead: timedelta
) -> None:
    orders = [an_order(), an_order("ahead-order", created_at=NOW + ahead)]
    await backing.load(orders)
    assert await all_pages(pages(storage.orders, 1), 1) == newest_first(orders)


async def test_orders_that_come_while_somebody_turns_pages_repeat_none(
    storage: Storage, backing: Backing, clock: ManualClock
) -> None:
    orders = [an_order(f"2026030112{i:04d}", created_at=NOW - i * SECOND) for i in range(6)]
    await backing.load(orders)
    first = await storage.orders.find(trade_state=None, limit=3, cursor="")
    clock.advance(3600)
    await backing.load([an_order(f"later-{i}", created_at=NOW + HOUR) for i in range(4)])
    second = await storage.orders.find(trade_state=None, limit=3, cursor=first.next_cursor)
    assert [*first.items, *second.items] == newest_first(orders)
    assert second.next_cursor == ""


def text_cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "!!!!", "MTIz", "OTk5OTk5OTk5OTk5OTk5OTk5OS5hYmNkZWY", "MS57IiRndCI6IiJ9", "é"),
        *map(text_cursor, (".", "1000", "1000.", ".order", "-1000.order", "0.order", "1e3.order", "1000.a\nb")),
        *map(text_cursor, ("1_000.order", " 1000.order", f"{10**30}.order", "1000.\u4e00")),
    ],
)
def test_a_cursor_that_no_page_gave_is_a_bad_request(cursor: str) -> None:
    with pytest.raises(BadRequest):
        read_cursor(cursor)


async def test_a_broken_cursor_is_a_bad_request_of_every_listing_with_dates(storage: Storage) -> None:
    with pytest.raises(BadRequest):
        await storage.orders.find(trade_state=None, limit=3, cursor="!!!!")
    with pytest.raises(BadRequest):
        await storage.orders.find_by_refund(RefundState.SUCCESS, limit=3, cursor="!!!!")
    with pytest.raises(BadRequest):
        await storage.deliveries.find(state=None, limit=3, cursor="!!!!")
    with pytest.raises(BadRequest):
        await storage.notifications.find(MCHID, limit=3, cursor="!!!!")


@pytest.mark.parametrize("year", [3000, 9000, 9999])
async def test_a_cursor_of_a_distant_future_lists_everything(storage: Storage, backing: Backing, year: int) -> None:
    await backing.load([an_order()])
    cursor = write_cursor(Position(datetime(year, 12, 31, tzinfo=UTC), "x"))
    page = await storage.orders.find(trade_state=None, limit=3, cursor=cursor)
    assert page.items == (an_order(),)


@pytest.mark.parametrize("number", ["20260301120506abc", "a|b*c-d_e", "with.a.dot"])
def test_a_cursor_names_a_document_by_date_and_id(number: str) -> None:
    position = Position(NOW, f"{MCHID}:{number}")
    assert read_cursor(write_cursor(position)) == position


# -- orders by number and by refund ------------------------------------------------------------------------------------


async def test_an_order_is_found_by_each_number_that_a_person_may_know(storage: Storage, backing: Backing) -> None:
    order = paid(an_order(), "T1")
    order = replace(
        order,
        payments=(*order.payments, replace(order.payments[0], transaction_id="T2")),
        refunds=(a_refund("R1", refund_id="50300001"), a_refund("R2")),
    )
    await backing.load([order, paid(an_order("another-order"), "T3")])
    for number in (order.out_trade_no, "T1", "T2", "R1", "R2", "50300001"):
        assert list(await storage.orders.find_by_number(number, 5)) == [order]
    for number in ("T", "50300002", "", "osim-a"):
        assert list(await storage.orders.find_by_number(number, 5)) == []


async def test_orders_of_several_merchants_may_have_the_same_number(storage: Storage, backing: Backing) -> None:
    orders = [an_order(mchid=f"merchant-{i}") for i in range(3)]
    await backing.load(orders)
    found = await storage.orders.find_by_number(orders[0].out_trade_no, 5)
    assert sorted(order.mchid for order in found) == ["merchant-0", "merchant-1", "merchant-2"]
    assert len(await storage.orders.find_by_number(orders[0].out_trade_no, 2)) == 2


def refunded(number: str, state: RefundState, at: datetime, *others: RefundState) -> Order:
    """An order with a refund in ``state`` since ``at``, and others that changed an hour before."""

    def changed(i: int, each: RefundState, when: datetime) -> Any:
        line = TimelineEntry(when, each.lower(), "query")
        return replace(a_refund(f"R-{number}-{i}"), out_trade_no=number, state=each, timeline=(line,))

    refunds = [changed(i, each, at - HOUR) for i, each in enumerate(others)]
    return an_order(number, refunds=(*refunds, changed(99, state, at)))


@pytest.mark.parametrize("limit", [1, 4, 50])
async def test_orders_are_listed_by_the_state_of_a_refund_the_last_change_first(
    storage: Storage, backing: Backing, limit: int
) -> None:
    at = [NOW - timedelta(hours=i // 3) for i in range(12)]
    abnormal = [refunded(f"abnormal-{i:02}", RefundState.ABNORMAL, at[i], RefundState.SUCCESS) for i in range(12)]
    success = [refunded(f"success-{i:02}", RefundState.SUCCESS, at[i]) for i in range(12)]
    await backing.load([*abnormal, *success, an_order()])

    def fetch(state: RefundState) -> Callable[[str], Awaitable[Page[Order]]]:
        return lambda cursor: storage.orders.find_by_refund(state, limit=limit, cursor=cursor)

    def last_change_first(orders: Sequence[Order]) -> list[Order]:
        return sorted(orders, key=lambda o: (o.refunds[-1].timeline[-1].at, o.out_trade_no), reverse=True)

    assert await all_pages(fetch(RefundState.ABNORMAL), limit) == last_change_first(abnormal)
    assert await all_pages(fetch(RefundState.SUCCESS), limit) == last_change_first([*abnormal, *success])
    assert await all_pages(fetch(RefundState.PROCESSING), limit) == []


# -- deliveries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 40])
async def test_deliveries_of_all_states_are_listed_together_newest_first_and_each_state_alone(
    storage: Storage, limit: int
) -> None:
    states = list(DeliveryState)
    deliveries = [
        replace(
            a_delivery(f"e{i:02}", state=states[i % 3]),
            event=replace(a_delivery(f"e{i:02}").event, at=NOW - (i // 4) * SECOND),
        )
        for i in range(20)
    ]
    for delivery in deliveries:
        await storage.deliveries.insert(delivery, "write-1")

    def fetch(state: DeliveryState | None) -> Callable[[str], Awaitable[Page[Delivery]]]:
        return lambda cursor: storage.deliveries.find(state=state, limit=limit, cursor=cursor)

    def newest(of_states: Sequence[DeliveryState]) -> list[Delivery]:
        wanted = [delivery for delivery in deliveries if delivery.state in of_states]
        return sorted(wanted, key=lambda delivery: (delivery.event.at, delivery.id), reverse=True)

    assert await all_pages(fetch(None), limit) == newest(states)
    for state in states:
        assert await all_pages(fetch(state), limit) == newest([state])


async def test_the_deliveries_of_an_event_are_those_with_its_very_id(storage: Storage) -> None:
    for event_id, target in (("e1", "erp"), ("e1", "plugin:shop.crm"), ("e11", "erp"), ("e2", "erp")):
        await storage.deliveries.insert(a_delivery(event_id, target), "write-1")
    found = await storage.deliveries.of_event("e1")
    assert [delivery.target for delivery in found] == ["erp", "plugin:shop.crm"]
    assert list(await storage.deliveries.of_event("e")) == []


# -- days and differences ----------------------------------------------------------------------------------------------


async def test_the_newest_planned_day_is_that_of_the_merchant(storage: Storage) -> None:
    assert await storage.days.newest(MCHID) is None
    first = date(2026, 2, 25)
    for i in range(3):
        await storage.days.insert(BookDay(MCHID, first + timedelta(days=i), NOW, planned=True), "write-1")
    await storage.days.insert(BookDay(MCHID, first + timedelta(days=9), NOW), "write-1")
    await storage.days.insert(BookDay("another", first + timedelta(days=8), NOW, planned=True), "write-1")
    assert await storage.days.newest(MCHID) == first + timedelta(days=2)
    assert await storage.days.newest("another") == first + timedelta(days=8)


async def test_days_that_are_due_come_earliest_first(storage: Storage) -> None:
    first = date(2026, 2, 20)
    due = {0: NOW, 1: NOW - HOUR, 2: None, 3: NOW + MILLISECOND, 4: NOW - 2 * HOUR}
    for i, due_at in due.items():
        await storage.days.insert(BookDay(MCHID, first + timedelta(days=i), due_at), "write-1")
    found = await storage.days.list_due(MCHID, NOW, 10)
    assert [(stored.value.day - first).days for stored in found] == [0, 1, 4]
    assert [stored.rev for stored in found] == [1, 1, 1]
    assert len(await storage.days.list_due(MCHID, NOW, 2)) == 2


def a_difference(number: int, day: date, mchid: str = MCHID) -> Difference:
    entry = BookEntry(f"order-{number}", f"T{number}", "", "", 1, "CNY", "SUCCESS")
    return Difference.between(mchid, day, DifferenceKind.MISSING_HERE, None, entry, NOW)


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_the_differences_of_a_day_are_listed_in_the_order_of_their_ids(storage: Storage, limit: int) -> None:
    day = date(2026, 2, 28)
    wanted = [a_difference(i, day) for i in range(13)]
    others = [a_difference(i, day + timedelta(days=1)) for i in range(5)] + [a_difference(0, day, "another")]
    for difference in [*wanted, *others]:
        await storage.differences.insert(difference, "write-1")
    listed = await all_pages(lambda cursor: storage.differences.of_day(MCHID, day, limit=limit, cursor=cursor), limit)
    assert listed == sorted(wanted, key=lambda difference: difference.id)


@pytest.mark.parametrize("limit", [1, 2])
async def test_differences_that_cannot_be_read_hold_up_no_other(storage: Storage, backing: Backing, limit: int) -> None:
    """Not even where a page holds no others."""
    day = date(2026, 2, 28)
    differences = sorted([a_difference(i, day) for i in range(6)], key=lambda difference: difference.id)
    for difference in differences:
        await storage.differences.insert(difference, "write-1")
    for difference in (differences[0], differences[2], differences[3]):
        await backing.change(DIFFERENCES, difference.id, {"kind": "unheard of"})
    listed: list[Difference] = []
    cursor = ""
    while True:
        page = await storage.differences.of_day(MCHID, day, limit=limit, cursor=cursor)
        listed += page.items
        if not (cursor := page.next_cursor):
            break
    assert listed == [differences[1], differences[4], differences[5]]
