"""Refunds at the simulator, by hand: what is taken, what is refused in which words, and what the merchant hears."""

from __future__ import annotations

import json

import pytest

from tests.simulator.merchant import Merchant, number, unxml, v2_sign
from tests.simulator.sink import Sink
from tests.support.scenarios import genuine, opened
from tests.support.simulated_refunds import advance, ended, req_info
from tests.support.simulated_v3 import verify
from tests.support.simulator import ask


def expect(shop: Merchant, scenario: str, out_trade_no: str) -> None:
    shop.simulator.control("POST", "refunds/scenarios", {"scenario": scenario, "out_trade_no": out_trade_no})


# -- taken -------------------------------------------------------------------------------------------------------------


def test_a_v3_refund_is_taken_succeeds_and_is_told(shop: Merchant, sink: Sink) -> None:
    out_trade_no = shop.paid("v3")
    answer = shop.v3_refund(500, out_trade_no=out_trade_no)
    verify(answer, shop.known["public_key_pem"])
    taken = answer.json()
    assert (answer.status, taken["status"], taken["amount"]["refund"]) == (200, "PROCESSING", 500)
    advance(shop, 2)
    message = sink.wait(1)[0]
    payload = opened(shop, message)
    assert json.loads(message.body)["event_type"] == "REFUND.SUCCESS"
    assert json.loads(message.body)["resource"]["associated_data"] == "refund"
    assert genuine(shop, "v3", message)
    assert (payload["out_refund_no"], payload["refund_status"]) == (taken["out_refund_no"], "SUCCESS")
    assert payload["amount"] == {"total": 1800, "refund": 500, "payer_total": 1800, "payer_refund": 500}
    queried = shop.v3_refund_query(taken["out_refund_no"]).json()
    assert (queried["status"], queried["success_time"]) == ("SUCCESS", payload["success_time"])


def test_a_v2_refund_is_taken_succeeds_and_is_told_without_a_signature(shop: Merchant, sink: Sink) -> None:
    out_trade_no = shop.paid("v2")
    taken = shop.v2_refund(out_trade_no=out_trade_no, refund_fee="500")
    assert taken["sign"] == v2_sign(taken, shop.known["api_v2_key"], "HMAC-SHA256")
    assert (taken["result_code"], taken["refund_fee"], taken["total_fee"]) == ("SUCCESS", "500", "1800")
    advance(shop, 2)
    message = sink.wait(1)[0]
    assert set(unxml(message.body)) == {"return_code", "appid", "mch_id", "nonce_str", "req_info"}
    payload = req_info(shop, message)
    assert (payload["out_refund_no"], payload["refund_status"]) == (taken["out_refund_no"], "SUCCESS")
    queried = shop.v2("refundquery", out_refund_no=taken["out_refund_no"])
    assert (queried["refund_status_0"], queried["refund_success_time_0"]) == ("SUCCESS", payload["success_time"])


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_either_api_refunds_what_the_other_took_and_queries_then_say_refund(shop: Merchant, api: str) -> None:
    out_trade_no = shop.paid(api)
    if api == "v2":
        assert shop.v3_refund(out_trade_no=out_trade_no).status == 200
    else:
        assert shop.v2_refund(out_trade_no=out_trade_no)["result_code"] == "SUCCESS"
    assert shop.v2("orderquery", out_trade_no=out_trade_no)["trade_state"] == "REFUND"
    assert shop.v3_query(out_trade_no).json()["trade_state"] == "REFUND"
    assert shop.simulator.order(out_trade_no)["refunded"] == 100


def test_the_same_refund_again_is_the_same_refund(shop: Merchant) -> None:
    out_trade_no, out_refund_no = shop.paid("v3"), number()
    first = shop.v3_refund(out_trade_no=out_trade_no, out_refund_no=out_refund_no).json()
    assert (
        shop.v3_refund(out_trade_no=out_trade_no, out_refund_no=out_refund_no).json()["refund_id"] == first["refund_id"]
    )
    by_v2 = shop.v2_refund(out_trade_no=out_trade_no, out_refund_no=out_refund_no)
    assert by_v2["refund_id"] == first["refund_id"]
    assert shop.simulator.order(out_trade_no)["refunded"] == 100


# -- refused -----------------------------------------------------------------------------------------------------------


def test_a_refund_without_the_merchants_certificate_is_answered_by_the_gateway(shop: Merchant) -> None:
    answer = shop.v2_secure("/secapi/pay/refund", {}, certificate=False)
    assert (answer.status, b"No required SSL certificate was sent" in answer.body) == (400, True)
    answer = ask("POST", f"{shop.simulator.url}/secapi/pay/refund", b"<xml/>")
    assert (answer.status, b"No required SSL certificate was sent" in answer.body) == (400, True)


def test_an_unpaid_or_unknown_order_has_nothing_to_refund(shop: Merchant) -> None:
    unpaid, _ = shop.place("v3")
    for out_trade_no in (unpaid, number()):
        answer = shop.v3_refund(out_trade_no=out_trade_no)
        assert (answer.status, answer.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")
        assert shop.v2_refund(out_trade_no=out_trade_no)["err_code"] == "ORDERNOTEXIST"


def test_never_more_than_was_paid_goes_back(shop: Merchant) -> None:
    out_trade_no = shop.paid("v3")
    assert shop.v2_refund(out_trade_no=out_trade_no, refund_fee="1801")["return_msg"] == "invalid refund_fee"
    assert shop.v3_refund(1801, out_trade_no=out_trade_no).json()["code"] == "PARAM_ERROR"
    assert shop.v3_refund(1000, out_trade_no=out_trade_no).status == 200
    advance(shop, 60)
    over = shop.v2_refund(out_trade_no=out_trade_no, refund_fee="801")
    assert (over["err_code"], over["err_code_des"]) == ("INVALID_REQUEST", "refund_fee大于可退金额")
    assert shop.v3_refund(801, out_trade_no=out_trade_no).json()["code"] == "INVALID_REQUEST"
    assert shop.v3_refund(800, out_trade_no=out_trade_no).status == 200
    advance(shop, 60)
    done = shop.v2_refund(out_trade_no=out_trade_no, refund_fee="1")
    assert (done["err_code"], done["err_code_des"]) == ("ERROR", "订单已全额退款")


def test_a_number_with_other_amounts_is_refused(shop: Merchant) -> None:
    out_trade_no, out_refund_no = shop.paid("v2"), number()
    shop.v2_refund(out_trade_no=out_trade_no, out_refund_no=out_refund_no)
    again = shop.v2_refund(out_trade_no=out_trade_no, out_refund_no=out_refund_no, refund_fee="200")
    assert again["err_code"] == "REFUND_FEE_MISMATCH"
    assert (
        shop.v3_refund(200, out_trade_no=out_trade_no, out_refund_no=out_refund_no).json()["code"] == "INVALID_REQUEST"
    )
    assert shop.v3_refund(100, 1700, out_trade_no=out_trade_no).json()["code"] == "INVALID_REQUEST"


def test_two_refunds_of_an_order_are_a_minute_apart_and_fifty_at_most(shop: Merchant) -> None:
    out_trade_no = shop.paid("v3")
    assert shop.v3_refund(1, out_trade_no=out_trade_no).status == 200
    soon = shop.v3_refund(1, out_trade_no=out_trade_no)
    assert (soon.status, soon.json()["code"]) == (429, "FREQUENCY_LIMITED")
    assert shop.v2_refund(out_trade_no=out_trade_no, refund_fee="1")["err_code"] == "FREQUENCY_LIMITED"
    for _ in range(49):
        advance(shop, 60)
        assert shop.v3_refund(1, out_trade_no=out_trade_no).status == 200
    advance(shop, 60)
    assert shop.v3_refund(1, out_trade_no=out_trade_no).json()["code"] == "INVALID_REQUEST"
    assert shop.v2_refund(out_trade_no=out_trade_no, refund_fee="1")["err_code"] == "INVALID_REQUEST"


def test_a_balance_too_low_takes_no_refund_and_one_that_was_filled_up_does(shop: Merchant) -> None:
    out_trade_no = shop.paid("v3")
    balance = shop.simulator.control("GET", "balance")["balance"]
    shop.simulator.control("POST", "balance", {"transfer": -balance})
    poor = shop.v3_refund(out_trade_no=out_trade_no)
    assert (poor.status, poor.json()["code"]) == (403, "NOT_ENOUGH")
    assert shop.v2_refund(out_trade_no=out_trade_no)["err_code"] == "NOTENOUGH"
    assert shop.simulator.control("POST", "balance", {"transfer": -1})["code"] == "SIMULATOR_ERROR"
    shop.simulator.control("POST", "balance", {"transfer": balance})
    assert shop.v3_refund(out_trade_no=out_trade_no).status == 200


def test_v2_lists_ten_refunds_at_a_time(shop: Merchant) -> None:
    out_trade_no = shop.paid("v3")
    numbers = [number() for _ in range(12)]
    for out_refund_no in numbers:
        assert shop.v3_refund(1, out_trade_no=out_trade_no, out_refund_no=out_refund_no).status == 200
        advance(shop, 60)
    first = shop.v2("refundquery", out_trade_no=out_trade_no)
    rest = shop.v2("refundquery", out_trade_no=out_trade_no, offset="10")
    assert (first["total_refund_count"], first["refund_count"], rest["refund_count"]) == ("12", "10", "2")
    payload = [first[f"out_refund_no_{row}"] for row in range(10)] + [rest[f"out_refund_no_{row}"] for row in range(2)]
    assert payload == numbers
    assert shop.v2("refundquery", out_trade_no=out_trade_no, offset="12")["err_code"] == "PARAM_ERROR"
    assert shop.v2("refundquery", out_refund_no=number())["err_code"] == "REFUNDNOTEXIST"
    missing = shop.v3_refund_query(number())
    assert (missing.status, missing.json()["message"]) == (404, "退款单不存在")


# -- scenarios ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "state", "v2_state"), [("abnormal", "ABNORMAL", "CHANGE"), ("closed", "CLOSED", "REFUNDCLOSE")]
)
def test_a_refund_may_end_badly_and_both_apis_say_so(
    shop: Merchant, sink: Sink, scenario: str, state: str, v2_state: str
) -> None:
    for api in ("v3", "v2"):
        out_trade_no, out_refund_no = shop.paid("v3"), number()
        expect(shop, scenario, out_trade_no)
        if api == "v3":
            shop.v3_refund(out_trade_no=out_trade_no, out_refund_no=out_refund_no)
        else:
            shop.v2_refund(out_trade_no=out_trade_no, out_refund_no=out_refund_no)
        advance(shop, 2)
        assert ended(shop, out_refund_no)["state"] == state
        assert shop.v3_refund_query(out_refund_no).json()["status"] == state
        assert shop.v2("refundquery", out_refund_no=out_refund_no)["refund_status_0"] == v2_state
    messages = sink.wait(2)
    assert json.loads(messages[0].body)["event_type"] == f"REFUND.{state}"
    assert req_info(shop, messages[1])["refund_status"] == v2_state


def test_a_closed_refund_brings_money_and_fee_back_where_they_were(shop: Merchant) -> None:
    out_trade_no, out_refund_no = shop.paid("v3"), number()
    before = shop.simulator.control("GET", "balance")["balance"]
    expect(shop, "closed", out_trade_no)
    shop.v3_refund(700, out_trade_no=out_trade_no, out_refund_no=out_refund_no)
    assert shop.simulator.control("GET", "balance")["balance"] == before - 700 + 4
    advance(shop, 2)
    assert ended(shop, out_refund_no)["state"] == "CLOSED"
    assert shop.simulator.control("GET", "balance")["balance"] == before
    assert shop.simulator.order(out_trade_no)["refunded"] == 0


def test_the_money_of_an_abnormal_refund_goes_to_another_card(shop: Merchant, sink: Sink) -> None:
    out_trade_no, out_refund_no = shop.paid("v3"), number()
    expect(shop, "abnormal", out_trade_no)
    refund_id = shop.v3_refund(out_trade_no=out_trade_no, out_refund_no=out_refund_no).json()["refund_id"]
    path = f"/v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund"
    elsewhere = {"out_refund_no": out_refund_no, "type": "MERCHANT_BANK_CARD"}
    assert shop.v3("POST", path, elsewhere).json()["code"] == "INVALID_REQUEST"
    advance(shop, 2)
    ended(shop, out_refund_no)
    assert shop.v3("POST", path, elsewhere).json()["status"] == "PROCESSING"
    advance(shop, 2)
    assert ended(shop, out_refund_no)["state"] == "SUCCESS"
    events = [json.loads(message.body)["event_type"] for message in sink.wait(2)]
    assert events == ["REFUND.ABNORMAL", "REFUND.SUCCESS"]


def test_lost_duplicate_and_forged_notifications_of_refunds(shop: Merchant, sink: Sink) -> None:
    sink.answer = lambda _: (200, b"<xml><return_code>SUCCESS</return_code></xml>")
    lost, twice, forged = shop.paid("v3"), shop.paid("v3"), shop.paid("v3")
    for scenario, out_trade_no in (("lost_notification", lost), ("duplicate", twice), ("forged", forged)):
        expect(shop, scenario, out_trade_no)
        shop.v3_refund(out_trade_no=out_trade_no)
    advance(shop, 4)
    messages = sink.wait(5)
    payload = [(opened(shop, message)["out_trade_no"], genuine(shop, "v3", message)) for message in messages]
    assert sorted(payload) == sorted([(twice, True)] * 3 + [(forged, False), (forged, True)])


def test_a_refund_made_in_the_console_is_told_in_xml_where_an_address_was_typed_in(shop: Merchant, sink: Sink) -> None:
    out_trade_no = shop.paid("v3")
    made = shop.simulator.control("POST", "console/refunds", {"out_trade_no": out_trade_no, "refund": 300})
    advance(shop, 2)
    assert ended(shop, made["out_refund_no"])["state"] == "SUCCESS"
    assert not sink.received
    shop.simulator.control("POST", "settings", {"refund_notify_url": sink.url})
    advance(shop, 60)
    made = shop.simulator.control("POST", "console/refunds", {"out_trade_no": out_trade_no})
    assert made["refund"] == 1500
    advance(shop, 2)
    payload = req_info(shop, sink.wait(1)[0])
    assert (payload["out_refund_no"], payload["refund_request_source"]) == (made["out_refund_no"], "VENDOR_PLATFORM")
    shop.simulator.control("POST", "settings", {"refund_notify_url": None})


def test_a_refund_of_a_surplus_payment_leaves_the_first_alone(shop: Merchant, sink: Sink) -> None:
    out_trade_no = shop.paid("v3")
    surplus = shop.simulator.control("POST", f"orders/{out_trade_no}/payments", {"user": "yi"})["transaction_id"]
    assert opened(shop, sink.wait(1)[0])["transaction_id"] == surplus
    answer = shop.v3_refund(1800, transaction_id=surplus)
    assert (answer.status, answer.json()["transaction_id"]) == (200, surplus)
    assert shop.v3_query(out_trade_no).json()["trade_state"] == "SUCCESS"
    by_id = shop.v3("GET", f"/v3/pay/transactions/id/{surplus}?mchid={shop.mchid}").json()
    assert (by_id["trade_state"], by_id["transaction_id"]) == ("REFUND", surplus)
    assert shop.simulator.order(out_trade_no)["surplus"] == [surplus]
