"""WeChat Pay's error codes: one spelling, and which of them leave the outcome open. What helps is in the catalogue.

v2 and old v3 pages write ORDERPAID, new pages ORDER_PAID; answers carry either. Inside, the new spelling is used.
Sources: the error tables of each call, and https://pay.weixin.qq.com/doc/v3/merchant/4012070424 (错误码).
"""

from __future__ import annotations

from wechat.catalogue.catalogue import advise, advise_text
from wechat.domain.errors import NO_ADVICE, GatewayRefused, OutcomeUnknown, RemoteError
from wechat.domain.facts import Api

ORDER_PAID = "ORDER_PAID"
ORDER_CLOSED = "ORDER_CLOSED"
ORDER_NOT_EXIST = "ORDER_NOT_EXIST"
REFUND_NOT_EXIST = "REFUND_NOT_EXIST"

KNOWN_AT_WECHAT = frozenset({ORDER_PAID, ORDER_CLOSED, "OUT_TRADE_NO_USED"})
"""Refusals of an order that say that WeChat has one by its number."""

SPELLINGS = {
    "ORDERPAID": ORDER_PAID,
    "ORDERCLOSED": ORDER_CLOSED,
    "ORDERNOTEXIST": ORDER_NOT_EXIST,
    "REFUNDNOTEXIST": REFUND_NOT_EXIST,
    "SYSTEMERROR": "SYSTEM_ERROR",
    "BANKERROR": "BANK_ERROR",
    "SIGNERROR": "SIGN_ERROR",
    "NOAUTH": "NO_AUTH",
    "NOTENOUGH": "NOT_ENOUGH",
    "RULELIMIT": "RULE_LIMIT",
    "USERPAYING": "USER_PAYING",
    "ACCOUNTERROR": "ACCOUNT_ERROR",
    "MCHID_NOT_EXIST": "MCH_NOT_EXISTS",
    "FREQUENCY_LIMIT": "FREQUENCY_LIMITED",
    "RATELIMIT_EXCEEDED": "FREQUENCY_LIMITED",
}

SPELLINGS_OF = {("refund_query", "RESOURCE_NOT_EXISTS"): REFUND_NOT_EXIST}
"""What a code that means many things means as the answer to one call."""

OPEN = frozenset(
    {"SYSTEM_ERROR", "BANK_ERROR", "BIZERR_NEED_RETRY", "FREQUENCY_LIMITED", "USER_PAYING", "SERVICE_UNAVAILABLE"}
)
"""Codes that do not prove that the request had no effect."""

NOT_NOW = frozenset(
    {
        "SIGN_ERROR",
        "NO_AUTH",
        "CERT_ERROR",
        "MCH_NOT_EXISTS",
        "APPID_NOT_EXIST",
        "APPID_MCHID_NOT_MATCH",
        "FREQUENCY_LIMITED",
        "COMMUNICATION_FAIL",
        "INVALID_REQ_TOO_MUCH",
        "NOT_ENOUGH",
        "ORDER_NOT_READY",
    }
)
"""Codes after which WeChat may do the very same thing later, so nothing ends by them: who asks is not known, may not or
asks too often; there is too little money for a refund; the order is still being worked on. After NOT_ENOUGH, WeChat
wants the refund sent again under its original number (错误码 of 申请退款)."""


def normal(call: str, wire_code: str) -> str:
    """``wire_code``, as ``call`` means it, in the new spelling."""
    return SPELLINGS_OF.get((call, wire_code)) or SPELLINGS.get(wire_code, wire_code)


def failure(
    api: Api, call: str, wire_code: str, message: str, *, http_status: int = 200, request_id: str = ""
) -> RemoteError:
    """The error that a trustworthy answer with this code means."""
    code = normal(call, wire_code)
    kind = OutcomeUnknown if code in OPEN or http_status >= 500 else GatewayRefused
    return kind(
        call,
        code=code if kind is GatewayRefused else None,
        wire_code=wire_code,
        wire_message=message,
        http_status=http_status,
        request_id=request_id,
        advice=advise(api, wire_code, message) or advise(Api.V3, code, message) or NO_ADVICE,
    )


def is_final(error: GatewayRefused) -> bool:
    """Whether a refusal decides the thing asked for. v2's communication failures are not even signed."""
    return error.public_code not in NOT_NOW and error.http_status not in (401, 429)


def communication_failure(call: str, code: str, message: str) -> GatewayRefused:
    """v2's ``return_code`` FAIL, which tells by its text alone what is wrong."""
    sign = "签名" in message or "SIGN" in message.upper()
    advice = advise_text(Api.V2, message) or advise(Api.V2, "SIGN_ERROR" if sign else "COMMUNICATION_FAIL")
    public_code = "SIGN_ERROR" if sign else "COMMUNICATION_FAIL"
    return GatewayRefused(call, code=public_code, wire_code=code, wire_message=message, advice=advice or NO_ADVICE)
