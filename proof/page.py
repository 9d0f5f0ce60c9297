"""The page that is printed for a failing seed: the violation, and the history of the order that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from proof.runtime.trace import FAULT, Line
from proof.simulation import Outcome

FIRST_LINES = 12
LAST_LINES = 40
LAST_FAULTS = 3
ABOUT_PROCESSES = ("dies", "starts", "clock leaps", "clock is set", "faults end")


def write_page(outcome: Outcome) -> Iterator[str]:
    """Yield lines of text. ``!`` marks each fault, ``>`` the last ones before the violation."""
    scenario = outcome.scenario
    yield f"✘ seed {scenario.seed}: {outcome.failure}"
    yield f"  {outcome.orders} orders, {outcome.processes} processes, {outcome.simulated_s / 86400:.1f} days"
    yield ""
    yield from _shorten([*_story(outcome)])
    if outcome.lines:  # an error may come before the first
        yield f"✘ {outcome.lines[-1].clock}  {outcome.failure}"
    yield ""
    yield "again, with every line:"
    yield f"  {command(outcome)} --trace"


def command(outcome: Outcome) -> str:
    """Return the command that replays the scenario."""
    scenario = outcome.scenario
    words = ["manage.py simulate --seed", str(scenario.seed)]
    words += [] if scenario.days == type(scenario)(0).days else ["--days", f"{scenario.days:g}"]
    words += [] if scenario.orders is None else ["--orders", str(scenario.orders)]
    words += [] if scenario.first_order == 1 else ["--first-order", str(scenario.first_order)]
    words += [] if scenario.processes is None else ["--processes", str(scenario.processes)]
    return " ".join(words + scenario.fault_options())


def _story(outcome: Outcome) -> Iterator[str]:
    """Return the lines about the order and about processes; all lines if the violation is about no order."""
    order = outcome.about
    chosen = [line for line in outcome.lines if order in (line.about, "") or line.what in ABOUT_PROCESSES]
    grouped = [[*same] for _, same in groupby(chosen, lambda line: (line.who, line.what, line.detail, line.about))]
    faults = [place for place, lines in enumerate(grouped) if lines[0].what == FAULT]
    marks = dict.fromkeys(faults, "!") | dict.fromkeys(faults[-LAST_FAULTS:], ">")
    for place, lines in enumerate(grouped):
        yield f"{marks.get(place, ' ')} {_text(lines, order)}"


def _text(lines: Sequence[Line], order: str) -> str:
    """Return one line for several equal ones. The order that all of them are about is not repeated."""
    text = str(lines[0]).removesuffix(f" {order}") if order else str(lines[0])
    return text if len(lines) == 1 else f"{text} (×{len(lines)}, until {lines[-1].clock})"


def _shorten(story: Sequence[str]) -> Iterator[str]:
    left_out = len(story) - FIRST_LINES - LAST_LINES
    if left_out <= 1:
        yield from story
        return
    yield from story[:FIRST_LINES]
    yield f"  … {left_out} lines …"
    yield from story[-LAST_LINES:]
