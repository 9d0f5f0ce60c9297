"""The overview's charts as a browser draws them: bars, amounts under the pointer, spans, the dark theme, a phone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.http.client import Shop
from tests.support.console import ConsoleBrowser, Operator
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess
from wechat.domain.staff import Role

PAID = 123_456
OVERVIEW = "/console/overview"
COUNT_PIXELS = """(canvas, name) => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  probe.fillRect(0, 0, 1, 1);
  const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at] === red && data[at + 1] === green && data[at + 2] === blue && data[at + 3] === 255) count += 1;
  return count;
}"""

READ_AGAIN = """async () => {
  const place = document.querySelector("[data-chart]");
  place.replaceWith(place.cloneNode(true));
  document.dispatchEvent(new CustomEvent("live:replaced"));
  const seen = new Set();
  for (let frame = 0; frame < 6; frame += 1) {
    await new Promise(requestAnimationFrame);
    if (frame > 1) seen.add(document.querySelector("[data-chart] p").textContent);
  }
  return [...seen];
}"""
"""What live.js does with the part of the page that has the charts; the heading of the hours from then on."""

ALARMS = "retry: 600000\n\nevent: alarms\ndata: {}\n\n"
"""A stream that announces alarms once and is not opened again during a test."""


@pytest.fixture(scope="module")
async def cookie(services: Mapping[str, ServiceProcess], simulator: SimulatorProcess) -> dict[str, str]:
    """The session cookie of a reader, once the figures include a payment."""
    service = services["v3"]
    async with Shop(service.url, simulator) as shop:
        await shop.scanned("success", total=PAID)
    await Operator(service.url).add_person("charts", Role.READER)
    async with ConsoleBrowser(service.url, "charts") as person:
        assert (await person.log_in()).status == 302
        for _ in range(300):
            if "¥1,234.56" in await person.page(OVERVIEW):
                break
            await asyncio.sleep(0.1)
        return {"name": "fenpay_staff", "value": person.cookies()["fenpay_staff"], "url": service.url}


@pytest.fixture
async def page(browser: Browser, service: ServiceProcess, cookie: Any) -> AsyncIterator[Page]:
    """The overview in a browser. The test fails if the browser has complained."""
    context = await browser.new_context(base_url=service.url, locale="zh-CN", color_scheme="light")
    await context.add_cookies([cookie])
    page, complaints = await context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(OVERVIEW)
    yield page
    await context.close()
    assert complaints == []


def chart(page: Page, number: int) -> Locator:
    """A chart: 0 shows the days, 1 the hours of one day."""
    return page.locator("[data-chart] .uplot").nth(number)


async def data(page: Page) -> dict[str, Any]:
    """The data of the charts, from the page's attribute ``data-chart``."""
    return dict(json.loads(str(await page.locator("[data-chart]").get_attribute("data-chart"))))


async def point_at(area: Locator, part: float) -> None:
    """Move the pointer to ``part`` of the width of a chart."""
    over = area.locator(".u-over")
    await over.scroll_into_view_if_needed()
    box = await over.bounding_box()
    assert box
    await over.hover(position={"x": box["width"] * part, "y": box["height"] / 2})


async def count_pixels(area: Locator, colour: str) -> int:
    """Count the pixels of a chart in the style sheet's colour ``colour``."""
    return int(await area.locator("canvas").evaluate(COUNT_PIXELS, colour))


async def test_bars_are_drawn_and_the_pointer_tells_hours_and_amounts(page: Page) -> None:
    drawn = await data(page)
    received, refunded = drawn["hours"][-1], drawn["refunded_hours"][-1]
    assert await count_pixels(chart(page, 0), "--green-ink") > 500
    assert await count_pixels(chart(page, 1), "--green-ink") > 500
    hour = max(range(24), key=received.__getitem__)
    await point_at(chart(page, 1), (hour + 0.6) / 24.2)
    values = chart(page, 1).locator(".u-value")
    expected = [f"{hour}:00", f"¥{received[hour] / 100:,.2f}", f"¥{refunded[hour] / 100:,.2f}"]
    await expect(values).to_have_text(expected)


async def test_the_hours_are_those_of_the_day_under_the_pointer(page: Page) -> None:
    days = (await data(page))["days"]
    heading = page.locator("[data-chart] p")
    await expect(heading).to_have_text(f"{days[-1]} 按小时")
    await point_at(chart(page, 0), 0.6 / 7.2)
    await expect(heading).to_have_text(f"{days[0]} 按小时")
    await expect(chart(page, 0).locator(".u-value")).to_have_text([days[0], "¥0.00", "¥0.00"])
    assert await count_pixels(chart(page, 1), "--green-ink") == 0


async def test_the_day_under_the_pointer_stays_when_the_figures_are_read_again(page: Page) -> None:
    days = (await data(page))["days"]
    await point_at(chart(page, 0), 0.6 / 7.2)
    heading = page.locator("[data-chart] p")
    await expect(heading).to_have_text(f"{days[0]} 按小时")
    seen = await page.evaluate(READ_AGAIN)
    assert seen == [f"{days[0]} 按小时"]
    await page.mouse.move(1, 1)
    await expect(heading).to_have_text(f"{days[-1]} 按小时")
    assert await page.evaluate(READ_AGAIN) == [f"{days[-1]} 按小时"]


async def test_alarms_renew_the_overview_and_a_table_that_was_closed_stays_closed(page: Page) -> None:
    await page.route("**/console/live?*", lambda route: route.fulfill(content_type="text/event-stream", body=ALARMS))
    async with page.expect_request("**/console/live?*") as stream:
        await page.reload()
    assert (await stream.value).url.endswith("?topic=orders&topic=alarms")
    table = page.locator("#history-table")
    await table.locator("summary").click()
    await page.locator("#parts").evaluate("parts => (parts.dataset.old = 1)")
    await expect(page.locator("#parts:not([data-old])")).to_have_count(1, timeout=10_000)
    await expect(table).to_have_js_property("open", False)


async def test_each_span_draws_its_days(page: Page) -> None:
    for days in (30, 90, 7):
        await page.get_by_role("link", name=f"{days} 天", exact=True).click()
        await page.wait_for_url(f"**{OVERVIEW}?days={days}#history")
        await expect(chart(page, 1)).to_be_visible()
        assert len((await data(page))["days"]) == days
        assert await count_pixels(chart(page, 0), "--green-ink") > 50


async def test_the_dark_theme_draws_in_its_own_colours(page: Page) -> None:
    light = await page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--green-ink')")
    await page.emulate_media(color_scheme="dark")
    assert light != await page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--green-ink')")
    for number in (0, 1):
        assert await count_pixels(chart(page, number), "--green-ink") > 500


async def test_a_phone_shows_the_charts_in_full(page: Page) -> None:
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.reload()
    await expect(chart(page, 1)).to_be_visible()
    for number in (0, 1):
        box = await chart(page, number).bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert await count_pixels(chart(page, number), "--green-ink") > 50
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
