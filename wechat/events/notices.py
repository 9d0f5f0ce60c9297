"""Notifications of other kinds (coupons, complaints, payment scores) as events for the targets that subscribe to them.

They are about no order of ours, so no order stages them: their deliveries are stored before WeChat gets the response.
WeChat repeats a notification without a response, and a delivery is identified by the notification and its target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from wechat.domain.deliveries import Delivery, Event
from wechat.domain.events import EventType
from wechat.domain.facts import Api, Notification, OtherNotice
from wechat.domain.ports import DeliveryStore, Runtime
from wechat.domain.times import to_v3
from wechat.events.targets import Target
from wechat.support.update import WRITE_BYTES

ID_DIGITS = 24


def notice_data(other: OtherNotice, api: Api, created_at: datetime | None) -> dict[str, Any]:
    """Build ``data`` of the event about ``other``."""
    return {
        "id": other.event_id,
        "api": api.value,
        "event_type": other.event_type,
        "summary": other.summary or None,
        "created_at": to_v3(created_at) if created_at else None,
        "resource": dict(other.content),
    }


class NoticeForwarder:
    """Creates deliveries for those of ``targets`` that want such notifications; ``wake`` wakes their workers."""

    def __init__(
        self, store: DeliveryStore, targets: Sequence[Target], wake: Callable[[], None], runtime: Runtime
    ) -> None:
        self._store = store
        self._names = [target.name for target in targets if target.wants(EventType.WECHAT_NOTIFICATION)]
        self._wake = wake
        self._clock = runtime.clock
        self._random = runtime.random

    async def forward(self, message: Notification) -> None:
        """Store a delivery for each target; return when they are durable. Raises StoreUnavailable."""
        other = message.other
        if other is None or not self._names:
            return
        now = self._clock.now()
        data = notice_data(other, message.api, message.created_at)
        event = Event(message.id[:ID_DIGITS], EventType.WECHAT_NOTIFICATION, now, "", data)
        key, write = f"notification:{message.id}", self._random.token(WRITE_BYTES)
        deliveries = [Delivery(event, name, key, 1, now) for name in self._names]
        await asyncio.gather(*[self._store.insert(delivery, write) for delivery in deliveries])
        self._wake()
