"""Bring addresses in the settings to the one form in which browsers, nginx and WeChat compare them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

import idna

from wechat.support.validation import Needs

NUMERIC = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)$", re.IGNORECASE | re.ASCII)
"""A host that ends in a number is an IP address, maybe in an unusual spelling (127.1, 0x7f000001)."""
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_HOST = 253

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)


def split_address(url: str) -> SplitResult:
    """Return the parts of an absolute http(s) address. Raises Needs, which is a ValueError."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = None
    if (
        parts is None
        or parts.scheme not in DEFAULT_PORTS
        or not parts.hostname
        or "@" in parts.netloc
        or parts.port == 0
        or not url.isprintable()
        or re.search(r"[\s\\]", url)
    ):
        raise Needs(
            "不含用户名和空白的 http(s) 完整地址，如 https://pay.example.com",
            "an absolute http(s) address without user name and blanks, such as https://pay.example.com",
        )
    return parts


def normalise_origin(parts: SplitResult) -> str:
    """Return scheme, host and port: lower case, IDNA, no final dot, no default port. Raises Needs."""
    port = "" if parts.port in (None, DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{normalise_host(parts.hostname or '')}{port}"


def normalise_host(host: str) -> str:
    """Return a name or an IP address as the Host header has it, IPv6 in brackets. Raises Needs."""
    if ":" in host:
        return f"[{_normalise_v6(host)}]"
    host = host.removesuffix(".")
    if NUMERIC.search(host):
        return _normalise_v4(host)
    try:
        name = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        name = ""
    if len(name) > MAX_HOST or not _NAME.fullmatch(name):
        raise Needs("地址里有效的主机名", "a host name that is one")
    return name


def _normalise_v4(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise Needs(
            "写成四个十进制数的 IPv4 地址，如 192.0.2.1", "an IPv4 address of four numbers: 192.0.2.1"
        ) from None


def _normalise_v6(host: str) -> str:
    """Return an IPv6 address in its short form. Raises Needs for a zone, which browsers refuse, and for an embedded
    IPv4 address, which would be a second name of the same host."""
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        address = None
    if address is None or address.scope_id or address.ipv4_mapped:
        raise Needs(
            "不带区域（%eth0）的 IPv6 地址；IPv4 地址直接写 IPv4",
            "an IPv6 address without a zone (%eth0); write an IPv4 address as IPv4",
        )
    return str(address)
