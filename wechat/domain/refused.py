"""A refused notification as it is stored for the operator. Pure values.

Each reason has a fixed number of places, so what is stored is bounded in count and bytes, and many messages of one
reason never replace those of another. Messages that name an order of ours have places of their own, two for each order,
and the first messages of a reason stay. Many forged messages therefore hide neither a genuine one nor their own start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

PLACES = 20
"""Messages that are kept for each reason, and the same number again for messages that name an order of ours."""
STAY = 3
"""The first messages of a reason that later ones do not replace."""
OF_ORDER = 2
"""Messages about one order of ours that are kept for a reason: the first and the latest."""
OURS = "_ours"
MOST_RAW_BYTES = 16 * 1024
"""Bytes of a body that are kept, from its beginning; WeChat's own bodies have 1 to 5 kB."""


@dataclass(frozen=True, slots=True)
class RefusedNotification:
    """A refused message. None of it is verified: ``out_trade_no`` is the order that it names, empty if unreadable.

    ``arrived_at`` is by the machine's clock, which signatures are dated by; the other dates are by the service's clock.
    ``age_s``: seconds from the message's own timestamp to its arrival, None without one. ``size``: bytes of the body.
    ``slips`` are codes of the reasons why its signature is wrong, where they were found.
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
        """The message's id for people: its place and a digest of its body. Another message may take the place later."""
        return f"{self.place}-{self.body_hash[:8]}"

    @property
    def complete(self) -> bool:
        """Whether the whole body was kept."""
        return len(self.raw) == self.size


def group_of_places(reason: str, *, ours: bool) -> str:
    """Return the group of places for a reason's messages, or for those of them that name an order of ours."""
    return f"{reason}{OURS}" if ours else reason


def place_of(message_id: str) -> str:
    """Return the place that a message's ``id`` contains."""
    return message_id.rpartition("-")[0]


def hash_body(raw: bytes) -> str:
    return sha256(raw).hexdigest()


def count_refusal(held: RefusedNotification, again: RefusedNotification) -> RefusedNotification:
    """Count one more arrival of the same body."""
    return replace(held, seen=held.seen + 1, last_at=again.last_at, expires_at=again.expires_at)


def name_slips(held: RefusedNotification, body_hash: str, slips: tuple[str, ...]) -> RefusedNotification:
    """Store why the signature is wrong, unless another message has taken the place since."""
    return replace(held, slips=slips) if held.body_hash == body_hash else held


def mark_accepted(held: RefusedNotification, body_hash: str, now: datetime) -> RefusedNotification:
    """Mark the message as accepted later, unless another message has taken the place since."""
    return replace(held, accepted_at=now) if held.body_hash == body_hash else held
