"""Two browsers: one pays, one has the order's page open, sees it, and keeps what it had opened."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from playwright.async_api import Browser, Page, expect

from tests.e2e.payer import Payer
from tests.http.client import MERCHANT, Shop
from tests.support.console import ConsoleBrowser, Operator
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess
from wechat.domain.staff import Role


async def watching(browser: Browser, url: str, number: str) -> Page:
    """The order's page, as an administrator."""
    name = f"w-{secrets.token_hex(6)}"
    await Operator(url).add_person(name, Role.ADMIN)
    async with ConsoleBrowser(url, name) as person:
        assert (await person.log_in()).status == 302
        cookie = person.cookies()["fenpay_staff"]
    context = await browser.new_context(base_url=url, locale="zh-CN", permissions=["clipboard-read", "clipboard-write"])
    await context.add_cookies([{"name": "fenpay_staff", "value": cookie, "url": url}])
    page = await context.new_page()
    async with page.expect_response("**/console/live?**"):
        await page.goto(f"/console/orders/{number}")
    return page


async def test_a_payment_appears_and_what_was_opened_stays_open(
    browser: Browser, services: Mapping[str, ServiceProcess], simulator: SimulatorProcess
) -> None:
    url = services["v3"].url
    async with Payer.arrived(browser, url, simulator) as payer:
        await payer.choose("tea")
        await payer.check_out()
        page = await watching(browser, url, payer.number)
        await expect(page.locator(".page-head .badge")).to_have_text("未支付")
        await page.locator("[id^=call-] summary").first.click()
        await page.locator("[id^=payload-] a").first.click()
        await expect(page.locator("pre.signed").first).to_be_visible()
        await page.locator("#note").fill("还没写完")
        await page.locator("h1").click()
        await payer.pay()
        await payer.sees_paid()
        await expect(page.locator(".page-head .badge")).to_have_text("已支付", timeout=15_000)
        await expect(page.locator("pre.signed").first).to_be_visible()
        await expect(page.locator("#note")).to_have_value("还没写完")
        await page.locator("h1 .copy").click()
        await expect(page.locator("h1 .copy")).to_have_text("已复制")
        assert await page.evaluate("navigator.clipboard.readText()") == payer.number
        await page.locator("pre[data-copy] + .copy").click()
        assert (await page.evaluate("navigator.clipboard.readText()")).startswith("curl -X POST")
        await page.context.close()


async def test_an_update_keeps_the_focus_and_says_times_in_the_readers_own_zone(
    browser: Browser, services: Mapping[str, ServiceProcess], simulator: SimulatorProcess
) -> None:
    url, name = services["v3"].url, f"n-{secrets.token_hex(6)}"
    await Operator(url).add_person(name, Role.SUPPORT)
    async with Shop(url, simulator) as shop, ConsoleBrowser(url, name) as colleague:
        await colleague.log_in()
        number = str((await shop.sold())["out_trade_no"])
        page = await watching(browser, url, number)
        close = page.get_by_role("button", name="关闭订单")
        await close.focus()
        await colleague.post(f"/console/orders/{number}/notes", {"note": "已联系用户"})
        await expect(page.locator("p.note")).to_have_text("已联系用户")
        await expect(close).to_be_focused()
        await expect(page.locator("time[title]").first).to_be_visible()
        await expect(page.locator("time[datetime]:not([title])")).to_have_count(0)
        closed = await shop.ask("POST", f"/api/orders/{number}/close", headers=MERCHANT)
        assert closed.status == 200
        await expect(close).to_have_count(0)  # it goes with what it was for
        await expect(page.locator("[data-live=order]")).to_be_focused()
        await page.context.close()


async def test_a_page_whose_stream_was_refused_reads_everything_again_once_it_has_one(
    browser: Browser, services: Mapping[str, ServiceProcess], simulator: SimulatorProcess
) -> None:
    async with Payer.arrived(browser, services["v3"].url, simulator) as payer:
        await payer.choose("tea")
        await payer.check_out()
        page = await watching(browser, services["v3"].url, payer.number)
        await page.route("**/console/live?**", lambda route: route.fulfill(status=503))
        await page.clock.install()
        async with page.expect_response("**/console/live?**"):
            await page.reload()
        await page.unroute("**/console/live?**")
        async with page.expect_request(lambda request: request.headers.get("hx-request") == "true"):
            await page.clock.fast_forward(31_000)
        await page.context.close()


async def test_a_list_that_was_cut_off_shows_the_orders_of_that_time(
    browser: Browser, services: Mapping[str, ServiceProcess], simulator: SimulatorProcess
) -> None:
    url = services["v3"].url
    async with Shop(url, simulator) as shop:
        held = str((await shop.sold())["out_trade_no"])
        page = await watching(browser, url, held)
        await page.route("**/console/live?**", lambda route: route.fulfill(status=503))
        await page.clock.install()
        async with page.expect_response("**/console/live?**"):
            await page.goto("/console/orders")
        meanwhile = str((await shop.sold())["out_trade_no"])
        await expect(page.locator(f"tr[data-number='{meanwhile}']")).to_have_count(0)
        # A stream that tells nothing: the real one still tells of the last seconds.
        await page.unroute("**/console/live?**")
        await page.route(
            "**/console/live?**", lambda route: route.fulfill(content_type="text/event-stream", body=": nothing\n\n")
        )
        await page.clock.fast_forward(31_000)
        await expect(page.locator("tr[data-number]").first).to_have_attribute("data-number", meanwhile)
        await expect(page.locator(f"tr[data-number='{held}']")).to_have_count(1)
        await page.context.close()
