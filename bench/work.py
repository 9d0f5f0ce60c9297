"""Build the load generator's requests in advance, so that their making is not measured."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.processes.platform import Platform
from wechat.domain.times import to_v2, to_v3
from wechat.pay.ciphers import AeadCipher
from wechat.pay.signing import SignType, v2_sign
from wechat.pay.v2 import xmlcodec

Request = dict[str, Any]
Requests = list[Request]
Keys = Mapping[str, Any]

JSON = {"Content-Type": "application/json"}
TOTAL = 1800
REFUND = 100


def orders(api_key: str, api: str, count: int) -> Requests:
    """Return a merchant's JSAPI orders, each for another payer."""
    headers = JSON | {"Authorization": f"Bearer {api_key}"}
    body = {"description": "bench", "total": TOTAL, "trade_type": "JSAPI", "api": api}
    return [_request("/api/orders", headers, body | {"openid": ""}) for _ in range(count)]


def baseline_orders(keys: Keys, count: int) -> Requests:
    """Return the baseline's order: a body that the simulator accepts unchanged, so that both have the same upstream
    cost."""
    return [_upstream("/order", _prepay(keys))] * count


def payments(orders: Sequence[Mapping[str, Any]]) -> Requests:
    """Return a payment of each order, made at the simulator."""
    return [_request(f"/simulator/orders/{order['out_trade_no']}/payments", JSON, {}) for order in orders]


def refunds(api_key: str, orders: Sequence[Mapping[str, Any]]) -> Requests:
    """Return a refund of a part of each order."""
    headers, body = JSON | {"Authorization": f"Bearer {api_key}"}, {"refund": REFUND, "reason": "bench"}
    return [
        _request(f"/api/orders/{number}/refunds", headers, body | {"out_refund_no": f"bench-{number}"})
        for number in (order["out_trade_no"] for order in orders)
    ]


def baseline_refunds_v2(keys: Keys, order: Mapping[str, Any]) -> Request:
    """Return the baseline's refund over mutual TLS: always the same one of ``order``, which the simulator
    accepts once."""
    fields = {
        "appid": keys["appid"],
        "mch_id": keys["mchid"],
        "nonce_str": secrets.token_hex(16),
        "out_trade_no": order["out_trade_no"],
        "out_refund_no": f"floor{secrets.token_hex(8)}",
        "total_fee": str(TOTAL),
        "refund_fee": str(REFUND),
        "sign_type": "HMAC-SHA256",
    }
    return _upstream("/refund_secure", _build_v2(keys, fields))


def baseline_refunds_v3(keys: Keys) -> Request:
    """Return the baseline's refund over plain HTTP, where any body is accepted."""
    return _upstream("/refund", _prepay(keys))


def as_baseline(requests: Requests) -> Requests:
    """Return the same notifications for the baseline."""
    return [request | {"path": "/notify"} for request in requests]


def _prepay(keys: Keys) -> str:
    fields = {
        "appid": keys["appid"],
        "mch_id": keys["mchid"],
        "body": "floor",
        "nonce_str": secrets.token_hex(16),
        "out_trade_no": f"floor{secrets.token_hex(8)}",
        "total_fee": str(TOTAL),
        "spbill_create_ip": "127.0.0.1",
        "notify_url": "http://127.0.0.1:9/notify",
        "trade_type": "JSAPI",
        "openid": keys["users"][0]["openid"],
        "sign_type": "HMAC-SHA256",
    }
    return _build_v2(keys, fields)


def jssdk(base_url: str, count: int) -> Requests:
    return [
        {"method": "GET", "path": f"/jssdk/config?url={base_url}/pay/{number}", "headers": {}, "body": ""}
        for number in range(count)
    ]


def nothing(count: int) -> Requests:
    return [{"method": "POST", "path": "/nothing", "headers": {}, "body": ""}] * count


def notifications_v2(
    keys: Keys, unpaid: Sequence[Mapping[str, Any]], sign_type: SignType = SignType.HMAC_SHA256
) -> Requests:
    """Return one genuine v2 notification for each order, signed with the ``sign_type`` that it was placed with."""
    headers = {"Content-Type": "text/xml"}
    return [
        {"method": "POST", "path": "/notify", "headers": headers, "body": _v2(keys, order, sign_type)}
        for order in unpaid
    ]


def notifications_v3(keys: Keys, platform: Platform, unpaid: Sequence[Mapping[str, Any]]) -> Requests:
    """Return one genuine v3 notification for each order, signed with a platform key of the benchmark."""
    cipher = AeadCipher(keys["api_v3_key"])
    made = []
    for order in unpaid:
        body = _v3(keys, cipher, order)
        headers = platform.sign(body.encode(), str(int(time.time()))) | {"Content-Type": "application/json"}
        made.append({"method": "POST", "path": "/notify", "headers": headers, "body": body})
    return made


def _v2(keys: Keys, order: Mapping[str, Any], sign_type: SignType) -> str:
    fields = {
        "return_code": "SUCCESS",
        "result_code": "SUCCESS",
        "appid": keys["appid"],
        "mch_id": keys["mchid"],
        "nonce_str": secrets.token_hex(16),
        "openid": order["openid"],
        "trade_type": "JSAPI",
        "bank_type": "OTHERS",
        "total_fee": str(TOTAL),
        "cash_fee": str(TOTAL),
        "transaction_id": f"42{secrets.randbelow(10**26):026d}",
        "out_trade_no": order["out_trade_no"],
        "time_end": to_v2(datetime.now(UTC)),
    }
    return _build_v2(keys, fields, sign_type)


def _v3(keys: Keys, cipher: AeadCipher, order: Mapping[str, Any]) -> str:
    now = to_v3(datetime.now(UTC))
    plain = {
        "mchid": keys["mchid"],
        "appid": keys["appid"],
        "out_trade_no": order["out_trade_no"],
        "transaction_id": f"42{secrets.randbelow(10**26):026d}",
        "trade_type": "JSAPI",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "bank_type": "OTHERS",
        "success_time": now,
        "payer": {"openid": order["openid"]},
        "amount": {"total": TOTAL, "payer_total": TOTAL, "currency": "CNY", "payer_currency": "CNY"},
    }
    nonce = secrets.token_hex(6)
    sealed = cipher.seal(json.dumps(plain).encode(), nonce=nonce, associated_data="transaction")
    envelope = {
        "id": secrets.token_hex(16),
        "create_time": now,
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": {
            "original_type": "transaction",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": sealed,
            "associated_data": "transaction",
            "nonce": nonce,
        },
    }
    return json.dumps(envelope, ensure_ascii=False)


def _build_v2(keys: Keys, fields: Mapping[str, str], sign_type: SignType = SignType.HMAC_SHA256) -> str:
    """Return a v2 body."""
    signed = {**fields, "sign": v2_sign(fields, keys["api_v2_key"], sign_type)}
    return xmlcodec.build(signed).decode()


def _upstream(path: str, body: str) -> Request:
    return {"method": "POST", "path": path, "headers": {}, "body": body}


def _request(path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Request:
    return {"method": "POST", "path": path, "headers": dict(headers), "body": json.dumps(body)}
