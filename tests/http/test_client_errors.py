"""``POST /client-errors``: what a page reports of WeChat's browser, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.http.client import MERCHANT, Response, Shop
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess

UNREGISTERED = "当前页面的URL未注册：https://pay.example.com/pay/1"
SIGN, TOTAL = "get_brand_wcpay_request:fail · 支付验证签名失败", "调用支付JSAPI缺少参数：total_fee"
INVALID = "config:invalid signature"


@pytest.fixture
async def number(shop: Shop) -> str:
    """The order of a payer who is signed in."""
    await shop.log_in()
    return str((await shop.sold())["out_trade_no"])


async def report(shop: Shop, number: str, said: str, **more: Any) -> Response:
    body = {"out_trade_no": number, "call": "WeixinJSBridge", "said": said}
    return await shop.post("/client-errors", body | more)


async def pages(shop: Shop, number: str, what: str = "page_refused") -> list[dict[str, str]]:
    """Details of the lines that reports left in the order's timeline."""
    return [line["detail"] for line in (await shop.stored(number))["timeline"] if line["what"] == what]


async def explain(shop: Shop, number: str, lang: str = "zh") -> str:
    told = await shop.ask("GET", f"/api/orders/{number}/why", headers=MERCHANT | {"Accept-Language": lang})
    return str(told.json()["sentence"])


async def sign(shop: Shop, url: str) -> dict[str, Any]:
    """The parameters that the page passes to wx.config, and reports when WeChat refuses them."""
    told = await shop.post("/jssdk/config", {"url": url})
    return {name: str(told.json()[name]) for name in ("timestamp", "nonceStr", "signature")}


@pytest.mark.parametrize(
    ("said", "code", "why"),
    [
        (UNREGISTERED, "当前页面的URL未注册", "当前页面不在支付授权目录内"),
        (TOTAL, "调用支付JSAPI缺少参数：total_fee", "prepay_id 无效"),
        ("chooseWXPay:fail, the permission value is permission denied", "permission denied", "没有该 JS 接口的权限"),
    ],
)
async def test_a_refusal_reaches_log_metric_timeline_and_why(
    shop: Shop, service: ServiceProcess, number: str, said: str, code: str, why: str
) -> None:
    told = await report(shop, number, said, js_api=False)
    assert (told.status, told.json()) == (200, {"code": code, "retry": False})
    assert await pages(shop, number) == [{"call": "WeixinJSBridge", "code": code, "said": said, "js_api": "no"}]
    sentence = await explain(shop, number)
    assert said in sentence
    assert why in sentence
    assert any("page_refused" in line and number in line for line in service.log.splitlines())
    metrics = (await shop.get("/metrics")).body.decode()
    assert f'fenpay_client_errors_total{{call="WeixinJSBridge",code="{code}"}}' in metrics


async def test_an_address_that_wechat_judged_otherwise_is_named_and_no_ticket_is_renewed(
    shop: Shop, number: str
) -> None:
    page = f"{shop.url}/pay/{number}"
    params = await sign(shop, page)
    told = await report(shop, number, INVALID, call="wx.config", params=params, url=page, real_url=f"{shop.url}/?sku=1")
    assert told.json() == {"code": INVALID, "retry": False}
    [line] = await pages(shop, number)
    assert (line["slip"], line["signed_url"], line["real_url"]) == ("URL_DIFFERS", page, f"{shop.url}/?sku=1")
    assert f"签名用的 URL 与实际的不同（微信：{shop.url}/?sku=1）" in await explain(shop, number)
    assert "Another URL was signed than the actual one" in await explain(shop, number, "en")


async def test_a_ticket_that_wechat_refuses_is_renewed_once_whoever_asks(
    shop: Shop, number: str, simulator: SimulatorProcess
) -> None:
    page = f"{shop.url}/pay/{number}"
    params = await sign(shop, page)
    simulator.control("POST", "tokens/expire", {})

    async def complain() -> Response:
        return await report(shop, number, INVALID, call="wx.config", params=params, url=page, real_url=page)

    first = await complain()
    assert first.json() == {"code": INVALID, "retry": True}
    fresh = await sign(shop, page)
    asked = {"appId": simulator.credentials["appid"], "url": page, **fresh}
    assert simulator.control("POST", "js/config", asked)["errMsg"] == "config:ok"
    params, known = fresh, tickets(simulator)
    answers = [await complain() for _ in range(20)]
    assert {answer.json()["retry"] for answer in answers} == {False}
    await sign(shop, page)
    assert tickets(simulator) == known
    assert [line["slip"] for line in await pages(shop, number)] == ["TICKET_DIFFERS"]


def tickets(simulator: SimulatorProcess) -> int:
    """The number of ticket requests that WeChat has served."""
    return int(simulator.control("GET", "stats")["served"].get("/cgi-bin/ticket/getticket", 0))


async def test_the_slip_behind_a_refused_pay_sign_is_found_beside_the_request(shop: Shop, number: str) -> None:
    """A process examines one report a minute, so three reports add one slip."""
    pay = (await shop.post(f"/orders/{number}/pay")).json()["pay"]
    del pay["timestamp"]
    for _ in range(3):
        told = await report(shop, number, SIGN, params=pay | {"nonceStr": "another0nonce0another0nonce0anot"})
        assert told.json()["code"] == "支付验证签名失败"
    for _ in range(500):
        if found := await pages(shop, number, "page_slip"):
            break
        await asyncio.sleep(0.02)
    assert found == [{"slip": "VALUE_CHANGED"}]
    assert "签名之后参数值被改动" in await explain(shop, number)


async def test_what_a_page_repeats_does_not_grow_the_order(shop: Shop, number: str) -> None:
    for _ in range(30):
        assert (await report(shop, number, TOTAL)).status == 200
    assert len(await pages(shop, number)) == 1
    for at in range(30):
        await report(shop, number, f"something else {at}")
    assert len(await pages(shop, number)) == 2  # all unknown codes count as one kind


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"said": ""}, "said"),
        ({"said": "x" * 301}, "said"),
        ({"said": 7}, "said"),
        ({"call": "eval"}, "call"),
        ({"url": "x" * 2049}, "url"),
        ({"params": {str(at): "x" for at in range(9)}}, "params"),
        ({"params": {"package": "x" * 513}}, "params.package"),
        ({"out_trade_no": "x" * 33}, "out_trade_no"),
    ],
)
async def test_a_report_is_bounded(shop: Shop, number: str, body: dict[str, Any], field: str) -> None:
    told = await shop.post(
        "/client-errors", {"out_trade_no": number, "call": "wx.config", "said": "config:fail"} | body
    )
    assert (told.status, told.json()["field"]) == (400, field)
    assert await pages(shop, number) == []


async def test_nobody_reports_for_another_or_without_a_session(shop: Shop, number: str) -> None:
    other = (await shop.sold(openid=shop.users[1]["openid"]))["out_trade_no"]
    assert (await report(shop, other, TOTAL)).status == 404
    assert await pages(shop, other) == []
    async with Shop(shop.url, shop.simulator) as stranger:
        assert (await report(stranger, number, TOTAL)).status == 401
    shop.xsrf = "0" * 32
    assert (await report(shop, number, TOTAL)).status == 403


async def test_a_payer_who_reports_without_end_is_slowed_down(shop: Shop, number: str) -> None:
    answers = await asyncio.gather(*(report(shop, number, TOTAL) for _ in range(180)))
    assert 429 in {answer.status for answer in answers}
    assert len(await pages(shop, number)) == 1
