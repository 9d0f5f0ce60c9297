"""Redis gone: everything goes on. MongoDB gone: nothing is acknowledged, everything comes back by itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.support.platform import an_order
from tests.support.servers import running
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from tests.support.site import Site
from tests.support.stored import make_due


@pytest.mark.alone
async def test_without_redis_orders_logins_signatures_and_notifications_go_on(site: Site, shop: Shop) -> None:
    await shop.log_in()
    site.redis.stop()
    for api in ("v2", "v3"):
        order = await shop.sold(api=api)
        sent = time.monotonic()
        response = await shop.notify(site.platform.v2(order) if api == "v2" else site.platform.v3(order))
        assert response.status == 200
        assert time.monotonic() - sent < 1
        assert await shop.state(order["out_trade_no"]) == "SUCCESS"
    clicks = await asyncio.gather(*(shop.post("/orders", {"sku": "coffee"}) for _ in range(10)))
    assert {answer.status for answer in clicks} == {201}
    assert len({answer.json()["out_trade_no"] for answer in clicks}) == 1
    assert (await shop.get(f"/jssdk/config?url={shop.url}/")).status == 200
    assert (await shop.log_in(1)).status == 302
    assert (await shop.get("/readyz")).status == 200


@pytest.mark.alone
async def test_without_mongodb_nothing_is_acknowledged_and_afterwards_all_is_well(site: Site, shop: Shop) -> None:
    order = await shop.sold()
    message = site.platform.v3(order)
    site.mongo.stop()
    sent = time.monotonic()
    responses = await asyncio.gather(*(shop.notify(message) for _ in range(20)))
    assert {answer.status for answer in responses} == {503}
    assert time.monotonic() - sent < 4.5
    assert responses[0].json()["code"] == "FAIL"
    assert responses[0].headers["Retry-After"]
    refused = await shop.sell()
    assert (refused.status, refused.code) == (503, "STORE_UNAVAILABLE")
    assert (await shop.get("/livez")).status == 200
    assert (await shop.get("/readyz")).status == 503
    v2 = await shop.notify(site.platform.v2(an_order()))
    assert (v2.status, v2.body[:40]) == (503, b"<xml><return_code><![CDATA[FAIL]]></retu")

    site.mongo.start()
    deadline = time.monotonic() + 5
    while (await shop.notify(message)).status != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert await shop.state(order["out_trade_no"]) == "SUCCESS"
    assert (await shop.get("/readyz")).status == 200


async def test_a_service_that_starts_before_mongodb_is_alive_and_works_once_it_comes(
    tmp_path: Path, simulator: tuple[SimulatorProcess, Path]
) -> None:
    wechat, _ = simulator
    mongo = EmbeddedMongo(tmp_path / "mongo")
    mongo.start()
    mongo.stop()
    with running(EmbeddedRedis(tmp_path / "redis")) as redis:
        settings = overlay(free_port(), wechat.url, wechat.credentials, mongo.url, redis.url, tmp_path)
        service = ServiceProcess.start(tmp_path, settings)
        try:
            async with Shop(service.url, wechat) as shop:
                assert (await shop.get("/livez")).status == 200
                assert (await shop.get("/readyz")).status == 503
                assert (await shop.sell()).status == 503
                with running(mongo):
                    deadline = time.monotonic() + 5
                    while (await shop.sell()).status != 201:
                        assert time.monotonic() < deadline
                        await asyncio.sleep(0.1)
                    assert (await shop.get("/readyz")).status == 200
        finally:
            assert service.stop() == 0
        assert service.defects == []


async def test_a_payment_whose_notification_was_lost_is_found_by_asking(site: Site, shop: Shop) -> None:
    """The first check is due after half a minute; here its date is moved behind the service's back, as if another
    process had left it: that is seen within fifteen seconds."""
    orders = [await shop.sold(api=api) for api in ("v2", "v3")]
    for order in orders:
        body = {**order["pay"], "url": f"{shop.url}/pay/x", "scenario": "lost_notification"}
        assert site.simulator.control("POST", "bridge", body)["err_msg"].endswith(":ok")
    make_due(site.mongo.url)
    deadline = time.monotonic() + 20
    while [await shop.state(order["out_trade_no"]) for order in orders] != ["SUCCESS"] * 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    for order in orders:
        [paid] = [line for line in (await shop.stored(order["out_trade_no"]))["timeline"] if line["what"] == "paid"]
        assert paid["source"] == "query"
