"""The base settings of tests, and the values that no message may show."""

from __future__ import annotations

from typing import Any

from tests.support.keys import certificate_pem, private_pem, public_pem

KNOWN: dict[str, Any] = {
    "appid": "wxsim0123456789",
    "appsecret": "appsecret-0123456789",
    "mchid": "sim1900000109",
    "api_v2_key": "0123456789abcdefghijklmnopqrstuv",
    "api_v3_key": "0123456789abcdef0123456789ABCDEF",
    "merchant_private_key_pem": private_pem("ours"),
    "merchant_cert_pem": certificate_pem("ours"),
    "public_key_pem": public_pem("theirs"),
    "public_key_id": "PUB_KEY_ID_01",
}
