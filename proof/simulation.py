"""One seed: some days of a shop under faults, then peace until everything has come to rest."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from proof.chance import Chance
from proof.cluster import Cluster
from proof.faults import Fault, Faults
from proof.invariants import Broken, Invariants, check_end
from proof.loop import Deadlock, SimulatedLoop
from proof.merchant import Account
from proof.people import People
from proof.process import Environment, SimulatedClock
from proof.receiver import Receiver
from proof.trace import Line, Trace
from proof.wechat import WeChat
from storage.memory.storage import MemoryDatabase
from storage.stores.all import DELIVERIES, ORDERS
from wechat.refunds.late_payments import LatePolicy

DAY_S = 86400.0
HOUR_S = 3600.0
BURST_S = 2.0
"""In some seeds all orders come at once, so that batches are large and processes meet."""
MOST_STEPS = 20_000_000
MOST_ORDERS = 24
MOST_PROCESSES = 3
REST_DAYS = 6
"""Of peace at the end: an event may have been retried over three days, and payments come hours late."""
QUIET_S = 600.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated."""

    seed: int
    days: float = 1.0


@dataclass(slots=True)
class Outcome:
    """What came of a seed. ``failure`` is empty when every invariant held."""

    scenario: Scenario
    failure: str = ""
    about: str = ""
    orders: int = 0
    steps: int = 0
    checked: int = 0
    simulated_s: float = 0.0
    took_s: float = 0.0
    faults: Counter[Fault] = field(default_factory=Counter)
    lines: list[Line] = field(default_factory=list)


def simulate(scenario: Scenario) -> Outcome:
    """Run one seed. Never raises for what the service does wrong: that is the outcome's ``failure``."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    chance = Chance(scenario.seed)
    outcome = Outcome(scenario)
    loop = SimulatedLoop(chance.stream("loop"), MOST_STEPS)
    started = time.perf_counter()
    try:
        loop.run_until_complete(_run_scenario(loop, chance, outcome))
    except Broken as broken:
        outcome.failure, outcome.about = str(broken), broken.about
    except Deadlock as deadlock:
        outcome.failure = f"deadlock: {deadlock}"
    outcome.steps, outcome.simulated_s = loop.steps, loop.time()
    outcome.took_s = time.perf_counter() - started
    _discard(loop)
    return outcome


async def _run_scenario(loop: SimulatedLoop, chance: Chance, outcome: Outcome) -> None:
    """Raises Broken."""
    scenario, stream = outcome.scenario, chance.stream("scenario")
    outcome.orders = stream.randint(1, MOST_ORDERS)
    processes = stream.randint(1, MOST_PROCESSES)
    policy = stream.choice(list(LatePolicy))
    clock, world, faults = SimulatedClock(loop), WeChat(), Faults(chance.stream("faults"))
    trace = Trace(loop)
    outcome.lines, outcome.faults = trace.lines, faults.counted
    database = MemoryDatabase(clock)
    invariants = Invariants(database, world)
    account, receiver = Account(world), Receiver(faults, chance.stream("receiver"), trace)
    environment = Environment(database, account, receiver, faults, chance, clock, trace, invariants.written, policy)
    cluster = Cluster(processes, environment)
    people = People(world, account, cluster, faults, clock, chance.stream("people"), trace)
    background = [loop.create_task(cluster.inject_faults()), loop.create_task(people.work_on_refunds())]
    within_s = stream.choice([BURST_S, HOUR_S, scenario.days * DAY_S / 2])
    for number in range(outcome.orders):
        people.begin(people.buy(f"order-{number + 1:02}", within_s))
    await _advance(scenario.days * DAY_S, invariants, people, until=lambda: not people.busy)
    trace.add("proof", "faults end")
    faults.stop()
    background[0].cancel()
    cluster.replace_all()
    await _advance(REST_DAYS * DAY_S, invariants, people, until=lambda: _at_rest(database, world, people))
    background[1].cancel()
    for broken in check_end(database, world, people.acknowledged, receiver):
        raise broken
    outcome.checked = invariants.checked


async def _advance(
    seconds: float, invariants: Invariants, people: People, until: Callable[[], bool] = lambda: False
) -> None:
    """Let time pass, no longer than ``until`` holds, and check now and then whether something was broken.

    Raises Broken.
    """
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end and not until():
        await asyncio.sleep(QUIET_S)
        if invariants.broken:
            raise invariants.broken
        for wrong in people.wrong:
            raise Broken(wrong)


def _at_rest(database: MemoryDatabase, world: WeChat, people: People) -> bool:
    """Whether nothing is to come any more."""
    if people.busy or any(refund.state in ("PROCESSING", "ABNORMAL") for refund in world.refunds.values()):
        return False
    busy = ("due_at", "outbox_due_at")
    return not any(field in document for document in database[ORDERS].everything() for field in busy) and not any(
        "due_at" in document for document in database[DELIVERIES].everything()
    )


def _discard(loop: SimulatedLoop) -> None:
    """End what still waits: dead processes wait for ever."""
    waiting = asyncio.all_tasks(loop)
    for task in waiting:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
    loop.close()
