"""What pages hand to WeChat: paySign bundles and wx.config bundles, right ones and ones with a slip."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.sign_explain.corpus import VECTORS, Case, merchant, pem
from tests.sign_explain.signing import OTHER_KEY, TICKET, V2_KEY, V3_KEY, lines, mac, md5, rsa, sha1, v2
from tests.support.keys import certificate_pem
from wechat.sign_explain.model import Keys

APPID, TIME, NONCE = "wx2421b1c4370ec43b", "1554208460", "593BEC0C930BF1AFEB40B4A08C8FB242"
PACKAGE = "prepay_id=wx201410272009395522657a690389285100"
V2 = Keys(v2=V2_KEY, v3=V3_KEY)
MD5 = {"appId": APPID, "timeStamp": TIME, "nonceStr": NONCE, "package": PACKAGE, "signType": "MD5"}
HMAC = {**MD5, "signType": "HMAC-SHA256"}
RSA = {**MD5, "signType": "RSA"}


def as_json(bundle: dict[str, Any], sign: str, **more: Any) -> str:
    return json.dumps({**bundle, **more, "paySign": sign})


def four(time: str = TIME, nonce: str = NONCE, package: str = PACKAGE, appid: str = APPID) -> str:
    return lines(appid, time, nonce, package)


def renamed(bundle: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in bundle.items()}


def jsapi_right() -> Iterator[Case]:
    keys = merchant()
    for kind, bundle, sign, key in (
        ("MD5", MD5, v2(MD5), V2),
        ("HMAC", HMAC, v2(HMAC), V2),
        ("RSA", RSA, rsa(four()), keys),
    ):
        yield Case(f"{kind} as JSON", "jsapi", as_json(bundle, sign), key)
        choose = renamed(bundle, timeStamp="timestamp")
        yield Case(f"{kind} spelt for chooseWXPay", "jsapi", as_json(choose, sign), key)
        script = (
            "wx.chooseWXPay({\n"
            + "".join(f"  {n}: '{v}',\n" for n, v in choose.items())
            + f"  paySign: '{sign}', // x\n  success: function (res) {{}}\n}});\n"
        )
        yield Case(f"{kind} as JavaScript", "jsapi", script, key)
        query = "&".join(f"{n}={quote(v, safe='')}" for n, v in {**bundle, "paySign": sign}.items())
        yield Case(f"{kind} as a query", "jsapi", query, key)
        nested = json.dumps({"out_trade_no": "X", "pay": {**bundle, "timestamp": TIME, "paySign": sign}})
        yield Case(f"{kind} in an answer", "jsapi", f"2026-03-01 answer {nested}\n", key)
        bridge = f"WeixinJSBridge.invoke('getBrandWCPayRequest', {as_json(bundle, sign)}, cb)"
        yield Case(f"{kind} for WeixinJSBridge", "jsapi", bridge, key)
    published = (
        "mI35pfNEQV6777ke/1T+LJLQDNTm7yeoUJH+j/adPGhmCCi0PbgkvYQTRcXH0uibcLVtvFLdGLpmoYO9FV6lBBsTAjuhh5YOvQi0e2g3e0yytiti"
        "NET9FEuqM0pjnKfRW4K6LIZDdbWJv9KhZUx3DrJa5TL7OJ7VdADVivxVySIlPVKjGwuCXzuXSJes0UcILgWQUMyha5/3nYofuHtS7r+KYyMuxD+o"
        "J9VM1Qdxk4UIG59CP5Y3wtYIFybyF3bdu1caHTRRX+DLyMXyYA/IrTmiW01c4RPjpHBX5Dk1sZyY1zVsWNsvMHr2e1NTWtBxKJ+qk5N61J7caYoe"
        "pHFaxw=="
    )
    public = Keys(private_key=pem((VECTORS / "apiclient_test_key.pem").read_text()))
    yield Case("the document's own paySign", "jsapi", as_json(RSA, published), public)


def jsapi_slips() -> Iterator[Case]:
    keys = merchant()

    def old(name: str, sign: str, *slips: str, bundle: dict[str, Any] = MD5, keys: Keys = V2, **more: Any) -> Case:
        return Case(f"v2: {name}", "jsapi", as_json(bundle, sign, **more), keys, slips)

    def new(name: str, sign: str, *slips: str, bundle: dict[str, Any] = RSA, keys: Keys = keys, **more: Any) -> Case:
        return Case(f"v3: {name}", "jsapi", as_json(bundle, sign, **more), keys, slips)

    yield old("another key", v2(MD5, OTHER_KEY), "WRONG_KEY")
    yield old("the APIv3 key", v2(MD5, V3_KEY), "KEY_OF_OTHER_API")
    yield old("RSA under MD5", rsa(four()), "KEY_OF_OTHER_API")
    yield old("a key with a line end", v2(MD5, V2_KEY + "\n"), "KEY_HAS_BLANKS")
    yield old(
        "MD5 for HMAC",
        md5("&".join(f"{n}={HMAC[n]}" for n in sorted(HMAC)) + f"&key={V2_KEY}"),
        "MD5_FOR_HMAC",
        bundle=HMAC,
    )
    yield old("HMAC for MD5", mac("&".join(f"{n}={MD5[n]}" for n in sorted(MD5)) + f"&key={V2_KEY}"), "HMAC_FOR_MD5")
    without = {name: value for name, value in MD5.items() if name != "signType"}
    yield old("no signType in the bundle", v2(MD5), "SIGN_TYPE_MISSING", bundle=without)
    yield old("signType not signed", v2(without), "SIGN_TYPE_MISSING")
    yield old("timestamp signed", v2(renamed(MD5, timeStamp="timestamp")), "WRONG_PARAMETER_CASE")
    yield old("appid signed", v2(renamed(MD5, appId="appid")), "WRONG_PARAMETER_CASE")
    yield old("all lower case signed", v2({name.lower(): value for name, value in MD5.items()}), "WRONG_PARAMETER_CASE")
    yield old("appid sent", v2(MD5), "WRONG_PARAMETER_CASE", bundle=renamed(MD5, appId="appid"))
    yield Case(
        "v2: timestamp for WeixinJSBridge",
        "jsapi",
        f"WeixinJSBridge.invoke('getBrandWCPayRequest', {as_json(renamed(MD5, timeStamp='timestamp'), v2(MD5))})",
        V2,
        ("WRONG_PARAMETER_CASE",),
    )
    bare = PACKAGE.removeprefix("prepay_id=")
    yield old(
        "a bare prepay_id", v2({**MD5, "package": bare}), "PREPAY_ID_PREFIX_MISSING", bundle={**MD5, "package": bare}
    )
    yield old("a bare prepay_id signed", v2({**MD5, "package": bare}), "PREPAY_ID_PREFIX_MISSING")
    yield old("a bare prepay_id sent", v2(MD5), "PREPAY_ID_PREFIX_MISSING", bundle={**MD5, "package": bare})
    yield old(
        "prepay_id= twice",
        v2({**MD5, "package": "prepay_id=" + PACKAGE}),
        "PREPAY_ID_PREFIX_DOUBLED",
        bundle={**MD5, "package": "prepay_id=" + PACKAGE},
    )
    yield old("a number", v2(MD5), "NUMBER_FOR_TEXT", bundle={**MD5, "timeStamp": int(TIME)})
    yield old("another time", v2({**MD5, "timeStamp": "1554208463"}), "TIMESTAMP_DIFFERS")
    yield old(
        "two times in the bundle", v2({**MD5, "timeStamp": "1554300000"}), "TIMESTAMP_DIFFERS", timestamp="1554300000"
    )
    yield old("milliseconds signed", v2({**MD5, "timeStamp": TIME + "000"}), "TIMESTAMP_IN_MILLISECONDS")
    yield old(
        "another nonce, logged",
        v2({**MD5, "nonceStr": "0123456789abcdef"}),
        "NONCE_DIFFERS",
        signedNonce="0123456789abcdef",
    )
    yield old("without the key", md5("&".join(f"{n}={MD5[n]}" for n in sorted(MD5))), "KEY_NOT_APPENDED")
    yield old("not sorted", md5("&".join(f"{n}={v}" for n, v in MD5.items()) + f"&key={V2_KEY}"), "NOT_SORTED")
    yield old("URL-encoded", v2({n: quote(v, safe="") for n, v in MD5.items()}), "URL_ENCODED_VALUES")
    yield old("lower case", v2(MD5).lower(), "LOWER_CASE_RESULT")
    yield old(
        "an empty paySign signed",
        md5("&".join(f"{n}={({**MD5, 'paySign': ''})[n]}" for n in sorted({**MD5, "paySign": ""})) + f"&key={V2_KEY}"),
        "SIGN_FIELD_SIGNED",
    )
    yield Case(
        "v2: ×tamp in a query",
        "jsapi",
        ("&".join(f"{n}={v}" for n, v in renamed(MD5, timeStamp="timestamp").items()) + f"&paySign={v2(MD5)}").replace(
            "&timestamp", "×tamp"
        ),
        V2,
        ("HTML_ENTITY",),
    )
    yield Case(
        "v2: &amp; in a query",
        "jsapi",
        ("&".join(f"{n}={v}" for n, v in MD5.items()) + f"&paySign={v2(MD5)}").replace("&", "&amp;"),
        V2,
        ("HTML_ENTITY",),
    )

    yield new("another private key", rsa(four(), "other"), "WRONG_KEY")
    yield new("an MD5 signature", v2(RSA), "KEY_OF_OTHER_API")
    yield new("last line end missing", rsa(four()[:-1]), "LAST_LINE_END_MISSING")
    yield new("CRLF", rsa(four().replace("\n", "\r\n")), "LINE_END_CRLF")
    yield new("signType as a fifth line", rsa(four() + "RSA\n"), "SIGN_TYPE_SIGNED")
    yield new("a bare prepay_id signed", rsa(four(package=bare)), "PREPAY_ID_PREFIX_MISSING")
    yield new("a bare prepay_id", rsa(four(package=bare)), "PREPAY_ID_PREFIX_MISSING", bundle={**RSA, "package": bare})
    yield new("a bare prepay_id sent", rsa(four()), "PREPAY_ID_PREFIX_MISSING", bundle={**RSA, "package": bare})
    yield new("prepay_id= twice", rsa(four(package="prepay_id=" + PACKAGE)), "PREPAY_ID_PREFIX_DOUBLED")
    yield new("a number", rsa(four()), "NUMBER_FOR_TEXT", bundle={**RSA, "timeStamp": int(TIME)})
    yield new("another time", rsa(four(time="1554208467")), "TIMESTAMP_DIFFERS")
    yield new("milliseconds signed", rsa(four(time=TIME + "000")), "TIMESTAMP_IN_MILLISECONDS")
    yield new(
        "another nonce, logged", rsa(four(nonce="0123456789abcdef")), "NONCE_DIFFERS", signedNonce="0123456789abcdef"
    )
    yield new(
        "another account, logged", rsa(four(appid="wx0000000000000abc")), "VALUE_CHANGED", other="wx0000000000000abc"
    )
    yield new("another prepay_id", rsa(four(package="prepay_id=wx1")), "VALUE_CHANGED")
    yield new("lines in another order", rsa(lines(APPID, NONCE, TIME, PACKAGE)), "NOT_SORTED")
    yield new("no signType", rsa(four()), "SIGN_TYPE_MISSING", bundle={n: v for n, v in RSA.items() if n != "signType"})
    yield new("nonce_str sent", rsa(four()), "WRONG_PARAMETER_CASE", bundle=renamed(RSA, nonceStr="nonce_str"))
    yield new("SHA-1", rsa(four(), old=True), "WRONG_ALGORITHM")
    yield new("PSS", rsa(four(), pss=True), "WRONG_ALGORITHM")
    yield new(
        "a certificate for the private key",
        rsa(four()),
        "CERTIFICATE_FOR_KEY",
        keys=Keys(private_key=pem(certificate_pem("merchant"))),
    )
    yield new(
        "a number and the last line end missing",
        rsa(four()[:-1]),
        "NUMBER_FOR_TEXT",
        "LAST_LINE_END_MISSING",
        bundle={**RSA, "timeStamp": int(TIME)},
    )
    yield new(
        "another time and the last line end missing",
        rsa(four(time="1554208461")[:-1]),
        "TIMESTAMP_DIFFERS",
        "LAST_LINE_END_MISSING",
    )


PAGE = "https://pay.example.com/pay/COFFEE1?from=menu&lang=zh"


def page_text(ticket: str = TICKET, nonce: str = "Wm3WZYTPz0wzccnW", time: str = "1414587457", url: str = PAGE) -> str:
    return f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={time}&url={url}"


def config(signature: str, line: str = PAGE, **more: Any) -> str:
    bundle = {"appId": APPID, "timestamp": 1414587457, "nonceStr": "Wm3WZYTPz0wzccnW", "signature": signature, **more}
    return json.dumps(bundle) + (f"\nurl={line}\n" if line else "")


def config_right() -> Iterator[Case]:
    keys, right = Keys(ticket=TICKET), sha1(page_text())
    yield Case("JSON and a url line", "wx-config", config(right), keys)
    yield Case("url in the JSON", "wx-config", config(right, "", url=PAGE), keys)
    yield Case("the address has a fragment", "wx-config", config(right, PAGE + "#top"), keys)
    script = f"wx.config({{\n  debug: true,\n  appId: '{APPID}',\n  timestamp: 1414587457,\n  nonceStr: 'Wm3WZYTPz0wzccnW',\n  signature: '{right}',\n  jsApiList: ['chooseWXPay']\n}});\nurl={PAGE}\n"
    yield Case("JavaScript", "wx-config", script, keys)
    php = f"Array\n(\n    [appId] => {APPID}\n    [nonceStr] => Wm3WZYTPz0wzccnW\n    [timestamp] => 1414587457\n    [url] => {PAGE}\n    [signature] => {right}\n    [rawString] => {page_text()}\n)\n"
    yield Case("getSignPackage() as PHP prints it", "wx-config", php, keys)
    yield Case("getSignPackage() without a ticket", "wx-config", php, Keys())
    published = "0f9de62fce790f9a083d5c99e95740ceb90c27ed"
    yield Case("the document's own", "wx-config", config(published, "http://mp.weixin.qq.com?params=value"), keys)


def config_slips() -> Iterator[Case]:
    keys = Keys(ticket=TICKET)

    def case(name: str, signature: str, *slips: str, url: str = PAGE, keys: Keys = keys, **more: Any) -> Case:
        return Case(name, "wx-config", config(signature, url, **more), keys, slips)

    right = sha1(page_text())
    yield case("another ticket", sha1(page_text(ticket="another-ticket")), "TICKET_DIFFERS")
    yield case("a ticket with a line end", sha1(page_text(ticket=TICKET + "\n")), "KEY_HAS_BLANKS")
    yield case("with a fragment", sha1(page_text(url=PAGE + "#/pay")), "URL_WITH_FRAGMENT", url=PAGE + "#/pay")
    yield case("with an empty fragment", sha1(page_text(url=PAGE + "#")), "URL_WITH_FRAGMENT")
    yield case("without the query", sha1(page_text(url=PAGE.partition("?")[0])), "URL_WITHOUT_QUERY")
    yield case("http for https", sha1(page_text(url=PAGE.replace("https", "http"))), "URL_DIFFERS")
    yield case("with the port", sha1(page_text(url=PAGE.replace(".com/", ".com:8080/"))), "URL_DIFFERS")
    yield case(
        "before WeChat added from=", sha1(page_text()), "URL_DIFFERS", url=PAGE + "&from=singlemessage&isappinstalled=0"
    )
    yield case("the home page", sha1(page_text(url="https://pay.example.com/")), "URL_DIFFERS")
    yield case(
        "realAuthUrl", right, "URL_DIFFERS", errMsg="config:invalid signature", realAuthUrl=["https://pay.example.com/"]
    )
    yield case("URL-encoded", sha1(page_text(url=quote(PAGE, safe=""))), "URL_ENCODED_VALUES")
    yield case("&amp; signed", sha1(page_text(url=html.escape(PAGE))), "HTML_ENTITY")
    yield case("×tamp signed", sha1(page_text().replace("&times", "×")), "HTML_ENTITY")
    yield case("nonceStr signed", sha1(page_text().replace("noncestr", "nonceStr")), "WRONG_PARAMETER_CASE")
    yield case("timeStamp signed", sha1(page_text().replace("timestamp", "timeStamp")), "WRONG_PARAMETER_CASE")
    yield Case(
        "noncestr sent", "wx-config", config(right).replace("nonceStr", "noncestr"), keys, ("WRONG_PARAMETER_CASE",)
    )
    yield case(
        "not sorted",
        sha1(f"noncestr=Wm3WZYTPz0wzccnW&jsapi_ticket={TICKET}&timestamp=1414587457&url={PAGE}"),
        "NOT_SORTED",
    )
    yield case("another time", sha1(page_text(time="1414587460")), "TIMESTAMP_DIFFERS")
    yield case("milliseconds signed", sha1(page_text(time="1414587457000")), "TIMESTAMP_IN_MILLISECONDS")
    yield case(
        "another nonce, logged", sha1(page_text(nonce="0123456789abcdef")), "NONCE_DIFFERS", signed="0123456789abcdef"
    )
    yield case("upper case", right.upper(), "UPPER_CASE_RESULT")
    yield case(
        "another time and a fragment",
        sha1(page_text(time="1414587458", url=PAGE + "#")),
        "TIMESTAMP_DIFFERS",
        "URL_WITH_FRAGMENT",
    )
