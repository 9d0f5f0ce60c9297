"""The output of a command: data on stdout, messages, questions and progress on stderr.

With ``--json`` stdout carries exactly one document, and so does stderr when the command fails. Progress bars are drawn
on a terminal only, colours as ``NO_COLOR`` says. The language is Chinese unless the locale is an English one.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import typer
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text as Styled

from cli.problems import Exit, Problem
from wechat.domain.errors import Bilingual
from wechat.domain.labels import label
from wechat.domain.money import yuan
from wechat.domain.times import beijing, from_v3
from wechat.support.cli_hints import command

WIDTH = 240  # columns of a table that goes into a file or a pipe
FOLDED = 12  # columns that the last one of a table keeps, on however narrow a terminal
ELIDED = 7  # columns that any other text keeps
WHOLE = re.compile(r"[!-~¥]+|[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}", re.ASCII)
"""Texts that no column cuts: numbers and words, which people copy, and short dates."""
DATE = re.compile(r"\b[0-9]{4}-([0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}):[0-9]{2}\b", re.ASCII)
UNBOUNDED = 10_000
GAP = "   "


class Screen:
    """The two streams of one command, in the reader's language."""

    def __init__(self, lang: str, *, as_json: bool = False) -> None:
        self.lang = lang
        self.as_json = as_json
        self._out, self._err = _console(sys.stdout), _console(sys.stderr)
        self.interactive = sys.stdin.isatty() and sys.stderr.isatty()
        self._bars = sys.stderr.isatty() and not as_json

    def show(self, document: Any, *views: RenderableType) -> None:
        """Print the answer: ``document`` with ``--json``, otherwise ``views``."""
        if self.as_json:
            typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
            return
        for view in views:
            self._out.print(view, soft_wrap=isinstance(view, Styled))  # a sentence is one line, tables have a width

    def emit(self, document: Any, line: Styled) -> None:
        """Print one piece of a continuing answer: a line of JSON, or a line for a person. Exits when stdout's reader is
        gone."""
        with self._out.capture() as captured:
            self._out.print(line, soft_wrap=True)
        try:
            typer.echo(json.dumps(document, ensure_ascii=False) if self.as_json else captured.get().rstrip("\n"))
        except BrokenPipeError:  # as after "| head"
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None

    def preview(self, *views: RenderableType) -> None:
        """Print for a person what a following question is about; nothing with ``--json``."""
        if not self.as_json:
            self.show(None, *views)

    def say(self, text: Bilingual) -> None:
        """Print a message on stderr; nothing with ``--json``."""
        if not self.as_json:
            self._err.print(Styled(clean(text.to(self.lang))), soft_wrap=True)

    def next_step(self, line: str) -> None:
        """Print the next command, if there is one."""
        if line:
            self.say(Bilingual(f"下一步：{line}", f"Next: {line}"))

    def confirm(self, question: Callable[[], Bilingual], *, yes: bool) -> None:
        """Ask before an action that cannot be undone. Raises Problem if the answer is no or nobody can be asked."""
        self.must_answer(yes=yes)
        if not yes and not self._confirm(question()):
            raise Problem(Exit.FAILED, "CANCELLED", Bilingual("没有做任何事", "Nothing was done"))

    def _confirm(self, question: Bilingual) -> bool:
        """Return whether the answer is ``y``; nothing else agrees."""
        self._err.print(Styled(f"{clean(question.to(self.lang))} [y/N] "), soft_wrap=True, end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def must_answer(self, *, yes: bool) -> None:
        """Raise Problem if nobody can be asked: without a terminal, or with ``--json``."""
        if not yes and (self.as_json or not self.interactive):
            text = Bilingual(
                "这一步无法撤回；用 --json 或不在终端里请加 --yes",
                "This cannot be undone; with --json or without a terminal, add --yes",
            )
            raise Problem(Exit.USAGE, "NOT_CONFIRMED", text, next_step=command("", *sys.argv[1:], "--yes"))

    def problem(self, problem: Problem) -> None:
        """Print the failure on stderr."""
        if self.as_json:
            typer.echo(json.dumps(problem.document(self.lang), ensure_ascii=False, indent=2), err=True)
            return
        self._err.print(Styled(f"✘ {clean(problem.text.to(self.lang))}", style="red"), soft_wrap=True)
        for line in _quote_wechat(problem.answer.get("wechat"), self.lang):
            self._err.print(Styled(f"  {clean(line)}"), soft_wrap=True)
        self.next_step(problem.next_step)

    # -- progress ---------------------------------------------------------------------------------------------------

    def downloading(self) -> Progress:
        """Show a progress bar of bytes."""
        return self._progress(BarColumn(), DownloadColumn())

    def counting(self) -> Progress:
        """Show a progress bar of items."""
        return self._progress(BarColumn(), MofNCompleteColumn())

    def waiting(self) -> Progress:
        """Show an activity indicator while the service works."""
        return self._progress(SpinnerColumn())

    def _progress(self, *columns: Any) -> Progress:
        title = TextColumn("{task.description}", markup=False)
        return Progress(title, *columns, console=self._err, transient=True, disable=not self._bars)

    def translate(self, word: str, names: Mapping[str, Bilingual]) -> str:
        """Return the name of a code of the interface, followed by the code in brackets."""
        return label(names, word, self.lang)

    # -- tables -----------------------------------------------------------------------------------------------------

    def sheet(self, rows: Iterable[tuple[Bilingual, object]]) -> Table:
        """Return a table of the names and values of one object; missing values are left out."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            if value not in (None, ""):
                table.add_row(name.to(self.lang), cell(value))
        return table

    def table(self, title: Bilingual, columns: Sequence[Bilingual], rows: Iterable[Sequence[object]]) -> RenderableType:
        """Return a table of objects. Numbers are neither cut nor folded, because people copy them."""
        cells = [[cell(value) for value in row] for row in rows]
        if not cells:
            return cell(Bilingual(f"{title.zh}：没有", f"{title.en}: none").to(self.lang))
        return Listing(title.to(self.lang), [column.to(self.lang) for column in columns], cells)


class Listing:
    """A table if the screen is wide enough. Otherwise dates are shortened and texts end in "…", except in the last
    column, which is folded. If that does not suffice, each row is printed on lines of its own."""

    def __init__(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Styled]]) -> None:
        self._title = title
        self._columns = columns
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for rows, shortest in ((self._rows, UNBOUNDED), ([*map(_shorten_dates, self._rows)], ELIDED)):
            widths = self._fit(rows, shortest, options.max_width)
            if widths:
                yield self._table(rows, widths)
                return
        yield Styled(self._title, style="italic")
        for row in self._rows:
            yield Styled()
            yield from self._lines(row, options.max_width)
        yield Styled()

    def _fit(self, rows: Sequence[Sequence[Styled]], shortest: int, width: int) -> list[int]:
        """Return the width of each column within ``width``; nothing if they do not fit. A text keeps ``shortest``
        cells, in the last column ``FOLDED``."""
        columns = [[row[index] for row in rows] for index in range(len(self._columns))]
        natural = [
            max(cell_len(name), *[cell.cell_len for cell in column])
            for name, column in zip(self._columns, columns, strict=True)
        ]
        least = [
            max(min(cell_len(name), shortest), *[_least(cell, shortest) for cell in column])
            for name, column in zip(self._columns, columns, strict=True)
        ]
        least[-1] = min(natural[-1], FOLDED)
        spare = width - sum(least) - 3 * len(least) - 1  # without the borders of the columns
        if spare < 0:
            return []
        for index in sorted(range(len(least)), key=lambda index: natural[index] - least[index]):
            more = min(spare, natural[index] - least[index])
            least[index] += more
            spare -= more
        return least

    def _table(self, rows: Sequence[Sequence[Styled]], widths: Sequence[int]) -> Table:
        table = Table(title=self._title, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
        for name, width in zip(self._columns[:-1], widths, strict=False):
            table.add_column(name, no_wrap=True, overflow="ellipsis", width=width)
        table.add_column(self._columns[-1], overflow="fold", width=widths[-1])
        for row in rows:
            table.add_row(*row)
        return table

    def _lines(self, row: Sequence[Styled], width: int) -> Iterator[Styled]:
        """Return ``Name: value`` for each non-empty cell, as many on a line as fit; a value that fits one line is not
        split."""
        line = Styled(overflow="fold")
        for name, value in zip(self._columns, row, strict=True):
            if not value:
                continue
            part = Styled.assemble((f"{name}: ", "bold"), value) if name else value
            if line and line.cell_len + len(GAP) + part.cell_len > width:
                yield line
                line = Styled(overflow="fold")
            line.append(GAP if line else "").append_text(part)
        yield line


def _least(cell: Styled, shortest: int) -> int:
    """Return the number of cells of ``cell`` that must be shown."""
    return cell.cell_len if WHOLE.fullmatch(cell.plain) else min(cell.cell_len, shortest)


def _shorten_dates(row: Sequence[Styled]) -> list[Styled]:
    """Return ``row`` with dates without year and seconds."""
    return [Styled(DATE.sub(r"\1", cell.plain), style=cell.style) for cell in row]


def words(zh: str, en: str) -> str:
    """Return a help text in the reader's language, which is fixed when the program starts."""
    return Bilingual(zh, en).to(language())


def language(environ: Mapping[str, str] = os.environ) -> str:
    """Return ``en`` for an English locale, ``zh`` for any other and for none."""
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return "en" if locale.lower().startswith("en") else "zh"


def cell(value: object) -> Styled:
    """Return a value without markup: an order's text may contain brackets."""
    return Styled("" if value is None else clean(str(value)))


def clean(text: str) -> str:
    """Return ``text`` without control characters, which could steer the terminal; others wrote parts of what is
    shown."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


def money(amount: int | None) -> str:
    """Format fen as ``¥18.00``; empty for an unknown amount."""
    return "" if amount is None else f"{'-' if amount < 0 else ''}¥{yuan(abs(amount))}"


def moment(text: str | None) -> str:
    """Format an RFC 3339 time of the service as Beijing time."""
    return beijing(from_v3(text)) if text else ""


def _console(stream: TextIO) -> Console:
    """Return a console. Files and pipes have a fixed width, so that tables keep theirs."""
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _quote_wechat(wechat: Mapping[str, Any] | None, lang: str) -> list[str]:
    """Return WeChat's message and what usually helps; nothing if it gave no code."""
    if not wechat or not wechat["code"]:
        return []
    said = Bilingual("微信支付返回信息", "WeChat Pay's message").to(lang)
    trace = f" (Request-ID {wechat['request_id']})" if wechat["request_id"] else ""
    return [f"{said}: {wechat['code']} {wechat['message']}{trace}", *wechat["causes"], wechat["next"]]
