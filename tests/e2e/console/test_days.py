"""The days of three people who have a browser and nothing else: the owner, somebody from support, the accountant.

They share one shop, whose clock is moved to the next morning once; each test goes on where the one before it ended.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.e2e.sight import stands_above
from tests.http.client import Shop
from tests.support.console import PASSWORD, Operator
from tests.support.servers import running
from tests.support.service import ServiceProcess, overlay
from tests.support.sheets import read_csv, read_xlsx
from tests.support.simulator import SimulatorProcess
from wechat.domain.staff import Role

PHONE, DESK = (360, 740), (1280, 860)
ABOVE = 500
"""Fen above which a refund needs a second person."""
MONTH = ["日期", "支付笔数", "收款（元）", "退款笔数", "退款（元）", "手续费（元）", "净额（元）", "差异数"]
ORDERS = (
    "下单时间",
    "商户订单号",
    "微信支付订单号",
    "状态",
    "商品",
    "金额（元）",
    "用户支付（元）",
    "已退款（元）",
    "支付时间",
    "状态代码",
)
ORDER_PAGE = re.compile(r"/console/orders/\w+$")


@pytest.fixture(scope="module")
def simulator(directory: Path) -> Iterator[SimulatorProcess]:
    """A simulator whose clock can be moved."""
    process = SimulatorProcess.start(directory / "days-wechat", calendar="simulated")
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
def service(directory: Path, simulator: SimulatorProcess) -> Iterator[ServiceProcess]:
    mongo, redis = EmbeddedMongo(directory / "days-mongo"), EmbeddedRedis(directory / "days-redis")
    with running(mongo), running(redis):
        settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, directory)
        settings["books"]["directory"] = str(directory / "days-bills")
        settings["console"] = {"second_person_above": ABOVE}
        process = ServiceProcess.start(directory, settings, "days")
        yield process
        assert process.stop() == 0


class Sold(NamedTuple):
    """Orders of the first day: paid, paid with a lost notification, paid twice, and one that is refunded in WeChat's own
    console. ``transaction_id`` is that of the first."""

    paid: str
    late: str
    twice: str
    elsewhere: str
    transaction_id: str
    day: str


@pytest.fixture(scope="module")
async def sold(service: ServiceProcess, simulator: SimulatorProcess) -> AsyncIterator[Sold]:
    async with Shop(service.url, simulator) as shop:
        orders = [await shop.scanned("success", description=f"拿铁 {n}", total=n) for n in (2810, 2820, 2830)]
        late = await shop.scanned("lost_notification", description="拿铁 2840", total=2840)
        for number in orders:
            await until_paid(shop, number)
        transaction = str((await shop.stored(orders[0]))["transaction_id"])
        day = str(simulator.control("GET", "clock")["now"])[:10]
        yield Sold(orders[0], late, orders[1], orders[2], transaction, day)


async def until_paid(shop: Shop, number: str) -> None:
    for _ in range(200):
        if await shop.state(number) == "SUCCESS":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(number)


class Person:
    """A person who uses the console. ``complaints`` holds the exceptions that the pages did not catch."""

    def __init__(self, page: Page, url: str, name: str) -> None:
        self.page, self.url, self.name = page, url, name
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def log_in(self) -> None:
        await self.page.goto(f"{self.url}/console/login")
        await self.page.fill("#name", self.name)
        await self.page.fill("#password", PASSWORD)
        await self.page.locator("form.login button").click()
        await self.page.wait_for_url("**/console/overview")

    async def choose(self, entry: str) -> None:
        """Choose an entry of the menu; a phone opens the menu with a button first."""
        if await self.page.locator(".open-menu").is_visible():
            await self.page.locator(".open-menu").click()
        await self.page.locator("#menu").get_by_role("link", name=entry, exact=True).click()

    async def find_order(self, text: str) -> None:
        """Search for an order by any text known of it, and open its page."""
        await self.page.fill("#search", text)
        await self.page.keyboard.press("Enter")
        await self.page.locator("tr[data-number] a").click()
        await self.page.wait_for_url(ORDER_PAGE)

    async def press(self, name: str, within: Locator | None = None) -> None:
        """Press a button, after entering the password where a step-up asks for it."""
        place = within or self.page.locator("main")
        proof = place.locator("[name=step_up]:visible")
        if await proof.count():
            await proof.fill(PASSWORD)
        await place.get_by_role("button", name=name, exact=True).click()

    async def act_on(self, card: Locator, act: str) -> None:
        """Open what can be done to a difference, and do it."""
        await card.locator("summary").filter(has_text=act).click()
        await self.press(act, card)

    async def download(self, link: str) -> tuple[str, bytes]:
        """Download a file by its link; return its name and content."""
        async with self.page.expect_download() as download:
            await self.page.get_by_role("link", name=link).click()
        saved = await download.value
        return saved.suggested_filename, await asyncio.to_thread(Path(await saved.path()).read_bytes)

    async def is_told(self, text: str) -> None:
        await expect(self.page.locator(".flash")).to_contain_text(text)


@pytest.fixture(scope="module")
async def people(browser: Browser, service: ServiceProcess) -> AsyncIterator[Mapping[str, Person]]:
    """The owner, an administrator, is there already; the two others are added by the owner's day."""
    names = {each: f"{each}-{secrets.token_hex(4)}" for each in ("owner", "support", "finance")}
    await Operator(service.url).add_person(names["owner"], Role.ADMIN)
    async with AsyncExitStack() as stack:
        persons = {}
        for each, name in names.items():
            width, height = PHONE if each == "support" else DESK
            context = await browser.new_context(locale="zh-CN", viewport={"width": width, "height": height})
            stack.push_async_callback(context.close)
            persons[each] = Person(await context.new_page(), service.url, name)
        yield persons
        assert [each.complaints for each in persons.values()] == [[], [], []]


async def test_the_owner_lets_two_people_in(people: Mapping[str, Person]) -> None:
    owner = people["owner"]
    await owner.log_in()
    for each in ("support", "finance"):
        await owner.choose("用户")
        form = owner.page.locator("form[action='/console/people']")
        await form.locator("#name").fill(people[each].name)
        await form.locator("#role").select_option(each)
        await form.locator("#password").fill(PASSWORD)
        await owner.press("添加用户", form)
        await owner.is_told(f"已添加用户 {people[each].name}")
        await people[each].log_in()


async def test_support_finds_a_payment_by_what_a_screenshot_shows(people: Mapping[str, Person], sold: Sold) -> None:
    support = people["support"]
    for shown in (sold.transaction_id, sold.transaction_id[-6:], sold.paid, sold.paid[-8:], "¥28.10", "拿铁 2810"):
        await support.find_order(shown)
        assert support.page.url.endswith(sold.paid), shown
    await expect(support.page.locator("main")).to_contain_text(sold.transaction_id)


async def test_support_says_why_it_is_late(people: Mapping[str, Person], sold: Sold) -> None:
    support = people["support"]
    await support.find_order(sold.late)
    await support.press("向微信支付查单")
    await expect(support.page.locator(".page-head .badge")).to_have_text("已支付")
    await expect(support.page.locator(".sentence")).to_contain_text("支付通知没有到达")
    await expect(support.page.locator("main").get_by_role("link", name="退款", exact=True)).to_have_count(0)
    await support.page.fill("#note", "已回复用户：通知未到，已查单")
    await support.press("保存备注")
    await expect(support.page.locator(".note")).to_have_text("已回复用户：通知未到，已查单")


async def test_a_part_is_refunded_with_the_owners_word(people: Mapping[str, Person], sold: Sold) -> None:
    finance, owner = people["finance"], people["owner"]
    await finance.find_order(sold.paid)
    await finance.page.locator("main").get_by_role("link", name="退款", exact=True).click()
    await finance.page.fill("#amount", "28.11")
    await finance.page.fill("#reason", "牛奶洒了")
    await finance.press("确认退款")
    await expect(finance.page.locator("#amount-error")).to_be_visible()
    await finance.page.fill("#amount", "8.00")
    await finance.press("确认退款")
    await finance.is_told("等待第二人复核")
    waits = finance.page.locator("section[aria-label='等待第二人复核']")
    await expect(waits).to_contain_text("¥8.00")
    await owner.choose("概览")
    needs = owner.page.locator(".needs li", has_text="牛奶洒了")
    await needs.get_by_role("link", name="查看").click()
    await owner.press("复核通过并执行")
    await owner.is_told("已复核并执行")
    await expect(finance.page.locator("section[aria-labelledby=refunds]")).to_contain_text("¥8.00", timeout=15_000)
    await expect(waits).to_have_count(0)
    await expect(finance.page.locator("section[aria-labelledby=amounts]")).to_contain_text("¥20.10")


async def test_yesterday_has_two_differences(
    people: Mapping[str, Person], sold: Sold, simulator: SimulatorProcess
) -> None:
    simulator.control("POST", f"orders/{sold.twice}/payments", {"user": "yi"})
    simulator.control("POST", "console/refunds", {"out_trade_no": sold.elsewhere, "refund": 700, "reason": "by hand"})
    simulator.skip_to_next_noon()
    finance = people["finance"]
    await finance.choose("对账")
    await finance.page.get_by_role("link", name="昨天").click()
    await finance.press("立即对账" if await finance.page.get_by_role("button", name="立即对账").count() else "重新对账")
    await expect(finance.page.locator(".difference")).to_have_count(2)
    await expect(finance.page.locator(".difference .badge.bad")).to_have_count(2)


async def test_a_difference_is_repaired_by_a_query(people: Mapping[str, Person], sold: Sold) -> None:
    finance, owner = people["finance"], people["owner"]
    card = finance.page.locator(".difference", has_text="账单有退款、系统无")
    await expect(card.locator("tr", has_text="金额")).to_contain_text("没有记录 ¥7.00", use_inner_text=True)
    await finance.act_on(card, "查询")
    await finance.is_told("操作完成，这条差异现在：已处理")
    await stands_above(finance.page.locator("main > .flash"), card)
    await expect(card.locator(".card-head .badge")).to_have_text("已处理")
    await expect(card.locator("li")).to_contain_text([f"{finance.name} · 查询 → 已处理"])
    await card.get_by_role("link", name=sold.elsewhere).click()
    await expect(finance.page.locator("section[aria-labelledby=refunds]")).to_contain_text("¥7.00")
    await finance.page.go_back()
    await owner.choose("审计记录")
    done = owner.page.locator("tbody tr", has_text="处理差异").first
    await expect(done).to_contain_text(finance.name)
    await expect(done).to_contain_text(
        "查询（query）；账单有退款、系统无（refund_missing_here） 已处理（repaired） ¥7.00"
    )


async def test_a_second_payment_is_refunded_with_the_owners_word(people: Mapping[str, Person], sold: Sold) -> None:
    finance, owner = people["finance"], people["owner"]
    twice = finance.page.locator(".difference", has_text="重复支付")
    await finance.act_on(twice, "退款")
    await expect(twice).to_contain_text("退款等待第二人复核")
    await owner.choose("待复核")
    await owner.press("复核通过并执行")
    await owner.is_told("已复核并执行")
    await finance.press("重新对账")
    await expect(finance.page.locator(".difference .badge.bad")).to_have_count(0)
    await finance.page.locator("h1 a").click()  # the calendar of that month
    await expect(finance.page.locator(f"td a[href='/console/reconciliation/{sold.day}']")).to_contain_text("差异已处理")


async def test_the_month_is_exported_with_the_sums_of_its_days(people: Mapping[str, Person], sold: Sold) -> None:
    finance = people["finance"]
    for kind, read in (("CSV", read_csv), ("XLSX", read_xlsx)):
        name, content = await finance.download(f"导出本月 {kind}")
        assert name == f"reconciliation-{sold.day[:7]}.{kind.lower()}"
        headings, *days = read(content)
        assert headings == MONTH
        [row] = [each for each in days if each[0] == sold.day]
        # Four orders and a second payment of 28.20; a refund here and one in WeChat Pay's console.
        assert row[:5] == [sold.day, "5", "141.20", "2", "15.00"]
        fee, net = (Decimal(cell) for cell in row[5:7])
        assert fee > 0 and net == Decimal("141.20") - Decimal("15.00") - fee
        assert row[7] == "1"  # the last reconciliation knew the refund, and found the second payment


async def test_the_orders_of_the_day_are_exported(
    people: Mapping[str, Person], sold: Sold, service: ServiceProcess, simulator: SimulatorProcess
) -> None:
    finance = people["finance"]
    await finance.choose("订单")
    for field in ("#from", "#to"):
        await finance.page.fill(field, sold.day)
    await finance.press("筛选")
    await expect(finance.page.locator("tr[data-number]")).to_have_count(4)
    async with Shop(service.url, simulator) as shop:
        numbers = (sold.paid, sold.late, sold.twice, sold.elsewhere)
        expected = sorted([exported(await shop.stored(number)) for number in numbers])
    for kind, read in (("CSV", read_csv), ("XLSX", read_xlsx)):
        _, content = await finance.download(f"导出 {kind}")
        headings, *rows = read(content)
        columns = [headings.index(name) for name in ORDERS]
        assert sorted([row[column] for column in columns] for row in rows) == expected


def exported(order: Mapping[str, Any]) -> list[str]:
    """The cells of an order, by ``ORDERS``, made from what the HTTP interface says of it: RFC 3339 and fen."""
    state = {"SUCCESS": "已支付", "REFUND": "已支付（有退款）"}[order["trade_state"]]
    cells = [in_beijing(order["created_at"]), order["out_trade_no"], order["transaction_id"], state]
    amounts = [f"{order[name] / 100:.2f}" for name in ("total", "payer_total", "refunded")]
    return [*cells, order["description"], *amounts, in_beijing(order["paid_at"]), order["trade_state"]]


def in_beijing(moment: str) -> str:
    at = datetime.fromisoformat(moment).astimezone(timezone(timedelta(hours=8)))
    return at.strftime("%Y-%m-%d %H:%M:%S")


async def test_the_owner_sees_the_day_before(people: Mapping[str, Person], sold: Sold) -> None:
    owner = people["owner"]
    await owner.choose("概览")
    row = owner.page.locator("#history-table tr", has_text=sold.day)
    await expect(row).to_contain_text("¥113.00")
    await owner.choose("审计记录")
    await expect(owner.page.locator("main")).to_contain_text("复核通过")
