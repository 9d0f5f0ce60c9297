"""Scenarios in which something was wrong once. Each names what has to happen in it, so that it is noticed when a change
of the source has made another run of it: then another scenario has to be found."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from proof.faults import Fault
from proof.simulation import Scenario, simulate
from wechat.support.single_flight import SingleFlight


@dataclass(frozen=True, slots=True)
class Regression:
    """``reached`` is what lines of the trace about one order have to say, one after the other."""

    name: str
    scenario: Scenario
    was_wrong: str
    reached: tuple[str, ...]


def only(*faults: Fault) -> frozenset[Fault]:
    return frozenset(Fault) - frozenset(faults)


REDIS_FORGETS = (Fault.REDIS_GONE, Fault.REDIS_EMPTY, Fault.REDIS_SLOW, Fault.TOKEN_REVOKED)
GIVEN_UP = (Fault.CLOCK_LEAPS, Fault.RECEIVER_AWAY, Fault.RECEIVER_DOWN, Fault.STORE_LATE)

REGRESSIONS = (
    Regression(
        "events are given up on when clocks leap while their receiver is down",
        Scenario(1, orders=6, processes=1, without=only(*GIVEN_UP)),
        "The simulation expected each event to arrive by itself. Three days of retries by a clock that leaps are fewer "
        "in truth; then there is an alarm, and an operator sends the event again. Now one does.",
        ("resends",),
    ),
    Regression(
        "an event is given up on, and the answer to the write that says so is missing",
        Scenario(1, orders=6, processes=1, without=only(*GIVEN_UP)),
        "There was no alarm. It comes before that write now.",
        ("alarm          event_undelivered",),
    ),
    Regression(
        "genuine notifications that fit no order here come again and again",
        Scenario(2, days=1.0, orders=6, processes=1, without=only(Fault.NOTIFY_OTHER_AMOUNT)),
        "They were alarmed as messages that cannot be read, as if somebody forged them. They have an alarm of their own.",
        ("of another mchid refused", "of another mchid refused", "of another mchid refused"),
    ),
    Regression(
        "the answer about a bill is the first that a new key has signed",
        Scenario(10, days=2.0, orders=5, processes=1, without=only(Fault.KEYS_ROTATED)),
        "A person was alarmed while the key was being fetched, and the day waited for an hour. It is tried again after "
        "five minutes, and a second failure alarms.",
        ("tradebill: 200", "certificates: 200", "tradebill: 200"),
    ),
    Regression(
        "a token that WeChat calls bad is replaced by another one that is bad",
        Scenario(12, orders=1, processes=2, without=only(*REDIS_FORGETS)),
        "The second one was kept: the next caller used it again, though WeChat had refused it.",
        ("Redis loses its content", "makes WeChat drop the access_token", '"errcode": 40001', '"errcode": 40001'),
    ),
    Regression(
        "WeChat probes a payment of v2 several times",
        Scenario(145, days=1.0, orders=12, processes=1, without=only(Fault.NOTIFY_PROBE, Fault.STORE_BEFORE)),
        "The simulation's probe of a message of v2 named a key that WeChat never had, so three of them were alarmed as "
        "messages under a key that cannot be fetched. WeChat's probes name its own keys.",
        ("unifiedorder", "a probe refused", "a probe refused"),
    ),
    Regression(
        "genuine messages of v3 arrive again after hours",
        Scenario(1870, processes=1, without=only(Fault.NOTIFY_STALE)),
        "The service alarms that old messages are refused repeatedly, as it should; the simulation took that for an "
        "alarm without a cause.",
        ("from hours ago refused", "from hours ago refused"),
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


def test_a_notice_is_not_answered_by_a_query_that_began_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notice of a v2 refund was acknowledged with the answer of a query that was under way. The query that begins
    after the notice is needed in this scenario: without it, the notice is acknowledged too early."""
    scenario = Scenario(1242, days=1.0, orders=20, processes=1, without=only(Fault.WIRE_LATE, Fault.WIRE_SLOW))
    assert simulate(scenario).failure == ""
    monkeypatch.setattr(SingleFlight, "do_anew", SingleFlight.do)
    failure = simulate(scenario).failure
    assert failure.startswith("a notice of "), "it is another run now"
    assert failure.endswith(" was acknowledged, and nobody queried it")


def says(story: list[str], words: tuple[str, ...]) -> bool:
    """Whether lines of ``story`` contain ``words``, in their order."""
    lines = iter(story)
    return all(any(word in line for line in lines) for word in words)
