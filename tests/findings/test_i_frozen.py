"""A process that is frozen while its request is under way: another one takes over, and what comes late changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from storage.embedded.servers import EmbeddedMongo
from storage.stores.all import ORDERS
from tests.http.client import MERCHANT, Shop
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess
from tests.support.stored import DATABASE

LATE_MS = 5000
REFUND_CALLS = {"v3": "/v3/refund/domestic/refunds", "v2": "/secapi/pay/refund"}


@contextmanager
def frozen(service: ServiceProcess) -> Iterator[None]:
    os.kill(service.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(service.pid, signal.SIGCONT)


def end_lease(mongo: EmbeddedMongo, out_trade_no: str) -> None:
    """Let the order's refund be due, as after a freeze of two minutes: its lease is over."""
    now = datetime.now(UTC)
    sent = now - timedelta(minutes=2)
    past = dict.fromkeys(("last_refund_at", "refunds.0.first_sent_at", "refunds.0.last_sent_at"), sent)
    with MongoClient[dict[str, Any]](mongo.url) as client:
        change = {"$set": past | {"refunds.0.next_check_at": now, "due_at": now}, "$inc": {"rev": 1}}
        client[DATABASE][ORDERS].update_one({"out_trade_no": out_trade_no}, change)


async def until_refunded(shop: Shop, number: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            refund: dict[str, Any] = (await shop.ask("GET", f"/api/refunds/{number}", headers=MERCHANT)).json()
            if refund["state"] in ("PROCESSING", "SUCCESS"):
                return refund
            await asyncio.sleep(0.1)


@pytest.mark.alone
@pytest.mark.parametrize("api", ["v3", "v2"])
async def test_i3_a_refund_that_a_frozen_process_sends_late_is_the_same_refund(
    pair: tuple[ServiceProcess, ServiceProcess], simulator: SimulatorProcess, mongo: EmbeddedMongo, api: str
) -> None:
    async with Shop(pair[0].url, simulator) as first, Shop(pair[1].url, simulator) as second:
        out_trade_no = await first.scanned(api=api)
        await first.ask("POST", f"/api/orders/{out_trade_no}/query", headers=MERCHANT)
        path, number = f"/api/orders/{out_trade_no}/refunds", f"late-{out_trade_no}"
        wanted = f'{{"refund":600,"reason":"late","out_refund_no":"{number}"}}'
        simulator.control("POST", "faults", {"path": REFUND_CALLS[api], "fault": "delay", "ms": LATE_MS, "times": 1})
        asked = asyncio.create_task(first.ask("POST", path, wanted, MERCHANT))
        async with asyncio.timeout(20):  # the request is at WeChat's door, which does not look at it for a while
            while True:
                if not simulator.control("GET", "faults")["faults"]:
                    break
                await asyncio.sleep(0.05)
        with frozen(pair[0]):
            end_lease(mongo, out_trade_no)
            await second.sold()  # which wakes its worker
            taken_over = await until_refunded(second, number)
        answer = await asked  # which has come by then
        assert answer.status in (201, 202)
        told = simulator.control("GET", f"orders/{out_trade_no}")
        assert (told["refunds"], told["refunded"]) == ([number], 600)
        refund = await until_refunded(first, number)
        assert (
            refund["refund_id"] == taken_over["refund_id"] == simulator.control("GET", f"refunds/{number}")["refund_id"]
        )
