"""``GET /api/orders/{no}/why``: our record, WeChat's word of now and its messages in one answer; looking books nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.http.client import MERCHANT, Shop
from tests.support.http_orders import pay
from tests.support.platform import Platform
from tests.support.simulator import SimulatorProcess

KEYS = {"out_trade_no", "sentence", "next", "ours", "wechat", "notifications", "refused", "refunds", "calls"}


async def why(shop: Shop, number: str, lang: str = "zh") -> dict[str, Any]:
    response = await shop.ask("GET", f"/api/orders/{number}/why", headers=MERCHANT | {"Accept-Language": lang})
    assert response.status == 200, response.body
    found: dict[str, Any] = response.json()
    assert set(found) == KEYS
    return found


async def query(shop: Shop, number: str) -> str:
    response = await shop.ask("POST", f"/api/orders/{number}/query", headers=MERCHANT)
    return str(response.json()["trade_state"])


@pytest.mark.parametrize("api", ["v2", "v3"])
async def test_a_payment_without_a_message_is_seen_and_not_booked_until_it_is_asked_for(shop: Shop, api: str) -> None:
    order = await shop.sold(api=api)
    number = order["out_trade_no"]
    assert "用户未支付" in (await why(shop, number))["sentence"]
    await pay(shop, order)
    seen = await why(shop, number)
    assert "支付 ¥18.00，本系统订单状态尚未更新；支付通知没有到达。" in seen["sentence"]
    assert seen["next"] == f"manage.py order query {number}"
    assert (seen["ours"]["trade_state"], seen["wechat"]["trade_state"]) == ("NOTPAY", "SUCCESS")
    assert (seen["wechat"]["outcome"], seen["wechat"]["total"]) == ("told", 1800)
    assert await shop.state(number) == "NOTPAY"
    assert await query(shop, number) == "SUCCESS"
    booked = await why(shop, number)
    assert booked["sentence"].endswith("通过查单确认已支付。")
    assert (booked["next"], booked["ours"]["trade_state"]) == (None, "SUCCESS")


async def test_a_payment_and_its_messages_are_told_in_the_readers_language(shop: Shop, platform: Platform) -> None:
    order = await shop.sold()
    number = order["out_trade_no"]
    await pay(shop, order)
    genuine = platform.v3(order, transaction_id=shop.simulator.order(number)["transaction_id"])
    for _ in range(3):
        assert (await shop.notify(genuine)).status == 200
    seen = await why(shop, number, "en")
    assert seen["sentence"].startswith("The payer paid ¥18.00 at ")
    assert seen["sentence"].endswith("was recorded, and 2 more times.")
    assert [(message["kind"], message["seen"]) for message in seen["notifications"]] == [("payment", 3)]
    assert seen["refunds"] == []


async def test_a_message_of_another_amount_is_told_from_the_payment_itself(shop: Shop, platform: Platform) -> None:
    order = await shop.sold()
    number = order["out_trade_no"]
    await pay(shop, order)
    assert (await shop.notify(platform.v3(order | {"total": 1801}))).status == 409
    seen = await why(shop, number)
    assert "支付通知因金额不一致被拒绝（1 次）" in seen["sentence"]
    assert seen["next"] == f"manage.py order query {number}"


async def test_an_order_that_wechat_refused_never_reached_it(shop: Shop, simulator: SimulatorProcess) -> None:
    fault = {"path": "/v3/pay/transactions/jsapi", "fault": "refuse", "code": "NO_AUTH", "message": "x", "times": 1}
    simulator.control("POST", "faults", fault)
    assert (await shop.sell(shop.sale(out_trade_no="WHY-refused-1"))).status == 502
    seen = await why(shop, "WHY-refused-1")
    assert seen["sentence"].startswith("微信支付没有该订单：下单被拒绝（NO_AUTH）")
    assert seen["wechat"] == {"outcome": "no_such_order"}


@pytest.mark.parametrize(
    ("fault", "outcome", "code"),
    [
        ({"fault": "http_500"}, "unknown", "OUTCOME_UNKNOWN"),
        ({"fault": "refuse", "code": "SIGN_ERROR", "message": "签名错误"}, "refused", "SIGN_ERROR"),
    ],
)
async def test_a_wechat_that_does_not_tell_leaves_what_is_known_here(
    shop: Shop, simulator: SimulatorProcess, fault: dict[str, str], outcome: str, code: str
) -> None:
    number = (await shop.sold())["out_trade_no"]
    simulator.control("POST", "faults", {"path": "/v3/pay/transactions/out-trade-no/*"} | fault)
    seen = await why(shop, number)
    assert seen["sentence"].startswith("本系统没有支付记录；")
    assert (seen["wechat"]["outcome"], seen["wechat"]["error"]["code"]) == (outcome, code)
    assert seen["wechat"]["error"]["wechat"]["call"] == "query"


async def test_a_closed_order_says_who_closed_it(shop: Shop) -> None:
    number = (await shop.sold())["out_trade_no"]
    await shop.ask("POST", f"/api/orders/{number}/close", headers=MERCHANT)
    assert (await why(shop, number))["sentence"].endswith(" 商户关闭了订单。")


async def test_an_unknown_order_is_a_404(shop: Shop) -> None:
    response = await shop.ask("GET", "/api/orders/20260301000000nobody/why", headers=MERCHANT)
    assert (response.status, response.code) == (404, "ORDER_NOT_FOUND")


async def test_many_may_look_at_once(shop: Shop) -> None:
    number = (await shop.sold())["out_trade_no"]
    sentences = {seen["sentence"] for seen in await asyncio.gather(*(why(shop, number) for _ in range(10)))}
    assert len(sentences) == 1
