"""The first minutes of somebody who has just started the demo: one browser pays, another one is at the console."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Locator, Page, expect

from wechat.domain.errors import Bilingual

PHONE, DESK = (390, 844), (1280, 860)
ORDER_PAGE = re.compile(r"/console/orders/\w+$")
CHINESE = re.compile(r"[\u4e00-\u9fff]+")
DATA = re.compile("拿铁咖啡|示例咖啡店|中文|用户[甲乙]|[甲乙]|洒了半杯")
"""What an English page may say in Chinese: what people have written, their names, and the way to the other language."""
SAYS = {
    "no_money": Bilingual("不涉及真实资金", "no real money moves"),
    "as_merchant": Bilingual("我是商户：管理后台", "I am the merchant: console"),
    "as_developer": Bilingual("我是开发者：微信模拟器", "I am a developer: WeChat simulator"),
    "paid_heading": Bilingual("支付成功", "Paid"),
    "see_in_console": Bilingual("在管理后台查看", "See it in the console"),
    "back_to_shop": Bilingual("返回店铺", "Back to the shop"),
    "refund_facts": Bilingual(
        r"支付金额 ¥18\.00 \| 退款金额 ¥5\.00 退款成功", r"Paid ¥18\.00 \| Refund ¥5\.00 Refunded"
    ),
    "paid": Bilingual("已支付", "paid"),
    "created": Bilingual("创建订单", "created"),
    "placing": Bilingual("JSAPI 下单", "place the order (JSAPI)"),
    "placed": Bilingual("下单成功", "placed at WeChat"),
    "received": Bilingual("收到微信支付通知", "Notification from WeChat Pay"),
    "verified": Bilingual("验签通过", "signature verified"),
    "reason": Bilingual("洒了半杯", "half a cup was spilt"),
    "refundable": Bilingual("可退金额", "Can be refunded"),
    "refunded": Bilingual("退款成功", "refunded"),
    "not_notified": Bilingual("支付通知没有到达", "notification never arrived"),
    "found_by_query": Bilingual("查单确认已支付", "found the payment"),
    "difference": Bilingual("账单有退款、系统无", "refund on bill only"),
    "open": Bilingual("待处理", "open"),
    "query": Bilingual("查询", "Query"),
    "repaired": Bilingual("已处理", "repaired"),
    "repair": Bilingual("处理差异", "Repaired a difference"),
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """The language, colour scheme and window of a first run. ``size`` is the console's; the payer has a phone."""

    locale: str
    scheme: Literal["light", "dark"]
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.locale}-{self.scheme}-{'phone' if self.size == PHONE else 'desktop'}"


class FirstRun:
    """Two browsers at one demo, and the time since the first page was open.

    ``told`` is demo.json; ``pictures`` is where each minute's picture goes.
    """

    def __init__(self, payer: Page, watcher: Page, told: Mapping[str, str], pictures: Path, visitor: Visitor) -> None:
        self.payer, self.watcher, self.told = payer, watcher, told
        self._visitor = visitor
        self.complaints: list[str] = []
        self._pictures = pictures
        self._began = time.monotonic()
        for page in (payer, watcher):
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    @classmethod
    @asynccontextmanager
    async def begin(
        cls, browser: Browser, told: Mapping[str, str], pictures: Path, visitor: Visitor
    ) -> AsyncIterator[FirstRun]:
        contexts = [
            await browser.new_context(
                locale=visitor.locale, color_scheme=visitor.scheme, viewport={"width": width, "height": height}
            )
            for width, height in (PHONE, visitor.size)
        ]
        pages = [await context.new_page() for context in contexts]
        yield cls(pages[0], pages[1], told, pictures, visitor)
        for context in contexts:
            await context.close()

    def says(self, name: str) -> str:
        """The text ``name`` of a page in the visitor's language."""
        return SAYS[name].to(self._visitor.locale[:2])

    async def looks_as_asked(self, *pages: Page) -> None:
        """Fails for Chinese on a page that is read in English, for a page too wide, and for a bright page in the dark."""
        for page in pages:
            if self._visitor.locale.startswith("en"):
                assert CHINESE.findall(DATA.sub("", await page.inner_text("body"))) == [], page.url
            assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth"), page.url
            ground = await page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            assert (max(ground) < 64) == (self._visitor.scheme == "dark"), (page.url, ground)

    def passes_by(self, seconds: float) -> None:
        """Fails if this is later than a person with the document in hand would be."""
        taken = time.monotonic() - self._began
        assert taken <= seconds, f"{taken:.1f} s have passed, {seconds:g} s are allowed"

    async def picture(self, page: Page, name: str) -> None:
        await page.screenshot(path=self._pictures / f"{name}.png", animations="disabled")

    # -- who pays

    async def open_shop(self) -> None:
        """Open the shop by the first of the three links on the start page."""
        await self.payer.goto(self.told["base_url"])
        await expect(self.payer.locator(".doors a")).to_have_count(3)
        await self.payer.locator(".doors a").first.click()
        await self.payer.wait_for_url("**/shop")

    async def pay(self, scenario: str, *, asked_who: bool) -> str:
        """Pay in the shop until the page shows the order as paid; return the order's number."""
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
        """Log in by the link, which works once; later by name and password."""
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
        """Open the signed string of the call ``title`` in the timeline, and return its element."""
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
        """Enter the password where ``form`` asks for a step-up."""
        if await form.locator("[name=step_up]").count():
            await form.locator("[name=step_up]").fill(self.told["console_password"])

    async def reload_until(self, page: Page, seen: Locator, tries: int = 40) -> None:
        """Reload a page without live updates until ``seen`` is on it. Fails after ``tries``."""
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
        """Read the simulated day."""
        return (await self.watcher.locator("#now").inner_text())[:10]

    async def refund_elsewhere(self, number: str) -> None:
        """Refund in WeChat Pay's merchant console, so that the shop's ledger does not know of the refund."""
        button = self.watcher.locator("[data-live=orders] tr", has_text=number).locator("[data-to$='/console/refunds']")
        await button.click()
        await expect(self.watcher.locator("[data-live=refunds] tr", has_text=number)).to_be_visible()

    async def move_to_next_morning(self) -> None:
        before = await self.read_day()
        await self.watcher.locator("#to-bill").click()
        await expect(self.watcher.locator("#now")).not_to_contain_text(before, timeout=15_000)
