"""The first minutes of somebody who has just started the demo: one browser pays, another one is at the console."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, expect

PHONE, DESK = (390, 844), (1280, 860)
ORDER_PAGE = re.compile(r"/console/orders/\w+$")


class FirstRun:
    """Two browsers at one demo, and the time since the first page was open.

    ``told`` is demo.json; ``pictures`` is where each minute's picture goes.
    """

    def __init__(self, payer: Page, watcher: Page, told: Mapping[str, str], pictures: Path) -> None:
        self.payer, self.watcher, self.told = payer, watcher, told
        self.complaints: list[str] = []
        self._pictures = pictures
        self._began = time.monotonic()
        for page in (payer, watcher):
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    @classmethod
    @asynccontextmanager
    async def begin(
        cls, browser: Browser, told: Mapping[str, str], pictures: Path, locale: str, size: tuple[int, int]
    ) -> AsyncIterator[FirstRun]:
        """``size`` is that of the one who watches; who pays has a phone."""
        contexts = [
            await browser.new_context(locale=locale, viewport={"width": width, "height": height})
            for width, height in (PHONE, size)
        ]
        pages = [await context.new_page() for context in contexts]
        yield cls(pages[0], pages[1], told, pictures)
        for context in contexts:
            await context.close()

    def passes_by(self, seconds: float) -> None:
        """Fails if this is later than a person with the document in hand would be."""
        taken = time.monotonic() - self._began
        assert taken <= seconds, f"{taken:.1f} s have passed, {seconds:g} s are allowed"

    async def picture(self, page: Page, name: str) -> None:
        await page.screenshot(path=self._pictures / f"{name}.png", animations="disabled")

    # -- who pays

    async def open_shop(self) -> None:
        await self.payer.goto(self.told["base_url"])

    async def pay(self, scenario: str, *, asked_who: bool) -> str:
        """From the shop to what the server says of it; the order's number."""
        await self.payer.locator("#pay").click()
        if asked_who:
            await self.payer.locator("[data-user]").first.click()
        await self.payer.wait_for_url("**/pay/*")
        await self.payer.locator("#pay:enabled").click()
        sheet = self.payer.frame_locator("#wxsim-sheet")
        await sheet.locator("#scenario").select_option(scenario)
        for digit in "123456":
            await sheet.locator(f'[data-key="{digit}"]').click()
        await expect(self.payer.locator("main.rest.paid h1")).to_be_visible(timeout=20_000)
        return self.payer.url.rpartition("/")[2]

    async def pay_row(self, page: Page) -> list[str]:
        """The pairs of the payer's list of facts, as they are read."""
        return [" ".join(text.split()) for text in await page.locator(".facts > div").all_inner_texts()]

    # -- who watches

    async def log_in(self) -> None:
        """By the link the first time; it is good once, and later by name and password."""
        await self.watcher.goto(self.told["console_login_url"])
        if "/console/enter" in self.watcher.url:
            self.complaints.clear()  # the browser's own line about the 403
            await self.watcher.goto(f"{self.told['console_url']}/login")
            await self.watcher.fill("#name", self.told["console_user"])
            await self.watcher.fill("#password", self.told["console_password"])
            await self.watcher.locator("form.login button").click()
        await self.watcher.wait_for_url("**/console/overview")

    async def open_console(self, path: str) -> None:
        await self.watcher.goto(f"{self.told['console_url']}/{path}")

    async def watch_orders(self) -> None:
        await self.open_console("orders")
        await expect(self.watcher.locator("[data-live-state]")).to_have_attribute("data-state", "on")

    def row(self, number: str) -> Locator:
        return self.watcher.locator(f"tr[data-number='{number}']")

    async def open_order(self, number: str) -> None:
        await self.row(number).locator("a").click()
        await self.watcher.wait_for_url(ORDER_PAGE)

    async def open_signed_string(self, title: str) -> Locator:
        """What was signed in the call ``title`` of the timeline."""
        step = self.watcher.locator(".timeline details", has_text=title).first
        await step.locator("summary").click()
        await step.locator("a[hx-get]").click()
        signed = step.locator("pre.signed").first
        await expect(signed).to_be_visible()
        return signed

    async def refund(self, yuan: str, reason: str) -> None:
        await self.watcher.locator("a[href$='/refund']").click()
        await self.watcher.fill("#amount", yuan)
        await self.watcher.fill("#reason", reason)
        await self.step_up(self.watcher.locator("form.panel"))
        await self.watcher.locator("form.panel button.primary").click()
        await self.watcher.wait_for_url(ORDER_PAGE)

    async def step_up(self, form: Locator) -> None:
        """Prove once more who one is, if that is asked."""
        if await form.locator("[name=step_up]").count():
            await form.locator("[name=step_up]").fill(self.told["console_password"])

    async def reload_until(self, page: Page, seen: Locator, tries: int = 40) -> None:
        """For pages that do not follow what happens by themselves."""
        for _ in range(tries):
            if await seen.count():
                return
            await page.wait_for_timeout(250)
            await page.reload()
        await expect(seen).to_be_visible()

    # -- the simulator

    async def open_simulator(self) -> None:
        await self.watcher.goto(f"{self.told['simulator_url']}/simulator/")

    async def read_day(self) -> str:
        """The day that it is in the simulation."""
        return (await self.watcher.locator("#now").inner_text())[:10]

    async def refund_elsewhere(self, number: str) -> None:
        """In the merchant console of WeChat Pay, so that the shop's books know nothing of it."""
        button = self.watcher.locator("[data-live=orders] tr", has_text=number).locator("[data-to$='/console/refunds']")
        await button.click()
        await expect(self.watcher.locator("[data-live=refunds] tr", has_text=number)).to_be_visible()

    async def move_to_next_morning(self) -> None:
        before = await self.read_day()
        await self.watcher.locator("#to-bill").click()
        await expect(self.watcher.locator("#now")).not_to_contain_text(before, timeout=15_000)
