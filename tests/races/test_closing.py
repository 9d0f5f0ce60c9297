"""Closing and paying at once, and money that comes when nobody expects it any more."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis
from tests.races.cluster import SCALE, Cluster, Order, crowd, until
from tests.races.conftest import run_cluster
from tests.support.simulator import SimulatorProcess

HEAD_START_S = 1.0 * SCALE  # the longest: whoever has more to do is slower in a larger crowd, and on a busy machine


@pytest.fixture(scope="module")
async def auto_refund_cluster(
    directory: Path, simulator: SimulatorProcess, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> AsyncIterator[Cluster]:
    """A cluster where late money goes back by itself."""
    async with run_cluster(directory, simulator, mongo.url, redis.url, "auto_refund_cluster", "refund") as cluster:
        yield cluster


async def all_raced(*races: Sequence[Awaitable[object]]) -> None:
    """Run all ``races``: the runners of the first start together, those of each next one ever farther apart."""

    async def run(runner: Awaitable[object], apart_s: float) -> object:
        await asyncio.sleep(random.uniform(0, apart_s))
        return await runner

    async def race(number: int, runners: Sequence[Awaitable[object]]) -> None:
        apart_s = HEAD_START_S * number / len(races)
        await asyncio.gather(*[run(runner, apart_s) for runner in runners])

    await crowd([race(number, runners) for number, runners in enumerate(races)])


async def test_of_a_close_and_a_payment_at_once_one_wins_and_both_sides_know_which(cluster: Cluster) -> None:
    """J1."""
    orders = await cluster.sold(100 * SCALE)
    await cluster.advance(minutes=6)  # v2 closes nothing younger
    await all_raced(
        *[(cluster.close(order), cluster.pay(order), cluster.ask("POST", query(order))) for order in orders]
    )
    truth = await cluster.truth(orders)
    stored = await cluster.until_all(orders, "SUCCESS", "CLOSED")
    ends = Counter((there["trade_state"], here["trade_state"]) for there, here in zip(truth, stored, strict=True))
    assert ends.keys() == {("SUCCESS", "SUCCESS"), ("CLOSED", "CLOSED")}
    for state, event in (("SUCCESS", "order.paid"), ("CLOSED", "order.closed")):
        await cluster.until_told([order for order in stored if order["trade_state"] == state], event)


def query(order: Order) -> str:
    return f"/api/orders/{order['out_trade_no']}/query"


async def test_of_a_close_and_a_payment_that_ignores_it_the_money_is_always_known(cluster: Cluster) -> None:
    """J1, with a payer whom WeChat lets pay even what it has closed."""
    orders = await cluster.sold(40 * SCALE, api="v3")
    await all_raced(*[(cluster.close(order), cluster.pay_anyway(order)) for order in orders])
    await cluster.truth(orders)
    stored = await cluster.until_all(orders, "SUCCESS", "PAID_LATE")
    assert {order["trade_state"] for order in stored} == {"SUCCESS", "PAID_LATE"}


async def closed_and_paid(cluster: Cluster, count: int) -> list[Order]:
    orders = await cluster.sold(count, api="v3")
    assert {response.json()["trade_state"] for response in await crowd([cluster.close(order) for order in orders])} == {
        "CLOSED"
    }
    await crowd([cluster.pay_anyway(order) for order in orders])
    truth = await cluster.truth(orders)
    assert [[attempt["status"] for attempt in order["attempts"]] for order in truth] == [[200]] * count
    return orders


async def test_money_for_a_closed_order_waits_for_an_operator_and_no_goods_go_out(cluster: Cluster) -> None:
    """J2, policy ask."""
    before = await cluster.alarms("paid_late")
    orders = await closed_and_paid(cluster, 20 * SCALE)
    await cluster.until_told(orders, "order.closed", "order.paid_late")

    async def decided() -> bool:
        lines = [[line["what"] for line in order["timeline"][-2:]] for order in await cluster.stored(orders)]
        return all(last == ["paid_late", "needs_operator"] for last in lines)

    await until(decided)
    assert set(await cluster.states(orders)) == {"PAID_LATE"}
    assert [order["refunds"] for order in await cluster.truth(orders)] == [[]] * len(orders)
    assert await cluster.alarms("paid_late") == before + len(orders)


async def test_money_for_a_closed_order_goes_back_once_and_no_goods_go_out(auto_refund_cluster: Cluster) -> None:
    """J2, policy refund."""
    orders = await closed_and_paid(auto_refund_cluster, 20 * SCALE)
    await auto_refund_cluster.until_all(orders, "REFUND")
    await auto_refund_cluster.advance(seconds=5)  # the bank's time
    await auto_refund_cluster.until_told(orders, "order.closed", "order.paid_late", "refund.succeeded")
    for order in await auto_refund_cluster.truth(orders):
        assert (order["refunded"], order["refunds"]) == (order["total"], [f"late-{order['out_trade_no']}"])


async def test_another_payers_money_and_a_second_payment_go_back_once(auto_refund_cluster: Cluster) -> None:
    """J2, of an order that somebody else pays, and of one that is paid twice."""
    foreign, twice = await auto_refund_cluster.sold(1, api="v3"), await auto_refund_cluster.bought(1, api="v3")
    await auto_refund_cluster.pay_anyway(foreign[0], user="yi")
    surplus = await auto_refund_cluster.pay_anyway(twice[0])
    await auto_refund_cluster.until_all(foreign, "REFUND")
    await auto_refund_cluster.advance(seconds=5)
    await auto_refund_cluster.until_told(foreign, "order.paid_late", "refund.succeeded")
    await auto_refund_cluster.until_told(twice, "order.paid", "refund.succeeded")
    (order,) = await auto_refund_cluster.truth(foreign)
    assert (order["refunded"], order["refunds"]) == (1800, [f"late-{order['out_trade_no']}"])
    assert (
        await auto_refund_cluster.states(twice),
        (await auto_refund_cluster.refunds(twice[0]))[0]["transaction_id"],
    ) == (
        ["SUCCESS"],
        surplus,
    )


async def test_a_close_that_comes_too_late_finds_the_payment(cluster: Cluster) -> None:
    """J3."""
    orders = await cluster.sold(10)
    await cluster.advance(minutes=6)
    await cluster.fault("/v3/pay/*/close", "old_spelling")
    assert {await cluster.pay(order, "lost_notification") for order in orders} == {"get_brand_wcpay_request:ok"}
    answers = await crowd([cluster.close(order) for order in orders])
    assert {(response.status, response.code) for response in answers} == {(409, "ORDER_PAID")}
    assert set(await cluster.states(orders)) == {"SUCCESS"}


async def test_a_young_v2_order_is_closed_as_soon_as_wechat_takes_it_and_not_tried_before(cluster: Cluster) -> None:
    """J4."""
    await asyncio.sleep(
        (1.6 - (await cluster.now()).microsecond / 1e6) % 1
    )  # late in a second, of which we keep no parts
    orders, before = await cluster.sold(5, api="v2"), await cluster.served("/pay/closeorder")
    answers = await crowd([cluster.close(order) for order in orders])
    assert {(response.status, response.json()["trade_state"]) for response in answers} == {(200, "NOTPAY")}
    age = await cluster.now() - datetime.fromisoformat(orders[-1]["created_at"])
    await cluster.advance(seconds=300.1 - age.total_seconds())
    await asyncio.sleep(0.3)
    assert (set(await cluster.states(orders)), await cluster.served("/pay/closeorder")) == ({"NOTPAY"}, before)
    await cluster.advance(seconds=11)
    await cluster.until_all(orders, "CLOSED")
    assert await cluster.served("/pay/closeorder") == before + len(orders)
