"""News as it happens: what a stream shows, what it leaves out, and when it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import MERCHANT, Shop
from tests.support.console import Operator
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess


class Stream:
    """A reader of one event stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def frame(self) -> tuple[str, dict[str, Any]]:
        """The next event that is not a comment: its name and its data."""
        name = ""
        async with asyncio.timeout(10):
            while line := (await self.answer.content.readline()).decode():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ").strip()
                if line.startswith("data: "):
                    return name, json.loads(line.removeprefix("data: "))
        raise AssertionError("the stream has ended")

    async def until(self, name: str, **wanted: Any) -> dict[str, Any]:
        """The next event of this name with these data."""
        while True:
            found, data = await self.frame()
            if found == name and wanted.items() <= data.items():
                return data


@asynccontextmanager
async def reading(service: ServiceProcess, query: str = "") -> AsyncIterator[Stream]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/api/stream{query}", headers=MERCHANT) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert (await answer.content.readline()) == b": open\n"
        yield Stream(answer)


async def test_an_orders_life_is_told_as_it_happens(shop: Shop, service: ServiceProcess) -> None:
    async with reading(service) as stream:
        number = str((await shop.sold())["out_trade_no"])
        created = await stream.until("order", out_trade_no=number, what="created")
        assert (created["kind"], created["state"], created["source"]) == ("order", "NOTPAY", "merchant")
        called = await stream.until("call")
        assert called["result"] == "http_2xx"
        assert called["duration_s"] > 0
        await stream.until("order", out_trade_no=number, what="prepay")


async def test_a_payment_is_told_with_its_notification_and_its_event_without_naming_the_payer(
    shop: Shop, service: ServiceProcess
) -> None:
    async with reading(service) as stream:
        number = await shop.scanned("success")
        seen: dict[str, dict[str, Any]] = {}
        while not {"notification", "event"} <= seen.keys():
            name, data = await stream.frame()
            if data["out_trade_no"] == number:
                seen[name] = data
    assert seen["notification"]["verdict"] == "applied"
    assert seen["event"]["type"] == "order.paid"
    assert "body" not in seen["event"]
    assert not any(user["openid"] in json.dumps(seen) for user in shop.users)


async def test_a_refused_message_is_told_with_its_reason(shop: Shop, service: ServiceProcess) -> None:
    async with reading(service, "?kind=refused") as stream:
        await shop.ask("POST", "/notify", b"<xml><return_code>SUCCESS</return_code></xml>")
        name, data = await stream.frame()
    assert (name, data["api"]) == ("refused", "v2")
    assert data["reason"]


async def test_what_another_process_does_is_told_too(
    pair: tuple[ServiceProcess, ServiceProcess], simulator: SimulatorProcess
) -> None:
    async with reading(pair[0], "?kind=order") as stream, Shop(pair[1].url, simulator) as other:
        seen = asyncio.create_task(stream.until("order", what="created"))
        while not seen.done():  # until the other process knows of the reader
            number = str((await other.sold())["out_trade_no"])
            await asyncio.wait({seen}, timeout=0.2)
        assert (await seen)["total"] == 1800
        assert (await stream.until("order", out_trade_no=number, what="prepay"))["state"] == "NOTPAY"


@pytest.mark.parametrize("query", ["?kind=gossip", "?out_trade_no=no", "?kinds=order"])
async def test_a_filter_that_would_be_ignored_is_refused(shop: Shop, query: str) -> None:
    assert (await shop.ask("GET", f"/api/stream{query}", headers=MERCHANT)).status == 400


async def test_without_a_key_there_is_no_news(shop: Shop) -> None:
    assert (await shop.ask("GET", "/api/stream")).status == 401


async def test_a_stream_ends_when_its_key_is_revoked(service: ServiceProcess) -> None:
    operator = Operator(service.url)
    made = await operator.ask("POST", "/api/keys", {"name": "tail", "scopes": ["read", "operate"]})
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/api/stream?kind=alarm", headers=headers) as news,
        session.get(f"{service.url}/api/events/stream", headers=headers) as events,
    ):
        assert (news.status, events.status) == (200, 200)
        assert (await operator.ask("POST", "/api/keys/tail/revoke", {})).status == 200
        async with asyncio.timeout(15):
            await asyncio.gather(news.read(), events.read())


@pytest.mark.alone
async def test_a_stream_ends_when_the_process_is_told_to_stop(
    tmp_path: Path, simulator: SimulatorProcess, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> None:
    (tmp_path / "verify").mkdir()
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, tmp_path)
    service = ServiceProcess.start(tmp_path, settings)
    async with reading(service) as stream:
        started = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(service.stop))
        await stream.answer.content.read()
        assert await stopping == 0
        assert time.monotonic() - started < 3  # not the 8 s that requests under way may take
    assert service.defects == []
