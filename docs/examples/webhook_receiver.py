"""收事件的样例，只用标准库 · A sample receiver of events, standard library only.

    WEBHOOK_SECRET=whsec_… python webhook_receiver.py 9100

验签，按 webhook-id 只处理一次，先记下再应答 2xx · verify, act once per webhook-id, keep it before answering 2xx.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE_S = 300
MAX_BODY = 64 * 1024


class Refused(Exception):
    """The message lacks a header, a recent timestamp or a valid signature, or is not a JSON object."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None) -> dict[str, Any]:
    """The event in ``body``, exactly as it came, if one of its signatures is by ``secret``. Raises Refused.

    ``headers`` finds names in lower case. Verify first, parse afterwards; compare in constant time.
    """
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not event_id or not (timestamp.isascii() and timestamp.isdigit()):
        raise Refused("headers are missing")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_S:
        raise Refused("too old, or from the future")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    if not any(hmac.compare_digest(expected, given) for given in _signatures(headers.get("webhook-signature", ""))):
        raise Refused("no signature is ours")
    try:
        event = json.loads(body)
    except ValueError:
        raise Refused("not JSON") from None
    if not isinstance(event, dict):
        raise Refused("not an object")
    return event


def _signatures(header: str) -> list[bytes]:
    """Decode the signatures of version ``v1``; parts of other versions or with invalid base64 are skipped."""
    found = []
    for part in header.split(" "):
        version, _, text = part.partition(",")
        try:
            found += [base64.b64decode(text, validate=True)] if version == "v1" else []
        except (binascii.Error, ValueError):
            continue
    return found


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 when an event is kept, 401 when it is not believed. A real one keeps it in a database."""

    secret = ""
    kept: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - one for all requests, as a database would be

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(min(length, MAX_BODY))
        try:
            event = verify(self.secret, self.headers, body)
        except Refused:
            self.send_response(401)
        else:
            self.kept.setdefault(self.headers["webhook-id"], event)  # a repetition changes nothing
            self.send_response(204)
        self.end_headers()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """The event's id and our answer, nothing of what was sent."""
        sys.stderr.write(f"{self.headers.get('webhook-id', '-')!r} {code}\n")


if __name__ == "__main__":
    Receiver.secret = os.environ["WEBHOOK_SECRET"]
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
