"""The pages as such: languages, narrow screens, states, strangers, other browsers."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from tests.e2e.payer import ANSWERED, Payer
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess


async def test_english_is_complete_for_those_who_prefer_it(
    browser: Browser, service: ServiceProcess, simulator: SimulatorProcess
) -> None:
    async with Payer.arrived(browser, service.url, simulator, locale="en-GB") as payer:
        assert await payer.page.locator("html").get_attribute("lang") == "en"
        await expect(payer.page.locator(".ribbon")).to_contain_text("Simulation")
        await expect(payer.page.locator(".ware").first).to_contain_text("Caffè latte")
        await payer.choose("coffee", quantity=2)
        await payer.check_out()
        await expect(payer.page.locator(".facts")).to_contain_text("Caffè latte × 2")
        await payer.pay()
        await expect(payer.page.get_by_role("heading", name="Paid")).to_be_visible()
        assert await _chinese(payer) == ""
        assert payer.complaints == []


async def test_no_page_scrolls_sideways_on_the_narrowest_phone(
    browser: Browser, service: ServiceProcess, simulator: SimulatorProcess
) -> None:
    async with Payer.arrived(browser, service.url, simulator, width=320) as payer:
        assert not await payer.scrolls_sideways()
        await payer.check_out()
        assert not await payer.scrolls_sideways()
        await payer.pay("not_enough")
        await payer.sheet.locator("#confirm").click()
        await expect(payer.page.locator("#refusal")).to_be_visible()
        assert not await payer.scrolls_sideways()
        await payer.pay()
        await payer.sees_paid()
        assert not await payer.scrolls_sideways()


async def test_the_ribbon_stays_in_view_on_every_page(payer: Payer) -> None:
    ribbon = payer.page.locator(".ribbon")
    await expect(ribbon).to_have_text("模拟环境 · 不涉及真实资金")
    await payer.check_out()
    await payer.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await expect(ribbon).to_be_in_viewport()
    await payer.pay()
    await payer.sees_paid()
    await expect(ribbon).to_be_in_viewport()


async def test_a_paid_order_says_how_much_for_what_and_when(payer: Payer) -> None:
    await payer.choose("cake", quantity=2)
    await payer.check_out()
    await payer.pay()
    await payer.sees_paid()
    await expect(payer.page.locator(".amount")).to_have_text("¥18.00")
    facts = payer.page.locator(".facts")
    truth = payer.simulator.order(payer.number)
    for fact in ("桂花糕 × 2", payer.number, truth["transaction_id"], "北京时间"):
        await expect(facts).to_contain_text(fact)
    await payer.page.get_by_role("link", name="返回店铺").click()
    await expect(payer.page.locator(".shop")).to_be_visible()


async def test_a_closed_order_says_so_and_cannot_be_paid(payer: Payer) -> None:
    await payer.check_out()
    await payer.page.evaluate(
        """number => fetch(`/orders/${number}/close`, { method: "POST", body: "{}", headers: {
             "X-Xsrftoken": document.querySelector("meta[name=xsrf]").content } })""",
        payer.number,
    )
    payer.expected = (f"{ANSWERED} 409",)
    await payer.pay_button.click()
    await expect(payer.page.get_by_role("heading", name="订单已关闭")).to_be_visible()
    await expect(payer.pay_button).to_have_count(0)
    assert payer.order(payer.number)["trade_state"] == "CLOSED"


async def test_somebody_elses_order_is_a_404_page_with_a_way_on(payer: Payer, browser: Browser) -> None:
    await payer.check_out()
    async with Payer.arrived(browser, payer.url, payer.simulator) as stranger:
        await stranger.pay_button.click()
        await stranger.page.locator("[data-user]").last.click()
        await expect(stranger.page.locator(".cashier")).to_be_visible()
        stranger.expected = (f"{ANSWERED} 404",)
        answer = await stranger.page.goto(payer.page.url)
        assert answer is not None
        assert answer.status == 404
        await expect(stranger.page.get_by_role("heading", name="没有这个订单")).to_be_visible()
        assert answer.headers["x-request-id"] in await stranger.page.inner_text("main")
        await stranger.page.get_by_role("link", name="返回店铺").click()
        await expect(stranger.page.locator(".shop")).to_be_visible()
        assert stranger.complaints == []


async def test_quantities_stay_within_what_the_shop_sells_at_once(payer: Payer) -> None:
    less, more = payer.page.locator("[data-step='-1']"), payer.page.locator("[data-step='1']")
    await expect(less).to_be_disabled()
    await payer.page.goto(f"{payer.url}/?sku=penny&quantity=999")
    await expect(payer.page.locator("#quantity")).to_have_value("20")
    await expect(payer.page.locator("#sum")).to_have_text("¥0.20")
    await expect(more).to_be_disabled()
    await less.click()
    await expect(payer.page.locator("#sum")).to_have_text("¥0.19")


async def test_f6_a_quantity_that_cannot_be_bought_is_told_and_shows_no_amount(payer: Payer) -> None:
    for typed in ("25", "0", "1.5", ""):
        await payer.page.locator("#quantity").fill(typed)
        await expect(payer.page.locator("#sum")).to_have_text("–")
        await expect(payer.page.locator("#quantity-error")).to_have_text("数量应为 1 到 20 的整数")
    await payer.page.locator("#quantity").fill("2")
    await expect(payer.page.locator("#sum")).to_have_text("¥36.00")
    await expect(payer.page.locator("#quantity-error")).to_have_text("")


async def test_the_shop_can_be_worked_with_a_keyboard_alone(payer: Payer) -> None:
    keys = payer.page.keyboard
    await payer.page.locator("[value=coffee]").focus()
    await keys.press("ArrowDown")
    await keys.press("Tab")
    await keys.press("Tab")
    await keys.press("Enter")  # one more
    await expect(payer.page.locator("#sum")).to_have_text("¥24.00")
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(payer.page.locator("#consent")).to_be_visible()


async def test_a_new_release_is_never_mixed_with_files_that_a_browser_kept(payer: Payer) -> None:
    answer = await payer.page.request.get(f"{payer.url}/static/js/page.js")
    assert answer.headers["cache-control"] == "no-cache"
    again = await payer.page.request.get(answer.url, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status == 304


async def _chinese(payer: Payer) -> str:
    """The Chinese characters that an English page shows."""
    shown = await payer.page.inner_text("body")
    return "".join(character for character in shown if "\u4e00" <= character <= "\u9fff")
