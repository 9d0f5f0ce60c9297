"""Failures that nobody saw: each row of the list is a symptom that was reproduced, and what must be seen instead."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import MERCHANT, Shop
from tests.support.keys import key
from tests.support.manage import Manage
from tests.support.platform import Message, Platform
from tests.support.servers import running
from tests.support.service import API_KEY, ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess

WRONG_KEY = "wrongAPIv3key0123456789abcdefghi"


@dataclass
class Installation:
    """One service with stores of its own; ``restart`` starts it again with other settings."""

    directory: Path
    simulator: SimulatorProcess
    platform: Platform
    settings: dict[str, Any]
    service: ServiceProcess

    def restart(self, settings: dict[str, Any]) -> None:
        assert self.service.stop() == 0
        self.service = ServiceProcess.start(self.directory, settings, f"service-{time.monotonic_ns()}")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of one kind."""
        return [line for line in map(json.loads, self.service.log.splitlines()) if line["event"] == event]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("hidden")
    simulator = SimulatorProcess.start(directory / "wechat")
    with running(EmbeddedMongo(directory / "mongo")) as mongo, running(EmbeddedRedis(directory / "redis")) as redis:
        known = simulator.credentials
        settings = overlay(free_port(), simulator.url, known, mongo.url, redis.url, directory)
        service = ServiceProcess.start(directory, settings)
        made = Installation(directory, simulator, Platform(known, directory / "wechat"), settings, service)
        yield made
        assert made.service.stop() == 0
        assert made.service.defects == []
    assert simulator.stop() == 0


@pytest.fixture
async def shop(installation: Installation) -> AsyncIterator[Shop]:
    async with Shop(installation.service.url, installation.simulator) as shop:
        yield shop
    installation.simulator.control("DELETE", "faults")


async def get(shop: Shop, target: str) -> Any:
    told = await shop.ask("GET", target, headers=MERCHANT | {"Accept-Language": "zh"})
    assert told.status == 200, told.body
    return told.json()


async def why(shop: Shop, number: str) -> str:
    return str((await get(shop, f"/api/orders/{number}/why"))["sentence"])


# -- C1: every refused notification leaves a trace -----------------------------------------------------------------------

Write = Callable[[Platform, dict[str, Any]], Message]


def v2_with_another_key(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v2_signed(platform.v2_fields(order), key="another-key-0123456789-0123456789")


def v3_with_another_key(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v3_signed(platform.v3_body(order), key=key("ours"))


def with_an_unknown_serial(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v3_signed(platform.v3_body(order), serial="PUB_KEY_ID_0000000000000001")


def six_minutes_old(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v3_signed(platform.v3_body(order), skew_s=-360)


def without_a_nonce(platform: Platform, order: dict[str, Any]) -> Message:
    message = platform.v3(order)
    return Message(message.body, {name: value for name, value in message.headers.items() if name != "Wechatpay-Nonce"})


def of_broken_json(platform: Platform, order: dict[str, Any]) -> Message:
    return platform.v3_signed(b"{" + platform.v3_body(order))


REFUSED: list[tuple[Write, int, str, str]] = [
    (v2_with_another_key, 401, "sign_wrong", "签名验证失败"),
    (v3_with_another_key, 401, "sign_wrong", "签名验证失败"),
    (with_an_unknown_serial, 401, "unknown_serial", "没有该序列号"),
    (six_minutes_old, 401, "stale", "相差 5 分钟以上"),
]


@pytest.mark.parametrize(("write", "status", "reason", "words"), REFUSED)
async def test_c1_a_refused_notification_is_in_the_log_in_the_store_and_in_why(
    shop: Shop, installation: Installation, write: Write, status: int, reason: str, words: str
) -> None:
    order = await shop.sold()
    number, message = order["out_trade_no"], write(installation.platform, order)
    assert (await shop.notify(message)).status == status
    [line] = [line for line in installation.lines("notification_refused") if line["out_trade_no"] == number]
    assert (line["reason"], line["level"], line["serial"]) == (
        reason, "warning", message.headers.get("Wechatpay-Serial", ""),
    )  # fmt: skip
    if message.headers.get("Wechatpay-Serial"):
        assert installation.platform.serial in line["serials"]
        assert line["age_s"] in ((360, 361) if reason == "stale" else (0, 1))
    kept = (await get(shop, f"/api/notifications/refused?reason={reason}"))["notifications"]
    [copy] = [one for one in kept if one["out_trade_no"] == number]
    shown = await get(shop, f"/api/notifications/refused/{copy['id']}")
    assert shown["body"].encode() == message.body
    assert shown["headers"].items() >= message.headers.items()
    told = await why(shop, number)
    assert words in told
    assert "没有到达" not in told


@pytest.mark.parametrize(
    ("write", "status", "reason"), [(without_a_nonce, 401, "headers_mixed"), (of_broken_json, 400, "malformed")]
)
async def test_c1_what_cannot_be_read_leaves_a_trace_too(
    shop: Shop, installation: Installation, write: Write, status: int, reason: str
) -> None:
    before = len(installation.lines("notification_refused"))
    assert (await shop.notify(write(installation.platform, await shop.sold()))).status == status
    assert len(installation.lines("notification_refused")) == before + 1
    assert (await get(shop, f"/api/notifications/refused?reason={reason}"))["notifications"]


async def test_c1_with_a_wrong_apiv3_key_why_names_it_and_a_replay_settles_the_payment(
    shop: Shop, installation: Installation
) -> None:
    """The whole way of an operator: the payment is not booked, ``why`` names the key, it is corrected, replay."""
    wrong = json.loads(json.dumps(installation.settings))
    wrong["pay"]["v3"]["key"] = WRONG_KEY
    installation.restart(wrong)
    manage = Manage(installation.service.url, API_KEY)
    number = await shop.scanned()
    order = await shop.stored(number)
    paid = shop.simulator.order(number)["transaction_id"]
    message = installation.platform.v3(order | {"openid": None}, transaction_id=paid)
    for _ in range(2):
        assert (await shop.notify(message)).status == 400
    told = await get(shop, f"/api/orders/{number}/why")
    assert "APIv3密钥解不开通知内容" in told["sentence"]
    assert "没有到达" not in told["sentence"]
    ran = await manage("notify", "list", "--reason", "aead_tag", "--json")
    [copy] = ran.json()["notifications"]
    assert (copy["seen"], copy["out_trade_no"]) == (2, None)
    assert "pay.v3.key" in copy["fix"]
    ran = await manage("notify", "replay", copy["id"], "--json")
    assert (ran.code, ran.error()["code"]) == (1, "REFUSED_AGAIN")
    assert await shop.state(number) == "NOTPAY"

    installation.restart(installation.settings)
    ran = await manage("notify", "verify", copy["id"], "--json")
    assert (ran.code, ran.json()["out_trade_no"]) == (0, number)
    assert await shop.state(number) == "NOTPAY"
    ran = await manage("notify", "replay", copy["id"], "--json")
    assert (ran.code, ran.json()) == (0, {"accepted": True, "verdict": "applied"})
    assert await shop.state(number) == "SUCCESS"
    shown = await manage("notify", "show", copy["id"])
    assert shown.code == 0
    assert "Wechatpay-Serial" in shown.out


async def test_c1_a_flood_of_forgeries_writes_few_lines_and_few_copies(shop: Shop, installation: Installation) -> None:
    order = await shop.sold()
    forged = [v3_with_another_key(installation.platform, order) for _ in range(20)]
    lines = len(installation.service.log.splitlines())
    started, sent = time.monotonic(), 0
    while time.monotonic() - started < 3:
        told = await asyncio.gather(*(shop.notify(message) for message in forged))
        assert {answer.status for answer in told} == {401}
        sent += len(forged)
    spent = time.monotonic() - started
    written = installation.service.log.splitlines()[lines:]
    assert sent > 100
    assert len(written) <= 10 * spent + 30  # ten a second, after the first few at once
    kept = (await get(shop, "/api/notifications/refused?reason=sign_wrong&limit=100"))["notifications"]
    assert len(kept) <= 20
    metrics = (await shop.get("/metrics")).body.decode()
    [left_out] = [
        line for line in metrics.splitlines()
        if line.startswith('fenpay_refused_notifications_not_kept_total{reason="sign_wrong"}')
    ]  # fmt: skip
    assert float(left_out.split()[-1]) > sent / 2
    assert (await shop.notify(installation.platform.v3(order))).status == 200
