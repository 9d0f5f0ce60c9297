"""``explain``: the meaning of an error of WeChat's, and what to do. Offline: it needs no service."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.text import Text as Styled

from cli.context import AsJson
from cli.output import Screen, clean, language, words
from cli.problems import Exit, Problem
from wechat.catalogue.catalogue import MOST_TEXT, NAMES, Entry, find
from wechat.domain.errors import Bilingual
from wechat.support.cli_hints import command

app = typer.Typer()

UNKNOWN = Bilingual(
    "目录里没有这个错误码或文字；请给出完整的错误应答（含 code、message 或 errcode、errmsg）",
    "This code or text is not in the catalogue; give the whole error response (with code and message, "
    "or errcode and errmsg)",
)


@app.command(
    help=words(
        "说明微信的错误码、错误文字或整段应答；不联网", "Explain an error code, text or response of WeChat; offline."
    ),
    context_settings={"ignore_unknown_options": True},
)
def explain(
    code: Annotated[
        list[str],
        typer.Argument(
            metavar="CODE",
            help=words("错误码、文字或应答，- 为标准输入", "error code, text or response; - for standard input"),
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Find the error in the catalogue and show it."""
    screen = Screen(language(), as_json=as_json)
    text = sys.stdin.read(MOST_TEXT) if code == ["-"] else " ".join(code)
    found = find(text)
    if not found:
        screen.problem(Problem(Exit.FAILED, "UNKNOWN_CODE", UNKNOWN, next_step=command("explain", "--help")))
        raise typer.Exit(int(Exit.FAILED))
    screen.show({"entries": [entry.as_json(screen.lang) for entry in found]}, *_views(found, screen.lang))
    screen.next_step(next((entry.next_step for entry in found if entry.next_step), ""))


def _views(found: Sequence[Entry], lang: str) -> Iterator[Styled]:
    for at, entry in enumerate(found):
        if at:
            yield Styled()
        yield Styled.assemble((entry.code, "bold"), f"  {NAMES[entry.api].to(lang)}")
        yield Styled(clean(entry.meaning.to(lang)))
        for number, cause in enumerate(entry.causes, 1):
            yield Styled(f"  {number}. {clean(cause.to(lang))}")
        yield Styled(f"{Bilingual('在哪里改', 'Where').to(lang)}  {entry.where.to(lang)}")
        yield Styled(f"{Bilingual('怎么办', 'What to do').to(lang)}  {entry.fix.to(lang)}", style="green")
        yield Styled(f"{Bilingual('依据', 'Source').to(lang)}  {entry.source}", style="dim")
