"""Explain APIv3's requests, answers and notifications, signed with RSA over lines.

Sources: https://pay.weixin.qq.com/doc/v3/merchant/4012365336 (requests), .../4013053249 (answers and notifications).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from wechat.pay.signing import PROBE, SCHEME, WINDOW_S
from wechat.sign_explain import variants
from wechat.sign_explain.conclusion import end, slip
from wechat.sign_explain.messages import Capture, Message, path_and_query
from wechat.sign_explain.model import Explanation, Keys, Kind, Slip, Verdict
from wechat.sign_explain.resource import explain_resource
from wechat.sign_explain.rsa import certificate_for_key, explain_rsa, join, show
from wechat.sign_explain.search import Dimension, Try, dimension
from wechat.sign_explain.slips import SlipCode

SIGNATURE, TIMESTAMP, NONCE, SERIAL = (
    "wechatpay-signature", "wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial",
)  # fmt: skip
ITEM = re.compile(r'(mchid|nonce_str|signature|timestamp|serial_no)\s*=\s*\\?"?([^",\\]*)\\?"?')
METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE")


def explain_request(capture: Capture, keys: Keys, now_s: float | None = None) -> Explanation:
    """Explain a request with its Authorization header."""
    message = capture.find("authorization") or Message({})
    header = message.headers.get("authorization", "")
    items = dict(ITEM.findall(header))
    given, time, nonce = (items.get(name, "") for name in ("signature", "timestamp", "nonce_str"))
    target = path_and_query(message.target)
    method = (message.method or ("POST" if message.bodies[0] else "GET")).upper()
    others = (method.lower(), method.capitalize(), *METHODS)
    lines = [
        dimension(method, *(Try(SlipCode.METHOD_DIFFERS, other, other) for other in others)),
        dimension(target, *variants.request_urls(target, message.target, message.headers.get("host", ""))),
        dimension(time, *variants.timestamps(time, capture.text)),
        dimension(nonce, *variants.nonces(nonce, capture.text)),
        _bodies(message.bodies),
    ]
    visible = [
        *certificate_for_key(keys),
        *_check_serial(items.get("serial_no", ""), keys),
        *_check_scheme(header),
        *check_clock(time, capture.dates, now_s),
    ]
    rest = SlipCode.BODY_CHANGED if message.bodies[0] else SlipCode.NONCE_DIFFERS
    pem = keys.private_key if keys.private_key and keys.private_key.private_key else None
    pem = pem or keys.certificate or keys.private_key or keys.public_key
    return explain_rsa(Kind.V3_REQUEST, lines, given, pem, visible, rest)


def explain_answer(capture: Capture, keys: Keys, kind: Kind, now_s: float | None = None) -> Explanation:
    """Explain an answer or a notification with its Wechatpay-* headers."""
    message = capture.find(SIGNATURE) or capture.find(SERIAL) or Message({})
    given, time, nonce, serial = (message.headers.get(name, "") for name in (SIGNATURE, TIMESTAMP, NONCE, SERIAL))
    lines = [
        dimension(time, *variants.timestamps(time, capture.text)),
        dimension(nonce, *variants.nonces(nonce, capture.text)),
        _bodies(message.bodies),
    ]
    if given.startswith(PROBE):
        right = show(join(("\n", True), time, nonce, message.bodies[0]))
        return end(Explanation(kind, Verdict.WRONG, (), right, given=given), [slip(SlipCode.PROBE)])
    pem = keys.public_key or keys.certificate
    visible = [
        *certificate_for_key(keys),
        *_check_platform_serial(serial, keys),
        *check_clock(time, capture.dates, now_s),
    ]
    found = explain_rsa(kind, lines, given, pem, visible, SlipCode.BODY_CHANGED)
    return explain_resource(found, message.bodies, keys) if kind is Kind.V3_NOTIFICATION else found


def _bodies(readings: Sequence[bytes]) -> Dimension:
    """Return all readings of a body, then other bodies that may have been signed."""
    found = dimension(readings[0], also_right=readings[1:])
    known = {each.value for each in found}
    for reading in readings[:2]:
        for each in variants.bodies(reading):
            if each.value not in known:
                known.add(each.value)
                found.append(each)
    return found


def _check_serial(serial: str, keys: Keys) -> Iterator[Slip]:
    """Yield the slip of another certificate's serial, of an impossible one, or of a key and certificate that are no
    pair."""
    known = keys.certificate.serial if keys.certificate else ""
    differs = bool(known) and not _same_serial(serial, known)
    strange = serial.startswith("PUB_KEY_ID") or (serial.isdecimal() and len(serial) > 40)
    own, certificate = keys.private_key, keys.certificate
    foreign = bool(own and certificate and own.public_key != certificate.public_key)
    if serial and (differs or strange or foreign):
        right = f'serial_no="{known}"' if differs else ""
        zh = f"serial_no {serial}" if not foreign or differs else "商户API证书与商户API私钥不是一对"
        en = f"serial_no {serial}" if not foreign or differs else "the certificate and the private key are not a pair"
        yield slip(SlipCode.SERIAL_OF_OTHER_KEY, zh, en, wrong=f'serial_no="{serial}"', right=right)


def _check_platform_serial(serial: str, keys: Keys) -> Iterator[Slip]:
    """Yield the slip of a message that names another of WeChat Pay's keys than the one at hand."""
    pem = keys.public_key or keys.certificate
    known = keys.public_key_id or (pem.serial if pem else "")
    if serial and known and not _same_serial(serial, known):
        yield slip(
            SlipCode.SERIAL_OF_OTHER_KEY,
            f"报文要用 {serial} 验签，手头的是 {known}",
            f"the message names {serial}, this key is {known}",
            wrong=f"Wechatpay-Serial: {serial}",
            right=f"Wechatpay-Serial: {known}",
        )


def _same_serial(one: str, other: str) -> bool:
    return one.upper().lstrip("0") == other.upper().lstrip("0")


def _check_scheme(authorization: str) -> Iterator[Slip]:
    if not authorization.startswith(f"{SCHEME} "):
        zh, en = f"Authorization 应以 {SCHEME} 开头", f"Authorization begins with {SCHEME}"
        yield slip(SlipCode.WRONG_ALGORITHM, zh, en, wrong=authorization.partition(" ")[0], right=SCHEME)


def check_clock(time: str, dates: Sequence[float], now_s: float | None) -> Iterator[Slip]:
    """Yield the slip of a timestamp five minutes or more from the capture's Date, or else from ``now_s``."""
    clock = dates[0] if dates else now_s
    if clock is None or not re.fullmatch(r"[0-9]{9,11}", time, re.ASCII) or abs(clock - int(time)) < WINDOW_S:
        return
    minutes = round(abs(clock - int(time)) / 60)
    zh, en = f"相差约 {minutes} 分钟", f"by about {minutes} minutes"
    yield slip(SlipCode.CLOCK_OFF, zh, en, wrong=time, right=str(round(clock)))
