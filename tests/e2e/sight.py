"""What of a page is in sight: where boxes are, and what is on top there."""

from __future__ import annotations

from playwright.async_api import Locator, expect

ON_TOP = """element => {
    const { left, top, width, height } = element.getBoundingClientRect();
    return [top + 2, top + height - 2].every(
        y => element.contains(document.elementFromPoint(left + width / 2, y)));
}"""


async def stands_above(upper: Locator, lower: Locator) -> None:
    """Fails unless ``upper`` is whole in sight, nothing lies over it, and ``lower`` begins below it, in sight too."""
    await expect(upper).to_be_in_viewport(ratio=1)
    await expect(lower).to_be_in_viewport()
    assert await upper.evaluate(ON_TOP), "something lies over it"
    above, below = await upper.bounding_box(), await lower.bounding_box()
    assert above and below and above["y"] + above["height"] <= below["y"], (above, below)
