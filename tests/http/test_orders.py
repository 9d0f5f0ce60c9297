"""Orders over HTTP: a payer's and a merchant's; what is asked wrongly is refused before anything happens."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from storage.embedded.servers import EmbeddedMongo
from tests.http.client import MERCHANT, Response, Shop
from tests.support.bad_json import BAD_JSON
from tests.support.http_orders import pay
from tests.support.simulator import SimulatorProcess
from tests.support.stored import lasting_sizes

CREATED = {
    "out_trade_no",
    "description",
    "total",
    "currency",
    "trade_state",
    "created_at",
    "expires_at",
    "paid_at",
    "pay",
}
PAY = {"appId", "timeStamp", "timestamp", "nonceStr", "package", "signType", "paySign"}


PLACING = ("/pay/unifiedorder", *(f"/v3/pay/transactions/{kind}" for kind in ("jsapi", "native", "h5")))


def placed_at_wechat(simulator: SimulatorProcess) -> int:
    """The number of requests to place an order that WeChat has served; workers' requests do not count."""
    served = simulator.control("GET", "stats")["served"]
    return sum(int(served.get(path, 0)) for path in PLACING)


async def test_a_payer_orders_pays_and_sees_it_paid(shop: Shop) -> None:
    await shop.log_in()
    response = await shop.post("/orders", {"sku": "coffee", "quantity": 2})
    order = response.json()
    assert response.status == 201
    assert set(order) == CREATED
    assert set(order["pay"]) == PAY
    assert (order["total"], order["currency"], order["trade_state"]) == (3600, "CNY", "NOTPAY")
    assert await pay(shop, order) == {"err_msg": "get_brand_wcpay_request:ok"}
    number = order["out_trade_no"]
    assert (await shop.get(f"/orders/{number}")).json()["trade_state"] == "NOTPAY"
    assert (await shop.post(f"/orders/{number}/query")).json()["trade_state"] == "SUCCESS"
    assert (await shop.get(f"/orders/{number}")).json()["paid_at"]
    again = await shop.post(f"/orders/{number}/pay")
    assert (again.status, again.code) == (409, "ORDER_PAID")


async def test_wechats_notification_pays_the_order(shop: Shop) -> None:
    await shop.log_in()
    order = (await shop.post("/orders", {"sku": "tea", "quantity": 3})).json()
    await pay(shop, order, "success")
    for _ in range(200):
        if await shop.state(order["out_trade_no"]) == "SUCCESS":
            break
        await asyncio.sleep(0.02)
    stored = await shop.stored(order["out_trade_no"])
    assert [line["what"] for line in stored["timeline"]] == ["created", "prepay", "paid"]
    assert [message["verdict"] for message in stored["notifications"]] == ["accepted"]


async def test_a_double_click_is_one_order(shop: Shop, simulator: SimulatorProcess) -> None:
    await shop.log_in()
    before = placed_at_wechat(simulator)
    responses = await asyncio.gather(*(shop.post("/orders", {"sku": "cake", "quantity": 2}) for _ in range(20)))
    assert {answer.status for answer in responses} == {201}
    assert len({answer.json()["out_trade_no"] for answer in responses}) == 1
    assert placed_at_wechat(simulator) == before + 1


async def test_a_closed_order_cannot_be_paid_and_the_next_click_is_a_new_one(shop: Shop) -> None:
    await shop.log_in()
    first = (await shop.post("/orders", {"sku": "cake", "quantity": 5})).json()
    assert (await shop.post(f"/orders/{first['out_trade_no']}/close")).json()["trade_state"] == "CLOSED"
    assert (await shop.post(f"/orders/{first['out_trade_no']}/pay")).code == "ORDER_CLOSED"
    assert (await shop.post("/orders", {"sku": "cake", "quantity": 5})).json()["out_trade_no"] != first["out_trade_no"]


@pytest.mark.parametrize("quantity", [21, 999])
async def test_more_than_the_shop_sells_at_once_is_refused(shop: Shop, quantity: int) -> None:
    await shop.log_in()
    response = await shop.post("/orders", {"sku": "penny", "quantity": quantity})
    assert (response.status, response.json()["field"]) == (400, "quantity")


# a merchant's system -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["v2", "v3"])
async def test_a_native_order_has_a_code_and_its_picture(shop: Shop, api: str) -> None:
    order = await shop.sold(trade_type="NATIVE", openid=None, api=api)
    assert order["code_url"].startswith("weixin://")
    assert "pay" not in order
    picture = await shop.ask("GET", f"/api/orders/{order['out_trade_no']}/qr.svg", headers=MERCHANT)
    assert picture.headers["Content-Type"] == "image/svg+xml"
    assert picture.body.startswith(b"<?xml")
    assert b"</svg>" in picture.body
    paid = shop.simulator.control(
        "POST", "scan", {"code_url": order["code_url"], "user": shop.users[0]["id"], "scenario": "lost_notification"}
    )
    assert paid["err_msg"] == "scan:ok"
    queried = await shop.ask("POST", f"/api/orders/{order['out_trade_no']}/query", headers=MERCHANT)
    assert queried.json()["trade_state"] == "SUCCESS"


@pytest.mark.parametrize("name", ["MWEB", "H5"])
@pytest.mark.parametrize("api", ["v2", "v3"])
async def test_an_h5_order_has_an_address(shop: Shop, api: str, name: str) -> None:
    order = await shop.sold(trade_type=name, openid=None, api=api, payer_client_ip="203.0.113.7")
    assert order["h5_url"].startswith("http")
    assert order["trade_type"] == "MWEB"


async def test_a_jsapi_order_has_no_picture(shop: Shop) -> None:
    order = await shop.sold()
    response = await shop.ask("GET", f"/api/orders/{order['out_trade_no']}/qr.svg", headers=MERCHANT)
    assert (response.status, response.code) == (404, "NO_QR")


async def test_fifty_sales_with_one_key_are_one_order_and_fifty_equal_answers(
    shop: Shop, simulator: SimulatorProcess
) -> None:
    before = placed_at_wechat(simulator)
    responses = await asyncio.gather(*(shop.sell(**{"Idempotency-Key": "fifty"}) for _ in range(50)))
    assert {answer.status for answer in responses} == {201}
    assert len({(answer.json()["out_trade_no"], answer.json()["pay"]["package"]) for answer in responses}) == 1
    assert placed_at_wechat(simulator) == before + 1


async def test_a_key_with_another_body_is_a_422(shop: Shop) -> None:
    await shop.sell(**{"Idempotency-Key": "reused"})
    response = await shop.sell(shop.sale(total=1), **{"Idempotency-Key": "reused"})
    assert (response.status, response.code) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("key", ["x" * 256, "a b", "é"])
async def test_a_key_of_another_shape_is_refused(shop: Shop, key: str) -> None:
    response = await shop.sell(**{"Idempotency-Key": key})
    assert (response.status, response.code) == (400, "BAD_IDEMPOTENCY_KEY")


async def test_a_number_of_the_merchants_own_is_taken_once(shop: Shop) -> None:
    number = f"OWN-{asyncio.get_running_loop().time():.6f}".replace(".", "_")
    assert (await shop.sold(out_trade_no=number))["out_trade_no"] == number
    assert (await shop.sold(out_trade_no=number))["out_trade_no"] == number
    response = await shop.sell(shop.sale(out_trade_no=number, total=1))
    assert (response.status, response.code) == (409, "OUT_TRADE_NO_USED")


async def test_a_listing_pages_through_everything_once(shop: Shop) -> None:
    placed = {(await shop.sold(description=f"页 {i}"))["out_trade_no"] for i in range(7)}
    seen, target = [], "/api/orders?limit=3"
    while True:
        page = (await shop.ask("GET", target, headers=MERCHANT)).json()
        assert len(page["orders"]) <= 3
        seen += [order["out_trade_no"] for order in page["orders"]]
        if not page["next_cursor"] or placed <= set(seen):
            break
        target = f"/api/orders?limit=3&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen))
    assert placed <= set(seen)


async def test_a_listing_of_one_state_has_no_other(shop: Shop) -> None:
    await shop.sold()
    page = (await shop.ask("GET", "/api/orders?trade_state=NOTPAY&limit=100", headers=MERCHANT)).json()
    assert {order["trade_state"] for order in page["orders"]} == {"NOTPAY"}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=-1", "limit=1.5", "limit=x", "limit=１", "limit=1e2", "trade_state=PAID", "trade_state=notpay", "trade_state[$ne]=x&limit=0",
     "cursor=x", "cursor=!!!!", "cursor=%E4%B8%AD", "cursor=" + "A" * 3000, "cursor=OTk5OTk5OTk5OTk5OTk5OTk5OS5hYmNkZWY", "limit=%ff"],
)  # fmt: skip
async def test_a_listing_asked_wrongly_is_refused(shop: Shop, query: str) -> None:
    response = await shop.ask("GET", f"/api/orders?{query}", headers=MERCHANT)
    assert response.status == 400
    assert set(response.json()) >= {"code", "message", "request_id"}


@pytest.mark.parametrize("api", ["v2", "v3"])
async def test_an_error_tells_the_merchant_what_wechat_said_and_the_payer_does_not_hear_it(
    shop: Shop, simulator: SimulatorProcess, api: str
) -> None:
    path = "/pay/unifiedorder" if api == "v2" else "/v3/pay/transactions/jsapi"
    fault = {
        "path": path,
        "fault": "refuse",
        "code": "NO_AUTH" if api == "v3" else "NOAUTH",
        "message": "商户无此接口权限",
    }
    simulator.control("POST", "faults", fault)
    response = await shop.sell(shop.sale(api=api))
    assert (response.status, response.code) == (502, "NO_AUTH")
    said = response.json()["wechat"]
    assert said["message"] == "商户无此接口权限"
    assert said["causes"]
    assert said["next"]
    assert bool(said["request_id"]) is (api == "v3")
    if api == "v3":
        await shop.log_in()
        payer = await shop.post("/orders", {"sku": "coffee", "quantity": 7})
        assert payer.status == 502
        assert "wechat" not in payer.json()
        assert "商户无此接口权限" not in payer.body.decode()


async def test_while_wechat_does_not_answer_the_order_is_kept_and_a_later_click_goes_on(
    shop: Shop, simulator: SimulatorProcess
) -> None:
    await shop.log_in()
    simulator.control("POST", "faults", {"path": "/v3/pay/*", "fault": "http_500"})
    response = await shop.post("/orders", {"sku": "coffee", "quantity": 9})
    assert (response.status, response.code) == (503, "OUTCOME_UNKNOWN")
    assert response.headers["Retry-After"]
    simulator.control("DELETE", "faults")
    again = await asyncio.gather(*(shop.post("/orders", {"sku": "coffee", "quantity": 9}) for _ in range(5)))
    assert {answer.status for answer in again} == {201}
    assert len({answer.json()["out_trade_no"] for answer in again}) == 1


# asked wrongly -------------------------------------------------------------------------------------------------------

BASKETS: list[Any] = [
    {}, {"sku": 1}, {"sku": "nothing"}, {"sku": {"$gt": ""}}, {"sku": "coffee", "quantity": 0}, {"sku": "coffee", "quantity": -1}, {"sku": "coffee", "quantity": "1"},
    {"sku": "coffee", "quantity": 1.5}, {"sku": "coffee", "quantity": True}, {"sku": "coffee", "quantity": 2**63}, {"sku": "coffee", "total": 1}, {"sku": "coffee", "price": 1},
    {"sku": "coffee", "openid": "x"}, {"sku": "x" * 100}, {"sku": "\u0000"},
]  # fmt: skip
SALES: list[dict[str, Any]] = [
    {"total": 0}, {"total": -1}, {"total": 1.5}, {"total": "1"}, {"total": True}, {"total": None}, {"total": 2**63}, {"total": 10**30}, {"total": [1]}, {"total": {"$gt": 0}},
    {"description": ""}, {"description": "x" * 128}, {"description": None}, {"description": "a\u0000b"}, {"openid": None}, {"openid": ""}, {"openid": "x" * 129},
    {"trade_type": "APP"}, {"trade_type": "NATIVE"}, {"out_trade_no": "a"}, {"out_trade_no": "../../etc"}, {"attach": "x" * 128}, {"expires_in_s": 1}, {"expires_in_s": 10**9},
    {"api": "v1"}, {"payer_client_ip": "x"}, {"unknown": 1}, {"$set": {}}, {"mchid": "x"},
]  # fmt: skip


SMALL = [body for body in BAD_JSON if len(body) < 64 * 1024]  # Tornado refuses larger ones itself


def refused(response: Response) -> bool:
    return response.status == 400 and set(response.json()) >= {"code", "message", "request_id"}


async def test_bad_bodies_are_refused_and_leave_no_trace(
    shop: Shop, simulator: SimulatorProcess, mongo: EmbeddedMongo
) -> None:
    await shop.log_in()
    before = (lasting_sizes(mongo.url), placed_at_wechat(simulator))
    response = [await shop.post("/orders", body) for body in [*BASKETS, *SMALL]]
    response += [await shop.sell(json.dumps(shop.sale() | sale).encode()) for sale in SALES]
    response += [await shop.sell(body) for body in SMALL]
    response += [await shop.sell(b'{"description": "\\ud800", "total": 1, "trade_type": "NATIVE"}')]
    response += [
        await shop.post("/jssdk/config", body) for body in [{}, {"url": 1}, {"url": ""}, {"url": "x", "y": 1}, *SMALL]
    ]
    assert [answer for answer in response if not refused(answer)] == []
    assert (lasting_sizes(mongo.url), placed_at_wechat(simulator)) == before


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "",
        "application/json; charset=gb2312",
    ],
)
async def test_the_content_type_does_not_change_what_a_body_is(shop: Shop, kind: str) -> None:
    response = await shop.sell(shop.sale(), **{"Content-Type": kind})
    assert response.status in (201, 400)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip", "x"])
async def test_a_compressed_body_is_not_opened(shop: Shop, encoding: str) -> None:
    body = gzip.compress(json.dumps(shop.sale()).encode())
    response = await shop.ask("POST", "/api/orders", body, MERCHANT | {"Content-Encoding": encoding})
    assert response.status == 400


@pytest.mark.parametrize("number", [".*", "(a+)+$" + "a" * 30, "%24gt", "a" * 33, "[$ne]", "%2e%2e%2f", "' or 1=1"])
async def test_a_number_is_taken_literally(shop: Shop, number: str) -> None:
    for prefix in ("/api/orders/", "/orders/"):
        response = await shop.ask("GET", prefix + number.replace(" ", "%20"), headers=MERCHANT)
        assert response.status in (400, 401, 404)


async def test_the_config_for_wx_is_signed_for_our_pages_only(shop: Shop) -> None:
    for response in (
        await shop.get(f"/jssdk/config?url={shop.url}/pay/1"),
        await shop.post("/jssdk/config", {"url": f"{shop.url}/pay/1#x"}),
    ):
        assert response.status == 200
        asked = response.json() | {"url": f"{shop.url}/pay/1"}
        assert shop.simulator.control("POST", "js/config", asked)["errMsg"] == "config:ok"
    for response in (
        await shop.get("/jssdk/config?url=https://evil.example/"),
        await shop.post("/jssdk/config", {"url": "https://evil.example/"}),
    ):
        assert (response.status, response.code) == (403, "FOREIGN_URL")
    assert (await shop.get("/jssdk/config")).status == 400
