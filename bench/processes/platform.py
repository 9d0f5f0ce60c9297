"""A WeChat Pay public key whose private key the benchmark has, so that it can make genuine v3 notifications itself."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wechat.pay.signing import SCHEME, Signer, v3_answer_message


class Platform:
    """Signs as WeChat Pay would, for a service configured with this key; creates a key if none is given."""

    def __init__(
        self, key: rsa.RSAPrivateKey | None = None, key_id: str = "PUB_KEY_ID_0000000000000000000000000000000001"
    ) -> None:
        key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self._signer = Signer("", key_id, key)
        self.key_id = key_id

    @property
    def credentials(self) -> dict[str, str]:
        """The public key for a merchant, named as the simulator names it."""
        return {"public_key_pem": self._public_pem, "public_key_id": self.key_id}

    def sign(self, body: bytes, timestamp: str) -> dict[str, str]:
        """Return the headers of a notification."""
        nonce = secrets.token_hex(16)
        return {
            "Wechatpay-Serial": self.key_id,
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": self._signer.sign(v3_answer_message(timestamp, nonce, body)),
            "Wechatpay-Signature-Type": SCHEME,
        }
