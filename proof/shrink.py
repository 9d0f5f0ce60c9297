"""Make a failing scenario smaller: fewer orders, fewer processes, fewer kinds of faults, with the same failure.

Each smaller scenario is simulated; it replaces the larger one if it fails in the same way. A smaller scenario is
another run, so not everything that looks superfluous can be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from proof.faults import Fault
from proof.runtime.trace import ORDER
from proof.simulation import Outcome, Scenario, simulate

PARTICULARS = re.compile(r"[0-9A-Za-z]*[0-9][0-9A-Za-z-]*|\[[^\]]*\]")
"""Numbers of orders, refunds and payments, amounts and lists, which differ between two failures of one kind."""
WINDOWS = (1, 2, 3, 5, 10, 20)


def shrink(
    failed: Outcome, has_time: Callable[[], bool], simulate_one: Callable[[Scenario], Outcome] = simulate
) -> Outcome:
    """Return the outcome of the smallest scenario that was found while ``has_time`` returned True."""
    smallest, smaller = failed, True
    while smaller and has_time():
        smaller = False
        for candidates in (_fewer_orders, _fewer_processes, _fewer_faults):
            found = _first_that_fails(smallest, candidates(smallest), has_time, simulate_one)
            while found is not None:
                smallest, smaller = found, True
                found = _first_that_fails(smallest, candidates(smallest), has_time, simulate_one)
    return smallest


def is_same_failure(one: Outcome, other: Outcome) -> bool:
    """Whether both failures have the same words, apart from numbers."""
    return bool(one.failure) and PARTICULARS.sub("#", one.failure) == PARTICULARS.sub("#", other.failure)


def _first_that_fails(
    failed: Outcome,
    candidates: Iterator[Scenario],
    has_time: Callable[[], bool],
    simulate_one: Callable[[Scenario], Outcome],
) -> Outcome | None:
    for candidate in candidates:
        if not has_time():
            return None
        outcome = simulate_one(candidate)
        if is_same_failure(failed, outcome):
            return outcome
    return None


def _fewer_orders(failed: Outcome) -> Iterator[Scenario]:
    """Yield scenarios with the failure's order alone, then with more and more of its neighbours."""
    scenario = failed.scenario
    named = ORDER.match(failed.about)
    number = int(named.group().removeprefix("order-")) if named else scenario.first_order
    end = scenario.first_order + failed.orders
    for size in (size for size in WINDOWS if size < failed.orders):
        for first in dict.fromkeys((number - size // 2, number - size + 1, number)):
            start = min(max(first, scenario.first_order), end - size)
            yield replace(scenario, orders=size, first_order=start)


def _fewer_processes(failed: Outcome) -> Iterator[Scenario]:
    yield from (replace(failed.scenario, processes=count) for count in range(1, failed.processes))


def _fewer_faults(failed: Outcome) -> Iterator[Scenario]:
    """Yield scenarios without the faults that did not happen, then without halves, quarters and so on of the others."""
    scenario = failed.scenario
    left = [fault for fault in Fault if fault not in scenario.without]
    happened = [fault for fault in left if failed.faults[fault]]
    if len(happened) < len(left):
        yield replace(scenario, without=scenario.without | (set(left) - set(happened)))
    size = len(happened)
    while size:
        for part in _parts(happened, size):
            yield replace(scenario, without=scenario.without | set(part))
        size //= 2


def _parts(faults: Sequence[Fault], size: int) -> Iterator[Sequence[Fault]]:
    return (faults[start : start + size] for start in range(0, len(faults), size))
