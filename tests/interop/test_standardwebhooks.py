"""The reference library of Standard Webhooks, unmodified, believes what we send."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from standardwebhooks.webhooks import Webhook as Reference
from standardwebhooks.webhooks import WebhookVerificationError

from tests.simulator.sink import Sink
from tests.support.clock import ManualClock
from tests.support.webhooks import AT, KEY, OTHER_KEY, a_webhook, an_event, secret_of


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


async def test_what_we_send_is_verified_by_each_secret_in_use_and_by_no_other(sink: Sink) -> None:
    clock = ManualClock(AT)
    clock.advance(time.time() - AT.timestamp())
    target = a_webhook(sink.url, (OTHER_KEY, KEY), clock)
    await target.deliver(an_event())
    await target.close()
    [message] = sink.received
    headers = dict(message.headers.items())
    for key in (KEY, OTHER_KEY):
        assert Reference(secret_of(key)).verify(message.body, headers)["type"] == "order.paid"
    with pytest.raises(WebhookVerificationError):
        Reference(secret_of(b"x" * 32)).verify(message.body, headers)
    with pytest.raises(WebhookVerificationError):
        Reference(secret_of(KEY)).verify(message.body + b" ", headers)
