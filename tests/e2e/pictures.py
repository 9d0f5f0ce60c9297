"""Several screenshots as one picture."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from playwright.async_api import Browser


async def put_side_by_side(
    browser: Browser, directory: Path, names: Sequence[str], name: str, width: int, page_width: int = 1400
) -> None:
    """``name.png`` in ``directory``: the pictures ``names``, each ``width`` pixels wide, in rows of ``page_width``."""
    images = "".join(
        f'<img src="data:image/png;base64,{base64.b64encode((directory / f"{each}.png").read_bytes()).decode()}">'
        for each in names
    )
    page = await browser.new_page(viewport={"width": page_width, "height": 700})
    await page.set_content(
        "<style>body { margin: 0; padding: 20px; display: flex; flex-wrap: wrap; gap: 20px; background: #dfe5e1 }"
        f"img {{ width: {width}px; border-radius: 22px; background: #fff }}</style>{images}"
    )
    await page.locator("body").screenshot(path=directory / f"{name}.png")
    await page.close()
