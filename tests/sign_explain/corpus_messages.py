"""Refund notifications of APIv2, our own webhooks and messages that WeChat pushes, right ones and ones with a slip."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator

from tests.sign_explain.corpus import VECTORS, Case
from tests.sign_explain.signing import OTHER_KEY, SECRET, TOKEN, V2_KEY, V3_KEY, req_info, sha1, webhook, xml
from wechat.sign_explain.model import Keys

REFUND = "<root><out_refund_no><![CDATA[R1]]></out_refund_no><refund_status><![CDATA[SUCCESS]]></refund_status></root>"
V2 = Keys(v2=V2_KEY, v3=V3_KEY)


def refund(sealed: str) -> str:
    return xml({"return_code": "SUCCESS", "appid": "wx1", "mch_id": "10000100", "nonce_str": "abc", "req_info": sealed})


def req_info_right() -> Iterator[Case]:
    yield Case("notification", "v2-req-info", refund(req_info(REFUND)), V2)
    published = (VECTORS / "req_info.txt").read_text().strip()
    yield Case("published", "v2-req-info", refund(published), Keys(given=("ziR0QKsTUfMOuochC9RfCdmfHECorQAP",)))
    yield Case(
        "broken into lines", "v2-req-info", refund("\n".join((req_info(REFUND)[:64], req_info(REFUND)[64:]))), V2
    )


def req_info_slips() -> Iterator[Case]:
    yield Case("another key", "v2-req-info", refund(req_info(REFUND, OTHER_KEY)), V2, ("WRONG_KEY",))
    yield Case("the APIv3 key", "v2-req-info", refund(req_info(REFUND, V3_KEY)), V2, ("KEY_OF_OTHER_API",))
    yield Case(
        "a key with a blank", "v2-req-info", refund(req_info(REFUND)), Keys(given=(V2_KEY + " ",)), ("KEY_HAS_BLANKS",)
    )
    sealed = next(s for n in range(100) if "+" in (s := req_info(f"<root>{n}</root>{REFUND}")))
    yield Case("+ became a blank", "v2-req-info", refund(sealed.replace("+", " ")), V2, ("VALUE_CHANGED",))
    yield Case("cut off", "v2-req-info", refund(req_info(REFUND)[:-9]), V2, ("VALUE_CHANGED",))
    encoded = req_info(REFUND).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    yield Case("URL-encoded", "v2-req-info", refund(encoded), V2, ("URL_ENCODED_VALUES",))


EVENT = json.dumps(
    {"type": "order.paid", "data": {"out_trade_no": "COFFEE1", "total": 1800, "note": "咖啡"}},
    ensure_ascii=False,
    separators=(",", ":"),
)
RAW = base64.b64decode(SECRET.removeprefix("whsec_"))
OURS = Keys(given=(SECRET,))


def delivery(
    signature: str, body: str = EVENT, *, ident: str = "evt_1", time: str = "1722850421", more: str = ""
) -> str:
    return f"POST /fenpay HTTP/1.1\r\nwebhook-id: {ident}\r\nwebhook-timestamp: {time}\r\nwebhook-signature: {signature}\r\n{more}\r\n{body}"


def webhook_right() -> Iterator[Case]:
    right = webhook("evt_1", "1722850421", EVENT, RAW)
    yield Case("delivery", "webhook", delivery(right), OURS)
    yield Case(
        "two signatures", "webhook", delivery(webhook("evt_1", "1722850421", EVENT, b"x" * 32) + " " + right), OURS
    )
    yield Case(
        "as PHP prints it",
        "webhook",
        f"HTTP_WEBHOOK_ID => evt_1\nHTTP_WEBHOOK_TIMESTAMP => 1722850421\nHTTP_WEBHOOK_SIGNATURE => {right}\n{EVENT}\n",
        OURS,
    )
    yield Case(
        "by the settings' secrets",
        "webhook",
        delivery(right),
        Keys(webhook_secrets=("whsec_" + base64.b64encode(b"y" * 32).decode(), SECRET)),
    )


def webhook_slips() -> Iterator[Case]:
    right = webhook("evt_1", "1722850421", EVENT, RAW)
    yield Case(
        "another secret", "webhook", delivery(webhook("evt_1", "1722850421", EVENT, b"x" * 32)), OURS, ("WRONG_KEY",)
    )
    yield Case(
        "the secret not decoded",
        "webhook",
        delivery(webhook("evt_1", "1722850421", EVENT, SECRET.encode())),
        OURS,
        ("KEY_NOT_DECODED",),
    )
    yield Case(
        "the secret has a line end", "webhook", delivery(right), Keys(given=(SECRET + "\n",)), ("KEY_HAS_BLANKS",)
    )
    yield Case(
        "the body written again", "webhook", delivery(right, json.dumps(json.loads(EVENT))), OURS, ("BODY_CHANGED",)
    )
    yield Case(
        "the body indented",
        "webhook",
        delivery(right, json.dumps(json.loads(EVENT), ensure_ascii=False, indent=2)),
        OURS,
        ("BODY_CHANGED",),
    )
    yield Case("another amount", "webhook", delivery(right, EVENT.replace("1800", "1")), OURS, ("BODY_CHANGED",))
    yield Case("another time", "webhook", delivery(right, time="1722850431"), OURS, ("TIMESTAMP_DIFFERS",))
    yield Case(
        "another id, logged",
        "webhook",
        delivery(right, ident="evt_2", more="X-Old: evt_1\r\n"),
        OURS,
        ("NONCE_DIFFERS",),
    )
    mac = base64.b64encode(hmac.new(RAW, EVENT.encode(), hashlib.sha256).digest()).decode()
    yield Case("the body alone was signed", "webhook", delivery(f"v1,{mac}"), OURS, ("VALUE_CHANGED",))
    yield Case(
        "clock", "webhook", delivery(right, more="Date: Mon, 05 Aug 2024 09:20:21 GMT\r\n"), OURS, ("CLOCK_OFF",)
    )
    yield Case("no signature", "webhook", delivery(""), OURS, ("SIGN_MISSING",))


PUSH = Keys(given=(TOKEN,))
NONCE, TIME = "1320562132", "1409659589"


def push_sign(*parts: str, ordered: bool = True) -> str:
    return sha1("".join(sorted(parts) if ordered else parts))


def push(signature: str, *, time: str = TIME, nonce: str = NONCE, more: str = "&echostr=4375120948345356249") -> str:
    return f"GET /wechat?signature={signature}&timestamp={time}&nonce={nonce}{more} HTTP/1.1\r\nHost: pay.example.com\r\n\r\n"


def push_right() -> Iterator[Case]:
    right = push_sign(TOKEN, TIME, NONCE)
    yield Case("the check of the address", "message-push", push(right), PUSH)
    published = "f21891de399b4e33a1a93c9a7b8a8fffb5a443ff"
    yield Case("published", "message-push", push(published, time="1410685589", nonce="test"), Keys(given=("test",)))
    body = "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><MsgType><![CDATA[text]]></MsgType></xml>"
    yield Case("a message", "message-push", push(right, more="&openid=o1").replace("GET", "POST") + body, PUSH)
    sealed = "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[c2VhbGVk]]></Encrypt></xml>"
    more = f"&encrypt_type=aes&msg_signature={push_sign(TOKEN, TIME, NONCE, 'c2VhbGVk')}"
    yield Case("an encrypted message", "message-push", push(right, more=more).replace("GET", "POST") + sealed, PUSH)


def push_slips() -> Iterator[Case]:
    right = push_sign(TOKEN, TIME, NONCE)
    yield Case("another token", "message-push", push(push_sign("other", TIME, NONCE)), PUSH, ("WRONG_KEY",))
    yield Case(
        "a token with a blank", "message-push", push(push_sign(TOKEN + " ", TIME, NONCE)), PUSH, ("KEY_HAS_BLANKS",)
    )
    yield Case("not sorted", "message-push", push(push_sign(TOKEN, TIME, NONCE, ordered=False)), PUSH, ("NOT_SORTED",))
    yield Case("another time", "message-push", push(right, time="1409659590"), PUSH, ("TIMESTAMP_DIFFERS",))
    yield Case(
        "another nonce, logged",
        "message-push",
        push(right, nonce="99999999", more=f"&old={NONCE}"),
        PUSH,
        ("NONCE_DIFFERS",),
    )
    yield Case("×tamp", "message-push", push(right).replace("&times", "×"), PUSH, ("HTML_ENTITY",))
    yield Case("&amp;", "message-push", push(right).replace("&", "&amp;"), PUSH, ("HTML_ENTITY",))
    yield Case("upper case", "message-push", push(right.upper()), PUSH, ("UPPER_CASE_RESULT",))
    sealed = "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[c2VhbGVk]]></Encrypt></xml>"
    more = f"&encrypt_type=aes&msg_signature={right}"
    yield Case(
        "Encrypt not signed",
        "message-push",
        push(right, more=more).replace("GET", "POST") + sealed,
        PUSH,
        ("VALUE_CHANGED",),
    )
