"""``/connect/oauth2/authorize``: check WeChat's link strictly, let the user decide, and redirect back with a code.

``snsapi_base`` redirects at once if a user is picked (cookie ``wxsim_user``); ``snsapi_userinfo`` always asks. Errors
are pages with status 200, as WeChat's are; their number is in ``data-code``. Source: developers.weixin.qq.com,
Wechat_webpage_authorization (parameters, order, error pages).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from simulator.state.pki import User
from simulator.web.pages import PageHandler, origin_of

ORDER = ("appid", "redirect_uri", "response_type", "scope", "state")
EXTRAS = frozenset({"forcePopup", "forceSnapShot", "connect_redirect"})
DENIED = "authdeny"  # public code compares the code with it; it is not documented
BASE, USERINFO, LOGIN = "snsapi_base", "snsapi_userinfo", "snsapi_login"
_STATE = re.compile(r"[a-zA-Z0-9]{0,128}", re.ASCII)


class LinkError(Exception):
    """WeChat does not accept the link; ``code`` is the number on its error page."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


@dataclass(frozen=True, slots=True)
class Link:
    """A valid authorization link."""

    redirect_uri: str
    scope: str
    state: str
    query: str

    def back(self, code: str = DENIED) -> str:
        """Return the redirect's address: with a code, or after a refusal with ``DENIED`` in its place."""
        parts = urlsplit(self.redirect_uri)
        added = urlencode([("code", code), ("state", self.state)])
        query = f"{parts.query}&{added}" if parts.query else added
        return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


class Authorize(PageHandler):
    """GET shows the page or redirects; POST takes the user's decision."""

    scopes: tuple[str, ...] = (BASE, USERINFO)

    async def get(self) -> None:
        try:
            link = self._parse_link(self.request.query)
        except LinkError as error:
            self._show_error(error)
            return
        user = self.find_user()
        if user and link.scope == BASE:
            await self._return(link, user)
        else:
            self._ask(link, user)

    async def post(self) -> None:
        try:
            link = self._parse_link(self.get_body_argument("query", "", strip=False))
        except LinkError as error:
            self._show_error(error)
            return
        user = self.simulator.identity.user(self.get_body_argument("user", ""))
        if user is None:
            self.redirect(link.back())
        else:
            self.pick(user)
            await self._return(link, user)

    async def _return(self, link: Link, user: User) -> None:
        code = self.simulator.credentials.issue_code(user.openid, link.scope)
        await self.simulator.journal.durable()
        self.redirect(link.back(code))

    def _ask(self, link: Link, user: User | None) -> None:
        self.policy(actions=f"'self' {origin_of(link.redirect_uri)}")
        self.show("consent.html", link=link, users=self.simulator.identity.users, picked=user, base=BASE)

    def _show_error(self, error: LinkError) -> None:
        self.policy()
        self.show("error.html", error=error)

    def _parse_link(self, query: str) -> Link:
        """Check the link, in the order of the parameters. Raises LinkError."""
        pairs = parse_qsl(query, keep_blank_values=True)
        names = [name for name, _ in pairs if name not in EXTRAS]
        values = dict(pairs)
        self._check_values(values)
        if names not in (list(ORDER), list(ORDER[:-1])):
            raise LinkError(10003, "链接参数顺序错误，请严格按照 appid、redirect_uri、response_type、scope、state 排列")
        return Link(values["redirect_uri"], values["scope"], values.get("state", ""), query)

    def _check_values(self, values: dict[str, str]) -> None:
        if not values.get("appid"):
            raise LinkError(10012, "appid不能为空")
        if values["appid"] != self.simulator.identity.appid:
            raise LinkError(10016, "不支持使用该appid，请使用公众号的appid")
        if not values.get("redirect_uri"):
            raise LinkError(10011, "redirect_uri不能为空")
        if not self.simulator.console.takes_redirect(values["redirect_uri"]):
            raise LinkError(10003, "redirect_uri域名与后台配置不一致")
        if values.get("response_type") != "code":
            raise LinkError(10003, "response_type参数错误")
        if not values.get("scope"):
            raise LinkError(10010, "scope不能为空")
        if values["scope"] not in self.scopes:
            raise LinkError(10005, "该公众号没有这些scope的权限")
        if not _STATE.fullmatch(values.get("state", "")):
            raise LinkError(10013, "state参数错误，只能是 128 个以内的字母和数字")


class QrConnect(Authorize):
    """``/connect/qrconnect``: a website's login code, scanned with the phone of the picked user; always asks."""

    scopes = (LOGIN,)
