"""Texts of merchants, forgers and receivers reach the console's pages as text: in a real browser, no script of theirs
runs, and the page's policy has nothing to report."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.http.client import MERCHANT, Shop
from tests.support.console import ConsoleBrowser, Operator
from tests.support.platform import Message, Platform
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess
from wechat.domain.staff import Role

SCRIPT = "<script>window.ran=1</script>"
PAYLOADS = (SCRIPT, '"><img src=x onerror=window.ran=1>', "'-window.ran-'{{7*7}}<svg onload=window.ran=1>")
WATCH = """
window.broken = [];
addEventListener("securitypolicyviolation", (event) => window.broken.push(event.violatedDirective + " " + event.sourceFile));
"""


@pytest.fixture(scope="module")
async def numbers(
    services: Mapping[str, ServiceProcess], simulator: SimulatorProcess, directory: Path
) -> AsyncIterator[list[str]]:
    """Orders whose every text is hostile: the merchant's, the payer's WeChat's, the forger's, the refund's."""
    service = services["v3"]
    platform = Platform(simulator.credentials, directory / "wechat")
    async with Shop(service.url, simulator) as shop:
        made = []
        for payload in PAYLOADS:
            number = await shop.scanned(description=payload, attach=payload)
            await shop.ask("POST", f"/api/orders/{number}/query", headers=MERCHANT)
            wanted = {"refund": 1, "reason": payload}
            key = {"Idempotency-Key": secrets.token_hex(6)}
            refunded = await shop.ask("POST", f"/api/orders/{number}/refunds", json.dumps(wanted), MERCHANT | key)
            assert refunded.status in (201, 202), refunded.body
            order = await shop.stored(number)
            forged = platform.v2(order, attach=payload, device_info=payload, bank_type=payload)
            body = forged.body.replace(b"<fee_type>", b"<fee_type >")
            await shop.notify(Message(body, forged.headers | {"User-Agent": payload, "Wechatpay-Nonce": payload}))
            await shop.notify(Message(forged.body.replace(b"CNY", b"CNX"), {"User-Agent": payload}))
            made.append(number)
        yield made


@pytest.fixture
async def page(browser: Browser, services: Mapping[str, ServiceProcess]) -> AsyncIterator[Page]:
    """An administrator's page that watches its policy."""
    url, name = services["v3"].url, f"a-{secrets.token_hex(6)}"
    await Operator(url).add_person(name, Role.ADMIN)
    async with ConsoleBrowser(url, name) as person:
        assert (await person.log_in()).status == 302
        cookie = person.cookies()["fenpay_staff"]
    context = await browser.new_context(base_url=url)
    await context.add_cookies([{"name": "fenpay_staff", "value": cookie, "url": url}])
    await context.add_init_script(WATCH)
    yield await context.new_page()
    await context.close()


async def must_be_harmless(page: Page) -> None:
    assert await page.evaluate("window.ran") is None, page.url
    assert await page.evaluate("window.broken") == [], page.url
    assert await page.locator("main script, main img, main svg").count() == 0, page.url


async def test_the_page_of_an_order_shows_hostile_texts_as_texts(page: Page, numbers: list[str]) -> None:
    for number, payload in zip(numbers, PAYLOADS, strict=True):
        await page.goto(f"/console/orders/{number}")
        await page.get_by_text(payload, exact=True).first.wait_for()
        await must_be_harmless(page)


async def test_opened_messages_show_hostile_texts_as_texts(page: Page, numbers: list[str]) -> None:
    for number, payload in zip(numbers, PAYLOADS, strict=True):
        await page.goto(f"/console/orders/{number}")
        await page.locator("details[id^=call-]").first.wait_for()
        for details in await page.locator("details[id^=call-]").all():
            await details.locator("summary").click()
            await details.get_by_role("link").click()
            await details.locator("pre").first.wait_for()
        shown = await page.locator("main").inner_text()
        assert payload.split("{{")[0][:12] in shown
        await must_be_harmless(page)


@pytest.mark.parametrize("path", ["refunds?state=SUCCESS", "refunds", "deliveries", "notifications", "orders"])
async def test_the_lists_show_hostile_texts_as_texts(page: Page, numbers: list[str], path: str) -> None:
    await page.goto(f"/console/{path}")
    assert numbers
    await must_be_harmless(page)


async def test_refused_messages_show_hostile_bodies_and_headers_as_texts(page: Page, numbers: list[str]) -> None:
    await page.goto("/console/notifications")
    links = await page.locator("main a.button").all()
    targets = [await link.get_attribute("href") or "" for link in links]
    assert numbers and targets
    for target in targets:
        await page.goto(target)
        assert "window.ran" in await page.locator("main").inner_text()
        await must_be_harmless(page)


async def test_a_script_that_runs_would_be_noticed(page: Page) -> None:
    await page.goto("/console/orders")
    await page.evaluate("document.querySelector('main').innerHTML = '<img src=x onerror=window.ran=1>'")
    await page.wait_for_function("window.broken.length > 0")
