"""``manage.py trigger``: scenarios of the simulator, against a real service."""

from __future__ import annotations

import pytest

from tests.http.client import MERCHANT, Shop
from tests.support.manage import Manage
from tests.support.simulator import SimulatorProcess


async def test_scenarios_are_listed_with_what_happens(manage: Manage, simulator: SimulatorProcess) -> None:
    listed = await manage("trigger", "--simulator", simulator.url, "--json")
    assert listed.code == 0
    assert {"success", "lost_notification", "duplicate", "forged"} <= listed.json()["pay"].keys()
    assert {"abnormal", "closed"} <= listed.json()["refund"].keys()
    shown = await manage("trigger", "--simulator", simulator.url)
    assert "pay.duplicate" in shown.out
    assert "通知重复" in shown.out


@pytest.mark.parametrize(
    ("scenario", "state"), [("success", "SUCCESS"), ("lost_notification", "NOTPAY"), ("cancel", "NOTPAY")]
)
async def test_a_payment_lives_through_its_scenario(
    shop: Shop, manage: Manage, simulator: SimulatorProcess, scenario: str, state: str
) -> None:
    ran = await manage("trigger", f"pay.{scenario}", "--simulator", simulator.url, "--json")
    assert ran.code == 0, ran.err
    payload = simulator.order(ran.json()["out_trade_no"])
    assert (payload["trade_state"] == "SUCCESS") == (scenario != "cancel")
    if scenario == "success":  # the notification may be on its way
        await shop.ask("POST", f"/api/orders/{ran.json()['out_trade_no']}/query", headers=MERCHANT)
    assert await shop.state(ran.json()["out_trade_no"]) == state


async def test_a_refund_lives_through_its_scenario(manage: Manage, simulator: SimulatorProcess) -> None:
    ran = await manage("trigger", "refund.abnormal", "--simulator", simulator.url, "--json")
    assert ran.code == 0, ran.err
    number = ran.json()["out_refund_no"]
    assert simulator.control("GET", f"refunds/{number}")["scenario"] == "abnormal"
    assert (await manage("refund", "show", number, "--json")).json()["out_trade_no"] == ran.json()["out_trade_no"]


async def test_what_cannot_be_triggered_says_why(manage: Manage, simulator: SimulatorProcess) -> None:
    unknown = await manage("trigger", "pay.nothing", "--simulator", simulator.url, "--json")
    assert (unknown.code, unknown.error()["code"], unknown.error()["next"]) == (2, "NO_SCENARIO", "manage.py trigger")
    nowhere = await manage("trigger", "pay.success", "--json")
    assert (nowhere.code, nowhere.error()["code"], nowhere.error()["next"]) == (3, "NO_SIMULATOR", "make run")
