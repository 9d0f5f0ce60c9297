"""The signature of Standard Webhooks 1.0.0.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)


def sign(secret: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """Compute ``v1,<base64>``: HMAC-SHA256 over ``id.timestamp.body``. ``timestamp`` is the attempt's Unix time."""
    content = signed_content(event_id, timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()


def signed_content(event_id: str, timestamp: int, body: bytes) -> bytes:
    """Return the bytes that a signature covers."""
    return f"{event_id}.{timestamp}.".encode() + body


def parse_secret(text: str) -> bytes:
    """Parse ``whsec_<base64>`` and return the key. Raises ValueError unless it is 24 to 64 bytes long."""
    if not re.fullmatch(rf"{PREFIX}[A-Za-z0-9+/]+={{0,2}}", text, re.ASCII):
        raise ValueError("not a whsec_ secret")
    secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    if len(secret) not in SECRET_BYTES:
        raise ValueError("not 24 to 64 bytes")
    return secret
