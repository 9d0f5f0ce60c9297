"""The sample receiver of docs/: it believes what we send and nothing else."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.clock import ManualClock
from tests.support.webhooks import AT, KEY, OTHER_KEY, a_webhook, an_event, secret_of
from wechat.events.signature import sign

SAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "webhook_receiver.py"
BODY = b'{"type":"order.paid","timestamp":"2026-03-01T12:05:06+08:00","data":{}}'
NOW = 1_772_337_906
GOOD = sign(KEY, "e1", NOW, BODY)
HEADERS = {"webhook-id": "e1", "webhook-timestamp": str(NOW), "webhook-signature": GOOD}


@pytest.fixture(scope="module")
def sample() -> ModuleType:
    spec = importlib.util.spec_from_file_location("webhook_receiver", SAMPLE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def receiver(sample: ModuleType) -> Iterator[ThreadingHTTPServer]:
    sample.Receiver.secret = secret_of(KEY)
    sample.Receiver.kept.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), sample.Receiver)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_good_message_is_believed(sample: ModuleType) -> None:
    assert sample.verify(secret_of(KEY), HEADERS, BODY, NOW)["type"] == "order.paid"


def test_one_good_signature_among_others_is_enough(sample: ModuleType) -> None:
    several = f"v1a,xxxx v1,{'A' * 43}= {GOOD} v1,!!!!"
    assert sample.verify(secret_of(KEY), HEADERS | {"webhook-signature": several}, BODY, NOW)


@pytest.mark.parametrize("offset_s", [-300, -1, 0, 1, 300])
def test_five_minutes_either_way_are_allowed(sample: ModuleType, offset_s: int) -> None:
    assert sample.verify(secret_of(KEY), HEADERS, BODY, NOW + offset_s)


@pytest.mark.parametrize("offset_s", [-301, 301, 864_000])
def test_more_than_five_minutes_are_not(sample: ModuleType, offset_s: int) -> None:
    with pytest.raises(sample.Refused, match="old"):
        sample.verify(secret_of(KEY), HEADERS, BODY, NOW + offset_s)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": ""},
        {"webhook-id": "e2"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "hello"},
        {"webhook-timestamp": "１７７２３３７９０６"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,签名"},
        {"webhook-signature": GOOD.replace("v1,", "v2,")},
        {"webhook-signature": GOOD.removeprefix("v1,")},
        {"webhook-signature": sign(OTHER_KEY, "e1", NOW, BODY)},
        {"webhook-signature": sign(KEY, "e1", NOW, BODY + b" ")},
    ],
)
def test_what_was_touched_is_refused(sample: ModuleType, changes: dict[str, str]) -> None:
    with pytest.raises(sample.Refused):
        sample.verify(secret_of(KEY), HEADERS | changes, BODY, NOW)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_signed_body_that_is_no_event_is_refused(sample: ModuleType, body: bytes) -> None:
    with pytest.raises(sample.Refused):
        sample.verify(secret_of(KEY), HEADERS | {"webhook-signature": sign(KEY, "e1", NOW, body)}, body, NOW)


async def test_it_takes_real_deliveries_and_keeps_each_event_once(
    sample: ModuleType, receiver: ThreadingHTTPServer
) -> None:
    clock = ManualClock(AT)
    clock.advance(time.time() - AT.timestamp())
    url = f"http://127.0.0.1:{receiver.server_port}/"
    target = a_webhook(url, (OTHER_KEY, KEY), clock)
    for event_id in ("e1", "e2", "e1"):
        assert (await target.deliver(an_event(event_id)))[:2] == (True, "204")
    await target.close()
    assert list(sample.Receiver.kept) == ["e1", "e2"]
    assert sample.Receiver.kept["e1"]["data"]["description"] == "拿铁咖啡 × 2"
    stranger = a_webhook(url, (OTHER_KEY,), clock)
    assert (await stranger.deliver(an_event("e3")))[:2] == (False, "401")
    await stranger.close()
    assert "e3" not in sample.Receiver.kept
