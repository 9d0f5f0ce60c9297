"""``python -m bench idle``: measure the cost of an idle minute with many finished orders stored.

Two services over two databases, one full and one empty, idle side by side: the difference is the cost of the stored
orders. Every command to either database passes a proxy, and afterwards the server is asked how many documents it reads
for each.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.fill import DATABASE, fill_store
from bench.processes.mongo_proxy import Command, MongoProxy, start_proxy
from bench.processes.stack import Stack, Target, cpu_s
from storage.embedded.servers import EmbeddedMongo

SETTLE_S = 20.0  # after the start: the first plans, gauges and bills
LOOKS = ("find", "findAndModify", "aggregate", "count", "distinct")


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of ``seconds`` without requests, with ``stored`` documents by collection.

    ``commands`` by kind were sent to the database, which read ``read`` documents for them.
    """

    stored: dict[str, int]
    seconds: float
    service_cpu_s: float
    database_cpu_s: float
    read: int
    commands: dict[str, int]

    def a_minute(self, value: float) -> float:
        return value * 60 / self.seconds


@dataclass(frozen=True, slots=True)
class Watched:
    """A service and its database, with the proxy between them."""

    service: Target
    mongo: EmbeddedMongo
    proxy: MongoProxy
    stored: dict[str, int]

    def cpu_s(self) -> tuple[float, float]:
        return self.service.cpu_s(), cpu_s(self.mongo.pid or 0)


def run(count: int, seconds: float) -> tuple[Figures, Figures]:
    """Return the results of an empty database and of one with ``count`` finished orders, idle for ``seconds``."""
    with tempfile.TemporaryDirectory(prefix="fenpay-bench-") as directory, ExitStack() as open_:
        stack = open_.enter_context(Stack(Path(directory)))
        receiver = open_.enter_context(receiving())
        empty, full = stack.mongo("empty"), stack.mongo("full")
        stored = fill_store(stack, full, receiver, count)
        watched = []
        for name, mongo, documents in (("on-empty", empty, {}), ("on-full", full, stored)):
            proxy = open_.enter_context(start_proxy(mongo.url))
            service = stack.service(proxy.url, name=name, webhooks=[receiver])
            watched.append(Watched(service, mongo, proxy, documents))
        time.sleep(SETTLE_S)
        first, second = _idle(watched, seconds)
        return first, second


def _idle(watched: list[Watched], seconds: float) -> list[Figures]:
    for each in watched:
        each.proxy.commands.clear()
    before = [each.cpu_s() for each in watched]
    time.sleep(seconds)
    after = [each.cpu_s() for each in watched]
    figures = []
    for each, start, end in zip(watched, before, after, strict=True):
        asked = list(each.proxy.commands)
        service_cpu_s, database_cpu_s = (now - then for now, then in zip(end, start, strict=True))
        read = _read(each.mongo.url, asked)
        named = Counter(_name(command) for command in asked)
        figures.append(Figures(each.stored, seconds, service_cpu_s, database_cpu_s, read, dict(named)))
    return figures


def _name(command: Command) -> str:
    """Return a command's name, such as ``findAndModify orders`` or ``hello``."""
    verb = next(iter(command))
    return f"{verb} {command[verb]}" if isinstance(command[verb], str) else verb


def _read(url: str, asked: list[Command]) -> int:
    """Return the number of documents that the server reads for all commands in ``asked``."""
    with MongoClient[dict[str, Any]](url) as client:
        return sum(_count_reads(client, command) for command in asked if next(iter(command)) in LOOKS)


def _count_reads(client: MongoClient[dict[str, Any]], command: Command) -> int:
    verb = next(iter(command))
    if verb == "aggregate":
        wanted = {"aggregate": command[verb], "pipeline": command["pipeline"], "cursor": {}}
    else:
        wanted = {"find": command[verb], "filter": command.get("filter") or command.get("query") or {}}
        wanted |= {"sort": command["sort"]} if "sort" in command else {}
    plan = client[DATABASE].command("explain", wanted, verbosity="executionStats")
    stats = plan["stages"][0]["$cursor"] if "stages" in plan else plan
    return int(stats["executionStats"]["totalDocsExamined"])


class _Receiver(BaseHTTPRequestHandler):
    """A receiver of webhooks that accepts every event."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
        pass


@contextmanager
def receiving() -> Iterator[str]:
    """Run a receiver of webhooks; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()
    server.server_close()


def show(empty: Figures, full: Figures, console: Console) -> None:
    console.print(_table(empty, full))
    console.print("stored: " + ", ".join(f"{count:,} {name}" for name, count in full.stored.items()))


def _table(empty: Figures, full: Figures) -> Table:
    table = Table(title="One idle minute")
    for heading in ("", "empty", "full", "full / empty"):
        table.add_column(heading, justify="left" if not heading else "right")
    pairs: Mapping[str, tuple[float, float]] = {
        "CPU s, service": (empty.service_cpu_s, full.service_cpu_s),
        "CPU s, database": (empty.database_cpu_s, full.database_cpu_s),
    }
    for name, (without, with_) in pairs.items():
        figures = (empty.a_minute(without), full.a_minute(with_), with_ / max(without, 0.01))
        table.add_row(name, *(f"{figure:.2f}" for figure in figures))
    counted = {"documents read": (empty.read, full.read)} | {
        name: (empty.commands.get(name, 0), full.commands.get(name, 0))
        for name in sorted(empty.commands.keys() | full.commands.keys())
    }
    for name, (few, many) in counted.items():
        table.add_row(name, f"{empty.a_minute(few):.0f}", f"{full.a_minute(many):.0f}", "")
    return table
