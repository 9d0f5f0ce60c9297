"""``python -m bench functions``: count the function calls of a request, by the library whose code makes them.

Unlike CPU time, the counts hardly depend on what else the machine does, so they show what a change takes out. A
function in C counts for the library that calls it.
"""

from __future__ import annotations

import json
import pstats
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import psutil
from rich.console import Console
from rich.table import Table

from bench import work
from bench.measurements.turns import WARM_ORDERS
from bench.processes.stack import Stack, Target
from bench.work import Requests
from scripts.steps import ROOT, Failed

LIBRARIES = {
    "Tornado": ("/tornado/",),
    "aiohttp": ("/aiohttp/", "/multidict/", "/yarl/", "/aiohappyeyeballs/"),
    "Motor, PyMongo": ("/motor/", "/pymongo/", "/bson/"),
    "other packages": ("/site-packages/",),
    "Fenpay": (f"{ROOT}/",),
}
"""By a part of a file's path; what matches none is Python's own."""
PYTHON = "Python"
COLUMNS = ("Fenpay", *[name for name in LIBRARIES if name != "Fenpay"], PYTHON)
COUNTS_S = 30.0
STEP_S = 0.05


def run(count: int, driver: str) -> dict[str, dict[str, float]]:
    """Calls per request by library, for each kind of request. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="fenpay-bench-") as name, Stack(Path(name)) as stack:
        counts = Path(name) / "counts"
        target = stack.service(stack.mongo().url, driver=driver, counts=str(counts))
        found: dict[str, dict[str, float]] = {}
        for api in ("v2", "v3"):
            answers, _ = _drive(stack, target, counts, work.orders(stack.api_key, api, WARM_ORDERS))
            _drive(stack, target, counts, _notifications(stack, api, answers))
            answers, found[f"orders {api}"] = _drive(stack, target, counts, work.orders(stack.api_key, api, count))
            requests = _notifications(stack, api, answers)
            _, found[f"notifications {api}"] = _drive(stack, target, counts, requests)
        return found


def show(found: dict[str, dict[str, float]], console: Console) -> None:
    table = Table(title="Functions that a request calls", show_lines=True)
    for heading in ("", *COLUMNS, "all"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, calls in found.items():
        figures = [*(calls[column] for column in COLUMNS), sum(calls.values())]
        table.add_row(name, *[f"{figure:.0f}" for figure in figures])
    console.print(table)


def _notifications(stack: Stack, api: str, answers: Sequence[str]) -> Requests:
    payer = {"openid": stack.keys["users"][0]["openid"]}
    orders: list[dict[str, Any]] = [json.loads(answer) | payer for answer in answers]
    if api == "v2":
        return work.notifications_v2(stack.keys, orders)
    return work.notifications_v3(stack.keys, stack.platform(), orders)


def _drive(stack: Stack, target: Target, counts: Path, requests: Requests) -> tuple[Sequence[str], dict[str, float]]:
    """Send ``requests``: the bodies of the answers, and the calls per request until the service is at rest again."""
    service = psutil.Process(target.process.pid)
    target.rest()
    service.send_signal(signal.SIGUSR1)
    seen = stack.drive(target, requests, keep_answers=True)
    target.rest()
    service.send_signal(signal.SIGUSR2)
    if seen.failed:
        raise Failed(f"{seen.failed} requests were not answered with success")
    calls = _take_counts(counts)
    return seen.answers, {name: calls[name] / seen.count for name in COLUMNS}


def _take_counts(file: Path) -> Counter[str]:
    """Calls by library, of the counts that the service is about to write. Raises Failed."""
    deadline = time.monotonic() + COUNTS_S
    while not file.exists():
        if time.monotonic() > deadline:
            raise Failed("the service wrote no counts of its functions")
        time.sleep(STEP_S)
    stats = cast(Any, pstats.Stats(str(file))).stats  # typeshed does not know the attribute
    file.unlink()
    calls: Counter[str] = Counter()
    for where, (_, count, _, _, callers) in stats.items():
        if where[0] != "~":
            calls[_library(where[0])] += count
        else:
            for caller, (by_caller, *_) in callers.items():
                calls[_library(caller[0])] += by_caller
    return calls


def _library(file: str) -> str:
    return next((name for name, parts in LIBRARIES.items() if any(part in file for part in parts)), PYTHON)
