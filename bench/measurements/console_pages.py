"""``python -m bench console``: measure the console beside many stored orders.

It measures the time of its pages at the server and until Chromium paints them, and the cost of fifty people with the
list of orders open: each holds a stream and reads the row of every order that changes.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import psutil
from playwright.sync_api import Page, sync_playwright
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.fill import DATABASE, Mould, Specimen, fill, specimens, wait_until_quiet
from bench.measurements.idle import receiving
from bench.processes.stack import Stack, Target, cpu_s
from scripts.programs import chromium
from scripts.steps import ROOT, Failed
from storage.embedded.servers import EmbeddedMongo
from storage.store import ENVELOPE
from storage.stores.all import ORDERS
from storage.stores.order_codec import ORDER
from wechat.domain.money import Fen
from wechat.domain.orders import TradeState, TradeType
from wechat.domain.times import beijing_day

ASKED = 15  # requests of each page
WATCHERS = 50
WATCHED_S = 20.0
ORDERS_PER_S = 2.0
VARIANTS: Mapping[int, Mapping[str, Any]] = {
    1: {"channel": "second"},
    2: {"trade_type": TradeType.NATIVE},
    3: {"total": Fen(56_700)},
    4: {"trade_state": TradeState.CLOSED, "trade_type": TradeType.NATIVE},
}
"""The changes of orders, by their place among fifty."""
EVERY = 50
PAINT = """() => new Promise((done) => new PerformanceObserver((list) => {
  const [paint] = list.getEntriesByName("first-contentful-paint");
  const [page] = performance.getEntriesByType("navigation");
  if (paint) done([paint.startTime, page.responseStart - page.requestStart]);
}).observe({ type: "paint", buffered: true }))"""


@dataclass(frozen=True, slots=True)
class PageTime:
    """``times_ms``: from the request to the last byte of the answer, for each of several requests. ``cpu_ms``: of
    service and database, for one request. ``paints_ms``: until the first paint in Chromium; empty without Chromium."""

    name: str
    times_ms: list[float]
    cpu_ms: float
    paints_ms: list[float]


@dataclass(frozen=True, slots=True)
class Load:
    """The results of a period in which ``watchers`` had the list open and ``orders`` were placed. CPU in cores."""

    name: str
    service_cpu: float
    database_cpu: float
    resident_mb: float
    rows: int = 0
    row_p99_ms: float = 0.0


class _Console:
    """An HTTP client of the console, logged in by the demo's link."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._opener = build_opener(_NoRedirect)
        try:
            self._opener.open(f"{url}/console/enter?token={token}")
            raise Failed("the link did not log in")
        except HTTPError as answer:
            cookies = [value for name, value in answer.headers.items() if name.lower() == "set-cookie"]
        found = [each.partition("=")[2].partition(";")[0] for each in cookies if each.startswith("fenpay_staff=")]
        if not found:
            raise Failed("the link did not log in")
        self.cookie = found[0]

    def time_ms(self, target: str) -> float:
        request = Request(self.url + target, headers={"Cookie": f"fenpay_staff={self.cookie}"})  # noqa: S310
        started = time.perf_counter()
        with self._opener.open(request) as answer:
            answer.read()
        return (time.perf_counter() - started) * 1000


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def run(count: int) -> tuple[list[PageTime], list[Load]]:
    """Store ``count`` orders, then measure; return the results. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="fenpay-bench-") as directory, Stack(Path(directory)) as stack:
        mongo, token = stack.mongo(), secrets.token_urlsafe(24)
        with receiving() as receiver:
            number = _fill(stack, mongo, receiver, count)
        service = stack.service(mongo.url, name="console", login_token=token)
        wait_until_quiet(mongo)  # the figures of each day are counted first
        console = _Console(service.url, token)
        pages = _measure_pages(console, number, lambda: service.cpu_s() + cpu_s(mongo.pid or 0))
        return pages, [_measure_load(stack, service, mongo, console, *each) for each in LOADS]


def _fill(stack: Stack, mongo: EmbeddedMongo, receiver: str, count: int) -> str:
    """Store ``count`` orders of several kinds, the newest dated now; return the number of one."""
    service = stack.service(mongo.url, name="filling", webhooks=[receiver])
    _, plain = specimens(stack, service, mongo.url)
    service.process.stop()
    [mould] = [each for each in plain if each.collection == ORDERS]
    with MongoClient[dict[str, Any]](mongo.url, tz_aware=True) as client:
        [document] = [each for each in client[DATABASE][ORDERS].find() if "refunds" not in each]
    kinds: dict[int, Specimen] = {place: [_vary(document, changes)] for place, changes in VARIANTS.items()}
    fill(mongo.url, count, lambda number: kinds.get(number % EVERY, [mould]), latest=timedelta())
    return str(document["out_trade_no"])


def _vary(document: Mapping[str, Any], changes: Mapping[str, Any]) -> Mould:
    """Return the document of a similar order with ``changes``."""
    order = ORDER.read(dict(document))
    other = ORDER.write(replace(order, **changes)) | {name: document[name] for name in ENVELOPE}
    return Mould.of(ORDERS, other, sorted({key for key in document["keys"] if key[0].isalnum()}))


def _measure_pages(console: _Console, number: str, spent_s: Callable[[], float]) -> list[PageTime]:
    """Measure each page. ``spent_s`` returns the CPU seconds of service and database so far."""
    week_ago = beijing_day(datetime.now(UTC) - timedelta(days=7)).isoformat()
    targets = {
        "Overview": "/console/overview",
        "An order": f"/console/orders/{number}",
        "Orders": "/console/orders",
        "Exact number": f"/console/orders?q={number}",
        "Last eight digits": "/console/orders?q=00004321",
        "Item, in all orders": "/console/orders?q=bench",
        "State": "/console/orders?state=SUCCESS",
        "A day, a week ago": f"/console/orders?from={week_ago}&to={week_ago}",
        "Channel of 2 %": "/console/orders?channel=second",
        "Type of 4 %": "/console/orders?type=NATIVE",
        "Type of 2 % and state": "/console/orders?type=NATIVE&state=CLOSED",
        "Type that none has": "/console/orders?type=APP",
        "Amount from 500 yuan, 2 %": "/console/orders?least=500",
        "Amount that none has": "/console/orders?least=50&most=60",
        "Item and amount that none has": "/console/orders?q=bench&least=50&most=60",
    }
    painted = ("Overview", "Orders", "An order")
    with _browser(console) as browser:
        pages = []
        for name, target in targets.items():
            console.time_ms(target)
            before_s = spent_s()
            times_ms = [console.time_ms(target) for _ in range(ASKED)]
            cpu_ms = 1000 * (spent_s() - before_s) / ASKED
            shown = [browser] * ASKED if browser and name in painted else []
            pages.append(PageTime(name, times_ms, cpu_ms, [_paint_ms(each, console.url + target) for each in shown]))
        return pages


@contextmanager
def _browser(console: _Console) -> Iterator[Page | None]:
    """Open a page of Chromium with the console's session; None without Chromium."""
    path = chromium()
    if path is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(locale="zh-CN")
        context.add_cookies([{"name": "fenpay_staff", "value": console.cookie, "url": console.url}])
        yield context.new_page()
        browser.close()


def _paint_ms(page: Page, url: str) -> float:
    page.goto(url)
    return float(page.evaluate(PAINT)[0])


LOADS = (
    ("Nothing happens, nobody watches", 0, 0.0),
    (f"Nothing happens, {WATCHERS} watch", WATCHERS, 0.0),
    (f"{ORDERS_PER_S:g} orders/s, nobody watches", 0, ORDERS_PER_S),
    (f"{ORDERS_PER_S:g} orders/s, {WATCHERS} watch", WATCHERS, ORDERS_PER_S),
)


def _measure_load(
    stack: Stack, service: Target, mongo: EmbeddedMongo, console: _Console, name: str, watchers: int, per_s: float
) -> Load:
    """Measure one period of ``WATCHED_S`` seconds."""
    watching = _start_watchers(console, watchers) if watchers else None
    time.sleep(2)  # until the streams are open
    before = service.cpu_s(), cpu_s(mongo.pid or 0)
    _place_orders(stack, service, per_s)
    after = service.cpu_s(), cpu_s(mongo.pid or 0)
    resident_mb = psutil.Process(service.process.pid).memory_info().rss / (1 << 20)
    seen: dict[str, Any] = json.loads(watching.communicate(timeout=60)[0].splitlines()[-1]) if watching else {}
    service_cpu, database_cpu = ((end - start) / WATCHED_S for start, end in zip(before, after, strict=True))
    return Load(name, service_cpu, database_cpu, resident_mb, seen.get("rows", 0), seen.get("p99_ms", 0.0))


def _start_watchers(console: _Console, watchers: int) -> subprocess.Popen[str]:
    where = ("--url", console.url, "--cookie", console.cookie)
    how = ("--watchers", str(watchers), "--seconds", str(WATCHED_S + 4))
    command = [sys.executable, "-m", "bench.processes.watchers", *where, *how]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if process.stdout is None or process.stdout.readline() != "watching\n":
        raise Failed("the watchers did not start")
    return process


def _place_orders(stack: Stack, service: Target, per_s: float) -> None:
    """Place orders for ``WATCHED_S`` seconds."""
    payer = stack.keys["users"][0]["openid"]
    wanted = {"description": "bench", "total": 1800, "trade_type": "JSAPI", "openid": payer}
    ends = time.monotonic() + WATCHED_S
    at = time.monotonic()
    while per_s and at < ends:
        stack.ask(service, "/api/orders", wanted)
        at += 1 / per_s
        time.sleep(max(0.0, at - time.monotonic()))
    time.sleep(max(0.0, ends - time.monotonic()))


def show(pages: list[PageTime], loads: list[Load], console: Console) -> None:
    table = Table("Page", "median ms", "slowest ms", "CPU ms", "first paint ms", title="Pages of the console")
    for page in pages:
        paint = f"{median(page.paints_ms):.0f} ({max(page.paints_ms):.0f})" if page.paints_ms else ""
        table.add_row(
            page.name, f"{median(page.times_ms):.1f}", f"{max(page.times_ms):.1f}", f"{page.cpu_ms:.0f}", paint
        )
    console.print(table)
    table = Table("", "service, cores", "database, cores", "resident MB", "rows/s", "row p99 ms", title="Watching")
    for load in loads:
        cpu = f"{load.service_cpu:.3f}", f"{load.database_cpu:.3f}"
        rows = f"{load.rows / WATCHED_S:.1f}", f"{load.row_p99_ms:.0f}"
        table.add_row(load.name, *cpu, f"{load.resident_mb:.0f}", *(rows if load.rows else ("", "")))
    console.print(table)
