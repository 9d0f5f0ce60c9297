"""Base class of the console's pages: the person's session, permissions, step-up, the page frame and the audit log.

A page module has ``routes(services)``, a template ``templates/console/NAME.html`` that extends ``console/base.html``,
and its texts in ``handlers/console/texts/NAME.py``, which its handlers name as ``texts``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, ClassVar
from urllib.parse import quote

from tornado.web import RequestHandler

from handlers.console.navigation import menu_for
from handlers.console.texts.common import TEXTS
from handlers.web.base import COOKIE_VERSION, PageHandler
from handlers.web.plugin import Access, methods
from handlers.web.services import Services
from handlers.web.texts import preferred_language
from wechat.domain.audit import Act
from wechat.domain.errors import Bilingual, CallerError, Forbidden, RemoteError, Unauthorized
from wechat.domain.labels import ROLES
from wechat.domain.staff import Permission, StaffMember, StaffSession
from wechat.staff.audit import Actor
from wechat.staff.sessions import LoginRefused, Visit

COOKIE = "fenpay_staff"
SECURE = "__Secure-"
"""Prefix of the cookie's name on https: a page of a sibling domain that is reached by http cannot set such a cookie.
``__Host-`` would require the path /, and the shop's pages would then receive the cookie too."""
FLASH = "fenpay_flash"
LANGUAGE = "fenpay_lang"
LANGUAGES = ("zh", "en")
HOME = "/console"
LOGIN = "/console/login"
SET_UP_TOTP = "/console/account/totp"
LANGUAGE_DAYS = 365
SAFE_NEXT = re.compile(
    r"/console(/(?:[0-9A-Za-z_\-|*@]|%(?!2[EeFf])[0-9A-Fa-f]{2})+)*/?(\?[0-9A-Za-z_\-|*@.~%=&:+,]*)?", re.ASCII
)
"""Addresses that a login may redirect to: those of the console only. Dots, plain or encoded, cannot leave it."""
MOST_OF_PATH = 200
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
CONSOLE_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie",
}
NO_PERMISSION = Bilingual(
    "你的角色没有这项权限；如需要，请管理员调整角色",
    "Your role does not allow this; ask an administrator if you need it",
)


class StepUpRefused(Forbidden):
    """Refuse to move money until the person has proved once more who they are."""

    code = "STEP_UP_REFUSED"
    text = Bilingual(
        "请再次输入密码或动态验证码：为空或不正确，操作未执行",
        "Enter your password or a code again: it is missing or wrong, and nothing was done",
    )


class ConsoleHandler(PageHandler):
    """A page of the console. ``texts``: its sentences beside the common ones; ``visit``: the person and the session."""

    texts: ClassVar[Mapping[str, Bilingual]] = {}
    visit: Visit | None = None
    searched: Mapping[str, str] = {}
    """The filters of the list of orders that this page shows, for the search field in the header to keep."""
    acts_to_confirm = 0
    """The number of acts that this person can confirm; the menu shows it."""

    def initialize(self, services: Services, access: Access, permission: Permission | None = None) -> None:
        super().initialize(services, access)
        self.permission = permission

    def set_default_headers(self) -> None:
        super().set_default_headers()
        for name, value in CONSOLE_HEADERS.items():
            self.set_header(name, value)

    async def admit_staff(self) -> None:
        """Admit a person whose role has the route's permission; redirect anybody else to the login page.

        Raises Forbidden without the permission, and notes that in the audit log.
        """
        self.visit = await self.find_visit()
        if self.visit is None:
            self.ask_to_log_in()
        elif self.permission is None or not self.staff.may(self.permission):
            what = f"{self.request.method} {self.request.path[:MOST_OF_PATH]}"
            await self.services.staff.audit.write_refusal(self.actor, Act.DENIED, what)
            raise Forbidden(NO_PERMISSION)
        elif self.must_set_up_totp and self.permission is not Permission.OWN_ACCOUNT:
            self.redirect(SET_UP_TOTP)
        elif self.request.method == "GET" and not self.is_partial and self.staff.may(Permission.REFUND):
            self.acts_to_confirm = await self.services.staff.approvals.count_for(self.staff)

    @property
    def must_set_up_totp(self) -> bool:
        """Whether the person's role has to use a code generator and has none yet: only the own account is open."""
        return self.staff.role in self.services.settings.console.totp_required and not self.staff.totp_secret

    async def find_visit(self) -> Visit | None:
        """Return the person and the session of the cookie; None without a valid session."""
        session_id = self.get_cookie(self.cookie_name)
        return await self.services.staff.sessions.find(session_id) if session_id else None

    def check_xsrf_cookie(self) -> None:
        """Require the same origin and the XSRF token for every write, the login included."""
        if self.request.method in methods(type(self)):
            self.must_be_same_origin()
            RequestHandler.check_xsrf_cookie(self)

    @property
    def staff(self) -> StaffMember:
        """The person who is logged in."""
        if self.visit is None:
            raise Unauthorized  # the route is not one with Access.STAFF
        return self.visit.member

    @property
    def session(self) -> StaffSession:
        if self.visit is None:
            raise Unauthorized  # as above
        return self.visit.session

    @property
    def actor(self) -> Actor:
        return Actor(self.staff.name, self.staff.role.value, self.client_ip)

    @property
    def lang(self) -> str:
        """The language that the person chose, or else the browser's preferred one."""
        chosen = self.get_cookie(LANGUAGE)
        return chosen if chosen in LANGUAGES else preferred_language(self.request.headers.get("Accept-Language", ""))

    @property
    def has_stepped_up(self) -> bool:
        """Whether the person proved within the last minutes who they are, so that forms do not ask again."""
        return self.visit is not None and self.services.staff.sessions.has_stepped_up(self.visit)

    async def require_step_up(self) -> None:
        """Require a proof of who the person is before money moves: the form's field ``step_up`` (the password, or a
        code), unless they gave a proof within the last minutes. The session gets a new id.

        The form includes ``components/step_up.html``. Raises StepUpRefused, TooMany.
        """
        if self.visit is None or self.has_stepped_up:
            return
        sessions = self.services.staff.sessions
        try:
            session_id = await sessions.step_up(self.visit, self.get_body_argument("step_up", "", strip=False))
        except LoginRefused:
            await self.services.staff.audit.write_refusal(self.actor, Act.STEP_UP_REFUSED)
            raise StepUpRefused(field="step_up") from None
        self.give_session(session_id)
        self.visit = await sessions.find(session_id)
        await self.audit(Act.STEP_UP)

    def name_errors(self, error: CallerError, fields: Collection[str]) -> dict[str, str]:
        """Set the error's status, and return its text by the name of the field that it belongs to; by ``form`` for a
        field that the form does not have."""
        self.set_status(error.status)
        field = error.field if error.field and error.field in fields else "form"
        return {field: error.text.to(self.lang)}

    async def audit(self, act: Act, subject: str = "", before: str = "", after: str = "") -> None:
        """Note what the person did, without secrets. Raises StoreUnavailable."""
        await self.services.staff.audit.write(self.actor, act, subject, before, after)

    def audit_act(
        self, act: Act, subject: str, before: str = "", wanted: str = ""
    ) -> AbstractAsyncContextManager[list[str]]:
        """Run the body between two entries of the audit log; see ``AuditLog.record_act``."""
        return self.services.staff.audit.record_act(self.actor, act, subject, before, wanted)

    def t(self, key: str, /, **values: object) -> str:
        """Return a sentence in the reader's language, with ``values`` in its placeholders."""
        text = (self.texts.get(key) or TEXTS[key]).to(self.lang)
        return text.format(**values) if values else text

    def render_console(self, template: str, **context: Any) -> None:
        """Render ``templates/console/TEMPLATE`` in the page frame."""
        settings = self.services.settings
        member = self.visit.member if self.visit else None
        self.render(
            f"console/{template}",
            t=self.t,
            lang=self.lang,
            staff=member,
            role_name=ROLES[member.role].to(self.lang) if member else "",
            may=lambda permission: member is not None and member.may(Permission(permission)),
            menu=menu_for(member, settings.plugin_names) if member else [],
            acts_to_confirm=self.acts_to_confirm,
            path=self.request.path,
            here=self.request_target() if self.request.method == "GET" else HOME,
            flash=self.take_flash(),
            stepped_up=self.has_stepped_up,
            step_up_id="step_up",
            step_up_error="",
            simulated=settings.simulated,
            simulator_url=settings.simulator_url,
            searched=self.searched,
            in_memory=settings.in_memory,
            shop_name=settings.shop.name_en if self.lang == "en" else settings.shop.name,
            **context,
        )

    def show_error(self, status: int, body: Mapping[str, Any]) -> None:
        """Render the error page, with a link back to the form that asked for the step-up, or to the console's start
        page."""
        back = safe_next(self.get_body_argument("step_up_from", HOME))
        self.render_console("error.html", status=status, back=back, **body)

    # -- the cookies ----------------------------------------------------------------------------------------------

    def give_session(self, session_id: str) -> None:
        """Set the browser's session cookie to the session's id, in place of any earlier one."""
        self.set_cookie(
            self.cookie_name,
            session_id,
            path=HOME,
            httponly=True,
            samesite="Strict",
            secure=self.is_https,
            expires_days=None,
        )

    def take_session(self) -> None:
        self.clear_cookie(self.cookie_name, path=HOME, samesite="Strict", secure=self.is_https)

    @property
    def cookie_name(self) -> str:
        """The name of the session's cookie."""
        return SECURE + COOKIE if self.is_https else COOKIE

    @property
    def is_https(self) -> bool:
        return self.services.settings.http.origin.startswith("https:")

    def keep_language(self, lang: str) -> None:
        """Store the reader's choice of the language."""
        self.set_cookie(LANGUAGE, lang, path=HOME, samesite="Lax", expires_days=LANGUAGE_DAYS)

    def put_flash(self, text: str, kind: str = "done") -> None:
        """Store ``text`` for the next page to show; ``kind`` is done or error."""
        value = json.dumps({"text": text, "kind": kind})
        self.set_signed_cookie(
            FLASH, value, path=HOME, httponly=True, samesite="Strict", secure=self.is_https, expires_days=None
        )

    def take_flash(self) -> Mapping[str, str] | None:
        """Return and clear the message that the previous page left: ``text`` and ``kind``; None without one."""
        raw = self.get_signed_cookie(FLASH, min_version=COOKIE_VERSION)
        if not raw:
            return None
        self.clear_cookie(FLASH, path=HOME)
        flash: Mapping[str, str] = json.loads(raw)
        return flash

    @contextmanager
    def tell_refusal(self) -> Iterator[None]:
        """Store an error message for the next page if the block raises CallerError or RemoteError, and suppress the
        error."""
        try:
            yield
        except (CallerError, RemoteError) as error:
            self.put_flash(error.text.to(self.lang), "error")

    # -- redirects ------------------------------------------------------------------------------------------------

    def ask_to_log_in(self) -> None:
        """Redirect to the login page, which leads back to this address; for a part of a page, redirect the whole
        browser."""
        if self.request.headers.get("HX-Request"):
            self.set_header("HX-Redirect", LOGIN)
            self.set_status(401)
            self.finish()
            return
        here = self.request_target() if self.request.method == "GET" else HOME
        self.redirect(f"{LOGIN}?next={quote(safe_next(here), safe='')}")

    @property
    def is_partial(self) -> bool:
        """Whether htmx requests a part of a page."""
        return "HX-Request" in self.request.headers and "HX-Boosted" not in self.request.headers


def safe_next(target: str) -> str:
    """Return ``target`` if it is an address of the console, otherwise the console's start page."""
    return target if SAFE_NEXT.fullmatch(target) else HOME
