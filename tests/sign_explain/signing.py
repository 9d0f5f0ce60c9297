"""Signatures made by hand, sharing no code with the service, so that a slip can be made in any place."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from tests.support.keys import key

V2_KEY = "8934e7d15453e97507ef794cf7b0519d"
V3_KEY = "Zk4mWq8sVb2nTy6uRx0cPj3hLf7dGa9e"
OTHER_KEY = "0b6f2f52d1c1e4a1a94f9a3c7f20be15"
TOKEN = "fenpaypushtoken"
TICKET = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()

Pairs = Iterable[tuple[str, str]]


def joined(fields: dict[str, str]) -> str:
    """Non-empty values in order of their names."""
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields) if fields[name])


def md5(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return hashlib.md5(data, usedforsecurity=False).hexdigest().upper()


def mac(text: str, secret: str = V2_KEY) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def v2(fields: dict[str, str], secret: str = V2_KEY) -> str:
    """MD5, or HMAC-SHA256 where the fields say so."""
    text = f"{joined(fields)}&key={secret}"
    kind = fields.get("sign_type") or fields.get("signType")
    return mac(text, secret) if kind == "HMAC-SHA256" else md5(text)


def xml(fields: dict[str, str], sign: str = "") -> str:
    """XML as in WeChat's samples: one field a line, each value in CDATA; ``sign`` is last and plain."""
    rows = [f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items()]
    rows += [f"<sign>{sign}</sign>"] if sign else []
    return "<xml>\n" + "\n".join(rows) + "\n</xml>\n"


def rsa(message: str | bytes, who: str = "merchant", *, pss: bool = False, old: bool = False) -> str:
    """base64 of an RSA signature; ``old`` is SHA-1."""
    data = message.encode() if isinstance(message, str) else message
    padding: Any = PSS(MGF1(SHA256()), 32) if pss else PKCS1v15()
    return base64.b64encode(key(who).sign(data, padding, SHA1() if old else SHA256())).decode()  # noqa: S303 - a slip


def lines(*parts: str) -> str:
    return "".join(f"{part}\n" for part in parts)


def seal(plain: dict[str, Any], secret: str = V3_KEY) -> dict[str, str]:
    """The ``resource`` of a notification."""
    nonce, associated = "fdasflkja484", "transaction"
    data = AESGCM(secret.encode()).encrypt(nonce.encode(), json.dumps(plain).encode(), associated.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(data).decode(),
        "associated_data": associated,
        "nonce": nonce,
        "original_type": "transaction",
    }


def req_info(plain: str, secret: str = V2_KEY) -> str:
    """AES-256-ECB under the lower-case MD5 of the key."""
    cipher = Cipher(AES256(hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest().encode()), ECB()).encryptor()  # noqa: S305 - what WeChat sends
    data = plain.encode()
    pad = 16 - len(data) % 16
    return base64.b64encode(cipher.update(data + bytes([pad]) * pad) + cipher.finalize()).decode()


def webhook(ident: str, time: str, body: str, secret: bytes) -> str:
    content = f"{ident}.{time}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
