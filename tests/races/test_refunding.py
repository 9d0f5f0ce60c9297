"""Refunds: many at once, lost on the way, and ending in every way there is."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from tests.http.client import Told
from tests.races.cluster import Cluster, Order, crowd, soon, until
from wechat.domain.orders import MIN_REFUND_INTERVAL

PATHS = {"v2": "/secapi/pay/refund", "v3": "/v3/refund/domestic/refunds"}
BOTH = pytest.mark.parametrize("api", ["v2", "v3"])


@BOTH
async def test_of_a_hundred_refunds_of_60_on_100_over_two_processes_one_is_accepted(town: Cluster, api: str) -> None:
    """J5."""
    (order,) = await town.bought(1, api=api, total=100)
    answers = await crowd([town.refund(order, 60) for _ in range(100)])
    assert Counter(told.status for told in answers) == {202: 1, 409: 99}
    assert {told.code for told in answers if told.status == 409} == {"NOT_REFUNDABLE"}
    await town.advance(minutes=5)
    await refunded(town, order, 60)
    assert [refund["state"] for refund in await town.refunds(order)] == ["SUCCESS"]


async def refunded(town: Cluster, order: Order, amount: int) -> None:
    """Once nothing is under way and so much is put aside here, so much went back at WeChat."""

    async def there() -> bool:
        states = {refund["state"] for refund in await town.refunds(order)}
        (stored,) = await town.stored([order])
        return states <= {"SUCCESS", "CLOSED", "REFUSED"} and stored["refund_reserved"] == amount

    await until(there)
    assert (await town.wechat("GET", f"orders/{order['out_trade_no']}"))["refunded"] == amount


async def test_of_a_hundred_refunds_of_1_fifty_are_queued_a_minute_apart(town: Cluster) -> None:
    """J6."""
    (order,) = await town.bought(1, api="v3", total=100)
    asked = await town.served(PATHS["v3"])
    answers = await crowd([town.refund(order, 1) for _ in range(100)])
    assert Counter(told.status for told in answers) == {202: 50, 409: 50}
    for _ in range(100):  # a leap longer than a lease makes whoever is at work begin anew, which may cost a turn
        sent = await _sent(town, order)
        if sent == 50:
            break
        await town.advance(seconds=MIN_REFUND_INTERVAL.total_seconds() + 1)
        await soon(partial(_more, town, order, sent), 0.5)
    await town.advance(minutes=2)
    await refunded(town, order, 50)
    truth = await town.wechat("GET", f"orders/{order['out_trade_no']}")
    taken = [(await town.wechat("GET", f"refunds/{number}"))["taken_at"] for number in truth["refunds"]]
    times = [datetime.fromisoformat(at) for at in taken]
    assert all(later - earlier >= timedelta(minutes=1) for earlier, later in pairwise(times))
    assert await town.served(PATHS["v3"]) == asked + 50  # none was refused and sent again


async def _sent(town: Cluster, order: Order) -> int:
    """How many refunds of the order WeChat has taken."""
    return len((await town.wechat("GET", f"orders/{order['out_trade_no']}"))["refunds"])


async def _more(town: Cluster, order: Order, count: int) -> bool:
    return await _sent(town, order) > count


async def test_a_refund_that_travels_slowly_does_not_bring_the_next_one_too_near(town: Cluster) -> None:
    """J6, of two refunds whose first is taken at WeChat later than it was sent."""
    (order,) = await town.bought(1, api="v3", total=100)
    asked = await town.served(PATHS["v3"])
    await town.fault(PATHS["v3"], "delay", ms=800, times=1)
    await crowd([town.refund(order, 1) for _ in range(2)])
    await town.advance(seconds=59.4)
    await asyncio.sleep(0.4)
    await town.advance(seconds=12)
    await until(partial(_more, town, order, 1))
    await asyncio.sleep(0.2)  # a request is counted once it is answered
    assert await town.served(PATHS["v3"]) == asked + 2


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


async def test_whatever_happens_to_the_answer_the_number_stays_and_the_money_goes_back_once(town: Cluster) -> None:
    """J7. The timeouts last ten real seconds, side by side."""
    orders = [order for api in PATHS for order in await town.bought(len(LOST), api=api, total=100)]
    answers = await asyncio.gather(*(lose_each(town, orders, api) for api in PATHS))
    numbers = [told.json()["out_refund_no"] for each in answers for told in each]
    assert {(told.status, told.json()["state"]) for each in answers for told in each} == {(202, "REQUESTED")}
    again = await crowd([town.refund(order, 60, **key(order)) for order in orders])
    assert [told.json()["out_refund_no"] for told in again] == numbers
    others = await crowd([town.refund(order, 60, **key(order, "another")) for order in orders])
    assert {(told.status, told.code) for told in others} == {(409, "NOT_REFUNDABLE")}
    assert {order["refund_reserved"] for order in await town.stored(orders)} == {60}
    await town.advance(seconds=MIN_REFUND_INTERVAL.total_seconds() + 1)
    await crowd([until(partial(_taken, town, number)) for number in numbers])
    await town.advance(minutes=5)
    await crowd([refunded(town, order, 60) for order in orders])
    assert [order["refunds"] for order in await town.truth(orders)] == [[number] for number in numbers]


async def lose_each(town: Cluster, orders: list[Order], api: str) -> list[Told]:
    """What was answered to a refund of each order of ``api``, to each of which something else happened."""
    clicks = []
    for order, (fault, more) in zip([order for order in orders if order["api"] == api], LOST, strict=True):
        await town.fault(PATHS[api], fault, times=1, **more)
        clicks.append(asyncio.create_task(town.refund(order, 60, **key(order))))
        await until(partial(_struck, town, PATHS[api]))
    return await asyncio.gather(*clicks)


def key(order: Order, click: str = "first") -> dict[str, str]:
    return {"Idempotency-Key": f"{click}-{order['out_trade_no']}"}


async def _struck(town: Cluster, path: str) -> bool:
    return path not in [rule["path"] for rule in (await town.wechat("GET", "faults"))["faults"]]


async def _taken(town: Cluster, out_refund_no: str) -> bool:
    return not await _is(town, out_refund_no, "REQUESTED")


async def test_money_stays_put_aside_as_long_as_nobody_can_be_asked(town: Cluster) -> None:
    """J7, when the queries fail too, for a day."""
    (order,) = await town.bought(1, api="v3", total=100)
    await town.fault("/v3/refund/domestic/refunds*", "http_500")
    (number,) = [(await town.refund(order, 60)).json()["out_refund_no"]]
    for _ in range(8):
        await town.advance(hours=3)
        await asyncio.sleep(0.1)
    assert (await town.stored([order]))[0]["refund_reserved"] == 60
    assert (await town.refund(order, 41)).code == "NOT_REFUNDABLE"
    await town.heal()
    await town.advance(hours=7)
    await until(lambda: _taken(town, number))
    await town.advance(hours=7)
    await refunded(town, order, 60)


AMOUNTS = [0, -1, 1.5, 1.0, True, None, "1", "１", [1], {"$gt": 0}, 101, 2**63, 10**30]
MORE_THAN_IS_LEFT = 101


@pytest.mark.parametrize("amount", AMOUNTS)
async def test_what_is_no_amount_of_this_order_is_refused_and_wechat_is_not_asked(town: Cluster, amount: Any) -> None:
    """J8."""
    (order,) = await town.bought(1, api="v3", total=100)
    before = await town.served(PATHS["v3"])
    told = await town.refund(order, amount)
    assert (told.status, told.json()["field"]) == (409 if amount == MORE_THAN_IS_LEFT else 400, "refund")
    assert await town.refunds(order) == []
    assert await town.served(PATHS["v3"]) == before


async def test_what_is_not_paid_or_not_there_or_asked_by_a_payer_is_not_refunded(town: Cluster) -> None:
    """J8."""
    unpaid, closed = await town.sold(2, api="v3")
    await town.close(closed)
    before = await town.served(PATHS["v3"])
    answers = [await town.refund(order, 1) for order in (unpaid, closed, {"out_trade_no": "nobody-has-it"})]
    assert [(told.status, told.code) for told in answers] == [
        (409, "ORDER_NOT_PAID"),
        (409, "ORDER_NOT_PAID"),
        (404, "ORDER_NOT_FOUND"),
    ]
    (paid,) = await town.bought(1, api="v3")
    await town.shop.log_in()
    payers = [f"/orders/{paid['out_trade_no']}/refunds", f"/api/orders/{paid['out_trade_no']}/refunds"]
    tries = [await town.shops[0].post(target, {"refund": 1, "reason": "缺货"}) for target in payers]
    assert [told.status for told in tries] == [404, 401]
    assert await town.served(PATHS["v3"]) == before


async def test_what_was_paid_late_goes_back_once_however_many_operators_see_to_it(town: Cluster) -> None:
    """J8, under the policy ask: money that no goods are given for is the operator's to return."""
    (order,) = await town.sold(1, api="v3", total=100)
    await town.close(order)
    await town.pay_anyway(order)
    await town.until_all([order], "PAID_LATE")
    answers = await crowd([town.refund(order, 100) for _ in range(20)])
    assert Counter(told.status for told in answers) == {202: 1, 409: 19}
    await town.advance(minutes=5)
    await refunded(town, order, 100)


async def test_after_a_year_nothing_is_refunded_and_wechat_is_not_asked(town: Cluster) -> None:
    """J8."""
    (order,) = await town.bought(1, api="v3", total=100)
    await town.advance(days=365)
    before = await town.served(PATHS["v3"])
    told = await town.refund(order, 1)
    assert (told.status, told.code) == (409, "TRADE_OVERDUE")
    assert (await town.refunds(order), await town.served(PATHS["v3"])) == ([], before)


@BOTH
async def test_a_refund_that_the_payers_bank_does_not_take_is_alarmed_once_and_stays_put_aside(
    town: Cluster, api: str
) -> None:
    """J9, ABNORMAL, and what comes of it when the money is sent elsewhere."""
    order, number = await one_that_ends(town, "abnormal", api)
    before = await town.alarms("refund_abnormal")
    await town.advance(minutes=5)
    await until(lambda: _alarmed(town, "refund_abnormal", before + 1))
    assert await _is(town, number, "ABNORMAL")
    await town.advance(hours=12)
    await asyncio.sleep(0.3)
    assert (await town.stored([order]))[0]["refund_reserved"] == 60
    assert await town.alarms("refund_abnormal") == before + 1
    await town.wechat("POST", f"console/refunds/{number}/resend")
    await town.advance(hours=7)
    await refunded(town, order, 60)


@BOTH
async def test_a_refund_that_wechat_closes_is_alarmed_once_and_can_be_made_again(town: Cluster, api: str) -> None:
    """J9, CLOSED."""
    order, _ = await one_that_ends(town, "closed", api)
    before = await town.alarms("refund_closed")
    await town.advance(minutes=5)
    await until(lambda: _alarmed(town, "refund_closed", before + 1))
    await refunded(town, order, 0)
    assert (await town.refund(order, 100)).status == 202
    await town.advance(minutes=5)
    await refunded(town, order, 100)


async def test_a_refund_that_is_under_way_for_days_is_alarmed_once_and_stays_put_aside(town: Cluster) -> None:
    """J9, PROCESSING for seven days and then closed."""
    order, number = await one_that_ends(town, "stuck", "v3")
    before = await town.alarms("refund_slow")
    for day in range(1, 7):
        await town.advance(days=1)
        await asyncio.sleep(0.1)
        await until(partial(_alarmed, town, "refund_slow", before + (day >= 5)))
    assert await _is(town, number, "PROCESSING")
    assert (await town.stored([order]))[0]["refund_reserved"] == 60
    await town.advance(days=2)
    await refunded(town, order, 0)


async def one_that_ends(town: Cluster, scenario: str, api: str) -> tuple[Order, str]:
    """An order with a refund of 60 that will live through ``scenario``, and its number."""
    (order,) = await town.bought(1, api=api, total=100)
    await town.wechat("POST", "refunds/scenarios", {"scenario": scenario, "out_trade_no": order["out_trade_no"]})
    told = await town.refund(order, 60)
    assert (told.status, told.json()["state"]) == (202, "PROCESSING")
    return order, told.json()["out_refund_no"]


async def _is(town: Cluster, out_refund_no: str, state: str) -> bool:
    return bool((await town.ask("GET", f"/api/refunds/{out_refund_no}")).json()["state"] == state)


async def _alarmed(town: Cluster, kind: str, times: int) -> bool:
    return await town.alarms(kind) == times
