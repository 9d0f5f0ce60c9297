"""Practice of reconciliation: differences are injected into a day's bill without being shown, and an answer is scored.

The answer is free text with the numbers that were found to differ: typed, or pasted from a file of differences.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from simulator.bills.faults import InjectedDifference, InjectedKind
from simulator.control.dashboard import DIFFERENCE_KINDS
from simulator.simulator import Simulator
from simulator.state.clock import moment
from simulator.web.pages import PageHandler
from wechat.domain.times import beijing_day

MOST_PLANTED = 5
MOST_TEXT = 100_000
"""Maximum characters of an answer that are read."""
WORD = re.compile(r"[0-9A-Za-z_*@|-]{6,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Score:
    """``found`` and ``missed`` are injected differences; ``wrong`` are other numbers of the day."""

    found: Sequence[InjectedDifference]
    missed: Sequence[InjectedDifference]
    wrong: Sequence[str]

    @property
    def points(self) -> int:
        """0 to 100: the share that was found, less the wrong numbers."""
        planted = len(self.found) + len(self.missed)
        return max(0, 100 * (len(self.found) - len(self.wrong)) // planted) if planted else 0


class Practice(PageHandler):
    """GET /simulator/practice?date= shows the page, POST injects differences or scores an answer."""

    def get(self) -> None:
        self._show(self._day())

    async def post(self) -> None:
        day = self._day()
        if self.get_body_argument("plant", ""):
            count = plant_some(self.simulator, day, _count(self.get_body_argument("plant")))
            await self.simulator.journal.durable()
            self._show(day, planted=count)
            return
        text = self.get_body_argument("answer", "")[:MOST_TEXT]
        score = score_answer(self.simulator.injected.of_day(day), text, numbers_of(self.simulator, day))
        self._show(day, text=text, score=score)

    def _show(self, day: date, text: str = "", score: Score | None = None, planted: int | None = None) -> None:
        self.policy()
        kinds = {kind: name.to(self.lang) for kind, name in DIFFERENCE_KINDS.items()}
        hidden = len(self.simulator.injected.of_day(day))
        self.show(
            "practice.html", day=day, text=text, score=score, planted=planted, hidden=hidden, difference_kinds=kinds
        )

    def _day(self) -> date:
        """Return the requested day, otherwise the simulation's today."""
        try:
            return date.fromisoformat(self.get_argument("date", ""))
        except ValueError:
            return beijing_day(moment(self.simulator.clock.calendar_s()))


def plant_some(simulator: Simulator, day: date, count: int) -> int:
    """Inject up to ``count`` differences of random kinds; return the number that the day's bill had room for."""
    planted = 0
    for _ in range(count):
        for kind in random.sample(list(InjectedKind), len(InjectedKind)):
            try:
                simulator.bills.plant(day, kind, "")
            except ValueError:
                continue
            planted += 1
            break
    return planted


def score_answer(planted: Sequence[InjectedDifference], answer: str, known: Collection[str]) -> Score:
    """Compare the numbers in ``answer`` with the injected differences. ``known`` are all numbers of the day; other
    words are ignored, so that a whole file can be pasted."""
    named = set(WORD.findall(answer))
    found = [each for each in planted if named & {each.out_refund_no or each.out_trade_no}]
    about = {number for each in planted for number in (each.out_trade_no, each.out_refund_no)}
    missed = [each for each in planted if each not in found]
    return Score(found, missed, sorted(named & set(known) - about))


def numbers_of(simulator: Simulator, day: date) -> set[str]:
    """Return the out_trade_no of each payment and the out_refund_no of each refund on the bill without differences."""
    lines = simulator.bills.true_lines(day)
    return {line.out_refund_no or line.out_trade_no for line in lines}


def _count(text: str) -> int:
    return min(max(int(text), 1), MOST_PLANTED) if text.isascii() and text.isdigit() else 1
