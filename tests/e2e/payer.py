"""Somebody with a phone, and everything their browser sees and complains about."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Browser, ConsoleMessage, FrameLocator, Locator, Page, Request, expect

from tests.support.service import API_KEY
from tests.support.simulator import SimulatorProcess, ask

PAY_PAGE = re.compile(r"/pay/(\w+)")
ANSWERED = "Failed to load resource: the server responded with a status of"


class Payer:
    """Walks through the shop at ``url``. ``expected`` are beginnings of complaints that the test provokes."""

    def __init__(self, page: Page, url: str, simulator: SimulatorProcess) -> None:
        self.page = page
        self.url = url
        self.simulator = simulator
        self.requests: list[str] = []
        self.expected: tuple[str, ...] = ()
        self._complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("request", self._sent)

    @classmethod
    @asynccontextmanager
    async def arrived(
        cls,
        browser: Browser,
        url: str,
        simulator: SimulatorProcess,
        *,
        locale: str = "zh-CN",
        width: int = 390,
        user_agent: str | None = None,
    ) -> AsyncIterator[Payer]:
        """Open the shop in a new browser context, without cookies."""
        context = await browser.new_context(
            locale=locale,
            viewport={"width": width, "height": 844},
            device_scale_factor=2,
            has_touch=True,
            user_agent=user_agent,
        )
        payer = cls(await context.new_page(), url, simulator)
        await payer.page.goto(url)
        yield payer
        await context.close()

    @property
    def complaints(self) -> list[str]:
        """Console errors (a broken policy is one), exceptions, and requests to other hosts."""
        return [text for text in self._complaints if not text.startswith(self.expected)]

    @property
    def number(self) -> str:
        """The out_trade_no of the cashier that is open."""
        found = PAY_PAGE.search(self.page.url)
        assert found, self.page.url
        return found[1]

    @property
    def sheet(self) -> FrameLocator:
        """WeChat's pay sheet."""
        return self.page.frame_locator("#wxsim-sheet")

    @property
    def pay_button(self) -> Locator:
        return self.page.locator("#pay")

    def text(self, words: str) -> Locator:
        """The elements that contain ``words``, visible or not."""
        return self.page.get_by_text(words)

    async def choose(self, sku: str, quantity: int = 1) -> None:
        """Choose products in the shop by tapping."""
        await self.page.locator(f".ware:has([value={sku}])").click()
        for _ in range(quantity - 1):
            await self.page.locator("[data-step='1']").click()

    async def check_out(self) -> None:
        """Go from the shop to the cashier, in a browser that has to be authorised first."""
        await self.pay_button.click()
        await self.page.locator("[data-user]").first.click()
        await self.page.wait_for_url(PAY_PAGE)
        await expect(self.pay_button).to_be_enabled()

    async def open_sheet(self) -> None:
        await self.pay_button.click()
        await expect(self.sheet.locator("#amount")).to_be_visible()

    async def pay(self, scenario: str = "success") -> None:
        """Pay at the cashier, through the pay sheet."""
        await self.open_sheet()
        await self.sheet.locator("#scenario").select_option(scenario)
        for digit in "123456":
            await self.sheet.locator(f'[data-key="{digit}"]').click()

    async def pay_behind_the_pages_back(self, scenario: str) -> None:
        """Pay with what the open sheet was given, so that the page's callback never comes."""
        frame = next(frame for frame in self.page.frames if "/simulator/sheet" in frame.url)
        query = parse_qs(urlsplit(frame.url).query)
        call = json.loads(query["params"][0]) | {"url": query["url"][0], "scenario": scenario}
        assert self.simulator.control("POST", "bridge", call)["err_msg"] == "get_brand_wcpay_request:ok"

    async def sees_paid(self) -> None:
        await expect(self.page.get_by_role("heading", name="支付成功")).to_be_visible(timeout=10_000)

    async def passes_time_until(self, seen: Locator) -> None:
        """Move the page's clock, which must be installed, in steps that leave its requests time to be answered."""
        for _ in range(60):
            await self.page.clock.run_for(3_000)
            if await seen.is_visible():
                return
            await self.page.wait_for_timeout(50)
        await expect(seen).to_be_visible()

    async def scrolls_sideways(self) -> bool:
        return bool(await self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def order(self, number: str) -> dict[str, Any]:
        """An order as the API returns it to the merchant's system, with its timeline."""
        return self._merchant_asks(f"/api/orders/{number}")

    def reports(self, number: str) -> list[dict[str, str]]:
        """The pages' reports of refusals of WeChat's browser for an order. The same basket is the same order."""
        return [line["detail"] for line in self.order(number)["timeline"] if line["what"] == "page_refused"]

    def order_count(self) -> int:
        return len(self._merchant_asks("/api/orders?limit=100")["orders"])

    def sent(self, method: str, path: str) -> int:
        """The number of requests by ``method`` that the page has sent to ``path``."""
        return self.requests.count(f"{method} {self.url}{path}")

    def _merchant_asks(self, path: str) -> dict[str, Any]:
        payload = ask("GET", self.url + path, headers={"Authorization": f"Bearer {API_KEY}"}).json()
        assert isinstance(payload, dict)
        return payload

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(message.text)

    def _sent(self, request: Request) -> None:
        self.requests.append(f"{request.method} {request.url}")
        parts = urlsplit(request.url)
        if parts.scheme != "data" and f"{parts.scheme}://{parts.netloc}" not in (self.url, self.simulator.url):
            self._complaints.append(f"request to {request.url}")
