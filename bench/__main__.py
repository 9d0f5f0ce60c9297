"""``make bench``: what the service does a second, beside a floor that does the same work without any logic.

Service, floor, simulator, stores and load generator are processes of their own. Service and floor take turns on the
same machine in the same run, because only their ratio means anything on a machine that others use too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.stack import Stack
from bench.work import Requests, floor_orders, jssdk, nothing, notifications_v2, notifications_v3, orders

TURNS = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario: the service's figures over all its turns, and its rate beside the floor's."""

    name: str
    per_s: float
    floor_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    simulator_cpu_ms: float
    failed: int

    @property
    def ratio(self) -> float:
        return self.per_s / self.floor_per_s


def measure(stack: Stack, name: str, requests: Requests, floor: Requests) -> Row:
    """Let floor and service take turns on halves of their requests."""
    service_turns, floor_turns = [], []
    for turn in range(TURNS):
        floor_turns.append(stack.drive(stack.floor, floor[turn::TURNS]))
        service_turns.append(stack.drive(stack.service, requests[turn::TURNS]))
    count = sum(turn.count for turn in service_turns)
    return Row(
        name=name,
        per_s=count / sum(turn.seconds for turn in service_turns),
        floor_per_s=sum(turn.count for turn in floor_turns) / sum(turn.seconds for turn in floor_turns),
        p50_ms=sorted(turn.p50_ms for turn in service_turns)[len(service_turns) // 2],
        p99_ms=max(turn.p99_ms for turn in service_turns),
        cpu_ms=1000 * sum(turn.cpu_s for turn in service_turns) / count,
        simulator_cpu_ms=1000 * sum(turn.simulator_cpu_s for turn in service_turns) / count,
        failed=sum(turn.failed for turn in service_turns),
    )


def run(count: int, memory_orders: int, directory: Path) -> tuple[list[Row], float, float]:
    """All scenarios; the rows, and the service's resident MB at rest and after ``memory_orders`` orders."""
    with Stack(directory) as stack:
        stack.start_service()
        rest_mb = stack.resident_mb()
        rows = [
            measure(stack, "orders v2", orders(stack.api_key, "v2", count), floor_orders(stack.keys, count)),
            measure(stack, "orders v3", orders(stack.api_key, "v3", count), floor_orders(stack.keys, count)),
            measure(stack, "jssdk configs", jssdk(stack.base_url, count), nothing(count)),
        ]
        stack.drive(stack.service, orders(stack.api_key, "v2", max(0, memory_orders - 2 * count)))
        full_mb = stack.resident_mb()
        unpaid = stack.unpaid(2 * count)
        stack.restart_service_with_our_platform_key()
        v2 = notifications_v2(stack.keys, unpaid[:count])
        v3 = notifications_v3(stack.keys, stack.platform, unpaid[count:])
        rows.append(measure(stack, "notifications v2", v2, _as_floor(v2)))
        rows.append(measure(stack, "notifications v3", v3, _as_floor(v3)))
    return rows, rest_mb, full_mb


def _as_floor(requests: Requests) -> Requests:
    return [request | {"path": "/notify"} for request in requests]


def show(rows: Sequence[Row], rest_mb: float, full_mb: float, memory_orders: int) -> None:
    table = Table(title="Fenpay beside its floor")
    for heading in ("", "per s", "floor per s", "ratio", "p50 ms", "p99 ms", "CPU ms", "simulator CPU ms", "failed"):
        table.add_column(heading, justify="left" if not heading else "right")
    for row in rows:
        figures = (row.per_s, row.floor_per_s, row.ratio, row.p50_ms, row.p99_ms, row.cpu_ms, row.simulator_cpu_ms)
        formats = (".0f", ".0f", ".2f", ".1f", ".1f", ".2f", ".2f")
        cells = [format(value, form) for value, form in zip(figures, formats, strict=True)]
        table.add_row(row.name, *cells, str(row.failed))
    console = Console(width=110)
    console.print(table)
    console.print(f"resident: {rest_mb:.0f} MB at rest, {full_mb:.0f} MB after {memory_orders} orders")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="requests of each kind")
    parser.add_argument("--memory-orders", type=int, default=10_000, help="orders before memory is read")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fenpay-bench-") as directory:
        rows, rest_mb, full_mb = run(arguments.count, arguments.memory_orders, Path(directory))
    show(rows, rest_mb, full_mb, arguments.memory_orders)
    if arguments.json:
        figures = {row.name: {"per_s": row.per_s, "ratio": row.ratio, "cpu_ms": row.cpu_ms} for row in rows}
        arguments.json.write_text(json.dumps(figures | {"resident_mb": full_mb}, indent=2))


if __name__ == "__main__":
    main()
