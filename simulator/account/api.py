"""The Official Account API: ``/cgi-bin/*`` for the account, ``/sns/*`` for its users. Every answer has HTTP status 200.

Sources, all on developers.weixin.qq.com: getAccessToken, getStableAccessToken, Global_Return_Code,
Wechat_webpage_authorization. Public probes of 2026 without credentials: the appid is checked before grant_type;
``/cgi-bin/*`` ends its errmsg in `` rid: …``, ``/sns/*`` in ``, rid: …``, and does not mention getStableAccessToken.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from simulator.account.credentials import NOT_LATEST, STALE, AccountError, Granted
from simulator.web.base import Reply, WechatHandler
from simulator.web.bodies import read_json_object

MORE = "more details at https://mmbizurl.cn/s/JtxxFh33r"
LANGUAGES = ("zh_CN", "zh_TW", "en")


class AccountHandler(WechatHandler):
    """A call that answers JSON; failures are ``errcode`` and ``errmsg``."""

    content_type = "application/json; charset=utf-8"
    before_rid = " "
    words: Mapping[int, str] = {NOT_LATEST: f"{STALE}, could get access_token by getStableAccessToken, {MORE}"}

    @abstractmethod
    def data(self) -> dict[str, Any]:
        """Return the answer of the call. Raises AccountError."""

    async def get(self) -> None:
        await self.answer()

    async def post(self) -> None:
        await self.answer()

    async def work(self) -> Reply:
        try:
            return self._reply(self.data())
        except AccountError as error:
            return self.refusal(str(error.errcode), self.words.get(error.errcode, error.errmsg))

    def refusal(self, code: str, message: str) -> Reply:
        trace = "-".join(secrets.token_hex(4) for _ in range(3))
        errcode = int(code) if code.lstrip("-").isdigit() else -1
        return self._reply({"errcode": errcode, "errmsg": f"{message or 'refused'}{self.before_rid}rid: {trace}"})

    def system_error(self) -> Reply:
        return self.refusal("-1", "system error")

    def _reply(self, data: dict[str, Any]) -> Reply:
        return Reply(200, json.dumps(data, ensure_ascii=False).encode(), self.content_type)

    def query(self, name: str) -> str:
        return self.get_query_argument(name, "", strip=False)

    def check_app(self, appid: str, secret: str) -> None:
        """Check appid and secret. Raises AccountError 41002, 41004, 40013, 40125."""
        if not appid:
            raise AccountError(41002, "appid missing")
        if not secret:
            raise AccountError(41004, "appsecret missing")
        if appid != self.simulator.identity.appid:
            raise AccountError(40013, "invalid appid")
        if not hmac.compare_digest(secret.encode(), self.simulator.identity.appsecret.encode()):
            raise AccountError(40125, "invalid appsecret")

    def json_body(self) -> dict[str, Any]:
        """Return the body as a JSON object. Raises AccountError 47001."""
        asked = read_json_object(self.request.body)
        if asked is None:
            raise AccountError(47001, "data format error")
        return asked

    def demand(self, method: str) -> None:
        """Require the HTTP method. Raises AccountError 43001, 43002."""
        if self.request.method != method:
            raise AccountError(43001 if method == "GET" else 43002, f"require {method} method")


class Token(AccountHandler):
    """GET /cgi-bin/token: a new token each time."""

    def data(self) -> dict[str, Any]:
        self.check_app(self.query("appid"), self.query("secret"))
        if self.query("grant_type") != "client_credential":
            raise AccountError(40002, "invalid grant_type")
        token, expires_in = self.simulator.credentials.classic_token()
        return {"access_token": token, "expires_in": expires_in}


class StableToken(AccountHandler):
    """POST /cgi-bin/stable_token: the same token until it is nearly over."""

    def data(self) -> dict[str, Any]:
        self.demand("POST")
        asked = self.json_body()
        self.check_app(str(asked.get("appid") or ""), str(asked.get("secret") or ""))
        if asked.get("grant_type") != "client_credential":
            raise AccountError(40002, "invalid grant_type")
        token, expires_in = self.simulator.credentials.stable_token(asked.get("force_refresh") is True)
        return {"access_token": token, "expires_in": expires_in}


class Ticket(AccountHandler):
    """GET /cgi-bin/ticket/getticket?type=jsapi."""

    def data(self) -> dict[str, Any]:
        self.demand("GET")
        self.simulator.credentials.check_token(self.query("access_token"))
        if self.query("type") != "jsapi":
            raise AccountError(40097, "invalid args")
        ticket, expires_in = self.simulator.credentials.ticket()
        return {"errcode": 0, "errmsg": "ok", "ticket": ticket, "expires_in": expires_in}


class UserHandler(AccountHandler):
    """``/sns/*``: JSON whose Content-Type is text/plain."""

    content_type = "text/plain"
    before_rid = ", "
    words: Mapping[int, str] = {}

    def grant(self, grant: Granted) -> dict[str, Any]:
        """Return a grant as WeChat reports it; with the profile's scope also the unionid, and whether the user is a
        snapshot page's."""
        told: dict[str, Any] = {
            "access_token": grant.access_token,
            "expires_in": 7200,
            "refresh_token": grant.refresh_token,
            "openid": grant.openid,
            "scope": grant.scope,
        }
        if grant.scope != "snsapi_base":
            told["unionid"] = union_id(grant.openid)
            if self.simulator.console.settings.snapshot_users:
                told["is_snapshotuser"] = 1
        return told


class OAuthToken(UserHandler):
    """GET /sns/oauth2/access_token: exchange a code, once, for a user's token and openid."""

    def data(self) -> dict[str, Any]:
        self.check_app(self.query("appid"), self.query("secret"))
        if self.query("grant_type") != "authorization_code":
            raise AccountError(40002, "invalid grant_type")
        return self.grant(self.simulator.credentials.use_code(self.query("code")))


class OAuthRefresh(UserHandler):
    """GET /sns/oauth2/refresh_token."""

    def data(self) -> dict[str, Any]:
        if self.query("appid") != self.simulator.identity.appid:
            raise AccountError(40013, "invalid appid")
        if self.query("grant_type") != "refresh_token":
            raise AccountError(40002, "invalid grant_type")
        return self.grant(self.simulator.credentials.refresh(self.query("refresh_token")))


class UserInfo(UserHandler):
    """GET /sns/userinfo, for a grant of scope snsapi_userinfo."""

    def data(self) -> dict[str, Any]:
        grant = self.simulator.credentials.check_grant(self.query("access_token"), self.query("openid"))
        if grant.scope == "snsapi_base":
            raise AccountError(48001, "api unauthorized")
        if self.query("lang") not in ("", *LANGUAGES):
            raise AccountError(40097, "invalid args")
        user = self.simulator.identity.payer(grant.openid)
        return {
            "openid": grant.openid,
            "nickname": user.name if user else "",
            "sex": 0,
            "language": "",
            "city": "",
            "province": "",
            "country": "",
            "headimgurl": f"{self.origin()}/simulator/static/head.svg",
            "privilege": [],
            "unionid": union_id(grant.openid),
        }


class OAuthCheck(UserHandler):
    """GET /sns/auth: whether a user's token is valid."""

    def data(self) -> dict[str, Any]:
        self.simulator.credentials.check_grant(self.query("access_token"), self.query("openid"))
        return {"errcode": 0, "errmsg": "ok"}


class UnknownCall(AccountHandler):
    """Every other address of the API."""

    def data(self) -> dict[str, Any]:
        raise AccountError(40066, "invalid url")


def union_id(openid: str) -> str:
    """Return the user's id that is the same for all accounts of one owner."""
    return f"simu{hashlib.sha256(openid.encode()).hexdigest()[:24]}"
