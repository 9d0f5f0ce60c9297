"""v3's error answers: codes in both spellings, their HTTP status, and the number that ends a Request-ID.

Source: https://pay.weixin.qq.com/doc/v3/merchant/4012070424 (错误码) and the error tables of each call.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

OLD_SPELLING = {
    "ORDER_PAID": "ORDERPAID",
    "ORDER_CLOSED": "ORDERCLOSED",
    "ORDER_NOT_EXIST": "ORDERNOTEXIST",
    "SYSTEM_ERROR": "SYSTEMERROR",
    "RULE_LIMIT": "RULELIMIT",
    "NO_AUTH": "NOAUTH",
    "NOT_ENOUGH": "NOTENOUGH",
    "USER_PAYING": "USERPAYING",
    "ACCOUNT_ERROR": "ACCOUNTERROR",
    "BANK_ERROR": "BANKERROR",
}
STATUSES = {
    "SIGN_ERROR": 401,
    "NO_AUTH": 403,
    "OUT_TRADE_NO_USED": 403,
    "RULE_LIMIT": 403,
    "TRADE_ERROR": 403,
    "ACCOUNT_ERROR": 403,
    "NOT_ENOUGH": 403,
    "ORDER_NOT_EXIST": 404,
    "RESOURCE_NOT_EXISTS": 404,
    "FREQUENCY_LIMITED": 429,
    "RATELIMIT_EXCEEDED": 429,
    "USER_PAYING": 202,
    "SYSTEM_ERROR": 500,
    "BANK_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
}
INTERNAL = {  # the number at the end of Request-ID
    "ORDER_NOT_EXIST": 268512771,
    "ORDER_PAID": 268498689,
    "INVALID_REQUEST": 268498688,
    "SIGN_ERROR": 268443699,
    "APPID_MCHID_NOT_MATCH": 268445527,
    "FREQUENCY_LIMITED": 268447840,
    "ORDER_CLOSED": 268447914,
}
ILLEGAL_PARAMETER = 268435461


@dataclass(slots=True)
class V3Refusal(Exception):
    """An error answer: WeChat's code (modern spelling), its message, and ``detail`` if there is one."""

    code: str
    message: str
    detail: dict[str, Any] | None = None

    @property
    def status(self) -> int:
        return STATUSES.get(self.code, 400)

    @property
    def request_id(self) -> str:
        """The Request-ID; empty for SIGN_ERROR, whose answers have none."""
        return "" if self.code == "SIGN_ERROR" else request_id(INTERNAL.get(self.code, ILLEGAL_PARAMETER))

    def body(self, *, old_spelling: bool) -> dict[str, Any]:
        code = OLD_SPELLING.get(self.code, self.code) if old_spelling else self.code
        document: dict[str, Any] = {"code": code, "message": self.message}
        return document if self.detail is None else {**document, "detail": self.detail}


def request_id(internal: int) -> str:
    """Return a trace id; ``internal`` is 0 for success."""
    return f"{secrets.token_hex(20).upper()}-{internal}"
