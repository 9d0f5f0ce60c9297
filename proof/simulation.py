"""Simulate one seed: some days of a shop under faults, then time without faults until all work has ended."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from proof.checks.alarms import check_alarms
from proof.checks.books import check_books
from proof.checks.invariants import Broken, check_end
from proof.checks.promises import check_promises
from proof.faults import Fault
from proof.runtime.chance import Chance
from proof.runtime.errors import describe, describe_unhandled
from proof.runtime.loop import Deadlock, SimulatedLoop
from proof.runtime.trace import Line, first_order_in
from proof.scene import DAY_S, Scene, Shape
from wechat.domain.orders import TradeState

NONE = "none"
"""The option's value for no fault at all."""
MOST_STEPS = 1_000_000
"""Nearly forty times the usual number: a seed with more has work that never ends."""
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - mkdtemp chooses the name in it
"""The folder of bills, in memory where there is such a file system: on a disk, removing a folder takes milliseconds."""
BOOK_DAYS = 8
"""Days until the last bill is final, and its consequences have been on another bill."""
REST_DAYS = 9
"""Days without faults at the end: an event may be retried over three days, and payments arrive hours late."""
QUIET_S = 600.0
"""The time without due work after which a run has ended."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The scenario to simulate. None follows from the seed; ``without`` are faults that the seed must not have."""

    seed: int
    days: float = 3.0
    orders: int | None = None
    first_order: int = 1
    processes: int | None = None
    without: frozenset[Fault] = frozenset()

    def fault_options(self) -> list[str]:
        """Return the options of the command line that choose the faults, in the shorter form."""
        kept = [fault for fault in Fault if fault not in self.without]
        if len(kept) < len(self.without):
            return [f"--only {fault.option}" for fault in kept] or [f"--only {NONE}"]
        return [f"--without {fault.option}" for fault in Fault if fault in self.without]


@dataclass(slots=True)
class Outcome:
    """The outcome of a seed. ``failure`` is empty if every invariant held."""

    scenario: Scenario
    failure: str = ""
    about: str = ""
    orders: int = 0
    processes: int = 0
    steps: int = 0
    checked: int = 0
    payments: int = 0
    promised: int = 0
    """The number of payments to which the promise applied, of all ``payments`` at WeChat."""
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    faults: Counter[Fault] = field(default_factory=Counter)
    reached: dict[str, int] = field(default_factory=dict)
    """See Coverage."""
    lines: list[Line] = field(default_factory=list)

    def fail(self, text: str, about: str = "") -> None:
        """Record the failure, unless there is an earlier one; it is ``about`` the order that the text names."""
        if not self.failure:
            self.failure, self.about = text, about or first_order_in(text)


def simulate(scenario: Scenario) -> Outcome:
    """Run one seed. Never raises for faults of the service or of a check: they are the outcome's ``failure``."""
    outcome = Outcome(scenario)
    with silence_logs() as crashes:
        _run(scenario, outcome, crashes)
    return outcome


def _run(scenario: Scenario, outcome: Outcome, crashes: Sequence[str]) -> None:
    chance = Chance(scenario.seed)
    loop = SimulatedLoop(chance.stream("loop"), MOST_STEPS)
    unhandled: list[str] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(describe_unhandled(context)))
    kept: list[Scene] = []  # its waiting tasks must not be collected before they are cancelled
    started = time.process_time()
    with _failing(outcome), tempfile.TemporaryDirectory(prefix="fenpay-proof-", dir=IN_MEMORY) as directory:
        loop.run_until_complete(_run_scenario(loop, chance, outcome, Path(directory), kept))
    for crash in crashes:
        outcome.fail(f"a worker survived an error that the service does not promise: {crash}")
    outcome.steps, outcome.simulated_s = loop.steps, loop.time()
    outcome.cpu_s = time.process_time() - started
    with _failing(outcome):
        _discard(loop)
    for error in unhandled:
        outcome.fail(f"nobody handled an error: {error}")


@contextmanager
def _failing(outcome: Outcome) -> Iterator[None]:
    """Record what is raised as the failure of ``outcome``."""
    try:
        yield
    except Broken as broken:
        outcome.fail(str(broken), broken.about)
    except Deadlock as deadlock:
        outcome.fail(f"deadlock: {deadlock}")
    except Exception as error:
        outcome.fail(f"the run ended with an error: {describe(error)}")


@contextmanager
def silence_logs() -> Iterator[list[str]]:
    """Discard the service's log lines, except the exceptions that its workers catch and log: return a list of them.

    Afterwards the previous configuration applies again.
    """
    before = structlog.get_config()
    crashes: list[str] = []

    class Quiet(structlog.make_filtering_bound_logger(logging.CRITICAL)):  # type: ignore[misc]  # made at run time
        def exception(self, event: str, **fields: object) -> None:
            about = first_order_in(str(fields))
            crashes.append(f"{event}{about and f' of {about}'}: {sys.exception()!r}")

    nowhere = structlog.ReturnLogger()
    structlog.configure(
        wrapper_class=Quiet,
        logger_factory=lambda *names: nowhere,
        cache_logger_on_first_use=False,  # a cached logger would stay quiet
    )
    try:
        yield crashes
    finally:
        structlog.configure(**before)


async def _run_scenario(
    loop: SimulatedLoop, chance: Chance, outcome: Outcome, directory: Path, kept: list[Scene]
) -> None:
    """Run the scenario. Raises Broken."""
    scenario = outcome.scenario
    shape = Shape.of(chance, scenario.days, scenario.orders, scenario.processes)
    outcome.orders, outcome.processes = shape.orders, shape.processes
    scene = Scene(loop, chance, shape, scenario.without, directory)
    kept.append(scene)
    people, keeper, trace = scene.people, scene.bookkeeper, scene.trace
    outcome.lines, outcome.faults = trace.lines, scene.faults.occurrences.counted
    outcome.reached = scene.coverage.reached
    bookkeeping = loop.create_task(keeper.work())
    outages = [outage.inject_faults for outage in (scene.account.outage, scene.store_outage)]
    faulty = (scene.cluster.inject_faults, scene.official_account.inject_faults, *outages)
    accidents = [loop.create_task(each()) for each in (*faulty, scene.visitors.visit)]
    for task in (bookkeeping, *accidents):
        task.add_done_callback(partial(_report_error, scene))
    for number in range(scenario.first_order, scenario.first_order + shape.orders):
        people.begin(people.buy(f"order-{number:02}", shape.within_s))
    watch = Watch(scene)
    await watch.wait(scenario.days * DAY_S, until=lambda: not people.busy and not shape.faults_to_the_end)
    trace.add("proof", "faults end")
    for task in accidents:
        task.cancel()
    scene.end_faults()
    people.begin(people.resend_events(scene.dead_events()))
    await watch.wait(REST_DAYS * DAY_S, until=scene.at_rest)
    await watch.wait(BOOK_DAYS * DAY_S, until=lambda: keeper.is_done)
    bookkeeping.cancel()
    _check_end(scene)
    for wrong in await scene.visitors.check_end():
        raise Broken(wrong)
    watch.check()
    outcome.checked, outcome.promised = scene.invariants.checked, scene.journal.promised
    outcome.payments = len(scene.world.payments)


def _report_error(scene: Scene, task: asyncio.Task[None]) -> None:
    """Report the error that ended a task which nobody awaits."""
    if not task.cancelled() and (error := task.exception()):
        scene.report(f"work beside the orders ended with an error: {describe(error)}")


def _check_end(scene: Scene) -> None:
    """Check the final state. Raises Broken."""
    released = {number for number, states in scene.journal.orders.items() if TradeState.SUCCESS in states}
    for broken in check_end(scene.database, scene.world, scene.people.acknowledged, scene.receivers, released):
        raise broken
    evidence = scene.evidence()
    for what, about in (*check_books(evidence), *check_alarms(scene.alarms, evidence), *check_promises(evidence)):
        raise Broken(what, about)


class Watch:
    """Let time pass, and check after each change whether an invariant is broken."""

    def __init__(self, scene: Scene) -> None:
        self._changed = scene.changed
        self._invariants = scene.invariants
        self._people = scene.people

    async def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Return after ``seconds``, or when ``until`` has held for ``QUIET_S``. Raises Broken."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            left = end - asyncio.get_running_loop().time()
            quiet = until()
            changed = await self._wait_for_change(min(left, QUIET_S) if quiet else left)
            self.check()
            if not changed:
                return

    async def _wait_for_change(self, seconds: float) -> bool:
        """Wait for a change or a time limit; return whether there was a change."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def check(self) -> None:
        """Raise Broken if a violation was recorded."""
        if self._invariants.broken:
            raise self._invariants.broken
        for wrong in self._people.wrong:
            raise Broken(wrong)


def _discard(loop: SimulatedLoop) -> None:
    """Cancel all remaining tasks: those of dead processes wait for ever. A cancelled task may start others."""
    while waiting := asyncio.all_tasks(loop):
        for task in waiting:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
    loop.close()
