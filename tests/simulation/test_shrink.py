"""A failing seed is made smaller, and the command that is printed replays the smaller scenario."""

from __future__ import annotations

from collections import Counter

import pytest

from proof.faults import Fault
from proof.mutants.builds import find
from proof.mutants.run import MUTANTS
from proof.page import command, write_page
from proof.runtime.trace import FAULT, Line
from proof.shrink import is_same_failure, shrink
from proof.simulation import Outcome, Scenario, simulate

NEEDED = frozenset({Fault.STORE_LATE, Fault.PROCESS_DIES})


def failing(scenario: Scenario) -> Outcome:
    """A build that fails where order 17 is there, with two processes or more and two kinds of faults."""
    orders, processes = scenario.orders or 40, scenario.processes or 3
    there = scenario.first_order <= 17 < scenario.first_order + orders
    wrong = there and processes >= 2 and not NEEDED & scenario.without
    happened = [*[fault for fault in Fault if fault not in scenario.without][::2], *(NEEDED - scenario.without)]
    return Outcome(
        scenario,
        "order-17: 5 of 4 is reserved" if wrong else "",
        "order-17" if wrong else "",
        orders,
        processes,
        faults=Counter(happened),
    )


def always() -> bool:
    return True


def test_what_is_not_needed_is_left_out() -> None:
    smallest = shrink(failing(Scenario(29)), always, failing)
    assert smallest.scenario == Scenario(29, 3.0, 1, 17, 2, frozenset(Fault) - NEEDED)
    assert command(smallest) == (
        "manage.py simulate --seed 29 --orders 1 --first-order 17 --processes 2 --only store-late --only process-dies"
    )


def test_another_failure_is_not_taken_for_the_same() -> None:
    def other(scenario: Scenario) -> Outcome:
        return Outcome(scenario, "order-17: it is not bounded", "order-17", 1, 1)

    failed = failing(Scenario(29))
    assert shrink(failed, always, other) is failed


def test_when_time_is_up_it_ends_with_what_was_found_so_far() -> None:
    left = iter([True] * 3)
    smallest = shrink(failing(Scenario(29)), lambda: next(left, False), failing)
    assert smallest.failure
    assert smallest.scenario.orders == 1
    assert smallest.scenario.processes is None


def test_numbers_and_names_do_not_tell_two_failures_apart() -> None:
    one = Outcome(Scenario(1), "order-17: refund 20260301a9 is SUCCESS, and its date 5")
    assert is_same_failure(one, Outcome(Scenario(1), "order-02: refund 20260302ff is SUCCESS, and its date 77"))
    assert not is_same_failure(one, Outcome(Scenario(1), "order-17: refund 20260301a9 is CLOSED, and its date 5"))
    assert not is_same_failure(Outcome(Scenario(1)), Outcome(Scenario(1)))


def test_an_order_alone_is_what_it_is_among_others() -> None:
    """Its own stream decides about it: when it comes, how much it is, and what the payer does."""
    many = simulate(Scenario(5, orders=20, processes=1, without=frozenset(Fault)))
    alone = simulate(Scenario(5, orders=1, first_order=11, processes=1, without=frozenset(Fault)))

    def acts(outcome: Outcome) -> list[tuple[float, str, str]]:
        lines = [line for line in outcome.lines if line.about == "order-11" and line.who in ("merchant", "payer")]
        return [(round(line.at_s), line.who, line.what) for line in lines]

    assert acts(alone) == acts(many)
    assert acts(alone)


def test_a_smaller_scenario_gives_the_same_run_again() -> None:
    scenario = Scenario(3, orders=2, first_order=4, processes=2, without=frozenset({Fault.STORE_BEFORE}))
    first, again = simulate(scenario), simulate(scenario)
    assert first.lines == again.lines
    assert first.orders == 2
    assert {line.about for line in first.lines} - {""} == {"order-04", "order-05"}
    assert first.faults[Fault.STORE_BEFORE] == 0


def test_a_broken_build_is_told_in_a_page_about_a_few_orders() -> None:
    [mutant] = [each for each in MUTANTS if each.name == "the store replaces whatever is there"]
    found = find(mutant, 100, shrink_s=20)
    assert found is not None
    assert found["smaller_orders"] < found["orders"] / 2
    page = found["page"]
    assert len(page) <= 60
    assert page[0].endswith(found["smaller_failure"])
    assert any(line.startswith("✘ day") for line in page)
    assert "manage.py simulate --seed" in page[-1]


def test_a_page_is_short_and_marks_the_faults() -> None:
    outcome = failing(Scenario(29))
    steps = [Line(float(second), "process 1", "writes", f"step {second}", "order-17") for second in range(200)]
    other = Line(198.0, "process 1", FAULT, "nobody cares", "order-02")
    faults = [Line(190.0 + number, "process 1", FAULT, f"fault {number}", "order-17") for number in range(5)]
    outcome.lines = sorted([*steps, other, *faults], key=lambda line: line.at_s)
    page = [*write_page(outcome)]
    assert len(page) < 65
    assert [line[:1] for line in page if "fault " in line and "day" in line] == ["!", "!", ">", ">", ">"]
    assert not any("nobody cares" in line for line in page)
    assert any("lines …" in line for line in page)


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_has_a_name_on_the_command_line(fault: Fault) -> None:
    assert Fault.by_name(fault.option) is Fault.by_name(fault.value) is fault
