"""Signatures of WeChat Pay: build, sign and check messages.

Pure functions and two small classes; the simulator uses the same ones, and tests/unit/pay/test_vectors.py checks them
against the published vectors. Sources: v2 https://pay.weixin.qq.com/doc/v2/merchant/4011985891 (签名算法), v3
https://pay.weixin.qq.com/doc/v3/merchant/4012365336 (request), .../4012365334 (paySign), .../4013053249 (verification).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from wechat.domain.errors import SignatureInvalid

SCHEME = "WECHATPAY2-SHA256-RSA2048"
PROBE = "WECHATPAY/SIGNTEST/"
APP_PACKAGE = "Sign=WXPay"
"""The constant ``package`` of an app's pay parameters."""
WINDOW_S = 300  # wechatpay-go refuses |now - timestamp| >= 300 s

_HEX = re.compile(r"[0-9A-F]+", re.ASCII)


class SignType(StrEnum):
    """The values of v2's ``sign_type``."""

    MD5 = "MD5"
    HMAC_SHA256 = "HMAC-SHA256"


_DIGEST_INFO = {  # RFC 8017, section 9.2, note 1
    "SHA256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "SHA1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "MD5": bytes.fromhex("3020300c06082a864886f70d020505000410"),
    "SHA512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
_V2_LENGTHS = {32: SignType.MD5, 64: SignType.HMAC_SHA256}


def v2_string(fields: Mapping[str, str], key: str) -> str:
    """Build the text that v2 signs: non-empty fields except ``sign`` in byte order of their names, then the key."""
    pairs = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if fields[name] and name != "sign")
    return f"{pairs}&key={key}"


def v2_sign(fields: Mapping[str, str], key: str, kind: SignType) -> str:
    """Compute ``sign`` of ``fields`` in upper-case hex. With HMAC, too, the text ends in the key, as WeChat demands."""
    if not key:
        raise ValueError("an empty key signs nothing")
    text = v2_string(fields, key).encode()
    if kind is SignType.MD5:
        return hashlib.md5(text, usedforsecurity=False).hexdigest().upper()
    return hmac.digest(key.encode(), text, "sha256").hex().upper()


def v2_verify(fields: Mapping[str, str], key: str) -> SignType:
    """Check ``fields["sign"]`` and return its kind. Raises SignatureInvalid.

    The length of ``sign`` decides the kind: notifications often lack ``sign_type``, and WeChat has sent MD5 when
    HMAC-SHA256 was requested. A ``sign_type`` that is present must agree, and is signed like any other field.
    """
    sign = fields.get("sign", "")
    kind = _V2_LENGTHS.get(len(sign))
    if kind is None or not _HEX.fullmatch(sign):
        raise SignatureInvalid("sign_shape" if sign else "sign_missing")
    if fields.get("sign_type") not in (None, "", kind):
        raise SignatureInvalid("sign_type")
    if not hmac.compare_digest(v2_sign(fields, key, kind).encode(), sign.encode()):
        raise SignatureInvalid("sign_wrong")
    return kind


def v2_pay_fields(appid: str, timestamp: str, nonce: str, package: str, kind: SignType) -> dict[str, str]:
    """Return the five fields that v2's paySign signs."""
    return {"appId": appid, "timeStamp": timestamp, "nonceStr": nonce, "package": package, "signType": kind.value}


def v2_app_fields(appid: str, mchid: str, prepay_id: str, timestamp: str, nonce: str) -> dict[str, str]:
    """Return the six fields that v2's ``sign`` of an app signs.

    Source: https://pay.weixin.qq.com/wiki/doc/api/app/app.php?chapter=9_12 (调起支付接口).
    """
    return {
        "appid": appid,
        "partnerid": mchid,
        "prepayid": prepay_id,
        "package": APP_PACKAGE,
        "noncestr": nonce,
        "timestamp": timestamp,
    }


def lines(*parts: str | bytes) -> bytes:
    """Build v3's message: each part, even the last or an empty one, is followed by a line feed."""
    return b"".join((part.encode() if isinstance(part, str) else part) + b"\n" for part in parts)


def v3_request_message(method: str, url: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """Build the text that a request signs. ``url`` is path and query exactly as sent, without the host."""
    return lines(method, url, timestamp, nonce, body)


def v3_answer_message(timestamp: str, nonce: str, body: bytes) -> bytes:
    """Build the text that an answer or a notification signs, over the raw body (empty for 204)."""
    return lines(timestamp, nonce, body)


def v3_pay_message(appid: str, timestamp: str, nonce: str, package: str) -> bytes:
    """Build the text that paySign signs on v3: four lines, without ``signType``.

    For an app, ``package`` is the prepay_id alone (https://pay.weixin.qq.com/doc/v3/merchant/4013070351, APP调起支付).
    """
    return lines(appid, timestamp, nonce, package)


class Signer:
    """Signs as one merchant: RSA-2048, SHA-256, PKCS#1 v1.5, base64."""

    def __init__(self, mchid: str, serial_no: str, key: RSAPrivateKey, ends_at: datetime | None = None) -> None:
        self.mchid = mchid
        self.ends_at = ends_at
        self.serial_no = serial_no
        self._key = key

    def sign(self, message: bytes) -> str:
        return base64.b64encode(self._key.sign(message, PKCS1v15(), SHA256())).decode()

    def authorization(self, method: str, url: str, body: bytes, *, timestamp: str, nonce: str) -> str:
        """Return the Authorization header of a request."""
        signature = self.sign(v3_request_message(method, url, timestamp, nonce, body))
        return (
            f'{SCHEME} mchid="{self.mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{timestamp}",serial_no="{self.serial_no}"'
        )


def rsa_verify(key: RSAPublicKey, message: bytes, signature: str) -> None:
    """Check a base64 signature. Raises SignatureInvalid for a wrong signature or invalid base64.

    WeChat's signature probes (``WECHATPAY/SIGNTEST/…``) are refused like any wrong signature; only the reason differs.
    """
    try:
        key.verify(base64.b64decode(signature.encode("ascii"), validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, UnicodeEncodeError):
        raise SignatureInvalid("probe" if signature.startswith(PROBE) else "sign_wrong") from None


def recover_digest(key: RSAPublicKey, signature: str) -> tuple[str, bytes] | None:
    """Return the name of the hash and the digest in ``signature``; None for another key, or padding other than PKCS#1.

    It distinguishes a wrong key from a changed message, which a verification cannot. For diagnosis only, because it
    verifies nothing.
    """
    try:
        signed = key.recover_data_from_signature(base64.b64decode(signature, validate=True), PKCS1v15(), None)
    except (InvalidSignature, binascii.Error, ValueError):
        return None
    return next(((name, signed[len(head) :]) for name, head in _DIGEST_INFO.items() if signed.startswith(head)), None)


def made_with_pss(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """Whether ``signature`` is a signature of ``message`` with the padding PSS, which WeChat Pay does not use."""
    try:
        padding = PSS(MGF1(SHA256()), PSS.AUTO)
        key.verify(base64.b64decode(signature, validate=True), message, padding, SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def check_window(timestamp: str, now_s: float) -> None:
    """Raise SignatureInvalid for a timestamp five minutes or more before or after ``now_s`` (Unix seconds)."""
    if not re.fullmatch(r"[0-9]{1,12}", timestamp, re.ASCII):
        raise SignatureInvalid("timestamp_shape")
    if abs(now_s - int(timestamp)) >= WINDOW_S:
        raise SignatureInvalid("stale")
