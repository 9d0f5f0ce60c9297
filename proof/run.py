"""``manage.py simulate``: run many seeds, one in full, or the mutants."""

from __future__ import annotations

import gc
import json
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from proof.checks.coverage import count_pairs, list_contradictions, list_missing, merge
from proof.faults import Fault
from proof.page import command, write_page
from proof.shrink import shrink
from proof.simulation import NONE, Outcome, Scenario, simulate

SEEDS, MUTANT_SEEDS = 100, 1000
"""The number of seeds without an option: for the service, and for each broken build, which ends at the first that finds
it."""
AHEAD = 8
"""Seeds that are started in advance, for each process: a failure discards them."""
SHRINK_S = 60.0
"""How long a failing seed is made smaller, by the machine's clock, which nothing else reads."""
GC_THRESHOLD = 50_000
"""Objects between two runs of the garbage collector, which takes a tenth of the time by default."""
MISSED_FAULTS = 6
MISSED_LINES = 12
"""Maximum lines of the table of pairs that were not reached; ``--json`` has all."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line. ``scenario`` is that of the first seed."""

    scenario: Scenario = Scenario(1)  # noqa: RUF009 - frozen
    seeds: int = SEEDS
    jobs: int = 2
    as_json: bool = False
    shrink_s: float = SHRINK_S


def run_seeds(options: Options, console: Console) -> int:
    """Simulate seeds until one fails; return the exit status."""
    total = _Sums()
    for outcome in _outcomes(options):
        total.add(outcome)
        if outcome.failure:
            _print_failure(outcome, console, options)
            return 1
    if options.as_json:
        print(json.dumps(total.figures()))
    else:
        for line in total.text():
            console.print(line, highlight=False, soft_wrap=True)
    return 1 if total.impossible else 0


def run_one(options: Options, console: Console, *, trace: bool) -> int:
    """Simulate one seed and print its history, or its whole trace; return the exit status."""
    outcome = simulate(options.scenario)
    lines = [str(line) for line in outcome.lines] if trace else []
    if options.as_json:
        document = _failure_document(outcome) if outcome.failure else _figures_of(outcome)
        print(json.dumps(document | ({"trace": lines} if trace else {})))
        return 1 if outcome.failure else 0
    for line in lines:
        print(line)
    if outcome.failure:
        _print_failure(outcome, console, replace(options, shrink_s=0))
        return 1
    console.print(f"✔ seed {options.scenario.seed}: {outcome.orders} orders, {outcome.steps:,} steps", highlight=False)
    return 0


def _figures_of(outcome: Outcome) -> dict[str, Any]:
    """Return the figures of one seed that held."""
    return {
        "seed": outcome.scenario.seed,
        "orders": outcome.orders,
        "processes": outcome.processes,
        "days": round(outcome.simulated_s / 86400, 1),
        "payments": outcome.payments,
        "promised": outcome.promised,
        "writes_checked": outcome.checked,
        "steps": outcome.steps,
        "faults": {fault.name: outcome.faults[fault] for fault in Fault},
    }


def first_failure(seeds: Iterable[int]) -> Outcome | None:
    """Return the outcome of the first of ``seeds`` that fails; None if none does."""
    outcomes = (simulate(Scenario(seed)) for seed in seeds)
    return next((outcome for outcome in outcomes if outcome.failure), None)


def choose_faults(without: Sequence[str], only: Sequence[str]) -> frozenset[Fault]:
    """Return the faults to leave out. Raises ValueError for an unknown name."""
    kept = {Fault.by_name(name) for name in only if name != NONE} if only else set(Fault)
    return frozenset(set(Fault) - kept | {Fault.by_name(name) for name in without})


def shrink_for(seconds: float, failed: Outcome) -> Outcome:
    """Make a failing scenario smaller for a number of seconds."""
    end = time.monotonic() + seconds
    return shrink(failed, lambda: time.monotonic() < end)


class _Sums:
    def __init__(self) -> None:
        self.seeds = self.orders = self.steps = self.checked = self.payments = self.promised = 0
        self.order_days = self.cpu_s = 0.0
        self.faults: Counter[Fault] = Counter()
        self.reached: dict[str, int] = {}
        self.impossible: dict[tuple[str, Fault], int] = {}
        """Pairs that were reached although they are called impossible, and the first seed that did."""

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.orders += outcome.orders
        self.steps += outcome.steps
        self.checked += outcome.checked
        self.payments += outcome.payments
        self.promised += outcome.promised
        self.order_days += outcome.orders * outcome.simulated_s / 86400
        self.cpu_s += outcome.cpu_s
        self.faults.update(outcome.faults)
        merge(self.reached, outcome.reached)
        for pair in list_contradictions(outcome.reached):
            self.impossible.setdefault(pair, outcome.scenario.seed)

    def figures(self) -> dict[str, Any]:
        reached, pairs = count_pairs(self.reached)
        return {
            "seeds": self.seeds,
            "orders": self.orders,
            "order_days": round(self.order_days),
            "order_days_per_s": round(self.order_days / self.cpu_s),
            "writes_checked": self.checked,
            "payments": self.payments,
            "promised": self.promised,
            "steps": self.steps,
            "faults": {fault.name: self.faults[fault] for fault in Fault},
            "pairs": {"reached": reached, "of": pairs},
            "impossible": [
                {"transition": transition, "fault": fault.option, "seed": seed}
                for (transition, fault), seed in self.impossible.items()
            ],
            "not_reached": {
                transition: [fault.option for fault in faults]
                for transition, faults in list_missing(self.reached).items()
                if faults
            },
        }

    def text(self) -> Iterator[str]:
        yield (
            f"{'✘' if self.impossible else '✔'} {self.seeds:,} seeds, {self.orders:,} orders, "
            f"{self.checked:,} writes of orders checked, "
            f"{self.steps:,} steps; {self.order_days / self.cpu_s:.0f} order-days a second on one core"
        )
        yield f"{self.promised:,} of {self.payments:,} payments had to be known by a time limit, and were"
        for fault in Fault:
            yield f"  {self.faults[fault]:9,}  {fault}"
        reached, pairs = count_pairs(self.reached)
        yield f"{reached:,} of {pairs:,} pairs of a transition and a fault about it were reached"
        for (transition, fault), seed in self.impossible.items():
            yield f"  ✘ seed {seed}: {transition} with {fault.option}, which proof/checks/coverage.py calls impossible"
        yield from self._list_missing()

    def _list_missing(self) -> Iterator[str]:
        """Return the pairs that were not reached: transitions without any, then the others."""
        left = {transition: faults for transition, faults in list_missing(self.reached).items() if faults}
        never = [transition for transition in left if not self.reached.get(transition)]
        if never:
            yield f"  never: {', '.join(never)}"
        others = [transition for transition in left if transition not in never]
        for transition in others[:MISSED_LINES]:
            names = [fault.option for fault in left[transition]]
            more = f" and {len(names) - MISSED_FAULTS} more" if len(names) > MISSED_FAULTS else ""
            yield f"  {transition}: without {', '.join(names[:MISSED_FAULTS])}{more}"
        if len(others) > MISSED_LINES:
            yield f"  … and {len(others) - MISSED_LINES} transitions more; --json has them all"


def _outcomes(options: Options) -> Iterator[Outcome]:
    """Yield outcomes in the order of their seeds; few are started in advance, because a failure discards them."""
    first = options.scenario
    scenarios = (replace(first, seed=seed) for seed in range(first.seed, first.seed + options.seeds))
    if options.jobs == 1:
        rest_collector()
        yield from map(simulate, scenarios)
        return
    with ProcessPoolExecutor(options.jobs, initializer=rest_collector) as pool:
        started: deque[Future[Outcome]] = deque()
        for scenario in scenarios:
            started.append(pool.submit(_without_lines, scenario))
            if len(started) == AHEAD * options.jobs:
                yield started.popleft().result()
        yield from (future.result() for future in started)


def rest_collector() -> None:
    """Run the garbage collector less often, and never on imported modules."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def _without_lines(scenario: Scenario) -> Outcome:
    """Drop the trace of a passing seed before it is sent to the parent."""
    outcome = simulate(scenario)
    if not outcome.failure:
        outcome.lines = []
    return outcome


def _print_failure(failed: Outcome, console: Console, options: Options) -> None:
    """Print one page: the violation, and the history of its order, in a scenario made smaller."""
    outcome = shrink_for(options.shrink_s, failed)
    if options.as_json:
        print(json.dumps(_failure_document(outcome)))
        return
    if outcome is not failed:
        console.print(f"made smaller; before: {failed.failure}, by {command(failed)}", highlight=False, soft_wrap=True)
    for text in write_page(outcome):
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def _failure_document(outcome: Outcome) -> dict[str, Any]:
    page = [*write_page(outcome)]
    return {"seed": outcome.scenario.seed, "failure": outcome.failure, "replay": command(outcome), "page": page}


def main(options: Options, *, one: bool, trace: bool, mutants: bool) -> int:
    """Run the command; return the exit status. ``one``: only the seed of the scenario."""
    console = Console()
    if mutants:
        from proof.mutants.run import run_mutants  # noqa: PLC0415 - it copies the source

        return run_mutants(options.seeds, options.jobs, console, as_json=options.as_json)
    if one:
        return run_one(options, console, trace=trace)
    return run_seeds(options, console)
