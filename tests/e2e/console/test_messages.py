"""What came of an act stays in sight on a long page, on a phone and on a desk."""

from __future__ import annotations

import json
import secrets

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.sight import stands_above
from tests.support.console import ConsoleBrowser, Operator
from tests.support.service import API_KEY, ServiceProcess
from tests.support.simulator import ask
from wechat.domain.staff import Role

AUTHORIZED = {"Authorization": f"Bearer {API_KEY}"}
SIZES = {"phone": (360, 640), "desk": (1280, 640)}


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
async def test_the_answer_to_a_note_stays_in_sight_while_the_page_follows_the_order(
    browser: Browser, service: ServiceProcess, size: tuple[int, int]
) -> None:
    body = json.dumps({"description": "备注测试", "total": 100, "trade_type": "NATIVE"})
    number = str(ask("POST", f"{service.url}/api/orders", body, AUTHORIZED).json()["out_trade_no"])
    name = f"notes-{secrets.token_hex(4)}"
    await Operator(service.url).add_person(name, Role.SUPPORT)
    async with ConsoleBrowser(service.url, name) as person:
        await person.log_in()
        cookie = person.cookies()["fenpay_staff"]
    context = await browser.new_context(locale="zh-CN", viewport={"width": size[0], "height": size[1]})
    await context.add_cookies([{"name": "fenpay_staff", "value": cookie, "url": service.url}])
    page = await context.new_page()
    await page.goto(f"{service.url}/console/orders/{number}")
    await page.fill("#note", "已电话联系用户")
    await page.get_by_role("button", name="保存备注").click()
    message, notes = page.locator("main > .flash"), page.locator("#notes")
    await expect(message).to_have_text("已添加备注")
    await stands_above(message, notes)
    assert ask("POST", f"{service.url}/api/orders/{number}/close", "", AUTHORIZED).status == 200
    await expect(page.locator(".page-head .badge")).to_have_text("已关闭")  # the part with the notes was read again
    await stands_above(message, notes)
    await context.close()
