"""``python -m bench peers``: the service beside two applications that do the same with well-known frameworks and SDKs.

Django REST framework and wechatpy (v2) over PostgreSQL under gunicorn; FastAPI and wechatpayv3 (v3) over the service's
own embedded MongoDB under uvicorn. One worker each, 32 connections, each app in turns with the service. Notifications
are genuine and for orders that each app placed before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import work
from bench.measurements.turns import Orders, Server, Totals, take_turns
from bench.peers.applications import Applications
from bench.peers.install import install
from bench.peers.postgres import Postgres, find_programs
from bench.processes.stack import Stack, Target
from bench.spread import format_spread
from bench.work import Requests
from scripts.steps import Failed
from wechat.pay.signing import SignType

PER_CORE = {"orders v2": 5.0, "orders v3": 5.0, "notifications v2": 4.0, "notifications v3": 3.0}
SAME_STORE = {"orders v3": 3.0, "notifications v3": 2.0}  # of rates, where both write to the same embedded server
LEAST_AFTER_MS = 0.05
HEADINGS = (
    "",
    "Fenpay\nCPU ms",
    "peer\nCPU ms",
    "per core\npeer / Fenpay",
    "Fenpay\nper s",
    "peer\nper s",
    "rate\nFenpay / peer",
    "failed",
)


@dataclass(frozen=True, slots=True)
class Row:
    """The results of one kind of request, the service's and the peer's."""

    name: str
    peer: str
    fenpay: Totals
    other: Totals

    @property
    def per_core(self) -> float:
        """The peer's CPU per request divided by the service's."""
        return self.other.cpu_ms / self.fenpay.cpu_ms

    @property
    def rate(self) -> float:
        return self.fenpay.per_s / self.other.per_s

    @property
    def failed(self) -> int:
        return self.fenpay.failed + self.other.failed


def run(count: int, rounds: int, driver: str) -> list[list[Row]]:
    """Install what the peers need and compare ``rounds`` times. Raises Failed."""
    find_programs()
    python = install()
    return [compare_v2(python, count, driver) + compare_v3(python, count, driver) for _ in range(rounds)]


def compare_v2(python: Path, count: int, driver: str) -> list[Row]:
    """Compare the service with Django; each is notified with the signature type that it places orders with."""
    with Postgres() as postgres, _stack() as (stack, directory):

        def make_server(target: Target, sign_type: SignType) -> Server:
            return Server(target, "v2", lambda orders: work.notifications_v2(stack.keys, orders, sign_type))

        fenpay = make_server(stack.service(stack.mongo().url, driver=driver), SignType.HMAC_SHA256)
        django = make_server(Applications(stack, directory, python).start_django(postgres), SignType.MD5)
        take_turns(stack, [fenpay, django], count)
        return _rows("v2", "Django", fenpay, django)


def compare_v3(python: Path, count: int, driver: str) -> list[Row]:
    """Compare the service with FastAPI, both over one MongoDB server."""
    with _stack() as (stack, directory):
        mongo_url, platform = stack.mongo().url, stack.platform()

        def notify(orders: Orders) -> Requests:
            return work.notifications_v3(stack.keys, platform, orders)

        fenpay = Server(stack.service(mongo_url, driver=driver), "v3", notify)
        fastapi = Server(Applications(stack, directory, python).start_fastapi(mongo_url), "v3", notify)
        take_turns(stack, [fenpay, fastapi], count)
        return _rows("v3", "FastAPI", fenpay, fastapi)


@contextmanager
def _stack() -> Iterator[tuple[Stack, Path]]:
    with tempfile.TemporaryDirectory(prefix="fenpay-bench-") as name, Stack(Path(name)) as stack:
        yield stack, Path(name)


def _rows(api: str, peer: str, fenpay: Server, other: Server) -> list[Row]:
    """Return the rows. Raises Failed."""
    for server in (fenpay, other):
        if not (server.orders.per_s and server.notifications.per_s):
            raise Failed(f"{server.target.process.name} answered nothing with success")
    return [
        Row(f"orders {api}", peer, fenpay.orders, other.orders),
        Row(f"notifications {api}", peer, fenpay.notifications, other.notifications),
    ]


def show(rounds: Sequence[Sequence[Row]], console: Console) -> None:
    """Print the table, and the share of the service's CPU that its events took."""
    table = Table(title="Fenpay beside its peers", show_lines=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading else "left")
    for rows in zip(*rounds, strict=True):
        table.add_row(*_cells(rows))
    console.print(table)
    for rows in zip(*rounds, strict=True):
        after = [row.fenpay.after_ms for row in rows]
        if max(after) >= LEAST_AFTER_MS:
            each = format_spread(after, ".2f").replace("\n", ", ")
            console.print(f"{rows[0].name}: {each} of Fenpay's CPU ms went to events, after the answers")


def figures(rounds: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Return medians, by name."""
    return {
        rows[0].name: {
            "per_core": median(row.per_core for row in rows),
            "rate_ratio": median(row.rate for row in rows),
            "cpu_ms": median(row.fenpay.cpu_ms for row in rows),
            "peer_cpu_ms": median(row.other.cpu_ms for row in rows),
            "per_s": median(row.fenpay.per_s for row in rows),
            "peer_per_s": median(row.other.per_s for row in rows),
            "failed": sum(row.failed for row in rows),
        }
        for rows in zip(*rounds, strict=True)
    }


def _cells(rows: Sequence[Row]) -> list[str]:
    """Return the cells of one table row: the same measurement in every round."""
    name, per_core, rate = rows[0].name, [row.per_core for row in rows], [row.rate for row in rows]
    return [
        f"{name}\n{rows[0].peer}",
        format_spread([row.fenpay.cpu_ms for row in rows], ".2f"),
        format_spread([row.other.cpu_ms for row in rows], ".2f"),
        format_spread(per_core, ".2f", PER_CORE.get(name)),
        format_spread([row.fenpay.per_s for row in rows], ".0f"),
        format_spread([row.other.per_s for row in rows], ".0f"),
        format_spread(rate, ".2f", SAME_STORE.get(name)),
        str(sum(row.failed for row in rows)),
    ]
