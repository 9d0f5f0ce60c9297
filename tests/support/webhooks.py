"""A receiver of webhooks on loopback, a target that sends to it, and an event to send."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from tests.support.clock import ManualClock
from wechat.domain.deliveries import Event
from wechat.domain.events import EventType
from wechat.events.webhooks import Webhook

AT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def secret_of(key: bytes) -> str:
    """Return ``key`` as a receiver gets it."""
    return "whsec_" + base64.b64encode(key).decode()


def an_event(event_id: str = "65f000000000000000000001", event_type: str = EventType.ORDER_PAID) -> Event:
    data = {"out_trade_no": "20260301120506abc", "total": 3600, "description": "拿铁咖啡 × 2", "attach": None}
    return Event(event_id, event_type, AT, "20260301120506abc", data)


def a_webhook(url: str, keys: Sequence[bytes] = (KEY,), clock: ManualClock | None = None, **changes: Any) -> Webhook:
    options = {"allow_private": True, "total_s": 1.0} | changes
    return Webhook("erp", url, keys, tuple(EventType), clock or ManualClock(AT), **options)


class Names(AbstractResolver):
    """A resolver that returns other addresses of a name at each look-up."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        address = self._addresses.pop(0)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": 10 if ":" in address else 2,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self) -> None: ...
