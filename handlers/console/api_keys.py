"""API keys: create, rotate and revoke them; a secret is shown once. For administrators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from handlers.console.base import ConsoleHandler, StepUpRefused
from handlers.console.refused import NONE, Refused
from handlers.console.routes import Page, console_routes
from handlers.console.texts.api_keys import TEXTS
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.api_keys import OVERLAP_HOURS, ApiKey, Scope, check_key_name
from wechat.domain.audit import Act
from wechat.domain.errors import BadRequest, Bilingual, Conflict
from wechat.domain.labels import SCOPES
from wechat.domain.staff import Permission
from wechat.domain.times import beijing

PATH = "/console/keys"
NAME = r"([A-Za-z0-9_-]{1,32})"
USUAL_OVERLAP = 24
CHANGED = ("overlap_hours", "step_up")
"""The fields of the forms that change a key."""


class KeyHandler(ConsoleHandler):
    """Base class of the handlers of API keys."""

    texts = TEXTS

    async def show_keys(
        self, name: str, chosen: Sequence[str], errors: Mapping[str, str], refused: Refused = NONE
    ) -> None:
        """Render the page. ``name``, ``chosen`` and ``errors``: the form of a new key as sent, and what is wrong;
        ``refused``: the same of a form that changes one."""
        self.render_console(
            "api_keys.html",
            keys=await self.services.staff.api_keys.all(),
            configured=self.services.settings.merchants,
            scopes=SCOPES,
            chosen=chosen,
            errors=errors,
            typed=name,
            refused=refused,
            overlap=USUAL_OVERLAP,
            most_overlap=OVERLAP_HOURS[-1],
            now=self.services.real_time,
            beijing=beijing,
        )

    def show_secret(self, key: ApiKey, secret: str) -> None:
        """Render the only page that contains the secret."""
        self.render_console("api_keys_secret.html", key=key, secret=secret)

    async def show_refused(self, name: str, form: str, error: BadRequest | StepUpRefused) -> None:
        """Render the page with the error at its field in one of the key's forms. Raises the error if the page has no
        such field."""
        is_shown = any(key.name == name and key.active for key in await self.services.staff.api_keys.all())
        if error.field not in CHANGED or not is_shown:
            raise error
        errors, hours = self.name_errors(error, CHANGED), self.get_body_argument("overlap_hours", "")
        await self.show_keys("", [Scope.READ], {}, Refused(name, form, hours, errors))


class KeysHandler(KeyHandler):
    """List every key, including those of the settings, and create one."""

    async def get(self) -> None:
        await self.show_keys("", [Scope.READ], {})

    async def post(self) -> None:
        try:
            key, secret = await self.add()
        except (BadRequest, Conflict, StepUpRefused) as error:
            name, chosen = self.get_body_argument("name", ""), self.get_body_arguments("scopes")
            await self.show_keys(name, chosen, self.name_errors(error, ("name", "scopes", "step_up")))
        else:
            self.show_secret(key, secret)

    async def add(self) -> tuple[ApiKey, str]:
        """Create the key of the form; return it and its secret. Raises BadRequest, Conflict, StepUpRefused."""
        await self.require_step_up()
        name, scopes = check_key_name(self.get_body_argument("name", "")), self.get_body_arguments("scopes")
        async with self.audit_act(Act.ADD_KEY, name) as after:
            key, secret = await self.services.staff.api_keys.add(name, scopes, self.staff.name)
            after.append(" ".join(key.scopes))
        return key, secret


class RotateHandler(KeyHandler):
    """Create a new secret; the old secret keeps working for the chosen hours."""

    async def post(self, name: str) -> None:
        try:
            key, secret = await self.rotate(name)
        except (BadRequest, StepUpRefused) as error:
            await self.show_refused(name, "rotate", error)
        else:
            self.show_secret(key, secret)

    async def rotate(self, name: str) -> tuple[ApiKey, str]:
        """Rotate the key; return it and its new secret. Raises BadRequest, NotFound, Conflict, StepUpRefused."""
        await self.require_step_up()
        hours = self.read_overlap()
        async with self.audit_act(Act.ROTATE_KEY, name) as after:
            key, secret = await self.services.staff.api_keys.rotate(name, hours)
            after.append(f"overlap {hours} h")
        return key, secret

    def read_overlap(self) -> int:
        """Return the hours of the form. Raises BadRequest."""
        value = self.get_body_argument("overlap_hours", "")
        if not (value.isascii() and value.isdigit() and len(value) <= len(str(OVERLAP_HOURS[-1]))):
            raise BadRequest(Bilingual("小时数为整数", "Enter a whole number of hours"), field="overlap_hours")
        return int(value)


class RevokeHandler(KeyHandler):
    """Revoke the key at once."""

    async def post(self, name: str) -> None:
        try:
            await self.require_step_up()
        except StepUpRefused as error:
            await self.show_refused(name, "revoke", error)
            return
        async with self.audit_act(Act.REVOKE_KEY, name):
            key = await self.services.staff.api_keys.revoke(name)
        self.put_flash(self.t("was_revoked", name=key.name))
        self.redirect(PATH)


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, KeysHandler, "console_keys", Permission.MANAGE_KEYS),
        Page(f"{PATH}/{NAME}/rotate", RotateHandler, "console_rotate_key", Permission.MANAGE_KEYS),
        Page(f"{PATH}/{NAME}/revoke", RevokeHandler, "console_revoke_key", Permission.MANAGE_KEYS),
    )
