"""A refused notification as it is stored for the operator. Pure values.

Each reason has a fixed number of places, so what is stored is bounded in count and bytes, and many messages of one
reason never replace those of another. Messages that name an order of ours have places of their own, two for each order,
and the first messages of a reason stay. So a flood of forged messages hides neither a genuine one nor how it began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

PLACES = 20
"""Messages that are kept for each reason, and as many that name an order of ours."""
STAY = 3
"""Of a reason's messages, so many of the first stay while they are kept."""
OF_ORDER = 2
"""Messages about one order of ours that are kept for a reason: the first and the latest."""
OURS = "_ours"
MOST_RAW_BYTES = 16 * 1024
"""Of a longer body only the beginning is kept; WeChat's own are 1 to 5 kB."""


@dataclass(frozen=True, slots=True)
class RefusedNotification:
    """One message. Nothing of it is verified: ``out_trade_no`` is what it claims to be about, empty if unreadable.

    ``arrived_at`` is the machine's clock, which signatures are dated by; the other dates are the service's clock.
    ``age_s``: seconds from the message's own timestamp to its arrival, None without one. ``size``: bytes of the body.
    ``slips`` are codes of what made its signature wrong, where that was found out.
    """

    place: str
    reason: str
    api: str
    serial: str
    known_serials: tuple[str, ...]
    age_s: int | None
    out_trade_no: str
    raw: bytes
    size: int
    headers: Mapping[str, str]
    body_hash: str
    arrived_at: datetime
    first_at: datetime
    last_at: datetime
    expires_at: datetime
    seen: int = 1
    accepted_at: datetime | None = None
    slips: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What names it to people: its place, and its body, because a place is taken again by other messages."""
        return f"{self.place}-{self.body_hash[:8]}"

    @property
    def complete(self) -> bool:
        """Whether the whole body was kept."""
        return len(self.raw) == self.size


def group_of_places(reason: str, *, ours: bool) -> str:
    """The places of a reason's messages, or of those that name an order of ours."""
    return f"{reason}{OURS}" if ours else reason


def place_of(message_id: str) -> str:
    """The place in an ``id``."""
    return message_id.rpartition("-")[0]


def hash_body(raw: bytes) -> str:
    return sha256(raw).hexdigest()


def count_refusal(held: RefusedNotification, again: RefusedNotification) -> RefusedNotification:
    """Count one more arrival of the same body."""
    return replace(held, seen=held.seen + 1, last_at=again.last_at, expires_at=again.expires_at)


def name_slips(held: RefusedNotification, body_hash: str, slips: tuple[str, ...]) -> RefusedNotification:
    """Note what made its signature wrong, unless another message has taken its place since."""
    return replace(held, slips=slips) if held.body_hash == body_hash else held


def mark_accepted(held: RefusedNotification, body_hash: str, now: datetime) -> RefusedNotification:
    """Mark the message as accepted after all, unless another has taken its place since."""
    return replace(held, accepted_at=now) if held.body_hash == body_hash else held
