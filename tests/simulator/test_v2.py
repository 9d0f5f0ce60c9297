"""Every refusal of v2, and what a success looks like."""

from __future__ import annotations

import pytest

from tests.simulator.merchant import Merchant, from_now, number, v2_sign, xml


@pytest.mark.parametrize("kind", ["MD5", "HMAC-SHA256"])
def test_an_order_is_taken_and_answered_with_the_requests_kind_of_signature(merchant: Merchant, kind: str) -> None:
    _, answer = merchant.v2_place(kind)
    assert answer["prepay_id"].startswith("wxsim")
    assert answer["return_code"] == answer["result_code"] == "SUCCESS"
    assert answer["sign"] == v2_sign(answer, merchant.known["api_v2_key"], kind)


def test_a_native_order_has_a_code_url_of_64_characters_at_most(merchant: Merchant) -> None:
    _, answer = merchant.v2_place(trade_type="NATIVE", openid="", product_id="1")
    assert answer["code_url"].startswith("weixin://wxpay/bizpayurl?pr=")
    assert len(answer["code_url"]) <= 64


def test_an_h5_order_has_a_mweb_url_here(merchant: Merchant) -> None:
    _, answer = merchant.v2_place(trade_type="MWEB", openid="", scene_info='{"h5_info":{"type":"Wap"}}')
    assert answer["mweb_url"].startswith(f"{merchant.simulator.url}/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=")


@pytest.mark.parametrize(
    ("method", "body", "words"),
    [
        ("GET", b"", "请使用post方法"),
        ("POST", b"", "post数据为空"),
        ("POST", b"<xml><a>\xff</a></xml>", "编码格式错误"),
        ("POST", b"appid=1", "XML格式错误"),
        ("POST", b'<!DOCTYPE x [<!ENTITY e "1">]><xml><a>&e;</a></xml>', "XML格式错误"),
        ("POST", b"<xml><appid>1</appid></xml>", "mch_id参数格式错误"),
        ("POST", b"<xml><mch_id>1</mch_id></xml>", "商户号mch_id或sub_mch_id不存在"),
    ],
)
def test_what_is_no_request_is_refused_at_the_door_unsigned(
    merchant: Merchant, method: str, body: bytes, words: str
) -> None:
    assert merchant.v2_raw("unifiedorder", body, method) == {"return_code": "FAIL", "return_msg": words}


@pytest.mark.parametrize("call", ["unifiedorder", "orderquery", "closeorder"])
def test_a_wrong_key_is_refused_by_every_call(merchant: Merchant, call: str) -> None:
    fields = {"appid": merchant.appid, "mch_id": merchant.mchid, "nonce_str": "1", **merchant.v2_order()}
    fields["sign"] = v2_sign(fields, "0" * 32)
    assert merchant.v2_raw(call, xml(fields)) == {"return_code": "FAIL", "return_msg": "签名错误"}


def test_a_missing_signature_is_refused(merchant: Merchant) -> None:
    assert merchant.v2_raw("orderquery", xml({"mch_id": merchant.mchid}))["return_msg"] == "签名错误"


def test_a_sign_type_that_is_not_the_signatures_own_is_refused(merchant: Merchant) -> None:
    fields = {"mch_id": merchant.mchid, "sign_type": "HMAC-SHA256"}
    fields["sign"] = v2_sign(fields, merchant.known["api_v2_key"], "MD5")
    assert merchant.v2_raw("orderquery", xml(fields))["return_msg"] == "签名错误"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("total_fee", "0", "输入源“/body/xml/total_fee”映射到数值字段“标价金额”规则校验失败，值低于最小值 1"),
        ("total_fee", "-1", "输入源“/body/xml/total_fee”映射到数值字段“标价金额”规则校验失败，值低于最小值 1"),
        ("spbill_create_ip", "somewhere", "invalid spbill_create_ip"),
        ("notify_url", "/notify", "invalid notify_url"),
        ("notify_url", "http://127.0.0.1/notify?a=1", "invalid notify_url"),
        ("fee_type", "USD", "fee_type参数格式错误"),
        ("trade_type", "MICROPAY", "trade_type参数格式错误"),
        ("time_expire", "20261301000000", "time_expire参数格式错误"),
        ("openid", "", "JSAPI支付必须传openid"),
    ],
)
def test_a_field_out_of_shape_is_refused_at_the_door(merchant: Merchant, name: str, value: str, words: str) -> None:
    answer = merchant.v2("unifiedorder", **merchant.v2_order(**{name: value}))
    assert answer == {"return_code": "FAIL", "return_msg": words}


@pytest.mark.parametrize(
    ("trade_type", "words"), [("NATIVE", "NATIVE支付必须传product_id"), ("MWEB", "MWEB支付必须传scene_info")]
)
def test_each_trade_type_has_a_field_it_needs(merchant: Merchant, trade_type: str, words: str) -> None:
    answer = merchant.v2("unifiedorder", **merchant.v2_order(trade_type=trade_type, openid=""))
    assert answer["return_msg"] == words


@pytest.mark.parametrize("name", ["body", "out_trade_no", "total_fee", "spbill_create_ip", "notify_url", "trade_type"])
def test_a_missing_field_is_refused_by_name_and_signed(merchant: Merchant, name: str) -> None:
    answer = merchant.v2("unifiedorder", **merchant.v2_order(**{name: ""}))
    assert (answer["err_code"], answer["err_code_des"]) == ("LACK_PARAMS", f"缺少参数{name}")
    assert answer["sign"] == v2_sign(answer, merchant.known["api_v2_key"])


def test_the_same_number_with_the_same_terms_gives_a_fresh_prepay_id(merchant: Merchant) -> None:
    fields = merchant.v2_order()
    first, second = (merchant.v2("unifiedorder", **fields) for _ in range(2))
    assert first["prepay_id"] != second["prepay_id"]


def test_the_same_number_with_other_terms_is_refused(merchant: Merchant) -> None:
    fields = merchant.v2_order()
    merchant.v2("unifiedorder", **fields)
    answer = merchant.v2("unifiedorder", **{**fields, "total_fee": "1"})
    assert (answer["err_code"], answer["err_code_des"]) == ("INVALID_REQUEST", "201 商户订单号重复")


def test_a_number_that_v3_has_taken_is_taken(merchant: Merchant) -> None:
    out_trade_no, _ = merchant.v3_place()
    answer = merchant.v2("unifiedorder", **merchant.v2_order(out_trade_no=out_trade_no))
    assert answer["err_code"] == "INVALID_REQUEST"


def test_an_order_that_would_be_over_at_once_is_refused(merchant: Merchant) -> None:
    fields = merchant.v2_order(time_expire=from_now(30).strftime("%Y%m%d%H%M%S"))
    assert merchant.v2("unifiedorder", **fields)["err_code_des"] == "交易有效截止时间非法"


def test_a_paid_order_can_be_neither_placed_again_nor_closed(merchant: Merchant) -> None:
    fields = merchant.v2_order()
    prepay_id = merchant.v2("unifiedorder", **fields)["prepay_id"]
    assert merchant.bridge(merchant.v2_pay(prepay_id)) == {"err_msg": "get_brand_wcpay_request:ok"}
    again = merchant.v2("unifiedorder", **fields)
    assert (again["err_code"], again["err_code_des"]) == ("ORDERPAID", "该订单已支付")
    assert merchant.v2("closeorder", out_trade_no=fields["out_trade_no"])["err_code"] == "ORDERPAID"


def test_an_order_can_be_closed_after_five_simulated_minutes_and_then_not_again(merchant: Merchant) -> None:
    fields = merchant.v2_order()
    merchant.v2("unifiedorder", **fields)
    early = merchant.v2("closeorder", out_trade_no=fields["out_trade_no"])
    assert (early["err_code"], early["err_code_des"]) == ("TRADE_STATE_ERROR", "订单状态错误")
    merchant.simulator.control("POST", "clock", {"advance_s": 300})
    assert merchant.v2("closeorder", out_trade_no=fields["out_trade_no"])["result_code"] == "SUCCESS"
    assert merchant.v2("closeorder", out_trade_no=fields["out_trade_no"])["err_code"] == "ORDERCLOSED"
    assert merchant.v2("unifiedorder", **fields)["err_code"] == "ORDERCLOSED"
    assert merchant.v2("orderquery", out_trade_no=fields["out_trade_no"])["trade_state"] == "CLOSED"


def test_an_unknown_order_is_not_found(merchant: Merchant) -> None:
    for call in ("orderquery", "closeorder"):
        answer = merchant.v2(call, out_trade_no=number())
        assert (answer["err_code"], answer["err_code_des"]) == ("ORDERNOTEXIST", "订单不存在")
    assert merchant.v2("orderquery", transaction_id="4200000000")["err_code"] == "ORDERNOTEXIST"


def test_a_query_needs_a_number(merchant: Merchant) -> None:
    assert merchant.v2("orderquery")["err_code"] == "LACK_PARAMS"


def test_a_query_tells_unpaid_then_paid_by_either_number(merchant: Merchant) -> None:
    out_trade_no, answer = merchant.v2_place(attach="桌号 7")
    unpaid = merchant.v2("orderquery", out_trade_no=out_trade_no)
    assert (unpaid["trade_state"], "transaction_id" in unpaid) == ("NOTPAY", False)
    merchant.bridge(merchant.v2_pay(answer["prepay_id"]))
    paid = merchant.v2("orderquery", out_trade_no=out_trade_no)
    payload = {name: paid[name] for name in ("trade_state", "total_fee", "openid", "attach", "trade_type")}
    assert payload == {
        "trade_state": "SUCCESS",
        "total_fee": "1800",
        "openid": merchant.payer["openid"],
        "attach": "桌号 7",
        "trade_type": "JSAPI",
    }
    assert merchant.v2("orderquery", transaction_id=paid["transaction_id"])["out_trade_no"] == out_trade_no


def test_an_order_whose_time_is_over_is_closed(merchant: Merchant) -> None:
    out_trade_no, _ = merchant.v2_place(time_expire=from_now(120).strftime("%Y%m%d%H%M%S"))
    merchant.simulator.control("POST", "clock", {"advance_s": 121})
    assert merchant.v2("orderquery", out_trade_no=out_trade_no)["trade_state"] == "CLOSED"
