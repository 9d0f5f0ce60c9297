"""Every refusal of v3, and how its answers are signed."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.simulator.merchant import Merchant, from_now, number
from tests.support.simulated_v3 import JSAPI, verify
from tests.support.simulator import Answer

FORMAT = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"


def refused(answer: Answer) -> tuple[int, str, str]:
    """Status, code and message; a refusal is not signed."""
    assert answer.headers["Wechatpay-Signature"] is None
    return answer.status, answer.json()["code"], answer.json()["message"]


def test_answers_are_signed_with_the_public_key_when_the_request_names_it(merchant: Merchant) -> None:
    answer = merchant.v3("POST", JSAPI, merchant.v3_order())
    assert answer.headers["Wechatpay-Serial"] == merchant.known["public_key_id"]
    assert answer.headers["Wechatpay-Signature-Type"] == "WECHATPAY2-SHA256-RSA2048"
    assert answer.headers["Request-ID"].endswith("-0")
    verify(answer, merchant.known["public_key_pem"])
    with pytest.raises(InvalidSignature):
        verify(answer, merchant.known["platform_cert_pem"])


def test_and_with_the_certificate_when_it_does_not(merchant: Merchant) -> None:
    answer = merchant.v3("POST", JSAPI, merchant.v3_order(), serial="")
    assert answer.headers["Wechatpay-Serial"] == merchant.known["platform_serial_no"]
    verify(answer, merchant.known["platform_cert_pem"])


def test_native_and_h5_orders_have_their_addresses(merchant: Merchant) -> None:
    native = merchant.v3("POST", "/v3/pay/transactions/native", merchant.v3_order(payer=None))
    assert native.json()["code_url"].startswith("weixin://wxpay/bizpayurl?pr=")
    scene = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    h5 = merchant.v3("POST", "/v3/pay/transactions/h5", merchant.v3_order(payer=None, scene_info=scene))
    assert h5.json()["h5_url"].startswith(f"{merchant.simulator.url}/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=")


@pytest.mark.parametrize("missing", ["Accept", "User-Agent"])
def test_accept_and_user_agent_are_demanded(merchant: Merchant, missing: str) -> None:
    headers = {"Accept": "*/*", "User-Agent": "x", "Authorization": "x"}
    del headers[missing]
    answer = merchant.v3_raw("GET", "/v3/certificates", "", headers)
    assert refused(answer) == (400, "INVALID_REQUEST", "Http头缺少Accept或User-Agent")


@pytest.mark.parametrize(
    ("url", "header", "words"),
    [
        ("/v3/certificates", None, FORMAT),
        (f"/v3/pay/transactions/id/1?mchid={1}", None, "签名信息错误，验签失败"),
        ("/v3/certificates", 'WECHATPAY2-SM2 mchid="1"', "HTTP头Authorization认证类型不正确"),
        ("/v3/certificates", 'WECHATPAY2-SHA256-RSA2048 mchid="1"', FORMAT),
        ("/v3/certificates", "WECHATPAY2-SHA256-RSA2048", FORMAT),
    ],
)
def test_authorization_out_of_form_is_refused(merchant: Merchant, url: str, header: str | None, words: str) -> None:
    headers = {"Accept": "*/*", "User-Agent": "x"} | ({"Authorization": header} if header else {})
    assert refused(merchant.v3_raw("GET", url, "", headers)) == (401, "SIGN_ERROR", words)


@pytest.mark.parametrize("off_s", [-301, 301])
def test_a_timestamp_five_minutes_off_is_refused_however_well_signed(merchant: Merchant, off_s: int) -> None:
    timestamp = str(int(time.time()) + off_s)
    answer = merchant.v3("GET", "/v3/certificates", signed_timestamp=timestamp)
    words = "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
    assert refused(answer) == (401, "SIGN_ERROR", words)


def test_the_window_follows_the_wall_clock_when_the_simulated_one_is_ahead(merchant: Merchant) -> None:
    merchant.simulator.control("POST", "clock", {"advance_s": 86400})
    assert merchant.v3("GET", "/v3/certificates").status == 200


@pytest.mark.parametrize(
    ("item", "value", "expected"),
    [
        ("mchid", "sim1", (400, "MCH_NOT_EXISTS", "商户号不存在")),
        ("serial_no", "00", (401, "SIGN_ERROR", "商户证书序列号有误。请使用签名私钥匹配的证书序列号")),
        ("signature", "c2lnbg==", (401, "SIGN_ERROR", "签名错误，请检查后再试")),
        ("nonce_str", "other", (401, "SIGN_ERROR", "签名错误，请检查后再试")),
    ],
)
def test_each_item_of_authorization_is_checked(
    merchant: Merchant, item: str, value: str, expected: tuple[int, str, str]
) -> None:
    assert refused(merchant.v3("GET", "/v3/certificates", None, **{item: value})) == expected


def test_a_body_changed_after_signing_is_refused_with_what_was_expected(merchant: Merchant) -> None:
    headers = {"Authorization": merchant.authorization("POST", JSAPI, "{}"), "Accept": "*/*", "User-Agent": "x"}
    answer = merchant.v3_raw("POST", JSAPI, "{ }", headers)
    detail = answer.json()["detail"]
    assert answer.status == 401
    assert detail["detail"] == {"issue": "sign not match"}
    assert detail["sign_information"]["url"] == JSAPI


def test_what_is_not_json_is_refused(merchant: Merchant) -> None:
    headers = {"Authorization": merchant.authorization("POST", JSAPI, "a=1"), "Accept": "*/*", "User-Agent": "x"}
    assert refused(merchant.v3_raw("POST", JSAPI, "a=1", headers))[:2] == (400, "PARAM_ERROR")


@pytest.mark.parametrize(("method", "url"), [("GET", JSAPI), ("POST", "/v3/certificates"), ("PUT", JSAPI)])
def test_another_method_is_405_and_empty(merchant: Merchant, method: str, url: str) -> None:
    answer = merchant.v3_raw(method, url, "", {})
    assert (answer.status, answer.body) == (405, b"")


def test_an_unknown_path_is_404_and_empty(merchant: Merchant) -> None:
    answer = merchant.v3_raw("GET", "/v3/pay/transactions/nothing", "", {})
    assert (answer.status, answer.body) == (404, b"")


def _text(pointer: str, label: str) -> str:
    return f"输入源“/body/{pointer}”映射到值字段“{label}”字符串规则校验失败，"


@pytest.mark.parametrize(
    ("changed", "words", "value"),
    [
        (
            {"description": None},
            "输入源“/body/description”映射到字段“商品描述”必填性规则校验失败，此字段为必填项",
            "",
        ),
        (
            {"payer": {}},
            "输入源“/body/payer/openid”映射到字段“用户标识”必填性规则校验失败，此字段为必填项",
            "",
        ),
        (
            {"payer": {"openid": 4}},
            "无法将 JSON 输入源“/body/payer/openid”映射到目标字段“用户标识”中，此字段需要一个 string 类型的 Json 值",
            4,
        ),
        (
            {"amount": {"total": 0}},
            "输入源“/body/amount/total”映射到数值字段“总金额”规则校验失败，值低于最小值 1",
            0,
        ),
        *(
            (
                {"amount": {"total": total}},
                "无法将 JSON 输入源“/body/amount/total”映射到目标字段“总金额”中，此字段需要一个合法的 64 位有符号整数",
                total,
            )
            for total in ("1", 1.5, True)
        ),
        (
            {"out_trade_no": "a" * 33},
            _text("out_trade_no", "商户订单号") + "字节数 33，大于最大值 32",
            33,
        ),
        (
            {"out_trade_no": "订单号"},
            _text("out_trade_no", "商户订单号") + r"字符串必须匹配正则表达式“^[0-9a-zA-Z_\-\|\*]+$”",
            "订单号",
        ),
        ({"description": "a" * 128}, _text("description", "商品描述") + "字节数 128，大于最大值 127", 128),
        ({"attach": "a" * 129}, _text("attach", "附加数据") + "字节数 129，大于最大值 128", 129),
        (
            {"amount": {"total": 1, "currency": "USD"}},
            _text("amount/currency", "货币类型") + "值不在枚举 CNY 之中",
            "USD",
        ),
    ],
)
def test_a_field_out_of_shape_is_refused_with_its_place(
    merchant: Merchant, changed: dict[str, Any], words: str, value: object
) -> None:
    answer = merchant.v3("POST", JSAPI, merchant.v3_order(**changed))
    assert refused(answer) == (400, "PARAM_ERROR", words)
    assert answer.json()["detail"] == {"location": "body", "value": value}


def test_a_notify_url_with_a_query_is_refused(merchant: Merchant) -> None:
    answer = merchant.v3("POST", JSAPI, merchant.v3_order(notify_url="http://127.0.0.1/n?a=1"))
    assert "映射到值字段“通知地址”字符串规则校验失败，字符串必须匹配正则表达式" in answer.json()["message"]


def test_fields_that_no_page_describes_are_refused(merchant: Merchant) -> None:
    answer = merchant.v3("POST", JSAPI, merchant.v3_order(payer={"openid": "x", "name": "x"}, extra=1))
    assert refused(answer) == (400, "PARAM_ERROR", "请求中含有未在API文档中定义的参数")
    assert answer.json()["detail"] == {"location": None, "value": ["/body/extra", "/body/payer/name"]}


def test_items_of_lists_are_checked_too(merchant: Merchant) -> None:
    detail = {"goods_detail": [{"merchant_goods_id": "1", "quantity": 0, "unit_price": 1}]}
    answer = merchant.v3("POST", JSAPI, merchant.v3_order(detail=detail))
    assert "/body/detail/goods_detail/0/quantity" in answer.json()["message"]


def test_the_mchid_of_the_body_is_the_one_that_signs(merchant: Merchant) -> None:
    answer = merchant.v3("POST", JSAPI, merchant.v3_order(mchid="1900000109"))
    assert refused(answer) == (400, "PARAM_ERROR", "http header中的mchid与post payload中的mchid不匹配")


def test_another_appid_and_another_apps_openid_are_refused(merchant: Merchant) -> None:
    answer = merchant.v3("POST", JSAPI, merchant.v3_order(appid="wx0000000000000000"))
    assert refused(answer) == (400, "INVALID_REQUEST", "商户号mch_id与appid不匹配")
    answer = merchant.v3("POST", JSAPI, merchant.v3_order(payer={"openid": "oOfAnotherApp"}))
    assert refused(answer) == (400, "PARAM_ERROR", "appid和openid不匹配")


def test_the_same_number_with_the_same_terms_gives_a_fresh_prepay_id_with_others_it_is_refused(
    merchant: Merchant,
) -> None:
    body = merchant.v3_order()
    first, second = (merchant.v3("POST", JSAPI, body).json()["prepay_id"] for _ in range(2))
    assert first != second
    answer = merchant.v3("POST", JSAPI, {**body, "description": "茶"})
    assert refused(answer) == (400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致")


@pytest.mark.parametrize(
    ("old", "paid", "missing"), [(False, "ORDER_PAID", "ORDER_NOT_EXIST"), (True, "ORDERPAID", "ORDERNOTEXIST")]
)
def test_both_spellings_of_the_codes_can_be_had(merchant: Merchant, old: bool, paid: str, missing: str) -> None:
    merchant.simulator.control("POST", "settings", {"old_spelling": old})
    body = merchant.v3_order()
    prepay_id = merchant.v3("POST", JSAPI, body).json()["prepay_id"]
    merchant.bridge(merchant.v3_pay(prepay_id))
    assert refused(merchant.v3("POST", JSAPI, body)) == (400, paid, "该订单已支付")
    assert refused(merchant.v3_close(body["out_trade_no"])) == (400, paid, "该订单已支付")
    assert refused(merchant.v3_query(number())) == (404, missing, "订单不存在")
    merchant.simulator.control("POST", "settings", {"old_spelling": False})


def test_closing_is_204_signed_and_repeatable_and_ends_the_order(merchant: Merchant) -> None:
    body = merchant.v3_order()
    merchant.v3("POST", JSAPI, body)
    for _ in range(2):
        answer = merchant.v3_close(body["out_trade_no"])
        assert (answer.status, answer.body) == (204, b"")
        verify(answer, merchant.known["public_key_pem"])
    assert refused(merchant.v3("POST", JSAPI, body)) == (400, "ORDER_CLOSED", "订单已关闭")
    assert merchant.v3_query(body["out_trade_no"]).json()["trade_state"] == "CLOSED"


def test_closing_wants_the_mchid_and_a_known_order(merchant: Merchant) -> None:
    answer = merchant.v3("POST", "/v3/pay/transactions/out-trade-no/1234567/close", {})
    words = "输入源“/uri_template/mchid”映射到字段“直连商户号”必填性规则校验失败，此字段为必填项"
    assert refused(answer) == (400, "PARAM_ERROR", words)
    assert refused(merchant.v3_close(number())) == (404, "ORDER_NOT_EXIST", "订单不存在")


def test_a_query_wants_the_mchid_and_a_number_of_32_at_most(merchant: Merchant) -> None:
    answer = merchant.v3("GET", "/v3/pay/transactions/id/1")
    assert answer.json()["detail"] == {"location": "query", "value": ""}
    message = merchant.v3_query("a" * 33).json()["message"]
    assert message.startswith("输入源“/uri_template/out_trade_no”映射到值字段“商户订单号”")
    other = merchant.v3("GET", "/v3/pay/transactions/id/1?mchid=1")
    assert refused(other) == (400, "PARAM_ERROR", "http header中的mchid与post payload中的mchid不匹配")


def test_a_query_tells_unpaid_then_paid_by_either_number(merchant: Merchant) -> None:
    out_trade_no, prepay_id = merchant.v3_place()
    unpaid = merchant.v3_query(out_trade_no).json()
    assert (unpaid["trade_state"], "transaction_id" in unpaid) == ("NOTPAY", False)
    merchant.bridge(merchant.v3_pay(prepay_id))
    answer = merchant.v3_query(out_trade_no)
    verify(answer, merchant.known["public_key_pem"])
    paid = answer.json()
    assert paid["trade_state"] == "SUCCESS"
    assert paid["amount"] == {"total": 1800, "payer_total": 1800, "currency": "CNY", "payer_currency": "CNY"}
    assert paid["payer"] == {"openid": merchant.payer["openid"]}
    url = f"/v3/pay/transactions/id/{paid['transaction_id']}?mchid={merchant.mchid}"
    assert merchant.v3("GET", url).json() == paid


def test_an_order_whose_time_is_over_is_closed(merchant: Merchant) -> None:
    out_trade_no, _ = merchant.v3_place(time_expire=from_now(120).isoformat(timespec="seconds"))
    merchant.simulator.control("POST", "clock", {"advance_s": 121})
    assert merchant.v3_query(out_trade_no).json()["trade_state"] == "CLOSED"


@pytest.mark.parametrize(
    "time_expire",
    [from_now(-60).isoformat(timespec="seconds"), "2026-02-30T00:00:00+08:00"],
    ids=["over", "no time"],
)
def test_a_time_that_is_over_or_no_time_is_refused(merchant: Merchant, time_expire: str) -> None:
    answer = merchant.v3("POST", JSAPI, merchant.v3_order(time_expire=time_expire))
    assert (answer.status, answer.json()["message"]) == (400, "交易有效截止时间非法")


def certificates(merchant: Merchant) -> dict[str, str]:
    """PEM by serial, decrypted by hand."""
    answer = merchant.v3("GET", "/v3/certificates", serial="")
    found = {}
    for row in answer.json()["data"]:
        sealed = row["encrypt_certificate"]
        plain = AESGCM(merchant.known["api_v3_key"].encode()).decrypt(
            sealed["nonce"].encode(), base64.b64decode(sealed["ciphertext"]), sealed["associated_data"].encode()
        )
        found[row["serial_no"]] = plain.decode()
    verify(answer, next(iter(found.values())))
    return found


def test_certificates_come_encrypted_and_after_a_rotation_both_are_offered(merchant: Merchant) -> None:
    before = certificates(merchant)
    serial = merchant.simulator.control("POST", "keys", {"rotate": True})["platform_serial_no"]
    after = certificates(merchant)
    assert next(iter(after)) == serial
    assert set(before) < set(after)
    assert merchant.simulator.credentials["platform_serial_no"] == serial
    merchant.known = merchant.simulator.credentials


def test_a_new_certificate_has_a_serial_that_begins_with_a_zero_where_asked(merchant: Merchant) -> None:
    serial = merchant.simulator.control("POST", "keys", {"rotate": True, "leading_zero": True})["platform_serial_no"]
    assert (len(serial), serial[0]) == (40, "0")
    assert serial in certificates(merchant)
    merchant.known = merchant.simulator.credentials


def test_a_merchant_with_the_public_key_alone_has_no_certificates(merchant: Merchant) -> None:
    merchant.simulator.control("POST", "keys", {"mode": "public_key"})
    answer = merchant.v3("GET", "/v3/certificates", serial="")
    signed = merchant.v3("POST", JSAPI, merchant.v3_order(), serial="")
    merchant.simulator.control("POST", "keys", {"mode": "grey"})
    assert refused(answer)[:2] == (404, "RESOURCE_NOT_EXISTS")
    assert refused(answer)[2].startswith("无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥")
    verify(signed, merchant.known["public_key_pem"])


def test_a_merchant_with_certificates_alone_is_answered_with_them(merchant: Merchant) -> None:
    merchant.simulator.control("POST", "keys", {"mode": "certificate"})
    answer = merchant.v3("POST", JSAPI, merchant.v3_order())
    merchant.simulator.control("POST", "keys", {"mode": "grey"})
    verify(answer, merchant.simulator.credentials["platform_cert_pem"])


def test_an_algorithm_that_is_not_offered_is_refused(merchant: Merchant) -> None:
    assert merchant.v3("GET", "/v3/certificates?algorithm_type=SM2").status == 400


def test_refusals_outside_401_carry_a_request_id_with_the_internal_number(merchant: Merchant) -> None:
    assert merchant.v3_query(number()).headers["Request-ID"].endswith("-268512771")
    headers = {"Accept": "*/*", "User-Agent": "x"}
    assert merchant.v3_raw("POST", JSAPI, json.dumps({}), headers).headers["Request-ID"] is None
