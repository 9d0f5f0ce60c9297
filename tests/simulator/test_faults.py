"""Faults on order: what is answered, and whether it took effect."""

from __future__ import annotations

import time

import pytest
from cryptography.exceptions import InvalidSignature

from tests.simulator.merchant import Merchant, number, v2_sign
from tests.support.simulated_v3 import JSAPI, verify
from tests.support.simulator import ask

V2_QUERY = "/pay/orderquery"


def fault(shop: Merchant, path: str, kind: str, times: int | None = 1, **more: object) -> None:
    payload = shop.simulator.control("POST", "faults", {"path": path, "fault": kind, "times": times, **more})
    assert "faults" in payload, payload


def test_a_fault_strikes_as_often_as_told_and_only_its_path(shop: Merchant) -> None:
    fault(shop, "/v3/pay/*", "http_500", 2)
    assert shop.v3("GET", "/v3/certificates").status == 200
    statuses = [shop.v3("POST", JSAPI, shop.v3_order()).status for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert shop.simulator.control("GET", "faults") == {"faults": []}


def test_a_fault_without_an_end_lasts_until_it_is_deleted(shop: Merchant) -> None:
    fault(shop, "/v3/*", "http_500", None)
    assert {shop.v3("GET", "/v3/certificates").status for _ in range(3)} == {500}
    shop.simulator.control("DELETE", "faults")
    assert shop.v3("GET", "/v3/certificates").status == 200


def test_a_likely_fault_strikes_sometimes(shop: Merchant) -> None:
    fault(shop, "/v3/*", "http_500", None, probability=0.5)
    assert {shop.v3("GET", "/v3/certificates").status for _ in range(40)} == {200, 500}


def test_refusals_speak_each_apis_dialect(shop: Merchant) -> None:
    fault(shop, "/pay/*", "refuse", code="NOAUTH", message="商户无此接口权限")
    fault(shop, "/v3/*", "refuse", code="RULE_LIMIT", message="业务规则限制")
    fault(shop, "/cgi-bin/token", "refuse", code="45009", message="reach max api daily quota limit")
    v2 = shop.v2("unifiedorder", **shop.v2_order())
    assert (v2["err_code"], v2["sign"]) == ("NOAUTH", v2_sign(v2, shop.known["api_v2_key"]))
    v3 = shop.v3("POST", JSAPI, shop.v3_order())
    assert (v3.status, v3.json()["code"]) == (403, "RULE_LIMIT")
    assert ask("GET", f"{shop.simulator.url}/cgi-bin/token").json()["errcode"] == 45009


def test_a_system_error_speaks_each_apis_dialect_and_changes_nothing(shop: Merchant) -> None:
    for path in ("/pay/unifiedorder", JSAPI, "/cgi-bin/token"):
        fault(shop, path, "system_error")
    body = shop.v3_order()
    answer = shop.v3("POST", JSAPI, body)
    assert (answer.status, answer.json()["code"]) == (500, "SYSTEM_ERROR")
    assert shop.v3_query(body["out_trade_no"]).status == 404
    assert shop.v2("unifiedorder", **shop.v2_order())["err_code"] == "SYSTEMERROR"
    assert ask("GET", f"{shop.simulator.url}/cgi-bin/token").json()["errcode"] == -1


@pytest.mark.parametrize("kind", ["http_500", "system_error"])
def test_a_failure_can_also_come_after_the_effect(shop: Merchant, kind: str) -> None:
    fault(shop, JSAPI, kind, after=True)
    body = shop.v3_order()
    assert shop.v3("POST", JSAPI, body).status == 500
    assert shop.v3_query(body["out_trade_no"]).json()["trade_state"] == "NOTPAY"


def test_v2_can_say_system_error_after_the_effect_too(shop: Merchant) -> None:
    fault(shop, "/pay/unifiedorder", "system_error", after=True)
    order = shop.v2_order()
    assert shop.v2("unifiedorder", **order)["err_code"] == "SYSTEMERROR"
    assert shop.v2("orderquery", out_trade_no=order["out_trade_no"])["trade_state"] == "NOTPAY"


@pytest.mark.parametrize(("kind", "status"), [("timeout_before", 404), ("timeout_after", 200)])
def test_a_timeout_comes_before_or_after_the_effect(shop: Merchant, kind: str, status: int) -> None:
    fault(shop, JSAPI, kind)
    body = shop.v3_order()
    text = '{"appid":"%s","mchid":"%s","description":"x","out_trade_no":"%s","notify_url":"%s","amount":{"total":1},"payer":{"openid":"%s"}}'
    text %= (shop.appid, shop.mchid, body["out_trade_no"], shop.notify_url, shop.payer["openid"])
    headers = {"Authorization": shop.authorization("POST", JSAPI, text), "Accept": "*/*", "User-Agent": "x"}
    with pytest.raises(TimeoutError):
        ask("POST", shop.simulator.url + JSAPI, text, headers, timeout_s=0.3)
    assert shop.v3_query(body["out_trade_no"]).status == status


def test_an_unsigned_or_wrongly_signed_answer_is_the_true_one_otherwise(shop: Merchant) -> None:
    fault(shop, JSAPI, "unsigned")
    fault(shop, "/v3/pay/transactions/out-trade-no/*", "wrong_signature")
    body = shop.v3_order()
    unsigned = shop.v3("POST", JSAPI, body)
    assert (unsigned.status, unsigned.headers["Wechatpay-Signature"]) == (200, None)
    with pytest.raises(InvalidSignature):
        verify(shop.v3_query(body["out_trade_no"]), shop.known["public_key_pem"])
    verify(shop.v3_query(body["out_trade_no"]), shop.known["public_key_pem"])


def test_a_probe_answer_has_a_signtest_signature(shop: Merchant) -> None:
    fault(shop, JSAPI, "probe")
    answer = shop.v3("POST", JSAPI, shop.v3_order())
    assert answer.headers["Wechatpay-Signature"].startswith("WECHATPAY/SIGNTEST/")
    assert "prepay_id" in answer.json()


def test_v2_answers_go_wrong_alike(shop: Merchant) -> None:
    for kind in ("unsigned", "wrong_signature", "probe"):
        fault(shop, V2_QUERY, kind)
    answers = [shop.v2("orderquery", out_trade_no=number()) for _ in range(3)]
    assert "sign" not in answers[0]
    assert all(answer["sign"] != v2_sign(answer, shop.known["api_v2_key"]) for answer in answers[1:])


def test_a_delay_delays(shop: Merchant) -> None:
    fault(shop, "/v3/certificates", "delay", ms=200)
    started = time.monotonic()
    assert shop.v3("GET", "/v3/certificates").status == 200
    assert time.monotonic() - started >= 0.2


def test_the_old_spelling_can_be_had_for_one_answer(shop: Merchant) -> None:
    fault(shop, "/v3/*", "old_spelling")
    codes = [shop.v3_query(number()).json()["code"] for _ in range(2)]
    assert codes == ["ORDERNOTEXIST", "ORDER_NOT_EXIST"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"path": "/v3/*", "fault": "gremlins"}, "one of: refuse, http_500"),
        ({"fault": "probe"}, "a fault has a path and a fault"),
        ({"path": "v3", "fault": "probe"}, "path is a pattern"),
        ({"path": "/", "fault": "probe", "times": 0}, "times is a whole number"),
        ({"path": "/", "fault": "probe", "probability": 2}, "probability is above 0"),
        ({"path": "/", "fault": "delay", "ms": -1}, "ms is 0 to"),
        ({"path": "/", "fault": "delay", "seconds": 1}, "unknown: seconds"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_a_sentence(
    shop: Merchant, rule: dict[str, object], words: str
) -> None:
    assert words in shop.simulator.control("POST", "faults", rule)["message"]
