"""The list of orders in a browser: by keyboard, page after page, and without scripts."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.console import ConsoleBrowser, Operator
from tests.support.service import API_KEY, ServiceProcess
from tests.support.simulator import ask
from wechat.domain.staff import Role

ORDERS = 52
TOTAL = 5252
LIST = "/console/orders?q=52.52"
FAILURES = ("Failed to load resource", "htmx:", "Response Status Error Code 400")
Opener = Callable[..., AbstractAsyncContextManager[Page]]


def place(service: ServiceProcess, total: int = TOTAL) -> str:
    """A new order's number."""
    body = json.dumps({"description": "键盘测试", "total": total, "trade_type": "NATIVE"})
    answer = ask("POST", f"{service.url}/api/orders", body, {"Authorization": f"Bearer {API_KEY}"})
    assert answer.status == 201
    return str(answer.json()["out_trade_no"])


def close(service: ServiceProcess, number: str) -> None:
    answer = ask("POST", f"{service.url}/api/orders/{number}/close", "", {"Authorization": f"Bearer {API_KEY}"})
    assert answer.status == 200


@pytest.fixture(scope="module")
async def cookie(services: Mapping[str, ServiceProcess]) -> dict[str, str]:
    """Of somebody from finance, beside two pages of orders."""
    service = services["v3"]
    for _ in range(ORDERS):
        place(service)
    await Operator(service.url).add_person("keys", Role.FINANCE)
    async with ConsoleBrowser(service.url, "keys") as person:
        assert (await person.log_in()).status == 302
        return {"name": "fenpay_staff", "value": person.cookies()["fenpay_staff"], "url": service.url}


@pytest.fixture
def opened(browser: Browser, service: ServiceProcess, cookie: Any) -> Opener:
    """The list, in a browser that has nothing to complain about but what is ``expected``: beginnings of complaints."""

    @asynccontextmanager
    async def open_list(expected: tuple[str, ...] = (), **options: Any) -> AsyncIterator[Page]:
        context = await browser.new_context(locale="zh-CN", **options)
        await context.add_cookies([cookie])
        page, complaints = await context.new_page(), []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(service.url + LIST)
        yield page
        await context.close()
        assert [text for text in complaints if not text.startswith(expected)] == []

    return open_list


async def test_rows_are_walked_and_opened_by_keyboard(opened: Opener) -> None:
    async with opened() as page:
        await page.route("**/console/orders/*", lambda route: route.fulfill(body="the order"))
        numbers = [await row.get_attribute("data-number") for row in await page.locator("tr[data-number]").all()]
        for key in "jjjk":
            await page.keyboard.press(key)
        await expect(page.locator("tr.current")).to_have_attribute("data-number", str(numbers[1]))
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/console/orders/{numbers[1]}")


async def test_the_search_is_reached_by_a_key_and_takes_letters(opened: Opener) -> None:
    async with opened() as page:
        await page.keyboard.press("/")
        await page.keyboard.type("jk?/")
        await expect(page.locator("#search")).to_have_value("jk?/")
        await expect(page.locator("#help")).to_be_hidden()


async def test_the_help_opens_by_a_key_and_switches_the_keys_off(opened: Opener) -> None:
    async with opened() as page:
        await page.keyboard.press("?")
        await expect(page.locator("#help")).to_be_visible()
        await page.locator("#keys-on").uncheck()
        await page.keyboard.press("Escape")
        await expect(page.locator("#help")).to_be_hidden()
        await page.keyboard.press("j")
        await expect(page.locator("tr.current")).to_have_count(0)


async def test_the_next_page_comes_below_the_first(opened: Opener) -> None:
    async with opened() as page:
        await page.locator("#more").click()
        await expect(page.locator("tr[data-number]")).to_have_count(ORDERS)
        await expect(page.locator("#more")).to_have_count(0)
        assert page.url.endswith(LIST)


async def test_a_next_page_that_does_not_come_is_told_until_it_comes(opened: Opener) -> None:
    async with opened(expected=FAILURES) as page:
        more, failure = page.locator("#more"), page.locator("#failure")
        await page.route("**/console/orders?*cursor=*", lambda route: route.abort())
        await more.click()
        await expect(failure).to_have_text("服务没有应答，请检查网络后重试")
        await page.unroute_all()
        await page.route("**/console/orders?*cursor=*", lambda route: route.continue_(url=f"{route.request.url}x"))
        await more.click()
        await expect(failure).to_have_text("加载失败：cursor 无效，请用上一页返回的值")
        await page.unroute_all()
        await more.click()
        await expect(page.locator("tr[data-number]")).to_have_count(ORDERS)
        await expect(failure).to_have_count(0)


async def test_without_scripts_the_list_goes_on_and_the_menu_opens(opened: Opener) -> None:
    async with opened(java_script_enabled=False, viewport={"width": 360, "height": 800}) as page:
        await page.locator("#more").click()
        await expect(page.locator("tr[data-number]")).to_have_count(ORDERS - 50)
        await expect(page.locator("#menu")).to_be_hidden()
        await page.locator(".open-menu").click()
        await expect(page.locator("#menu")).to_be_visible()
        await page.locator("#menu a[href='/console/orders']").click()
        await expect(page.locator("#menu")).to_be_hidden()


async def test_on_a_phone_the_filters_are_folded_away_and_open_by_keyboard_without_scripts(opened: Opener) -> None:
    async with opened(java_script_enabled=False, viewport={"width": 360, "height": 800}) as page:
        form, toggle = page.locator("form.filters"), page.locator(".filter-toggle summary")
        await expect(page.locator("tr[data-number]").nth(2)).to_be_in_viewport(ratio=1)
        await expect(form).to_be_hidden()
        await toggle.focus()
        await page.keyboard.press("Enter")
        await form.locator("#state").select_option("NOTPAY")
        await form.locator("#least").fill("52")
        await form.locator("button").click()
        await expect(form).to_be_hidden()
        await expect(toggle).to_have_text("筛选 未支付 金额不低于（元） 52")
        await expect(page.locator("tr[data-number]").nth(1)).to_be_in_viewport(ratio=1)
        await page.goto(f"{page.url}&most=x")
        await expect(form.locator("#most-error")).to_be_visible()  # what is wrong is not folded away


async def test_on_a_wide_screen_the_filters_are_always_there(opened: Opener) -> None:
    async with opened() as page:
        await expect(page.locator("form.filters #state")).to_be_visible()
        await expect(page.locator(".filter-toggle")).to_be_hidden()


async def test_an_export_says_how_many_orders_it_has(opened: Opener) -> None:
    async with opened() as page:
        for kind, begin in (("csv", b"\xef\xbb\xbf"), ("xlsx", b"PK")):
            async with page.expect_download() as download:
                await page.get_by_text(f"导出 {kind.upper()}").click()
            saved = await download.value
            assert re.fullmatch(rf"orders-\d{{4}}-\d\d-\d\d\.{kind}", saved.suggested_filename)
            assert (await asyncio.to_thread(Path(await saved.path()).read_bytes)).startswith(begin)
            await expect(page.locator("#export [role=status]")).to_have_text(f"已导出 {ORDERS} 笔")


async def test_an_order_that_is_placed_meanwhile_comes_by_itself_if_it_fits(
    opened: Opener, service: ServiceProcess
) -> None:
    async with opened() as page:
        await expect(page.locator("[data-live-state]")).to_have_attribute("data-state", "on")
        place(service, 1)
        number = place(service)
        await expect(page.locator(f"tr[data-number='{number}']")).to_be_visible()
        await expect(page.locator("tr[data-number]")).to_have_count(51)


async def test_an_order_of_the_next_page_that_changes_stays_there(opened: Opener, service: ServiceProcess) -> None:
    async with opened() as page:
        rows = page.locator("tr[data-number]")
        await page.locator("#more").click()
        await expect(page.locator("#more")).to_have_count(0)
        oldest = await rows.last.get_attribute("data-number")
        await page.reload()
        await expect(page.locator("[data-live-state]")).to_have_attribute("data-state", "on")
        async with page.expect_response(f"**/console/orders/rows/{oldest}*") as read:
            close(service, str(oldest))
        assert (await read.value).status == 200
        newest = place(service)
        await expect(page.locator(f"tr[data-number='{newest}']")).to_be_visible()
        await expect(page.locator(f"tr[data-number='{oldest}']")).to_have_count(0)


async def test_a_row_that_changes_stays_the_one_that_was_reached(opened: Opener, service: ServiceProcess) -> None:
    place(service)
    async with opened() as page:
        await page.keyboard.press("j")
        number = str(await page.locator("tr.current").get_attribute("data-number"))
        row = page.locator(f"tr.current[data-number='{number}']")
        close(service, number)
        await expect(row).to_contain_text("已关闭")
        await expect(row.locator("a").first).to_be_focused()


async def test_an_order_with_a_line_break_in_a_cell_counts_once(opened: Opener) -> None:
    body = '\ufeffnumber,item\r\n1,"two\r\n""lines"""\r\n2,tea\r\n'
    headers = {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="orders.csv"'}
    async with opened() as page:
        await page.route("**/console/orders.csv*", lambda route: route.fulfill(body=body, headers=headers))
        async with page.expect_download():
            await page.get_by_text("导出 CSV").click()
        await expect(page.locator("#export [role=status]")).to_have_text("已导出 2 笔")
