"""Scenarios in which something was wrong once. Each names what has to happen in it, so that it is noticed when a change
of the source has made another run of it: then another scenario has to be found."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from proof.faults import Fault
from proof.simulation import Scenario, simulate


@dataclass(frozen=True, slots=True)
class Regression:
    """``reached`` is what a line of the trace has to say."""

    name: str
    scenario: Scenario
    was_wrong: str
    reached: str


def only(*faults: Fault) -> frozenset[Fault]:
    return frozenset(Fault) - frozenset(faults)


REGRESSIONS = (
    Regression(
        "events are given up on when clocks leap while their receiver is down",
        Scenario(157, orders=2, processes=1, without=only(Fault.CLOCK_LEAPS, Fault.RECEIVER_DOWN)),
        "The simulation expected each event to arrive by itself. Three days of retries by a clock that leaps are fewer "
        "in truth; then there is an alarm, and an operator sends the event again. Now one does.",
        "resends",
    ),
)


@pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda each: each.name)
def test_what_was_wrong_once_holds(regression: Regression) -> None:
    outcome = simulate(regression.scenario)
    assert outcome.failure == "", regression.was_wrong
    assert any(line.what == regression.reached for line in outcome.lines), "it is another run now"
