"""Login, logout, the console's first page, and the choice of the language."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from handlers.console.base import HOME, LANGUAGES, LOGIN, ConsoleHandler, safe_next
from handlers.console.navigation import entries_for
from handlers.console.routes import Page, console_routes
from handlers.console.texts.login import TEXTS
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from wechat.domain.audit import Act
from wechat.domain.errors import Bilingual, CallerError, Forbidden, TooMany
from wechat.domain.staff import Permission, Role
from wechat.staff.audit import Actor
from wechat.staff.sessions import Login, LoginRefused

DEMO_USER = "demo"
LINK_LIFE_S = 30 * 86_400.0


class LoginHandler(ConsoleHandler):
    """The login form and its submission."""

    texts = TEXTS

    async def get(self) -> None:
        next_page = safe_next(self.get_query_argument("next", HOME))
        if await self.find_visit():
            self.redirect(next_page)
            return
        self.render_console("login.html", next_page=next_page, name="", error="")

    async def post(self) -> None:
        login = self._read_login()
        try:
            session_id = await self.services.staff.sessions.log_in(login)
        except (LoginRefused, TooMany) as error:
            await self._refuse(login, error)
            return
        self.give_session(session_id)
        await self._record(Act.LOG_IN, login.name)
        self.redirect(safe_next(self.get_body_argument("next", HOME)))

    def _read_login(self) -> Login:
        name, password = self.get_body_argument("name", ""), self.get_body_argument("password", "", strip=False)
        code, browser = self.get_body_argument("code", ""), self.request.headers.get("User-Agent", "")
        return Login(name.strip().lower(), password, code, self.client_ip, browser)

    async def _refuse(self, login: Login, error: CallerError) -> None:
        """Show the form again with the same sentence for every reason."""
        text: Bilingual = error.text if isinstance(error, LoginRefused) else TEXTS["too_many"]
        if isinstance(error, LoginRefused):
            await self.services.staff.audit.write_refusal(Actor(error.name, "", self.client_ip), Act.LOGIN_REFUSED)
        next_page = safe_next(self.get_body_argument("next", HOME))
        self.set_status(error.status)
        self.render_console("login.html", next_page=next_page, name=login.name, error=text.to(self.lang))

    async def _record(self, act: Act, name: str) -> None:
        member = await self.services.staff.members.get(name)
        role = member.role.value if member else ""
        await self.services.staff.audit.write(Actor(name, role, self.client_ip), act)


class EnterHandler(ConsoleHandler):
    """The link that the demo prints: it logs in once, as the administrator ``demo``. Other installations have no such
    link."""

    texts = TEXTS

    async def get(self) -> None:
        staff, settings = self.services.staff, self.services.settings
        digest = hashlib.sha256(self.get_query_argument("token", "").encode()).hexdigest()
        expected_digest = settings.console.demo_login_sha256
        if not expected_digest or not hmac.compare_digest(digest, expected_digest):
            raise Forbidden(TEXTS["link_refused"], code="LINK_REFUSED")
        if not await self.services.token_store.remember(f"login-link:{digest}", "1", LINK_LIFE_S):
            raise Forbidden(TEXTS["link_used"], code="LINK_USED")
        member = await staff.members.get(DEMO_USER)
        member = member or await staff.members.add(DEMO_USER, Role.ADMIN, secrets.token_urlsafe(24))
        self.give_session(
            await staff.sessions.begin(member, self.client_ip, self.request.headers.get("User-Agent", ""))
        )
        await self._record(member.name)
        self.redirect(HOME)

    async def _record(self, name: str) -> None:
        await self.services.staff.audit.write(Actor(name, Role.ADMIN, self.client_ip), Act.LOG_IN)


class LogoutHandler(ConsoleHandler):
    """End the session."""

    texts = TEXTS

    async def post(self) -> None:
        await self.services.staff.sessions.end(self.session.key)
        await self.audit(Act.LOG_OUT)
        self.take_session()
        self.put_flash(self.t("logged_out"))
        self.redirect(LOGIN)


class HomeHandler(ConsoleHandler):
    """Redirect to the first page that the person may see."""

    async def get(self) -> None:
        entries = entries_for(self.staff, self.services.settings.plugin_names)
        if entries:
            self.redirect(entries[0].path)
            return
        self.render_console("home.html")


class LanguageHandler(ConsoleHandler):
    """Store the reader's language in a cookie."""

    def post(self) -> None:
        chosen = self.get_body_argument("lang", "")
        if chosen in LANGUAGES:
            self.keep_language(chosen)
        self.redirect(safe_next(self.get_body_argument("next", HOME)))


def routes(services: Services) -> list[Route]:
    if not services.settings.console.enabled:
        return []
    return [
        Route(pattern="/console/login", handler=LoginHandler, access=Access.PUBLIC, name="console_login"),
        Route(pattern="/console/enter", handler=EnterHandler, access=Access.PUBLIC, name="console_enter"),
        Route(pattern="/console/language", handler=LanguageHandler, access=Access.PUBLIC, name="console_language"),
        *console_routes(
            services,
            Page("/console/logout", LogoutHandler, "console_logout", Permission.OWN_ACCOUNT),
            Page("/console/?", HomeHandler, "console_home", Permission.OWN_ACCOUNT),
        ),
    ]
