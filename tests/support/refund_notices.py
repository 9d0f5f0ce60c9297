"""Refund notifications as WeChat writes them."""

from __future__ import annotations

import json
from typing import Any

from tests.support.platform import Message, Platform
from wechat.domain.orders import Refund


def v3_refund(platform: Platform, refund: Refund, state: str = "SUCCESS", **changed: Any) -> Message:
    content = {
        "mchid": refund.mchid,
        "transaction_id": refund.transaction_id,
        "out_trade_no": refund.out_trade_no,
        "refund_id": "50300001",
        "out_refund_no": refund.out_refund_no,
        "refund_status": state,
        "success_time": "2026-03-01T12:05:06+08:00",
        "user_received_account": "支付用户零钱",
        "amount": {"total": refund.total, "refund": refund.refund, "payer_total": 100, "payer_refund": 60},
    }
    envelope = platform.v3_envelope(b"", event_type=changed.pop("event_type", f"REFUND.{state}"))
    envelope["resource"] = platform.seal(json.dumps(content | changed).encode(), "refund")
    envelope["resource"]["original_type"] = "refund"
    return platform.v3_signed(json.dumps(envelope).encode())
