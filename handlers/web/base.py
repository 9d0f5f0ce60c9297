"""Base classes of handlers: access, errors, language, and the frame of pages.

A handler's verb has three steps: parse, call one use case, write. Everything else happens here.
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson
import structlog
from tornado.web import HTTPError, RequestHandler

from handlers.web.plugin import Access, methods
from handlers.web.query import refuse_unread
from handlers.web.scopes import check_scope, configured_key, scope_of
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
"""Of Tornado's format: the first one knows no versions of secrets, and reading it would fail."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
NOWHERE = " 'none'"
HTTP_TEXTS = {
    400: Bilingual("请求不正确", "The request is not valid"),
    403: Bilingual("没有权限；请刷新页面后重试", "This is not allowed; reload the page and try again"),
    404: Bilingual("没有这个地址", "There is nothing at this address"),
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
    """Access and errors. ``merchant`` is the name of the API key; empty without one."""

    services: Services
    access: Access

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
        """No answer of ours may be kept by anybody, so none is worth a digest."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)

    async def prepare(self) -> None:
        """Let in whom the route's access level allows. Raises Unauthorized."""
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
        """Let in a person of the console; only the console's handlers know any. Raises Unauthorized."""
        raise Unauthorized

    async def _admit_operator(self) -> None:
        """Raises OperatorRefused."""
        header, target = self.request.headers.get("Authorization", ""), self.request.uri or ""
        await self.services.staff.operator.check(header, self.request.method or "", target, self.request.body)

    def _limit_callers(self) -> None:
        """Bound what a payer changes and what an address has asked of WeChat, whatever stands in front of us.

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
        """What every answer carries, errors too, for which Tornado clears the headers."""
        self.set_header("X-Request-Id", self.request_id)
        if self.services.in_flight.draining:
            self.set_header("Connection", "close")

    def refuse_anonymous(self) -> None:
        """What a payer's route does without a session; pages redirect instead."""
        raise Unauthorized

    def check_xsrf_cookie(self) -> None:
        """Only a browser's session can be abused across sites; API keys and WeChat's signatures are not sent by it.

        Without a session there is nothing to abuse, and a method that is not there does nothing: both get their own
        answer instead.
        """
        if self.access in (Access.PUBLIC, Access.PAYER) and self.payer and self.request.method in methods(type(self)):
            self.must_be_same_origin()
            super().check_xsrf_cookie()

    def must_be_same_origin(self) -> None:
        """Raise HTTPError for a write of another site, where the browser says of which it is: a sibling domain can
        plant a token of its own, and its forms are sent the session's cookie."""
        if self.request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise HTTPError(403)

    @property
    def lang(self) -> str:
        return preferred_language(self.request.headers.get("Accept-Language", ""))

    @property
    def client_ip(self) -> str:
        """The caller's address: X-Real-IP where a trusted proxy says it, the connection's otherwise."""
        peer = _address(self.request.remote_ip or "")
        real_ip = self.request.headers.get("X-Real-IP", "")
        if real_ip and peer in self.services.settings.http.trusted_proxies:
            peer = _address(real_ip) or peer
        return peer or "127.0.0.1"

    def json_body(self) -> dict[str, Any]:
        """The body as a JSON object. Raises BadRequest."""
        return json_object(self.request.body)

    def start_session(self, openid: str) -> None:
        """Give the browser a signed cookie for ``openid``, in place of any it had."""
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
        """The openid of a valid session of this account, empty without one; only the signed cookie counts."""
        settings = self.services.settings
        raw = self.get_signed_cookie(SESSION, max_age_days=settings.session.days, min_version=COOKIE_VERSION)
        if not raw:
            return ""
        session = json.loads(raw)
        valid_from = settings.session.valid_from
        revoked = valid_from is not None and session.get("at", 0) < valid_from.timestamp()
        return str(session["openid"]) if session.get("appid") == settings.account.appid and not revoked else ""

    async def admit_merchant(self) -> str:
        """Whose API key the Authorization header carries. Raises Unauthorized, or Forbidden for want of a scope."""
        scheme, _, key = self.request.headers.get("Authorization", "").partition(" ")
        secret = key if scheme.lower() == "bearer" else ""
        holder = configured_key(self.services.settings.merchants, secret)
        holder = holder or await self.services.staff.api_keys.find(secret, self.client_ip)
        return check_scope(holder, scope_of(self.request.method or "", self.request.path))

    # -- errors ---------------------------------------------------------------------------------------------------

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """One shape for every error; what an exception says is shown only if it is ours."""
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
        """HTTP status and ``{"code", "message", "request_id"}`` for ``error``."""
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
        """Ours are expected and told in a line; anything else is a defect and comes with its traceback."""
        if isinstance(value, HTTPError | CallerError | NotifyError):
            return
        if isinstance(value, FenpayError):
            log.warning("request_failed", path=self.request.path, error=str(value))
        else:
            log.error("request_crashed", path=self.request.path, exc_info=(typ, value, tb))


class ApiHandler(BaseHandler):
    """JSON in, JSON out."""

    def write_json(self, data: Mapping[str, Any]) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.write(orjson.dumps(data))

    def page_limit(self) -> int:
        """How many entries of a listing are wanted. Raises BadRequest."""
        value = self.get_query_argument("limit", str(PAGE))
        if not re.fullmatch(r"[1-9][0-9]{0,2}", value, re.ASCII) or int(value) > MAX_PAGE:
            raise BadRequest(Bilingual(f"limit 为 1 到 {MAX_PAGE}", f"limit is 1 to {MAX_PAGE}"), field="limit")
        return int(value)


class PageHandler(BaseHandler):
    """HTML. A page is served from its one public address, because cookies and WeChat's checks hang on it."""

    async def prepare(self) -> None:
        if self._is_elsewhere():
            self.redirect(self.services.settings.http.public_base_url + self.request_target())
            return
        await super().prepare()

    def _is_elsewhere(self) -> bool:
        """Whether the browser asked another host. A proxy may leave a port out, or add its own: to redirect for that
        would lead here again, without end."""
        public = urlsplit(self.services.settings.http.public_base_url)
        return _PORT.sub("", self.request.host.lower()) != _PORT.sub("", public.netloc)

    def check_query(self) -> None:
        """Links to pages carry what others have added: WeChat's ``from`` and ``isappinstalled``, and campaigns."""

    def request_target(self) -> str:
        """Path and query. The request line may hold anything, ``@another.example`` and whole addresses too."""
        uri = self.request.uri or "/"
        return uri if uri.startswith("/") else "/"

    def refuse_anonymous(self) -> None:
        self.redirect(f"/oauth/authorize?next={self.request.path}")

    def render_page(self, template: str, **context: Any) -> None:
        """Render ``template`` in the reader's language under a policy that lets nothing foreign in."""
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
    """404 for whatever no route takes: a page for whoever reads one, JSON for the rest."""

    async def prepare(self) -> None:
        raise HTTPError(404)

    def check_xsrf_cookie(self) -> None:
        """A 404 needs no proof."""

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


def _address(text: str) -> str:
    """An IP address in its plain form, v4-in-v6 unwrapped; empty for anything else."""
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
