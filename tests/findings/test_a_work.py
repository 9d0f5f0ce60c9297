"""Looking at what is due, and the time that people read."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.contract.samples import an_order
from tests.http.client import Shop
from tests.support.core import Backend, Core
from tests.support.one_order_gateway import OneOrderGateway
from tests.support.operators_day import OperatorsDay
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from tests.support.stepped_clock import SteppedClock, let_tasks_run
from wechat.domain.errors import NotSent
from wechat.domain.facts import Api, Transaction, Verified
from wechat.domain.orders import Order
from wechat.domain.times import beijing_day
from wechat.support.worker import LOOPS, Worker

LIFE_S = 1800
"""How long the demo's orders can be paid."""


class SlowDesk(OneOrderGateway):
    """WeChat, which answers no query until it is let."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__(clock)
        self.answers = asyncio.Event()
        self.asked: list[str] = []

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        self.asked.append(order.out_trade_no)
        await self.answers.wait()
        raise NotSent("query")


async def test_a9_one_process_queries_several_orders_at_once_and_no_more_than_it_may() -> None:
    clock = SteppedClock()
    backend, desk = Backend(clock), SlowDesk(clock)
    core = Core(backend, dict.fromkeys(Api, desk))
    due = replace(an_order(), created_at=clock.now(), expires_at=clock.now() + timedelta(minutes=30), close_after=None)
    for place in range(3 * LOOPS):
        backend.put(replace(due, out_trade_no=f"20260301120506{place:03}", next_check_at=clock.now()))
    worker = Worker(core.work, backend.runtime())
    worker.start()
    try:
        await let_tasks_run()
        assert len(desk.asked) == LOOPS
        desk.answers.set()
        await let_tasks_run()
        assert len(set(desk.asked)) == len(desk.asked) == 3 * LOOPS
    finally:
        await worker.close()


@pytest.fixture
def day(tmp_path: Path, mongo: EmbeddedMongo, redis: EmbeddedRedis) -> Iterator[OperatorsDay]:
    simulator = SimulatorProcess.start(tmp_path / "wechat", calendar="simulated")
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, tmp_path)
    settings["mongo"]["database"] = "moved-day"
    settings["redis"]["prefix"] = "moved-day:"
    service = ServiceProcess.start(tmp_path, settings)
    yield OperatorsDay(service, simulator)
    assert service.defects == []
    assert (service.stop(), simulator.stop()) == (0, 0)


async def test_a10_f4_people_read_the_time_of_the_moved_clock_and_the_tours_difference_is_repaired(
    day: OperatorsDay,
) -> None:
    """The cashier counts to the end that the service sees; what the README's tour plants, ``--repair`` books."""
    today = beijing_day(day.now()) + timedelta(days=1)
    await day.go_to(today, timedelta(hours=12))
    async with Shop(day.service.url, day.simulator) as shop:
        await shop.log_in()
        order = (await shop.post("/orders", {"sku": "coffee"})).json()
        page = (await shop.get(f"/pay/{order['out_trade_no']}")).body.decode()
        paid = await shop.scanned("success")
    facts = json.loads(re.findall(r'<script[^>]*id="page"[^>]*>(.*?)</script>', page, re.DOTALL)[0])
    assert LIFE_S - 60 < facts["seconds_left"] <= LIFE_S
    shown = (await day.manage("order", "show", order["out_trade_no"])).out
    assert f"{today} 12:" in shown
    assert (await day.manage("order", "query", paid, "--json")).json()["trade_state"] == "SUCCESS"

    day.simulator.control("POST", "console/refunds", {"out_trade_no": paid})
    await day.go_to(today + timedelta(days=1), timedelta(hours=10, minutes=5))
    found = await day.reconcile(today.isoformat())
    assert [one["kind"] for one in found.json()["differences"]] == ["refund_missing_here"]
    repaired = await day.reconcile(today.isoformat(), "--repair", "--yes")
    assert [one["status"] for one in repaired.json()["differences"]] == ["repaired"]
    assert repaired.code == 0
    [refund] = (await day.manage("refund", "list", paid, "--json")).json()["refunds"]
    assert (refund["state"], refund["refund"]) == ("SUCCESS", 1800)
    assert abs(datetime.fromisoformat(refund["created_at"]) - day.now()) > timedelta(hours=12)
