"""``make bench``: measure the service's requests per second, the reading of bills, an idle minute, the service beside
two peer applications, the effect of many stored orders, the cost of recording calls, the console beside many orders,
and the functions that a request calls.

Service, baseline, peers, simulator, stores and load generator are processes of their own, on loopback and in a
temporary directory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.measurements import bills, calls, console_pages, functions, idle, rates, scale
from bench.peers import comparison
from scripts.steps import Failed

Json = dict[str, Any]


def measure_rates(arguments: argparse.Namespace, console: Console) -> Json:
    measured = rates.run(arguments.count, arguments.memory_orders)
    console.print(rates.show(measured.rows))
    console.print(
        f"resident: {measured.rest_mb:.0f} MB at rest, {measured.full_mb:.0f} MB after {measured.memory_orders} orders"
    )
    console.print(f"listening {measured.start_s:.1f} s after the start")
    figures = {row.name: asdict(row) | {"ratio": row.ratio} for row in measured.rows}
    return {"rates": figures, "resident_mb": measured.full_mb, "start_s": measured.start_s}


def measure_bills(arguments: argparse.Namespace, console: Console) -> Json:
    figures = bills.run(arguments.bill_lines)
    bills.show(figures, console)
    return {"bills": asdict(figures)}


def measure_idle(arguments: argparse.Namespace, console: Console) -> Json:
    empty, full = idle.run(arguments.idle_orders, arguments.idle_seconds)
    idle.show(empty, full, console)
    return {"idle": {"empty": asdict(empty), "full": asdict(full)}}


def measure_peers(arguments: argparse.Namespace, console: Console) -> Json:
    rounds = comparison.run(arguments.count, arguments.rounds, arguments.driver)
    comparison.show(rounds, console)
    return {"peers": comparison.figures(rounds)}


def measure_scale(arguments: argparse.Namespace, console: Console) -> Json:
    stored = [*arguments.stored, *([arguments.orders] if arguments.orders else [])]
    rounds = scale.run(stored, arguments.count, arguments.rounds, arguments.driver)
    scale.show(rounds, console)
    return {"scale": scale.figures(rounds)}


def measure_calls(arguments: argparse.Namespace, console: Console) -> Json:
    rounds = calls.run(arguments.count, arguments.rounds, arguments.driver)
    calls.show(rounds, console)
    return {"calls": calls.figures(rounds)}


def measure_console(arguments: argparse.Namespace, console: Console) -> Json:
    pages, loads = console_pages.run(arguments.console_orders)
    console_pages.show(pages, loads, console)
    return {"console": {"pages": [asdict(page) for page in pages], "loads": [asdict(load) for load in loads]}}


def measure_functions(arguments: argparse.Namespace, console: Console) -> Json:
    found = functions.run(arguments.count, arguments.driver)
    functions.show(found, console)
    return {"functions": found}


PARTS: dict[str, Callable[[argparse.Namespace, Console], Json]] = {
    "rates": measure_rates,
    "bills": measure_bills,
    "idle": measure_idle,
    "peers": measure_peers,
    "scale": measure_scale,
    "calls": measure_calls,
    "console": measure_console,
    "functions": measure_functions,
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all of them by default")
    parser.add_argument("--count", type=int, default=2000, help="requests of each kind")
    parser.add_argument("--memory-orders", type=int, default=10_000, help="orders after which memory is read")
    parser.add_argument("--bill-lines", type=int, default=200_000, help="length of the bill")
    parser.add_argument("--idle-orders", type=int, default=100_000, help="finished orders that are stored")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long to watch")
    parser.add_argument(
        "--rounds", type=int, default=1, help="of peers, scale and calls: how often, for median and spread"
    )
    parser.add_argument(
        "--driver",
        choices=["motor", "pymongo"],
        default="motor",
        help="of peers, scale, calls and functions: the service's",
    )
    parser.add_argument(
        "--stored", type=int, nargs="+", default=[0, 10_000, 100_000], help="of scale: finished orders stored"
    )
    parser.add_argument("--orders", type=int, help="of scale: one more number of finished orders stored")
    parser.add_argument("--console-orders", type=int, default=100_000, help="of console: finished orders stored")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    return parser.parse_args()


def main() -> int:
    """Run the chosen parts; return the exit status: 1 if a part could not be measured."""
    arguments = parse_arguments()
    console, figures, status = Console(width=110), Json(), 0
    for part in arguments.parts or PARTS:
        try:
            figures |= PARTS[part](arguments, console)
        except Failed as error:
            print(error, file=sys.stderr)
            status = 1
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    return status


if __name__ == "__main__":
    sys.exit(main())
