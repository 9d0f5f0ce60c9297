"""Authenticate the operator's command line, which proves that it can read the settings by signing each request.

A reader of ``session.secret`` can forge sessions and has the databases' addresses, too, so this grants no additional
rights. No credential is sent, and a signature is valid for one request, for a minute.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from wechat.domain.errors import Bilingual, Unauthorized
from wechat.domain.ports import Clock, TokenStore

SCHEME = "Fenpay-Operator"
PURPOSE = b"fenpay operator request 1"
WINDOW_S = 60
STREAM_CHECK = "/console/live/check"
"""A stream that the doctor reads, to see whether it arrives as it is sent."""
_HEADER = re.compile(rf"{SCHEME} t=([0-9]{{1,12}}),n=([0-9a-f]{{32}}),s=([0-9a-f]{{64}})", re.ASCII)


class OperatorRefused(Unauthorized):
    code = "NOT_THE_OPERATOR"
    text = Bilingual(
        "签名无效：请用服务正在使用的配置文件（--settings），并校准本机时钟",
        "The signature is not valid: give the settings file that the service runs with (--settings), and set this "
        "machine's clock",
    )


def sign_request(secret: str, method: str, target: str, body: bytes, at: int, nonce: str) -> str:
    """Return the Authorization header for a request to ``target`` (path and query) at ``at`` (Unix time).

    ``nonce`` is 32 hex digits.
    """
    return f"{SCHEME} t={at},n={nonce},s={_sign(secret, method, target, body, at, nonce)}"


class OperatorGate:
    """Checks the signatures of the operator's requests."""

    def __init__(self, secrets: Sequence[str], clock: Clock, tokens: TokenStore) -> None:
        self._secrets = secrets
        self._clock = clock
        self._tokens = tokens

    async def check(self, header: str, method: str, target: str, body: bytes) -> None:
        """Check a request. Raises OperatorRefused for a signature that is wrong, old, or was used before."""
        found = _HEADER.fullmatch(header)
        if found is None:
            raise OperatorRefused
        at, nonce, signature = int(found[1]), found[2], found[3]
        right = [hmac.compare_digest(_sign(each, method, target, body, at, nonce), signature) for each in self._secrets]
        if not any(right) or abs(self._clock.now().timestamp() - at) > WINDOW_S:
            raise OperatorRefused
        if not await self._tokens.remember(f"operator:{nonce}", "1", 2 * WINDOW_S):
            raise OperatorRefused


def _sign(secret: str, method: str, target: str, body: bytes, at: int, nonce: str) -> str:
    key = hmac.digest(secret.encode(), PURPOSE, "sha256")
    text = "\n".join((method, target, str(at), nonce, hashlib.sha256(body).hexdigest()))
    return hmac.digest(key, text.encode(), "sha256").hex()
