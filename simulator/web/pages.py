"""Base classes of handlers of the simulator's own pages and control calls: JSON in and out, a strict content policy,
cookies."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from simulator.state.pki import User
from simulator.web.base import Handler
from simulator.web.bodies import read_json_object
from simulator.web.texts import translator
from wechat.domain.errors import Bilingual
from wechat.domain.money import yuan

COOKIE = "wxsim_user"
LANGUAGE_COOKIE = "wxsim_lang"
LANGUAGES = ("zh", "en")
MOST = 100_000


class ControlError(Exception):
    """A control call failed: 4xx with a sentence, in both languages if a page's form can cause it."""

    def __init__(self, message: str | Bilingual, status: int = 400) -> None:
        super().__init__(message)
        self.message = message if isinstance(message, Bilingual) else Bilingual(message, message)
        self.status = status


def choose_language(handler: Handler, default: str) -> str:
    """Return the chosen language, otherwise the browser's, otherwise ``default``."""
    wanted = [handler.get_query_argument("lang", ""), handler.get_cookie(LANGUAGE_COOKIE, "") or ""]
    wanted += [part.strip()[:2] for part in handler.request.headers.get("Accept-Language", "").lower().split(",")]
    return next((lang for lang in wanted if lang in LANGUAGES), default)


class ControlHandler(Handler):
    """JSON; the Content-Type must say so, which refuses forms of other sites."""

    def body(self) -> dict[str, Any]:
        """Return the JSON object of the request; an empty body is an empty object. Raises ControlError."""
        if not self.request.body:
            return {}
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            raise ControlError("Content-Type must be application/json", 415)
        return json_object(self.request.body)

    def tell(self, data: Any) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps(data, ensure_ascii=False, indent=1))

    def limit(self) -> int:
        """Return the requested number of entries of a listing. Raises ControlError."""
        text = self.get_query_argument("limit", "50")
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST:
            raise ControlError(f"limit is 1 to {MOST}")
        return int(text)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = "not found" if status_code == 404 else "the simulator could not do this"
        if isinstance(error, ControlError):
            self.set_status(error.status)
            message = error.message.to(choose_language(self, "en"))
        self.tell({"code": "SIMULATOR_ERROR", "message": message})

    def user(self, user_id: Any) -> User:
        """Return the user. Raises ControlError for an unknown one."""
        found = self.simulator.identity.user(str(user_id))
        if found is None:
            users = ", ".join(user.id for user in self.simulator.identity.users)
            raise ControlError(f"no such user; there are: {users}")
        return found

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, ControlError):
            super().log_exception(typ, value, tb)


class PageHandler(Handler):
    """A page of the simulator. The picked user and the chosen language are kept in cookies."""

    def prepare(self) -> None:
        super().prepare()
        chosen = self.get_query_argument("lang", "")
        if chosen in LANGUAGES:
            self.set_cookie(LANGUAGE_COOKIE, chosen, path="/", httponly=True, samesite="Lax", expires_days=365)

    @property
    def lang(self) -> str:
        return choose_language(self, "zh")

    def show(self, template: str, **values: Any) -> None:
        """Render ``template`` in the reader's language."""
        lang = self.lang
        self.render(
            template,
            t=translator(lang),
            lang=lang,
            yuan=lambda total: f"¥{yuan(total)}",
            shop=self._shop,
            **values,
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Render an error page with a link back."""
        self.policy()
        self.show("missing.html", status=status_code)

    @property
    def _shop(self) -> str:
        """The address of the merchant's pages, according to its payment directories; empty without any."""
        directories = self.simulator.console.settings.pay_directories
        return f"{origin_of(directories[0])}/" if directories else ""

    def find_user(self) -> User | None:
        """Return the picked user; None without one."""
        return self.simulator.identity.user(self.get_cookie(COOKIE, "") or "")

    def pick(self, user: User) -> None:
        self.set_cookie(COOKIE, user.id, path="/", httponly=True, samesite="Lax", expires_days=30)

    def policy(self, *, ancestors: str = "'none'", actions: str = "'self'") -> None:
        """Return the Content-Security-Policy: nothing inline or foreign; which pages may frame the page, and where its
        forms may lead."""
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'self'; base-uri 'none'; frame-ancestors {ancestors}; form-action {actions}",
        )
        self.set_header("Referrer-Policy", "no-referrer")


def json_object(raw: bytes) -> dict[str, Any]:
    """Parse ``raw``. Raises ControlError unless it is a JSON object."""
    data = read_json_object(raw)
    if data is None:
        raise ControlError("a JSON object is expected")
    return data


def origin_of(url: str) -> str:
    """Return the origin of an address, such as ``http://127.0.0.1:8888``; ``'none'``, as a policy writes it, for any
    other text."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "'none'"
    safe = parts.scheme in ("http", "https") and parts.hostname and not set(parts.netloc) & set(" ;,'\"<>@")
    return f"{parts.scheme}://{parts.netloc}" if safe else "'none'"
