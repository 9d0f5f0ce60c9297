"""Web-page OAuth: send the browser to WeChat with a state, exchange the code that it brings back, start a session."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass

from handlers.web.base import COOKIE_VERSION, PageHandler
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from wechat.account.oauth import SPENT_CODE
from wechat.domain.errors import AccountRefused, BadRequest, Bilingual, Forbidden

COOKIE = "fenpay_oauth"
STATE_LIFE_S = 600
RESTARTS = 1
CALLBACK = "/oauth/callback"

DENIED = "authdeny"
"""WeChat's value of ``code`` after the payer has declined."""

_STATE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CODE = re.compile(r"[0-9A-Za-z_-]{1,256}", re.ASCII)
_NEXT = re.compile(r"/[0-9A-Za-z_\-|*/]*(\?[0-9A-Za-z_\-=&]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class OAuthState:
    """An authorization, stored in a signed cookie: only the browser that started it can finish it."""

    state: str
    next: str
    restarts: int


class AuthorizeHandler(PageHandler):
    """Redirect the browser to WeChat's authorization page."""

    def get(self) -> None:
        start_authorization(self, safe_next(self.get_query_argument("next", "/")))


class CallbackHandler(PageHandler):
    """Exchange the code that WeChat's redirect carries and start a session. WeChat may open this address twice; both
    requests succeed."""

    async def get(self) -> None:
        started, code = self._read_state(), self._read_code()
        await self._spend(started.state, code)
        try:
            openid = await self.services.oauth.openid(code, started.state)
        except AccountRefused as error:
            if error.errcode not in SPENT_CODE or started.restarts >= RESTARTS:
                raise
            start_authorization(self, started.next, restarts=started.restarts + 1)
            return
        self.start_session(openid)
        self.redirect(started.next)

    def _read_code(self) -> str:
        """Return the code. Raises Forbidden."""
        code = self.get_query_argument("code", "")
        if not _CODE.fullmatch(code) or code == DENIED:
            raise Forbidden(
                Bilingual("未授权登录，无法付款", "You did not authorise, so you cannot pay"), code="NOT_AUTHORIZED"
            )
        return code

    def _read_state(self) -> OAuthState:
        """Return the authorization that this browser started, if the address has the same state. Raises Forbidden."""
        raw = self.get_signed_cookie(COOKIE, max_age_days=STATE_LIFE_S / 86400, min_version=COOKIE_VERSION)
        state = self.get_query_argument("state", "")
        started = OAuthState(**json.loads(raw)) if raw else None
        if started is None or not _STATE.fullmatch(state) or not secrets.compare_digest(started.state, state):
            raise _not_ours()
        return started

    async def _spend(self, state: str, code: str) -> None:
        """Mark the state as used. A state serves one code; the same code again means that WeChat's browser opened the
        address twice."""
        key, digest = f"state:{state}", hashlib.sha256(code.encode()).hexdigest()
        token_store = self.services.token_store
        if await token_store.remember(key, digest, STATE_LIFE_S):
            return
        if not secrets.compare_digest((await token_store.recall(key) or "").encode(), digest.encode()):
            raise _not_ours()


def start_authorization(handler: PageHandler, next_page: str, *, restarts: int = 0) -> None:
    """Redirect the browser to WeChat with a state of 128 random bits, which its cookie stores."""
    settings = handler.services.settings
    state = secrets.token_hex(16)
    handler.set_signed_cookie(
        COOKIE,
        json.dumps({"state": state, "next": next_page, "restarts": restarts}),
        expires_days=STATE_LIFE_S / 86400,
        path="/oauth",
        httponly=True,
        samesite="Lax",
        secure=settings.http.origin.startswith("https:"),
    )
    handler.redirect(handler.services.oauth.authorize_url(settings.http.public_base_url + CALLBACK, state))


def safe_next(path: str) -> str:
    """Return ``path`` if every browser resolves it to this site. Raises BadRequest."""
    if len(path) > 512 or not _NEXT.fullmatch(path) or "//" in path:
        raise BadRequest(
            Bilingual("next 只能是本站的路径", "next must be a path of this site"), code="BAD_NEXT", field="next"
        )
    return path


def _not_ours() -> Forbidden:
    return Forbidden(
        Bilingual(
            "授权已失效，请返回店铺重新开始", "This authorisation is not valid any more; start again from the shop"
        ),
        code="BAD_STATE",
    )


def routes(services: Services) -> list[Route]:
    return [
        Route(pattern=r"/oauth/authorize", handler=AuthorizeHandler, access=Access.PUBLIC, name="oauth_authorize"),
        Route(pattern=CALLBACK, handler=CallbackHandler, access=Access.PUBLIC, name="oauth_callback"),
    ]
