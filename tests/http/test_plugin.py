"""The plugins that docs/en/plugins.md shows, copied from there word for word, run in a real service."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
import yaml

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.support.service import ROOT, ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess

DOCUMENT = ROOT / "docs" / "en" / "plugins.md"
THANKS, POINTS, NOTICES, LIFESPAN = range(4)
WATCHED = """

def routes(services):
    return []


inner = lifespan


@asynccontextmanager
async def lifespan(services):
    async with inner(services):
        print("lifespan: entered with", len(sessions), flush=True)
        yield
    print("lifespan: left with", len(sessions), flush=True)
"""
"""Appended to the example, to see when it runs."""


def example(number: int) -> str:
    """A Python block of the document."""
    found = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return str(found[number])


async def points(shop: Shop, out_trade_no: str) -> int:
    """The points that were given for an order, as soon as there are some."""
    for _ in range(200):
        given = int((await shop.get(f"/points/{out_trade_no}")).json()["points"])
        if given:
            return given
        await asyncio.sleep(0.05)
    return 0


async def test_f9_the_documented_plugins_serve_a_payers_own_order(
    tmp_path: Path,
    simulator: SimulatorProcess,
    mongo: EmbeddedMongo,
    redis: EmbeddedRedis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "thanks.py").write_text(example(THANKS), encoding="utf-8")
    (tmp_path / "points.py").write_text(example(POINTS), encoding="utf-8")
    (tmp_path / "session.py").write_text(example(LIFESPAN) + WATCHED, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    built_in = yaml.safe_load((ROOT / "settings.yml").read_text(encoding="utf-8"))["plugins"]
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, tmp_path)
    plugins = [*built_in, "thanks", "session", {"points": {"per_yuan": 2}}]
    service = ServiceProcess.start(tmp_path, settings | {"plugins": plugins})
    async with Shop(service.url, simulator) as shop:
        await shop.log_in()
        number = (await shop.post("/orders", {"sku": "penny"})).json()["out_trade_no"]
        response = await shop.get(f"/thanks/{number}")
        assert (response.status, response.json()) == (200, {"out_trade_no": number, "thanks": False})
        assert (await shop.get("/thanks/20260301000000nobody")).status == 404
        order = (await shop.post("/orders", {"sku": "coffee", "quantity": 2})).json()
        page = f"{shop.url}/pay/{order['out_trade_no']}"
        simulator.control("POST", "bridge", order["pay"] | {"url": page, "scenario": "success"})
        await shop.post(f"/orders/{order['out_trade_no']}/query")
        assert await points(shop, order["out_trade_no"]) == 72
        assert "lifespan: entered with 1" in service.log
        assert "lifespan: left" not in service.log
    assert service.defects == []
    assert service.stop() == 0
    assert "lifespan: left with 0" in service.log
