"""Without a mouse: from the shop to the paid order, and at the console from the login to a refund."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from playwright.async_api import Browser, FrameLocator, Locator, Page, expect

from tests.e2e.payer import PAY_PAGE, Payer
from tests.support.console import PASSWORD, Operator
from tests.support.service import ServiceProcess
from wechat.domain.staff import Role

MOST_TABS = 60


async def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until ``wanted`` has the focus, which must be seen."""
    await expect(wanted).to_be_visible()
    for _ in range(MOST_TABS):
        if await wanted.evaluate("element => element === element.ownerDocument.activeElement"):
            assert await wanted.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {wanted}")


async def pay_by_keys(page: Page, sheet: FrameLocator) -> None:
    await expect(page.locator("#wxsim-sheet")).to_be_focused()
    await page.keyboard.type("129")
    await page.keyboard.press("Backspace")
    await expect(sheet.locator("#dots i.on")).to_have_count(2)
    await page.keyboard.type("3456")


async def test_a_payer_needs_no_mouse(payer: Payer) -> None:
    page = payer.page
    await tab_to(page, page.locator("[name=sku]:checked"))
    await page.keyboard.press("ArrowDown")
    await tab_to(page, payer.pay_button)
    await page.keyboard.press("Enter")
    await tab_to(page, page.locator("[data-user]").first)
    await page.keyboard.press("Enter")
    await page.wait_for_url(PAY_PAGE)
    await expect(payer.pay_button).to_be_enabled()
    await tab_to(page, payer.pay_button)
    await page.keyboard.press("Enter")
    await expect(page.locator("#wxsim-sheet")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(payer.pay_button).to_be_enabled()
    await tab_to(page, payer.pay_button)
    await page.keyboard.press("Enter")
    await pay_by_keys(page, payer.sheet)
    await payer.sees_paid()
    await tab_to(page, page.get_by_role("link", name="返回店铺"))
    await page.keyboard.press("Enter")
    await expect(page.locator(".shop")).to_be_visible()


async def test_a_refund_needs_no_mouse(payer: Payer, browser: Browser, services: Mapping[str, ServiceProcess]) -> None:
    await payer.check_out()
    await payer.pay()
    await payer.sees_paid()
    name = f"k-{secrets.token_hex(6)}"
    await Operator(payer.url).add_person(name, Role.FINANCE)
    context = await browser.new_context(locale="zh-CN", base_url=payer.url)
    page = await context.new_page()
    await page.goto("/console/login")
    await tab_to(page, page.locator("#name"))
    await page.keyboard.type(name)
    await tab_to(page, page.locator("#password"))
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/overview")
    await page.keyboard.press("/")
    await page.keyboard.type(payer.number)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/orders?*")
    await tab_to(page, page.locator(f"tr[data-number='{payer.number}'] a").first)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/console/orders/{payer.number}")
    await tab_to(page, page.locator("a[href$='/refund']"))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/refund")
    await tab_to(page, page.locator("#amount"))
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.type("5.00")
    await tab_to(page, page.locator("#reason"))
    await page.keyboard.type("洒了半杯")
    if await page.locator("[name=step_up]").count():
        await tab_to(page, page.locator("[name=step_up]"))
        await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/console/orders/{payer.number}")
    await expect(page.locator("main")).to_contain_text("洒了半杯")
    await context.close()
