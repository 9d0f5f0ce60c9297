"""Notifications that never come, queries that fail, and what a page says."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from functools import partial

from storage.embedded.servers import EmbeddedMongo
from tests.races.cluster import SCALE, Cluster, Order, crowd, until
from tests.support.stored import order_documents

QUERIES = ("/pay/orderquery", "/v3/pay/transactions/out-trade-no/*")
LOOKS_S = (31, 60, 120, 300, 600, 690)  # from one look at an order to the next, up to its end after half an hour
MOST_QUERIES = 12


async def queried(cluster: Cluster) -> int:
    return sum([await cluster.served(path) for path in QUERIES])


async def pay_unheard(cluster: Cluster, orders: list[Order]) -> None:
    assert {await cluster.pay(order, "lost_notification") for order in orders} == {"get_brand_wcpay_request:ok"}


async def test_with_every_notification_lost_every_order_is_found_paid_within_ninety_seconds(cluster: Cluster) -> None:
    """K1, a hundred orders at a time."""
    await cluster.new_day()
    for _ in range(SCALE):
        orders, before = await cluster.sold(100), await queried(cluster)
        await pay_unheard(cluster, orders)
        await cluster.advance(seconds=LOOKS_S[0])
        for order in await cluster.until_all(orders, "SUCCESS"):
            (line,) = [line for line in order["timeline"] if line["what"] == "paid"]
            age = datetime.fromisoformat(line["at"]) - datetime.fromisoformat(order["created_at"])
            assert (line["source"], age < timedelta(seconds=90)) == ("query", True)
        await asyncio.sleep(0.2)  # a query is counted once it is answered
        assert await queried(cluster) - before == len(orders)


async def test_whenever_it_is_paid_the_next_look_finds_it_and_looks_are_few(
    cluster: Cluster, mongo: EmbeddedMongo
) -> None:
    """K1, of orders paid at every step of the ladder, and of some that nobody pays."""
    await cluster.new_day()
    orders = await cluster.sold(4 * (len(LOOKS_S) + 1) * SCALE)
    groups = [orders[number :: len(LOOKS_S) + 1] for number in range(len(LOOKS_S) + 1)]
    before = await queried(cluster)
    for round_number, pause_s in enumerate(LOOKS_S):
        await pay_unheard(cluster, groups[round_number])
        await cluster.advance(seconds=pause_s)
        await until(partial(looked, mongo.url, orders, round_number + 1))
        assert set(await cluster.states(groups[round_number])) == {"SUCCESS"}
    assert set(await cluster.states(groups[-1])) == {"CLOSED"}
    looks = [stored["checks"] + 1 for stored in order_documents(mongo.url, "cluster", [number(o) for o in orders])]
    assert max(looks) <= len(LOOKS_S) <= MOST_QUERIES
    assert await queried(cluster) - before <= sum(looks)


async def looked(url: str, orders: list[Order], times: int) -> bool:
    """Whether each that is still unpaid has been looked at so often."""
    stored = order_documents(url, "cluster", [number(order) for order in orders])
    return all(order["checks"] >= times for order in stored if order["trade_state"] == "NOTPAY")


def number(order: Order) -> str:
    return str(order["out_trade_no"])


async def test_where_queries_fail_too_the_bill_of_the_next_day_finds_all_and_repairs_book_them(
    cluster: Cluster,
) -> None:
    """K2."""
    day = await cluster.new_day()
    for path in QUERIES:
        await cluster.fault(path, "http_500")
    orders = await cluster.sold(30 * SCALE)
    await pay_unheard(cluster, orders)
    for pause_s in LOOKS_S:
        await cluster.advance(seconds=pause_s)
        await asyncio.sleep(0.2)
    assert set(await cluster.states(orders)) == {"NOTPAY"}
    await cluster.move_to(day + timedelta(days=1), 10, 6)
    result = await cluster.reconciled(day)
    assert result["found"] == {"missing_here": len(orders)}
    await cluster.heal()
    repaired = await crowd([cluster.repair(day, difference, "query") for difference in result["differences"]])
    assert Counter(difference["status"] for difference in repaired) == {"repaired": len(orders)}
    assert set(await cluster.states(orders)) == {"SUCCESS"}
    again = (await cluster.reconcile(day)).json()
    truth = await cluster.wechat("GET", f"books/{day}")
    assert again["found"] == {}
    assert again["ours"]["received"] == again["wechat"]["received"] == truth["received"] == 1800 * len(orders)


async def test_what_a_page_says_pays_nothing_and_a_payer_who_cancels_may_pay_the_same_order(cluster: Cluster) -> None:
    """K6."""
    shop = cluster.shops[0]
    await shop.log_in()
    placed = (await shop.post("/orders", {"sku": "tea", "quantity": 3})).json()
    target = f"/orders/{placed['out_trade_no']}"
    assert (await shop.post(f"{target}/query")).json()["trade_state"] == "NOTPAY"  # the page's "ok" only asks
    assert await cluster.pay(placed, "cancel") == "get_brand_wcpay_request:cancel"
    assert (await shop.post(f"{target}/query")).json()["trade_state"] == "NOTPAY"
    again = (await shop.post(f"{target}/pay")).json()
    assert (again["out_trade_no"], again["pay"]["package"]) == (placed["out_trade_no"], placed["pay"]["package"])
    assert await cluster.pay(again, "lost_notification") == "get_brand_wcpay_request:ok"
    assert (await shop.get(target)).json()["trade_state"] == "NOTPAY"
    assert (await shop.post(f"{target}/query")).json()["trade_state"] == "SUCCESS"
