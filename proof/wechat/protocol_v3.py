"""WeChat Pay v3's protocol: JSON, RSA, AES-256-GCM. Independent of ``wechat`` and ``simulator``."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from proof.wechat.payments import OrderRequest, Payment, Refund, Refused, WeChat
from proof.wechat.platform_keys import OneKey, PlatformKeys, SigningKey
from wechat.support.transport import Answer, Request

BEIJING = timezone(timedelta(hours=8))
ORDERS = "/v3/pay/transactions/out-trade-no/"
PAYMENTS = "/v3/pay/transactions/id/"
REFUNDS = "/v3/refund/domestic/refunds"
CERTIFICATES = "/v3/certificates"
STATUSES = {
    "CERT_ERROR": 403,
    "FREQUENCY_LIMITED": 429,
    "INVALID_REQ_TOO_MUCH": 429,
    "NO_AUTH": 403,
    "NOT_ENOUGH": 403,
    "ORDER_NOT_EXIST": 404,
    "RESOURCE_NOT_EXISTS": 404,
    "SIGN_ERROR": 401,
}
NONCE = "proof-nonce0"  # twelve bytes, as AES-GCM requires


class ProtocolV3:
    """Answers requests and writes notifications for one merchant."""

    def __init__(self, world: WeChat, appid: str, mchid: str, api_key: str, keys: PlatformKeys | OneKey) -> None:
        self._world = world
        self._appid = appid
        self._mchid = mchid
        self._aead = AESGCM(api_key.encode())
        self._keys = keys
        self._messages = 0

    def answer(self, request: Request, now: datetime) -> Answer:
        """Carry out ``request`` and return WeChat's answer."""
        try:
            result = self._list_certificates(now) if request.target == CERTIFICATES else self._act(request, now)
        except Refused as refused:
            return self.refusal(refused.code)
        body = json.dumps(result).encode() if result is not None else b""
        return Answer(200 if body else 204, self.sign_answer(request, body, now), body)

    def refusal(self, code: str) -> Answer:
        """Return a refusal, which WeChat does not sign."""
        return Answer(STATUSES.get(code, 400), {}, json.dumps({"code": code, "message": code}).encode())

    def sign_answer(self, request: Request, body: bytes, now: datetime) -> dict[str, str]:
        """Return headers that sign ``body`` as the answer to ``request``, with the key that it names, if that
        is valid."""
        return _sign(self._keys.for_answer(request.headers.get("Wechatpay-Serial", ""), now), body, now)

    def payment_message(self, payment: Payment, total: int, now: datetime) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a payment's notification."""
        content = self._payment(payment) | {
            "amount": {"total": total, "currency": "CNY", "payer_total": payment.payer_total}
        }
        about = f"{payment.transaction_id}-{payment.number}-{self._appid}"
        return self._message(about, "TRANSACTION.SUCCESS", "transaction", content, now)

    def refund_message(self, refund: Refund, now: datetime) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a refund's notification."""
        content = _refund(refund) | {"mchid": self._mchid, "refund_status": refund.state}
        about = f"{refund.refund_id}-{refund.state}"
        return self._message(about, f"REFUND.{refund.state}", "refund", content, now)

    def unknown_message(self, now: datetime) -> tuple[dict[str, str], bytes]:
        """Return a genuine notification of an unknown kind."""
        self._messages += 1
        return self._message(f"unknown-{self._messages}", "MARKETING.NEWS", "news", {}, now)

    def _act(self, request: Request, now: datetime) -> dict[str, Any] | None:
        path = request.target.partition("?")[0]
        body = json.loads(request.body) if request.body else {}
        if path == "/v3/pay/transactions/jsapi":
            order_request = OrderRequest(
                body["out_trade_no"],
                body["amount"]["total"],
                body["payer"]["openid"],
                body["description"],
                datetime.fromisoformat(body["time_expire"]),
            )
            return {"prepay_id": self._world.place(order_request, "v3", now).prepay_id}
        if path.startswith(ORDERS) and path.endswith("/close"):
            self._world.close(unquote(path[len(ORDERS) : -len("/close")]), "v3", now)
            return None
        if path.startswith(ORDERS):
            return self._query(unquote(path[len(ORDERS) :]))
        if path.startswith(PAYMENTS):
            payment = self._world.find_payment(unquote(path[len(PAYMENTS) :]))
            return self._payment(payment) | {"trade_state": self._world.tell_payment(payment)}
        if path == REFUNDS:
            amounts = body["amount"]["refund"], body["amount"]["total"]
            refund = self._world.refund(body["transaction_id"], body["out_refund_no"], *amounts, now)
            return _refund(refund) | {"status": refund.state}
        if path.startswith(REFUNDS):
            refund = self._world.find_refund(unquote(path[len(REFUNDS) + 1 :]))
            return _refund(refund) | {"status": refund.state}
        raise Refused("PARAM_ERROR")

    def _list_certificates(self, now: datetime) -> dict[str, Any]:
        listed = self._keys.downloadable(now)
        if not listed:
            raise Refused("RESOURCE_NOT_EXISTS")
        sealed = [(key.serial, self._seal(key.certificate(), "certificate")) for key in listed]
        return {"data": [{"serial_no": serial, "encrypt_certificate": parts} for serial, parts in sealed]}

    def _seal(self, content: bytes, about: str) -> dict[str, str]:
        """Encrypt ``content`` for the merchant."""
        sealed = self._aead.encrypt(NONCE.encode(), content, about.encode())
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "associated_data": about,
            "nonce": NONCE,
            "ciphertext": base64.b64encode(sealed).decode(),
        }

    def _query(self, number: str) -> dict[str, Any]:
        order = self._world.find(number)
        state = self._world.tell_state(order)
        if order.payments:
            return self._payment(self._world.tell_first_payment(order)) | {"trade_state": state}
        return {"mchid": self._mchid, "out_trade_no": number, "trade_state": state}

    def _payment(self, payment: Payment) -> dict[str, Any]:
        return {
            "appid": self._appid,
            "mchid": self._mchid,
            "out_trade_no": payment.number,
            "transaction_id": payment.transaction_id,
            "trade_type": "JSAPI",
            "trade_state": "SUCCESS",
            "success_time": _beijing(payment.at),
            "payer": {"openid": payment.openid},
            "amount": {"total": payment.total, "currency": "CNY", "payer_total": payment.payer_total},
        }

    def _message(
        self, about: str, event_type: str, original: str, content: Mapping[str, Any], now: datetime
    ) -> tuple[dict[str, str], bytes]:
        resource = self._seal(json.dumps(content).encode(), original) | {"original_type": original}
        envelope = {
            "id": f"EV-{about}",
            "create_time": _beijing(now),
            "event_type": event_type,
            "resource_type": "encrypt-resource",
            "resource": resource,
        }
        body = json.dumps(envelope).encode()
        return _sign(self._keys.for_message(now), body, now), body


def _sign(key: SigningKey, body: bytes, now: datetime) -> dict[str, str]:
    timestamp = str(int(now.timestamp()))
    signature = key.key.sign(f"{timestamp}\n{NONCE}\n".encode() + body + b"\n", PKCS1v15(), SHA256())
    return {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": NONCE,
        "Wechatpay-Serial": key.serial,
        "Wechatpay-Signature": base64.b64encode(signature).decode(),
    }


def _refund(refund: Refund) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "out_refund_no": refund.out_refund_no,
        "refund_id": refund.refund_id,
        "out_trade_no": refund.number,
        "transaction_id": refund.transaction_id,
        "amount": {
            "refund": refund.amount,
            "total": refund.total,
            "currency": "CNY",
            "payer_refund": refund.amount - refund.coupon,
            "settlement_refund": refund.amount - refund.coupon,
        },
    }
    if refund.success_at:
        fields["success_time"] = _beijing(refund.success_at)
    return fields


def _beijing(moment: datetime) -> str:
    return moment.astimezone(BEIJING).isoformat(timespec="seconds")
