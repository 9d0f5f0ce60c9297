"""The console's templates and their texts fit together: each key exists, is used, and is there in both languages."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from handlers.console.navigation import MENU
from handlers.console.texts.approvals import STATES
from handlers.console.texts.audit import ACTS
from wechat.domain.approvals import ApprovalState
from wechat.domain.audit import Act
from wechat.domain.errors import Bilingual
from wechat.domain.labels import ROLES
from wechat.domain.staff import Role

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ROOT / "templates" / "console"
TEXTS = ROOT / "handlers" / "console" / "texts"
HAN = re.compile("[\u4e00-\u9fff]")
CALL = re.compile(r"\bt\(([^)]*)\)")
KEY = re.compile(r"""(?<![\[=])["'](\w+)["']""")
MODULES = sorted(path.stem for path in TEXTS.glob("*.py") if path.stem != "__init__")


def texts_of(module: str) -> Mapping[str, Bilingual]:
    found: Mapping[str, Bilingual] = importlib.import_module(f"handlers.console.texts.{module}").TEXTS
    return found


def module_of(template: Path) -> str:
    """``order_timeline.html`` is a part of ``order.html`` where there is no module of its own."""
    name = template.stem
    while name not in MODULES and "_" in name:
        name = name.rpartition("_")[0]
    return name if name in MODULES and template.parent == TEMPLATES else "common"


def asked_in(template: Path) -> set[str]:
    calls = CALL.findall(template.read_text(encoding="utf-8"))
    return {key for call in calls for key in KEY.findall(call)}


@pytest.mark.parametrize("module", MODULES)
def test_every_text_is_chinese_in_chinese_and_english_in_english(module: str) -> None:
    found = importlib.import_module(f"handlers.console.texts.{module}")
    tables = [value for value in vars(found).values() if isinstance(value, Mapping)]
    texts = [text for table in tables for text in table.values() if isinstance(text, Bilingual)]
    assert texts
    assert [text for text in texts if not HAN.search(text.zh) or not text.en or HAN.search(text.en)] == []


def test_every_act_and_every_role_has_a_name() -> None:
    assert (set(ACTS), set(ROLES), set(STATES)) == (set(Act), set(Role), set(ApprovalState))


def test_every_entry_of_the_menu_is_in_both_languages() -> None:
    labels = [*(group.label for group in MENU), *(entry.label for group in MENU for entry in group.entries)]
    assert [label for label in labels if not HAN.search(label.zh) or HAN.search(label.en)] == []


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.stem)
def test_every_key_that_a_template_names_exists(template: Path) -> None:
    known = {*texts_of("common"), *texts_of(module_of(template))}
    assert asked_in(template) - known == set()


@pytest.mark.parametrize("module", MODULES)
def test_every_text_is_used(module: str) -> None:
    used = {key for template in TEMPLATES.rglob("*.html") for key in asked_in(template)}
    for file in (ROOT / "handlers" / "console").glob("*.py"):
        used |= set(re.findall(r"[\"'](\w+)[\"']", file.read_text(encoding="utf-8")))
    assert set(texts_of(module)) - used == set()
