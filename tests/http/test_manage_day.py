"""A day of the shop from the operator's seat: sold, refunded, and on the next morning WeChat's own bill against the books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.support.operators_day import OperatorsDay
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from wechat.domain.times import beijing_day

HOUR = timedelta(hours=1)
PLANTED = ("amount", "missing_there", "double_payment", "unknown_number")


@pytest.fixture
def day(tmp_path: Path, mongo: EmbeddedMongo, redis: EmbeddedRedis) -> Iterator[OperatorsDay]:
    simulator = SimulatorProcess.start(tmp_path / "wechat", calendar="simulated")
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, tmp_path)
    settings["mongo"]["database"] = "operators-day"
    settings["redis"]["prefix"] = "operators-day:"
    service = ServiceProcess.start(tmp_path, settings)
    yield OperatorsDay(service, simulator)
    assert service.defects == []
    assert (service.stop(), simulator.stop()) == (0, 0)


async def test_the_bill_of_a_day_is_fetched_and_every_planted_difference_found_and_none_invented(
    day: OperatorsDay, tmp_path: Path
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
