"""People of the console, for the operator's command line."""

from __future__ import annotations

from typing import Any

from handlers.web.operator import OperatorHandler
from handlers.web.plugin import Access, Route
from handlers.web.query import read_choice
from handlers.web.services import Services
from wechat.domain.audit import Act
from wechat.domain.errors import BadRequest, Bilingual
from wechat.domain.staff import Role, StaffMember, check_name
from wechat.domain.times import to_v3

NAME = r"([0-9A-Za-z._@-]{1,48})"


class UserHandler(OperatorHandler):
    """Base class of the handlers of people."""

    def text(self, field: str) -> str:
        """Return a text field of the body. Raises BadRequest."""
        value = self.json_body().get(field)
        if not isinstance(value, str):
            raise BadRequest(Bilingual(f"{field} 应为文字", f"{field} is a text"), field=field)
        return value

    def role(self) -> Role:
        """Return the body's role. Raises BadRequest."""
        return read_choice(Role, self.text("role"), "role")


class UsersHandler(UserHandler):
    """List all people; POST adds one."""

    async def get(self) -> None:
        members = await self.services.staff.members.all()
        self.write_json({"users": [user_view(member) for member in members]})

    async def post(self) -> None:
        name, role, password = check_name(self.text("name")), self.role(), self.text("password")
        async with self.audit_act(Act.ADD_USER, name, wanted=role) as after:
            member = await self.services.staff.members.add(name, role, password)
            after.append(member.role)
        login_url = f"{self.services.settings.http.public_base_url}/console/login"
        self.set_status(201)
        self.write_json(user_view(member) | {"login_url": login_url})


class PasswordHandler(UserHandler):
    """Set a new password; all sessions of the person end."""

    async def post(self, name: str) -> None:
        name, password = name.lower(), self.text("password")
        async with self.audit_act(Act.CHANGE_PASSWORD, name):
            member = await self.services.staff.members.set_password(name, password)
        self.write_json(user_view(member))


class RoleHandler(UserHandler):
    async def post(self, name: str) -> None:
        members, name, role = self.services.staff.members, name.lower(), self.role()
        before = await members.get(name)
        async with self.audit_act(Act.SET_ROLE, name, before.role if before else "", role) as after:
            member = await members.set_role(name, role)
            after.append(member.role)
        self.write_json(user_view(member))


class DisableHandler(UserHandler):
    """Disable the person's account; all their sessions end."""

    async def post(self, name: str) -> None:
        name = name.lower()
        async with self.audit_act(Act.DISABLE_USER, name):
            member = await self.services.staff.members.disable(name)
        self.write_json(user_view(member))


class EnableHandler(UserHandler):
    async def post(self, name: str) -> None:
        name = name.lower()
        async with self.audit_act(Act.ENABLE_USER, name):
            member = await self.services.staff.members.enable(name)
        self.write_json(user_view(member))


class ResetTotpHandler(UserHandler):
    """Remove a lost code generator."""

    async def post(self, name: str) -> None:
        name = name.lower()
        async with self.audit_act(Act.REMOVE_TOTP, name):
            member = await self.services.staff.members.remove_totp(name)
        self.write_json(user_view(member))


def user_view(member: StaffMember) -> dict[str, Any]:
    """Return ``{"name", "role", "active", "totp", "created_at"}``."""
    return {
        "name": member.name,
        "role": member.role,
        "active": member.active,
        "totp": bool(member.totp_secret),
        "created_at": to_v3(member.created_at),
    }


def routes(services: Services) -> list[Route]:
    verbs = {
        "password": PasswordHandler,
        "role": RoleHandler,
        "disable": DisableHandler,
        "enable": EnableHandler,
        "reset_totp": ResetTotpHandler,
    }
    return [
        Route(pattern=r"/api/users", handler=UsersHandler, access=Access.OPERATOR, name="api_users"),
        *(
            Route(
                pattern=rf"/api/users/{NAME}/{verb}", handler=handler, access=Access.OPERATOR, name=f"api_user_{verb}"
            )
            for verb, handler in verbs.items()
        ),
    ]
