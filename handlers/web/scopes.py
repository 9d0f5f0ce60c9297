"""What an API key must be allowed for a call."""

from __future__ import annotations

from service.settings.sections import Scope
from wechat.domain.errors import Bilingual, Forbidden

EVENT_STREAM = "/api/events/stream"


def scope_of(method: str, path: str) -> Scope:
    """What an API key must be allowed for this call: reading, orders, refunds, or operating the service."""
    if path == EVENT_STREAM:
        return Scope.OPERATE  # it signs by a webhook's secrets
    if method in ("GET", "HEAD"):
        return Scope.READ
    if path.startswith("/api/refunds/") or path.endswith("/refunds"):
        return Scope.REFUNDS
    return Scope.ORDERS if path == "/api/orders" or path.startswith("/api/orders/") else Scope.OPERATE


def out_of_scope(name: str, scope: Scope) -> Forbidden:
    return Forbidden(
        Bilingual(
            f"这个 API 密钥没有 {scope} 权限；请在设置 merchants 里 {name} 的 scopes 中加上，或换一个密钥",
            f"This API key lacks the scope {scope}: add it to the scopes of {name} under merchants, or use another key",
        ),
        code="SCOPE_MISSING",
    )
