"""Which transitions are written while which faults are about: what counts, and that the universe is complete."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from proof.checks.coverage import (
    CHECK_ENDED,
    CHECK_TAKEN,
    FAULTS,
    HANDED_OUT,
    KNOWN,
    NEVER,
    PAID,
    PLACED,
    PREPAID,
    STAGED,
    Coverage,
    count_pairs,
    list_contradictions,
    list_missing,
    merge,
    transitions,
)
from proof.faults import OF_EVERYBODY, Fault, Occurrences
from proof.runtime.trace import FAULT
from proof.simulation import Outcome, Scenario, simulate
from wechat.domain.facts import Api
from wechat.domain.money import Fen
from wechat.domain.orders import Order, Payment, Prepay, TimelineEntry, TradeState, TradeType

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLAIN = Order("order-01", Api.V3, "a", "m", TradeType.JSAPI, "x", Fen(1), NOW, NOW, "", "")
CHECKED = replace(PLAIN, check_lease="lease")
KEPT = replace(PLAIN, prepay=Prepay(NOW, "RSA", "wx1"))


@pytest.fixture
def occurrences() -> Occurrences:
    return Occurrences()


@pytest.fixture
def coverage(occurrences: Occurrences) -> Coverage:
    return Coverage(occurrences)


def reached(coverage: Coverage, transition: str) -> set[Fault]:
    bits = coverage.reached.get(transition, 0)
    return {fault for place, fault in enumerate(FAULTS) if bits >> place & 1}


def test_a_write_is_told_by_what_it_changed() -> None:
    paid = replace(CHECKED, payments=(Payment("4200", Fen(1), NOW),))
    done = paid.moved_to(TradeState.SUCCESS, TimelineEntry(NOW, "paid", "query"))
    assert transitions(None, PLAIN) == [PLACED]
    assert transitions(PLAIN, CHECKED) == [CHECK_TAKEN]
    assert transitions(PLAIN, KEPT) == [PREPAID]
    assert transitions(CHECKED, done) == ["NOTPAY → SUCCESS", PAID, CHECK_ENDED]
    assert transitions(PLAIN, replace(PLAIN, sequence=1)) == [STAGED]
    assert HANDED_OUT not in transitions(PLAIN, PLAIN)


def test_faults_of_the_order_and_of_its_processes_count(coverage: Coverage, occurrences: Occurrences) -> None:
    coverage.on_write("process 1", PLAIN)
    occurrences.note("order-01", Fault.NOTIFY_LOST)
    occurrences.note("process 1", Fault.STORE_AFTER)
    occurrences.note("process 2", Fault.WIRE_AFTER)
    occurrences.note("process 3", Fault.WIRE_SLOW)
    occurrences.note("order-02", Fault.PAID_TWICE)
    coverage.on_write("process 2", KEPT)
    assert reached(coverage, PREPAID) == {Fault.NOTIFY_LOST, Fault.STORE_AFTER, Fault.WIRE_AFTER}


def test_faults_from_before_the_order_moved_do_not_count(coverage: Coverage, occurrences: Occurrences) -> None:
    occurrences.note("process 1", Fault.STORE_AFTER)
    occurrences.begin("order-01")
    coverage.on_write("process 1", PLAIN)
    assert reached(coverage, PLACED) == set()
    occurrences.note("process 1", Fault.WIRE_SLOW)
    coverage.on_write("process 1", KEPT)
    coverage.on_write("process 1", replace(KEPT, sequence=1))
    assert reached(coverage, PREPAID) == {Fault.WIRE_SLOW}
    assert reached(coverage, STAGED) == set()


def test_a_lease_lies_between_a_fault_and_what_comes_of_it(coverage: Coverage, occurrences: Occurrences) -> None:
    coverage.on_write("process 1", PLAIN)
    occurrences.note("order-01", Fault.NOTIFY_LOST)
    coverage.on_write("process 1", CHECKED)
    coverage.on_write("process 1", replace(CHECKED, prepay=KEPT.prepay))
    assert reached(coverage, CHECK_TAKEN) == reached(coverage, PREPAID) == {Fault.NOTIFY_LOST}


def test_a_wrong_clock_lasts_until_the_process_is_replaced(coverage: Coverage, occurrences: Occurrences) -> None:
    occurrences.note("process 1", Fault.CLOCK_LEAPS, lasts=True)
    occurrences.begin("order-01")
    coverage.on_write("process 1", PLAIN)
    coverage.on_write("process 1", KEPT)
    assert reached(coverage, PREPAID) == {Fault.CLOCK_LEAPS}
    occurrences.forget("process 1")
    coverage.on_write("process 1", replace(KEPT, sequence=1))
    assert reached(coverage, STAGED) == set()


def test_what_seeds_have_reached_adds_up() -> None:
    total: dict[str, int] = {}
    merge(total, {PAID: 1 << FAULTS.index(Fault.PAID_TWICE)})
    merge(total, {PAID: 1 << FAULTS.index(Fault.NOTIFY_LOST), PLACED: 1})
    assert count_pairs(total)[0] == 3
    missing = {Fault.PAID_TWICE, Fault.NOTIFY_LOST, Fault.NOTICE_LOST, Fault.NOTIFY_STALE, *FAULTS[:5]}
    assert missing & set(list_missing(total)[PAID]) == set(FAULTS[:5])


def test_pairs_that_cannot_happen_are_neither_counted_nor_missed() -> None:
    impossible = {(transition, fault) for moves, faults in NEVER for transition in moves for fault in faults}
    assert all(transition in KNOWN and fault in FAULTS for transition, fault in impossible)
    assert (PLACED, Fault.NOTIFY_LOST) in impossible
    missing = {(transition, fault) for transition, faults in list_missing({}).items() for fault in faults}
    assert not missing & impossible
    assert count_pairs({}) == (0, len(missing)) == (0, len(KNOWN) * len(FAULTS) - len(impossible))


def test_a_pair_that_cannot_happen_and_was_reached_is_told() -> None:
    bits = 1 << FAULTS.index(Fault.NOTIFY_LOST) | 1 << FAULTS.index(Fault.STORE_AFTER)
    assert list_contradictions({PLACED: bits}) == [(PLACED, Fault.NOTIFY_LOST)]


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [simulate(Scenario(seed, orders=12)) for seed in range(1, 5)]


def test_a_fault_of_everybody_is_a_fault_of_no_order_and_no_process(outcomes: list[Outcome]) -> None:
    whom: defaultdict[str, set[str]] = defaultdict(set)
    for line in (line for outcome in outcomes for line in outcome.lines if line.what == FAULT):
        whom[line.detail].add(line.who or line.about)
    assert {fault for fault in FAULTS if whom[fault] == {""}} == set()
    assert {fault for fault in OF_EVERYBODY if whom[fault] - {""}} == set()
    assert any(whom[fault] for fault in OF_EVERYBODY)


def test_every_transition_that_a_run_makes_is_known(outcomes: list[Outcome]) -> None:
    made = set().union(*(outcome.reached for outcome in outcomes))
    assert made <= set(KNOWN)
    assert len(made) > len(KNOWN) / 2
    assert len(set(KNOWN)) == len(KNOWN)
    assert not [pair for outcome in outcomes for pair in list_contradictions(outcome.reached)]
