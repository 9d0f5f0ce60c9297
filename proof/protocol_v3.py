"""WeChat Pay v3 on the wire: JSON, RSA, AES-256-GCM. Written apart from ``wechat`` and ``simulator``."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from proof.wechat import Payment, Refund, Refused, Terms, WeChat
from wechat.support.transport import Answer, Request

BEIJING = timezone(timedelta(hours=8))
ORDERS = "/v3/pay/transactions/out-trade-no/"
PAYMENTS = "/v3/pay/transactions/id/"
REFUNDS = "/v3/refund/domestic/refunds"
STATUSES = {
    "FREQUENCY_LIMITED": 429,
    "NOT_ENOUGH": 403,
    "ORDER_NOT_EXIST": 404,
    "RESOURCE_NOT_EXISTS": 404,
    "SIGN_ERROR": 401,
}
NONCE = "proof-nonce0"  # twelve characters, as AES-GCM wants


class ProtocolV3:
    """Answers requests and writes notifications for one merchant."""

    def __init__(self, world: WeChat, appid: str, mchid: str, api_key: str, serial: str, key: RSAPrivateKey) -> None:
        self._world = world
        self._appid = appid
        self._mchid = mchid
        self._aead = AESGCM(api_key.encode())
        self._serial = serial
        self._key = key
        self._messages = 0

    def answer(self, request: Request, now: datetime) -> Answer:
        """What WeChat answers, with its effect done."""
        try:
            result = self._act(request, now)
        except Refused as refused:
            return self.refusal(refused.code)
        body = json.dumps(result).encode() if result is not None else b""
        return Answer(200 if body else 204, self.sign(body, now), body)

    def refusal(self, code: str) -> Answer:
        """A no, which WeChat does not sign."""
        return Answer(STATUSES.get(code, 400), {}, json.dumps({"code": code, "message": code}).encode())

    def payment_message(self, payment: Payment, total: int, now: datetime) -> tuple[dict[str, str], bytes]:
        """Headers and body of a payment's notification."""
        content = self._payment(payment) | {"amount": {"total": total, "currency": "CNY", "payer_total": total}}
        return self._message(payment.transaction_id, "TRANSACTION.SUCCESS", "transaction", content, now)

    def refund_message(self, refund: Refund, now: datetime) -> tuple[dict[str, str], bytes]:
        """Headers and body of a refund's notification."""
        content = _refund(refund) | {"mchid": self._mchid, "refund_status": refund.state}
        about = f"{refund.refund_id}-{refund.state}"
        return self._message(about, f"REFUND.{refund.state}", "refund", content, now)

    def unknown_message(self, now: datetime) -> tuple[dict[str, str], bytes]:
        """A genuine notification of a kind that nobody knows."""
        self._messages += 1
        return self._message(f"unknown-{self._messages}", "MARKETING.NEWS", "news", {}, now)

    def sign(self, body: bytes, now: datetime) -> dict[str, str]:
        timestamp = str(int(now.timestamp()))
        signature = self._key.sign(f"{timestamp}\n{NONCE}\n".encode() + body + b"\n", PKCS1v15(), SHA256())
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": NONCE,
            "Wechatpay-Serial": self._serial,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
        }

    def _act(self, request: Request, now: datetime) -> dict[str, Any] | None:
        path = request.target.partition("?")[0]
        body = json.loads(request.body) if request.body else {}
        if path == "/v3/pay/transactions/jsapi":
            terms = Terms(
                body["out_trade_no"],
                body["amount"]["total"],
                body["payer"]["openid"],
                body["description"],
                datetime.fromisoformat(body["time_expire"]),
            )
            return {"prepay_id": self._world.place(terms, "v3", now).prepay_id}
        if path.startswith(ORDERS) and path.endswith("/close"):
            self._world.close(unquote(path[len(ORDERS) : -len("/close")]), "v3", now)
            return None
        if path.startswith(ORDERS):
            return self._queried(unquote(path[len(ORDERS) :]))
        if path.startswith(PAYMENTS):
            return self._payment(self._world.find_payment(unquote(path[len(PAYMENTS) :])))
        if path == REFUNDS:
            amounts = body["amount"]["refund"], body["amount"]["total"]
            refund = self._world.refund(body["transaction_id"], body["out_refund_no"], *amounts, now)
            return _refund(refund) | {"status": refund.state}
        if path.startswith(REFUNDS):
            refund = self._world.find_refund(unquote(path[len(REFUNDS) + 1 :]))
            return _refund(refund) | {"status": refund.state}
        raise Refused("PARAM_ERROR")

    def _queried(self, number: str) -> dict[str, Any]:
        order = self._world.find(number)
        state = self._world.trade_state(order)
        if order.payments:
            return self._payment(order.payments[0]) | {"trade_state": state}
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
            "amount": {"total": payment.total, "currency": "CNY", "payer_total": payment.total},
        }

    def _message(
        self, about: str, event_type: str, original: str, content: Mapping[str, Any], now: datetime
    ) -> tuple[dict[str, str], bytes]:
        sealed = self._aead.encrypt(NONCE.encode(), json.dumps(content).encode(), original.encode())
        resource = {
            "algorithm": "AEAD_AES_256_GCM",
            "original_type": original,
            "associated_data": original,
            "nonce": NONCE,
            "ciphertext": base64.b64encode(sealed).decode(),
        }
        envelope = {
            "id": f"EV-{about}",
            "create_time": _beijing(now),
            "event_type": event_type,
            "resource_type": "encrypt-resource",
            "resource": resource,
        }
        body = json.dumps(envelope).encode()
        return self.sign(body, now), body


def _refund(refund: Refund) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "out_refund_no": refund.out_refund_no,
        "refund_id": refund.refund_id,
        "out_trade_no": refund.number,
        "transaction_id": refund.transaction_id,
        "amount": {"refund": refund.amount, "total": refund.total, "currency": "CNY"},
    }
    if refund.success_at:
        fields["success_time"] = _beijing(refund.success_at)
    return fields


def _beijing(moment: datetime) -> str:
    return moment.astimezone(BEIJING).isoformat(timespec="seconds")
