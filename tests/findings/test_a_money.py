"""What money does when WeChat, an operator or a shared merchant number does something unusual."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from cli.amounts import parse_amount
from cli.problems import Problem
from tests.contract.samples import NOW, a_refund
from tests.support.clock import ManualClock
from tests.support.ordering import Service
from tests.support.refund_fixture import TURN_S, Shop, lost, refused
from wechat.domain.errors import BadRequest, Conflict, GatewayRefused
from wechat.domain.facts import Funds, RefundState
from wechat.domain.orders import Refund
from wechat.orders.requests import CheckoutRequest, CreateOrderRequest
from wechat.pay.v2.refunds import refund_fields
from wechat.pay.v3.refunds import refund_body
from wechat.refunds.requests import RefundRequest


@pytest.fixture
def shop() -> Shop:
    return Shop()


# -- too little balance ------------------------------------------------------------------------------------------------


async def test_a4_a_refund_for_want_of_balance_is_taken_under_its_number_once_there_is_money(shop: Shop) -> None:
    shop.refund_gateway.judge = lambda refund: refused("NOT_ENOUGH")
    refund = await shop.ask(out_refund_no="refund-1")
    assert (refund.state, refund.refusal, shop.reserved) == (RefundState.REQUESTED, "", 60)
    await shop.work(3 * 24 * 60)
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.REQUESTED, 60)
    shop.refund_gateway.judge = lambda refund: None  # topped up
    await shop.work(6 * 60)
    assert (shop.stored(refund).state, list(shop.refund_gateway.taken)) == (RefundState.PROCESSING, ["refund-1"])


async def test_a4_the_same_request_after_the_top_up_is_sent_within_its_turn(shop: Shop) -> None:
    """Without the repeated request, after days of waiting, the next try would be six hours away."""
    shop.refund_gateway.judge = lambda refund: refused("NOT_ENOUGH")
    await shop.ask(out_refund_no="refund-1")
    await shop.work(3 * 24 * 60)
    shop.refund_gateway.judge = lambda refund: None
    again = await shop.ask(out_refund_no="refund-1")
    assert again.state is RefundState.REQUESTED
    await shop.work(TURN_S / 60)
    assert shop.stored(again).state is RefundState.PROCESSING
    assert list(shop.refund_gateway.taken) == ["refund-1"]


async def test_a4_repeated_requests_send_it_no_more_often_than_once_a_turn(shop: Shop) -> None:
    shop.refund_gateway.judge = lambda refund: refused("NOT_ENOUGH")
    await shop.ask(out_refund_no="refund-1")
    for _ in range(60):
        await shop.ask(out_refund_no="refund-1")
        await shop.work(0.1)
    assert 1 < shop.calls.count("refund") <= 1 + 6 * 60 / TURN_S


@pytest.mark.parametrize("code", ["NOT_ENOUGH", "INVALID_REQ_TOO_MUCH", "ORDER_NOT_READY"])
async def test_a4_what_passes_by_itself_or_by_a_top_up_ends_no_refund(shop: Shop, code: str) -> None:
    shop.refund_gateway.before = [refused(code)]
    refund = await shop.ask(out_refund_no="refund-1")
    await shop.work(5)
    assert shop.stored(refund).state is RefundState.PROCESSING


# -- what a refund is paid from ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("funds", list(Funds))
def test_a5_both_apis_are_told_what_a_refund_is_paid_from(funds: Funds) -> None:
    refund = a_refund(funds=funds)
    assert refund_body(refund)["funds_account"] == funds.value
    words = {"AVAILABLE": "REFUND_SOURCE_RECHARGE_FUNDS", "UNSETTLED": "REFUND_SOURCE_UNSETTLED_FUNDS"}
    assert refund_fields(refund)["refund_account"] == words[funds]


def test_a5_what_is_not_named_is_left_to_wechat() -> None:
    assert "funds_account" not in refund_body(a_refund())
    assert "refund_account" not in refund_fields(a_refund())


async def test_a5_a_request_names_it_and_settings_are_the_default(shop: Shop) -> None:
    assert (await shop.ask(1, funds_account="AVAILABLE")).funds is Funds.AVAILABLE
    assert (await shop.ask(1)).funds is None
    drafts = shop.fixture.refunds._drafts
    drafts._defaults = replace(drafts._defaults, funds=Funds.AVAILABLE)
    assert (await shop.ask(1)).funds is Funds.AVAILABLE
    assert (await shop.ask(1, funds_account="UNSETTLED")).funds is Funds.UNSETTLED
    with pytest.raises(BadRequest):
        await shop.ask(1, funds_account="CASH")


async def test_a5_a_refund_that_lacked_balance_is_sent_again_from_the_other_account(shop: Shop) -> None:
    """Follow the advice in the error: send under the same number, from the available balance."""
    asked: list[Funds | None] = []

    def judge(refund: Refund) -> GatewayRefused | None:
        asked.append(refund.funds)
        return None if refund.funds is Funds.AVAILABLE else refused("NOT_ENOUGH")

    shop.refund_gateway.judge = judge
    await shop.ask(out_refund_no="refund-1")
    again = await shop.ask(out_refund_no="refund-1", funds_account="AVAILABLE")
    await shop.work()
    assert (asked, shop.stored(again).state) == ([None, Funds.AVAILABLE], RefundState.PROCESSING)


async def test_a5_one_that_may_be_under_way_is_not_changed(shop: Shop) -> None:
    shop.refund_gateway.before = [lost()]
    await shop.ask(out_refund_no="refund-1")
    assert (await shop.ask(out_refund_no="refund-1", funds_account="AVAILABLE")).funds is None


# -- one request over an upgrade ---------------------------------------------------------------------------------------


def test_a_request_has_the_digest_that_release_0_1_0_gave_it() -> None:
    """Keys that were claimed before an upgrade must know their request after it."""
    refund = RefundRequest.parse({"refund": 500, "reason": "缺货"})
    payload = '{"refund":500,"reason":"缺货","out_refund_no":null}\nORDER-1'
    assert refund.digest("ORDER-1") == sha256(payload.encode()).hexdigest()
    sale = CreateOrderRequest.parse({"description": "x", "total": 1, "trade_type": "NATIVE"})
    payload = (
        '{"description":"x","total":1,"trade_type":"NATIVE","openid":null,"out_trade_no":null,"attach":null,'
        '"expires_in_s":null,"api":null,"payer_client_ip":null}'
    )
    assert sale.digest() == sha256(payload.encode()).hexdigest()
    assert CheckoutRequest.parse({"sku": "tea"}).digest() == sha256(b'{"sku":"tea","quantity":1}').hexdigest()


def test_a_field_that_was_added_later_makes_another_request_only_where_it_is_sent() -> None:
    plain, other = [
        RefundRequest.parse({"refund": 5, "reason": "x", **more}) for more in ({}, {"funds_account": "AVAILABLE"})
    ]
    assert plain.digest() != other.digest()


# -- a key stands for its order as long as that can be paid ------------------------------------------------------------


async def test_a_baskets_claim_lives_as_long_as_its_order() -> None:
    clock = ManualClock(NOW)
    orders = Service(clock).process(minutes=7 * 24 * 60).orders

    async def basket() -> str:
        placed = await orders.place_checkout(CheckoutRequest(sku="coffee"), openid="o", client_ip="203.0.113.7")
        return placed.order.out_trade_no

    first = await basket()
    clock.advance(6 * 86400)
    assert await basket() == first
    clock.advance(2 * 86400)
    second = await basket()  # the first order has timed out, so its key serves a new order
    assert second != first
    clock.advance(6 * 86400)
    assert await basket() == second


async def test_so_does_an_idempotency_key() -> None:
    clock = ManualClock(NOW)
    orders = Service(clock).process().orders
    week = {"description": "x", "total": 1, "trade_type": "NATIVE", "expires_in_s": 7 * 86400}

    async def place() -> str:
        sale = CreateOrderRequest.parse(week)
        placed = await orders.place_order(sale, merchant="m", client_ip="203.0.113.7", idempotency_key="k1")
        return placed.order.out_trade_no

    first = await place()
    clock.advance(6 * 86400)
    assert await place() == first


# -- amounts as they are typed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fen", "yuan", "amount"),
    [("500", None, 500), ("1", None, 1), (None, "5", 500), (None, "5.0", 500), (None, "5.00", 500), (None, "0.07", 7)],
)
def test_a6_an_amount_is_fen_by_digits_or_yuan_with_a_point(fen: str | None, yuan: str | None, amount: int) -> None:
    assert parse_amount(fen, yuan) == amount


@pytest.mark.parametrize(
    ("fen", "yuan"),
    [
        (text, None)
        for text in (
            "5.00",
            "5_0",
            "0",
            "-5",
            "+5",
            "1e3",
            "0x10",
            "\uff15\uff10\uff10",
            " 5",
            "5 ",
            "",
            "5,00",
            "1" * 10,
        )
    ]
    + [
        (None, text)
        for text in ("5.", ".5", "5.001", "0", "0.00", "1e2", "-1", "\uff15", "5_0", "05", "1" * 8, "", "NaN")
    ]
    + [(None, None), ("500", "5.00")],
)
def test_a6_anything_else_is_refused(fen: str | None, yuan: str | None) -> None:
    with pytest.raises(Problem) as raised:
        parse_amount(fen, yuan)
    assert raised.value.name == "BAD_AMOUNT"


async def test_a6_the_limit_that_is_told_is_what_is_left(shop: Shop) -> None:
    await shop.ask(60)
    for too_much in (41, 100, 101):
        with pytest.raises(Conflict) as no:
            await shop.ask(too_much)
        assert (no.value.public_code, no.value.text.zh) == ("NOT_REFUNDABLE", "超出可退金额：还可退 ¥0.40")
