"""People who may log in, and their sessions. For administrators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from handlers.console.base import ConsoleHandler, StepUpRefused
from handlers.console.browsers import browser_name
from handlers.console.refused import NONE, Refused
from handlers.console.routes import Page, console_routes
from handlers.console.texts.people import TEXTS
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.audit import Act
from wechat.domain.errors import BadRequest, Bilingual, Conflict
from wechat.domain.labels import ROLES
from wechat.domain.staff import Permission, Role, check_name
from wechat.domain.times import beijing

PATH = "/console/people"
NAME = r"([0-9a-z._@-]{2,48})"
NEW_PERSON = {"name": "", "role": Role.READER}
"""The form of a new person before anything is typed."""
CHANGED = ("role", "password", "step_up")
"""The fields of the forms that change a person."""


class StaffHandler(ConsoleHandler):
    """Base class of the handlers of people."""

    texts = TEXTS

    def read_role(self) -> Role:
        """Return the form's role. Raises BadRequest."""
        value = self.get_body_argument("role", "")
        if value not in set(Role):
            raise BadRequest(Bilingual("请选择角色", "Choose a role"), field="role")
        return Role(value)

    async def show_people(self, form: Mapping[str, str], errors: Mapping[str, str], refused: Refused = NONE) -> None:
        """Render the page. ``form`` and ``errors``: what was typed to add a person, and what is wrong, by field;
        ``refused``: the same of a form that changes one."""
        staff = self.services.staff
        people, sessions = await staff.members.all(), await staff.sessions.active()
        self.render_console(
            "people.html",
            people=people,
            sessions=sessions,
            own_key=self.session.key,
            roles=ROLES,
            beijing=beijing,
            browser_name=browser_name,
            form=form,
            errors=errors,
            refused=refused,
        )


class PeopleHandler(StaffHandler):
    """List all people, and add one."""

    async def get(self) -> None:
        await self.show_people(NEW_PERSON, {})

    async def post(self) -> None:
        form = {name: self.get_body_argument(name, "") for name in ("name", "role")}
        try:
            name = await self.add()
        except (BadRequest, Conflict, StepUpRefused) as error:
            await self.show_people(form, self.name_errors(error, (*form, "password", "step_up")))
        else:
            self.put_flash(self.t("was_added", name=name))
            self.redirect(PATH)

    async def add(self) -> str:
        """Add the person of the form; return the name. Raises BadRequest, Conflict, StepUpRefused."""
        role = self.read_role()
        await self.require_step_up()
        name, password = (
            check_name(self.get_body_argument("name", "")),
            self.get_body_argument("password", "", strip=False),
        )
        async with self.audit_act(Act.ADD_USER, name, wanted=role) as after:
            member = await self.services.staff.members.add(name, role, password)
            after.append(member.role)
        return member.name


class PersonHandler(StaffHandler, ABC):
    """Change one person, after a step-up. Nobody can lock themselves out. ``form`` names the handler's form among those
    of a person."""

    form: ClassVar[str]

    async def post(self, name: str) -> None:
        if name == self.staff.name:
            raise Conflict(TEXTS["own_account"], code="OWN_ACCOUNT")
        try:
            await self.require_step_up()
            await self.change(name)
        except (BadRequest, StepUpRefused) as error:
            if error.field not in CHANGED or await self.services.staff.members.get(name) is None:
                raise  # the page has no field for the error
            errors = self.name_errors(error, CHANGED)
            role = "" if "role" in errors else self.get_body_argument("role", "")
            await self.show_people(NEW_PERSON, {}, Refused(name, self.form, role, errors))
        else:
            self.put_flash(self.t("changed", name=name))
            self.redirect(PATH)

    @abstractmethod
    async def change(self, name: str) -> None:
        """Apply the change of the route. Raises NotFound, BadRequest."""


class SetRoleHandler(PersonHandler):
    form = "role"

    async def change(self, name: str) -> None:
        members, role = self.services.staff.members, self.read_role()
        before = await members.get(name)
        async with self.audit_act(Act.SET_ROLE, name, before.role if before else "", role) as after:
            await members.set_role(name, role)
            after.append(role)


class DisableHandler(PersonHandler):
    form = "state"

    async def change(self, name: str) -> None:
        async with self.audit_act(Act.DISABLE_USER, name):
            await self.services.staff.members.disable(name)


class EnableHandler(PersonHandler):
    form = "state"

    async def change(self, name: str) -> None:
        async with self.audit_act(Act.ENABLE_USER, name):
            await self.services.staff.members.enable(name)


class SetPasswordHandler(PersonHandler):
    form = "password"

    async def change(self, name: str) -> None:
        async with self.audit_act(Act.CHANGE_PASSWORD, name):
            await self.services.staff.members.set_password(name, self.get_body_argument("password", "", strip=False))


class ResetTotpHandler(PersonHandler):
    form = "state"

    async def change(self, name: str) -> None:
        async with self.audit_act(Act.REMOVE_TOTP, name):
            await self.services.staff.members.remove_totp(name)


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, PeopleHandler, "console_people", Permission.MANAGE_STAFF),
        Page(f"{PATH}/{NAME}/role", SetRoleHandler, "console_set_role", Permission.MANAGE_STAFF),
        Page(f"{PATH}/{NAME}/disable", DisableHandler, "console_disable", Permission.MANAGE_STAFF),
        Page(f"{PATH}/{NAME}/enable", EnableHandler, "console_enable", Permission.MANAGE_STAFF),
        Page(f"{PATH}/{NAME}/password", SetPasswordHandler, "console_set_password", Permission.MANAGE_STAFF),
        Page(f"{PATH}/{NAME}/reset_totp", ResetTotpHandler, "console_reset_totp", Permission.MANAGE_STAFF),
    )
