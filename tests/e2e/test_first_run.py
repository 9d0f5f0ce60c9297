"""The first run as a new user walks through it: pay, see it at the console, refund, lose a notification, move the clock
to the next morning, reconcile, repair. Each minute says what is seen, and when at the latest.

The times are a person's, from the first page on; the scripts need a part of them. ``PICTURES=docs/pictures`` keeps the
pictures for the README.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.first_run import DESK, PHONE, FirstRun
from tests.e2e.pictures import put_side_by_side
from tests.support.demo import demo

MOST_BYTES = 400_000
PICTURES = ("console-orders", "console-order", "console-signed", "console-reconciliation")
CHINESE = re.compile(r"[\u4e00-\u9fff]+")
DATA = re.compile("拿铁咖啡|示例咖啡店|中文")
"""What an English page may say in Chinese: what a merchant has written, and the way to the other language."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """demo.json of a demo that nobody has used yet."""
    with demo(tmp_path_factory.mktemp("first-run") / "var") as running:
        yield running.told
        assert running.end(signal.SIGTERM) == 0


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return Path(os.environ.get("PICTURES") or tmp_path)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desktop", "phone"])
async def test_the_first_five_minutes(
    browser: Browser, told: Mapping[str, str], pictures: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    kept = pictures if size == DESK else tmp_path
    async with FirstRun.begin(browser, told, kept, "zh-CN", size) as run:
        paid = await _pay_and_watch(run)
        run.passes_by(60)
        await _read_the_story(run, paid)
        run.passes_by(130)
        await _refund_five_yuan(run, paid)
        run.passes_by(190)
        lost = await _lose_a_notification(run)
        run.passes_by(250)
        await _balance_the_day(run, lost)
        run.passes_by(340)
        assert "\n".join(run.complaints) == ""
    if size == DESK:
        await put_side_by_side(browser, kept, PICTURES, "console", 670)
        for name in (*PICTURES, "console"):
            assert 10_000 < (kept / f"{name}.png").stat().st_size < MOST_BYTES, name


async def _pay_and_watch(run: FirstRun) -> str:
    """0:50 to 1:50: the row comes by itself while somebody else pays."""
    await run.open_shop()
    await expect(run.payer.locator(".ribbon")).to_contain_text("不涉及真实资金")
    await expect(run.payer.get_by_role("link", name="我是商户：管理后台")).to_have_attribute("href", "/console")
    await expect(run.payer.get_by_role("link", name="我是开发者：微信模拟器")).to_be_visible()
    await run.log_in()
    await run.watch_orders()
    number = await run.pay("success", asked_who=True)
    await expect(run.payer.locator(".amount")).to_have_text("¥18.00")
    onward = run.payer.get_by_role("link", name="在管理后台查看")
    await expect(onward).to_have_attribute("href", f"/console/orders/{number}")
    await expect(run.row(number)).to_contain_text("¥18.00")
    await expect(run.row(number)).to_contain_text("已支付")
    await run.picture(run.watcher, "console-orders")
    return number


async def _read_the_story(run: FirstRun, number: str) -> None:
    """2:00: every step, and the string that was signed."""
    await run.open_order(number)
    await expect(run.watcher.locator(".sentence")).to_contain_text("支付 ¥18.00")
    steps = run.watcher.locator(".timeline")
    for step in ("创建订单", "JSAPI 下单", "下单成功", "收到微信支付通知", "验签通过", "已支付"):
        await expect(steps).to_contain_text(step)
    await run.picture(run.watcher, "console-order")
    signed = await run.open_signed_string("JSAPI 下单")
    assert (await signed.inner_text()).startswith("POST⏎\n/v3/pay/transactions/jsapi⏎\n")
    await expect(run.watcher.locator(".timeline")).to_contain_text("curl")
    await signed.scroll_into_view_if_needed()
    await run.picture(run.watcher, "console-signed")


async def _refund_five_yuan(run: FirstRun, number: str) -> None:
    """3:00: a part goes back, and whoever paid sees how much, when, and whether it has arrived."""
    await run.refund("5.00", "洒了半杯")
    for name, text in (("可退金额", "¥13.00"), ("洒了半杯", "¥5.00"), ("洒了半杯", "退款成功")):
        await expect(run.watcher.locator(".facts > div", has_text=name)).to_contain_text(text)
    await run.payer.reload()
    await expect(run.payer.locator("main.rest.refund h1")).to_be_visible()
    await expect(run.payer.locator(".amount")).to_have_text("¥5.00")
    facts = " | ".join(await run.pay_row(run.payer))
    assert re.search(r"支付金额 ¥18\.00 \| 退款金额 ¥5\.00 退款成功 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", facts), facts
    await run.payer.get_by_role("link", name="返回店铺").click()


async def _lose_a_notification(run: FirstRun) -> str:
    """4:00: nothing tells the shop, and a query finds the payment."""
    number = await run.pay("lost_notification", asked_who=False)
    await run.watch_orders()
    await run.open_order(number)
    await expect(run.watcher.locator(".sentence")).to_contain_text("支付通知没有到达")
    await expect(run.watcher.locator(".sentence")).to_contain_text("查单确认已支付")
    await expect(run.watcher.locator(".timeline")).not_to_contain_text("收到微信支付通知")
    return number


async def _balance_the_day(run: FirstRun, number: str) -> None:
    """5:00: next morning WeChat's bill has a refund of which the books know nothing; a query puts it right."""
    await run.open_simulator()
    day = await run.read_day()
    await run.refund_elsewhere(number)
    await run.move_to_next_morning()
    await run.open_console(f"reconciliation/{day}")
    difference = run.watcher.locator("section.difference")
    await run.reload_until(run.watcher, difference)
    await expect(difference).to_have_count(1)
    for text in ("账单有退款、系统无", "待处理", number, "¥18.00", "退款成功"):
        await expect(difference).to_contain_text(text)
    await run.picture(run.watcher, "console-reconciliation")
    repair = difference.locator("details.act", has_text="查询")
    await repair.locator("summary").click()
    await run.step_up(repair)
    await repair.locator("button").click()
    await expect(run.watcher.locator(".flash")).to_be_visible()
    await expect(difference).to_contain_text("已处理")
    await expect(difference).to_contain_text("demo")
    await run.open_console("audit?act=repair")
    line = run.watcher.locator("main tbody tr").first
    await expect(line).to_contain_text("demo")
    await expect(line).to_contain_text("处理差异")


async def test_the_same_in_english_up_to_the_refund(browser: Browser, told: Mapping[str, str], tmp_path: Path) -> None:
    async with FirstRun.begin(browser, told, tmp_path, "en-US", DESK) as run:
        await run.open_shop()
        await run.log_in()
        await run.watch_orders()
        number = await run.pay("success", asked_who=True)
        await expect(run.payer.get_by_role("heading", name="Paid")).to_be_visible()
        await expect(run.payer.get_by_role("link", name="See it in the console")).to_be_visible()
        await expect(run.row(number)).to_contain_text("Paid")
        await run.open_order(number)
        await run.refund("5.00", "half a cup was spilt")
        await expect(run.watcher.locator(".flash")).to_contain_text("is on its way")
        await run.payer.reload()
        await expect(run.payer.locator(".facts").last).to_contain_text("Refund")
        for page in (run.payer, run.watcher):
            assert CHINESE.findall(DATA.sub("", await page.inner_text("body"))) == []
        run.passes_by(190)
        assert "\n".join(run.complaints) == ""
