"""Deliver events to the merchant's own addresses, according to Standard Webhooks 1.0.0.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

Unlike WeChat's, these addresses are not trusted. The IP address is checked when the connection to it is made, so that
another look-up of the name cannot change it. Redirects are not followed. Of a response that refuses an event only the
beginning is read (``wechat.events.answers``), of any other nothing. No address is logged.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Collection, Mapping, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from wechat.domain.deliveries import Event, Outcome
from wechat.domain.ports import Clock
from wechat.events.answers import read_answer
from wechat.events.signature import sign

TOTAL_S = 10.0
CONNECT_S = 3.0
CONNECTIONS = 16
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
NOT_PUBLIC = tuple(ipaddress.ip_network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "3fff::/20"))
"""IANA's special addresses that Python 3.11 considers global, in whole or in part."""

FAILURES: Mapping[type[Exception], str] = {
    TimeoutError: "timeout",
    aiohttp.ClientSSLError: "tls",
    aiohttp.ClientConnectorError: "unreachable",
    aiohttp.InvalidURL: "forbidden",  # a number as the host, such as 127.1
    aiohttp.ClientError: "broken_off",
}
"""The first matching class counts; any other error is a name that cannot be resolved, such as a..b."""
NOT_SENT = frozenset({"tls", "unreachable", "forbidden"})
"""Failures before there is a connection: no message was sent."""

AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]


class Webhook:
    """A receiver. Every message carries a signature by each key in ``secrets``.

    ``allow_private`` permits addresses in private networks. Close it at shutdown.
    """

    def __init__(
        self,
        name: str,
        url: str,
        secrets: Sequence[bytes],
        events: Collection[str],
        clock: Clock,
        *,
        allow_private: bool = False,
        total_s: float = TOTAL_S,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self.name = name
        self._url = URL(url)
        self._secrets = secrets
        self._events = frozenset(events)
        self._clock = clock
        self._allow_private = allow_private
        self._timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=min(CONNECT_S, total_s))
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    def wants(self, event_type: str) -> bool:
        return event_type in self._events

    async def deliver(self, event: Event) -> Outcome:
        """See Target. Only a 2xx counts as delivered."""
        body, timestamp = event.body(), self._now()
        headers = self._headers(event.id, timestamp, body)
        try:
            async with self._open().post(
                self._url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                accepted = 200 <= response.status < 300
                answer = None if accepted else await read_answer(response.headers, response.content.read)
                return Outcome(accepted, str(response.status), timestamp, answer)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            result = _name_failure(error)
            return Outcome(False, result, 0 if result in NOT_SENT else timestamp)

    def sign(self, event_id: str, body: bytes) -> dict[str, str]:
        """Build the headers of a message that is sent now."""
        return self._headers(event_id, self._now(), body)

    def _headers(self, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        signatures = [sign(secret, event_id, timestamp, body) for secret in self._secrets]
        return message_headers(event_id, timestamp, " ".join(signatures))

    def _now(self) -> int:
        return int(self._clock.now().timestamp())

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS,
                    resolver=self._resolver,
                    socket_factory=None if self._allow_private else public_socket,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def message_headers(event_id: str, timestamp: int, signature: str) -> dict[str, str]:
    """Return the headers of a message that was signed at ``timestamp``, a Unix time. A response that refuses it is
    wanted uncompressed, so that its beginning can be read."""
    return {
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": "Fenpay",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }


def _name_failure(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PermissionError):
        return "forbidden"
    return next((word for kind, word in FAILURES.items() if isinstance(error, kind)), "unreachable")


def public_socket(info: AddrInfo) -> socket.socket:
    """Create a socket for a connection to an address. Raises PermissionError unless the address is public."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise PermissionError(errno.EACCES, "not a public address")
    return socket.socket(family, kind, protocol)


def is_public(text: str) -> bool:
    """Whether ``text`` is an address of the public internet. An IPv4 address inside an IPv6 address decides."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour:
            return False
        address = _inner(address) or address
    special = address.is_multicast or address.is_reserved or any(address in net for net in NOT_PUBLIC)
    return address.is_global and not special


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped
