"""A stored notification: the raw message, the number of its arrivals, and the verdict on it. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from wechat.domain.facts import Api, Received


class Verdict(StrEnum):
    """The result of an accepted message; the verdict on a refused one is a ``MismatchReason``."""

    APPLIED = "applied"
    RECORDED = "recorded"
    NOT_PAID = "not_paid"


@dataclass(frozen=True, slots=True)
class StoredNotification:
    """A stored notification. ``verdict`` is empty until the message is concluded.

    ``order_key`` names its order, empty for none. ``raw`` and ``headers`` are those of the first arrival.
    """

    id: str
    api: Api
    kind: str
    mchid: str
    out_trade_no: str
    order_key: str
    proof: str
    raw: bytes
    headers: Mapping[str, str]
    first_at: datetime
    last_at: datetime
    expires_at: datetime
    seen: int = 1
    verdict: str = ""
    concluded_at: datetime | None = None

    def summary(self) -> Received:
        """Return the fields that are shown to people."""
        return Received(self.id, self.api, self.kind, self.seen, self.verdict, self.first_at, self.last_at)


def count_again(message: StoredNotification, now: datetime) -> StoredNotification:
    """Count one more arrival."""
    return replace(message, seen=message.seen + 1, last_at=now)


def conclude(message: StoredNotification, verdict: str, now: datetime) -> StoredNotification:
    """Set the verdict. The first one stays, except that ``applied`` replaces any other."""
    if message.verdict and (verdict != Verdict.APPLIED or message.verdict == Verdict.APPLIED):
        return message
    return replace(message, verdict=verdict, concluded_at=now)
