"""What each scenario makes of a payment: the truth, what the page hears, what the merchant is told, and how often."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.simulator.merchant import Merchant, unxml
from tests.simulator.sink import Received, Sink
from tests.support.scenarios import genuine, opened

APIS = pytest.mark.parametrize("api", ["v2", "v3"])
OK = {"err_msg": "get_brand_wcpay_request:ok"}


def total(shop: Merchant, api: str, message: Received) -> int:
    if api == "v2":
        return int(unxml(message.body)["total_fee"])
    return int(opened(shop, message)["amount"]["total"])


def age_s(message: Received) -> float:
    """The age of a v3 message by its Wechatpay-Timestamp, in seconds."""
    return time.time() - int(message.headers["Wechatpay-Timestamp"])


def play(shop: Merchant, api: str, scenario: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Place an order and pay it in ``scenario``; return what the page received, and the simulator's order."""
    out_trade_no, params = shop.place(api)
    heard = shop.bridge(params, scenario)
    return heard, shop.simulator.order(out_trade_no)


@APIS
def test_success_is_told_once_and_signed(shop: Merchant, sink: Sink, api: str) -> None:
    heard, truth = play(shop, api, "success")
    assert (heard, truth["trade_state"], truth["scenario"]) == (OK, "SUCCESS", "success")
    message = sink.wait(1)[0]
    assert genuine(shop, api, message)
    assert total(shop, api, message) == 1800
    time.sleep(0.1)
    attempts = shop.simulator.order(truth["out_trade_no"])["attempts"]
    assert [(attempt["status"], attempt["kind"], attempt["right"]) for attempt in attempts] == [(200, "genuine", True)]


def test_a_v3_message_has_the_fields_and_associated_data_of_real_ones(shop: Merchant, sink: Sink) -> None:
    _, truth = play(shop, "v3", "success")
    envelope = json.loads(sink.wait(1)[0].body)
    payload = opened(shop, sink.received[0])
    assert list(envelope) == ["id", "create_time", "resource_type", "event_type", "summary", "resource"]
    assert envelope["resource"]["associated_data"] == envelope["resource"]["original_type"] == "transaction"
    assert payload["transaction_id"] == truth["transaction_id"]
    assert payload == shop.v3_query(truth["out_trade_no"]).json()


@APIS
@pytest.mark.parametrize(
    ("scenario", "heard"),
    [
        ("cancel", {"err_msg": "get_brand_wcpay_request:cancel"}),
        ("not_enough", {"err_msg": "get_brand_wcpay_request:fail", "err_desc": "余额不足"}),
    ],
)
def test_who_does_not_pay_leaves_the_order_unpaid_and_nobody_is_told(
    shop: Merchant, sink: Sink, api: str, scenario: str, heard: dict[str, str]
) -> None:
    answer, truth = play(shop, api, scenario)
    assert (answer, truth["trade_state"], truth["pending"]) == (heard, "NOTPAY", [])
    time.sleep(0.1)
    assert not sink.received


@APIS
def test_a_lost_notification_is_never_sent_though_the_order_is_paid(shop: Merchant, sink: Sink, api: str) -> None:
    heard, truth = play(shop, api, "lost_notification")
    assert (heard, truth["trade_state"], truth["pending"]) == (OK, "SUCCESS", [])
    shop.simulator.control("POST", "clock", {"advance_s": 86400})
    time.sleep(0.1)
    assert not sink.received


@APIS
def test_duplicates_come_three_at_once_with_one_id(shop: Merchant, sink: Sink, api: str) -> None:
    play(shop, api, "duplicate")
    messages = sink.wait(3)
    assert all(genuine(shop, api, message) for message in messages)
    if api == "v3":
        assert len({json.loads(message.body)["id"] for message in messages}) == 1
    else:
        assert len({message.body for message in messages}) == 1


def test_a_late_notification_comes_after_six_simulated_seconds(shop: Merchant, sink: Sink) -> None:
    _, truth = play(shop, "v3", "late")
    assert [pending["kind"] for pending in truth["pending"]] == ["late"]
    assert 5 < truth["pending"][0]["due_in_s"] <= 6
    assert not sink.received
    shop.simulator.control("POST", "clock", {"advance_s": 6})
    assert genuine(shop, "v3", sink.wait(1)[0])


@APIS
def test_a_forged_notification_comes_for_an_order_that_nobody_paid(shop: Merchant, sink: Sink, api: str) -> None:
    sink.answer = lambda _: (401, b"")
    heard, truth = play(shop, api, "forged")
    assert (heard, truth["trade_state"]) == ({"err_msg": "get_brand_wcpay_request:cancel"}, "NOTPAY")
    assert not genuine(shop, api, sink.wait(1)[0])
    shop.simulator.control("POST", "clock", {"advance_s": 86400})
    time.sleep(0.1)
    assert len(sink.received) == 1


@APIS
def test_a_wrong_amount_is_well_signed_and_a_fen_too_much_while_the_truth_is_right(
    shop: Merchant, sink: Sink, api: str
) -> None:
    _, truth = play(shop, api, "wrong_amount")
    message = sink.wait(1)[0]
    assert genuine(shop, api, message)
    assert (total(shop, api, message), truth["total"]) == (1801, 1800)


def test_a_stale_v3_message_comes_first_and_a_fresh_one_fifteen_seconds_later(shop: Merchant, sink: Sink) -> None:
    sink.answer = lambda message: (401, b"") if age_s(message) > 300 else (200, b"")
    play(shop, "v3", "stale")
    assert age_s(sink.wait(1)[0]) >= 600
    shop.simulator.control("POST", "clock", {"advance_s": 15})
    assert age_s(sink.wait(2)[1]) < 10
    assert all(genuine(shop, "v3", message) for message in sink.received)


def test_v2_dates_nothing_so_a_stale_message_is_the_same_message_twice(shop: Merchant, sink: Sink) -> None:
    play(shop, "v2", "stale")
    sink.wait(1)
    shop.simulator.control("POST", "clock", {"advance_s": 15})
    first, second = sink.wait(2)
    assert first.body == second.body


def test_a_probe_comes_first_and_the_genuine_message_a_second_later(shop: Merchant, sink: Sink) -> None:
    sink.answer = lambda message: (200 if genuine(shop, "v3", message) else 401, b"")
    play(shop, "v3", "probe")
    assert sink.wait(1)[0].headers["Wechatpay-Signature"].startswith("WECHATPAY/SIGNTEST/")
    assert genuine(shop, "v3", sink.wait(2)[1])


def test_v2_has_no_probe_so_a_wrong_signature_stands_for_it(shop: Merchant, sink: Sink) -> None:
    play(shop, "v2", "probe")
    first, second = sink.wait(2)
    assert [genuine(shop, "v2", message) for message in (first, second)] == [False, True]


def test_out_of_order_the_merchant_hears_before_the_page_and_the_older_message_comes_last(
    shop: Merchant, sink: Sink
) -> None:
    heard, _ = play(shop, "v3", "out_of_order")
    assert (heard, len(sink.received)) == (OK, 1)
    second = sink.wait(2)[1]
    assert age_s(second) > age_s(sink.received[0]) + 10


def test_an_unknown_scenario_or_user_is_a_400_with_the_names_there_are(shop: Merchant) -> None:
    _, params = shop.place("v3")
    assert "out_of_order" in shop.bridge(params, "miracle")["message"]
    assert "jia, yi" in shop.bridge(params, user="bing")["message"]


def test_in_grey_mode_the_ratio_decides_which_key_signs_notifications(shop: Merchant, sink: Sink) -> None:
    shop.simulator.control("POST", "keys", {"mode": "grey", "grey_ratio": 0})
    play(shop, "v3", "success")
    serial = sink.wait(1)[0].headers["Wechatpay-Serial"]
    shop.simulator.control("POST", "keys", {"mode": "grey", "grey_ratio": 1})
    assert serial == shop.simulator.credentials["platform_serial_no"]
