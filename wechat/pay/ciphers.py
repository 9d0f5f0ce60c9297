"""AES-256-GCM, which v3 wraps certificates and notifications in.

Source: https://pay.weixin.qq.com/doc/v3/merchant/4012071382 (如何解密回调报文和平台证书).
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wechat.errors import Malformed, Text

KEY_BYTES = 32
NONCE_BYTES = 12
WRONG_KEY = Text(
    "APIv3 密钥与该商户号不符；请核对后重启，微信会重发通知",
    "The APIv3 key does not belong to this merchant; correct it and restart, WeChat repeats the notification",
)


class AeadCipher:
    """Opens (and, for the simulator, seals) ``resource`` and ``encrypt_certificate`` blocks with the APIv3 key."""

    def __init__(self, api_v3_key: str) -> None:
        key = api_v3_key.encode()
        if len(key) != KEY_BYTES:  # AESGCM itself would take 16 or 24
            raise ValueError("the APIv3 key has 32 bytes")
        self._aead = AESGCM(key)

    def open(self, *, nonce: str, associated_data: str, ciphertext: str) -> bytes:
        """The plaintext. ``ciphertext`` is base64 of the sealed bytes and their 16-byte tag. Raises Malformed."""
        if len(nonce.encode()) != NONCE_BYTES:
            raise Malformed("aead_nonce")
        try:
            sealed = base64.b64decode(ciphertext.encode("ascii"), validate=True)
            return self._aead.decrypt(nonce.encode(), sealed, associated_data.encode())
        except InvalidTag:
            raise Malformed("aead_tag", WRONG_KEY) from None
        except (binascii.Error, ValueError):
            raise Malformed("aead_base64") from None

    def seal(self, plaintext: bytes, *, nonce: str, associated_data: str) -> str:
        """The inverse of ``open``."""
        return base64.b64encode(self._aead.encrypt(nonce.encode(), plaintext, associated_data.encode())).decode()
