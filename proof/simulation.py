"""One seed: some days of a shop under faults, then peace until everything has come to rest."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from proof.chance import Chance
from proof.cluster import Cluster
from proof.coverage import Coverage
from proof.faults import Fault, Faults
from proof.invariants import Broken, Invariants, check_end
from proof.loop import Deadlock, SimulatedLoop
from proof.merchant import Account
from proof.people import People
from proof.polls import Polls
from proof.process import Environment, SimulatedClock
from proof.receiver import Receiver
from proof.trace import Line, Trace
from proof.wechat import WeChat
from storage.memory.storage import MemoryDatabase
from storage.stores.all import DELIVERIES, ORDERS
from wechat.domain.orders import Order
from wechat.refunds.late_payments import LatePolicy

NONE = "none"
"""On the command line: no fault at all."""
DAY_S = 86400.0
HOUR_S = 3600.0
BURST_S = 2.0
"""In some seeds all orders come at once, so that batches are large and processes meet."""
MOST_STEPS = 20_000_000
MOST_ORDERS = 50
"""A seed has seventeen on average: many small seeds reach more mixtures of faults than a few large ones."""
MOST_PROCESSES = 3
REST_DAYS = 6
"""Of peace at the end: an event may have been retried over three days, and payments come hours late."""
QUIET_S = 600.0
"""So long nothing may be due until it is over."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated. What is None follows from the seed; ``without`` are faults that the seed has to do without."""

    seed: int
    days: float = 3.0
    orders: int | None = None
    first_order: int = 1
    processes: int | None = None
    without: frozenset[Fault] = frozenset()

    def fault_options(self) -> list[str]:
        """Words of the command line that choose the faults, whichever are fewer."""
        kept = [fault for fault in Fault if fault not in self.without]
        if len(kept) < len(self.without):
            return [f"--only {fault.option}" for fault in kept] or [f"--only {NONE}"]
        return [f"--without {fault.option}" for fault in Fault if fault in self.without]


@dataclass(slots=True)
class Outcome:
    """What came of a seed. ``failure`` is empty when every invariant held."""

    scenario: Scenario
    failure: str = ""
    about: str = ""
    orders: int = 0
    processes: int = 0
    steps: int = 0
    checked: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    faults: Counter[Fault] = field(default_factory=Counter)
    reached: dict[str, int] = field(default_factory=dict)
    """See Coverage."""
    lines: list[Line] = field(default_factory=list)


def simulate(scenario: Scenario) -> Outcome:
    """Run one seed. Never raises for what the service does wrong: that is the outcome's ``failure``."""
    outcome = Outcome(scenario)
    with _silence_logs():
        _run(scenario, outcome)
    return outcome


def _run(scenario: Scenario, outcome: Outcome) -> None:
    chance = Chance(scenario.seed)
    loop = SimulatedLoop(chance.stream("loop"), MOST_STEPS)
    started = time.process_time()
    try:
        loop.run_until_complete(_run_scenario(loop, chance, outcome))
    except Broken as broken:
        outcome.failure, outcome.about = str(broken), broken.about
    except Deadlock as deadlock:
        outcome.failure = f"deadlock: {deadlock}"
    outcome.steps, outcome.simulated_s = loop.steps, loop.time()
    outcome.cpu_s = time.process_time() - started
    _discard(loop)


@contextmanager
def _silence_logs() -> Iterator[None]:
    """The service's log lines are not wanted here; whoever calls goes on with the configuration that was there."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


async def _run_scenario(loop: SimulatedLoop, chance: Chance, outcome: Outcome) -> None:
    """Raises Broken."""
    scenario, shape = outcome.scenario, Shape.of(outcome.scenario, chance)
    outcome.orders, outcome.processes = shape.orders, shape.processes
    clock, world, faults = SimulatedClock(loop), WeChat(), Faults(chance, scenario.without)
    trace, database = Trace(loop), MemoryDatabase(clock)
    coverage = Coverage(faults.occurrences)
    outcome.lines, outcome.faults, outcome.reached = trace.lines, faults.occurrences.counted, coverage.reached
    invariants, polls, account = Invariants(database, world), Polls(database), Account(world)
    receiver = Receiver(faults, chance, trace)
    changed = asyncio.Event()

    def order_written(process: str, order: Order) -> None:
        trace.add(process, "writes", ", ".join(coverage.written(process, order)) or "dates", order.out_trade_no)

    def written(process: str, collection: str, identity: str) -> None:
        invariants.written(process, collection, identity)
        polls.written(collection)
        if invariants.broken or faults.stopped:
            changed.set()

    invariants.on_order = order_written
    faults.occurrences.on_fault = trace.add_fault

    environment = Environment(
        database, account, receiver, faults, chance, clock, trace, written, shape.late_policy, polls
    )
    cluster = Cluster(shape.processes, environment)
    people = People(world, account, cluster, faults, clock, chance, trace)
    people.on_change = changed.set
    accidents = loop.create_task(cluster.inject_faults())
    for number in range(scenario.first_order, scenario.first_order + shape.orders):
        people.begin(people.buy(f"order-{number:02}", shape.within_s))
    watch = Watch(changed, invariants, people)
    await watch.wait(scenario.days * DAY_S)
    trace.add("proof", "faults end")
    faults.stop()
    accidents.cancel()
    cluster.replace_all()
    people.begin(people.resend_events(_undelivered(database)))
    await watch.wait(REST_DAYS * DAY_S, until=lambda: _at_rest(database, world, people))
    for broken in check_end(database, world, people.acknowledged, receiver):
        raise broken
    outcome.checked = invariants.checked


@dataclass(frozen=True, slots=True)
class Shape:
    """What a seed looks like, where its scenario does not say otherwise."""

    orders: int
    processes: int
    within_s: float
    late_policy: LatePolicy

    @classmethod
    def of(cls, scenario: Scenario, chance: Chance) -> Shape:
        """Everything is drawn, also what is not used, so that a smaller scenario is otherwise the same."""
        stream = chance.stream("scenario")
        orders = min(stream.randint(1, MOST_ORDERS), stream.randint(1, MOST_ORDERS))
        processes = stream.randint(1, MOST_PROCESSES)
        policy = stream.choice(list(LatePolicy))
        within_s = stream.choice([BURST_S, HOUR_S, scenario.days * DAY_S / 2, scenario.days * DAY_S])
        return cls(scenario.orders or orders, scenario.processes or processes, within_s, policy)


class Watch:
    """Lets time pass, and looks at each change whether it has broken something."""

    def __init__(self, changed: asyncio.Event, invariants: Invariants, people: People) -> None:
        self._changed = changed
        self._invariants = invariants
        self._people = people

    async def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Return after ``seconds``, or when ``until`` has held for ``QUIET_S``. Raises Broken."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            left = end - asyncio.get_running_loop().time()
            quiet = until()
            changed = await self._wait_for_change(min(left, QUIET_S) if quiet else left)
            self._check()
            if not changed:
                return

    async def _wait_for_change(self, seconds: float) -> bool:
        """Whether there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def _check(self) -> None:
        """Raises Broken."""
        if self._invariants.broken:
            raise self._invariants.broken
        for wrong in self._people.wrong:
            raise Broken(wrong)


def _undelivered(database: MemoryDatabase) -> list[str]:
    """Ids of the events that were given up on, which an alarm has said."""
    return [each["event_id"] for each in database[DELIVERIES].everything() if each["state"] == "dead"]


def _at_rest(database: MemoryDatabase, world: WeChat, people: People) -> bool:
    """Whether nothing is to come any more."""
    dates = ((ORDERS, "due_at"), (ORDERS, "outbox_due_at"), (DELIVERIES, "due_at"))
    return not (
        people.busy
        or any(database[collection].earliest(field) is not None for collection, field in dates)
        or any(refund.state in ("PROCESSING", "ABNORMAL") for refund in world.refunds.values())
    )


def _discard(loop: SimulatedLoop) -> None:
    """End what still waits: dead processes wait for ever."""
    waiting = asyncio.all_tasks(loop)
    for task in waiting:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
    loop.close()
