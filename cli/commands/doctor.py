"""``doctor``: the results of its checks, for a person or as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text as Styled

from cli.output import Screen, clean
from cli.problems import Exit
from doctor.report import Result, Status, document

STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red", Status.SKIP: "dim"}


def show(results: Sequence[Result], screen: Screen) -> Exit:
    """Print every check; for a failed one also why it matters and how to correct it."""
    screen.show(document(results, screen.lang), *(_lines(result, screen.lang) for result in results), _sum(results))
    return Exit.FAILED if any(result.failed for result in results) else Exit.OK


def _lines(result: Result, lang: str) -> Styled:
    judgement = result.judgement
    line = Styled()
    line.append(f"{judgement.status.mark} ", style=STYLES[judgement.status])
    line.append(result.id, style="bold")
    line.append(f"  {clean(judgement.seen.to(lang))}", style="dim" if judgement.status is Status.SKIP else "")
    if judgement.status in (Status.WARN, Status.FAIL):
        line.append(f"\n    {result.why.to(lang)}", style="dim")
        for fix in judgement.fix.to(lang).splitlines():
            line.append(f"\n    {clean(fix)}", style="cyan")
    return line


def _sum(results: Sequence[Result]) -> Styled:
    counts = [(status, sum(result.judgement.status is status for result in results)) for status in Status]
    line = Styled("\n")
    for status, count in counts:
        line.append(f"{status.mark} {count}   ", style=STYLES[status])
    return line
