"""The scene of one seed: WeChat, the processes, the people, and the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from proof.checks.alarms import Alarm, Evidence
from proof.checks.coverage import Coverage
from proof.checks.invariants import Invariants
from proof.checks.journal import Journal
from proof.checks.rules import LONGEST_WITHOUT_KEY_S
from proof.checks.words import Words
from proof.faults import Fault, Faults
from proof.people.bookkeeper import Bookkeeper
from proof.people.payers import People
from proof.people.visitors import Visitors
from proof.runtime.chance import Chance
from proof.runtime.outage import Outage
from proof.runtime.ports import SimulatedClock
from proof.runtime.trace import FAULT, Trace
from proof.service.cluster import Cluster
from proof.service.official_account import World
from proof.service.polls import Polls
from proof.service.process import Environment
from proof.service.receiver import DistantReceiver, Receiver
from proof.wechat.bills import beijing_day
from proof.wechat.merchant import Account
from proof.wechat.payments import WeChat
from proof.wechat.platform_keys import KeyMode, PlatformKeys
from storage.documents import FIRST, LAST, Range
from storage.memory.storage import MemoryDatabase
from storage.stores.all import DELIVERIES, ORDERS
from storage.stores.order_codec import ORDER
from wechat.domain.orders import Order
from wechat.refunds.late_payments import LatePolicy

REFUSED = f"refund: {Fault.WIRE_NEW_CODE}"
"""What the trace says of a refund that was refused with a code that nobody knows."""
DAY_S = 86400.0
HOUR_S = 3600.0
BURST_S = 2.0
"""In some seeds all orders come at once, so that batches are large and processes meet."""
MOST_ORDERS = 30
"""A seed has sixteen on average: many small seeds reach more combinations of faults than a few large ones. It has the
lesser of two numbers up to ``DRAWN_ORDERS``, and not more than this."""
DRAWN_ORDERS = 50
MOST_PROCESSES = 4
MOST_ROTATIONS = 3
BEGINS_H = (0.0, 11.0, 11.95)
"""Hours after noon in Beijing, so that some seeds have most of their payments about midnight."""
HOSTS_APART = 0.5
"""The share of seeds in which the processes keep their bills in different folders."""
WITH_FAULTS_TO_THE_END = 0.5
"""The share of seeds with faults until the days are over, including faults of bills; in the others, until nobody acts
any more."""
PROCESSES_STAY = 0.5
"""The share of seeds whose living processes stay when the faults end; in the others a new one takes the place of each.
A restart would heal a worker or a key ring that hangs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The parameters of a seed, unless its scenario says otherwise."""

    orders: int
    processes: int
    within_s: float
    late_policy: LatePolicy
    begins_h: float
    hosts_apart: bool
    faults_to_the_end: bool
    processes_stay: bool

    @classmethod
    def of(cls, chance: Chance, days: float, orders: int | None = None, processes: int | None = None) -> Shape:
        """Draw the parameters; also those that are not used, so that a smaller scenario is otherwise the same."""
        stream = chance.stream("scenario")
        drawn = min(*(stream.randint(1, DRAWN_ORDERS) for _ in "ab"), MOST_ORDERS), stream.randint(1, MOST_PROCESSES)
        policy = stream.choice(list(LatePolicy))
        within_s = stream.choice([BURST_S, HOUR_S, days * DAY_S / 2, days * DAY_S])
        begins_h = stream.choice(BEGINS_H)
        apart, to_the_end = stream.random() < HOSTS_APART, stream.random() < WITH_FAULTS_TO_THE_END
        stay = chance.stream("processes at the end").random() < PROCESSES_STAY
        return cls(orders or drawn[0], processes or drawn[1], within_s, policy, begins_h, apart, to_the_end, stay)


class Scene:
    """The parts of one seed. Processes keep their bills in ``directory``. ``changed`` is set when the run may be over
    or a check has failed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        chance: Chance,
        shape: Shape,
        without: Collection[Fault],
        directory: Path,
    ) -> None:
        self.shape = shape
        self.changed = asyncio.Event()
        self.world = WeChat()
        self.faults = Faults(chance, without)
        self._clock = SimulatedClock(loop, timedelta(hours=shape.begins_h))
        self.begins = self._clock.now()
        self.trace = Trace(loop)
        self.database = MemoryDatabase(self._clock)
        self.journal = Journal(self.database, loop)
        self.coverage = Coverage(self.faults.occurrences)
        words = Words(self.world, self._clock.now, clocks_differ=self.faults.has(Fault.CLOCK_APART))
        self.invariants = Invariants(self.database, self.world, words)
        self.account = self._open_account(chance)
        self.receivers = [kind(self.faults, chance, self.trace) for kind in (Receiver, DistantReceiver)]
        self.official_account = World(
            self.faults.of("", "office"), self._clock, chance.stream("office"), self.trace, self.report
        )
        self.alarms: list[Alarm] = []
        self.world.is_alarmed = self._is_alarmed
        self.store_outage = Outage(Fault.STORE_DOWN, self.faults.of("", "store"), chance.stream("store"))
        self._polls = Polls(self.database)
        self._directory = directory
        self.faults.occurrences.on_fault = self._on_fault
        self.invariants.on_order = self._on_order_write
        self.cluster = Cluster(shape.processes, self._environment(chance))
        self.visitors = Visitors(self.official_account, self.cluster, chance.stream("visitors"))
        world, account, find_order = self.world, self.account, self.invariants.find_order
        self.people = People(world, account, self.cluster, self.faults, self._clock, chance, self.trace, find_order)
        self.bookkeeper = Bookkeeper(
            self.world, self.account.bills, self.cluster, self.database, self._clock, self.trace, self.at_rest
        )
        self.people.on_change = self.bookkeeper.on_change = self.changed.set

    def _open_account(self, chance: Chance) -> Account:
        keys, bills = _cut_keys(chance, self.faults, self.begins), self.faults.of("", "bills")
        outage = Outage(Fault.CREDENTIALS_REFUSED, self.faults.of("", "outage"), chance.stream("outage"))
        account = Account(self.world, keys, self.begins, bills, chance.stream("bills"), outage)
        account.bills.plan(beijing_day(self.begins))
        return account

    def _environment(self, chance: Chance) -> Environment:
        return Environment(
            database=self.database,
            store_outage=self.store_outage,
            account=self.account,
            official_account=self.official_account,
            targets=self.receivers,
            faults=self.faults,
            chance=chance,
            clock=self._clock,
            trace=self.trace,
            on_write=self._on_write,
            late_policy=self.shape.late_policy,
            polls=self._polls,
            alarms=self.alarms,
            bills_in=self._bills_in,
        )

    def report(self, what: str) -> None:
        """Record a violation, which ends the run."""
        self.people.wrong.append(what)
        self.changed.set()

    def end_faults(self) -> None:
        """End all faults, and give all processes the right time: the living ones stay in some seeds."""
        self.faults.stop()
        self.official_account.end_faults()
        if self.shape.processes_stay:
            self.cluster.replace_gone()
            self._set_clocks()  # a dead process is replaced within minutes in any case
        else:
            self.cluster.replace_all()

    def _set_clocks(self) -> None:
        for process in self.cluster.processes:
            by = self._clock.offset - process.clock.offset
            if not by or not process.state.alive:
                continue
            process.leap(by)
            self.faults.occurrences.forget(process.state.name)
            self.official_account.note_process()
            self.trace.add(process.state.name, "clock is set", f"by {by.total_seconds():.0f} s")

    def at_rest(self) -> bool:
        """Whether nothing will happen any more except bills."""
        dates = ((ORDERS, "due_at"), (ORDERS, "outbox_due_at"), (DELIVERIES, "due_at"))
        return not (
            not self.faults.stopped
            or self.people.busy
            or any(self.database[collection].earliest(Range(field, FIRST, LAST)) for collection, field in dates)
            or any(refund.state in ("PROCESSING", "ABNORMAL") for refund in self.world.refunds.values())
        )

    def dead_events(self) -> list[str]:
        """Ids of the events that were given up, which an alarm has reported."""
        dead = [each["event_id"] for each in self.database[DELIVERIES].look_at_all() if each["state"] == "dead"]
        return list(dict.fromkeys(dead))

    def evidence(self) -> Evidence:
        """Return the current evidence for the checks."""
        orders = {order.out_trade_no: order for order in map(ORDER.read, self.database[ORDERS].look_at_all())}
        bills, policy = self.account.bills, self.shape.late_policy
        span = self.begins, self._clock.now()
        without_key_s = LONGEST_WITHOUT_KEY_S if self.account.keys.all() else 0.0
        refused = {line.about for line in self.trace.lines if (line.what, line.detail) == (FAULT, REFUSED)}
        return Evidence(self.database, self.world, bills, self.journal, orders, policy, *span, refused, without_key_s)

    def _is_alarmed(self, kind: str, number: str) -> bool:
        return any((alarm.kind, alarm.about) == (kind, number) for alarm in self.alarms)

    def _on_fault(self, whom: str, fault: Fault) -> None:
        self.journal.on_fault(fault)
        self.trace.add_fault(whom, fault)

    def _on_order_write(self, process: str, order: Order) -> None:
        self.journal.on_order_write(order)
        moves = ", ".join(self.coverage.on_write(process, order)) or "dates"
        self.trace.add(process, "writes", moves, order.out_trade_no)

    def _on_write(self, process: str, collection: str, identity: str) -> None:
        self.invariants.on_write(process, collection, identity)
        self.journal.on_write(collection, identity)
        self._polls.on_write(collection)
        if self.invariants.broken or self.faults.stopped:
            self.changed.set()

    def _bills_in(self, slot: int) -> Path:
        return self._directory / (f"host-{slot + 1}" if self.shape.hosts_apart else "host")


def _cut_keys(chance: Chance, faults: Faults, begins: datetime) -> PlatformKeys:
    """Return WeChat Pay's keys, which some seeds rotate."""
    stream = chance.stream("keys")
    mode = stream.choice(list(KeyMode))
    rotations = stream.randint(1, MOST_ROTATIONS)
    faults = faults.of("", "keys")
    rotates = mode is not KeyMode.PUBLIC_KEY and faults.lasts(Fault.KEYS_ROTATED)
    zero_first = rotates and faults.lasts(Fault.SERIAL_ZERO)
    return PlatformKeys(mode, stream, begins, rotations if rotates else 0, zero_first=zero_first)
