"""Messages as WeChat Pay sends them, written by hand with the simulator's private keys.

They use none of the service's own signing or encryption, so that its checks are tested against independent messages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

BEIJING = timezone(timedelta(hours=8))
Fields = dict[str, str]


@dataclass(frozen=True)
class Message:
    """A POST to /notify."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def private_key(path: Path) -> RSAPrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def v2_sign(fields: Fields, key: str, kind: str = "HMAC-SHA256") -> str:
    """Sign by v2's rule as documented."""
    pairs = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if fields[name] != "" and name != "sign")
    text = f"{pairs}&key={key}".encode()
    if kind == "MD5":
        return hashlib.md5(text).hexdigest().upper()  # noqa: S324 - WeChat's rule
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest().upper()


def v2_xml(fields: Fields) -> bytes:
    """Return fields in CDATA, as WeChat writes them."""
    rows = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return f"<xml>{rows}</xml>".encode()


def transaction_id() -> str:
    return f"4200{secrets.randbelow(10**24):024d}"


class Platform:
    """WeChat Pay's messages to one merchant. ``state`` is the simulator's state directory."""

    def __init__(self, credentials: dict[str, Any], state: Path) -> None:
        self.known = credentials
        self.key = private_key(state / "public_key.key.pem")
        self.certificate_key = private_key(state / "platform_1.key.pem")
        self.serial = str(credentials["public_key_id"])

    # v2 --------------------------------------------------------------------------------------------------------------

    def v2_fields(self, order: dict[str, Any], **changed: str) -> Fields:
        """Return the fields of a payment of ``order`` (our API's JSON) without the signature; ``changed`` replaces and
        adds."""
        fields = {
            "return_code": "SUCCESS",
            "result_code": "SUCCESS",
            "appid": self.known["appid"],
            "mch_id": self.known["mchid"],
            "nonce_str": secrets.token_hex(16),
            "openid": order.get("openid") or self.known["users"][0]["openid"],
            "is_subscribe": "N",
            "trade_type": order.get("trade_type", "JSAPI"),
            "bank_type": "OTHERS",
            "total_fee": str(order["total"]),
            "fee_type": "CNY",
            "cash_fee": str(order["total"]),
            "transaction_id": transaction_id(),
            "out_trade_no": order["out_trade_no"],
            "time_end": datetime.now(BEIJING).strftime("%Y%m%d%H%M%S"),
        }
        return fields | changed

    def v2_signed(self, fields: Fields, kind: str = "HMAC-SHA256", key: str = "") -> Message:
        sign = v2_sign(fields, key or self.known["api_v2_key"], kind)
        return Message(v2_xml(fields | {"sign": sign}), {"Content-Type": "text/xml"})

    def v2(self, order: dict[str, Any], kind: str = "HMAC-SHA256", **changed: str) -> Message:
        """Return a genuine v2 notification."""
        return self.v2_signed(self.v2_fields(order, **changed), kind)

    # v3 --------------------------------------------------------------------------------------------------------------

    def v3_transaction(self, order: dict[str, Any], **changed: Any) -> dict[str, Any]:
        total = order["total"]
        transaction = {
            "mchid": self.known["mchid"],
            "appid": self.known["appid"],
            "out_trade_no": order["out_trade_no"],
            "transaction_id": transaction_id(),
            "trade_type": order.get("trade_type", "JSAPI"),
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "bank_type": "OTHERS",
            "attach": "",
            "success_time": datetime.now(BEIJING).isoformat(timespec="seconds"),
            "payer": {"openid": order.get("openid") or self.known["users"][0]["openid"]},
            "amount": {"total": total, "payer_total": total, "currency": "CNY", "payer_currency": "CNY"},
        }
        return transaction | changed

    def seal(self, plaintext: bytes, associated_data: str = "transaction") -> dict[str, str]:
        nonce = secrets.token_hex(6)
        sealed = AESGCM(self.known["api_v3_key"].encode()).encrypt(nonce.encode(), plaintext, associated_data.encode())
        return {
            "original_type": "transaction",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(sealed).decode(),
            "associated_data": associated_data,
            "nonce": nonce,
        }

    def v3_envelope(self, plaintext: bytes, **changed: Any) -> dict[str, Any]:
        envelope = {
            "id": secrets.token_hex(16),
            "create_time": datetime.now(BEIJING).isoformat(timespec="seconds"),
            "resource_type": "encrypt-resource",
            "event_type": "TRANSACTION.SUCCESS",
            "summary": "支付成功",
            "resource": self.seal(plaintext),
        }
        return envelope | changed

    def v3_body(self, order: dict[str, Any], **changed: Any) -> bytes:
        transaction = json.dumps(self.v3_transaction(order, **changed))
        return json.dumps(self.v3_envelope(transaction.encode()), ensure_ascii=False).encode()

    def v3_signed(
        self,
        body: bytes,
        *,
        skew_s: float = 0,
        key: RSAPrivateKey | None = None,
        serial: str | None = None,
        digest: HashAlgorithm | None = None,
        **headers: str,
    ) -> Message:
        """Return ``body`` signed now (or ``skew_s`` off); ``headers`` replace the genuine ones, named like
        ``Wechatpay_Nonce``."""
        timestamp, nonce = str(int(time.time() + skew_s)), secrets.token_hex(16)
        text = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        signature = (key or self.key).sign(text, PKCS1v15(), digest or SHA256())
        ours = {
            "Wechatpay-Serial": self.serial if serial is None else serial,
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
            "Content-Type": "application/json",
        }
        return Message(body, ours | {name.replace("_", "-"): value for name, value in headers.items()})

    def v3(self, order: dict[str, Any], **changed: Any) -> Message:
        """Return a genuine v3 notification."""
        return self.v3_signed(self.v3_body(order, **changed))


def an_order(**changed: Any) -> dict[str, Any]:
    """Return the fields of an order for messages about no order of ours."""
    return {"out_trade_no": f"{datetime.now(UTC):%Y%m%d%H%M%S}{secrets.token_hex(6)}", "total": 1800} | changed
