"""Calls to the Official Account API: JSON requests and answers; an ``errcode`` in a 200 answer means a failure.

Source: https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from wechat.catalogue.catalogue import advise
from wechat.domain.errors import NO_ADVICE, AccountRefused, Advice, Bilingual
from wechat.support.connection import build_bare_status
from wechat.support.transport import Request, Transport

BAD_TOKEN = frozenset({40001, 40014, 42001})
"""errcodes that mean that the access_token is no longer valid."""
API = "account"
"""``api`` of its recorded calls."""
QUOTA = frozenset({45009, 45011})

_IP = re.compile(r"[0-9a-fA-F:.]{7,45}", re.ASCII)


class AccountClient:
    """A client of one Official Account's API under ``base_url``."""

    def __init__(self, transport: Transport, base_url: str) -> None:
        self._transport = transport
        self._hosts = (base_url,)

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Send a GET with ``query`` in the given order. Raises AccountRefused, NotSent, OutcomeUnknown."""
        return await self._call(Request(path.strip("/"), "GET", f"{path}?{urlencode(query)}", api=API))

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a POST with ``body`` as JSON. Raises as ``get``."""
        payload = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        return await self._call(Request(path.strip("/"), "POST", path, payload, headers, api=API))

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
    own, other = ("oauth", "account") if call.startswith("sns/") else ("account", "oauth")
    advice = advise(own, str(number)) or advise(other, str(number)) or NO_ADVICE
    return AccountRefused(call, number, errmsg, advice=_name_address(errmsg, advice) if number == 40164 else advice)


def _name_address(errmsg: str, advice: Advice) -> Advice:
    """Add the caller's IP address, which the message of 40164 contains, to the advice."""
    found = _IP.search(errmsg.partition("invalid ip")[2])
    if not found:
        return advice
    text = advice.next_step
    return Advice(advice.causes, Bilingual(f"{text.zh}（{found.group()}）", f"{text.en}: {found.group()}"))
