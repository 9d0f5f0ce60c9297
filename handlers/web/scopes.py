"""Scopes of API keys: which scope a call requires, and which key a secret belongs to."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Protocol

from service.settings.sections import ApiKey as ConfiguredKey
from wechat.domain.api_keys import Scope, allows
from wechat.domain.errors import Bilingual, Forbidden, Unauthorized


class KeyHolder(Protocol):
    """A key from the settings, or one that was made at the console."""

    @property
    def name(self) -> str: ...

    @property
    def scopes(self) -> Sequence[Scope]: ...


EVENT_STREAM = "/api/events/stream"


def scope_of(method: str, path: str) -> Scope:
    """Return the scope that a call requires: reading, orders, refunds, reconciliation, or operating
    the service."""
    if path == EVENT_STREAM:
        return Scope.OPERATE  # its events are signed with a webhook's secrets
    if method in ("GET", "HEAD"):
        return Scope.READ
    if path.startswith("/api/refunds/") or path.endswith("/refunds"):
        return Scope.REFUNDS
    if path.startswith("/api/reconciliations/"):
        return Scope.BOOKS
    return Scope.ORDERS if path == "/api/orders" or path.startswith("/api/orders/") else Scope.OPERATE


def configured_key(keys: Sequence[ConfiguredKey], secret: str) -> KeyHolder | None:
    """Return the key of the settings that ``secret`` belongs to; None without one. Every key is compared, so that the
    duration reveals nothing."""
    digest = hashlib.sha256(secret.encode()).hexdigest().encode()
    found = [entry for entry in keys if hmac.compare_digest(entry.sha256.encode(), digest)]
    return found[0] if found and secret else None


def check_scope(holder: KeyHolder | None, scope: Scope) -> str:
    """Return the name of the key. Raises Unauthorized without one, Forbidden if it lacks the scope."""
    if holder is None:
        text = Bilingual(
            "API Key 无效；请用 Authorization: Bearer <API Key>",
            "The API key is not valid; send Authorization: Bearer <key>",
        )
        raise Unauthorized(text, code="BAD_API_KEY")
    if not allows(holder.scopes, scope):
        text = Bilingual(
            f"API Key {holder.name} 没有 {scope} 权限；请使用有此权限的 API Key"
            "（配置文件 merchants 中的 API Key 可加上该 scope）",
            f"The API key {holder.name} lacks the scope {scope}: use a key that has it (one under merchants in the "
            "settings can be given it)",
        )
        raise Forbidden(text, code="SCOPE_MISSING")
    return holder.name
