"""Refunds at the simulator."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7

from tests.simulator.merchant import Merchant, unxml
from tests.simulator.sink import Received


def advance(shop: Merchant, seconds: float) -> None:
    shop.simulator.control("POST", "clock", {"advance_s": seconds})


def ended(shop: Merchant, out_refund_no: str, within_s: float = 5) -> dict[str, Any]:
    """Return the actual data of a refund once it has ended."""
    deadline = time.monotonic() + within_s
    while (payload := shop.simulator.control("GET", f"refunds/{out_refund_no}"))["state"] == "PROCESSING":
        assert time.monotonic() < deadline, payload
        time.sleep(0.02)
    return payload


def req_info(shop: Merchant, message: Received) -> dict[str, str]:
    """Return the contents of a v2 refund notification, decrypted by hand."""
    key = hashlib.md5(shop.known["api_v2_key"].encode()).hexdigest()  # noqa: S324 - WeChat's rule
    decryptor = Cipher(AES256(key.encode()), ECB()).decryptor()  # noqa: S305 - WeChat's rule
    unpadder = PKCS7(128).unpadder()
    sealed = base64.b64decode(unxml(message.body)["req_info"])
    return unxml(unpadder.update(decryptor.update(sealed)) + unpadder.finalize())
