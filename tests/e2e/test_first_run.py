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

from tests.e2e.first_run import DESK, PHONE, FirstRun, Visitor
from tests.e2e.pictures import put_side_by_side
from tests.support.demo import demo

MOST_BYTES = 200_000
PICTURES = ("console-orders", "console-order", "console-signed", "console-reconciliation")
OF_THE_PICTURES = Visitor("zh-CN", "light", DESK)
VISITORS = (OF_THE_PICTURES, Visitor("en-US", "light", PHONE), Visitor("zh-CN", "dark", DESK))
"""Each goes the whole way; a pair of settings that matter together is met by one of them."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """demo.json of a demo that nobody has used yet."""
    with demo(tmp_path_factory.mktemp("first-run") / "var") as running:
        yield running.told
        assert running.end(signal.SIGTERM) == 0


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return Path(os.environ.get("PICTURES") or tmp_path)


@pytest.mark.parametrize("visitor", VISITORS, ids=str)
async def test_the_first_five_minutes(
    browser: Browser, told: Mapping[str, str], pictures: Path, tmp_path: Path, visitor: Visitor
) -> None:
    kept = pictures if visitor == OF_THE_PICTURES else tmp_path
    async with FirstRun.begin(browser, told, kept, visitor) as run:
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
    if visitor == OF_THE_PICTURES:
        await put_side_by_side(browser, kept, PICTURES, "console", 520, 1100)
        for name in (*PICTURES, "console"):
            assert 10_000 < (kept / f"{name}.png").stat().st_size < MOST_BYTES, name


async def _pay_and_watch(run: FirstRun) -> str:
    """0:50 to 1:50: the row comes by itself while somebody else pays."""
    await run.open_shop()
    await expect(run.payer.locator(".ribbon")).to_contain_text(run.says("no_money"), ignore_case=True)
    await expect(run.payer.get_by_role("link", name=run.says("as_merchant"))).to_have_attribute("href", "/console")
    await expect(run.payer.get_by_role("link", name=run.says("as_developer"))).to_be_visible()
    await run.log_in()
    await run.watch_orders()
    number = await run.pay("success", asked_who=True)
    await expect(run.payer.get_by_role("heading", name=run.says("paid_heading"))).to_be_visible()
    await expect(run.payer.locator(".amount")).to_have_text("¥18.00")
    onward = run.payer.get_by_role("link", name=run.says("see_in_console"))
    await expect(onward).to_have_attribute("href", f"/console/orders/{number}")
    await expect(run.row(number)).to_contain_text("¥18.00")
    await expect(run.row(number)).to_contain_text(run.says("paid"), ignore_case=True)
    await run.picture(run.watcher, "console-orders")
    return number


async def _read_the_story(run: FirstRun, number: str) -> None:
    """2:00: every step, and the string that was signed."""
    await run.open_order(number)
    await expect(run.watcher.locator(".sentence")).to_contain_text("¥18.00")
    steps = run.watcher.locator(".timeline")
    for step in ("created", "placing", "placed", "received", "verified", "paid"):
        await expect(steps).to_contain_text(run.says(step), ignore_case=True)
    await run.picture(run.watcher, "console-order")
    signed = await run.open_signed_string(run.says("placing"))
    assert (await signed.inner_text()).startswith("POST⏎\n/v3/pay/transactions/jsapi⏎\n")
    await expect(run.watcher.locator(".timeline")).to_contain_text("curl")
    await signed.scroll_into_view_if_needed()
    await run.picture(run.watcher, "console-signed")


async def _refund_five_yuan(run: FirstRun, number: str) -> None:
    """3:00: a part goes back, and whoever paid sees how much, when, and whether it has arrived."""
    reason = run.says("reason")
    await run.refund("5.00", reason)
    amounts = run.watcher.locator(".facts > div", has_text=run.says("refundable"))
    await expect(amounts).to_contain_text("¥13.00")
    refund = run.watcher.locator("li", has_text=reason).first
    for text in ("¥5.00", run.says("refunded")):
        await expect(refund).to_contain_text(text, ignore_case=True)
    await run.payer.reload()
    await expect(run.payer.locator("main.rest.refund h1")).to_be_visible()
    await expect(run.payer.locator(".amount")).to_have_text("¥5.00")
    facts = " | ".join(await run.pay_row(run.payer))
    assert re.search(run.says("refund_facts") + r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", facts), facts
    await run.looks_as_asked(run.payer, run.watcher)
    await run.payer.get_by_role("link", name=run.says("back_to_shop")).click()


async def _lose_a_notification(run: FirstRun) -> str:
    """4:00: nothing tells the shop, and a query finds the payment."""
    number = await run.pay("lost_notification", asked_who=False)
    await run.watch_orders()
    await run.open_order(number)
    await expect(run.watcher.locator(".sentence")).to_contain_text(run.says("not_notified"), ignore_case=True)
    await expect(run.watcher.locator(".sentence")).to_contain_text(run.says("found_by_query"), ignore_case=True)
    await expect(run.watcher.locator(".timeline")).not_to_contain_text(run.says("received"), ignore_case=True)
    return number


async def _balance_the_day(run: FirstRun, number: str) -> None:
    """5:00: next morning WeChat's bill has a refund of which the books know nothing; a query puts it right."""
    await run.open_simulator()
    day = await run.read_day()
    await run.refund_elsewhere(number)
    await run.looks_as_asked(run.watcher)
    await run.move_to_next_morning()
    await run.open_console(f"reconciliation/{day}")
    difference = run.watcher.locator("section.difference")
    await run.reload_until(run.watcher, difference)
    await expect(difference).to_have_count(1)
    for text in (run.says("difference"), run.says("open"), number, "¥18.00", run.says("refunded")):
        await expect(difference).to_contain_text(text, ignore_case=True)
    await run.picture(run.watcher, "console-reconciliation")
    repair = difference.locator("details.act", has_text=run.says("query"))
    await repair.locator("summary").click()
    await run.step_up(repair)
    await repair.locator("button").click()
    await expect(run.watcher.locator(".flash")).to_be_visible()
    await expect(difference).to_contain_text(run.says("repaired"), ignore_case=True)
    await expect(difference).to_contain_text("demo")
    await run.open_console("audit?act=repair")
    line = run.watcher.locator("main tbody tr").first
    await expect(line).to_contain_text("demo")
    await expect(line).to_contain_text(run.says("repair"), ignore_case=True)
