"""Calls to the Official Account API: JSON in, JSON out, failures told by ``errcode`` in a 200 answer.

Source: https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from wechat.domain.errors import NO_ADVICE, AccountRefused, Advice, Bilingual
from wechat.support.connection import build_bare_status
from wechat.support.transport import Request, Transport

BAD_TOKEN = frozenset({40001, 40014, 42001})
"""errcodes that mean: this access_token is no longer good."""
QUOTA = frozenset({45009, 45011})

_IP = re.compile(r"[0-9a-fA-F:.]{7,45}", re.ASCII)

ADVICE: dict[int, Advice] = {
    -1: Advice((Bilingual("微信系统繁忙", "WeChat is busy"),), Bilingual("稍后重试", "Try again shortly")),
    40001: Advice(
        (
            Bilingual("AppSecret 填错或属于另一个公众号", "The AppSecret is wrong or of another account"),
            Bilingual("别的系统用 cgi-bin/token 刷新了 access_token", "Another system refreshed the access_token"),
        ),
        Bilingual(
            "核对 account.appsecret；account.token_call 用 stable",
            "Check account.appsecret; keep account.token_call on stable",
        ),
    ),
    40013: Advice(
        (Bilingual("AppID 不存在", "There is no such AppID"),), Bilingual("核对 account.appid", "Check account.appid")
    ),
    40125: Advice(
        (Bilingual("AppSecret 无效", "The AppSecret is not valid"),),
        Bilingual("核对 account.appsecret", "Check account.appsecret"),
    ),
    45009: Advice(
        (Bilingual("今天的调用次数用完了", "Today's quota is used up"),),
        Bilingual(
            "北京时间零点后恢复，或在公众平台清零",
            "It returns at midnight Beijing time, or clear the quota in the console",
        ),
    ),
    45011: Advice(
        (Bilingual("每分钟调用过多", "Too many calls a minute"),),
        Bilingual("一分钟后自动恢复", "It recovers after a minute"),
    ),
    48001: Advice(
        (Bilingual("公众号没有这个接口的权限", "The account may not use this interface"),),
        Bilingual("在公众平台「接口权限」查看", "See the interface permissions in the console"),
    ),
}


class AccountClient:
    """One Official Account's API under ``base_url``."""

    def __init__(self, transport: Transport, base_url: str) -> None:
        self._transport = transport
        self._hosts = (base_url,)

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """GET with ``query`` in the order given. Raises AccountRefused, NotSent, OutcomeUnknown."""
        return await self._call(Request(path.strip("/"), "GET", f"{path}?{urlencode(query)}"))

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST ``body`` as JSON. Raises as ``get``."""
        payload = json.dumps(body, ensure_ascii=False).encode()
        return await self._call(
            Request(path.strip("/"), "POST", path, payload, {"Content-Type": "application/json"}),
        )

    async def _call(self, request: Request) -> dict[str, Any]:
        answer = await self._transport.send(self._hosts, request)
        try:
            data = json.loads(answer.body)
        except (ValueError, RecursionError):
            data = None
        if answer.status != 200 or not isinstance(data, dict):
            raise build_bare_status(request.call, answer.status, answer.host)
        errcode = data.get("errcode", 0)
        if errcode != 0:
            raise _build_refusal(request.call, errcode, str(data.get("errmsg", "")))
        return data


def _build_refusal(call: str, errcode: object, errmsg: str) -> AccountRefused:
    number = errcode if type(errcode) is int else -1
    return AccountRefused(
        call, number, errmsg, advice=_allow_list(errmsg) if number == 40164 else ADVICE.get(number, NO_ADVICE)
    )


def _allow_list(errmsg: str) -> Advice:
    """40164 names the address that called; so does its cure."""
    found = _IP.search(errmsg.partition("invalid ip")[2])
    address = found.group() if found else "?"
    return Advice(
        (Bilingual("服务器出口 IP 不在白名单", "This server's address is not on the allow-list"),),
        Bilingual(
            f"在 公众平台 → 设置与开发 → 开发接口管理 → IP 白名单 中加入 {address}",
            f"Add {address} under 设置与开发 → 开发接口管理 → IP白名单 in the Official Account console",
        ),
    )
