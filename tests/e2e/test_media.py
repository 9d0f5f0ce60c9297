"""What a reader's system asks of a page: more contrast, less motion, paper, a very large screen."""

from __future__ import annotations

import secrets

from playwright.async_api import Page, expect

from tests.e2e.payer import Payer
from tests.support.console import PASSWORD, Operator
from wechat.domain.staff import Role

COLOUR = "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]"


async def look(page: Page, selector: str, name: str) -> str:
    return str(await page.evaluate(COLOUR, [selector, name]))


async def test_more_contrast_makes_soft_text_as_dark_as_the_rest(payer: Payer) -> None:
    page = payer.page
    for url in (payer.url, f"{payer.simulator.url}/simulator/"):
        await page.goto(url)
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme, contrast="no-preference")
            assert await look(page, ".soft", "color") != await look(page, "body", "color")
            await page.emulate_media(color_scheme=scheme, contrast="more")
            assert await look(page, ".soft", "color") == await look(page, "body", "color")


async def test_less_motion_turns_nothing_quickly(payer: Payer) -> None:
    await payer.check_out()
    turning = "() => getComputedStyle(document.querySelector('.spinner')).animationDuration"
    assert await payer.page.evaluate(turning) == "0.9s"
    await payer.page.emulate_media(reduced_motion="reduce")
    assert await payer.page.evaluate(turning) == "4s"


async def test_a_paid_order_prints_as_a_receipt(payer: Payer) -> None:
    await payer.check_out()
    await payer.pay()
    await payer.sees_paid()
    await payer.page.emulate_media(media="print", color_scheme="dark")
    assert await look(payer.page, "body", "color") == "rgb(0, 0, 0)"
    for seen in (".amount", ".facts", "h1"):
        await expect(payer.page.locator(seen).first).to_be_visible()
    for hidden in (".button", "nav"):
        await expect(payer.page.locator(hidden).first).to_be_hidden()
    await payer.page.emulate_media(media="screen")


async def test_a_screen_of_four_thousand_pixels_shows_a_page_in_its_middle(payer: Payer) -> None:
    await payer.page.set_viewport_size({"width": 3840, "height": 2160})
    for url, part in ((payer.url, ".phone"), (f"{payer.simulator.url}/simulator/", "main")):
        await payer.page.goto(url)
        box = await payer.page.locator(part).bounding_box()
        assert box is not None
        assert 400 < box["width"] <= 1800
        assert abs(box["x"] + box["width"] / 2 - 1920) <= 8


async def test_a_screen_of_four_thousand_pixels_shows_the_console_in_its_middle(payer: Payer) -> None:
    name = f"w-{secrets.token_hex(6)}"
    await Operator(payer.url).add_person(name, Role.READER)
    await payer.page.set_viewport_size({"width": 3840, "height": 2160})
    await payer.page.goto(f"{payer.url}/console/login")
    await payer.page.fill("#name", name)
    await payer.page.fill("#password", PASSWORD)
    await payer.page.click("form.login button")
    box = await payer.page.locator(".inside > .columns").bounding_box()
    assert box is not None
    assert 1600 < box["width"] <= 1800
    assert abs(box["x"] + box["width"] / 2 - 1920) <= 8


async def test_a_small_phone_shows_how_many_above_the_button(payer: Payer) -> None:
    for height in (740, 667, 568):
        await payer.page.set_viewport_size({"width": 375, "height": height})
        await payer.page.goto(f"{payer.url}/shop")
        quantity = await payer.page.locator(".stepper").bounding_box()
        bar = await payer.page.locator(".bar").bounding_box()
        assert quantity and bar
        assert quantity["y"] + quantity["height"] <= min(bar["y"], height)
