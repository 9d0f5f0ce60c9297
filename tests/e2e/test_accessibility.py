"""Every page, in both languages, light and dark, on a phone and on a desk: axe-core finds nothing (WCAG 2.2 AA), and
nothing scrolls sideways. A new page is a line of ``PAGES``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from tests.e2e.payer import Payer
from tests.support.console import ConsoleBrowser, Operator
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess
from wechat.domain.staff import Role

AXE = Path(__file__).parent / "node/node_modules/axe-core/axe.min.js"
NO_AXE = "axe-core is not installed: .venv/bin/python -m scripts.programs"
STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
SCHEMES: Mapping[Literal["light", "dark"], Sequence[str]] = {"light": STANDARDS, "dark": ("color-contrast",)}
"""The rules that are tried; in the dark only colours are different."""
PHONE, DESK = 360, 1280
LOOKS: Sequence[tuple[str, int, Literal["light", "dark"]]] = (
    ("zh-CN", PHONE, "light"),
    ("zh-CN", DESK, "dark"),
    ("en-US", PHONE, "dark"),
    ("en-US", DESK, "light"),
)
"""Every two of language, width and scheme meet; all eight would take twice the time."""
PAGES = {
    "shop": "/",
    "cashier": "/pay/{unpaid}",
    "result": "/pay/{paid}",
    "error": "/no-such-page",
    "consent": "{simulator}/connect/oauth2/authorize?{consent}",
    "simulator": "{simulator}/simulator/",
    "story": "{simulator}/simulator/stories/{paid}",
    "practice": "{simulator}/simulator/practice",
    "a link that WeChat refuses": "{simulator}/connect/oauth2/authorize",
    "a code that WeChat refuses": "{simulator}/simulator/scan?code_url=weixin%3A%2F%2Fwxpay%2Fbizpayurl%3Fpr%3Dx",
    "an unknown address of the simulator": "{simulator}/nothing",
    "login": "/console/login",
    "orders": "/console/orders",
    "orders: nothing found": "/console/orders?q=no-such-order",
    "orders: errors": "/console/orders?least=x&most=1.234",
    "order": "/console/orders/{paid}",
    "unpaid order": "/console/orders/{unpaid}",
    "refund": "/console/orders/{paid}/refund",
    "overview": "/console/overview",
    "reconciliation": "/console/reconciliation",
    "settings": "/console/settings",
    "doctor": "/console/doctor",
    "signature": "/console/signature",
    "documents": "/console/docs",
    "approvals": "/console/approvals",
    "refunds": "/console/refunds",
    "deliveries": "/console/deliveries",
    "refused notifications": "/console/notifications",
    "accepted notifications": "/console/notifications/accepted",
    "account": "/console/account",
    "code generator": "/console/account/totp",
    "people": "/console/people",
    "API keys": "/console/keys",
    "audit log": "/console/audit",
    "design": "/console/design",
    "overview of 90 days": "/console/overview?days=90",
    "a day that was not reconciled": "/console/reconciliation/2026-01-01",
    "a document": "/console/docs/api",
}
"""By name; what stands in braces is filled in by ``Visitor``."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A browser that has paid an order, left another one unpaid, and is logged in to the console as administrator."""

    browser: Browser
    url: str
    cookies: list[Any]
    places: Mapping[str, str]

    async def context(self, locale: str, *, logged_in: bool = True) -> BrowserContext:
        context = await self.browser.new_context(
            locale=locale, viewport={"width": PHONE, "height": 800}, reduced_motion="reduce"
        )
        if logged_in:
            await context.add_cookies(self.cookies)
        return context

    def address(self, path: str) -> str:
        filled = path.format(**self.places)
        return filled if filled.startswith("http") else self.url + filled


@pytest.fixture(scope="module")
async def visitor(
    browser: Browser, services: Mapping[str, ServiceProcess], simulator: SimulatorProcess
) -> AsyncIterator[Visitor]:
    url = services["v3"].url
    async with Payer.arrived(browser, url, simulator) as payer:
        await payer.check_out()
        paid = payer.number
        await payer.pay()
        await payer.sees_paid()
        await payer.page.goto(url)
        await payer.choose("tea")
        await payer.pay_button.click()
        await payer.page.wait_for_url("**/pay/*")
        places = {"paid": paid, "unpaid": payer.number, "simulator": simulator.url, "consent": await consent(payer)}
        cookies = [*await payer.page.context.cookies(), *await staff_cookies(url)]
    yield Visitor(browser, url, cookies, places)


async def consent(payer: Payer) -> str:
    """The query with which the service sends a browser to WeChat."""
    answer = await payer.page.context.request.get(f"{payer.url}/oauth/authorize?next=/", max_redirects=0)
    return answer.headers["location"].partition("?")[2].partition("#")[0]


async def staff_cookies(url: str) -> list[dict[str, str]]:
    await Operator(url).add_person("axe", Role.ADMIN)
    async with ConsoleBrowser(url, "axe") as person:
        assert (await person.log_in()).status == 302
        return [{"name": "fenpay_staff", "value": person.cookies()["fenpay_staff"], "url": url}]


@pytest.mark.parametrize("name", PAGES)
async def test_everybody_can_use_the_page(visitor: Visitor, name: str) -> None:
    assert AXE.is_file(), NO_AXE
    found = []
    for locale in ("zh-CN", "en-US"):
        context = await visitor.context(locale, logged_in=name != "login")
        page = await context.new_page()
        await page.goto(visitor.address(PAGES[name]))
        await page.evaluate(AXE.read_text(encoding="utf-8"))
        for width, scheme in [(width, scheme) for language, width, scheme in LOOKS if language == locale]:
            await page.set_viewport_size({"width": width, "height": 800})
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{locale} {width}: scrolls sideways")
            await page.emulate_media(color_scheme=scheme)
            found += [f"{locale} {width} {scheme}: {each}" for each in await violations(page, SCHEMES[scheme])]
        await context.close()
    assert found == []


async def violations(page: Page, rules: Sequence[str] = STANDARDS) -> list[str]:
    """Each of ``rules`` that is broken, and where."""
    options = {"runOnly": list(rules), "resultTypes": ["violations"]}
    result = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{each['id']} {node['html'][:160]} {node['failureSummary'].splitlines()[-1].strip()}"
        for each in result["violations"]
        for node in each["nodes"]
    ]


async def test_axe_finds_what_is_wrong(visitor: Visitor) -> None:
    """Break a page on purpose: axe must report the faults, or its empty lists elsewhere would prove nothing."""
    context = await visitor.context("zh-CN", logged_in=False)
    page = await context.new_page()
    await page.goto(visitor.address("/console/login"))
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    await page.evaluate(
        "document.querySelector('label[for=name]').remove(); document.querySelector('h1').style.color = '#ddd'"
    )
    assert {each.split()[0] for each in await violations(page)} == {"color-contrast", "label"}
    await context.close()
