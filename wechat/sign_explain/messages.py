"""HTTP messages, and a text with the messages found in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Message:
    """An HTTP message with lower-case names of headers. ``bodies`` are all readings of its body, the likeliest
    first."""

    headers: Mapping[str, str]
    bodies: tuple[bytes, ...] = (b"",)
    method: str = ""
    target: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True)
class Capture:
    """A text and its messages. ``dates`` are those of their Date headers, in Unix seconds."""

    text: str
    messages: tuple[Message, ...] = ()
    dates: tuple[float, ...] = field(default=())

    def find(self, *names: str) -> Message | None:
        """Return the message with all these headers that was answered 401, or else the first one with them."""
        found = [at for at, one in enumerate(self.messages) if all(name in one.headers for name in names)]
        statuses = [one.status for one in self.messages[1:]] + [0]
        refused = [at for at in found if statuses[at] == 401]
        return self.messages[(refused or found)[0]] if found else None


def encode(text: str) -> bytes:
    """Return the bytes that ``text`` was decoded from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which JSON can contain
        return text.encode("utf-8", "replace")


def plain(text: str) -> str:
    """Return ``text`` with invalid characters replaced."""
    return text.encode("utf-8", "replace").decode()


def header_name(text: str) -> str:
    """Return a header's name in lower case, without the spelling of PHP, Django or nginx (``HTTP_X_Y``)."""
    return text.lower().replace("_", "-").removeprefix("http-")


def body_readings(body: bytes, length: str = "") -> tuple[bytes, ...]:
    """Return the bodies that may have been sent. Editors and loggers add line ends; ``Content-Length`` decides."""
    lf = body.replace(b"\r\n", b"\n")
    found = [body, body.rstrip(b"\r\n"), lf, lf.rstrip(b"\n"), body.strip(b"\r\n")]
    exact = [each for each in found if length == str(len(each))]
    return tuple(dict.fromkeys([*exact, *found]))


def path_and_query(target: str) -> str:
    """Return the signed part of a request's address."""
    if not re.match(r"https?://", target):
        return target
    try:
        parts = urlsplit(target)
    except ValueError:
        return target
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
