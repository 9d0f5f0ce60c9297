"""WeChat Pay's error codes: their spelling, and the codes after which the outcome is unknown. Advice: the catalogue.

v2 and old v3 pages write ORDERPAID, new pages ORDER_PAID; answers carry either. This system uses the new spelling.
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
"""Refusals of an order which say that WeChat already has an order with its number."""

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
"""The meaning that a general code has as the answer to one call."""

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
"""Refusals that are not final, because WeChat may accept the same request later: the caller is not recognised, not
permitted or too frequent; the balance is too low for a refund; the order is still being processed. After NOT_ENOUGH,
WeChat wants the refund sent again under its original number (错误码 of 申请退款)."""


def normal(call: str, wire_code: str) -> str:
    """Return the new spelling of ``wire_code``, with the meaning that it has for ``call``."""
    return SPELLINGS_OF.get((call, wire_code)) or SPELLINGS.get(wire_code, wire_code)


def failure(
    api: Api, call: str, wire_code: str, message: str, *, http_status: int = 200, request_id: str = ""
) -> RemoteError:
    """Build the error for a trustworthy answer with this code: OutcomeUnknown or GatewayRefused."""
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
    """Whether a refusal ends the request for good. v2's communication failures, which are not signed, never do."""
    return error.public_code not in NOT_NOW and error.http_status not in (401, 429)


def communication_failure(call: str, code: str, message: str) -> GatewayRefused:
    """Build the error for v2's ``return_code`` FAIL, whose text alone tells the cause."""
    sign = "签名" in message or "SIGN" in message.upper()
    advice = advise_text(Api.V2, message) or advise(Api.V2, "SIGN_ERROR" if sign else "COMMUNICATION_FAIL")
    public_code = "SIGN_ERROR" if sign else "COMMUNICATION_FAIL"
    return GatewayRefused(call, code=public_code, wire_code=code, wire_message=message, advice=advice or NO_ADVICE)
