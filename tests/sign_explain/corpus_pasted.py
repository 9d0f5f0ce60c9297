"""Messages as people paste them: each notation, right and with a slip."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import cycle

from tests.sign_explain import corpus, corpus_messages, corpus_pages, pastes
from tests.sign_explain.corpus import BODY, KEY_ID, ORDER, PAID, PATH, QUERY, Case, authorization, merchant, message
from tests.sign_explain.corpus_pages import APPID, MD5, PACKAGE, PAGE, RSA, four, page_text
from tests.sign_explain.pastes import Fields, Http
from tests.sign_explain.signing import (
    OTHER_KEY,
    SECRET,
    TICKET,
    TOKEN,
    V2_KEY,
    V3_KEY,
    joined,
    mac,
    req_info,
    rsa,
    sha1,
    v2,
    webhook,
    xml,
)  # fmt: skip
from wechat.sign_explain.model import Keys

HOST = "api.mch.weixin.qq.com"
FAIL = "<xml><return_code><![CDATA[FAIL]]></return_code>\n<return_msg><![CDATA[签名错误]]></return_msg>\n</xml>"
V2_SLIPS = (
    (v2(ORDER).lower(), "LOWER_CASE_RESULT"),
    (v2(ORDER, V3_KEY), "KEY_OF_OTHER_API"),
    (v2({**ORDER, "total_fee": "8.88"}), "VALUE_CHANGED"),
    (mac(f"{joined(ORDER)}&key={V2_KEY}"), "SIGN_TYPE_MISSING"),
)
BARE = PACKAGE.removeprefix("prepay_id=")
JSAPI_SLIPS = (
    ({**RSA, "package": BARE, "paySign": rsa(four(package=BARE))}, "PREPAY_ID_PREFIX_MISSING"),
    ({**RSA, "paySign": rsa(four()[:-1])}, "LAST_LINE_END_MISSING"),
    ({**RSA, "paySign": rsa(four(), "other")}, "WRONG_KEY"),
)
CONFIG = {"appId": APPID, "timestamp": "1414587457", "nonceStr": "Wm3WZYTPz0wzccnW"}
CONFIG_SLIPS = (
    (sha1(page_text(url=PAGE + "#")), "URL_WITH_FRAGMENT"),
    (sha1(page_text(time="1414587460")), "TIMESTAMP_DIFFERS"),
)
PUSH = {"timestamp": corpus_messages.TIME, "nonce": corpus_messages.NONCE, "echostr": "4375120948345356249"}
REFUND = {"return_code": "SUCCESS", "appid": "wx1", "mch_id": "10000100", "nonce_str": "abc"}


def pasted() -> Iterator[Case]:
    for name, write in pastes.PAIRS.items():
        yield from _values(name, write, cycle_at=len(name))
    yield from _xml()
    for name, paste in pastes.REQUESTS.items():
        yield from _requests(name, paste)
    for name, paste in pastes.NOTIFICATIONS.items():
        yield from _notifications(name, paste)
    yield from _others()


def _values(name: str, write: Callable[[Fields], str], cycle_at: int) -> Iterator[Case]:
    """``cycle_at`` chooses the slips, so that all occur."""
    sign, code = V2_SLIPS[cycle_at % len(V2_SLIPS)]
    yield Case(f"{name}: right", "v2", write({**ORDER, "sign": v2(ORDER)}), corpus.V2)
    yield Case(f"{name}: {code}", "v2", write({**ORDER, "sign": sign}), corpus.V2, (code,))
    bundle, code = JSAPI_SLIPS[cycle_at % len(JSAPI_SLIPS)]
    yield Case(f"{name}: right", "jsapi", write({**MD5, "paySign": v2(MD5)}), corpus_pages.V2)
    yield Case(f"{name}: {code}", "jsapi", write(bundle), merchant(), (code,))
    signature, code = CONFIG_SLIPS[cycle_at % len(CONFIG_SLIPS)]
    keys = Keys(ticket=TICKET)
    right = sha1(page_text())
    yield Case(f"{name}: right", "wx-config", write({**CONFIG, "signature": right, "url": PAGE}), keys)
    yield Case(f"{name}: {code}", "wx-config", write({**CONFIG, "signature": signature, "url": PAGE}), keys, (code,))
    unsorted = corpus_messages.push_sign(TOKEN, PUSH["timestamp"], PUSH["nonce"], ordered=False)
    yield Case(
        f"{name}: NOT_SORTED",
        "message-push",
        write({"signature": unsorted, **PUSH}),
        corpus_messages.PUSH,
        ("NOT_SORTED",),
    )
    sealed = req_info(corpus_messages.REFUND, V3_KEY)
    yield Case(
        f"{name}: KEY_OF_OTHER_API",
        "v2-req-info",
        write({**REFUND, "req_info": sealed}),
        corpus_messages.V2,
        ("KEY_OF_OTHER_API",),
    )


def _xml() -> Iterator[Case]:
    refused = v2(ORDER).lower()
    for write in (pastes.prefixed, pastes.journal, pastes.escaped_html, pastes.escaped_json, pastes.wire_xml):
        name = write.__name__
        yield Case(f"{name}: right", "v2", write(corpus.order(v2(ORDER))), corpus.V2)
        yield Case(f"{name}: lower case", "v2", write(corpus.order(refused)), corpus.V2, ("LOWER_CASE_RESULT",))
    earlier = {**ORDER, "out_trade_no": "1"}
    log = f"请求：{xml(earlier, v2(earlier))}响应：{xml(PAID, v2(PAID))}请求：{corpus.order(refused)}响应：{FAIL}"
    slip = ("LOWER_CASE_RESULT",)
    yield Case("a log of two requests, the second refused", "v2", log, corpus.V2, slip)
    yield Case("the refusal before the request", "v2", f"{FAIL}\n{corpus.order(refused)}", corpus.V2, slip)
    text = f"stringSignTemp: {joined(ORDER)}&key={V2_KEY}\nsign: {v2(ORDER)}\n"
    yield Case("the string to sign and the signature", "v2", text, corpus.V2)
    other = f"待签名字符串：{joined(ORDER)}&key={OTHER_KEY}\n签名结果：{v2(ORDER, OTHER_KEY)}\n"
    yield Case("the string to sign under another key", "v2", other, corpus.V2, ("WRONG_KEY",))
    fields = {name: ORDER[name] for name in ("appid", "mch_id", "nonce_str", "total_fee")}
    names = zip(("AppId", "MchId", "NonceStr", "TotalFee", "Sign"), (*fields.values(), v2(fields)), strict=True)
    struct = "&{" + " ".join(f"{name}:{value}" for name, value in names) + " Attach:}"
    yield Case("a Go struct", "v2", struct, corpus.V2)


def _requests(name: str, paste: Callable[[Http], str]) -> Iterator[Case]:
    def post(signature: str) -> str:
        headers = {"Host": HOST, "Authorization": authorization(signature), "Content-Type": "application/json"}
        return paste(Http(f"POST {PATH} HTTP/1.1", headers, BODY))

    def get(signature: str) -> str:
        headers = {"Host": HOST, "Authorization": authorization(signature), "Accept": "application/json"}
        return paste(Http(f"GET {QUERY} HTTP/1.1", headers, ""))

    keys, path = merchant(), QUERY.partition("?")[0]
    yield Case(f"{name}: POST", "v3-request", post(rsa(message())), keys)
    spaced = rsa(message(body=json.dumps(json.loads(BODY))))
    yield Case(f"{name}: body written again", "v3-request", post(spaced), keys, ("BODY_CHANGED",))
    yield Case(f"{name}: GET", "v3-request", get(rsa(message(method="GET", path=QUERY, body=""))), keys)
    without = rsa(message(method="GET", path=path, body=""))
    yield Case(f"{name}: no query", "v3-request", get(without), keys, ("URL_WITHOUT_QUERY",))


def _notifications(name: str, paste: Callable[[Http], str]) -> Iterator[Case]:
    def notify(signature: str, time: str = corpus.ANSWER_TIME) -> str:
        headers = {
            "Host": "pay.example.com", "Content-Type": "application/json", "Wechatpay-Nonce": corpus.ANSWER_NONCE,
            "Wechatpay-Signature": signature, "Wechatpay-Serial": KEY_ID, "Wechatpay-Timestamp": time,
        }  # fmt: skip
        return paste(Http("POST /notify HTTP/1.1", headers, corpus.notice()))

    right, keys = corpus.platform_sign(corpus.notice()), corpus.platform()
    yield Case(f"{name}: right", "v3-notification", notify(right), keys)
    later = notify(right, time="1722850422")
    yield Case(f"{name}: another time", "v3-notification", later, keys, ("TIMESTAMP_DIFFERS",))
    event = corpus_messages.EVENT
    signature = webhook("evt_1", "1722850421", event, SECRET.encode())
    headers = {
        "Host": "shop.example.com", "Content-Type": "application/json", "webhook-id": "evt_1",
        "webhook-timestamp": "1722850421", "webhook-signature": signature,
    }  # fmt: skip
    text = paste(Http("POST /fenpay HTTP/1.1", headers, event))
    yield Case(f"{name}: not decoded", "webhook", text, corpus_messages.OURS, ("KEY_NOT_DECODED",))


def _others() -> Iterator[Case]:
    logger = "2026-03-01 12:00:00 DEBUG c.w.p.c.a.h.auth.WechatPay2Credentials -"
    token = authorization(rsa(message())).partition(" ")[2]
    sdk = f"{logger} authorization message=[{message()}]\n{logger} authorization token=[{token}]\n"
    yield Case("the log of WeChat Pay's Java library", "v3-request", sdk, merchant())
    signature = corpus_messages.push_sign(TOKEN, PUSH["timestamp"], PUSH["nonce"])
    query = "&".join(f"{name}={value}" for name, value in {"signature": signature, **PUSH}.items())
    access = f'1.2.3.4 - - [01/Mar/2026:12:00:00 +0800] "GET /wechat?{query} HTTP/1.1" 200 19 "-" "Mozilla/4.0"\n'
    yield Case("nginx's access log", "message-push", access, corpus_messages.PUSH)
    refused = (
        corpus.request(rsa(message(time="1554208400")), time="1554208400") + "\nHTTP/1.1 200 OK\r\n\r\n{}\n"
        f"{corpus.request(rsa(message()[:-1]))}\nHTTP/1.1 401 Unauthorized\r\nServer: nginx\r\n\r\n{{}}\n"
    )
    yield Case(
        "of two requests the one that was answered 401", "v3-request", refused, merchant(), ("LAST_LINE_END_MISSING",)
    )
    slips = cycle(JSAPI_SLIPS)
    for name, text in (
        ("uni.requestPayment", "uni.requestPayment({{provider: 'wxpay', {}, success: (res) => {{ }}}})"),
        ("an answer within an answer", '{{"code":0,"data":{{"jsConfig":{}}}}}'),
    ):
        bundle, code = next(slips)
        inside = (
            json.dumps(json.dumps(bundle)) if "data" in text else ", ".join(f"{n}: '{v}'" for n, v in bundle.items())
        )
        yield Case(name, "jsapi", text.format(inside), merchant(), (code,))
