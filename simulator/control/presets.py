"""Contents of the form of faults: names of faults and calls, and the usual faults of each API, one button each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from simulator.control.faults import Fault
from wechat.domain.errors import Bilingual

FAULT_NAMES: Mapping[Fault, Bilingual] = {
    Fault.TIMEOUT_BEFORE: Bilingual("不应答，未生效", "no answer, no effect"),
    Fault.TIMEOUT_AFTER: Bilingual("不应答，但已生效", "no answer, but it took effect"),
    Fault.HTTP_500: Bilingual("空的 HTTP 500", "an empty HTTP 500"),
    Fault.SYSTEM_ERROR: Bilingual("系统错误 SYSTEM_ERROR", "SYSTEM_ERROR"),
    Fault.UNSIGNED: Bilingual("应答没有签名", "an answer without a signature"),
    Fault.WRONG_SIGNATURE: Bilingual("应答签名错误", "an answer with a wrong signature"),
    Fault.PROBE: Bilingual("探测签名 SIGNTEST", "a SIGNTEST probe"),
    Fault.OLD_SPELLING: Bilingual("旧的错误码写法", "old spelling of error codes"),
    Fault.REFUSE: Bilingual("拒绝", "refused"),
    Fault.DELAY: Bilingual("延迟应答", "a late answer"),
}
FORM_FAULTS = tuple(fault for fault in FAULT_NAMES if fault not in (Fault.REFUSE, Fault.DELAY))
"""Kinds of faults that the form offers; a refusal and a delay need further fields."""
FAULT_PATHS: Mapping[str, Bilingual] = {
    "/*": Bilingual("全部接口", "every call"),
    "/v3/pay/transactions/jsapi": Bilingual("APIv3 下单", "APIv3: place an order"),
    "/v3/pay/transactions/out-trade-no/*": Bilingual("APIv3 查单与关单", "APIv3: query and close"),
    "/v3/refund/*": Bilingual("APIv3 退款", "APIv3: refunds"),
    "/v3/bill/*": Bilingual("APIv3 账单", "APIv3: bills"),
    "/pay/unifiedorder": Bilingual("APIv2 下单", "APIv2: place an order"),
    "/pay/orderquery": Bilingual("APIv2 查单", "APIv2: query"),
    "/secapi/pay/refund": Bilingual("APIv2 退款", "APIv2: refunds"),
    "/pay/downloadbill": Bilingual("APIv2 账单", "APIv2: bills"),
    "/cgi-bin/*": Bilingual("服务号接口（access_token、jsapi_ticket）", "service account: access_token, jsapi_ticket"),
    "/sns/*": Bilingual("网页授权", "authorisation by web page"),
}


class Preset(NamedTuple):
    """A fault of a button: its name, and the rule as the control call takes it."""

    name: Bilingual
    rule: Mapping[str, str | int]


def _refuse(path: str, code: str, message: str, times: int = 1) -> Mapping[str, str | int]:
    return {"path": path, "fault": Fault.REFUSE, "code": code, "message": message, "times": times}


LOST_ANSWER = Bilingual("下单不应答，但已生效", "an order is placed, the answer lost")
THREE_500 = Bilingual("查单三次 HTTP 500", "three queries answered with HTTP 500")
WRONG_SIGNATURE = Bilingual("应答签名错误", "an answer with a wrong signature")
SLOW = Bilingual("应答慢 3 秒", "answers 3 s late")
TOO_MANY = Bilingual("频率限制", "too many requests")
NO_BALANCE = Bilingual("退款余额不足", "too little balance for a refund")
NO_BILL = Bilingual("账单生成中", "the bill is not ready")
PRESETS: Mapping[str, Sequence[Preset]] = {
    "APIv3": (
        Preset(LOST_ANSWER, {"path": "/v3/pay/transactions/*", "fault": Fault.TIMEOUT_AFTER, "times": 1}),
        Preset(THREE_500, {"path": "/v3/pay/transactions/out-trade-no/*", "fault": Fault.HTTP_500, "times": 3}),
        Preset(WRONG_SIGNATURE, {"path": "/v3/pay/*", "fault": Fault.WRONG_SIGNATURE, "times": 1}),
        Preset(SLOW, {"path": "/v3/*", "fault": Fault.DELAY, "ms": 3000, "times": 5}),
        Preset(TOO_MANY, _refuse("/v3/pay/*", "FREQUENCY_LIMITED", "频率超限", 2)),
        Preset(NO_BALANCE, _refuse("/v3/refund/*", "NOT_ENOUGH", "基本账户余额不足")),
        Preset(NO_BILL, _refuse("/v3/bill/*", "STATEMENT_CREATING", "账单生成中")),
    ),
    "APIv2": (
        Preset(LOST_ANSWER, {"path": "/pay/unifiedorder", "fault": Fault.TIMEOUT_AFTER, "times": 1}),
        Preset(THREE_500, {"path": "/pay/orderquery", "fault": Fault.HTTP_500, "times": 3}),
        Preset(WRONG_SIGNATURE, {"path": "/pay/*", "fault": Fault.WRONG_SIGNATURE, "times": 1}),
        Preset(SLOW, {"path": "/pay/*", "fault": Fault.DELAY, "ms": 3000, "times": 5}),
        Preset(TOO_MANY, _refuse("/secapi/pay/refund", "FREQUENCY_LIMITED", "你的操作过于频繁，请稍后再试", 2)),
        Preset(NO_BALANCE, _refuse("/secapi/pay/refund", "NOTENOUGH", "基本账户余额不足，请充值后重新发起")),
        Preset(NO_BILL, _refuse("/pay/downloadbill", "Bill Creating", "")),
    ),
}
"""Faults by API. Codes and messages are those with which each API refuses; v2's bill calls use ``return_msg`` alone."""
