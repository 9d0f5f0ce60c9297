"""Entries of WeChat's consoles: domains, payment directories, spelling of errors.

A real domain has no port; here it is ``host:port``, as everything runs on loopback. Until something is set, any
loopback host is accepted, so that the simulator can be used before it is configured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from simulator.state.journal import Journal

LOOPBACK = ("127.0.0.1", "localhost", "::1")
WECHAT_HOSTS = (
    "api.mch.weixin.qq.com",
    "api2.mch.weixin.qq.com",
    "api.weixin.qq.com",
    "open.weixin.qq.com",
    "res.wx.qq.com",
)
"""WeChat's own host names, which the TLS port accepts if enabled."""
MAX_DIRECTORIES = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """``None`` means: not set yet. ``old_spelling``: v3 writes ORDERPAID for ORDER_PAID.

    ``snapshot_users``: every user authorises from a snapshot page, under an anonymous openid. ``refund_notify_url``
    receives notifications of refunds without an address of their own, including those made in the console.
    """

    oauth_domains: list[str] | None = None
    js_domains: list[str] | None = None
    pay_directories: list[str] | None = None
    old_spelling: bool = False
    refund_notify_url: str | None = None
    snapshot_users: bool = False


class Console:
    """The settings, stored in the truth log."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.settings = Settings()
        journal.on(Settings, self._apply)

    def change(self, data: dict[str, Any]) -> None:
        """Set the given keys, leave the others. Raises ValueError with a sentence."""
        unknown = set(data) - set(Settings.__slots__)
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        wanted = Settings(**{**asdict(self.settings), **data})
        _check(wanted)
        self._journal.write(wanted)

    def takes_redirect(self, url: str) -> bool:
        """Whether ``url`` is under a web authorisation domain."""
        return _takes(self.settings.oauth_domains, url)

    def takes_js(self, url: str) -> bool:
        """Whether ``url`` is under a JS-safe domain."""
        return _takes(self.settings.js_domains, url)

    def takes_pay(self, url: str) -> bool:
        """Whether the page at ``url`` is in a payment directory: directly in it, or deeper."""
        directories = self.settings.pay_directories
        if directories is None:
            return is_loopback(url)
        return any(url.startswith(directory) for directory in directories)

    def _apply(self, fact: Settings) -> None:
        self.settings = fact


def is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


def _takes(domains: list[str] | None, url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        return False
    return is_loopback(url) if domains is None else parts.netloc in domains


def _check(settings: Settings) -> None:
    for domains in (settings.oauth_domains, settings.js_domains):
        if domains is not None and not (_texts(domains) and all(name and "/" not in name for name in domains)):
            raise ValueError("a domain is host or host:port, without scheme and path")
    directories = settings.pay_directories
    if directories is not None and not (_texts(directories) and len(directories) <= MAX_DIRECTORIES):
        raise ValueError("pay_directories is a list of at most 5 addresses")
    for directory in directories or []:
        if not (directory.startswith(("http://", "https://")) and directory.endswith("/")):
            raise ValueError("a payment directory is an address that ends in /")
    for name in ("old_spelling", "snapshot_users"):
        if type(getattr(settings, name)) is not bool:
            raise ValueError(f"{name} is true or false")
    if settings.refund_notify_url is not None and not is_loopback(str(settings.refund_notify_url)):
        raise ValueError("refund_notify_url is an address on this machine")


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
