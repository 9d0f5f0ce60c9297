"""v3 calls to the simulator."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.simulator import Answer

JSAPI = "/v3/pay/transactions/jsapi"


def verify(answer: Answer, pem: str) -> None:
    """Check the answer's signature by hand. Raises InvalidSignature."""
    certificate = "CERTIFICATE" in pem
    load = serialization.load_pem_public_key
    key = x509.load_pem_x509_certificate(pem.encode()).public_key() if certificate else load(pem.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    head = f"{answer.headers['Wechatpay-Timestamp']}\n{answer.headers['Wechatpay-Nonce']}\n".encode()
    signature = base64.b64decode(answer.headers["Wechatpay-Signature"])
    key.verify(signature, head + answer.body + b"\n", padding.PKCS1v15(), hashes.SHA256())
