"""API keys of the merchant's own systems: what each may do, and its secrets. Pure values and rules.

The name of a key never changes, because it identifies the caller of orders, refunds and Idempotency-Keys. Of a secret
only the SHA-256 is stored. During a rotation a key has two secrets, of which the older one ends.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from wechat.domain.errors import BadRequest, Bilingual, Conflict

KEY_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
MOST_SECRETS = 3
"""Secrets of one key that work at the same time."""
OVERLAP_HOURS = range(169)
"""Hours for which the old secret may still be accepted after a rotation."""
USED_EVERY = timedelta(minutes=1)
"""The shortest time between two updates of a key's last use."""


class Scope(StrEnum):
    """A group of requests that an API key may make."""

    READ = "read"
    ORDERS = "orders"
    REFUNDS = "refunds"
    BOOKS = "books"
    OPERATE = "operate"


def allows(scopes: Collection[Scope], scope: Scope) -> bool:
    """Whether a key with ``scopes`` may make requests of ``scope``. ``operate`` includes ``books``."""
    return scope in scopes or (scope is Scope.BOOKS and Scope.OPERATE in scopes)


@dataclass(frozen=True, slots=True)
class KeySecret:
    """A secret of an API key: ``digest`` is its SHA-256 in hex; the secret is refused from ``ends_at`` on."""

    digest: str
    created_at: datetime
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key. ``created_by`` is the name of a person, or the name that the command line uses."""

    name: str
    scopes: tuple[Scope, ...]
    secrets: tuple[KeySecret, ...]
    created_at: datetime
    created_by: str
    used_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def active(self) -> bool:
        return self.revoked_at is None

    def accepts(self, digest: str, now: datetime) -> bool:
        """Whether the secret with this SHA-256 works at ``now``."""
        return self.active and digest in [each.digest for each in open_secrets(self, now)]


def open_secrets(key: ApiKey, now: datetime) -> tuple[KeySecret, ...]:
    """The secrets of ``key`` that have not ended."""
    return tuple(each for each in key.secrets if each.ends_at is None or now < each.ends_at)


def rotate(key: ApiKey, digest: str, overlap: timedelta, now: datetime) -> ApiKey:
    """Add a secret to ``key``; its other secrets end after ``overlap`` at the latest.

    Raises Conflict for a revoked key, and for a key with ``MOST_SECRETS`` secrets that still work.
    """
    if not key.active:
        raise Conflict(Bilingual("API Key 已吊销", "The key is revoked"), code="KEY_REVOKED")
    ends_at = now + overlap
    earlier = tuple(
        replace(each, ends_at=min(each.ends_at or ends_at, ends_at)) for each in open_secrets(key, now) if overlap
    )
    if len(earlier) >= MOST_SECRETS:
        text = Bilingual(
            "这个 API Key 已有 3 个值同时有效；请等旧值失效，或把并存时间设为 0",
            "This key already has three valid secrets; wait until one expires, or set the overlap to 0",
        )
        raise Conflict(text, code="KEY_ROTATING")
    return replace(key, secrets=(*earlier, KeySecret(digest, now)))


def revoke(key: ApiKey, now: datetime) -> ApiKey:
    """Revoke ``key`` and remove all its secrets."""
    return replace(key, revoked_at=now, secrets=()) if key.active else key


def touch_key(key: ApiKey, now: datetime) -> ApiKey:
    """Note that the key was used, at most once a minute."""
    return replace(key, used_at=now) if key.used_at is None or now - key.used_at >= USED_EVERY else key


def check_key_name(name: str) -> str:
    """Return ``name``. Raises BadRequest for an invalid name."""
    if not KEY_NAME.fullmatch(name):
        text = Bilingual(
            "API Key 名称为 1 到 32 个字符：字母、数字、_ 和 -",
            "The name of a key has 1 to 32 characters: letters, digits, _ and -",
        )
        raise BadRequest(text, code="BAD_NAME", field="name")
    return name


def check_scopes(scopes: Collection[str]) -> tuple[Scope, ...]:
    """Return ``scopes`` in the order of ``Scope``. Raises BadRequest for an empty or unknown scope."""
    if not scopes or not set(scopes) <= set(Scope):
        names = ", ".join(Scope)
        text = Bilingual(f"scopes 至少选一项：{names}", f"scopes names at least one of {names}")
        raise BadRequest(text, code="BAD_SCOPES", field="scopes")
    return tuple(scope for scope in Scope if scope in scopes)


def check_overlap(hours: int) -> timedelta:
    """Return ``hours`` as a duration. Raises BadRequest outside ``OVERLAP_HOURS``."""
    if hours not in OVERLAP_HOURS:
        most = OVERLAP_HOURS[-1]
        text = Bilingual(f"overlap_hours 为 0 到 {most} 的整数", f"overlap_hours is a whole number from 0 to {most}")
        raise BadRequest(text, code="BAD_OVERLAP", field="overlap_hours")
    return timedelta(hours=hours)
