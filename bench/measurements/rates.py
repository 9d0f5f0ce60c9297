"""Measure the service's requests per second, beside a baseline that makes the same writes without any logic.

Service and baseline take turns in the same run, because only their ratio is meaningful on a shared machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pymongo import MongoClient
from rich.table import Table

from bench import work
from bench.fill import DATABASE, anything_due
from bench.processes.platform import Platform
from bench.processes.stack import Stack
from bench.work import Requests
from storage.stores.all import ORDERS

TURNS = 4
ALONE = 50  # requests of a single client
HEADINGS = (
    "",
    "per s",
    "floor\nper s",
    "ratio",
    "p50\nms",
    "p99\nms",
    "alone\np50 ms",
    "CPU\nms",
    "floor\nCPU ms",
    "simulator\nCPU ms",
    "failed",
)
LASTS_S = 2 * 3600  # a refund of the scenario "slow", by the simulator's clock
SETTLED_S = 300.0


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of request: the service's results over all its turns, and the baseline's rate. ``alone_ms`` is the median
    time with one client and no other load."""

    name: str
    per_s: float
    floor_per_s: float
    p50_ms: float
    p99_ms: float
    alone_ms: float
    cpu_ms: float
    floor_cpu_ms: float
    simulator_cpu_ms: float
    failed: int

    @property
    def ratio(self) -> float:
        return self.per_s / self.floor_per_s


@dataclass(frozen=True, slots=True)
class Rates:
    """All rows, the service's seconds from start to listening, and its resident MB at rest and after ``memory_orders``
    more orders."""

    rows: Sequence[Row]
    start_s: float
    rest_mb: float
    full_mb: float
    memory_orders: int


class Course:
    """A service and a baseline over one database, measured in turns."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._mongo = stack.mongo()
        self._platform = Platform()
        self._service = stack.service(self._mongo.url)
        self._baseline = stack.baseline(self._mongo.url)
        self._port = int(self._service.url.rpartition(":")[2])
        self.rows: list[Row] = []

    def start_s(self) -> float:
        return self._service.start_s

    def resident_mb(self) -> float:
        return float(psutil.Process(self._service.process.pid).memory_info().rss) / 2**20

    def orders(self, count: int) -> None:
        stack, baseline = self._stack, work.baseline_orders(self._stack.keys, count)
        self._measure("orders v2", work.orders(stack.api_key, "v2", count), baseline)
        self._measure("orders v3", work.orders(stack.api_key, "v3", count), baseline)

    def refunds(self) -> None:
        """Measure one refund of each order so far, after all were paid. The refunds end after the measurement."""
        stack, orders = self._stack, self._pay()
        kept, rest = orders[0], orders[1:]
        for api, baseline in (
            ("v2", work.baseline_refunds_v2(stack.keys, kept)),
            ("v3", work.baseline_refunds_v3(stack.keys)),
        ):
            asked = work.refunds(stack.api_key, [order for order in rest if order["api"] == api])
            stack.control("refunds/scenarios", {"scenario": "slow", "times": len(asked)})
            self._measure(f"refunds {api}", asked, [baseline] * len(asked))
            stack.control("clock", {"advance_s": LASTS_S})
            self._until_nothing_is_due()
        self._all_came_back(len(rest))

    def configs(self, count: int) -> None:
        self._measure("jssdk configs", work.jssdk(self._service.url, count), work.nothing(count))

    def fill(self, count: int) -> None:
        """Place ``count`` more orders."""
        self._stack.drive(self._service, work.orders(self._stack.api_key, "v2", count))

    def notifications(self, count: int) -> None:
        """Measure notifications made here, signed by a platform key that the service was configured with."""
        unpaid = self._stack.unpaid(self._service, 2 * count)
        self._service.process.stop()
        self._service = self._stack.service(self._mongo.url, port=self._port, platform=self._platform)
        v2 = work.notifications_v2(self._stack.keys, unpaid[:count])
        v3 = work.notifications_v3(self._stack.keys, self._platform, unpaid[count:])
        self._measure("notifications v2", v2, work.as_baseline(v2))
        self._measure("notifications v3", v3, work.as_baseline(v3))

    def _measure(self, name: str, requests: Requests, baseline: Requests) -> None:
        """Send parts of the requests to baseline and service in turns."""
        alone = self._stack.drive(self._service, requests[:ALONE], clients=1)
        requests, baseline = requests[ALONE:], baseline[ALONE:]
        service_turns, baseline_turns = [], []
        for turn in range(TURNS):
            baseline_turns.append(self._stack.drive(self._baseline, baseline[turn::TURNS]))
            service_turns.append(self._stack.drive(self._service, requests[turn::TURNS]))
        count = sum(turn.count for turn in service_turns)
        row = Row(
            name=name,
            per_s=count / sum(turn.seconds for turn in service_turns),
            floor_per_s=sum(turn.count for turn in baseline_turns) / sum(turn.seconds for turn in baseline_turns),
            p50_ms=sorted(turn.p50_ms for turn in service_turns)[len(service_turns) // 2],
            p99_ms=max(turn.p99_ms for turn in service_turns),
            alone_ms=alone.p50_ms,
            cpu_ms=1000 * sum(turn.cpu_s for turn in service_turns) / count,
            floor_cpu_ms=1000 * sum(turn.cpu_s for turn in baseline_turns) / sum(turn.count for turn in baseline_turns),
            simulator_cpu_ms=1000 * sum(turn.simulator_cpu_s for turn in service_turns) / count,
            failed=sum(turn.failed for turn in (alone, *service_turns)),
        )
        self.rows.append(row)

    def _pay(self) -> list[dict[str, Any]]:
        """Pay every order at the simulator, which notifies the service."""
        orders = self._stack.unpaid(self._service, 10**6)
        self._stack.drive(self._stack.simulator, work.payments(orders))
        self._until_nothing_is_due()
        return orders

    def _until_nothing_is_due(self) -> None:
        """Wait until the service has nothing to do for any order or refund. Raises TimeoutError."""
        with MongoClient[dict[str, Any]](self._mongo.url) as client:
            deadline = time.monotonic() + SETTLED_S
            while anything_due(client[DATABASE]):
                if time.monotonic() > deadline:
                    raise TimeoutError("orders or refunds are still waiting")
                time.sleep(0.2)

    def _all_came_back(self, count: int) -> None:
        """Raise ValueError if a refund that was accepted did not succeed."""
        with MongoClient[dict[str, Any]](self._mongo.url) as client:
            done = client[DATABASE][ORDERS].count_documents({"refund_states": "SUCCESS"})
        if done != count:
            raise ValueError(f"of {count} refunds {done} came back")


def run(count: int, memory_orders: int) -> Rates:
    """Measure all kinds of requests, ``count`` of each."""
    with tempfile.TemporaryDirectory(prefix="fenpay-bench-") as directory, Stack(Path(directory)) as stack:
        course = Course(stack)
        start_s, rest_mb = course.start_s(), course.resident_mb()
        course.orders(count)
        course.refunds()
        course.configs(count)
        course.fill(2 * count)
        course.notifications(count)
        course.fill(memory_orders)  # last: from half a minute on, thousands of unpaid orders are queried
        return Rates(course.rows, start_s, rest_mb, course.resident_mb(), memory_orders)


def show(rows: Sequence[Row]) -> Table:
    table = Table(title="Fenpay beside its floor")
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows:
        rates, cpu = (row.per_s, row.floor_per_s, row.ratio), (row.cpu_ms, row.floor_cpu_ms, row.simulator_cpu_ms)
        figures = (*rates, row.p50_ms, row.p99_ms, row.alone_ms, *cpu)
        formats = (".0f", ".0f", ".2f", ".0f", ".0f", ".1f", ".2f", ".2f", ".2f")
        cells = [format(value, form) for value, form in zip(figures, formats, strict=True)]
        table.add_row(row.name, *cells, str(row.failed))
    return table
