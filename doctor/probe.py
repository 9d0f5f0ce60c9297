"""One HTTP request, or one TLS handshake, as somebody outside would make it. Blocks; runs in a thread."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.message import Message
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import NamedTuple
from urllib.parse import urlsplit

ANSWER_S = 5.0
MOST = 64 * 1024


class Reply(NamedTuple):
    """The first ``MOST`` bytes of an answer."""

    status: int
    headers: Message
    body: bytes


def first_piece(url: str, headers: Mapping[str, str]) -> Reply:
    """What arrives first of an answer that goes on; the connection is closed then. Raises as ``ask``."""
    with _answering("GET", url, None, headers) as answer:
        return Reply(answer.status, answer.headers, answer.read1(MOST))


def ask(method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """What ``url`` answers; no redirect is followed. Raises OSError (TLS, DNS, time) or http.client.HTTPException."""
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
    """What ``host`` is looked up as. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def certificate_end(host: str, port: int) -> datetime:
    """When the certificate that ``host`` shows ends, once its whole chain was believed. Raises OSError."""
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), timeout=ANSWER_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        shown = secure.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
