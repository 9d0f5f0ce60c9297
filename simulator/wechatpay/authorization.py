"""Check the Authorization header of a v3 request, from its form to its signature.

Source: https://pay.weixin.qq.com/doc/v3/merchant/4012365336 (如何构造接口请求签名).
"""

from __future__ import annotations

import re
import time
from typing import Any

from tornado.httputil import HTTPServerRequest

from simulator.state.pki import Certified, Identity
from simulator.wechatpay.v3_errors import V3Refusal
from wechat.domain.errors import SignatureInvalid
from wechat.pay.signing import SCHEME, check_window, rsa_verify, v3_request_message

ITEMS = frozenset({"mchid", "nonce_str", "signature", "timestamp", "serial_no"})
BAD_FORMAT = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"


def authorize(request: HTTPServerRequest, identity: Identity, merchant: Certified, missing_words: str) -> None:
    """Check a request. Raises V3Refusal; ``missing_words`` is this path's message for a missing Authorization."""
    items = _items(request.headers.get("Authorization", ""), missing_words)
    try:
        check_window(items["timestamp"], time.time())
    except SignatureInvalid:
        raise _sign_error("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟") from None
    if items["mchid"] != identity.mchid:
        raise V3Refusal("MCH_NOT_EXISTS", "商户号不存在")
    if not _is_serial(items["serial_no"], merchant.serial_no):
        raise _sign_error("商户证书序列号有误。请使用签名私钥匹配的证书序列号")
    _check_signature(request, items, merchant)


def _items(header: str, missing_words: str) -> dict[str, str]:
    if not header:
        raise _sign_error(missing_words)
    scheme, _, rest = header.partition(" ")
    if scheme != SCHEME:
        raise _sign_error("HTTP头Authorization认证类型不正确")
    items = dict(re.findall(r'([a-z_]+)="([^"]*)"', rest))
    if set(items) != ITEMS or len(rest.split(",")) != len(ITEMS) or not all(items.values()):
        raise _sign_error(BAD_FORMAT)
    return items


def _is_serial(told: str, serial_no: str) -> bool:
    """Whether both are the same serial number: SDKs write it in lower case, and some without its first zeros."""
    return bool(re.fullmatch(r"[0-9A-Fa-f]{1,64}", told, re.ASCII)) and int(told, 16) == int(serial_no, 16)


def _check_signature(request: HTTPServerRequest, items: dict[str, str], merchant: Certified) -> None:
    method, url = request.method or "", request.uri or ""
    message = v3_request_message(method, url, items["timestamp"], items["nonce_str"], request.body)
    try:
        rsa_verify(merchant.key.public_key(), message, items["signature"])
    except SignatureInvalid:
        raise _sign_error("签名错误，请检查后再试", _sign_detail(method, url, message)) from None


def _sign_error(message: str, detail: dict[str, Any] | None = None) -> V3Refusal:
    return V3Refusal("SIGN_ERROR", message, detail)


def _sign_detail(method: str, url: str, message: bytes) -> dict[str, Any]:
    """Return the detail that WeChat shows of the text that should have been signed."""
    return {
        "detail": {"issue": "sign not match"},
        "field": "signature",
        "location": "authorization",
        "sign_information": {
            "method": method,
            "url": url,
            "truncated_sign_message": message[:128].decode("utf-8", "replace"),
            "sign_message_length": len(message),
        },
    }
