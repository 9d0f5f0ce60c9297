"""E12. Coupons at the simulator, from the pay sheet to the bill; the service has them right to the fen."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.state.coupons import Coupon, Share, move_share, offers, read_coupons, settlement_of, split, whole
from tests.simulator.merchant import Merchant, unxml, v2_sign
from tests.simulator.sink import Sink
from tests.support.scenarios import opened
from tests.support.simulated_bills import BillFixture, Row
from tests.support.simulated_refunds import advance, ended, req_info
from tests.support.simulator import SimulatorProcess
from wechat.domain.facts import RemoteState
from wechat.pay.v2.fields import transaction

COUPONS = [{"kind": "CASH", "amount": 500}, {"kind": "NOCASH", "amount": 301}]
"""Of 18.00: the payer pays 9.99, and 14.99 reach the merchant."""


def paid(shop: Merchant, api: str, scenario: str = "success", coupons: Any = COUPONS) -> str:
    """An order of 18.00 that coupons have paid a part of; its number."""
    out_trade_no, params = shop.place(api)
    asked = {**params, "scenario": scenario, "coupons": coupons}
    assert shop.simulator.control("POST", "bridge", asked) == {"err_msg": "get_brand_wcpay_request:ok"}
    return out_trade_no


def test_e12_v2_tells_of_each_coupon_in_the_notification_and_when_queried(shop: Merchant, sink: Sink) -> None:
    out_trade_no = paid(shop, "v2")
    message = sink.wait(1)[0].body
    queried = shop.v2("orderquery", out_trade_no=out_trade_no)
    for payload in (unxml(message), queried):
        assert payload["sign"] == v2_sign(payload, shop.known["api_v2_key"], "MD5")
        amounts = {name: payload[name] for name in ("total_fee", "cash_fee", "coupon_fee", "settlement_total_fee")}
        assert amounts == {"total_fee": "1800", "cash_fee": "999", "coupon_fee": "801", "settlement_total_fee": "1499"}
        assert (payload["coupon_count"], payload["coupon_type_0"], payload["coupon_type_1"]) == ("2", "CASH", "NO_CASH")
        assert (payload["coupon_fee_0"], payload["coupon_fee_1"]) == ("500", "301")
        assert payload["coupon_id_0"].startswith("sim")


def test_e12_without_a_free_coupon_the_whole_price_is_settled(shop: Merchant, sink: Sink) -> None:
    out_trade_no = paid(shop, "v2", coupons=COUPONS[:1])
    queried = shop.v2("orderquery", out_trade_no=out_trade_no)
    assert "settlement_total_fee" not in queried
    assert (queried["cash_fee"], queried["coupon_fee"]) == ("1300", "500")


def test_e12_v3_tells_of_each_coupon_in_the_notification_and_when_queried(shop: Merchant, sink: Sink) -> None:
    out_trade_no = paid(shop, "v3")
    for payload in (opened(shop, sink.wait(1)[0]), shop.v3_query(out_trade_no).json()):
        assert payload["amount"] == {"total": 1800, "payer_total": 999, "currency": "CNY", "payer_currency": "CNY"}
        first, second = payload["promotion_detail"]
        assert (first["type"], first["amount"], second["type"], second["amount"]) == ("CASH", 500, "NOCASH", 301)
        assert {first["scope"], first["currency"]} == {"GLOBAL", "CNY"}
        shares = ("wechatpay_contribute", "merchant_contribute", "other_contribute")
        assert sum(second[name] for name in shares) == 301


def test_e12_refunds_are_split_and_the_last_one_takes_the_rest(shop: Merchant, sink: Sink) -> None:
    out_trade_no = paid(shop, "v3", "lost_notification")
    payload = []
    for amount in (600, 333, 867):
        taken = shop.v3_refund(amount, out_trade_no=out_trade_no).json()
        payload.append(taken)
        advance(shop, 61)
    for amount in [refund["amount"] for refund in payload]:
        assert (amount["total"], amount["payer_total"], amount["settlement_total"]) == (1800, 999, 1499)
        assert amount["payer_refund"] + amount["discount_refund"] == amount["refund"]
    back = [
        (each["promotion_detail"][0]["refund_amount"], each["promotion_detail"][1]["refund_amount"]) for each in payload
    ]
    assert (sum(first for first, _ in back), sum(second for _, second in back)) == (500, 301)
    assert [each["promotion_detail"][0]["type"] for each in payload] == ["COUPON"] * 3
    assert [each["promotion_detail"][1]["type"] for each in payload] == ["DISCOUNT"] * 3
    assert sum(refund["amount"]["payer_refund"] for refund in payload) == 999
    for refund, (_, free) in zip(payload, back, strict=True):
        assert refund["amount"]["settlement_refund"] == refund["amount"]["refund"] - free
    news = opened(shop, sink.wait(3)[0])
    assert news["amount"]["payer_refund"] == payload[0]["amount"]["payer_refund"] < 600


def test_e12_v2_tells_what_goes_back_to_each_coupon(shop: Merchant, sink: Sink) -> None:
    out_trade_no = paid(shop, "v2", "lost_notification")
    taken = shop.v2_refund(out_trade_no=out_trade_no, refund_fee="900")
    cash, coupons = int(taken["cash_refund_fee"]), int(taken["coupon_refund_fee"])
    assert cash + coupons == 900
    assert coupons == int(taken["coupon_refund_fee_0"]) + int(taken["coupon_refund_fee_1"])
    assert int(taken["settlement_refund_fee"]) == 900 - int(taken["coupon_refund_fee_1"])
    assert (taken["cash_fee"], taken["settlement_total_fee"], taken["coupon_type_1"]) == ("999", "1499", "NO_CASH")
    ended_row = ended_refund(shop, taken["out_refund_no"])
    for name in ("coupon_refund_fee", "coupon_refund_count", "settlement_refund_fee"):
        assert ended_row[f"{name}_0"] == taken[name]
    assert ended_row["coupon_refund_fee_0_1"] == taken["coupon_refund_fee_1"]
    assert ended_row["coupon_type_0_0"] == "CASH"
    news = req_info(shop, sink.wait(1)[0])
    assert (news["settlement_refund_fee"], news["settlement_total_fee"]) == (taken["settlement_refund_fee"], "1499")


def ended_refund(shop: Merchant, out_refund_no: str) -> dict[str, str]:
    advance(shop, 2)
    ended(shop, out_refund_no)
    return shop.v2("refundquery", out_refund_no=out_refund_no)


def test_e12_the_bills_and_the_balance_have_what_the_merchant_gets(simulator: SimulatorProcess, sink: Sink) -> None:
    till = BillFixture(simulator, sink)
    till.morning_after(till.today, timedelta(hours=30))
    day, before = till.today, simulator.control("GET", "balance")["balance"]
    out_trade_no = paid(till.shop, "v3", "lost_notification")
    taken = till.shop.v3_refund(900, out_trade_no=out_trade_no).json()["amount"]
    truth, balance = simulator.control("GET", f"books/{day}"), simulator.control("GET", "balance")["balance"]
    till.morning_after(day)
    rows, sums = till.trade(day)
    payment = next(row for row in rows if row["交易状态"] == "SUCCESS")
    refund = next(row for row in rows if row["交易状态"] == "REFUND")
    prepaid = taken["discount_refund"] - (900 - taken["settlement_refund"])
    assert fen(payment, "订单金额", "应结订单金额", "代金券金额", "手续费") == [1800, 1499, 801, 9]
    assert fen(refund, "申请退款金额", "退款金额", "充值券退款金额") == [900, taken["settlement_refund"], prepaid]
    assert fen(sums, "应结订单总金额", "退款总金额", "订单总金额", "申请退款总金额") == [
        1499,
        taken["settlement_refund"],
        1800,
        900,
    ]
    assert (truth["received"], truth["settled"], truth["refunded"]) == (1800, 1499, 900)
    assert truth["net"] == balance - before == 1499 - taken["settlement_refund"] - truth["fee"]


def fen(row: Row, *names: str) -> list[int]:
    return [round(float(row[name]) * 100) for name in names]


def test_e12_coupons_survive_a_kill(tmp_path: Path, sink: Sink) -> None:
    process = SimulatorProcess.start(tmp_path / "state")
    shop = Merchant(process, sink.url)
    out_trade_no = paid(shop, "v3", "lost_notification")
    shop.v3_refund(600, out_trade_no=out_trade_no)
    before = [shop.v3_query(out_trade_no).json(), process.control("GET", "balance")]
    process.kill()
    process = SimulatorProcess.start(tmp_path / "state")
    shop = Merchant(process, sink.url)
    assert [shop.v3_query(out_trade_no).json(), process.control("GET", "balance")] == before
    process.stop()


@pytest.mark.parametrize(
    "coupons",
    [
        {},
        [{"kind": "CASH"}],
        [{"kind": "cash", "amount": 1}],
        [{"kind": "CASH", "amount": 0}],
        [{"kind": "CASH", "amount": True}],
        [{"kind": "CASH", "amount": 1801}],
        [{"kind": "CASH", "amount": 1}] * 21,
    ],
)
def test_e12_coupons_that_could_not_be_are_refused_and_nothing_is_paid(shop: Merchant, coupons: Any) -> None:
    out_trade_no, params = shop.place("v3")
    payload = shop.simulator.control("POST", "bridge", {**params, "coupons": coupons})
    assert payload["code"] == "SIMULATOR_ERROR"
    assert "coupon" in payload["message"]
    assert shop.simulator.order(out_trade_no)["trade_state"] == "NOTPAY"


def test_e12_an_order_that_coupons_paid_whole_costs_the_payer_nothing(shop: Merchant) -> None:
    out_trade_no = paid(shop, "v2", coupons=[{"kind": "CASH", "amount": 1800}])
    payload = transaction(shop.v2("orderquery", out_trade_no=out_trade_no), RemoteState.SUCCESS)
    assert (payload.total, payload.payer_total) == (1800, 0)


@given(
    st.integers(1, 10**6).flatmap(
        lambda total: st.tuples(
            st.just(total), st.lists(st.integers(1, max(1, total // 4)), max_size=4), st.lists(st.integers(1, total))
        )
    )
)
def test_e12_the_shares_of_refunds_never_exceed_what_is_there_and_add_up(
    asked: tuple[int, list[int], list[int]],
) -> None:
    total, amounts, refunds = asked
    coupons = [Coupon(str(row), "", "NOCASH" if row % 2 else "CASH", amount) for row, amount in enumerate(amounts)]
    if sum(amounts) > total:
        return
    left = everything = whole(total, coupons)
    gone = Share(0, (0,) * len(coupons))
    for wanted in (*refunds, total):
        refund = min(wanted, left.total)
        if not refund:
            break
        share = split(left, refund)
        assert share.total == refund
        assert all(part >= 0 for part in (share.cash, *share.coupons))
        left, gone = move_share(left, share, -1), move_share(gone, share, 1)
        assert all(part >= 0 for part in (left.cash, *left.coupons))
        assert settlement_of(left, coupons) + settlement_of(gone, coupons) == settlement_of(everything, coupons)
    assert gone == everything


def test_e12_the_pay_sheet_offers_coupons_that_the_call_takes() -> None:
    assert offers(2) == []
    for _, sent in offers(1800):
        assert 0 < sum(coupon.amount for coupon in read_coupons(sent, 1800)) < 1800
