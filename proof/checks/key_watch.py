"""Watch that no process lacks one of WeChat's keys for long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from proof.wechat.forger import STRANGE_SERIAL
from proof.wechat.platform_keys import PlatformKeys
from wechat.domain.errors import SignatureInvalid
from wechat.domain.ports import Clock
from wechat.pay.certificates import KeyRing, PlatformKey

WITHOUT_A_KEY = frozenset({"unknown_serial", "key_ended"})
PATIENCE = timedelta(hours=2)
"""The longest time that a process may lack a key after a message first named it. A failed download is repeated after a
minute, so about a hundred attempts fit."""
SHORT = timedelta(minutes=9)
MOST_DOWNLOADS = 3
"""In that time a process needs one download at its start, one by its schedule, and one for an unknown key."""


class WatchedRing(KeyRing):
    """A key ring that reports when it was filled."""

    on_replaced: Callable[[list[PlatformKey]], None] = staticmethod(lambda found: None)

    def replace_certificates(self, found: list[PlatformKey]) -> None:
        super().replace_certificates(found)
        self.on_replaced(found)


class KeyWatch:
    """The watch of one process. ``report`` is called with each violation."""

    def __init__(self, keys: PlatformKeys, clock: Clock, report: Callable[[str], None]) -> None:
        self._keys = keys
        self._report = report
        self._clock = clock
        self._asked: dict[str, datetime] = {}
        self._downloads: list[datetime] = []
        self._had: dict[str, None] = {}

    def on_download(self, found: list[PlatformKey]) -> None:
        """Note that the process downloaded the certificates, which it must not do again and again."""
        now = self._clock.now()
        self._had.update({key.serial: None for key in found})
        self._downloads = [*(at for at in self._downloads if now - at < SHORT), now]
        if len(self._downloads) > MOST_DOWNLOADS:
            self._report(f"{len(self._downloads)} downloads of certificates in {SHORT}")

    @property
    def known(self) -> frozenset[str]:
        """Serials of the keys that the process has downloaded so far."""
        return frozenset(self._had)

    def on_refusal(self, headers: Mapping[str, str], reason: str, known: frozenset[str]) -> None:
        """Check a refused message with its ``reason``, which arrived when the process had the keys ``known``. Its key
        must not be among them, nor be missing for long."""
        key = self._keys.find(headers.get("Wechatpay-Serial", ""))
        if reason not in WITHOUT_A_KEY or key is None or self._clock.now() >= key.ends_at:
            return
        if reason == "unknown_serial" and key.serial in known:
            self._report(f"{key.serial} is unknown, and was known before")
        waited = self._clock.now() - self._asked.setdefault(key.serial, self._clock.now())
        if waited > PATIENCE:
            self._report(f"{key.serial} is unknown {waited} after a message first named it")


def takes_strange_keys(ring: KeyRing) -> bool:
    """Whether a ring holds a key that WeChat never had."""
    try:
        ring.find(STRANGE_SERIAL)
    except SignatureInvalid:
        return False
    return True
