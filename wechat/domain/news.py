"""News: what this installation does at this moment, for listeners. News are not stored. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

NewsValue = str | int | float | None


class NewsKind(StrEnum):
    """The subject of a piece of news."""

    ORDER = "order"  # a new line in an order's timeline
    REFUND = "refund"  # a refund that reached a state
    NOTIFICATION = "notification"  # a notification that was accepted
    REFUSED = "refused"  # a notification that was refused
    CALL = "call"  # a call to WeChat that ended
    EVENT = "event"  # an event for the merchant's systems
    DELIVERY = "delivery"  # an attempt to deliver an event
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class News:
    """A piece of news. ``data`` names no person and holds no secret, except an event's ``body``, sent to webhooks."""

    kind: NewsKind
    at: datetime
    out_trade_no: str
    data: Mapping[str, NewsValue]
