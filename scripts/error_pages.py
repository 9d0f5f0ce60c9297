"""Write docs/en/errors.md and docs/zh/errors.md from the catalogue: ``python -m scripts.error_pages``."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.steps import ROOT
from wechat.catalogue.catalogue import NAMES, Entry, entries
from wechat.domain.errors import Bilingual

TITLE = Bilingual("错误码", "Error codes")
OTHER = Bilingual("[English](../en/errors.md)", "[中文](../zh/errors.md)")
INTRO = Bilingual(
    "本页由错误目录生成，不要手改：改 `wechat/catalogue/data/` 里的文件，再运行 `python -m scripts.error_pages`。\n"
    "`manage.py explain CODE` 给出同样的内容，参数可以是错误码、错误文字，或整段错误应答。",
    "This page is made from the catalogue; do not edit it: change the files in `wechat/catalogue/data/`, then run\n"
    "`python -m scripts.error_pages`. `manage.py explain CODE` says the same; it takes a code, a text, or a whole\n"
    "error answer.",
)
HEADER = Bilingual(
    "| 错误 | 含义 | 原因 | 在哪里改 | 怎么办 | 依据 |", "| Error | Meaning | Causes | Where | What to do | Source |"
)


def render(lang: str) -> str:
    """Return the page in one language."""
    return "\n".join(_lines(lang)) + "\n"


def _lines(lang: str) -> Iterator[str]:
    yield f"# {TITLE.to(lang)}"
    yield ""
    yield OTHER.to(lang)
    yield ""
    yield INTRO.to(lang)
    for api, name in NAMES.items():
        yield ""
        yield f"## {name.to(lang)}"
        yield ""
        yield HEADER.to(lang)
        yield "|---|---|---|---|---|---|"
        for entry in entries():
            if entry.api == api:
                yield _row(entry, lang)


def _row(entry: Entry, lang: str) -> str:
    names = [entry.code, *entry.also, *entry.texts[:2]]
    causes = ("；" if lang == "zh" else "; ").join(cause.to(lang) for cause in entry.causes)
    cells = (
        " ".join(f"`{name}`" for name in dict.fromkeys(names)),
        entry.meaning.to(lang),
        causes,
        entry.where.to(lang),
        entry.fix.to(lang) + (f" `{entry.next_step}`" if entry.next_step else ""),
        f"<{entry.source}>",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    for lang in ("en", "zh"):
        (ROOT / "docs" / lang / "errors.md").write_text(render(lang), encoding="utf-8")


if __name__ == "__main__":
    main()
