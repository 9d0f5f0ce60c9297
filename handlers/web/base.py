"""Base classes of handlers: access, errors, language, and the frame of pages.

A handler's verb has three steps: parse, call one use case, write. Everything else happens here.
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson
import structlog
from tornado.web import HTTPError, RequestHandler

from handlers.web.plugin import Access, methods
from handlers.web.query import refuse_unread
from handlers.web.scopes import KeyHolder, check_scope, configured_key, scope_of
from handlers.web.services import Services
from handlers.web.texts import preferred_language, texts
from handlers.web.views import remote_view
from wechat.domain.errors import (
    BadRequest,
    Bilingual,
    CallerError,
    FenpayError,
    NotifyError,
    NotSent,
    OutcomeUnknown,
    RemoteError,
    StoreUnavailable,
    TooMany,
    Unauthorized,
)
from wechat.support.requests import json_object

PAGE = 20
MAX_PAGE = 100
SESSION = "fenpay_session"
COOKIE_VERSION = 2
"""The minimum version of Tornado's signed cookies: version 1 has no key versions, and reading it would fail."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
NOWHERE = " 'none'"
HTTP_TEXTS = {
    400: Bilingual("请求不正确", "The request is not valid"),
    403: Bilingual("没有权限；请刷新页面后重试", "This is not allowed; reload the page and try again"),
    404: Bilingual("页面不存在", "This page does not exist"),
    405: Bilingual("这个地址不支持该方法", "This address does not take this method"),
}
NOT_INDEXED = Bilingual(
    "数据库缺少索引，暂时不能下单；运维请运行 manage.py indexes",
    "The database lacks indexes, so no order can be placed; the operator has to run manage.py indexes",
)
HTTP_CODES = {400: "BAD_REQUEST", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}

V = TypeVar("V")

log = structlog.get_logger("handlers")
_PORT = re.compile(r":[0-9]*$", re.ASCII)


def takes_query(*names: str) -> Callable[[V], V]:
    """Declare the query arguments of a handler's method; any other is refused."""

    def declare(method: V) -> V:
        method.query_names = names  # type: ignore[attr-defined] # functions take attributes, mypy knows of none
        return method

    return declare


class BaseHandler(RequestHandler):
    """Access and errors. ``merchant`` is the name of the API key, empty without one, and ``key`` the key itself."""

    services: Services
    access: Access
    key: KeyHolder | None = None

    def initialize(self, services: Services, access: Access) -> None:
        self.services = services
        self.access = access
        self.request_id = secrets.token_hex(8)
        self.merchant = ""
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        services.in_flight.enter()

    def on_finish(self) -> None:
        self.services.in_flight.leave()

    def compute_etag(self) -> None:
        """Return no ETag: no answer of this service may be cached, so none needs a digest."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)

    async def prepare(self) -> None:
        """Require what the route's access level demands, then apply rate limits and check the query. Raises
        Unauthorized, Forbidden, OperatorRefused, TooMany, BadRequest; StoreUnavailable for a POST while the database
        lacks indexes."""
        self._mark()
        if self.access is Access.MERCHANT:
            self.merchant = await self.admit_merchant()
        elif self.access is Access.PAYER and not self.payer:
            self.refuse_anonymous()
        elif self.access is Access.STAFF:
            await self.admit_staff()
        elif self.access is Access.OPERATOR:
            await self._admit_operator()
        if self._finished:
            return
        self._limit_callers()
        self.check_query()
        if self.request.method == "POST" and self.access is not Access.PUBLIC and self.services.unindexed():
            raise StoreUnavailable(NOT_INDEXED, code="NOT_INDEXED")

    async def admit_staff(self) -> None:
        """Raise Unauthorized; only the console's handlers know people."""
        raise Unauthorized

    async def _admit_operator(self) -> None:
        """Check the signature of the operator's command line. Raises OperatorRefused."""
        header, target = self.request.headers.get("Authorization", ""), self.request.uri or ""
        await self.services.staff.operator.check(header, self.request.method or "", target, self.request.body)

    def _limit_callers(self) -> None:
        """Limit writes per payer, and per address the requests that cause calls to WeChat, with or without a proxy in
        front.

        WeChat's notifications have no limit: they all come from a few addresses. Raises TooMany.
        """
        asks_wechat = self.access is Access.PUBLIC and self.request.path.startswith(("/oauth/", "/jssdk/"))
        acts = self.access is Access.PAYER and bool(self.payer) and self.request.method == "POST"
        if (acts or asks_wechat) and not self.services.callers.take(self.payer if acts else self.client_ip):
            raise TooMany

    def check_query(self) -> None:
        """Refuse a query argument that would be ignored: one that is misspelt, or given twice. Raises BadRequest."""
        names: tuple[str, ...] = getattr(getattr(self, (self.request.method or "").lower()), "query_names", ())
        refuse_unread(self.request.query_arguments, names)

    def _mark(self) -> None:
        """Set the headers that every answer carries, also after an error, for which Tornado clears the headers."""
        self.set_header("X-Request-Id", self.request_id)
        if self.services.in_flight.draining:
            self.set_header("Connection", "close")

    def refuse_anonymous(self) -> None:
        """Refuse a payer's route without a session: raise Unauthorized; pages redirect instead."""
        raise Unauthorized

    def check_xsrf_cookie(self) -> None:
        """Require the same origin and the XSRF token for a write on a PUBLIC or PAYER route that carries a payer's
        session. Raises HTTPError 403.

        Other requests need neither: a browser sends API keys and WeChat's signatures by no means of its own, there is
        nothing to abuse without a session, and a method that the handler does not implement gets its 405.
        """
        if self.access in (Access.PUBLIC, Access.PAYER) and self.payer and self.request.method in methods(type(self)):
            self.must_be_same_origin()
            super().check_xsrf_cookie()

    def must_be_same_origin(self) -> None:
        """Raise HTTPError 403 if the Sec-Fetch-Site header names another site or origin: a sibling domain can set an
        XSRF cookie of its own, and its forms carry the session's cookie."""
        if self.request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise HTTPError(403)

    @property
    def lang(self) -> str:
        return preferred_language(self.request.headers.get("Accept-Language", ""))

    @property
    def client_ip(self) -> str:
        """The caller's address: X-Real-IP if a trusted proxy sent it, otherwise the connection's peer."""
        peer = _address(self.request.remote_ip or "")
        real_ip = self.request.headers.get("X-Real-IP", "")
        if real_ip and peer in self.services.settings.http.trusted_proxies:
            peer = _address(real_ip) or peer
        return peer or "127.0.0.1"

    def json_body(self) -> dict[str, Any]:
        """The body as a JSON object. Raises BadRequest."""
        return json_object(self.request.body)

    def start_session(self, openid: str) -> None:
        """Set a signed session cookie for ``openid``, in place of any earlier one."""
        settings = self.services.settings
        started_at = int(self.services.clock.now().timestamp())
        value = json.dumps({"openid": openid, "appid": settings.account.appid, "at": started_at})
        self.set_signed_cookie(
            SESSION,
            value,
            expires_days=settings.session.days,
            httponly=True,
            samesite="Lax",
            secure=settings.http.origin.startswith("https:"),
        )

    @cached_property
    def payer(self) -> str:
        """The openid of a valid session of this account; empty without one. Only the signed cookie counts."""
        settings = self.services.settings
        raw = self.get_signed_cookie(SESSION, max_age_days=settings.session.days, min_version=COOKIE_VERSION)
        if not raw:
            return ""
        session = json.loads(raw)
        valid_from = settings.session.valid_from
        revoked = valid_from is not None and session.get("at", 0) < valid_from.timestamp()
        return str(session["openid"]) if session.get("appid") == settings.account.appid and not revoked else ""

    async def admit_merchant(self) -> str:
        """Return the name of the API key in the Authorization header. Raises Unauthorized, or Forbidden if a scope is
        missing."""
        scheme, _, key = self.request.headers.get("Authorization", "").partition(" ")
        secret = key if scheme.lower() == "bearer" else ""
        holder = configured_key(self.services.settings.merchants, secret)
        self.key = holder or await self.services.staff.api_keys.find(secret, self.client_ip)
        return check_scope(self.key, scope_of(self.request.method or "", self.request.path))

    # -- errors ---------------------------------------------------------------------------------------------------

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write every error in one shape; the text of an exception is shown only if it is one of Fenpay's."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        status, body = self.error_body(status_code, error)
        self._mark()
        self.set_status(status)
        if status in (429, 503):
            self.set_header("Retry-After", "1")
        if status == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        self.show_error(status, body)

    def show_error(self, status: int, body: Mapping[str, Any]) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(orjson.dumps(body))

    def error_body(self, status_code: int, error: BaseException | None) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and ``{"code", "message", "request_id"}`` for ``error``."""
        if not isinstance(error, FenpayError):
            text = HTTP_TEXTS.get(status_code, FenpayError.text)
            return status_code, self._error(HTTP_CODES.get(status_code, "ERROR"), text)
        body = self._error(error.public_code, error.text)
        if isinstance(error, CallerError) and error.field:
            body["field"] = error.field
        if isinstance(error, RemoteError) and self.access is Access.MERCHANT:
            body["wechat"] = remote_view(error, self.lang)
        return _status(error), body

    def _error(self, code: str, text: Bilingual) -> dict[str, Any]:
        return {"code": code, "message": text.to(self.lang), "request_id": self.request_id}

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log FenpayError in one line, and any other exception, which is a defect, with its traceback; errors of
        callers are not logged."""
        if isinstance(value, HTTPError | CallerError | NotifyError):
            return
        if isinstance(value, FenpayError):
            log.warning("request_failed", path=self.request.path, error=str(value))
        else:
            log.error("request_crashed", path=self.request.path, exc_info=(typ, value, tb))


class ApiHandler(BaseHandler):
    """A handler that reads and writes JSON."""

    def write_json(self, data: Mapping[str, Any]) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.write(orjson.dumps(data))

    def page_limit(self) -> int:
        """Return the requested number of entries of a listing. Raises BadRequest."""
        value = self.get_query_argument("limit", str(PAGE))
        if not re.fullmatch(r"[1-9][0-9]{0,2}", value, re.ASCII) or int(value) > MAX_PAGE:
            raise BadRequest(Bilingual(f"limit 为 1 到 {MAX_PAGE}", f"limit is 1 to {MAX_PAGE}"), field="limit")
        return int(value)


class PageHandler(BaseHandler):
    """A handler of HTML pages, served from the one public address only: cookies and WeChat's checks depend on it."""

    async def prepare(self) -> None:
        if self._is_elsewhere():
            self.redirect(self.services.settings.http.public_base_url + self.request_target())
            return
        await super().prepare()

    def _is_elsewhere(self) -> bool:
        """Whether the browser requested another host. Ports are ignored: a proxy may drop or add one, and a redirect
        for that would never end."""
        public = urlsplit(self.services.settings.http.public_base_url)
        return _PORT.sub("", self.request.host.lower()) != _PORT.sub("", public.netloc)

    def check_query(self) -> None:
        """Accept any argument: links to pages carry those of others, such as WeChat's ``from`` and
        ``isappinstalled``."""

    def request_target(self) -> str:
        """Return path and query; ``/`` if the request line holds anything else, such as ``@another.example`` or a whole
        URL."""
        uri = self.request.uri or "/"
        return uri if uri.startswith("/") else "/"

    def refuse_anonymous(self) -> None:
        self.redirect(f"/oauth/authorize?next={self.request.path}")

    def render_page(self, template: str, **context: Any) -> None:
        """Render ``template`` in the reader's language, with a Content-Security-Policy that allows no foreign
        content."""
        settings = self.services.settings
        self.set_header("Content-Security-Policy", _content_policy(settings.account.js_url, settings.simulator_url))
        self.set_header("Vary", "Accept-Language, Cookie")
        self.render(
            template,
            t=texts(self.lang),
            lang=self.lang,
            simulated=settings.simulated,
            simulator_url=settings.simulator_url,
            console=settings.console.enabled,
            in_memory=settings.in_memory,
            shop_name=settings.shop.name_en if self.lang == "en" else settings.shop.name,
            js_url=settings.account.js_url,
            **context,
        )

    def show_error(self, status: int, body: Mapping[str, Any]) -> None:
        self.render_page("error.html", status=status, **body)


class NotFoundHandler(PageHandler):
    """Answer 404 where no route matches: a page if the client accepts HTML, otherwise JSON."""

    async def prepare(self) -> None:
        raise HTTPError(404)

    def check_xsrf_cookie(self) -> None:
        """Require nothing: the answer is 404."""

    def show_error(self, status: int, body: Mapping[str, Any]) -> None:
        if "text/html" in self.request.headers.get("Accept", ""):
            super().show_error(status, body)
        else:
            BaseHandler.show_error(self, status, body)


def _status(error: FenpayError) -> int:
    if isinstance(error, CallerError | NotifyError):
        return error.status
    if isinstance(error, StoreUnavailable | NotSent | OutcomeUnknown):
        return 503
    return 502 if isinstance(error, RemoteError) else 500


@lru_cache(maxsize=1024)
def _address(text: str) -> str:
    """Return an IP address in its plain form, with IPv4-mapped IPv6 unwrapped; empty for anything else."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _content_policy(js_url: str, simulator_url: str | None) -> str:
    parts = urlsplit(js_url)
    simulator = f" {simulator_url}" if simulator_url else ""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {parts.scheme}://{parts.netloc}",
            "style-src 'self'",
            "img-src 'self' data:",
            f"connect-src 'self'{simulator}",
            f"frame-src{simulator or NOWHERE}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
