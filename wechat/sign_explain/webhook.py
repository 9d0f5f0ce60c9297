"""Explain events that Fenpay delivers, in the format of Standard Webhooks.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace

from wechat.domain.errors import Bilingual
from wechat.events.signature import PREFIX, parse_secret
from wechat.sign_explain import variants
from wechat.sign_explain.conclusion import conclude, end, slip
from wechat.sign_explain.messages import Capture, Message
from wechat.sign_explain.model import Explanation, Keys, Kind, Verdict
from wechat.sign_explain.search import Dimension, Try, dimension, search
from wechat.sign_explain.slips import SlipCode
from wechat.sign_explain.v3 import check_clock

NEED_SECRET = Bilingual("需要 --key：该接收方的 whsec_… 密钥", "--key is needed: the receiver's whsec_… secret")


def explain_webhook(capture: Capture, keys: Keys, now_s: float | None = None) -> Explanation:
    """Explain a delivery of Fenpay."""
    message = capture.find("webhook-signature") or capture.find("webhook-id") or Message({})
    ident, time, header = (message.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    signatures = [part.partition(",")[2] for part in header.split() if "," in part] or [header]
    secrets = [*keys.given, *keys.webhook_secrets]
    visible = [*check_clock(time, capture.dates, now_s)]
    right = f"{ident}.{time}.".encode() + message.bodies[0]
    base = Explanation(
        Kind.WEBHOOK, Verdict.UNRECOGNISED, tuple(visible), right.decode("utf-8", "replace"), given=header
    )
    if not header:
        return end(base, [*visible, slip(SlipCode.SIGN_MISSING)])
    if not secrets:
        return end(base, visible) if visible else replace(base, hint=NEED_SECRET)
    base = replace(base, computed=f"v1,{_mac(_webhook_keys(secrets)[0].value, right)}")
    bodies = dimension(message.bodies[0], *variants.bodies(message.bodies[0]), also_right=message.bodies[1:])
    tries = [
        _webhook_keys(secrets),
        dimension(ident, *variants.nonces(ident, capture.text)),
        dimension(time, *variants.timestamps(time, capture.text)),
        bodies,
        dimension(
            "{}.{}.", Try(SlipCode.VALUE_CHANGED, "", "body"), Try(SlipCode.VALUE_CHANGED, "{1}.", "timestamp.body")
        ),
    ]

    def fits(key: bytes, one: str, moment: str, body: bytes, form: str) -> bool:
        mac = _mac(key, form.format(one, moment).encode() + body).encode()
        return any(hmac.compare_digest(mac, given.encode()) for given in signatures)

    found = search(tries, fits)
    if found is None:
        return end(base, [*visible, slip(SlipCode.WRONG_KEY)])
    key, one, moment, body, form = found.values
    signed = form.format(one, moment).encode() + body
    if not found.slips:
        base = replace(base, computed=f"v1,{_mac(key, signed)}")
    return conclude(base, found, visible, signed.decode("utf-8", "replace"))


def _mac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _webhook_keys(secrets: Sequence[str]) -> Dimension:
    found: list[Try] = []
    for secret in secrets:
        try:
            found.append(Try(None, parse_secret(secret)))
        except ValueError:
            found.append(Try(None, _decode(secret.strip().removeprefix(PREFIX))))
            if secret[:1].isspace() or secret[-1:].isspace():
                found[-1] = Try(SlipCode.KEY_HAS_BLANKS, found[-1].value)
    first = secrets[0]
    found.append(Try(SlipCode.KEY_NOT_DECODED, first.encode()))
    found.append(Try(SlipCode.KEY_NOT_DECODED, first.strip().removeprefix(PREFIX).encode()))
    found += [Try(SlipCode.KEY_HAS_BLANKS, first.encode() + blank) for blank in (b"\n", b" ")]
    found += [Try(SlipCode.KEY_HAS_BLANKS, first.removeprefix(PREFIX).encode() + blank) for blank in (b"\n", b" ")]
    return found if any(one.slip is None for one in found) else [Try(None, b"\0"), *found]


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return text.encode()
