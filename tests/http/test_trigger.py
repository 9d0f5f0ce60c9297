"""``manage.py trigger``: scenarios of the simulator, against a real service."""

from __future__ import annotations

import pytest

from storage.embedded.servers import free_port
from tests.http.client import MERCHANT, Shop
from tests.support.manage import Manage
from tests.support.simulator import SimulatorProcess


async def test_scenarios_are_listed_without_a_service_or_a_simulator() -> None:
    nowhere = Manage(f"http://127.0.0.1:{free_port()}", "none")
    listed = await nowhere("trigger", "--json")
    assert listed.code == 0
    assert listed.json()["pay"]["duplicate"] == {"zh": "通知重复（同时三次）", "en": "notified three times at once"}
    assert {"abnormal", "closed"} <= listed.json()["refund"].keys()
    shown = await nowhere("trigger")
    assert "pay.duplicate" in shown.out
    assert "通知重复" in shown.out
    helped = await nowhere("trigger", "--help", COLUMNS="100")
    assert "refund.abnormal" in helped.out


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
    shown = await manage("trigger", "refund.closed", "--simulator", simulator.url)
    assert "退款处理中（PROCESSING）" in shown.out
    assert (await manage("refund", "show", number, "--json")).json()["out_trade_no"] == ran.json()["out_trade_no"]


async def test_what_cannot_be_triggered_says_why(manage: Manage) -> None:
    unknown = await manage("trigger", "pay.nothing", "--json")
    assert (unknown.code, unknown.error()["code"], unknown.error()["next"]) == (2, "NO_SCENARIO", "manage.py trigger")
    nowhere = await manage("trigger", "pay.success", "--json")
    assert (nowhere.code, nowhere.error()["code"], nowhere.error()["next"]) == (3, "NO_SIMULATOR", "make run")
