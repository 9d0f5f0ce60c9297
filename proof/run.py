"""``manage.py simulate``: many seeds, one in full, or the broken builds that must be found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from proof.faults import Fault
from proof.simulation import Outcome, Scenario, simulate
from proof.trace import tail

AT_ONCE = 8
STORY_LINES = 60


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    first: int = 1
    seeds: int = 100
    days: float = 1.0
    jobs: int = 2
    as_json: bool = False


def run_seeds(options: Options, console: Console) -> int:
    """Simulate seeds until one fails; the exit status."""
    total, faults = _Sums(), Counter[Fault]()
    for outcome in _outcomes(options):
        total.add(outcome)
        faults.update(outcome.faults)
        if outcome.failure:
            _print_outcome(outcome, console, as_json=options.as_json)
            return 1
    if options.as_json:
        print(json.dumps(total.figures() | {"faults": {fault.name: faults[fault] for fault in Fault}}))
        return 0
    console.print(total.text(), highlight=False)
    for fault in Fault:
        console.print(f"  {faults[fault]:7,}  {fault}", highlight=False)
    return 0


def run_one(seed: int, days: float, console: Console, *, trace: bool) -> int:
    """Simulate one seed and print its story, or all of its trace; the exit status."""
    outcome = simulate(Scenario(seed, days))
    if trace:
        for line in outcome.lines:
            print(line)
    _print_outcome(outcome, console, as_json=False)
    return 1 if outcome.failure else 0


def first_failure(seeds: Iterable[int], days: float = 1.0) -> Outcome | None:
    """The outcome of the first of ``seeds`` that fails."""
    outcomes = (simulate(Scenario(seed, days)) for seed in seeds)
    return next((outcome for outcome in outcomes if outcome.failure), None)


class _Sums:
    def __init__(self) -> None:
        self.seeds = self.orders = self.steps = self.checked = 0
        self.order_days = self.cpu_s = 0.0

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.orders += outcome.orders
        self.steps += outcome.steps
        self.checked += outcome.checked
        self.order_days += outcome.orders * outcome.simulated_s / 86400
        self.cpu_s += outcome.took_s

    def figures(self) -> dict[str, Any]:
        return {
            "seeds": self.seeds,
            "orders": self.orders,
            "order_days": round(self.order_days),
            "order_days_per_s": round(self.order_days / self.cpu_s),
            "writes_checked": self.checked,
            "steps": self.steps,
        }

    def text(self) -> str:
        return (
            f"✔ {self.seeds:,} seeds, {self.orders:,} orders, {self.checked:,} writes of orders checked, "
            f"{self.steps:,} steps; {self.order_days / self.cpu_s:.0f} order-days a second on one core"
        )


def _outcomes(options: Options) -> Iterator[Outcome]:
    """In the order of their seeds; no more is begun than can be thrown away after a failure."""
    scenarios = [Scenario(seed, options.days) for seed in range(options.first, options.first + options.seeds)]
    if options.jobs == 1:
        yield from map(simulate, scenarios)
        return
    with ProcessPoolExecutor(options.jobs) as pool:
        for some in _parts(scenarios, AT_ONCE * options.jobs):
            yield from pool.map(_without_lines, some)


def _parts(scenarios: Sequence[Scenario], size: int) -> Iterator[Sequence[Scenario]]:
    return (scenarios[start : start + size] for start in range(0, len(scenarios), size))


def _without_lines(scenario: Scenario) -> Outcome:
    """The trace of a seed that holds is not sent to the parent."""
    outcome = simulate(scenario)
    if not outcome.failure:
        outcome.lines = []
    return outcome


def _print_outcome(outcome: Outcome, console: Console, *, as_json: bool) -> None:
    """One page: what was broken, and the story of the order that it happened to."""
    seed = outcome.scenario.seed
    about = [line for line in outcome.lines if line.about == outcome.about or line.what in ("dies", "starts")]
    if as_json:
        print(json.dumps({"seed": seed, "failure": outcome.failure, "story": tail(about, STORY_LINES)}))
        return
    if not outcome.failure:
        console.print(f"✔ seed {seed}: {outcome.orders} orders, {outcome.steps:,} steps", highlight=False)
        return
    console.print(f"✘ seed {seed}: {outcome.failure}", highlight=False)
    for text in tail(about, STORY_LINES):
        console.print(f"  {text}", highlight=False)
    console.print(f"manage.py simulate --seed {seed} --trace", highlight=False)


def main(options: Options, *, seed: int | None, trace: bool, mutants: bool) -> int:
    """The exit status."""
    console = Console()
    if mutants:
        from proof.mutants import run_mutants  # noqa: PLC0415 - it copies the source

        return run_mutants(options.seeds, options.jobs, console)
    if seed is not None:
        return run_one(seed, options.days, console, trace=trace)
    return run_seeds(options, console)
