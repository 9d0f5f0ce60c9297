"""Searching orders over each database: keys, filters, pages, and what a bounded search leaves for the next page."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.stores.all import ORDERS as ORDERS_COLLECTION
from tests.contract.samples import NOW, a_payment, an_order
from tests.storage.backing import Backing, Storage
from wechat.domain.errors import BadRequest
from wechat.domain.money import Fen
from wechat.domain.orders import Order, TradeState, TradeType
from wechat.domain.search import OrderFilter, outline
from wechat.orders import search as searching
from wechat.orders.search import OrderSearch

EVERYTHING = OrderFilter()


def sold(i: int) -> Order:
    """``i`` minutes ago, every third one closed, every fifth one through another channel, every tenth one large."""
    order = an_order(
        f"20260301{i:012}",
        created_at=NOW - timedelta(minutes=i),
        total=Fen(25_000 if i % 10 == 1 else 1800 if i % 2 else 900),
        description="拿铁咖啡" if i % 2 else "茉莉花茶",
        openid=f"osim-{i % 4}",
        channel="second" if i % 5 == 0 else "default",
    )
    if i % 3 == 0:
        return replace(order, trade_state=TradeState.CLOSED)
    return replace(order, trade_state=TradeState.SUCCESS, payments=(a_payment(f"T{i:010}"),))


ORDERS = [sold(i) for i in range(40)]


@pytest.fixture
async def search(storage: Storage, backing: Backing) -> OrderSearch:
    await backing.load(ORDERS)
    return OrderSearch(storage.orders)


async def everything(search: OrderSearch, text: str, wanted: OrderFilter, limit: int = 7) -> list[Order]:
    """All pages, each of which begins where the one before ended."""
    found = await search.find(text, wanted, limit=limit, cursor="")
    orders = list(found.orders)
    while found.next_cursor:
        found = await search.find(text, wanted, limit=limit, cursor=found.next_cursor)
        orders += found.orders
    return orders


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", EVERYTHING),
        ("", OrderFilter(trade_state=TradeState.CLOSED)),
        ("", OrderFilter(since=NOW - timedelta(minutes=20), until=NOW - timedelta(minutes=10))),
        ("", OrderFilter(channel="second")),
        ("", OrderFilter(channel="second", trade_type=TradeType.JSAPI, trade_state=TradeState.CLOSED)),
        ("", OrderFilter(channel="default", trade_state=TradeState.CLOSED)),
        ("", OrderFilter(channel="default", trade_type=TradeType.JSAPI)),
        ("", OrderFilter(trade_type=TradeType.JSAPI, since=NOW - timedelta(minutes=20))),
        ("", OrderFilter(trade_type=TradeType.NATIVE)),
        ("", OrderFilter(least=Fen(1000), trade_state=TradeState.SUCCESS)),
        ("", OrderFilter(least=Fen(10_000))),
        ("", OrderFilter(least=Fen(20_000), most=Fen(25_000), trade_state=TradeState.SUCCESS)),
        ("", OrderFilter(least=Fen(25_001))),
        ("18.00", EVERYTHING),
        ("¥18", OrderFilter(trade_state=TradeState.CLOSED, since=NOW - timedelta(minutes=30))),
        ("咖啡", OrderFilter(channel="second")),
        ("osim-1", OrderFilter(most=Fen(1799))),
        ("火锅", EVERYTHING),
    ],
)  # fmt: skip
async def test_pages_hold_each_order_that_fits_once_and_newest_first(
    search: OrderSearch, text: str, wanted: OrderFilter
) -> None:
    def fits(order: Order) -> bool:
        by_text = {
            "": True, "18.00": order.total == 1800, "¥18": order.total == 1800, "咖啡": "咖啡" in order.description,
            "osim-1": order.openid == "osim-1", "火锅": False,
        }  # fmt: skip
        return by_text[text] and wanted.matches(outline(order))

    assert await everything(search, text, wanted) == [order for order in ORDERS if fits(order)]


async def test_a_number_is_found_whole_or_by_its_end(search: OrderSearch) -> None:
    for text in (ORDERS[7].out_trade_no, "000007", ORDERS[7].transaction_id, "0000000007"):
        assert ORDERS[7] in await everything(search, text, EVERYTHING), text
    assert await everything(search, ORDERS[7].out_trade_no, OrderFilter(trade_state=TradeState.CLOSED)) == []


async def test_a_search_that_finds_little_stops_and_says_how_far_it_came(
    search: OrderSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MOST_LOOKED_AT", 10)
    wanted = OrderFilter(until=NOW, least=Fen(1800), most=Fen(1800))
    first = await search.find("", wanted, limit=5, cursor="")
    assert first.reached
    assert first.next_cursor
    assert 0 < len(first.orders) < 5
    assert await everything(search, "", wanted, limit=5) == [
        order for order in ORDERS if wanted.matches(outline(order))
    ]
    assert [order async for part in search.all("", wanted) for order in part] == [
        order for order in ORDERS if wanted.matches(outline(order))
    ]


async def test_a_document_that_was_stored_before_there_were_such_keys_is_found_by_its_numbers(
    search: OrderSearch, backing: Backing
) -> None:
    old = replace(sold(77), out_trade_no="old-order-77")
    await backing.load([old])
    await backing.change(ORDERS_COLLECTION, old.key, {"keys": ["old-order-77", old.transaction_id]})
    assert await everything(search, "old-order-77", EVERYTHING) == [old]
    assert await everything(search, old.transaction_id, EVERYTHING) == [old]
    assert old in await everything(search, "", EVERYTHING)


@pytest.mark.parametrize("cursor", ["x", "9.", "1.!!", "7.abc", "a.b"])
async def test_a_broken_cursor_is_refused(search: OrderSearch, cursor: str) -> None:
    with pytest.raises(BadRequest):
        await search.find("咖啡", EVERYTHING, limit=5, cursor=cursor)
    with pytest.raises(BadRequest):
        await search.find("", EVERYTHING, limit=5, cursor=cursor)
