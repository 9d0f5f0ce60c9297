"""A request to WeChat, or a notification from WeChat: as it was sent, and as it is stored. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

VERIFIED = "verified"
"""The verdict on a message with a valid signature. Any other text is the reason of a failure; an empty verdict means
that there was no signature to check."""

UNSIGNED = "unsigned"
"""The verdict on a genuine message that has no signature: v2's refund notification, encrypted with our key."""


class Direction(StrEnum):
    """The direction of a call: OUT from this system to WeChat, IN from WeChat."""

    OUT = "out"
    IN = "in"


@dataclass(slots=True)
class Exchange:
    """A request and its response as they were sent, secrets included. Never store or log an Exchange unmasked.

    ``api`` is v2, v3 or account; ``call`` the name in logs; ``out_trade_no`` the order of the call, empty for none.
    ``status`` 0 means that no response came, for the reason ``error``. The check of the signature sets ``verdict``.
    """

    direction: Direction
    api: str
    call: str
    out_trade_no: str
    method: str
    url: str
    request_headers: Mapping[str, str]
    request_body: bytes
    status: int = 0
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    answer_body: bytes = b""
    duration_s: float = 0.0
    verdict: str = ""
    error: str = ""

    @property
    def size(self) -> int:
        """The bytes of both bodies plus the characters of all header values."""
        headers = (*self.request_headers.values(), *self.answer_headers.values())
        return len(self.request_body) + len(self.answer_body) + sum(map(len, headers))


@dataclass(frozen=True, slots=True)
class Message:
    """Headers and body of a request or a response, without secrets.

    ``size``: bytes of the original body. ``cut``: unknown fields were masked, or the body was too long or unreadable;
    the signed string cannot be rebuilt from a message that is ``cut``.
    """

    headers: Mapping[str, str]
    body: str = ""
    size: int = 0
    cut: bool = False

    def header(self, name: str) -> str:
        """Return the header ``name``, in any case of letters; empty when the message lacks it."""
        return next((value for each, value in self.headers.items() if each.lower() == name.lower()), "")


@dataclass(frozen=True, slots=True)
class Call:
    """A stored exchange. ``at`` is the start by the service's clock; ``url`` contains no secret."""

    id: str
    at: datetime
    direction: Direction
    api: str
    call: str
    out_trade_no: str
    method: str
    url: str
    request: Message
    status: int
    answer: Message
    duration_ms: int
    verdict: str
    error: str
    expires_at: datetime

    @property
    def request_id(self) -> str:
        """The Request-ID that WeChat's support asks for; empty when WeChat gave none."""
        return self.answer.header("Request-ID") or self.request.header("Request-ID")
