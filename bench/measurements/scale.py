"""``python -m bench scale``: measure orders and notifications per second with many finished orders stored, beside an
empty store.

One service and one database for each number of stored orders, all in the same run and in turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import work
from bench.fill import fill_store
from bench.measurements.idle import receiving
from bench.measurements.turns import Orders, Server, take_turns
from bench.processes.stack import Stack, Target
from bench.spread import format_spread
from bench.work import Requests

AIMS = {100_000: 0.9, 1_000_000: 0.85}  # of the rate with an empty store
HEADINGS = ("orders stored", "orders per s", "ratio", "notifications per s", "ratio", "failed")


@dataclass(frozen=True, slots=True)
class Row:
    """The service's rates with ``stored`` finished orders."""

    stored: int
    orders_per_s: float
    notifications_per_s: float
    failed: int


def run(stored: Iterable[int], count: int, rounds: int, driver: str) -> list[list[Row]]:
    """Fill the stores, then measure ``rounds`` times; return each round's rows, the empty store's first. Raises
    Failed."""
    sizes = sorted({0, *stored})
    with ExitStack() as opened:
        directory = opened.enter_context(tempfile.TemporaryDirectory(prefix="fenpay-bench-"))
        stack = opened.enter_context(Stack(Path(directory)))
        receiver = opened.enter_context(receiving())
        targets = [_start(stack, receiver, size, driver) for size in sizes]
        return [_measure(stack, sizes, targets, count) for _ in range(rounds)]


def _start(stack: Stack, receiver: str, stored: int, driver: str) -> Target:
    """Start a service over a database with so many finished orders."""
    mongo = stack.mongo(f"mongo-{stored}")
    if stored:
        fill_store(stack, mongo, receiver, stored)
    return stack.service(mongo.url, name=f"service-{stored}", driver=driver)


def _measure(stack: Stack, sizes: Sequence[int], targets: Sequence[Target], count: int) -> list[Row]:
    def notify(orders: Orders) -> Requests:
        return work.notifications_v2(stack.keys, orders)

    servers = [Server(target, "v2", notify) for target in targets]
    take_turns(stack, servers, count)
    return [
        Row(size, server.orders.per_s, server.notifications.per_s, server.orders.failed + server.notifications.failed)
        for size, server in zip(sizes, servers, strict=True)
    ]


def show(rounds: Sequence[Sequence[Row]], console: Console) -> None:
    table = Table(title="Rates with finished orders stored", show_lines=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for column, rows in enumerate(zip(*rounds, strict=True)):
        aim = AIMS.get(rows[0].stored)
        orders, notifications = _ratios(rounds, column)
        table.add_row(
            f"{rows[0].stored:,}",
            format_spread([row.orders_per_s for row in rows], ".0f"),
            format_spread(orders, ".2f", aim),
            format_spread([row.notifications_per_s for row in rows], ".0f"),
            format_spread(notifications, ".2f", aim),
            str(sum(row.failed for row in rows)),
        )
    console.print(table)


def figures(rounds: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Return medians by the number of stored orders."""
    found: dict[str, Any] = {}
    for column, row in enumerate(rounds[0]):
        orders, notifications = _ratios(rounds, column)
        found[str(row.stored)] = {"orders_ratio": median(orders), "notifications_ratio": median(notifications)}
    return found


def _ratios(rounds: Sequence[Sequence[Row]], column: int) -> tuple[list[float], list[float]]:
    """Return the rates of orders and of notifications relative to those with an empty store, round by round."""
    pairs = [(rows[column], rows[0]) for rows in rounds]
    orders = [row.orders_per_s / empty.orders_per_s for row, empty in pairs]
    return orders, [row.notifications_per_s / empty.notifications_per_s for row, empty in pairs]
