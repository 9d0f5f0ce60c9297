"""One design system: /console/design shows each class of components.css, and no other stylesheet has its own variant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMPONENTS = ROOT / "static/css/components.css"
OTHERS = sorted({*COMPONENTS.parent.glob("*.css"), ROOT / "simulator/static/simulator.css"} - {COMPONENTS})
MAIN = ("button", "field", "table", "badge", "tabs", "dialog", "flash", "timeline", "empty")
"""Those that are nothing but themselves. A page may arrange cards, facts and small parts; their looks are shared."""


def rules(sheet: Path) -> list[str]:
    """The selectors of ``sheet``, outside of the rules for paper."""
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text("utf-8"), flags=re.DOTALL)
    text = re.sub(r"@media print \{(?:[^{}]*\{[^{}]*\})*\s*\}", "", text)
    return [selector.strip() for each in re.findall(r"([^{}]+)\{", text) for selector in each.split(",")]


def test_the_page_of_components_shows_each_of_them() -> None:
    shown = set(re.findall(r"[a-z-]+", (ROOT / "templates/console/design.html").read_text("utf-8")))
    classes = {name for selector in rules(COMPONENTS) for name in re.findall(r"\.([a-z][a-z-]*)", selector)}
    assert len(classes) > 40
    assert classes - shown == set()


@pytest.mark.parametrize("sheet", OTHERS, ids=lambda sheet: sheet.name)
def test_no_page_has_its_own_variant_of_a_component(sheet: Path) -> None:
    own = re.compile(rf"(?:button|input|select|table|dialog|\.(?:{'|'.join(MAIN)}))(?::[a-z-]+)?")
    assert [selector for selector in rules(sheet) if own.fullmatch(selector)] == []
