"""WeChat's web authorisation, which identifies the payer: from the authorise address to an openid.

Source: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from wechat.account.client import AccountClient
from wechat.account.tokens import Credentials
from wechat.domain.errors import AccountRefused, Bilingual, Forbidden, OutcomeUnknown
from wechat.domain.ports import TokenStore

CODE_LIFE_S = 300.0
EXCHANGE_S = 12.0
POLL_S = 0.05
SPENT_CODE = frozenset({40029, 40163, 42003})
"""errcodes of a code that is wrong, used or too old; after any of them the payer has to authorise again."""

UNSURE = 40029  # stored for a code whose exchange has an unknown outcome: the payer has to authorise again

_PENDING = "pending"


class Scope(StrEnum):
    BASE = "snsapi_base"
    USERINFO = "snsapi_userinfo"


@dataclass(frozen=True, slots=True)
class Grant:
    """The result of exchanging a code. ``access_token`` is this user's, not the account's."""

    openid: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scope: str
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """The data that the user agreed to share (snsapi_userinfo only)."""

    openid: str
    nickname: str
    headimgurl: str
    unionid: str = ""


class OAuth:
    """Web authorisation of one account."""

    def __init__(self, client: AccountClient, credentials: Credentials, open_url: str, store: TokenStore) -> None:
        self._client = client
        self._who = credentials
        self._open_url = open_url
        self._store = store

    def authorize_url(self, redirect_uri: str, state: str, scope: Scope = Scope.BASE) -> str:
        """Build the address to which the browser is sent.

        WeChat checks the order of the parameters; ``#wechat_redirect`` is required.
        """
        back = quote(redirect_uri, safe="")
        return (
            f"{self._open_url}/connect/oauth2/authorize?appid={self._who.appid}&redirect_uri={back}"
            f"&response_type=code&scope={scope}&state={state}#wechat_redirect"
        )

    async def openid(self, code: str, state: str) -> str:
        """Exchange ``code`` once for all requests that bring it (Android opens the address twice); return the payer.

        The stored result belongs to ``state``, which the caller has checked to be the browser's own: a used code from
        another browser is sent to WeChat, which refuses it.

        Raises AccountRefused (``errcode`` in SPENT_CODE: authorise again), Forbidden for the virtual user of a snapshot
        page, NotSent, OutcomeUnknown.
        """
        key = "code:" + hashlib.sha256(f"{state}\n{code}".encode()).hexdigest()
        if await self._store.remember(key, _PENDING, CODE_LIFE_S):
            return await self._first(key, code)
        return await self._same(key)

    async def exchange(self, code: str) -> Grant:
        """Exchange ``code``, which can be used once. Raises as ``openid``."""
        return _grant(
            await self._client.get(
                "/sns/oauth2/access_token",
                appid=self._who.appid,
                secret=self._who.appsecret,
                code=code,
                grant_type="authorization_code",
            )
        )

    async def refresh(self, refresh_token: str) -> Grant:
        """Return a grant for two more hours. ``refresh_token`` is valid for 30 days. Raises AccountRefused.

        ``errcode`` 40030 and 42002 mean that the refresh_token is wrong or too old.
        """
        return _grant(
            await self._client.get(
                "/sns/oauth2/refresh_token",
                appid=self._who.appid,
                grant_type="refresh_token",
                refresh_token=refresh_token,
            )
        )

    async def valid(self, grant: Grant) -> bool:
        """Whether WeChat still accepts ``grant``'s access_token."""
        try:
            await self._client.get("/sns/auth", access_token=grant.access_token, openid=grant.openid)
        except AccountRefused:
            return False
        return True

    async def userinfo(self, grant: Grant, lang: str = "zh_CN") -> Profile:
        """Return the user's profile; ``lang`` is zh_CN, zh_TW or en. Raises AccountRefused (48001 for snsapi_base)."""
        data = await self._client.get("/sns/userinfo", access_token=grant.access_token, openid=grant.openid, lang=lang)
        return Profile(_text(data, "openid"), *(_informs(data, name) for name in ("nickname", "headimgurl", "unionid")))

    async def _first(self, key: str, code: str) -> str:
        try:
            grant = await self.exchange(code)
        except AccountRefused as error:
            await self._conclude(key, {"errcode": error.errcode})
            raise
        except Exception:
            await self._conclude(key, {"errcode": UNSURE})
            raise
        if grant.snapshot:
            await self._conclude(key, {"snapshot": True})
            raise _snapshot()
        await self._conclude(key, {"openid": grant.openid})
        return grant.openid

    async def _same(self, key: str) -> str:
        """Wait for the result of the first request with the code."""
        for _ in range(int(EXCHANGE_S / POLL_S)):
            result = await self._store.recall(key)
            if result is None:
                break
            if result != _PENDING:
                return _read_openid(json.loads(result))
            await asyncio.sleep(POLL_S)
        raise OutcomeUnknown("sns/oauth2/access_token", wire_message="the same code is being exchanged elsewhere")

    async def _conclude(self, key: str, result: Mapping[str, str | int | bool]) -> None:
        await self._store.overwrite(key, json.dumps(result), CODE_LIFE_S)


def _read_openid(result: Mapping[str, Any]) -> str:
    if result.get("snapshot"):
        raise _snapshot()
    if "openid" in result:
        return str(result["openid"])
    raise AccountRefused("sns/oauth2/access_token", int(result.get("errcode", -1)), "known from the first request")


def _grant(data: Mapping[str, Any]) -> Grant:
    return Grant(
        _text(data, "openid"),
        _text(data, "access_token"),
        _text(data, "refresh_token"),
        _informs(data, "scope"),
        data.get("is_snapshotuser") not in _OF_A_PERSON,
    )


_ID = re.compile(r"[!-~]{1,512}", re.ASCII)  # openids and tokens
_OF_A_PERSON = (None, "", 0, "0")
"""Values of is_snapshotuser for a real user; any other value means a virtual user, who must not pay."""


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise OutcomeUnknown("sns", wire_message=f"answer without {name}")
    return value


def _informs(data: Mapping[str, Any], name: str) -> str:
    """Return a text that no rule reads, without characters that cannot be stored; empty when it is missing."""
    value = data.get(name)
    return value.encode("utf-8", "ignore").decode() if isinstance(value, str) else ""


def _snapshot() -> Forbidden:
    return Forbidden(
        Bilingual(
            "当前是快照页，请点右下角「使用完整服务」后再付款",
            "This is a snapshot page: tap 使用完整服务 before paying",
        ),
        code="SNAPSHOT_USER",
    )
