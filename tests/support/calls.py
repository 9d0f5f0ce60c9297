"""Exchanges and calls for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.contract.samples import HOUR, NOW, NUMBER
from wechat.calls.redaction import redact
from wechat.domain.calls import Call, Direction, Exchange, Message

AUTHORIZATION = (
    'WECHATPAY2-SHA256-RSA2048 mchid="1900000109",nonce_str="N0NCE",'
    'signature="uOVRnA4qG/MNnYzdQxJanN+zU+lTgIcnU9BxGw5dKjK+VdEUz2FeIoC+D5sB/LN+nGzX3hfZg6r5wT1pl2ZobmIc6p0ldN7J==",'
    'timestamp="1772337906",serial_no="1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C"'
)
V3_BODY = (
    b'{"appid":"wxsim0123456789","mchid":"1900000109","description":"\xe6\x8b\xbf\xe9\x93\x81","amount":{"total":100}}'
)


def an_exchange(**changes: Any) -> Exchange:
    """Return the exchange of a v3 order that was placed."""
    exchange = Exchange(
        direction=Direction.OUT,
        api="v3",
        call="jsapi",
        out_trade_no=NUMBER,
        method="POST",
        url="https://api.mch.weixin.qq.com/v3/pay/transactions/jsapi",
        request_headers={"Authorization": AUTHORIZATION, "Content-Type": "application/json"},
        request_body=V3_BODY,
        status=200,
        answer_headers={
            "Request-ID": "08F7",
            "Wechatpay-Timestamp": "1772337907",
            "Wechatpay-Nonce": "ANSWERED",
            "Wechatpay-Signature": "c2lnbmF0dXJlIG9mIHRoZSBhbnN3ZXIgd2hpY2ggaXMgbG9uZw==",
        },
        answer_body=b'{"prepay_id": "wx26112221580621e9b071c00d9e093b0000"}',
        duration_s=0.1234,
        verdict="verified",
    )
    return replace(exchange, **changes)


def a_call(identity: str = "call-1", most_body: int = 16_384, **changes: Any) -> Call:
    """Return an exchange as it is stored."""
    return redact(an_exchange(**changes), identity, NOW, HOUR, most_body)


def bare_call(identity: str = "call-1") -> Call:
    """Return a call without an answer, about no order."""
    nothing = Message({})
    return Call(identity, NOW, Direction.IN, "v2", "", "", "", "", nothing, 0, nothing, 0, "", "", NOW + HOUR)


def full_call(identity: str = "call-1") -> Call:
    return a_call(identity, error="answer over 1 MiB", answer_body=b'{"prepay_id":"wx1","new":1}')
