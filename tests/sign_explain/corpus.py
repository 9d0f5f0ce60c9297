"""Messages of each kind, right ones and ones with a slip made on purpose, and the slip that has to be named."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.sign_explain import signing as by_hand
from tests.sign_explain.signing import (
    OTHER_KEY,
    V2_KEY,
    V3_KEY,
    joined,
    lines,
    mac,
    md5,
    rsa,
    sha1,
    v2,
    xml,
)
from tests.support.keys import certificate_pem, private_pem, public_pem
from wechat.pay.key_files import PemContent, read_pem
from wechat.sign_explain.model import Keys

VECTORS = Path(__file__).parents[1] / "unit" / "pay" / "vectors"
SERIAL = 0x408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB
PLATFORM_SERIAL = 0x5DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC
KEY_ID = "PUB_KEY_ID_0116000072912024080500000000000010"


class Case(NamedTuple):
    """``slips`` are the codes that the explanation has to name, and no others; none where it has to be correct."""

    name: str
    kind: str
    text: str | bytes
    keys: Keys
    slips: tuple[str, ...] = ()


def pem(text: str) -> PemContent:
    found = read_pem(text)
    assert found
    return found


@cache
def merchant(certificate: str = "merchant", serial: int = SERIAL) -> Keys:
    return Keys(private_key=pem(private_pem("merchant")), certificate=pem(certificate_pem(certificate, serial=serial)))


@cache
def platform(who: str = "wechat") -> Keys:
    return Keys(public_key=pem(public_pem(who)), public_key_id=KEY_ID, v3=V3_KEY)


# -- APIv2 -------------------------------------------------------------------------------------------------------------

ORDER = {
    "appid": "wxd930ea5d5a258f4f",
    "mch_id": "10000100",
    "nonce_str": "ec2316275641faa3aacf3cc599e8730f",
    "body": "腾讯充值中心-QQ会员充值",
    "out_trade_no": "20150806125346",
    "total_fee": "888",
    "spbill_create_ip": "14.23.150.211",
    "notify_url": "https://pay.example.com/notify?a=1&b=2",
    "trade_type": "JSAPI",
    "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
}
HMAC: dict[str, Any] = {"sign_type": "HMAC-SHA256"}
V2 = Keys(v2=V2_KEY, v3=V3_KEY)
PAID = {
    "appid": "wx2421b1c4370ec43b",
    "attach": "支付测试",
    "bank_type": "CFT",
    "fee_type": "CNY",
    "is_subscribe": "Y",
    "mch_id": "10000100",
    "nonce_str": "5d2b6c2a8db53831f7eda20af46e531c",
    "openid": "oUpF8uMEb4qRXf22hE3X68TekukE",
    "out_trade_no": "1409811653",
    "result_code": "SUCCESS",
    "return_code": "SUCCESS",
    "time_end": "20140903131540",
    "total_fee": "1",
    "trade_type": "JSAPI",
    "transaction_id": "1004400740201409030005092168",
}


def order(sign: str, **more: str) -> str:
    return xml({**ORDER, **more}, sign)


def v2_right() -> Iterator[Case]:
    published = {
        "appid": "wxd930ea5d5a258f4f",
        "mch_id": "10000100",
        "device_info": "1000",
        "body": "test",
        "nonce_str": "ibuaiVcKdpRxkhJA",
    }
    key = Keys(given=("192006250b4c09247ec02edce69f6a2d",))
    yield Case("published MD5", "v2", xml(published, "9A0A8659F005D6984697E2CA0A9CF3B7"), key)
    hmac = "6A9AE1657590FD6257D693A078E1C3E4BB6BA4DC30B23E0EE2496E54170DACD6"
    yield Case(
        "published HMAC, as an answer",
        "v2",
        xml({**published, "return_code": "SUCCESS"}, v2({**published, "return_code": "SUCCESS"}, key.given[0])),
        key,
    )
    signed = {**published, **HMAC}
    yield Case("HMAC request", "v2", xml(signed, mac(joined(signed) + "&key=" + key.given[0], key.given[0])), key)
    assert mac(joined(published) + "&key=" + key.given[0], key.given[0]) == hmac
    yield Case("MD5 request", "v2", order(v2(ORDER)), V2)
    yield Case("MD5 request with sign_type", "v2", order(v2({**ORDER, "sign_type": "MD5"}), sign_type="MD5"), V2)
    yield Case("an empty field is left out", "v2", order(v2(ORDER), attach=""), V2)
    yield Case(
        "a one-line request in a log",
        "v2",
        "2026-03-01 12:00:00 INFO request: " + order(v2(ORDER)).replace("\n", ""),
        V2,
    )
    yield Case(
        "after a declaration and headers",
        "v2",
        'POST /pay/unifiedorder HTTP/1.1\r\nHost: api.mch.weixin.qq.com\r\n\r\n<?xml version="1.0"?>'
        + order(v2(ORDER)),
        V2,
    )
    yield Case("notification", "v2", xml(PAID, v2(PAID)), V2)
    yield Case("notification by HMAC without sign_type", "v2", xml(PAID, mac(joined(PAID) + "&key=" + V2_KEY)), V2)
    yield Case("notification with CRLF", "v2", xml(PAID, v2(PAID)).replace("\n", "\r\n"), V2)
    yield Case("answer", "v2", xml({**PAID, "prepay_id": "wx2014"}, v2({**PAID, "prepay_id": "wx2014"})), V2)
    yansongda = {"name": "yansongda", "age": "29", "foo": "", "mch_id": ""}
    yield Case(
        "published, with an empty field",
        "v2",
        xml(yansongda, "3213848AED2C380749FD1D559555881D"),
        Keys(given=("yansongda",)),
    )


def v2_slips() -> Iterator[Case]:
    text = joined(ORDER)

    def case(name: str, sign: str, *slips: str, keys: Keys = V2, **more: Any) -> Case:
        return Case(name, "v2", order(sign, **more), keys, slips)

    yield case("another merchant's key", v2(ORDER, OTHER_KEY), "WRONG_KEY")
    yield Case("a notification under another key", "v2", xml(PAID, v2(PAID, OTHER_KEY)), V2, ("WRONG_KEY",))
    yield case("APIv3 key", v2(ORDER, V3_KEY), "KEY_OF_OTHER_API")
    second = Keys(given=(V2_KEY, OTHER_KEY))
    yield case("another merchant's key, given second", v2(ORDER, OTHER_KEY), "OTHER_GIVEN_KEY", keys=second)
    settings = Keys(given=(OTHER_KEY, V3_KEY), v2=V2_KEY, v3=V3_KEY)
    yield case("APIv3 key of the settings, given second", v2(ORDER, V3_KEY), "KEY_OF_OTHER_API", keys=settings)
    yield case("APIv2 key of the settings, another given", v2(ORDER), "OTHER_GIVEN_KEY", keys=settings)
    yield case("AppSecret", v2(ORDER, OTHER_KEY), "KEY_OF_OTHER_API", keys=Keys(v2=V2_KEY, appsecret=OTHER_KEY))
    for name, key in (
        ("line end", V2_KEY + "\n"),
        ("blank before", " " + V2_KEY),
        ("blank after", V2_KEY + " "),
        ("CRLF", V2_KEY + "\r\n"),
    ):
        yield case(f"key with {name}", md5(f"{text}&key={key}"), "KEY_HAS_BLANKS")
    yield case("the given key has blanks", v2(ORDER), "KEY_HAS_BLANKS", keys=Keys(given=(V2_KEY + " ",)))
    signed = {**ORDER, **HMAC}
    yield case("MD5 where HMAC is declared", md5(joined(signed) + "&key=" + V2_KEY), "MD5_FOR_HMAC", **HMAC)
    declared = {**ORDER, "sign_type": "MD5"}
    yield case("HMAC where MD5 is declared", mac(joined(declared) + "&key=" + V2_KEY), "HMAC_FOR_MD5", sign_type="MD5")
    yield case("HMAC without sign_type", mac(text + "&key=" + V2_KEY), "SIGN_TYPE_MISSING")
    yield case("sign_type signed and not sent", v2(signed), "SIGN_TYPE_MISSING")
    yield case("sign_type sent and not signed", md5(text + "&key=" + V2_KEY), "SIGN_TYPE_MISSING", sign_type="MD5")
    yield case(
        "plain SHA-256",
        hashlib.sha256(f"{joined(signed)}&key={V2_KEY}".encode()).hexdigest().upper(),
        "WRONG_ALGORITHM",
        **HMAC,
    )
    yield case("SHA-1", sha1(f"{text}&key={V2_KEY}").upper(), "WRONG_ALGORITHM")
    yield case(
        "an empty field was signed",
        md5(
            f"appid={ORDER['appid']}&attach=&"
            + joined({k: v for k, v in ORDER.items() if k != "appid"})
            + "&key="
            + V2_KEY
        ),
        "EMPTY_VALUE_SIGNED",
        attach="",
    )
    yield case(
        "an empty field was signed and not sent",
        md5(
            f"appid={ORDER['appid']}&attach=&"
            + joined({k: v for k, v in ORDER.items() if k != "appid"})
            + "&key="
            + V2_KEY
        ),
        "EMPTY_VALUE_SIGNED",
    )
    yield case(
        "an empty sign was signed",
        md5(
            f"{joined({k: v for k, v in ORDER.items() if k < 'sign'})}&sign=&{joined({k: v for k, v in ORDER.items() if k > 'sign'})}&key={V2_KEY}"
        ),
        "SIGN_FIELD_SIGNED",
    )
    yield case("no sign at all", "", "SIGN_MISSING")
    for wrong, right in (("appId", "appid"), ("mchId", "mch_id"), ("nonceStr", "nonce_str")):
        yield case(
            f"signed as {wrong}", v2({wrong if k == right else k: v for k, v in ORDER.items()}), "WRONG_PARAMETER_CASE"
        )
    renamed = {"appId" if k == "appid" else k: v for k, v in ORDER.items()}
    yield Case("sent and signed as appId", "v2", xml(renamed, v2(renamed)), V2, ("WRONG_PARAMETER_CASE",))
    yield case("not sorted", md5("&".join(f"{k}={v}" for k, v in ORDER.items()) + "&key=" + V2_KEY), "NOT_SORTED")
    yield case("without the key", md5(text), "KEY_NOT_APPENDED")
    yield case("the key without its name", md5(text + V2_KEY), "KEY_NOT_APPENDED")
    yield case(
        "the key sorted in",
        md5("&".join(f"{k}={v}" for k, v in sorted({**ORDER, "key": V2_KEY}.items()))),
        "KEY_NOT_APPENDED",
    )
    yield case("HMAC without the key", mac(joined(signed)), "KEY_NOT_APPENDED", **HMAC)
    yield case("URL-encoded", v2({k: quote(v, safe="") for k, v in ORDER.items()}), "URL_ENCODED_VALUES")
    yield case("lower case", v2(ORDER).lower(), "LOWER_CASE_RESULT")
    yield case("lower-case HMAC", v2(signed).lower(), "LOWER_CASE_RESULT", **HMAC)
    yield case("signed in GBK", md5(f"{text}&key={V2_KEY}".encode("gbk")), "NOT_UTF8")
    yield case("&amp; signed", v2({k: html.escape(v) for k, v in ORDER.items()}), "HTML_ENTITY")
    yield case("¬ify_url signed", md5(f"{text}&key={V2_KEY}".replace("&notify", "¬ify")), "HTML_ENTITY")
    yield case("an amount in yuan was signed", v2({**ORDER, "total_fee": "8.88"}), "VALUE_CHANGED")
    yield case("a float was signed", v2({**ORDER, "total_fee": "888.0"}), "VALUE_CHANGED")
    yield case("one fen less was signed", v2({**ORDER, "total_fee": "887"}), "VALUE_CHANGED")
    yield case("a field was added after signing", v2(ORDER), "VALUE_CHANGED", attach="later")
    yield case("a blank was lost", v2({**ORDER, "body": ORDER["body"] + " "}), "VALUE_CHANGED")
    changed = {**PAID, "total_fee": "100"}
    yield Case("a changed amount in a notification", "v2", xml(changed, v2(PAID)), V2, ("VALUE_CHANGED",))
    yield case(
        "lower case and MD5 for HMAC",
        md5(joined(signed) + "&key=" + V2_KEY).lower(),
        "LOWER_CASE_RESULT",
        "MD5_FOR_HMAC",
        **HMAC,
    )
    yield case(
        "not sorted, with the APIv3 key",
        md5("&".join(f"{k}={v}" for k, v in ORDER.items()) + "&key=" + V3_KEY),
        "NOT_SORTED",
        "KEY_OF_OTHER_API",
    )
    yield case("lower case and another key", v2(ORDER, OTHER_KEY).lower(), "LOWER_CASE_RESULT", "WRONG_KEY")


# -- APIv3 requests ----------------------------------------------------------------------------------------------------

PATH, QUERY = "/v3/pay/transactions/jsapi", "/v3/pay/transactions/out-trade-no/1217752501?mchid=1900007291"
TIME, NONCE = "1554208460", "593BEC0C930BF1AFEB40B4A08C8FB242"
BODY = (
    '{"appid":"wxd678efh567hg6787","mchid":"1900007291","description":"Image形象店-深圳腾大-QQ公仔",'
    '"out_trade_no":"1217752501201407033233368018","notify_url":"https://www.weixin.qq.com/wxpay/pay.php",'
    '"amount":{"total":100,"currency":"CNY"},"payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}'
)
HOST = "https://api.mch.weixin.qq.com"


def authorization(
    signature: str,
    *,
    time: str = TIME,
    nonce: str = NONCE,
    serial: str = f"{SERIAL:X}",
    scheme: str = "WECHATPAY2-SHA256-RSA2048",
) -> str:
    return f'{scheme} mchid="1900007291",nonce_str="{nonce}",signature="{signature}",timestamp="{time}",serial_no="{serial}"'


def request(
    signature: str, *, method: str = "POST", path: str = PATH, body: str = BODY, more: str = "", **header: str
) -> str:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: api.mch.weixin.qq.com\r\nAuthorization: {authorization(signature, **header)}\r\n"
        f"Accept: application/json\r\nContent-Type: application/json\r\n{more}\r\n{body}"
    )


def message(*, method: str = "POST", path: str = PATH, time: str = TIME, nonce: str = NONCE, body: str = BODY) -> str:
    return lines(method, path, time, nonce, body)


def v3_request_right() -> Iterator[Case]:
    right, keys = rsa(message()), merchant()
    yield Case("POST", "v3-request", request(right), keys)
    yield Case("POST, by the certificate alone", "v3-request", request(right), Keys(certificate=keys.certificate))
    yield Case("POST, saved by an editor", "v3-request", request(right) + "\n", keys)
    yield Case("POST with LF", "v3-request", request(right).replace("\r\n", "\n"), keys)
    get = rsa(message(method="GET", path=QUERY, body=""))
    yield Case("GET with a query", "v3-request", request(get, method="GET", path=QUERY, body=""), keys)
    yield Case("GET of a whole address", "v3-request", request(get, method="GET", path=HOST + QUERY, body=""), keys)
    curl = f"curl -X POST '{HOST}{PATH}' \\\n  -H 'Authorization: {authorization(right)}' \\\n  -H 'Accept: application/json' \\\n  -d '{BODY}'\n"
    yield Case("a curl command", "v3-request", curl, keys)
    loud = (
        f"*   Trying 1.2.3.4:443...\n* Connected\n> GET {QUERY} HTTP/2\n> Host: api.mch.weixin.qq.com\n> authorization: {authorization(get)}\n> accept: */*\n> \n"
        '< HTTP/2 401\n< content-type: application/json\n< \n{"code":"SIGN_ERROR"}\n* Connection #0 to host api.mch.weixin.qq.com left intact\n'
    )
    yield Case("curl -v", "v3-request", loud, keys)
    yield Case("four lines", "v3-request", f"POST\n{PATH}\n{BODY}\nAuthorization: {authorization(right)}\n", keys)
    document = json.dumps(
        {"method": "POST", "url": HOST + PATH, "headers": {"Authorization": authorization(right)}, "body": BODY}
    )
    yield Case("a JSON document", "v3-request", document, keys)
    public = pem((VECTORS / "apiclient_test_key.pem").read_text())
    published = (
        "jnks4dlrPw3ZX+ozVvSK39oa0t7OMBsg83BHAwd8BRdUFiVaQNTLTvci+wURgP1OQBbKYhFGvt7iqYpDSTQkp7Uq1sltaQKyncCyrA1g88m5bsKE"
        "RQfPyT0ahSwKTYJ1CAn9QiJuSJRq1QsQs07eehbU/k9BCS51jTyc1Jpsi2H77HF9f/BnjXAOP3/sPObg6V5Ee4EzwLox684hhuMuIwHo7D8KFk3L"
        "IHOKDcNI4It1aCXydFWNpNK+SG86VUDe5kwoDpw4Ulqfu9z8OFDGbDs9TCxEv8iqQzbpxOlEVoOe2kalSYM5kApQb3nZcxdUtoE0liJGW3RGUNE0"
        "t4v01A=="
    )
    yield Case("the document's own request", "v3-request", request(published), Keys(private_key=public))
    yield Case("the clock agrees", "v3-request", request(right, more="Date: Tue, 02 Apr 2019 12:34:30 GMT\r\n"), keys)


def v3_request_slips() -> Iterator[Case]:
    keys = merchant()

    def case(name: str, signature: str, *slips: str, keys: Keys = keys, **more: Any) -> Case:
        return Case(name, "v3-request", request(signature, **more), keys, slips)

    get: dict[str, Any] = {"method": "GET", "path": QUERY, "body": ""}
    yield case("another private key", rsa(message(), "other"), "WRONG_KEY")
    yield case("an APIv2 signature", v2(ORDER), "KEY_OF_OTHER_API")
    yield case("last line end missing", rsa(message()[:-1]), "LAST_LINE_END_MISSING")
    yield case("last line end missing, GET", rsa(message(**get)[:-1]), "LAST_LINE_END_MISSING", **get)
    yield case("CRLF", rsa(message().replace("\n", "\r\n")), "LINE_END_CRLF")
    yield case("two characters for a line end", rsa(message().replace("\n", "\\n")), "LINE_END_CRLF")
    yield case("with host", rsa(message(path=HOST + PATH)), "URL_WITH_HOST")
    yield case("with host, GET", rsa(message(**{**get, "path": HOST + QUERY})), "URL_WITH_HOST", **get)
    yield case("with a bare host", rsa(message(path="api.mch.weixin.qq.com" + PATH)), "URL_WITH_HOST")
    yield case(
        "without the query", rsa(message(**{**get, "path": QUERY.partition("?")[0]})), "URL_WITHOUT_QUERY", **get
    )
    yield case("with a fragment", rsa(message(path=PATH)), "URL_WITH_FRAGMENT", path=PATH + "#top")
    star = "/v3/pay/transactions/out-trade-no/A%2A1?mchid=1900007291"
    yield case(
        "decoded",
        rsa(message(**{**get, "path": star.replace("%2A", "*")})),
        "URL_DIFFERS",
        method="GET",
        path=star,
        body="",
    )
    plain = "/v3/bill/tradebill?bill_date=2019-06-11&tar_type=A B".replace(" ", "%20")
    yield case(
        "encoded twice",
        rsa(message(**{**get, "path": plain.replace("%20", "%2520")})),
        "URL_DIFFERS",
        method="GET",
        path=plain,
        body="",
    )
    two = "/v3/bill/tradebill?bill_date=2019-06-11&bill_type=ALL"
    yield case(
        "&amp; in the query",
        rsa(message(**{**get, "path": two.replace("&", "&amp;")})),
        "HTML_ENTITY",
        method="GET",
        path=two,
        body="",
    )
    other_way = "/v3/bill/tradebill?bill_type=ALL&bill_date=2019-06-11"
    yield case(
        "the query sorted", rsa(message(**{**get, "path": two})), "URL_DIFFERS", method="GET", path=other_way, body=""
    )
    yield case("a slash at the end", rsa(message(path=PATH + "/")), "URL_DIFFERS")
    document = json.loads(BODY)
    for name, body in (
        ("with blanks", json.dumps(document, ensure_ascii=False)),
        ("in ASCII", json.dumps(document, separators=(",", ":"))),
        ("indented", json.dumps(document, ensure_ascii=False, indent=2)),
        ("sorted", json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)),
        ("by PHP", json.dumps(document, separators=(",", ":")).replace("/", "\\/")),
        ("with a line end", BODY + "\n"),
        ("empty", ""),
        ("of another amount", BODY.replace(":100,", ":1,")),
        ("of another customer", BODY.replace("QQ公仔", "公仔")),
    ):
        yield case(f"a body {name} was signed", rsa(message(body=body)), "BODY_CHANGED")
    yield case("a body of GET was signed", rsa(message(**{**get, "body": "{}"})), "BODY_CHANGED", **get)
    yield case("one second later", rsa(message(time="1554208461")), "TIMESTAMP_DIFFERS")
    yield case("a quarter of an hour earlier", rsa(message(time="1554207560")), "TIMESTAMP_DIFFERS")
    yield case("milliseconds signed", rsa(message(time=TIME + "000")), "TIMESTAMP_IN_MILLISECONDS")
    other = "C380BEC2BFD727A4B6845133519F3AD6"
    yield case(
        "another nonce, which stands in the log",
        rsa(message(nonce=other)),
        "NONCE_DIFFERS",
        more=f"X-Nonce: {other}\r\n",
    )
    yield case("another nonce of a GET", rsa(message(**get, nonce=other)), "NONCE_DIFFERS", **get)
    yield case("nonce in lower case", rsa(message(nonce=NONCE.lower())), "NONCE_DIFFERS")
    yield case("method in lower case", rsa(message(method="post")), "METHOD_DIFFERS")
    yield case("another method", rsa(message(method="GET")), "METHOD_DIFFERS")
    yield case("another certificate's serial", rsa(message()), "SERIAL_OF_OTHER_KEY", serial=f"{PLATFORM_SERIAL:X}")
    yield case("the serial in decimal", rsa(message()), "SERIAL_OF_OTHER_KEY", serial=str(SERIAL))
    yield case(
        "the public key's id for a serial",
        rsa(message()),
        "SERIAL_OF_OTHER_KEY",
        serial=KEY_ID,
        keys=Keys(private_key=keys.private_key),
    )
    yield case("key and certificate are no pair", rsa(message()), "SERIAL_OF_OTHER_KEY", keys=merchant("other"))
    certificate = Keys(private_key=pem(certificate_pem("merchant", serial=SERIAL)))
    yield case("a certificate for the private key", rsa(message()), "CERTIFICATE_FOR_KEY", keys=certificate)
    yield case("six minutes slow", rsa(message()), "CLOCK_OFF", more="Date: Tue, 02 Apr 2019 12:40:30 GMT\r\n")
    yield case("eight hours fast", rsa(message()), "CLOCK_OFF", more="Date: Tue, 02 Apr 2019 04:34:20 GMT\r\n")
    yield case("SHA-1", rsa(message(), old=True), "WRONG_ALGORITHM")
    yield case("PSS", rsa(message(), pss=True), "WRONG_ALGORITHM")
    yield case("another scheme", rsa(message()), "WRONG_ALGORITHM", scheme="WECHATPAY2-SM2-WITH-SM3")
    yield case("URL-safe base64", rsa(message()).replace("+", "-").replace("/", "_").rstrip("="), "SIGNATURE_ENCODING")
    yield case("no signature", "", "SIGN_MISSING")
    yield case(
        "with host and without the last line end",
        rsa(message(path=HOST + PATH)[:-1]),
        "URL_WITH_HOST",
        "LAST_LINE_END_MISSING",
    )
    yield case(
        "another body and host",
        rsa(message(path=HOST + PATH, body=json.dumps(document))),
        "URL_WITH_HOST",
        "BODY_CHANGED",
    )


# -- APIv3 answers and notifications -----------------------------------------------------------------------------------

ANSWER = '{"code_url":"weixin://wxpay/bizpayurl?pr=JyC91EIz1","note":"支付"}'
ANSWER_TIME, ANSWER_NONCE = "1722850421", "d824f2e086d3c1df967785d13fcd22ef"


@cache
def notice() -> str:
    envelope = {
        "id": "EV-2018022511223320873",
        "create_time": "2024-08-05T17:33:40+08:00",
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": by_hand.seal({"out_trade_no": "1217752501201407033233368018"}),
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))


def wechatpay(
    signature: str, *, time: str = ANSWER_TIME, nonce: str = ANSWER_NONCE, serial: str = KEY_ID, more: str = ""
) -> str:
    return (
        f"Content-Type: application/json; charset=utf-8\r\nWechatpay-Nonce: {nonce}\r\nWechatpay-Signature: {signature}\r\n"
        f"Wechatpay-Signature-Type: WECHATPAY2-SHA256-RSA2048\r\nWechatpay-Serial: {serial}\r\nWechatpay-Timestamp: {time}\r\n{more}"
    )


def answer(signature: str, body: str = ANSWER, **header: str) -> str:
    return f"HTTP/1.1 200 OK\r\nServer: nginx\r\n{wechatpay(signature, **header)}\r\n{body}"


def notification(signature: str, body: str = "", **header: str) -> str:
    return f"POST /notify HTTP/1.1\r\nHost: pay.example.com\r\n{wechatpay(signature, **header)}\r\n{body or notice()}"


def platform_sign(body: str, time: str = ANSWER_TIME, nonce: str = ANSWER_NONCE, who: str = "wechat") -> str:
    return rsa(lines(time, nonce, body), who)


def v3_answers_right() -> Iterator[Case]:
    right, keys = platform_sign(ANSWER), platform()
    yield Case("answer", "v3-answer", answer(right), keys)
    yield Case(
        "answer over HTTP/2",
        "v3-answer",
        answer(right)
        .replace("HTTP/1.1", "HTTP/2")
        .lower()
        .replace(right.lower(), right)
        .replace(KEY_ID.lower(), KEY_ID)
        .replace(ANSWER.lower(), ANSWER),
        keys,
    )
    yield Case(
        "answer without a body", "v3-answer", answer(platform_sign(""), "").replace("200 OK", "204 No Content"), keys
    )
    certificate = Keys(certificate=pem(certificate_pem("wechat", serial=PLATFORM_SERIAL)))
    yield Case(
        "answer by a platform certificate", "v3-answer", answer(right, serial=f"{PLATFORM_SERIAL:X}"), certificate
    )
    published = (
        "mfI1CPqvBrgcXfgXMFjdNIhBf27ACE2YyeWsWV9ZI7T7RU0vHvbQpu9Z32ogzc+k8ZC5n3kz7h70eWKjgqNdKQF0eRp8mVKlmfzMLBVHbssB9jEZ"
        "EDXThOX1XFqX7s7ymia1hoHQxQagPGzkdWxtlZPZ4ZPvr1RiqkgAu6Is8MZgXXrRoBKqjmSdrP1N7uxzJ/cjfSiis9FiLjuADoqmQ1P7p2N876YP"
        "Aol7Rn0+GswwAwxldbdLrmVSjfytfSBJFqTMHn4itojgxSWWN1byuckQt8hSTEv/Lg97QoeGniYP17T80pJeQyL3b+295FPHSO2AtvCgyIbKMZ0B"
        "ALilAA=="
    )
    public = Keys(public_key=pem((VECTORS / "wechatpay_test_public_key.pem").read_text()))
    body = '{"code_url":"weixin://wxpay/bizpayurl?pr=JyC91EIz1"}'
    yield Case("the document's own answer", "v3-answer", answer(published, body), public)
    signed = platform_sign(notice())
    yield Case("notification", "v3-notification", notification(signed), keys)
    yield Case("notification from headers alone", "v3-notification", notification(signed).partition("\r\n")[2], keys)
    headers = "\n".join(
        f"HTTP_WECHATPAY_{name} => {value}"
        for name, value in (
            ("NONCE", ANSWER_NONCE),
            ("TIMESTAMP", ANSWER_TIME),
            ("SERIAL", KEY_ID),
            ("SIGNATURE", signed),
        )
    )
    yield Case("notification as PHP prints it", "v3-notification", f"{headers}\n{notice()}\n", keys)
    logged = json.dumps(
        {
            "headers": {
                "Wechatpay-Nonce": ANSWER_NONCE,
                "Wechatpay-Timestamp": ANSWER_TIME,
                "Wechatpay-Serial": KEY_ID,
                "Wechatpay-Signature": signed,
            },
            "body": notice(),
        }
    )
    yield Case("notification as a JSON log line", "v3-notification", logged + "\n", keys)
    yield Case("notification by its APIv3 key alone", "v3-notification", notification(signed), Keys(given=(V3_KEY,)))


def v3_answers_slips() -> Iterator[Case]:
    keys = platform()
    for kind, body, write in (("v3-answer", ANSWER, answer), ("v3-notification", notice(), notification)):
        right = platform_sign(body)
        yield Case(f"{kind}: another key", kind, write(platform_sign(body, who="other"), body), keys, ("WRONG_KEY",))
        yield Case(
            f"{kind}: another serial",
            kind,
            write(right, body, serial=f"{PLATFORM_SERIAL:X}"),
            keys,
            ("SERIAL_OF_OTHER_KEY",),
        )
        yield Case(
            f"{kind}: a serial and a key of another",
            kind,
            write(platform_sign(body, who="other"), body, serial="PUB_KEY_ID_01"),
            keys,
            ("SERIAL_OF_OTHER_KEY",),
        )
        yield Case(
            f"{kind}: written again",
            kind,
            write(right, json.dumps(json.loads(body), ensure_ascii=False)),
            keys,
            ("BODY_CHANGED",),
        )
        yield Case(
            f"{kind}: indented",
            kind,
            write(right, json.dumps(json.loads(body), ensure_ascii=False, indent=4)),
            keys,
            ("BODY_CHANGED",),
        )
        yield Case(
            f"{kind}: in ASCII",
            kind,
            write(right, json.dumps(json.loads(body), separators=(",", ":"))),
            keys,
            ("BODY_CHANGED",),
        )
        yield Case(f"{kind}: cut off", kind, write(right, body[:-20]), keys, ("BODY_CHANGED",))
        yield Case(f"{kind}: another value", kind, write(right, body.replace("支付", "退款")), keys, ("BODY_CHANGED",))
        yield Case(
            f"{kind}: another timestamp", kind, write(right, body, time="1722850422"), keys, ("TIMESTAMP_DIFFERS",)
        )
        yield Case(
            f"{kind}: another nonce",
            kind,
            write(right, body, nonce="a" * 32, more=f"X-Old: {ANSWER_NONCE}\r\n"),
            keys,
            ("NONCE_DIFFERS",),
        )
        yield Case(
            f"{kind}: last line end missing",
            kind,
            write(rsa(lines(ANSWER_TIME, ANSWER_NONCE, body)[:-1], "wechat"), body),
            keys,
            ("LAST_LINE_END_MISSING",),
        )
        probe = "WECHATPAY/SIGNTEST/" + right[19:]
        yield Case(f"{kind}: probe", kind, write(probe, body), keys, ("PROBE",))
        yield Case(
            f"{kind}: clock",
            kind,
            write(right, body, more="Date: Mon, 05 Aug 2024 09:20:21 GMT\r\n"),
            keys,
            ("CLOCK_OFF",),
        )
        certificate = Keys(public_key=pem(certificate_pem("wechat", serial=PLATFORM_SERIAL)), v3=V3_KEY)
        yield Case(
            f"{kind}: a certificate for the public key",
            kind,
            write(right, body, serial=f"{PLATFORM_SERIAL:X}"),
            certificate,
            ("CERTIFICATE_FOR_KEY",),
        )
        yield Case(f"{kind}: no signature", kind, write("", body), keys, ("SIGN_MISSING",))
    right = platform_sign(notice())
    for name, given, slip in (
        ("another APIv3 key", Keys(public_key=keys.public_key, v3=OTHER_KEY), "WRONG_KEY"),
        ("the APIv2 key in its place", Keys(public_key=keys.public_key, v3=OTHER_KEY, v2=V3_KEY), "KEY_OF_OTHER_API"),
        ("the APIv3 key with a blank", Keys(public_key=keys.public_key, v3=V3_KEY + " "), "KEY_HAS_BLANKS"),
        ("the APIv3 key with a line end, alone", Keys(given=(V3_KEY + "\n",)), "KEY_HAS_BLANKS"),
        ("another APIv3 key alone", Keys(given=(OTHER_KEY,)), "WRONG_KEY"),
    ):
        yield Case(f"notification: {name}", "v3-notification", notification(right), given, (slip,))
