"""News: what this installation does at this moment, for whoever watches. Nothing of it is stored. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

NewsValue = str | int | float | None


class NewsKind(StrEnum):
    """What a piece of news is about."""

    ORDER = "order"  # a new line in an order's timeline
    REFUND = "refund"  # a refund that reached a state
    NOTIFICATION = "notification"  # a message of WeChat's that was accepted
    REFUSED = "refused"  # one that was not
    CALL = "call"  # a call to WeChat that ended
    EVENT = "event"  # an event for the merchant's systems
    DELIVERY = "delivery"  # a try to deliver one
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class News:
    """One piece. ``data`` names no person and holds no secret; only an event's ``body``, which webhooks get, may."""

    kind: NewsKind
    at: datetime
    out_trade_no: str
    data: Mapping[str, NewsValue]
