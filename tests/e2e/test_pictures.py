"""The pictures of the README: what a payer sees, from a real run.

They are always taken and looked at. ``PICTURES=docs/pictures`` keeps them there, for when the pages have changed;
a plain run leaves the working tree alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.payer import Payer
from tests.e2e.pictures import put_side_by_side

MOST_BYTES = 200_000
STEPS = ("shop", "consent", "sheet", "paid")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return Path(os.environ.get("PICTURES") or tmp_path)


async def test_the_journey_fits_in_four_pictures(payer: Payer, browser: Browser, pictures: Path) -> None:
    page = payer.page
    await payer.choose("coffee")
    await page.screenshot(path=pictures / "shop.png")
    await payer.pay_button.click()
    await expect(page.locator("#consent")).to_be_visible()
    await page.screenshot(path=pictures / "consent.png")
    await page.locator("[data-user]").first.click()
    await payer.open_sheet()
    await page.screenshot(path=pictures / "sheet.png")
    for digit in "123456":
        await payer.sheet.locator(f'[data-key="{digit}"]').click()
    await payer.sees_paid()
    await page.screenshot(path=pictures / "paid.png")
    await put_side_by_side(browser, pictures, STEPS, "journey", 315)
    for name in (*STEPS, "journey"):
        picture = (pictures / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert 10_000 < len(picture) < MOST_BYTES, name
