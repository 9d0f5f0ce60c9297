"""API keys, for the operator's command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from handlers.web.operator import OPERATOR, OperatorHandler
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from wechat.domain.api_keys import ApiKey, Scope, check_key_name
from wechat.domain.audit import Act
from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.times import to_v3

NAME = r"([A-Za-z0-9_-]{1,32})"


class KeysHandler(OperatorHandler):
    """List every key, including those of the settings; POST creates one."""

    async def get(self) -> None:
        keys = await self.services.staff.api_keys.all()
        configured = [_settings_view(key.name, key.scopes) for key in self.services.settings.merchants]
        self.write_json({"keys": [key_view(key) for key in keys] + configured})

    async def post(self) -> None:
        name, scopes = self._name(), self._scopes()
        async with self.audit_act(Act.ADD_KEY, name) as after:
            key, secret = await self.services.staff.api_keys.add(name, scopes, OPERATOR)
            after.append(" ".join(key.scopes))
        self.set_status(201)
        self.write_json(key_view(key) | {"key": secret})

    def _name(self) -> str:
        """Return the body's name. Raises BadRequest."""
        name = self.json_body().get("name")
        if not isinstance(name, str):
            raise BadRequest(Bilingual("name 应为文字", "name is a text"), field="name")
        return check_key_name(name)

    def _scopes(self) -> list[str]:
        """Return the body's scopes. Raises BadRequest."""
        scopes = self.json_body().get("scopes")
        if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
            raise BadRequest(Bilingual("scopes 应为文字列表", "scopes is a list of texts"), field="scopes")
        return scopes


class RotateHandler(OperatorHandler):
    """Create a new secret; the old one keeps working for ``overlap_hours``."""

    async def post(self, name: str) -> None:
        hours = self.json_body().get("overlap_hours")
        if not isinstance(hours, int) or isinstance(hours, bool):
            raise BadRequest(Bilingual("overlap_hours 应为整数", "overlap_hours is an integer"), field="overlap_hours")
        async with self.audit_act(Act.ROTATE_KEY, name) as after:
            key, secret = await self.services.staff.api_keys.rotate(name, hours)
            after.append(f"overlap {hours} h")
        self.write_json(key_view(key) | {"key": secret})


class RevokeHandler(OperatorHandler):
    """Revoke the key at once."""

    async def post(self, name: str) -> None:
        async with self.audit_act(Act.REVOKE_KEY, name):
            key = await self.services.staff.api_keys.revoke(name)
        self.write_json(key_view(key))


def key_view(key: ApiKey) -> dict[str, Any]:
    """Return ``{"name", "scopes", "source", "active", "created_at", "created_by", "used_at", "old_until"}``."""
    ends = [secret.ends_at for secret in key.secrets if secret.ends_at]
    return {
        "name": key.name,
        "scopes": list(key.scopes),
        "source": "console",
        "active": key.active,
        "created_at": to_v3(key.created_at),
        "created_by": key.created_by,
        "used_at": to_v3(key.used_at) if key.used_at else None,
        "old_until": to_v3(max(ends)) if ends else None,
    }


def _settings_view(name: str, scopes: Sequence[Scope]) -> dict[str, Any]:
    """View of a key of the settings; its creation and last use are not recorded."""
    unknown = dict.fromkeys(("created_at", "created_by", "used_at", "old_until"))
    return {"name": name, "scopes": list(scopes), "source": "settings", "active": True, **unknown}


def routes(services: Services) -> list[Route]:
    pages: list[tuple[str, str, type[OperatorHandler]]] = [
        ("/api/keys", "api_keys", KeysHandler),
        (f"/api/keys/{NAME}/rotate", "api_key_rotate", RotateHandler),
        (f"/api/keys/{NAME}/revoke", "api_key_revoke", RevokeHandler),
    ]
    return [
        Route(pattern=pattern, handler=handler, access=Access.OPERATOR, name=name) for pattern, name, handler in pages
    ]
