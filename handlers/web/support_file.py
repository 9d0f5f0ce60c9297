"""Everything about an order in one HTML file for a support request: without personal data, keys or scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from handlers.web.services import Services
from handlers.web.views import call_view, delivery_view, why_view
from wechat.domain.errors import Bilingual
from wechat.domain.labels import (
    AMOUNTS,
    CALL_VERDICTS,
    DELIVERY_STATES,
    FIELDS,
    NOTIFICATION_KINDS,
    ORDER_STATES,
    QUERY_OUTCOMES,
    REFUND_STATES,
    SOURCES,
    TIMELINE,
    VERDICTS,
    label,
)
from wechat.domain.money import yuan
from wechat.domain.times import beijing, from_v3

TEMPLATE = "support.html"
PERSONAL = frozenset({"openid", "payer"})
FREE_TEXTS = frozenset({"attach", "client_ip"})
SHOWN = 4
MOST_CALLS = 200
TIMES = frozenset({"created_at", "expires_at", "paid_at", "success_time"})

TEXTS = {
    "title": Bilingual("订单支持文件", "Support file of an order"),
    "made": Bilingual("生成时间", "Made at"),
    "order": Bilingual("订单", "Order"),
    "timeline": Bilingual("时间线", "Timeline"),
    "calls": Bilingual("与微信的调用", "Calls to and from WeChat"),
    "refunds": Bilingual("退款", "Refunds"),
    "notifications": Bilingual("微信的通知", "WeChat's notifications"),
    "refused": Bilingual("被拒绝的通知", "Notifications that were refused"),
    "deliveries": Bilingual("推送给业务系统", "Deliveries to the merchant's systems"),
    "health": Bilingual("服务状态", "State of the service"),
    "wechat": Bilingual("微信支付查询结果", "What WeChat Pay says now"),
    "none": Bilingual("没有", "none"),
    "redacted": Bilingual("个人信息已隐去，不含密钥。", "Personal data are cut out; it holds no keys."),
}


async def gather_support(services: Services, out_trade_no: str, lang: str) -> dict[str, Any]:
    """Return the values that the file's template is rendered with. WeChat Pay is queried, and nothing is applied.
    Raises NotFound."""
    case = await services.diagnosis.into(out_trade_no)
    calls = await services.insight.calls.of_order(out_trade_no, MOST_CALLS)
    faults = await asyncio.to_thread(services.self_check)
    return {
        "t": lambda name: TEXTS[name].to(lang),
        "lang": lang,
        "diagnosis": redact(why_view(case, lang) | {"calls": [call_view(call) for call in calls]}),
        "deliveries": [delivery_view(delivery) for delivery in case.deliveries],
        "health": [(check.name, check.ok, check.text.to(lang)) for check in (*services.health.checks(), *faults)],
        "made_at": beijing(case.now),
        "money": format_money,
        "moment": format_moment,
        "field": lambda name: label(FIELDS, name, lang),
        "value": lambda name, value: describe_value(name, value, lang),
        "refund_state": lambda code: label(REFUND_STATES, code, lang),
        "event": lambda code: label(TIMELINE, code, lang),
        "source": lambda code: label(SOURCES, code, lang),
        "kind": lambda code: label(NOTIFICATION_KINDS, code, lang),
        "call_verdict": lambda code: label(CALL_VERDICTS, code or "", lang),
        "verdict": lambda code: label(VERDICTS, code, lang),
        "delivery_state": lambda code: label(DELIVERY_STATES, code, lang),
    }


def describe_value(name: str, value: Any, lang: str) -> str:
    """Return a field's value for readers: amounts in yuan, times of Beijing, codes with their names."""
    if name in AMOUNTS:
        return format_money(value)
    if name in TIMES:
        return format_moment(value)
    if name == "trade_state":
        return label(ORDER_STATES, value, lang)
    if name == "outcome":
        return label(QUERY_OUTCOMES, value, lang)
    if name == "error":
        wechat = value.get("wechat", {})
        return " ".join(part for part in (value["message"], wechat.get("code"), wechat.get("message")) if part)
    return str(value)


def format_money(amount: int | None) -> str:
    return "" if amount is None else f"¥{yuan(amount)}"


def format_moment(text: str | None) -> str:
    """Return the time of Beijing for one in RFC 3339."""
    return beijing(from_v3(text)) if text else ""


def redact(value: Any, name: str = "") -> Any:
    """Return ``value`` with openids cut to their first and last letters, and free texts replaced by their length."""
    if isinstance(value, Mapping):
        return {key: redact(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [redact(each, name) for each in value]
    if isinstance(value, str) and name in PERSONAL:
        return f"{value[:SHOWN]}…{value[-SHOWN:]}" if len(value) > 2 * SHOWN else "…"
    if isinstance(value, str) and name in FREE_TEXTS:
        return f"({len(value)})"
    return value
