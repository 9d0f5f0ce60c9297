"""The plugin that docs/en/plugins.md shows, copied from there word for word, runs in a real service."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.support.service import ROOT, ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess

DOCUMENT = ROOT / "docs" / "en" / "plugins.md"


def example() -> str:
    """The first Python block of the document."""
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_documented_plugin_serves_a_payers_own_order(
    tmp_path: Path,
    simulator: SimulatorProcess,
    mongo: EmbeddedMongo,
    redis: EmbeddedRedis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "thanks.py").write_text(example(), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    built_in = yaml.safe_load((ROOT / "settings.yml").read_text(encoding="utf-8"))["plugins"]
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, tmp_path)
    service = ServiceProcess.start(tmp_path, settings | {"plugins": [*built_in, "thanks"]})
    async with Shop(service.url, simulator) as shop:
        await shop.log_in()
        number = (await shop.post("/orders", {"sku": "penny"})).json()["out_trade_no"]
        told = await shop.get(f"/thanks/{number}")
        assert (told.status, told.json()) == (200, {"out_trade_no": number, "thanks": False})
        assert (await shop.get("/thanks/20260301000000nobody")).status == 404
    assert service.defects == []
    assert service.stop() == 0
