"""Browsers that are not quite WeChat's: no bridge, no WeChat at all, an iPhone that remembers where it came in."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable

from playwright.async_api import Browser, Route, expect

from tests.e2e.payer import Payer
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess

JWEIXIN = "**/open/js/jweixin-*.js"
NOT_LOADED = "Failed to load resource: net::ERR_FAILED"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0"


def with_replaced(what: str, by: str) -> Callable[[Route], Awaitable[None]]:
    """Lets an answer through with one passage changed, which must be there."""

    async def change(route: Route) -> None:
        answer = await route.fetch()
        text = await answer.text()
        assert what in text
        await route.fulfill(response=answer, body=text.replace(what, by))

    return change


async def test_without_a_bridge_the_page_falls_back_on_choose_wx_pay(payer: Payer) -> None:
    await payer.page.clock.install()
    await payer.page.route(JWEIXIN, with_replaced("window.WeixinJSBridge = bridge;", "return;"))
    await payer.check_out()
    await payer.pay_button.click()
    await payer.passes_time_until(payer.sheet.locator("#amount"))
    for digit in "123456":
        await payer.sheet.locator(f'[data-key="{digit}"]').click()
    await payer.passes_time_until(payer.page.get_by_role("heading", name="支付成功"))
    assert payer.sent("POST", "/jssdk/config") == 1


async def test_outside_wechat_the_page_says_where_to_open_it(payer: Payer) -> None:
    payer.expected = (NOT_LOADED,)
    await payer.check_out()
    await payer.page.route(JWEIXIN, lambda route: route.abort())
    await payer.page.route(payer.page.url, with_replaced('"simulated": true', '"simulated": false'))
    await payer.page.reload()
    await expect(payer.page.get_by_role("heading", name="请在微信中打开")).to_be_visible()
    await expect(payer.pay_button).to_be_hidden()


async def test_silence_of_wechats_script_is_told_and_can_be_retried(payer: Payer) -> None:
    payer.expected = (NOT_LOADED,)
    await payer.page.clock.install()
    await payer.check_out()
    await payer.page.route(JWEIXIN, lambda route: route.abort())
    await payer.page.goto(f"{payer.page.url}?by=wx")
    await payer.pay_button.click()
    await payer.passes_time_until(payer.text("微信支付未响应；如已付款请勿重复支付"))
    await expect(payer.pay_button).to_be_enabled()


async def test_an_iphone_that_judges_by_the_entry_address_gets_one_retry_with_it(
    browser: Browser, service: ServiceProcess, simulator: SimulatorProcess
) -> None:
    async with Payer.arrived(browser, service.url, simulator, user_agent=IPHONE) as payer:

        async def judge_by_entry(route: Route) -> None:
            asked = json.loads(route.request.post_data or "") | {"url": f"{service.url}/"}
            await route.continue_(post_data=json.dumps(asked))

        await payer.page.route("**/simulator/js/config", judge_by_entry)
        await payer.check_out()
        await payer.page.goto(f"{payer.page.url}?by=wx")
        await payer.open_sheet()
        assert payer.sent("POST", "/jssdk/config") == 2
        line = payer.reports(payer.number)[-1]
        assert (line["slip"], line["real_url"]) == ("URL_DIFFERS", f"{service.url}/")
        assert line["signed_url"] == payer.page.url
        assert payer.complaints == []


async def test_pages_work_in_wechats_policy_without_anything_inline(payer: Payer) -> None:
    answer = await payer.page.reload()
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert re.search(rf"script-src 'self' {re.escape(payer.simulator.url)}(;|$)", policy)
    html = await answer.text()
    assert not re.search(r"<[^>]+\son\w+=|<style|\sstyle=", html)
