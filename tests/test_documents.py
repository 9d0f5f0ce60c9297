"""The documents: pairs in two languages that agree, links that lead somewhere, the glossary's words, names that exist.

A failure names the file, the line or the words, and what is wrong with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGLISH, CHINESE = ROOT / "docs" / "en", ROOT / "docs" / "zh"
NAMES = sorted({page.name for folder in (ENGLISH, CHINESE) for page in folder.iterdir()})
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md", ROOT / "CONTRIBUTING.zh-CN.md")
PAGES = [*READMES, *CONTRIBUTING, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
IN_CHINESE = [READMES[1], CONTRIBUTING[1], *sorted(CHINESE.iterdir())]
IN_ENGLISH = [READMES[0], CONTRIBUTING[0], *sorted(ENGLISH.iterdir())]
GLOSSARY = "glossary.md"
"""The page whose tables hold terms of both languages."""

HAN = re.compile("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
FENCE = re.compile(r"\s*```(\w*)\s*$")
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
HEADING = re.compile(r"(#{1,6}) (.+)")
COMMENT = {"sh": "#", "yaml": "#", "python": "#", "mermaid": "%%"}
"""How a line begins that is a comment, by the language of its block."""


class Block(NamedTuple):
    """A fenced code block; lines that are comments are blanked but for the mark."""

    language: str
    lines: tuple[str, ...]


class Page(NamedTuple):
    """A document taken apart. ``prose`` are its lines outside fenced code; a blank one stands for each block."""

    prose: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Level and text of each."""
        found = [HEADING.fullmatch(line) for line in self.prose]
        return [(len(match[1]), match[2]) for match in found if match]

    @property
    def tables(self) -> list[list[int]]:
        """For each table, how many cells each row has."""
        tables: list[list[int]] = []
        before = ""
        for line in self.prose:
            if line.startswith("|"):
                if not before.startswith("|"):
                    tables.append([])
                tables[-1].append(len(cells(line)))
            before = line
        return tables

    @property
    def paragraphs(self) -> list[str]:
        """Headings, rows, items and the paragraphs between them, each as one line."""
        found = [""]
        for line in self.prose:
            if not line.strip() or re.match(r"\s*([-*|#]|\d+\.)", line):
                found.append("")
            found[-1] += f"{line.strip()} "
        return [text.strip() for text in found if text.strip()]


def parse(text: str) -> Page:
    prose: list[str] = []
    blocks: list[Block] = []
    code: list[str] = []
    language: str | None = None
    for line in text.splitlines():
        fence = FENCE.match(line)
        if fence and language is None:
            language = fence[1]
        elif fence and language is not None:
            blocks.append(Block(language, tuple(code)))
            prose.append("")
            code, language = [], None
        elif language is None:
            prose.append(line)
        else:
            mark = COMMENT.get(language, "\0")
            code.append(mark if line.strip().startswith(mark) else line)
    assert language is None, "a code block does not end"
    return Page(tuple(prose), tuple(blocks))


@cache
def page(file: Path) -> Page:
    return parse(file.read_text(encoding="utf-8"))


def cells(row: str) -> list[str]:
    """The cells of a table's row."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


# -- pairs ---------------------------------------------------------------------------------------------------------


def test_each_document_exists_in_both_languages_and_lies_in_a_folder_of_its_language() -> None:
    assert [file.name for file in sorted(ENGLISH.iterdir())] == [file.name for file in sorted(CHINESE.iterdir())]
    assert [file.name for file in (ROOT / "docs").iterdir() if file.is_file()] == []


def levels(one: Page) -> list[object]:
    return [level for level, _ in one.headings]


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_headings_of_the_same_levels(name: str) -> None:
    assert differences(ENGLISH / name, CHINESE / name, levels) == []


def test_the_readmes_have_headings_of_the_same_levels() -> None:
    assert differences(*READMES, levels) == []


def test_both_languages_of_contributing_agree() -> None:
    assert differences(*CONTRIBUTING, levels) == []
    assert differences(*CONTRIBUTING, lambda one: list(one.blocks)) == []
    assert differences(*CONTRIBUTING, lambda one: list(one.tables)) == []


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_code_but_for_comments(name: str) -> None:
    assert differences(ENGLISH / name, CHINESE / name, lambda one: list(one.blocks)) == []


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_tables_of_the_same_size(name: str) -> None:
    assert differences(ENGLISH / name, CHINESE / name, lambda one: list(one.tables)) == []


@pytest.mark.parametrize("name", NAMES)
def test_each_document_leads_to_the_other_language(name: str) -> None:
    assert f"[中文](../zh/{name})" in page(ENGLISH / name).prose
    assert f"[English](../en/{name})" in page(CHINESE / name).prose


def differences(english: Path, chinese: Path, part: Callable[[Page], Sequence[object]]) -> list[str]:
    """Return the parts in which two pages differ."""
    pairs = zip_longest(part(page(english)), part(page(chinese)))
    return [f"{named(english)}, number {n}: {one} is not {two}" for n, (one, two) in enumerate(pairs, 1) if one != two]


# -- links ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", PAGES, ids=named)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(file: Path) -> None:
    assert [problem for target in links(page(file)) if (problem := dead(file, target))] == []


def links(one: Page) -> list[str]:
    """The targets of links in prose, without those to other sites."""
    found = [match[2] for line in one.prose for match in LINK.finditer(CODE.sub("``", line))]
    return [target for target in found if not re.match(r"\w+:", target)]


def dead(file: Path, target: str) -> str:
    """Return what is wrong with a link of ``file``; empty when nothing is."""
    path, _, anchor = target.partition("#")
    goal = (file.parent / path).resolve() if path else file
    if not goal.exists():
        return f"{target} does not exist"
    if anchor and anchor not in anchors(page(goal)):
        return f"{target} is no heading there"
    return ""


def anchors(one: Page) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    found: set[str] = set()
    for _, text in one.headings:
        plain = LINK.sub(r"\1", text).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = sum(1 for other in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other))
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


# -- words ---------------------------------------------------------------------------------------------------------

DROPPED = (
    "分付", "代付", "入账", "本地微信", "本机微信", "我方", "原话", "真相", "埋", "定论", "阶梯", "补单", "到账通知",
    "商户密钥", "公众号", "付款人", "投递", "栅栏", "凭空", "快进", "拨动", "拨时钟", "门口", "寿命", "处理器",
    "答复", "回答", "了结", "一等公民", "另一副牌", "出账单", "API 证书", "IP 白名单", "JS 安全域名", "APIv3 密钥",
    "APIv2 密钥",
)  # fmt: skip
"""Chinese words for which the glossary has another one."""
DROPPED_ALONE = re.compile("(?<!核)对账单|(?<!与)额度|(?<!并)排空")
"""Three more; with what stands before them they are parts of other words, or a menu of WeChat's console."""
ENOUGH = 5
"""English words without a Chinese one that make a sentence rather than a name."""


WITH_CHINESE = [
    *IN_CHINESE,
    ROOT / "settings.yml",
    *sorted(file for file in (ROOT / "deploy").iterdir() if file.is_file()),
]


QUOTES_WECHAT = {"simulator/account/consent.py", "simulator/bills/calls.py"}
"""Texts of WeChat's own, word for word."""
SERVICE_FOLDERS = ("handlers", "service", "storage", "wechat")
CODE_FILES = [
    file
    for folder in (*SERVICE_FOLDERS, "cli", "doctor", "drill", "scripts", "simulator", "static", "templates")
    for file in sorted((ROOT / folder).rglob("*"))
    if file.suffix in (".py", ".html", ".js", ".json")
    and file.relative_to(ROOT).as_posix() not in QUOTES_WECHAT
    and "vendor" not in file.parts
]


@pytest.mark.parametrize("file", WITH_CHINESE, ids=named)
def test_no_chinese_text_uses_a_word_that_the_glossary_drops(file: Path) -> None:
    assert dropped(file.read_text(encoding="utf-8")) == []


def test_no_text_of_the_code_uses_a_word_that_the_glossary_drops() -> None:
    """The texts of the console, the pages, the command line and errors are checked."""
    texts = {file: file.read_text(encoding="utf-8") for file in CODE_FILES}
    assert any(HAN.search(texts[file]) for file in texts if "console/texts" in file.as_posix())
    assert {named(file): words for file, text in texts.items() if (words := dropped(text))} == {}


def dropped(text: str) -> list[str]:
    return [word for word in DROPPED if word in text] + DROPPED_ALONE.findall(text)


@pytest.mark.parametrize("file", IN_CHINESE, ids=named)
def test_no_paragraph_of_a_chinese_document_is_english(file: Path) -> None:
    assert english(page(file), terms=file.name == GLOSSARY) == []


def english(one: Page, *, terms: bool = False) -> list[str]:
    """Paragraphs, items and cells of prose in English only. With ``terms``, tables may hold them."""
    texts = [text for text in one.paragraphs if not text.startswith("|")]
    if not terms:
        texts += [cell for text in one.paragraphs if text.startswith("|") for cell in cells(text)]
    return [text for text in texts if not HAN.search(text) and len(re.findall("[A-Za-z]{2,}", said(text))) >= ENOUGH]


@pytest.mark.parametrize("file", IN_ENGLISH, ids=named)
def test_an_english_document_has_chinese_in_code_and_in_parentheses_only(file: Path) -> None:
    assert chinese(page(file), terms=file.name == GLOSSARY) == []


def chinese(one: Page, *, terms: bool = False) -> list[str]:
    """Paragraphs with Chinese outside code and parentheses; links to Chinese documents aside. With ``terms``, tables
    may hold it."""
    texts = [text for text in one.paragraphs if not (terms and text.startswith("|"))]
    return [text for text in texts if HAN.search(re.sub(r"\([^()]*\)", "", said(text)))]


def said(text: str) -> str:
    """Prose without code and addresses, and without links to documents of the other language."""
    text = LINK.sub(lambda match: "" if re.search(r"\bzh\b", match[2]) else match[1], CODE.sub("", text))
    return re.sub(r"<[^>]+>", "", text)


# -- names of files and of things in them --------------------------------------------------------------------------

FOLDERS = (
    "bench", "cli", "deploy", "docs", "drill", "handlers", "proof", "scripts", "service", "simulator", "static",
    "storage", "templates", "tests", "wechat",
)  # fmt: skip
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*")
EXAMPLES = {"thanks.py", "points.py", "doing.py"}
"""Files that a reader of the documents makes, and a name that CONTRIBUTING advises against."""


@pytest.mark.parametrize("file", [*IN_ENGLISH, *IN_CHINESE, *sorted((ROOT / "docs/adr").iterdir())], ids=named)
def test_every_file_that_is_named_exists(file: Path) -> None:
    assert [name for name in code_in(file) if names_no_file(name)] == []


def names_no_file(name: str) -> bool:
    """Whether ``name`` is written like a file of this project and is none."""
    if PATH.fullmatch(name):
        return not (ROOT / name).exists()
    return bool(re.fullmatch(r"\w+\.py", name)) and name not in EXAMPLES | {path.name for path in sources()}


@pytest.mark.parametrize("folder", [ENGLISH, CHINESE], ids=named)
def test_whatever_a_contributor_is_told_to_change_is_in_the_code(folder: Path) -> None:
    names = [name for name in code_in(folder / "where-does-it-go.md") if re.fullmatch(r"\w+(\.\w+)?", name)]
    assert names
    assert [name for name in names if not exists(name)] == []


@pytest.mark.parametrize("folder", [ENGLISH, CHINESE], ids=named)
def test_the_places_of_a_change_and_the_folders_of_the_parts_are_there(folder: Path) -> None:
    """The second column of both pages' tables; a file that moved is found even where another one has its name."""
    rows = [line for name in ("where-does-it-go.md", "architecture.md") for line in page(folder / name).prose]
    places = [code.strip("`") for row in rows if row.startswith("|") for code in CODE.findall(cells(row)[1])]
    assert places
    assert [place for place in places if not (ROOT / place).exists()] == []


def exists(name: str) -> bool:
    """Whether there is a file of that name, or the code names it."""
    return (ROOT / name).exists() or name.rpartition(".")[2] in words()


@cache
def words() -> frozenset[str]:
    """Every word of the code."""
    return frozenset(word for text in texts() for word in re.findall(r"\w+", text))


def code_in(file: Path) -> list[str]:
    """The inline code of a document, and of a plain link's label."""
    return [match[0].strip("`") for line in page(file).prose for match in CODE.finditer(line)]


@cache
def sources() -> list[Path]:
    """The Python files of the project."""
    return [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]


@cache
def texts() -> list[str]:
    files = [*sources(), *(ROOT / "templates").glob("*.html"), ROOT / "settings.yml"]
    return [path.read_text(encoding="utf-8") for path in files if path != Path(__file__)]


# -- the rules bite ------------------------------------------------------------------------------------------------


def test_code_is_compared_but_for_its_comments() -> None:
    one, two = parse("```sh\n# a\nmake run\n```"), parse("```sh\n# 甲\nmake run\n```")
    assert one.blocks == two.blocks
    assert one.blocks != parse("```sh\n# a\nmake test\n```").blocks
    assert one.blocks != parse("```sh\nmake run\n```").blocks
    assert parse("```\n# a\n```").blocks != parse("```\n# 甲\n```").blocks


def test_headings_and_tables_are_those_outside_code() -> None:
    one = parse("# A\n\n```\n# no heading\n| no | row |\n```\n\n## B\n\n| a | b |\n|---|---|\n| c \\| d | `e` |\n")
    assert (one.headings, one.tables) == ([(1, "A"), (2, "B")], [[2, 2, 2]])


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("docs/en/api.md", ""),
        ("docs/en/api.md#bills", ""),
        ("docs/zh/going-live.md#从-010-升级", ""),
        ("docs/adr", ""),
        ("docs/api.md", "docs/api.md does not exist"),
        ("docs/en/api.md#bill", "docs/en/api.md#bill is no heading there"),
    ],
)
def test_a_dead_link_is_found(target: str, problem: str) -> None:
    assert dead(ROOT / "README.md", target) == problem


def test_links_in_code_and_to_other_sites_are_left_alone() -> None:
    assert links(parse("[a](b.md), `[c](d.md)`, [e](https://example.com) ![f](g.png)")) == ["b.md", "g.png"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("向微信支付查询，并补录退款", []),
        ("核对账单，按接口权限与额度", []),
        ("我方入账", ["入账", "我方"]),
        ("下载对账单", ["对账单"]),
        ("退款额度", ["额度"]),
    ],
)
def test_a_dropped_word_is_found(text: str, words: list[str]) -> None:
    assert dropped(text) == words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("这是一段中文。\n\nThis is a whole paragraph in English.", 1),
        ("- 一项\n- one item that nobody has translated", 1),
        ("| a |\n|---|\n| one cell that nobody has translated |", 1),
        ("[English](../en/api.md)\n\n`one two three four five six`\n\nDjango REST framework", 0),
    ],
)
def test_english_in_a_chinese_document_is_found(text: str, found: int) -> None:
    assert len(english(parse(text))) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Press 微信支付 to pay", 1),
        ("| 字段 | field |", 1),
        ("A sentence，with a comma of the other language", 1),
        ("[中文](../zh/api.md)\n\nPress Pay (微信支付) under `产品中心`", 0),
        ("```\n微信支付\n```", 0),
    ],
)
def test_chinese_in_an_english_document_is_found(text: str, found: int) -> None:
    assert len(chinese(parse(text))) == found


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("wechat/domain/", False),
        ("server.py", False),
        ("thanks.py", False),
        ("order.paid", False),
        ("wechat/nowhere/", True),
        ("nowhere.py", True),
    ],
)
def test_a_file_that_does_not_exist_is_found(name: str, missing: bool) -> None:
    assert names_no_file(name) is missing
