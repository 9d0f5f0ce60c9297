"""Notifications about something else than orders and refunds: kept, answered, and handed to whoever asks for them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.stores.all import DELIVERIES
from tests.findings.conftest import OpenSite
from tests.http.client import Shop
from tests.support.platform import Message
from tests.support.receiving import World
from tests.support.service import ROOT
from wechat.domain.errors import Malformed, StoreUnavailable
from wechat.domain.events import EventType
from wechat.events.notices import NoticeForwarder
from wechat.events.targets import Subscriber

COMPLAINT = {"complaint_id": "200201820200101080076610000", "action_type": "CREATE_COMPLAINT"}
PLUGIN = """
def subscriptions(services):
    kept = services.plugin_storage(__name__)

    async def handle(event):
        if await kept.insert(event.id, dict(event.data)):
            print("notice", event.data["event_type"], event.data["resource"]["complaint_id"], flush=True)

    return {"wechat.notification": handle}
"""


def notice(platform: Any, kind: str = "COMPLAINT.CREATE", content: Any = None, **changed: Any) -> Message:
    envelope = platform.v3_envelope(json.dumps(content or COMPLAINT).encode(), event_type=kind, **changed)
    message: Message = platform.v3_signed(json.dumps(envelope).encode())
    return message


async def never(event: object) -> None:
    raise AssertionError


@pytest.fixture
def asked_for(world: World) -> World:
    """Two plugins, one of which asks for other notifications."""
    targets = [Subscriber("asks", {EventType.WECHAT_NOTIFICATION: never}), Subscriber("not", {"order.paid": never})]
    core = world.core
    forwarder = NoticeForwarder(core.stores.deliveries, targets, lambda: None, world.backend.runtime())
    core.receiver.on_other = forwarder.forward
    return world


def deliveries(world: World) -> list[dict[str, Any]]:
    return world.backend.database[DELIVERIES].everything()


@pytest.mark.parametrize("kind", ["COMPLAINT.CREATE", "COUPON.USE", "PAYSCORE.USER_OPEN_SERVICE", "A.NEW.KIND"])
async def test_b9_a_notice_is_delivered_once_to_who_asks_however_often_it_comes(asked_for: World, kind: str) -> None:
    message = notice(asked_for.platform, kind)
    for _ in range(3):
        await asked_for.receive(message)
    [delivery] = deliveries(asked_for)
    assert (delivery["target"], delivery["type"]) == ("plugin:asks", "wechat.notification")
    told = json.loads(delivery["data"])
    assert (told["event_type"], told["resource"], told["api"]) == (kind, COMPLAINT, "v3")
    assert asked_for.seen == [3]
    assert asked_for.stored == asked_for.order


async def test_b9_a_notice_without_content_is_delivered_too(asked_for: World) -> None:
    envelope = asked_for.platform.v3_envelope(b"{}", event_type="A.B")
    del envelope["resource"]
    await asked_for.receive(asked_for.platform.v3_signed(json.dumps(envelope).encode()))
    [delivery] = deliveries(asked_for)
    assert json.loads(delivery["data"])["resource"] == {}


async def test_b9_a_notice_that_cannot_be_kept_for_its_receiver_is_not_answered(asked_for: World) -> None:
    asked_for.backend.down.add(DELIVERIES)
    message = notice(asked_for.platform)
    with pytest.raises(StoreUnavailable):
        await asked_for.receive(message)
    asked_for.backend.down.clear()
    await asked_for.receive(message)
    assert len(deliveries(asked_for)) == 1


async def test_b9_a_notice_that_does_not_open_is_refused_as_any_other(asked_for: World) -> None:
    envelope = asked_for.platform.v3_envelope(b"{}", event_type="COMPLAINT.CREATE")
    envelope["resource"]["nonce"] = "another-nonc"
    with pytest.raises(Malformed):
        await asked_for.receive(asked_for.platform.v3_signed(json.dumps(envelope).encode()))
    assert deliveries(asked_for) == []


async def test_b9_a_plugin_that_subscribes_gets_it_in_a_running_service(
    open_site: OpenSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "complaints.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    built_in = yaml.safe_load((ROOT / "settings.yml").read_text(encoding="utf-8"))["plugins"]
    site = open_site(plugins=[*built_in, "complaints"])
    message = notice(site.platform)
    async with Shop(site.service.url, site.simulator) as shop:
        for _ in range(2):
            assert (await shop.notify(message)).status in (200, 204)
    for _ in range(100):
        if "notice" in site.service.log:
            break
        await asyncio.sleep(0.05)
    assert site.service.log.count(f"notice COMPLAINT.CREATE {COMPLAINT['complaint_id']}") == 1
