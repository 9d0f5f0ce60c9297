"""A day of the shop from the operator's seat: sold, refunded, and on the next morning WeChat's own bill against the books."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.support.manage import Manage, Ran
from tests.support.service import API_KEY, ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from wechat.domain.times import beijing_day, day_span

HOUR = timedelta(hours=1)
PLANTED = ("amount", "missing_there", "double_payment", "unknown_number")


class Day:
    """A shop whose days are the simulator's."""

    def __init__(self, service: ServiceProcess, simulator: SimulatorProcess) -> None:
        self.service, self.simulator = service, simulator
        self.manage = Manage(service.url, API_KEY)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.control("GET", "clock")["now_s"], UTC)

    async def go_to(self, day: date, at: timedelta) -> None:
        """Be at a Beijing time, and wait until the service has heard of it."""
        wanted = day_span(day)[0] + at
        self.simulator.control("POST", "clock", {"advance_s": (wanted - self.now()).total_seconds()})
        for _ in range(100):
            created = await self.created_now()
            if created >= wanted - timedelta(seconds=1):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the service does not follow the clock")

    async def created_now(self) -> datetime:
        async with Shop(self.service.url, self.simulator) as shop:
            order = await shop.sold(trade_type="NATIVE", openid=None, total=1)
        return datetime.fromisoformat(order["created_at"])

    async def reconcile(self, *arguments: str) -> Ran:
        """The command; again while the service happens to be doing the same by itself."""
        while True:
            ran = await self.manage("reconcile", *arguments, "--json")
            if not ran.err or ran.error()["code"] != "RECONCILIATION_RUNNING":
                return ran
            await asyncio.sleep(0.2)


@pytest.fixture
def day(tmp_path: Path, mongo: EmbeddedMongo, redis: EmbeddedRedis) -> Iterator[Day]:
    simulator = SimulatorProcess.start(tmp_path / "wechat", calendar="simulated")
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, tmp_path)
    settings["mongo"]["database"] = "operators-day"
    settings["redis"]["prefix"] = "operators-day:"
    service = ServiceProcess.start(tmp_path, settings)
    yield Day(service, simulator)
    assert service.defects == []
    assert (service.stop(), simulator.stop()) == (0, 0)


async def test_the_bill_of_a_day_is_fetched_and_every_planted_difference_found_and_none_invented(
    day: Day, tmp_path: Path
) -> None:
    manage, today = day.manage, beijing_day(day.now()) + timedelta(days=1)
    await day.go_to(today, 12 * HOUR)
    async with Shop(day.service.url, day.simulator) as shop:
        numbers = [await shop.scanned("success") for _ in range(8)]
    for number in numbers:
        assert (await manage("order", "query", number, "--json")).json()["trade_state"] == "SUCCESS"
    refund = ("refund", "create", numbers[0], "--amount", "300", "--reason", "少一杯", "--yes")
    assert (await manage(*refund)).code == 0
    for kind, number in zip(PLANTED, numbers[1:], strict=False):
        wish = {"date": today.isoformat(), "kind": kind, "number": number}
        assert [one["kind"] for one in day.simulator.control("POST", "bills/faults", wish)["faults"]] == [kind]
    not_yet = await manage("bill", "fetch", today.isoformat(), "--json")
    assert (not_yet.code, not_yet.error()["code"]) == (2, "DAY_NOT_OVER")

    await day.go_to(today + timedelta(days=1), 10 * HOUR + timedelta(minutes=10))
    file = str(tmp_path / "bill.csv")
    assert (await manage("bill", "fetch", today.isoformat(), "--out", file)).code == 0
    sums = (await manage("bill", "show", today.isoformat(), "--json")).json()["sums"]
    assert (sums["payments"], sums["refunds"], sums["refunded"]) == (8 - 1 + 2, 1, 300)
    found = await day.reconcile(today.isoformat())
    assert found.code == 1
    assert Counter(one["kind"] for one in found.json()["differences"]) == Counter(PLANTED)
    repaired = await day.reconcile(today.isoformat(), "--repair", "--yes")
    statuses = {one["kind"]: one["status"] for one in repaired.json()["differences"]}
    assert statuses == dict.fromkeys(PLANTED, "open")  # WeChat confirms none of what its bill says
    refused = [one["error"]["code"] for one in repaired.json()["repairs"] if one["action"] == "refund"]
    assert refused == ["NOT_SURPLUS"]
    assert repaired.code == 1
    assert "退款 ¥3.00，剩余 ¥15.00" in (await manage("why", numbers[0])).out
