"""Scenarios in which something was wrong once. Each names what has to happen in it, so that it is noticed when a change
of the source has made another run of it: then another scenario has to be found."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from proof.faults import Fault
from proof.simulation import Scenario, simulate


@dataclass(frozen=True, slots=True)
class Regression:
    """``reached`` is what lines of the trace about one order have to say, one after the other."""

    name: str
    scenario: Scenario
    was_wrong: str
    reached: tuple[str, ...]


def only(*faults: Fault) -> frozenset[Fault]:
    return frozenset(Fault) - frozenset(faults)


GIVEN_UP = (Fault.CLOCK_LEAPS, Fault.RECEIVER_AWAY, Fault.RECEIVER_DOWN, Fault.STORE_LATE)

REGRESSIONS = (
    Regression(
        "events are given up on when clocks leap while their receiver is down",
        Scenario(383, orders=6, processes=1, without=only(*GIVEN_UP)),
        "The simulation expected each event to arrive by itself. Three days of retries by a clock that leaps are fewer "
        "in truth; then there is an alarm, and an operator sends the event again. Now one does.",
        ("resends",),
    ),
    Regression(
        "a clock that leaps closes an order while it is being placed",
        Scenario(3786, days=1.0, orders=20, processes=2, without=only(Fault.CLOCK_LEAPS, Fault.WIRE_BEFORE)),
        "WeChat did not know the order yet when it was closed, and took it afterwards: it could be paid there, and was "
        "closed here. Such an order is checked again, and one whose prepay arrives late is closed at WeChat.",
        ("close: 404", "close: 204"),
    ),
    Regression(
        "an event is given up on, and the answer to the write that says so is missing",
        Scenario(383, orders=6, processes=1, without=only(*GIVEN_UP)),
        "There was no alarm. It comes before that write now.",
        ("alarm          event_undelivered",),
    ),
)


@pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda each: each.name)
def test_what_was_wrong_once_holds(regression: Regression) -> None:
    outcome = simulate(regression.scenario)
    assert outcome.failure == "", regression.was_wrong
    stories: dict[str, list[str]] = {}
    for line in outcome.lines:
        stories.setdefault(line.about, []).append(str(line))
    assert any(says(story, regression.reached) for story in stories.values()), "it is another run now"


def says(story: list[str], words: tuple[str, ...]) -> bool:
    """Whether lines of ``story`` contain ``words``, in their order."""
    lines = iter(story)
    return all(any(word in line for line in lines) for word in words)
