"""Pages of the person's own account: password, code generator, sessions."""

from __future__ import annotations

from collections.abc import Mapping

import segno

from handlers.console.base import ConsoleHandler, StepUpRefused
from handlers.console.browsers import browser_name
from handlers.console.routes import Page, console_routes
from handlers.console.texts.account import TEXTS
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.audit import Act
from wechat.domain.errors import BadRequest, Bilingual, Conflict, NotFound
from wechat.domain.labels import ROLES
from wechat.domain.staff import Permission
from wechat.domain.times import beijing
from wechat.staff.totp import CodeRefused

PATH = "/console/account"
SET_UP = f"{PATH}/totp"


class AccountPage(ConsoleHandler):
    """Base class of the handlers that render the page of the own account."""

    texts = TEXTS

    async def show_account(self, errors: Mapping[str, str]) -> None:
        """Render the page, with the errors of the form of the password by field."""
        sessions = await self.services.staff.sessions.active(self.staff.name)
        self.render_console(
            "account.html",
            sessions=sessions,
            own_key=self.session.key,
            role=ROLES[self.staff.role].to(self.lang),
            required=self.must_set_up_totp,
            beijing=beijing,
            browser_name=browser_name,
            errors=errors,
        )


class AccountHandler(AccountPage):
    """The page of the own account."""

    async def get(self) -> None:
        await self.show_account({})


class OwnPasswordHandler(AccountPage):
    """Set a new password. Every other session ends, and this browser gets a new session."""

    async def post(self) -> None:
        try:
            await self.set_password()
        except (BadRequest, StepUpRefused) as error:
            await self.show_account(self.name_errors(error, ("password", "again", "step_up")))
        else:
            self.put_flash(self.t("password_changed"))
            self.redirect(PATH)

    async def set_password(self) -> None:
        """Set the password of the form. Raises BadRequest, StepUpRefused."""
        chosen, again = (self.get_body_argument(field, "", strip=False) for field in ("password", "again"))
        if chosen != again:
            raise BadRequest(TEXTS["not_the_same"], code="NOT_THE_SAME", field="again")
        await self.require_step_up()
        staff = self.services.staff
        async with self.audit_act(Act.CHANGE_PASSWORD, self.staff.name):
            member = await staff.members.set_password(self.staff.name, chosen)
        self.give_session(
            await staff.sessions.begin(member, self.client_ip, self.session.browser, totp=self.session.totp)
        )


class TotpHandler(ConsoleHandler):
    """Set up a code generator: show the key, and activate it once the person enters a code made with it."""

    texts = TEXTS

    def get(self) -> None:
        self.show(self.services.staff.members.new_totp_secret(), "")

    async def post(self) -> None:
        secret = self.get_body_argument("secret", "")
        await self.require_step_up()
        try:
            async with self.audit_act(Act.SET_UP_TOTP, self.staff.name):
                codes = await self.services.staff.members.set_up_totp(
                    self.staff.name, secret, self.get_body_argument("code", "")
                )
        except CodeRefused as error:
            self.set_status(error.status)
            self.show(secret, error.text.to(self.lang))
            return
        self.render_console("account_codes.html", codes=codes)

    def show(self, secret: str, error: str) -> None:
        settings = self.services.settings
        uri = self.services.staff.members.totp_uri(secret, self.staff.name, settings.shop.name_en)
        picture = segno.make(uri, error="m").svg_data_uri(scale=5, border=3)
        self.render_console(
            "account_totp.html", secret=secret, picture=picture, error=error, required=self.must_set_up_totp
        )


class RemoveTotpHandler(ConsoleHandler):
    """Remove the code generator. Raises Conflict where the role requires one."""

    texts = TEXTS

    async def post(self) -> None:
        if self.staff.role in self.services.settings.console.totp_required:
            raise Conflict(TEXTS["totp_required"], code="TOTP_REQUIRED")
        await self.require_step_up()
        async with self.audit_act(Act.REMOVE_TOTP, self.staff.name):
            member = await self.services.staff.members.remove_totp(self.staff.name)
        self.give_session(await self.services.staff.sessions.begin(member, self.client_ip, self.session.browser))
        self.put_flash(self.t("removed"))
        self.redirect(PATH)


class EndSessionHandler(ConsoleHandler):
    """End one of the own sessions; a person who may manage people can end any session."""

    texts = TEXTS

    async def post(self) -> None:
        key = self.get_body_argument("key", "")
        names = "" if self.staff.may(Permission.MANAGE_STAFF) else self.staff.name
        found = next((each for each in await self.services.staff.sessions.active(names) if each.key == key), None)
        if found is None:
            raise NotFound(Bilingual("没有这个会话，或已经结束", "There is no such session, or it has ended"))
        await self.services.staff.sessions.end(found.key)
        await self.audit(Act.END_SESSION, found.name, before=f"{found.address} {found.browser}")
        self.put_flash(self.t("ended"))
        self.redirect(PATH if found.name == self.staff.name else "/console/people")


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, AccountHandler, "console_account", Permission.OWN_ACCOUNT),
        Page(f"{PATH}/password", OwnPasswordHandler, "console_own_password", Permission.OWN_ACCOUNT),
        Page(SET_UP, TotpHandler, "console_totp", Permission.OWN_ACCOUNT),
        Page(f"{SET_UP}/remove", RemoveTotpHandler, "console_remove_totp", Permission.OWN_ACCOUNT),
        Page(f"{PATH}/sessions/end", EndSessionHandler, "console_end_session", Permission.OWN_ACCOUNT),
    )
