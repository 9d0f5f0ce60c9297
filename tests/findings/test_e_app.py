"""Orders that are paid in the merchant's own app, through the service and over both APIs."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest

from tests.http.client import MERCHANT, Shop
from tests.support.clock import ManualClock
from tests.support.ordering import Service
from wechat.domain.errors import BadRequest
from wechat.domain.orders import TradeType
from wechat.orders.requests import CreateOrderRequest

PAY = ["appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign"]
BOTH = pytest.mark.parametrize("api", ["v2", "v3"])


async def act(shop: Shop, path: str, body: Any = None) -> dict[str, Any]:
    """POST ``body`` to ``path`` as the merchant's system; return the JSON response. Fail unless it is 200, 201 or 202."""
    told = await shop.ask("POST", path, json.dumps(body or {}), MERCHANT)
    assert told.status in (200, 201, 202), told.body
    document: dict[str, Any] = told.json()
    return document


async def placed(shop: Shop, api: str, **more: Any) -> dict[str, Any]:
    return await shop.sold(trade_type="APP", openid=None, api=api, **more)


@BOTH
async def test_e4_an_app_pays_with_what_the_service_signed(shop: Shop, api: str) -> None:
    order = await placed(shop, api)
    known = shop.simulator.credentials
    assert list(order["pay"]) == PAY
    assert (order["pay"]["appid"], order["pay"]["package"]) == (known["app_appid"], "Sign=WXPay")
    assert known["app_appid"] != known["appid"]
    assert shop.simulator.control("POST", "app", order["pay"]) == {"err_msg": "app:ok"}
    for _ in range(100):
        if (stored := await shop.stored(order["out_trade_no"]))["trade_state"] == "SUCCESS":
            break
        await asyncio.sleep(0.05)
    assert (stored["trade_type"], stored["timeline"][-1]["source"]) == ("APP", "notify")


@BOTH
async def test_e4_its_query_refund_and_close_go_under_the_apps_appid(shop: Shop, api: str) -> None:
    order = await placed(shop, api)
    number = order["out_trade_no"]
    told = shop.simulator.control("POST", "app", order["pay"] | {"scenario": "lost_notification"})
    assert told == {"err_msg": "app:ok"}
    assert (await act(shop, f"/api/orders/{number}/query"))["trade_state"] == "SUCCESS"
    refund = {"refund": 100, "reason": "少一杯", "out_refund_no": f"R{number}"}
    assert (await act(shop, f"/api/orders/{number}/refunds", refund))["state"] in ("PROCESSING", "SUCCESS")
    assert (await act(shop, f"/api/refunds/R{number}/query"))["sends"] == 1
    unpaid = (await placed(shop, "v3"))["out_trade_no"]
    assert (await act(shop, f"/api/orders/{unpaid}/close"))["trade_state"] == "CLOSED"


@BOTH
async def test_e4_the_same_request_again_is_the_same_order_signed_anew(shop: Shop, api: str) -> None:
    first = await placed(shop, api, out_trade_no=f"app{secrets.token_hex(8)}")
    again = await placed(shop, api, out_trade_no=first["out_trade_no"])
    assert again["pay"]["prepayid"] == first["pay"]["prepayid"]
    assert again["pay"]["sign"] != first["pay"]["sign"]
    assert shop.simulator.control("POST", "app", again["pay"]) == {"err_msg": "app:ok"}


async def test_e4_an_app_order_has_no_openid(shop: Shop) -> None:
    told = await shop.sell(shop.sale(trade_type="APP"))
    assert (told.status, told.json()["field"]) == (400, "openid")


async def test_e4_without_an_app_its_orders_are_refused_and_the_setting_is_named() -> None:
    service = Service(ManualClock())
    with pytest.raises(BadRequest) as refused:
        await service.sale(CreateOrderRequest(description="x", total=1, trade_type=TradeType.APP))
    assert (refused.value.public_code, refused.value.field, service.numbers) == ("APP_OFF", "trade_type", [])
    assert "pay.app_appid" in refused.value.text.zh
    assert "pay.app_appid" in refused.value.text.en
