"""Payment scenarios at the simulator."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.simulator.merchant import Merchant, unxml, v2_sign
from tests.simulator.sink import Received
from tests.support.simulated_v3 import verify
from tests.support.simulator import Answer


def genuine(shop: Merchant, api: str, message: Received) -> bool:
    """Whether the message is signed with the merchant's APIv2 key, or with the WeChat Pay public key."""
    if api == "v2":
        fields = unxml(message.body)
        return fields["sign"] == v2_sign(fields, shop.known["api_v2_key"])
    try:
        verify(Answer(200, message.headers, message.body), shop.known["public_key_pem"])
    except InvalidSignature:
        return False
    return True


def opened(shop: Merchant, message: Received) -> dict[str, Any]:
    """Return the transaction inside a v3 notification."""
    resource = json.loads(message.body)["resource"]
    sealed = base64.b64decode(resource["ciphertext"])
    cipher = AESGCM(shop.known["api_v3_key"].encode())
    payload = json.loads(cipher.decrypt(resource["nonce"].encode(), sealed, resource["associated_data"].encode()))
    assert isinstance(payload, dict)
    return payload
