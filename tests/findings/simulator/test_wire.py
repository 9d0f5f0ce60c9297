"""E. The WeChat simulator on the wire, as WeChat is: letters' case, content types, words and layouts."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

import pytest

from simulator.control.console import WECHAT_HOSTS
from simulator.wechatpay.xml import write_xml
from tests.simulator.merchant import Merchant, number, unxml, v2_sign
from tests.simulator.sink import Sink
from tests.support.scenarios import opened
from tests.support.simulated_account import REDIRECT, Account
from tests.support.simulated_bills import ALL_SUMS, BillFixture
from tests.support.simulator import ROOT, SimulatorProcess, ask
from wechat.pay.v2 import xmlcodec

ORDER_NO = "输入源“/body/{xml}out_trade_no”映射到值字段“商户订单号”字符串规则校验失败，"


# -- E1 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [str.lower, str.upper, lambda serial: serial.lstrip("0")])
def test_e1_a_serial_is_a_number_in_either_case(shop: Merchant, write: Any) -> None:
    serial = write(shop.known["merchant_serial_no"])
    assert shop.v3("GET", "/v3/certificates", serial_no=serial).status == 200


@pytest.mark.parametrize("serial", ["0", "xyz", "-1", "", "１２"])
def test_e1_another_serial_or_none_is_refused(shop: Merchant, serial: str) -> None:
    answer = shop.v3("GET", "/v3/certificates", serial_no=serial.encode().decode("latin-1"))
    assert (answer.status, answer.json()["code"]) == (401, "SIGN_ERROR")


# -- E2, E13 -----------------------------------------------------------------------------------------------------------


def test_e2_bills_are_plain_text_and_zipped_ones_say_so(simulator: SimulatorProcess, sink: Sink) -> None:
    till = BillFixture(simulator, sink)
    till.morning_after(till.today, timedelta(hours=12))
    day = till.today
    till.shop.paid("v3")
    till.morning_after(day)
    types = {}
    for name, more in (("plain", ""), ("zipped", "&tar_type=GZIP")):
        url = till.announced(day, more=more).json()["download_url"]
        types[f"v3 {name}"] = till.shop.v3("GET", url.removeprefix(simulator.url)).headers["Content-Type"]
        zipped = {"tar_type": "GZIP"} if more else {}
        body = till.shop.v2_signed({"bill_date": day.strftime("%Y%m%d"), **zipped})
        types[f"v2 {name}"] = ask("POST", f"{simulator.url}/pay/downloadbill", body).headers["Content-Type"]
    plain, zipped_type = "text/plain", "application/x-gzip"
    assert types == {"v3 plain": plain, "v2 plain": plain, "v3 zipped": zipped_type, "v2 zipped": zipped_type}


def test_e13_each_kind_of_bill_ends_in_all_sums_with_a_fee_of_five_decimals(
    simulator: SimulatorProcess, sink: Sink
) -> None:
    till = BillFixture(simulator, sink)
    till.morning_after(till.today, timedelta(hours=12))
    day = till.today
    out_trade_no = till.shop.paid("v3")
    till.shop.v3_refund(500, out_trade_no=out_trade_no)
    till.morning_after(day)
    expected = {"SUCCESS": ("1", "18.00", "0.00", "0.11000"), "REFUND": ("1", "0.00", "5.00", "-0.03000")}
    for kind, values in expected.items():
        _, sums = till.trade(day, kind)
        assert list(sums) == ALL_SUMS.split(",")
        assert tuple(sums[name] for name in ("总交易单数", "订单总金额", "申请退款总金额", "手续费总金额")) == values


# -- E6, E7 ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def account(shop: Merchant) -> Account:
    return Account(shop)


def test_e6_a_token_that_is_not_the_latest_is_told_where_to_get_one(account: Account) -> None:
    payload = account.ticket("x" * 40)
    words = (
        "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, "
    )
    assert payload["errcode"] == 40001
    assert re.fullmatch(words + r"more details at https://mmbizurl\.cn/s/\w+ rid: [0-9a-f-]{26}", payload["errmsg"])


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/sns/oauth2/access_token", {"appid": "wx0", "secret": "x"}, "invalid appid, rid: "),
        (
            "/sns/userinfo",
            {"access_token": "x" * 20, "openid": "o"},
            "invalid credential, access_token is invalid or not latest, rid: ",
        ),
        ("/sns/auth", {"openid": "o"}, "access_token missing, rid: "),
        ("/sns/oauth2/refresh_token", {"appid": "wx0"}, "invalid appid, rid: "),
    ],
)
def test_e6_what_concerns_users_is_plain_text_with_a_comma_before_rid(
    account: Account, path: str, query: dict[str, str], words: str
) -> None:
    answer = ask(
        "GET", f"{account.simulator.url}{path}?" + "&".join(f"{name}={value}" for name, value in query.items())
    )
    assert answer.headers["Content-Type"] == "text/plain"
    assert json.loads(answer.body)["errmsg"].startswith(words)


def test_e6_the_appid_is_looked_at_before_the_grant_type(account: Account) -> None:
    assert account.classic(appid="wx0", grant_type="")["errcode"] == 40013
    assert account.stable(appid="wx0", grant_type="")["errcode"] == 40013
    assert account.classic(grant_type="")["errcode"] == 40002


def test_e7_a_payer_who_declines_comes_back_with_authdeny(account: Account) -> None:
    assert account.decide("").headers["Location"] == f"{REDIRECT}?code=authdeny&state=s1"
    assert account.exchange("authdeny")["errcode"] == 40029


# -- E8 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "v2_label", "v3_field", "v3_label", "v2_most", "v3_most"),
    [
        ("body", "商品描述", "description", "商品描述", 128, 127),
        ("attach", "附加数据", "attach", "附加数据", 128, 128),
        ("out_trade_no", "商户订单号", "out_trade_no", "商户订单号", 32, 32),
    ],
)
def test_e8_lengths_are_bytes_and_the_sentence_names_both_numbers(
    shop: Merchant, field: str, v2_label: str, v3_field: str, v3_label: str, v2_most: int, v3_most: int
) -> None:
    letter = "a" if field == "out_trade_no" else "好"
    v2_text, v3_text = (letter * (most // len(letter.encode()) + 1) for most in (v2_most, v3_most))
    rule = "字符串规则校验失败，字节数 {}，大于最大值 {}"
    assert shop.v2("unifiedorder", **shop.v2_order(**{field: v2_text})) == {
        "return_code": "FAIL",
        "return_msg": f"输入源“/body/xml/{field}”映射到值字段“{v2_label}”"
        + rule.format(len(v2_text.encode()), v2_most),
    }
    answer = shop.v3("POST", "/v3/pay/transactions/jsapi", shop.v3_order(**{v3_field: v3_text}))
    assert answer.json() == {
        "code": "PARAM_ERROR",
        "message": f"输入源“/body/{v3_field}”映射到值字段“{v3_label}”" + rule.format(len(v3_text.encode()), v3_most),
        "detail": {"location": "body", "value": len(v3_text.encode())},
    }


def test_e8_texts_of_just_as_many_bytes_are_taken(shop: Merchant) -> None:
    assert shop.v2("unifiedorder", **shop.v2_order(body="好" * 42 + "ab", attach="a" * 128))["result_code"] == "SUCCESS"
    order = shop.v3_order(description="好" * 42 + "a", attach="a" * 128)
    assert shop.v3("POST", "/v3/pay/transactions/jsapi", order).status == 200


def test_e8_an_order_number_has_six_letters_at_least(shop: Merchant) -> None:
    rule = "字节数 5，小于最小值 6"
    answer = shop.v3("POST", "/v3/pay/transactions/jsapi", shop.v3_order(out_trade_no="short"))
    assert answer.json()["message"] == ORDER_NO.format(xml="") + rule
    for call, fields in (
        ("unifiedorder", shop.v2_order(out_trade_no="short")),
        ("orderquery", {"out_trade_no": "short"}),
        ("closeorder", {"out_trade_no": "short"}),
    ):
        assert shop.v2(call, **fields)["return_msg"] == ORDER_NO.format(xml="xml/") + rule
    queried = shop.v3_query("short").json()["message"]
    assert queried == ORDER_NO.format(xml="").replace("/body/", "/uri_template/") + rule


def test_e8_letters_that_are_not_allowed_and_amounts_that_are_none(shop: Merchant) -> None:
    payload = shop.v2("unifiedorder", **shop.v2_order(out_trade_no="订单12345"))["return_msg"]
    assert payload.startswith(ORDER_NO.format(xml="xml/") + "字符串必须匹配正则表达式")
    words = "无法将输入源“/body/xml/total_fee”映射到目标字段“标价金额”中，此字段需要一个合法的 64 位有符号整数"
    for wrong in ("1.5", "1e2", "０", " 1", "9" * 30):
        assert shop.v2("unifiedorder", **shop.v2_order(total_fee=wrong)) == {"return_code": "FAIL", "return_msg": words}


# -- E9, E10 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("appid", "words"), [("wx0000000000000000", "商户号mch_id与appid不匹配"), ("0" * 18, "AppID不存在")]
)
@pytest.mark.parametrize("call", ["unifiedorder", "orderquery"])
def test_e9_another_appid_is_refused_at_the_door(shop: Merchant, call: str, appid: str, words: str) -> None:
    assert shop.v2(call, appid=appid, **shop.v2_order()) == {"return_code": "FAIL", "return_msg": words}


def test_e9_another_apps_openid_is_a_signed_refusal(shop: Merchant) -> None:
    answer = shop.v2("unifiedorder", **shop.v2_order(openid="onobodysopenid"))
    assert (answer["err_code"], answer["err_code_des"]) == ("PARAM_ERROR", "appid和openid不匹配")
    assert answer["sign"] == v2_sign(answer, shop.known["api_v2_key"])


def test_e9_a_paid_order_is_not_closed_in_wechats_words(shop: Merchant) -> None:
    answer = shop.v2("closeorder", out_trade_no=shop.paid("v2"))
    assert (answer["err_code"], answer["err_code_des"]) == ("ORDERPAID", "order paid")


def test_e9_an_order_without_refunds_has_none_to_tell_of(shop: Merchant) -> None:
    unpaid, _ = shop.place("v2")
    for asked in (
        {"out_trade_no": shop.paid("v2")},
        {"out_trade_no": unpaid},
        {"out_trade_no": number()},
        {"out_refund_no": number()},
        {"transaction_id": "4200000000"},
    ):
        answer = shop.v2("refundquery", **asked)
        assert (answer["err_code"], answer["err_code_des"]) == ("REFUNDNOTEXIST", "not exist"), asked


def test_e10_v3_words_for_a_foreign_appid_and_a_refund_of_nothing(shop: Merchant) -> None:
    foreign = shop.v3("POST", "/v3/pay/transactions/jsapi", shop.v3_order(appid="wx0000000000000000"))
    assert (foreign.status, foreign.json()["code"]) == (400, "INVALID_REQUEST")
    assert foreign.json()["message"] == "商户号mch_id与appid不匹配"
    unpaid, _ = shop.place("v3")
    for out_trade_no in (unpaid, number()):
        refused = shop.v3_refund(out_trade_no=out_trade_no)
        assert (refused.status, refused.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")
        assert refused.json()["message"] == "原订单不存在"


# -- E11 ---------------------------------------------------------------------------------------------------------------


def test_e11_answers_and_notifications_of_v2_come_in_cdata_with_line_breaks(shop: Merchant, sink: Sink) -> None:
    fields = shop.v2_order(attach="<&>]]>")
    body = ask("POST", f"{shop.simulator.url}/pay/unifiedorder", shop.v2_signed(fields)).body
    assert body.startswith(b"<xml><return_code><![CDATA[SUCCESS]]></return_code>\n<return_msg><![CDATA[OK]]>")
    shop.bridge(shop.v2_pay(unxml(body)["prepay_id"]))
    message = sink.wait(1)[0].body
    assert b"<total_fee>1800</total_fee>\n" in message
    payload = unxml(message)
    assert payload["attach"] == "<&>]]>"
    assert payload["sign"] == v2_sign(payload, shop.known["api_v2_key"])
    refused = shop.v2_raw("unifiedorder", b"")
    assert refused == {"return_code": "FAIL", "return_msg": "post数据为空"}


def test_e11_an_answer_to_hmac_carries_sign_type_and_signs_it(shop: Merchant) -> None:
    _, answer = shop.v2_place("HMAC-SHA256")
    assert answer["sign_type"] == "HMAC-SHA256"
    assert answer["sign"] == v2_sign(answer, shop.known["api_v2_key"], "HMAC-SHA256")
    assert "sign_type" not in shop.v2_place()[1]


@pytest.mark.parametrize("value", ["", "]]>", "]]]]>>", "a\r\nb", "<x/>", "&amp;", "\U0001f375", "007"])
def test_e11_what_is_written_is_what_two_parsers_read(value: str) -> None:
    written = write_xml({"a_fee_0": value, "b": value})
    assert xmlcodec.parse(written) == {"a_fee_0": value, "b": value}
    assert [element.text or "" for element in ElementTree.fromstring(written.decode())] == [value, value]  # noqa: S314


# -- E3, E4 ------------------------------------------------------------------------------------------------------------


def test_e3_under_wechats_own_names_with_a_certificate_that_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--state", str(tmp_path), "--wechat-hosts"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        printed = [process.stdout.readline() for _ in range(4)]
        secure = urlsplit(printed[1].split()[-1])
        context = ssl.create_default_context(cafile=printed[3].split()[-1])
        assert set(WECHAT_HOSTS) <= set(printed[2].split("'")[1].split())
        for name in WECHAT_HOSTS:
            assert request_as(name, secure.port or 0, context)[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            request_as("pay.weixin.qq.com", secure.port or 0, context)
        assert request_as("localhost", secure.port or 0, context, host="pay.weixin.qq.com")[0] == 421
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def request_as(name: str, port: int, context: ssl.SSLContext, host: str = "") -> tuple[int, bytes]:
    """GET /cgi-bin/token of ``name``, which is found on loopback."""
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        tls.sendall(f"GET /cgi-bin/token HTTP/1.1\r\nHost: {host or name}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: tls.recv(65536), b""))
    return int(answer.split()[1]), answer


def test_e3_without_the_option_it_answers_under_loopback_names_alone(shop: Merchant) -> None:
    context = ssl.create_default_context(cadata=shop.known["secure_ca_pem"])
    port = urlsplit(shop.known["secure_url"]).port or 0
    assert request_as("localhost", port, context)[0] == 200
    assert request_as("localhost", port, context, host="api.weixin.qq.com")[0] == 421


def app_params(shop: Merchant, api: str, **changed: str) -> tuple[str, dict[str, str]]:
    """An APP order's number and the parameters that an app passes to WeChat."""
    if api == "v2":
        out_trade_no, answer = shop.v2_place(trade_type="APP", openid="")
        prepay_id = answer["prepay_id"]
    else:
        order = shop.v3_order(payer=None)
        out_trade_no = order["out_trade_no"]
        prepay_id = shop.v3("POST", "/v3/pay/transactions/app", order).json()["prepay_id"]
    params = {
        "appid": shop.appid,
        "partnerid": shop.mchid,
        "prepayid": prepay_id,
        "package": "Sign=WXPay",
        "noncestr": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
        "timestamp": "1414561699",
    } | changed
    lines = (params["appid"], params["timestamp"], params["noncestr"], params["prepayid"])
    sign = v2_sign(params, shop.known["api_v2_key"]) if api == "v2" else shop.sign(*lines)
    return out_trade_no, {**params, "sign": sign}


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_e4_an_app_pays_and_the_order_says_app(shop: Merchant, sink: Sink, api: str) -> None:
    out_trade_no, params = app_params(shop, api)
    assert shop.simulator.control("POST", "app", params) == {"err_msg": "app:ok"}
    payload = unxml(sink.wait(1)[0].body) if api == "v2" else opened(shop, sink.wait(1)[0])
    assert (payload["trade_type"], payload["out_trade_no"]) == ("APP", out_trade_no)


@pytest.mark.parametrize("api", ["v2", "v3"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sign", "", "调用支付JSAPI缺少参数: sign"),
        ("prepayid", "wxsim0", "订单已过期失效，请重新下单再发起支付"),
        ("noncestr", "another", "支付验证签名失败"),
        ("partnerid", "sim1", "支付验证签名失败"),
        ("package", "prepay_id=1", "支付验证签名失败"),
    ],
)
def test_e4_an_app_that_is_wrong_does_not_pay(shop: Merchant, api: str, name: str, value: str, words: str) -> None:
    _, params = app_params(shop, api)
    payload = shop.simulator.control("POST", "app", {**params, name: value})
    assert payload == {"err_msg": "app:fail", "err_desc": words}


def test_e4_a_jsapi_order_is_not_paid_in_an_app_nor_the_reverse(shop: Merchant) -> None:
    _, jsapi = shop.v3_place()
    payload = shop.simulator.control("POST", "app", app_params(shop, "v3", prepayid=jsapi)[1])
    assert payload["err_msg"] == "app:fail"
    _, params = app_params(shop, "v3")
    assert shop.bridge(shop.v3_pay(params["prepayid"]))["err_msg"].endswith(":fail")


# -- E5 ----------------------------------------------------------------------------------------------------------------


def post(account: Account, path: str, body: Any, token: str = "") -> dict[str, Any]:
    token = token or account.stable()["access_token"]
    answer = ask("POST", f"{account.simulator.url}/cgi-bin/{path}?access_token={token}", json.dumps(body))
    payload: dict[str, Any] = answer.json()
    return payload


def test_e5_addresses_quota_followers_and_messages_are_answered(account: Account) -> None:
    token, openid = account.stable()["access_token"], account.known["users"][0]["openid"]
    for path in ("getcallbackip", "get_api_domain_ip"):
        assert account.get(f"/cgi-bin/{path}", access_token=token) == {"ip_list": ["127.0.0.1"]}
    assert post(account, "clear_quota", {"appid": account.known["appid"]}) == {"errcode": 0, "errmsg": "ok"}
    follower = account.get("/cgi-bin/user/info", access_token=token, openid=openid, lang="en")
    assert (follower["subscribe"], follower["openid"], follower["language"]) == (1, openid, "en")
    template = {"touser": openid, "template_id": "t", "data": {}}
    assert post(account, "message/template/send", template)["msgid"] > 0
    custom = {"touser": openid, "msgtype": "text", "text": {"content": "好"}}
    assert post(account, "message/custom/send", custom) == {"errcode": 0, "errmsg": "ok"}


@pytest.mark.parametrize(
    ("path", "body", "errcode"),
    [
        ("clear_quota", {"appid": "wx0"}, 40013),
        ("clear_quota", [], 47001),
        ("message/template/send", {"touser": "o", "template_id": "t"}, 40003),
        ("message/template/send", {"touser": "OPENID"}, 40037),
        ("message/custom/send", {"touser": "OPENID", "msgtype": "smoke"}, 40008),
        ("message/custom/send", {"touser": "OPENID", "msgtype": "text"}, 44004),
        ("message/custom/sent", {}, 40066),
    ],
)
def test_e5_what_is_wrong_is_refused_by_its_code(account: Account, path: str, body: Any, errcode: int) -> None:
    if isinstance(body, dict) and body.get("touser") == "OPENID":
        body = body | {"touser": account.known["users"][0]["openid"]}
    assert post(account, path, body)["errcode"] == errcode


def test_e5_each_call_wants_a_living_token_and_its_method(account: Account) -> None:
    for path in ("clear_quota", "message/template/send", "message/custom/send"):
        assert post(account, path, {}, token="x" * 40)["errcode"] == 40001
        assert account.errcode(f"/cgi-bin/{path}", access_token="x" * 40) == 43002
    assert account.errcode("/cgi-bin/getcallbackip") == 41001
    assert account.errcode("/cgi-bin/user/info", access_token=account.stable()["access_token"], openid="o") == 40003


@pytest.mark.parametrize("path", ["/cgi-bin/nothing", "/sns/nothing"])
def test_e5_an_unknown_address_of_the_api_is_told_so(account: Account, path: str) -> None:
    payload = account.get(path)
    assert (payload["errcode"], payload["errmsg"].startswith("invalid url rid: ")) == (40066, True)


def test_e5_a_website_logs_in_by_a_scanned_code_and_gets_the_unionid(account: Account) -> None:
    query = urlencode(
        {
            "appid": account.known["appid"],
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": "snsapi_login",
            "state": "s1",
        }
    )
    page = ask("GET", f"{account.simulator.url}/connect/qrconnect?{query}").body.decode()
    assert 'action="/connect/qrconnect"' in page
    form = urlencode({"query": query, "user": "yi"})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    back = ask("POST", f"{account.simulator.url}/connect/qrconnect", form, headers).headers["Location"]
    grant = account.exchange(parse_qs(urlsplit(back).query)["code"][0])
    assert (grant["scope"], grant["openid"]) == ("snsapi_login", account.known["users"][1]["openid"])
    profile = account.get("/sns/userinfo", access_token=grant["access_token"], openid=grant["openid"])
    follower = account.get("/cgi-bin/user/info", access_token=account.stable()["access_token"], openid=grant["openid"])
    assert grant["unionid"] == profile["unionid"] == follower["unionid"]


def test_e5_silent_authorisation_has_no_unionid_and_a_snapshot_says_so(account: Account) -> None:
    assert {"unionid", "is_snapshotuser"} & set(account.exchange(account.code())) == set()
    account.simulator.control("POST", "settings", {"snapshot_users": True})
    code = parse_qs(urlsplit(account.decide("jia").headers["Location"]).query)["code"][0]
    assert account.exchange(code)["is_snapshotuser"] == 1
    account.simulator.control("POST", "settings", {"snapshot_users": False})
