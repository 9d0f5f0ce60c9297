"""SIGTERM and SIGKILL: what was accepted is answered, what was acknowledged is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import aiohttp
import pytest

from tests.http.client import MERCHANT, Shop
from tests.support.service import ServiceProcess, wait_until
from tests.support.site import Site


async def test_sigterm_answers_what_is_in_flight_and_ends_with_0(site: Site, shop: Shop) -> None:
    order = await shop.sold()
    site.simulator.control("POST", "faults", {"path": "/v3/pay/transactions/*", "fault": "delay", "ms": 1500})
    target = f"/api/orders/{order['out_trade_no']}/query"
    waiting = [asyncio.create_task(shop.ask("POST", target, headers=MERCHANT)) for _ in range(10)]
    await asyncio.sleep(0.5)
    os.kill(site.service.pid, signal.SIGTERM)
    await asyncio.sleep(0.1)
    os.kill(site.service.pid, signal.SIGTERM)
    started = time.monotonic()
    assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}
    assert await asyncio.to_thread(site.service.stop) == 0
    assert time.monotonic() - started < 8
    with pytest.raises(aiohttp.ClientConnectorError):
        await shop.get("/livez")


async def test_under_load_sigterm_resets_no_accepted_request(site: Site, shop: Shop) -> None:
    orders = [await shop.sold() for _ in range(40)]
    answers: list[Any] = []

    async def send(order: dict[str, Any]) -> None:
        try:
            answers.append((await shop.notify(site.platform.v3(order))).status)
        except aiohttp.ClientConnectorError:
            answers.append("not accepted")

    sends = []
    for order in orders:
        sends.append(asyncio.create_task(send(order)))
        await asyncio.sleep(0.005)
        if len(sends) == 20:
            os.kill(site.service.pid, signal.SIGTERM)
    await asyncio.gather(*sends)
    assert await asyncio.to_thread(site.service.stop) == 0
    assert set(answers) <= {200, "not accepted"}
    assert answers.count(200) >= 20


async def test_what_was_acknowledged_survives_a_sigkill_of_service_and_store(site: Site, shop: Shop) -> None:
    orders = [await shop.sold() for _ in range(20)]
    responses = await asyncio.gather(*(shop.notify(site.platform.v3(order)) for order in orders))
    assert {answer.status for answer in responses} == {200}
    os.kill(site.service.pid, signal.SIGKILL)
    assert site.mongo.pid is not None
    os.kill(site.mongo.pid, signal.SIGKILL)
    wait_until(lambda: not site.mongo.alive)
    site.mongo.stop()
    site.mongo.start()
    site.service = await asyncio.to_thread(ServiceProcess.start, site.directory, site.settings, "again")
    try:
        assert [await shop.state(order["out_trade_no"]) for order in orders] == ["SUCCESS"] * 20
    finally:
        assert await asyncio.to_thread(site.service.stop) == 0
