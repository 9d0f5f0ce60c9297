"""From the shop to 支付成功 and everywhere the way may lead instead."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import cast
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Route, expect

from tests.e2e.conftest import registered
from tests.e2e.payer import ANSWERED, PAY_PAGE, Payer
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess

NEVER_ANSWERED = "Failed to load resource: net::ERR_FAILED"


@pytest.fixture(params=["v3", "v2"])
def api(request: pytest.FixtureRequest) -> str:
    return cast(str, request.param)


@pytest.mark.parametrize("by", ["WeixinJSBridge", "wx.chooseWXPay"])
async def test_a_payer_goes_from_the_shop_to_paid(
    browser: Browser, services: Mapping[str, ServiceProcess], simulator: SimulatorProcess, api: str, by: str
) -> None:
    async with Payer.arrived(browser, services[api].url, simulator) as payer:
        await payer.choose("tea", quantity=2)
        await expect(payer.page.locator("#sum")).to_have_text("¥24.00")
        await payer.check_out()
        await expect(payer.page.locator(".amount")).to_have_text("¥24.00")
        if by == "wx.chooseWXPay":
            await payer.page.get_by_role("link", name=f"用 {by} 支付").click()
            await expect(payer.page).to_have_url(re.compile(r"\?by=wx$"))
        await payer.pay()
        await payer.sees_paid()
        order = payer.order(payer.number)
        assert (order["trade_state"], order["total"], order["api"]) == ("SUCCESS", 2400, api)
        assert payer.sent("POST", "/jssdk/config") == (1 if by == "wx.chooseWXPay" else 0)
        assert payer.complaints == []


async def test_a_page_takes_no_click_before_its_script_is_there(payer: Payer) -> None:
    held = {name: asyncio.Event() for name in ("cashier.js", "sheet.js")}

    async def hold(route: Route) -> None:
        await held[urlsplit(route.request.url).path.rsplit("/", 1)[-1]].wait()
        await route.continue_()

    await payer.page.context.route(re.compile("/(cashier|sheet)[.]js"), hold)
    await payer.pay_button.click()
    await payer.page.locator("[data-user]").first.click()
    await payer.page.wait_for_url(PAY_PAGE, wait_until="commit")
    await expect(payer.pay_button).to_be_disabled()
    held["cashier.js"].set()
    await payer.pay_button.click()
    sheet = payer.sheet.locator("#sheet")
    await expect(sheet).to_have_js_property("inert", True)
    held["sheet.js"].set()
    await expect(sheet).to_have_js_property("inert", False)


async def test_a_cancelled_payment_can_be_made_under_the_same_number(payer: Payer) -> None:
    await payer.check_out()
    number = payer.number
    await payer.open_sheet()
    await payer.sheet.locator("#cancel").click()
    await expect(payer.text("已取消支付，可继续支付本订单")).to_be_visible()
    await payer.pay()
    await payer.sees_paid()
    assert payer.number == number


async def test_a_balance_that_is_too_low_is_told_in_plain_words(payer: Payer) -> None:
    await payer.check_out()
    await payer.pay("not_enough")
    await payer.sheet.locator("#confirm").click()
    await expect(payer.page.locator("#means")).to_have_text("余额不足")
    await expect(payer.page.locator("#cure")).to_contain_text("更换支付方式后重试")
    await expect(payer.pay_button).to_be_enabled()
    assert payer.order(payer.number)["trade_state"] == "NOTPAY"


async def test_a_lost_notification_is_healed_by_the_pages_query(payer: Payer) -> None:
    await payer.check_out()
    await payer.pay("lost_notification")
    await payer.sees_paid()
    assert payer.simulator.order(payer.number)["attempts"] == []
    assert payer.order(payer.number)["timeline"][-1]["source"] == "query"


async def test_a_payment_whose_callback_was_lost_is_found_when_the_page_is_seen_again(payer: Payer) -> None:
    await payer.check_out()
    await payer.open_sheet()
    await payer.pay_behind_the_pages_back("lost_notification")
    await payer.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await payer.sees_paid()


async def test_nothing_says_paid_before_the_server_does(payer: Payer) -> None:
    payer.expected = (NEVER_ANSWERED,)
    await payer.check_out()
    await payer.page.route("**/query", lambda route: route.abort())
    await payer.pay()
    await expect(payer.page.get_by_role("heading", name="正在确认支付结果")).to_be_visible()
    await expect(payer.page.locator("#wxsim-sheet")).to_have_count(0)
    assert payer.simulator.order(payer.number)["trade_state"] == "SUCCESS"
    assert "支付成功" not in await payer.page.content()
    await payer.page.unroute("**/query")
    await payer.sees_paid()


async def test_after_a_minute_without_an_answer_the_payer_may_ask_again(payer: Payer) -> None:
    payer.expected = (NEVER_ANSWERED,)
    await payer.page.clock.install()
    await payer.check_out()
    await payer.page.route("**/query", lambda route: route.abort())
    await payer.pay()
    await expect(payer.page.get_by_role("heading", name="正在确认支付结果")).to_be_visible()
    await payer.passes_time_until(payer.page.get_by_role("heading", name="支付结果确认中"))
    assert payer.sent("POST", f"/orders/{payer.number}/query") > 10
    await payer.page.unroute("**/query")
    await payer.page.get_by_role("button", name="刷新结果").click()
    await payer.passes_time_until(payer.page.get_by_role("heading", name="支付成功"))


async def test_at_the_end_of_its_time_the_page_is_loaded_again_unless_a_payment_is_under_way(payer: Payer) -> None:
    await payer.page.clock.install()
    await payer.check_out()
    main, left = payer.page.locator("main"), payer.page.locator("#left")
    for state in ("ready", "outside", "unsure"):
        await main.evaluate("(main, state) => (main.dataset.state = state)", state)
        async with payer.page.expect_navigation():
            await payer.page.clock.fast_forward("31:00")
        await expect(left).not_to_have_text("0:00")
    await main.evaluate("main => (main.dataset.state = 'paying')")
    await main.evaluate("main => (main.dataset.old = 1)")
    await payer.page.clock.fast_forward("31:00")
    await expect(left).to_have_text("0:00")
    await expect(payer.page.locator("main[data-old]")).to_have_count(1)


async def test_the_time_left_follows_the_simulators_clock(payer: Payer) -> None:
    async def hurry(route: Route) -> None:
        answer = await route.fetch()
        body = re.sub(r'"seconds_left": ?\d+', '"seconds_left": 90', await answer.text())
        await route.fulfill(response=answer, body=body)

    await payer.check_out()
    left = payer.page.locator("#left")
    await expect(left).to_have_text(re.compile("^29:"))
    await payer.page.route("**/pay/*", hurry)
    await expect(left).to_have_text(re.compile("^1:"), timeout=10_000)


async def test_tampered_parameters_are_refused_in_wechats_words_and_explained(payer: Payer) -> None:
    async def tamper(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        body["pay"]["nonceStr"] += "x"
        await route.fulfill(response=answer, json=body)

    await payer.check_out()
    await payer.page.route("**/orders/*/pay", tamper)
    await payer.pay_button.click()
    await expect(payer.sheet.locator("#alert-text")).to_have_text("支付验证签名失败")
    await payer.sheet.locator("#confirm").click()
    await expect(payer.page.locator("#means")).to_have_text("暂时无法发起支付")
    await expect(payer.page.locator("#said")).to_contain_text("支付验证签名失败")
    await expect(payer.pay_button).to_be_enabled()
    assert payer.order(payer.number)["trade_state"] == "NOTPAY"
    line = payer.reports(payer.number)[-1]
    assert (line["call"], line["code"]) == ("WeixinJSBridge", "支付验证签名失败")
    for _ in range(100):
        found = [each["detail"] for each in payer.order(payer.number)["timeline"] if each["what"] == "page_slip"]
        if found:
            break
        await payer.page.wait_for_timeout(50)
    assert found == [{"slip": "VALUE_CHANGED"}]


async def test_a_ticket_that_wechat_no_longer_takes_is_renewed_and_the_sheet_opens(payer: Payer) -> None:
    await payer.check_out()
    await payer.page.goto(f"{payer.page.url}?by=wx")
    await payer.open_sheet()
    await payer.sheet.locator("#cancel").click()
    payer.simulator.control("POST", "tokens/expire", {})
    await payer.page.reload()
    await payer.open_sheet()
    assert payer.reports(payer.number)[-1]["slip"] == "TICKET_DIFFERS"
    assert payer.sent("POST", "/client-errors") == 1


@pytest.fixture
def nothing_registered(services: Mapping[str, ServiceProcess], simulator: SimulatorProcess) -> Iterator[None]:
    """A merchant who has not typed anything of ours into WeChat's consoles but the OAuth domain."""
    elsewhere = {"pay_directories": ["https://shop.example/pay/"], "js_domains": ["shop.example"]}
    simulator.control("POST", "settings", elsewhere)
    yield
    simulator.control("POST", "settings", registered(services))


@pytest.mark.usefixtures("nothing_registered")
async def test_a_page_outside_the_payment_directories_names_the_console_setting(payer: Payer) -> None:
    await payer.check_out()
    await payer.pay_button.click()
    await expect(payer.sheet.locator("#alert-text")).to_contain_text("当前页面的URL未注册")
    await payer.sheet.locator("#confirm").click()
    await expect(payer.page.locator("#merchant")).to_contain_text("支付授权目录")
    await expect(payer.page.locator("#said")).to_contain_text("当前页面的URL未注册")
    assert payer.reports(payer.number)[-1]["code"] == "当前页面的URL未注册"


@pytest.mark.usefixtures("nothing_registered")
async def test_a_domain_that_is_not_js_safe_names_the_console_setting(payer: Payer) -> None:
    await payer.check_out()
    await payer.page.goto(f"{payer.page.url}?by=wx")
    await payer.pay_button.click()
    await expect(payer.page.locator("#merchant")).to_contain_text("JS接口安全域名")
    await expect(payer.page.locator("#said")).to_have_text("config:invalid url domain")
    assert payer.reports(payer.number)[-1]["code"] == "config:invalid url domain"


async def test_impatient_fingers_get_one_order_and_one_sheet(payer: Payer) -> None:
    await payer.choose("cake")
    await payer.check_out()
    await payer.page.goto(payer.url)
    before = payer.order_count()
    await payer.choose("coffee", quantity=3)
    await payer.pay_button.dblclick()
    await payer.page.wait_for_url(PAY_PAGE)
    assert payer.order_count() == before + 1
    await expect(payer.pay_button).to_be_enabled()
    await payer.pay_button.dblclick()
    await expect(payer.sheet.locator("#amount")).to_have_text("¥54.00")
    assert payer.sent("POST", f"/orders/{payer.number}/pay") == 1


async def test_back_from_the_cashier_leads_to_the_basket_and_on_to_the_same_order(payer: Payer) -> None:
    await payer.choose("tea", quantity=3)
    await payer.check_out()
    number = payer.number
    await payer.page.go_back()
    await expect(payer.page.locator("#sum")).to_have_text("¥36.00")
    await payer.page.wait_for_timeout(500)  # it would go on by itself now, were there a loop
    assert payer.page.url == f"{payer.url}/shop?sku=tea&quantity=3"
    await payer.pay_button.click()
    await payer.page.wait_for_url(PAY_PAGE)
    assert payer.number == number


async def test_a_browser_that_keeps_no_session_is_told_instead_of_sent_in_circles(payer: Payer) -> None:
    payer.expected = (ANSWERED,)

    async def without_session(route: Route) -> None:
        await route.fulfill(status=401, json={"code": "UNAUTHORIZED", "message": "请先授权登录", "request_id": ""})

    await payer.page.route("**/orders", without_session)
    await payer.pay_button.click()
    await payer.page.locator("[data-user]").first.click()
    await expect(payer.page.locator("#status")).to_contain_text("请关闭页面后从微信重新打开")
    assert payer.sent("POST", "/orders") == 1


async def test_a_session_that_ended_meanwhile_is_renewed_on_the_way(payer: Payer) -> None:
    payer.expected = (f"{ANSWERED} 401",)
    await payer.check_out()
    await payer.page.goto(payer.url)
    await payer.choose("penny")
    await payer.page.context.clear_cookies(name="fenpay_session")
    await payer.pay_button.click()
    await payer.page.wait_for_url(PAY_PAGE)
    await expect(payer.page.locator(".amount")).to_have_text("¥0.01")


async def test_a_cashier_opened_without_a_session_authorises_and_comes_back(payer: Payer) -> None:
    await payer.check_out()
    address = payer.page.url
    await payer.page.context.clear_cookies(name="fenpay_session")
    await payer.page.goto(address)
    await expect(payer.pay_button).to_be_enabled()
    assert payer.page.url.partition("#")[0] == address  # WeChat's #wechat_redirect sticks
