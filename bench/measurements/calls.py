"""``python -m bench calls``: measure the cost of recording each call to WeChat and each notification.

Two services over two databases, which differ in the setting ``calls.enabled`` only, take turns in one run, with orders
and notifications of both APIs. The CPU is the service's own, also after its answers, because calls are written later.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import work
from bench.measurements.turns import Orders, Server, take_turns
from bench.processes.stack import Stack, Target
from bench.spread import format_spread
from bench.work import Requests

HEADINGS = ("", "CPU ms recorded", "CPU ms not recorded", "CPU", "rate", "failed")


@dataclass(frozen=True, slots=True)
class Row:
    """The results of one kind of request, with and without recorded calls."""

    name: str
    cpu_ms: float
    without_cpu_ms: float
    per_s: float
    without_per_s: float
    failed: int

    @property
    def ratio(self) -> float:
        return self.cpu_ms / self.without_cpu_ms


def run(count: int, rounds: int, driver: str) -> list[list[Row]]:
    """Return the rows of each round. Raises Failed."""
    with ExitStack() as opened:
        directory = opened.enter_context(tempfile.TemporaryDirectory(prefix="fenpay-bench-"))
        stack = opened.enter_context(Stack(Path(directory)))
        targets = [_start(stack, recorded, driver) for recorded in (True, False)]
        return [_measure(stack, targets, count) for _ in range(rounds)]


def _start(stack: Stack, recorded: bool, driver: str) -> Target:
    name = "recorded" if recorded else "silent"
    mongo = stack.mongo(f"mongo-{name}")
    return stack.service(mongo.url, name=f"service-{name}", driver=driver, calls=recorded)


def _measure(stack: Stack, targets: Sequence[Target], count: int) -> list[Row]:
    notify = {"v2": partial(_notify_v2, stack), "v3": partial(_notify_v3, stack)}
    rows: list[Row] = []
    for api, make in notify.items():
        recorded, silent = (Server(target, api, make) for target in targets)
        take_turns(stack, [recorded, silent], count)
        for kind in ("orders", "notifications"):
            with_, without = getattr(recorded, kind), getattr(silent, kind)
            failed = with_.failed + without.failed
            rows.append(
                Row(f"{kind} {api}", with_.cpu_ms, without.cpu_ms, with_.per_s, without.per_s, failed),
            )
    return rows


def _notify_v2(stack: Stack, orders: Orders) -> Requests:
    return work.notifications_v2(stack.keys, orders)


def _notify_v3(stack: Stack, orders: Orders) -> Requests:
    return work.notifications_v3(stack.keys, stack.platform(), orders)


def show(rounds: Sequence[Sequence[Row]], console: Console) -> None:
    table = Table(title="What recording calls costs", show_lines=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading else "left")
    for rows in zip(*rounds, strict=True):
        table.add_row(
            rows[0].name,
            format_spread([row.cpu_ms for row in rows], ".2f"),
            format_spread([row.without_cpu_ms for row in rows], ".2f"),
            format_spread([row.ratio for row in rows], ".3f"),
            format_spread([row.per_s / row.without_per_s for row in rows], ".2f"),
            str(sum(row.failed for row in rows)),
        )
    console.print(table)


def figures(rounds: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Return by kind the median CPU with recorded calls, beside that without."""
    return {rows[0].name: median(row.ratio for row in rows) for rows in zip(*rounds, strict=True)}
