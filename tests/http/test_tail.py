"""``manage.py tail``: news in a terminal and in a pipe, over a restart of the service, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.support.manage import Manage
from tests.support.service import API_KEY, ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess


class Restartable:
    """A service of its own that a test may stop and start again."""

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        self.directory = directory
        self.settings = settings
        self.process = ServiceProcess.start(directory, settings)

    def restart(self) -> None:
        self.process.stop()
        self.process = ServiceProcess.start(self.directory, self.settings)


@pytest.fixture
async def alone(
    tmp_path: Path, simulator: SimulatorProcess, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> AsyncIterator[Restartable]:
    (tmp_path / "verify").mkdir()
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, tmp_path)
    alone = Restartable(tmp_path, settings)
    yield alone
    alone.process.stop()


async def line_of(process: subprocess.Popen[str], *wanted: str) -> str:
    """The next line on stdout that holds all of ``wanted``."""
    assert process.stdout
    while True:
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 15)
        assert line, process.communicate()
        if all(each in line for each in wanted):
            return line


async def test_it_goes_on_over_a_restart_and_ctrl_c_ends_it_well(
    alone: Restartable, simulator: SimulatorProcess
) -> None:
    manage = Manage(alone.process.url, API_KEY)
    async with Shop(alone.process.url, simulator) as shop:
        with manage.running("tail", "--json") as tail:
            first = await sell_until_seen(shop, tail)
            assert first["total"] == 1800
            await asyncio.to_thread(alone.restart)
            second = await sell_until_seen(shop, tail)
            assert second["out_trade_no"] != first["out_trade_no"]
            tail.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(tail.wait, 10) == 0
            assert tail.stderr
            assert tail.stderr.read() == ""


async def sell_until_seen(shop: Shop, tail: subprocess.Popen[str]) -> dict[str, Any]:
    """Sell until ``tail`` tells of it: it takes a moment to connect."""
    seen = asyncio.create_task(line_of(tail, '"what": "prepay"'))
    while not seen.done():
        await shop.sold()
        await asyncio.wait({seen}, timeout=0.3)
    document: dict[str, Any] = json.loads(await seen)
    return document


async def test_a_person_reads_a_line_for_each_and_only_what_was_asked_for(shop: Shop, manage: Manage) -> None:
    order = await shop.sold(trade_type="NATIVE", openid=None)
    number = str(order["out_trade_no"])
    with manage.running("tail", "--order", number, "--kind", "order", "--kind", "notification") as tail:
        assert tail.stderr
        assert "已连接" in await asyncio.to_thread(tail.stderr.readline)
        await shop.sold()
        shop.simulator.control("POST", "scan", {"code_url": order["code_url"], "scenario": "success"})
        lines = [await line_of(tail), await line_of(tail)]
    assert all(number in line for line in lines)
    assert {line.split()[1] for line in lines} == {"订单", "通知"}
    assert "已支付（SUCCESS）  ¥18.00" in "".join(lines)
    assert "v3 支付通知（payment）" in "".join(lines)
    assert not any(user["openid"] in line for user in shop.users for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [(["--kind", "gossip"], 2, "BAD_KIND"), (["--order", "x"], 2, "BAD_NUMBER")],
)
async def test_a_filter_that_cannot_match_is_refused_at_once(
    manage: Manage, arguments: list[str], code: int, name: str
) -> None:
    ran = await manage("tail", "--json", *arguments)
    assert (ran.code, ran.error()["code"]) == (code, name)


async def test_without_a_service_it_does_not_wait_for_one(manage: Manage) -> None:
    ran = await manage("tail", "--json", FENPAYCLI_URL=f"http://127.0.0.1:{free_port()}")
    assert (ran.code, ran.error()["code"]) == (5, "NO_ANSWER")
