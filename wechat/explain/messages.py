"""HTTP messages, and a text with the messages that were found in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP message; ``headers`` have lower-case names. ``bodies`` are all readings of its body, the likeliest
    first."""

    headers: Mapping[str, str]
    bodies: tuple[bytes, ...] = (b"",)
    method: str = ""
    target: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True)
class Capture:
    """The messages of a text, and the text itself."""

    text: str
    messages: tuple[Message, ...] = ()
    dates: tuple[float, ...] = field(default=())

    def find(self, *names: str) -> Message | None:
        """The message that has all of these headers: of several, the one that was answered 401, or else the first."""
        found = [at for at, one in enumerate(self.messages) if all(name in one.headers for name in names)]
        statuses = [one.status for one in self.messages[1:]] + [0]
        refused = [at for at in found if statuses[at] == 401]
        return self.messages[(refused or found)[0]] if found else None


def encode(text: str) -> bytes:
    """The bytes that ``text`` was read from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, as JSON can spell one
        return text.encode("utf-8", "replace")


def plain(text: str) -> str:
    """``text`` with a mark in place of whatever is no character."""
    return text.encode("utf-8", "replace").decode()


def header_name(text: str) -> str:
    """A header's name as it is compared: in lower case, and not as PHP, Django or nginx write it."""
    return text.lower().replace("_", "-").removeprefix("http-")


def body_readings(body: bytes, length: str = "") -> tuple[bytes, ...]:
    """``body`` as it may have been sent: editors and loggers add line ends, and ``Content-Length`` decides."""
    lf = body.replace(b"\r\n", b"\n")
    found = [body, body.rstrip(b"\r\n"), lf, lf.rstrip(b"\n"), body.strip(b"\r\n")]
    exact = [each for each in found if length == str(len(each))]
    return tuple(dict.fromkeys([*exact, *found]))


def path_and_query(target: str) -> str:
    """What of a request's address is signed."""
    if not re.match(r"https?://", target):
        return target
    try:
        parts = urlsplit(target)
    except ValueError:
        return target
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
