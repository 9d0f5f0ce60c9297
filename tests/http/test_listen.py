"""Trying a receiver of events: ``listen`` forwards what a webhook gets, ``events test`` sends what no order did."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from storage.embedded.servers import EmbeddedMongo, free_port
from tests.contract.samples import a_storage, an_order, paid
from tests.simulator.sink import Received, Sink
from tests.support.console import ConsoleBrowser, Operator
from tests.support.manage import Manage
from tests.support.servers import running
from tests.support.service import API_KEY, ServiceProcess, overlay
from tests.support.settings import KNOWN
from tests.support.webhooks import KEY, OTHER_KEY, secret_of
from wechat.domain.events import EventType
from wechat.domain.staff import Role

READER = "a-key-that-may-only-read"


class Installation:
    """A service with one webhook that wants payments only, and a key that may only read."""

    def __init__(self, directory: Path, mongo: EmbeddedMongo, sink: Sink) -> None:
        self._mongo = mongo
        self.sink = sink
        settings = overlay(free_port(), "http://127.0.0.1:9", KNOWN, mongo.url, "redis://127.0.0.1:1", directory)
        settings["mongo"]["database"] = "listen"
        settings["merchants"].append(
            {"name": "reader", "sha256": hashlib.sha256(READER.encode()).hexdigest(), "scopes": ["read"]}
        )
        hook = {"name": "erp", "url": sink.url, "secrets": [secret_of(KEY)], "allow_private": True}
        settings["webhooks"] = [hook | {"events": ["order.paid"]}]
        self.service = ServiceProcess.start(directory, settings)
        self.manage = Manage(self.service.url, API_KEY)

    async def paid(self, number: str) -> None:
        storage = a_storage(self._mongo.url, "listen")
        assert await storage.orders.insert(paid(an_order(number), f"T-{number}", datetime.now(UTC)), "write-1")
        await storage.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory, sink = tmp_path_factory.mktemp("listen"), Sink()
    with running(EmbeddedMongo(directory / "mongo")) as mongo:
        installation = Installation(directory, mongo, sink)
        yield installation
        installation.service.stop()
        assert installation.service.defects == []
    sink.close()


@pytest.fixture
def laptop() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


def of_order(sink: Sink, number: str) -> list[Received]:
    return [message for message in sink.received if number.encode() in message.body]


async def forwarded(installation: Installation, laptop: Sink, number: str, *arguments: str, **settings: str) -> Any:
    """Run ``listen`` and pay the order ``number`` meanwhile; return the line that ``listen`` prints of the event."""
    with installation.manage.running("listen", "--forward-to", laptop.url, *arguments, **settings) as listen:
        assert listen.stderr
        assert listen.stdout
        while "已连接" not in await asyncio.to_thread(listen.stderr.readline):
            pass
        await installation.paid(number)
        return await asyncio.wait_for(asyncio.to_thread(listen.stdout.readline), 20)


async def test_what_a_webhook_gets_is_forwarded_byte_for_byte_with_its_signature(
    installation: Installation, laptop: Sink
) -> None:
    number = "20260301-forwarded"
    line = await forwarded(installation, laptop, number, "--target", "erp")
    [message] = of_order(laptop, number)
    Webhook(secret_of(KEY)).verify(message.body, dict(message.headers))
    assert line.split() == ["✔", "order.paid", message.headers["webhook-id"], "200"]
    [delivered] = await asyncio.to_thread(lambda: (installation.sink.wait(1), of_order(installation.sink, number))[1])
    assert (message.body, message.headers["webhook-id"]) == (delivered.body, delivered.headers["webhook-id"])


async def test_a_support_file_lists_the_deliveries_though_wechat_pay_is_not_reached(
    installation: Installation, laptop: Sink, tmp_path: Path
) -> None:
    number = "20260301-supported"
    await forwarded(installation, laptop, number, "--target", "erp")
    file = tmp_path / "support.html"
    assert (await installation.manage("support", number, "--out", str(file))).code == 0
    page = file.read_text(encoding="utf-8")
    assert "<td>order.paid → erp</td>" in page
    assert "<th>错误（error）</th>" in page
    assert "{&#x27;" not in page


async def test_without_a_webhook_the_developers_own_secret_signs_and_a_failure_is_tried_again(
    installation: Installation, laptop: Sink
) -> None:
    number = "20260301-own-secret"
    laptop.answer = lambda _: (500 if len(laptop.received) == 1 else 204, b"")
    line = await forwarded(installation, laptop, number, FENPAYCLI_WEBHOOK_SECRET=secret_of(OTHER_KEY))
    first, second = of_order(laptop, number)
    Webhook(secret_of(OTHER_KEY)).verify(second.body, dict(second.headers))
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert line.split()[-2:] == ["204", "×2"]


async def test_a_key_that_may_only_read_gets_no_signed_events(installation: Installation, laptop: Sink) -> None:
    ran = await installation.manage("listen", "--forward-to", laptop.url, "--json", FENPAYCLI_API_KEY=READER)
    assert (ran.code, ran.error()["code"]) == (3, "SCOPE_MISSING")


@pytest.mark.parametrize(
    "address", ["http://192.0.2.1/hook", "https://example.com", "localhost:3000", "ftp://127.0.0.1"]
)
async def test_events_are_forwarded_to_this_machine_only(installation: Installation, address: str) -> None:
    ran = await installation.manage("listen", "--forward-to", address, "--json")
    assert (ran.code, ran.error()["code"]) == (2, "BAD_RECEIVER")


@pytest.mark.parametrize("kind", [EventType.ORDER_PAID, EventType.REFUND_FAILED])
async def test_a_test_event_is_signed_says_that_it_is_one_and_is_not_stored(
    installation: Installation, kind: EventType
) -> None:
    ran = await installation.manage("events", "test", "--type", kind, "--json")
    assert (ran.code, ran.json()["result"], ran.json()["target"]) == (0, "200", "erp")
    message = installation.sink.received[-1]
    Webhook(secret_of(KEY)).verify(message.body, dict(message.headers))
    body = json.loads(message.body)
    assert (body["type"], body["data"]["test"], body["data"]["out_trade_no"]) == (kind, True, "TEST-ORDER-0001")
    shown = await installation.manage("events", "test", "--type", kind)
    assert (shown.code, shown.err) == (0, "")
    assert re.search(r"接收方 +erp *\n应答 +200 *\n", shown.out)
    listed = await installation.manage("events", "list", "--json")
    assert ran.json()["id"] not in [event["id"] for event in listed.json()["events"]]


async def test_a_receiver_that_does_not_take_a_test_event_is_a_failed_check(installation: Installation) -> None:
    before, installation.sink.answer = installation.sink.answer, lambda _: (401, b"")
    ran = await installation.manage("events", "test")
    installation.sink.answer = before
    assert ran.code == 1
    assert "erp 没有接收：401" in ran.err


async def test_an_unknown_target_or_type_names_those_that_there_are(installation: Installation) -> None:
    for arguments, known in ((("--target", "crm"), "erp"), (("--type", "order.lost"), "order.paid_late")):
        ran = await installation.manage("events", "test", *arguments)
        assert ran.code == 2
        assert known in ran.err


async def test_the_console_sends_a_test_event_and_says_what_the_receiver_answered(installation: Installation) -> None:
    operator = Operator(installation.service.url)
    await operator.add_person("dev", Role.DEVELOPER)
    await operator.add_person("boss", Role.ADMIN)
    async with ConsoleBrowser(installation.service.url, "dev") as browser:
        await browser.log_in()
        assert "<option>erp</option>" in await browser.page("/console/deliveries")
        form = {"target": "erp", "type": "refund.failed"}
        assert (await browser.post("/console/deliveries/test", form)).status == 302
        assert "测试事件 refund.failed → erp：200" in await browser.page("/console/deliveries")
        assert json.loads(installation.sink.received[-1].body)["data"]["test"] is True
        assert (await browser.post("/console/deliveries/test", form | {"target": "crm"})).status == 400
        assert (await browser.post("/console/deliveries/test", form | {"type": "x"})).status == 400
    async with ConsoleBrowser(installation.service.url, "boss") as boss:
        await boss.log_in()
        [noted] = await boss.audit_log("erp")
        assert noted["name"] == "dev" and noted["after"].startswith("test refund.failed ")
