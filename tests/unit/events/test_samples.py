"""A test event has every field of a real one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.contract.samples import an_order, paid
from wechat.domain.deliveries import staged_events
from wechat.domain.events import EventType
from wechat.events.samples import build_sample

NOW = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize("kind", EventType)
def test_every_event_has_a_sample(kind: EventType) -> None:
    event = build_sample(kind, "0" * 24, "1900000109", NOW)
    body = json.loads(event.body())
    assert (body["type"], body["data"]["test"]) == (kind, True)
    of_refund = body["data"].get("out_refund_no")
    assert bool(of_refund) == kind.startswith("refund.")
    assert bool(body["data"].get("resource")) == (kind is EventType.WECHAT_NOTIFICATION)


def test_a_sample_has_the_fields_of_a_real_event() -> None:
    [(real, _)] = staged_events(paid(an_order("20260301-real"), "T-1", NOW))
    assert build_sample(EventType.ORDER_PAID, "0" * 24, "1900000109", NOW).data.keys() == {*real.data, "test"}
