"""A request to WeChat, or a notification from WeChat: as it was sent, and as it is stored. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

VERIFIED = "verified"
"""The verdict on a message whose signature is right; any other is the reason why not, and an empty one says that there
was no signature to check."""

UNSIGNED = "unsigned"
"""The verdict on a genuine message of a kind that carries no signature: v2's news of a refund, sealed with our key."""


class Direction(StrEnum):
    """Who called."""

    OUT = "out"
    IN = "in"


@dataclass(slots=True)
class Exchange:
    """One request and its answer as they went over the wire, secrets included. It is never stored or logged as it is.

    ``api`` is v2, v3 or account; ``call`` the name in logs; ``out_trade_no`` the order that it is about, empty for
    none. ``status`` 0: no answer came, and ``error`` says why. ``verdict`` is set by whoever checks the signature.
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
        """Bytes of both bodies, and the characters of the values of their headers."""
        headers = (*self.request_headers.values(), *self.answer_headers.values())
        return len(self.request_body) + len(self.answer_body) + sum(map(len, headers))


@dataclass(frozen=True, slots=True)
class Message:
    """Headers and body of a request or an answer, without secrets.

    ``size``: bytes of the body as it was. ``cut``: fields that are not on the list of known ones were masked, or the
    body was too long or could not be read, so a string that is made of it is not the one that was signed.
    """

    headers: Mapping[str, str]
    body: str = ""
    size: int = 0
    cut: bool = False

    def header(self, name: str) -> str:
        """A header in whatever case it came; empty without it."""
        return next((value for each, value in self.headers.items() if each.lower() == name.lower()), "")


@dataclass(frozen=True, slots=True)
class Call:
    """An exchange as it is kept. ``at`` is when it began, by the service's clock; ``url`` shows no secret."""

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
        """What WeChat's support asks for; empty where WeChat gave none."""
        return self.answer.header("Request-ID") or self.request.header("Request-ID")
