"""Make one HTTP request, or one TLS handshake, as a client outside would. Blocks; runs in a thread."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.message import Message
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import NamedTuple
from urllib.parse import urlsplit

ANSWER_S = 5.0
MOST = 64 * 1024
IDLE = b": idle\n\n"


class Reply(NamedTuple):
    """An answer with the first ``MOST`` bytes of its body."""

    status: int
    headers: Message
    body: bytes


def time_stream(url: str, headers: Mapping[str, str]) -> tuple[Reply, float]:
    """Return a stream up to its first ``: idle``, and the seconds from there to its end. Raises as ``ask`` does."""
    with _answering("GET", url, None, headers) as answer:
        first = b""
        while IDLE not in first and len(first) < MOST and (piece := answer.read1(MOST)):
            first += piece
        began = time.monotonic()
        answer.read(MOST)
        return Reply(answer.status, answer.headers, first), time.monotonic() - began


def ask(method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Return the answer of ``url``; redirects are not followed. Raises OSError (TLS, DNS, time) or
    http.client.HTTPException."""
    with _answering(method, url, body, headers or {}) as answer:
        return Reply(answer.status, answer.headers, answer.read(MOST))


@contextmanager
def _answering(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = (
        HTTPSConnection(host, port, timeout=ANSWER_S, context=ssl.create_default_context())
        if parts.scheme == "https"
        else HTTPConnection(host, port, timeout=ANSWER_S)
    )
    with closing(connection):
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, {"User-Agent": "Fenpay doctor", **headers})
        yield connection.getresponse()


def addresses(host: str, port: int) -> list[str]:
    """Resolve ``host``. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def certificate_end(host: str, port: int) -> datetime:
    """Return the end of the certificate of ``host``, after verifying its chain. Raises OSError."""
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), timeout=ANSWER_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        shown = secure.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
