"""Refunds: many at once, lost on the way, and ending in every way there is."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from tests.http.client import Response
from tests.races.cluster import Cluster, Order, crowd, soon, until
from wechat.domain.orders import MIN_REFUND_INTERVAL

PATHS = {"v2": "/secapi/pay/refund", "v3": "/v3/refund/domestic/refunds"}
BOTH = pytest.mark.parametrize("api", ["v2", "v3"])


@BOTH
async def test_of_a_hundred_refunds_of_60_on_100_over_two_processes_one_is_accepted(cluster: Cluster, api: str) -> None:
    """J5."""
    (order,) = await cluster.bought(1, api=api, total=100)
    answers = await crowd([cluster.refund(order, 60) for _ in range(100)])
    assert Counter(response.status for response in answers) == {202: 1, 409: 99}
    assert {response.code for response in answers if response.status == 409} == {"NOT_REFUNDABLE"}
    await cluster.advance(minutes=5)
    await refunded(cluster, order, 60)
    assert [refund["state"] for refund in await cluster.refunds(order)] == ["SUCCESS"]


async def refunded(cluster: Cluster, order: Order, amount: int) -> None:
    """Wait until no refund is in progress and ``amount`` is reserved; fail unless WeChat has refunded the same."""

    async def there() -> bool:
        states = {refund["state"] for refund in await cluster.refunds(order)}
        (stored,) = await cluster.stored([order])
        return states <= {"SUCCESS", "CLOSED", "REFUSED"} and stored["refund_reserved"] == amount

    await until(there)
    assert (await cluster.wechat("GET", f"orders/{order['out_trade_no']}"))["refunded"] == amount


async def test_of_a_hundred_refunds_of_1_fifty_are_queued_a_minute_apart(cluster: Cluster) -> None:
    """J6."""
    (order,) = await cluster.bought(1, api="v3", total=100)
    asked = await cluster.served(PATHS["v3"])
    answers = await crowd([cluster.refund(order, 1) for _ in range(100)])
    assert Counter(response.status for response in answers) == {202: 50, 409: 50}
    for _ in range(100):  # a leap beyond a lease makes a process at work start again, which may cost a turn
        sent = await _sent(cluster, order)
        if sent == 50:
            break
        await cluster.advance(seconds=MIN_REFUND_INTERVAL.total_seconds() + 1)
        await soon(partial(_more, cluster, order, sent), 0.5)
    await cluster.advance(minutes=2)
    await refunded(cluster, order, 50)
    truth = await cluster.wechat("GET", f"orders/{order['out_trade_no']}")
    taken = [(await cluster.wechat("GET", f"refunds/{number}"))["taken_at"] for number in truth["refunds"]]
    times = [datetime.fromisoformat(at) for at in taken]
    assert all(later - earlier >= timedelta(minutes=1) for earlier, later in pairwise(times))
    assert await cluster.served(PATHS["v3"]) == asked + 50  # none was refused and sent again


async def _sent(cluster: Cluster, order: Order) -> int:
    """The number of refunds of the order that WeChat has accepted."""
    return len((await cluster.wechat("GET", f"orders/{order['out_trade_no']}"))["refunds"])


async def _more(cluster: Cluster, order: Order, count: int) -> bool:
    return await _sent(cluster, order) > count


async def test_a_refund_that_travels_slowly_does_not_bring_the_next_one_too_near(cluster: Cluster) -> None:
    """J6, of two refunds whose first is taken at WeChat later than it was sent."""
    (order,) = await cluster.bought(1, api="v3", total=100)
    asked = await cluster.served(PATHS["v3"])
    await cluster.fault(PATHS["v3"], "delay", ms=800, times=1)
    await crowd([cluster.refund(order, 1) for _ in range(2)])
    await cluster.advance(seconds=59.4)
    await asyncio.sleep(0.4)
    await cluster.advance(seconds=12)
    await until(partial(_more, cluster, order, 1))
    await asyncio.sleep(0.2)  # a request is counted once it is answered
    assert await cluster.served(PATHS["v3"]) == asked + 2


LOST = [
    ("timeout_before", {}),
    ("timeout_after", {}),
    ("http_500", {}),
    ("http_500", {"after": True}),
    ("system_error", {}),
    ("system_error", {"after": True}),
    ("unsigned", {}),
    ("wrong_signature", {}),
    ("probe", {}),
]


async def test_whatever_happens_to_the_answer_the_number_stays_and_the_money_goes_back_once(cluster: Cluster) -> None:
    """J7. The timeouts last ten real seconds, side by side."""
    orders = [order for api in PATHS for order in await cluster.bought(len(LOST), api=api, total=100)]
    answers = await asyncio.gather(*(lose_each(cluster, orders, api) for api in PATHS))
    numbers = [response.json()["out_refund_no"] for each in answers for response in each]
    assert {(response.status, response.json()["state"]) for each in answers for response in each} == {
        (202, "REQUESTED")
    }
    again = await crowd([cluster.refund(order, 60, **key(order)) for order in orders])
    assert [response.json()["out_refund_no"] for response in again] == numbers
    others = await crowd([cluster.refund(order, 60, **key(order, "another")) for order in orders])
    assert {(response.status, response.code) for response in others} == {(409, "NOT_REFUNDABLE")}
    assert {order["refund_reserved"] for order in await cluster.stored(orders)} == {60}
    await cluster.advance(seconds=MIN_REFUND_INTERVAL.total_seconds() + 1)
    await crowd([until(partial(_taken, cluster, number)) for number in numbers])
    await cluster.advance(minutes=5)
    await crowd([refunded(cluster, order, 60) for order in orders])
    assert [order["refunds"] for order in await cluster.truth(orders)] == [[number] for number in numbers]


async def lose_each(cluster: Cluster, orders: list[Order], api: str) -> list[Response]:
    """Refund 60 fen of each order of ``api``, each under another fault of LOST; return the service's responses."""
    clicks = []
    for order, (fault, more) in zip([order for order in orders if order["api"] == api], LOST, strict=True):
        await cluster.fault(PATHS[api], fault, times=1, **more)
        clicks.append(asyncio.create_task(cluster.refund(order, 60, **key(order))))
        await until(partial(_struck, cluster, PATHS[api]))
    return await asyncio.gather(*clicks)


def key(order: Order, click: str = "first") -> dict[str, str]:
    return {"Idempotency-Key": f"{click}-{order['out_trade_no']}"}


async def _struck(cluster: Cluster, path: str) -> bool:
    return path not in [rule["path"] for rule in (await cluster.wechat("GET", "faults"))["faults"]]


async def _taken(cluster: Cluster, out_refund_no: str) -> bool:
    return not await _is(cluster, out_refund_no, "REQUESTED")


async def test_money_stays_put_aside_as_long_as_nobody_can_be_asked(cluster: Cluster) -> None:
    """J7, when the queries fail too, for a day."""
    (order,) = await cluster.bought(1, api="v3", total=100)
    await cluster.fault("/v3/refund/domestic/refunds*", "http_500")
    (number,) = [(await cluster.refund(order, 60)).json()["out_refund_no"]]
    for _ in range(8):
        await cluster.advance(hours=3)
        await asyncio.sleep(0.1)
    assert (await cluster.stored([order]))[0]["refund_reserved"] == 60
    assert (await cluster.refund(order, 41)).code == "NOT_REFUNDABLE"
    await cluster.heal()
    await cluster.advance(hours=7)
    await until(lambda: _taken(cluster, number))
    await cluster.advance(hours=7)
    await refunded(cluster, order, 60)


AMOUNTS = [0, -1, 1.5, 1.0, True, None, "1", "１", [1], {"$gt": 0}, 101, 2**63, 10**30]
MORE_THAN_IS_LEFT = 101


@pytest.mark.parametrize("amount", AMOUNTS)
async def test_what_is_no_amount_of_this_order_is_refused_and_wechat_is_not_asked(
    cluster: Cluster, amount: Any
) -> None:
    """J8."""
    (order,) = await cluster.bought(1, api="v3", total=100)
    before = await cluster.served(PATHS["v3"])
    response = await cluster.refund(order, amount)
    assert (response.status, response.json()["field"]) == (409 if amount == MORE_THAN_IS_LEFT else 400, "refund")
    assert await cluster.refunds(order) == []
    assert await cluster.served(PATHS["v3"]) == before


async def test_what_is_not_paid_or_not_there_or_asked_by_a_payer_is_not_refunded(cluster: Cluster) -> None:
    """J8."""
    unpaid, closed = await cluster.sold(2, api="v3")
    await cluster.close(closed)
    before = await cluster.served(PATHS["v3"])
    answers = [await cluster.refund(order, 1) for order in (unpaid, closed, {"out_trade_no": "nobody-has-it"})]
    assert [(response.status, response.code) for response in answers] == [
        (409, "ORDER_NOT_PAID"),
        (409, "ORDER_NOT_PAID"),
        (404, "ORDER_NOT_FOUND"),
    ]
    (paid,) = await cluster.bought(1, api="v3")
    await cluster.shop.log_in()
    payers = [f"/orders/{paid['out_trade_no']}/refunds", f"/api/orders/{paid['out_trade_no']}/refunds"]
    tries = [await cluster.shops[0].post(target, {"refund": 1, "reason": "缺货"}) for target in payers]
    assert [response.status for response in tries] == [404, 401]
    assert await cluster.served(PATHS["v3"]) == before


async def test_what_was_paid_late_goes_back_once_however_many_operators_see_to_it(cluster: Cluster) -> None:
    """J8, under the policy ask: money that no goods are given for is the operator's to return."""
    (order,) = await cluster.sold(1, api="v3", total=100)
    await cluster.close(order)
    await cluster.pay_anyway(order)
    await cluster.until_all([order], "PAID_LATE")
    answers = await crowd([cluster.refund(order, 100) for _ in range(20)])
    assert Counter(response.status for response in answers) == {202: 1, 409: 19}
    await cluster.advance(minutes=5)
    await refunded(cluster, order, 100)


async def test_after_a_year_nothing_is_refunded_and_wechat_is_not_asked(cluster: Cluster) -> None:
    """J8."""
    (order,) = await cluster.bought(1, api="v3", total=100)
    await cluster.advance(days=365)
    before = await cluster.served(PATHS["v3"])
    response = await cluster.refund(order, 1)
    assert (response.status, response.code) == (409, "TRADE_OVERDUE")
    assert (await cluster.refunds(order), await cluster.served(PATHS["v3"])) == ([], before)


@BOTH
async def test_a_refund_that_the_payers_bank_does_not_take_is_alarmed_once_and_stays_put_aside(
    cluster: Cluster, api: str
) -> None:
    """J9, ABNORMAL, and what comes of it when the money is sent elsewhere."""
    order, number = await one_that_ends(cluster, "abnormal", api)
    before = await cluster.alarms("refund_abnormal")
    await cluster.advance(minutes=5)
    await until(lambda: _alarmed(cluster, "refund_abnormal", before + 1))
    assert await _is(cluster, number, "ABNORMAL")
    await cluster.until_handed_out()
    await cluster.advance(hours=12)
    await asyncio.sleep(0.3)
    assert (await cluster.stored([order]))[0]["refund_reserved"] == 60
    assert await cluster.alarms("refund_abnormal") == before + 1
    await cluster.wechat("POST", f"console/refunds/{number}/resend")
    await cluster.advance(hours=7)
    await refunded(cluster, order, 60)


@BOTH
async def test_a_refund_that_wechat_closes_is_alarmed_once_and_can_be_made_again(cluster: Cluster, api: str) -> None:
    """J9, CLOSED."""
    order, _ = await one_that_ends(cluster, "closed", api)
    before = await cluster.alarms("refund_closed")
    await cluster.advance(minutes=5)
    await until(lambda: _alarmed(cluster, "refund_closed", before + 1))
    await refunded(cluster, order, 0)
    assert (await cluster.refund(order, 100)).status == 202
    await cluster.advance(minutes=5)
    await refunded(cluster, order, 100)


async def test_a_refund_that_is_under_way_for_days_is_alarmed_once_and_stays_put_aside(cluster: Cluster) -> None:
    """J9, PROCESSING for seven days and then closed."""
    order, number = await one_that_ends(cluster, "stuck", "v3")
    before = await cluster.alarms("refund_slow")
    for day in range(1, 7):
        await cluster.advance(days=1)
        await asyncio.sleep(0.1)
        await until(partial(_alarmed, cluster, "refund_slow", before + (day >= 5)))
    assert await _is(cluster, number, "PROCESSING")
    assert (await cluster.stored([order]))[0]["refund_reserved"] == 60
    await cluster.advance(days=2)
    await refunded(cluster, order, 0)


async def one_that_ends(cluster: Cluster, scenario: str, api: str) -> tuple[Order, str]:
    """An order with a refund of 60 fen that follows ``scenario``, and the refund's number."""
    (order,) = await cluster.bought(1, api=api, total=100)
    await cluster.wechat("POST", "refunds/scenarios", {"scenario": scenario, "out_trade_no": order["out_trade_no"]})
    response = await cluster.refund(order, 60)
    assert (response.status, response.json()["state"]) == (202, "PROCESSING")
    return order, response.json()["out_refund_no"]


async def _is(cluster: Cluster, out_refund_no: str, state: str) -> bool:
    return bool((await cluster.ask("GET", f"/api/refunds/{out_refund_no}")).json()["state"] == state)


async def _alarmed(cluster: Cluster, kind: str, times: int) -> bool:
    return await cluster.alarms(kind) == times
