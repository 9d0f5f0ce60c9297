"""Each field of what WeChat says, absent, empty, null, zero, of another type or new: the right outcome for each.

Money is never assumed: what decides (state, total, numbers, time) must be there in its own form. What only informs
(attach, bank, coupons, what the payer paid) never keeps a payment from being booked.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.odd_values import ABSENT, ODD, changed
from tests.support.odd_values import TEXTS as SHORT_TEXTS
from tests.support.receiving import World, v3_amount
from wechat.domain.errors import Malformed, Mismatch, NotifyError
from wechat.domain.facts import RefundState
from wechat.domain.orders import TradeState
from wechat.pay.v2 import fields as v2_fields
from wechat.pay.v3 import payloads

TEXTS = (*SHORT_TEXTS, "9" * 400)
INFORMS_V3 = ("attach", "bank_type", "trade_state_desc", "promotion_detail", "scene_info", "a_new_field")
DECIDES_V3 = ("trade_state", "mchid", "appid", "out_trade_no", "transaction_id", "success_time")
INFORMS_V2 = ("attach", "bank_type", "cash_fee", "coupon_fee", "coupon_count", "settlement_total_fee", "a_new_field")
DECIDES_V2 = ("result_code", "mch_id", "appid", "out_trade_no", "transaction_id", "time_end", "total_fee")


async def outcome(world: World, api: str, changed: dict[str, Any]) -> str:
    """Send a payment notification with ``changed`` fields. Return the order's state, or "mismatch" or "refused".

    Any other exception is a defect and is raised.
    """
    platform = world.platform
    plain = platform.v3_transaction(world.wanted) if api == "v3" else platform.v2_fields(world.wanted)
    fields = {name: value for name, value in (plain | changed).items() if value is not ABSENT}
    if api == "v3":
        envelope = platform.v3_envelope(json.dumps(fields).encode())
        message = platform.v3_signed(json.dumps(envelope).encode())
    else:
        message = platform.v2_signed(fields)
    try:
        await world.receive(message)
    except NotifyError as error:
        assert world.state is TradeState.NOTPAY
        return "mismatch" if isinstance(error, Mismatch) else "refused"
    return world.state.value


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("name", INFORMS_V3)
async def test_h1_what_only_informs_keeps_no_v3_payment_from_being_booked(
    world: World, name: str, value: object
) -> None:
    assert await outcome(world, "v3", {name: value}) == "SUCCESS"


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("name", DECIDES_V3)
async def test_h1_what_decides_is_never_assumed_of_a_v3_payment(world: World, name: str, value: object) -> None:
    told = await outcome(world, "v3", {name: value})
    assert told in ("refused", "mismatch") or (name, value) == ("transaction_id", "new")


@pytest.mark.parametrize("value", (*ODD, "100", 100.0, -100, 99), ids=repr)
async def test_h1_a_v3_total_is_the_orders_or_nothing(world: World, value: object) -> None:
    amount = v3_amount()["amount"] | {"total": value}
    changed = {"amount": {k: v for k, v in amount.items() if v is not ABSENT}}
    assert await outcome(world, "v3", changed) in ("refused", "mismatch")


@pytest.mark.parametrize("value", (*ODD, "100", -1), ids=repr)
async def test_h1_what_the_payer_paid_of_it_only_informs(world: World, value: object) -> None:
    amount = v3_amount()["amount"] | {"payer_total": value}
    changed = {"amount": {k: v for k, v in amount.items() if v is not ABSENT}}
    assert await outcome(world, "v3", changed) == "SUCCESS"
    [payment] = world.stored.payments
    assert payment.payer_total == (0 if value == 0 and type(value) is int else None)


@pytest.mark.parametrize("value", TEXTS, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("name", INFORMS_V2)
async def test_h1_what_only_informs_keeps_no_v2_payment_from_being_booked(
    world: World, name: str, value: object
) -> None:
    assert await outcome(world, "v2", {name: value}) == "SUCCESS"


@pytest.mark.parametrize("value", TEXTS, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("name", DECIDES_V2)
async def test_h1_what_decides_is_never_assumed_of_a_v2_payment(world: World, name: str, value: object) -> None:
    told = await outcome(world, "v2", {name: value})
    assert told in ("refused", "mismatch") or name == "transaction_id"


def expect_outcome(value: object, of_another: str) -> str:
    """The expected outcome for an optional field: SUCCESS if absent, empty or null, ``of_another`` for another text,
    "refused" for another type."""
    if value in (ABSENT, "", None):
        return "SUCCESS"
    return of_another if isinstance(value, str) else "refused"


@pytest.mark.parametrize("value", ODD, ids=repr)
async def test_h1_what_may_be_missing_of_a_v3_payment_is_compared_when_it_is_there(world: World, value: object) -> None:
    """The trade type, the currency and the payer; none of them is read from a value of another type."""
    assert await outcome(world, "v3", {"trade_type": value}) == expect_outcome(value, "mismatch")


@pytest.mark.parametrize("value", ODD, ids=repr)
async def test_h1_the_currency_of_a_v3_payment_is_compared_when_it_is_there(world: World, value: object) -> None:
    amount = {"amount": changed(v3_amount()["amount"], "currency", value)}
    assert await outcome(world, "v3", amount) == expect_outcome(value, "mismatch")


@pytest.mark.parametrize("value", ODD, ids=repr)
async def test_h1_the_payer_of_a_v3_payment_is_compared_when_it_is_there(world: World, value: object) -> None:
    assert await outcome(world, "v3", {"payer": changed({}, "openid", value)}) == expect_outcome(value, "PAID_LATE")


@pytest.mark.parametrize("value", SHORT_TEXTS, ids=str)
@pytest.mark.parametrize(
    ("name", "of_another"), [("trade_type", "mismatch"), ("fee_type", "mismatch"), ("openid", "PAID_LATE")]
)
async def test_h1_what_may_be_missing_of_a_v2_payment_is_compared_when_it_is_there(
    world: World, name: str, of_another: str, value: object
) -> None:
    assert await outcome(world, "v2", {name: value}) == expect_outcome(value, of_another)


# -- refunds, as answers and queries tell of them -------------------------------------------------------------------

V3_REFUND = {
    "refund_id": "5030",
    "out_refund_no": "R1",
    "transaction_id": "4200",
    "out_trade_no": "T1",
    "status": "SUCCESS",
    "success_time": "2026-03-01T12:05:06+08:00",
    "amount": {"total": 100, "refund": 60, "currency": "CNY"},
}
V2_REFUND = {
    "mch_id": "m",
    "out_trade_no": "T1",
    "transaction_id": "4200",
    "total_fee": "100",
    "refund_count": "1",
    "out_refund_no_0": "R1",
    "refund_id_0": "5030",
    "refund_fee_0": "60",
    "refund_status_0": "SUCCESS",
    "refund_success_time_0": "2026-03-01 12:05:06",
}


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("name", ["channel", "user_received_account", "promotion_detail", "funds_account", "new_field"])
def test_h2_what_only_informs_changes_no_v3_refund(name: str, value: object) -> None:
    fact = payloads.refund_fact(changed(V3_REFUND, name, value), "m", "status")
    assert (fact.state, fact.refund) == (RefundState.SUCCESS, 60)


@pytest.mark.parametrize("value", [ABSENT, "", None, 0, True, [], {}, 2**63], ids=repr)
@pytest.mark.parametrize("name", ["status", "out_refund_no", "out_trade_no", "refund_id", "amount"])
def test_h2_what_decides_is_demanded_of_a_v3_refund(name: str, value: object) -> None:
    with pytest.raises(Malformed):
        payloads.refund_fact(changed(V3_REFUND, name, value), "m", "status")


@pytest.mark.parametrize("value", TEXTS, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("name", ["refund_channel_0", "refund_recv_accout_0", "settlement_refund_fee_0", "new_field"])
def test_h2_what_only_informs_changes_no_v2_refund(name: str, value: object) -> None:
    fact = v2_fields.queried_refund(changed(V2_REFUND, name, value), "R1")
    assert (fact.state, fact.refund) == (RefundState.SUCCESS, 60)


@pytest.mark.parametrize("value", [ABSENT, "", "0", "1.5", "9007199254740993"], ids=str)
@pytest.mark.parametrize("name", ["refund_status_0", "refund_fee_0", "total_fee"])
def test_h2_what_decides_is_demanded_of_a_v2_refund(name: str, value: object) -> None:
    with pytest.raises(Malformed):
        v2_fields.queried_refund(changed(V2_REFUND, name, value), "R1")


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("name", ["success_time", "transaction_id"])
def test_h2_what_may_be_missing_of_a_v3_refund_is_a_text_when_it_is_there(name: str, value: object) -> None:
    told = changed(V3_REFUND, name, value)
    if value in (ABSENT, "", None):
        assert payloads.refund_fact(told, "m", "status").state is RefundState.SUCCESS
    elif (name, value) == ("transaction_id", "new"):
        assert payloads.refund_fact(told, "m", "status").transaction_id == "new"
    else:
        with pytest.raises(Malformed) as refused:
            payloads.refund_fact(told, "m", "status")
        assert refused.value.reason == name


@pytest.mark.parametrize("value", [*ODD, "60", -1, 60.0], ids=repr)
@pytest.mark.parametrize("name", ["refund", "total"])
def test_h2_an_amount_of_a_v3_refund_is_a_number_of_fen(name: str, value: object) -> None:
    amount = changed({"total": 100, "refund": 60, "currency": "CNY"}, name, value)
    with pytest.raises(Malformed):
        payloads.refund_fact(V3_REFUND | {"amount": amount}, "m", "status")


@pytest.mark.parametrize("value", SHORT_TEXTS, ids=str)
def test_h2_the_time_of_a_v2_refund_may_be_missing_and_is_a_time_otherwise(value: object) -> None:
    told = changed(V2_REFUND, "refund_success_time_0", value)
    if value in (ABSENT, ""):
        assert v2_fields.queried_refund(told, "R1").success_time is None
    else:
        with pytest.raises(Malformed):
            v2_fields.queried_refund(told, "R1")


def test_h2_an_undocumented_state_is_no_state() -> None:
    with pytest.raises(Malformed):
        payloads.refund_fact(V3_REFUND | {"status": "A_NEW_STATE"}, "m", "status")
    with pytest.raises(Malformed):
        v2_fields.queried_refund(V2_REFUND | {"refund_status_0": "A_NEW_STATE"}, "R1")
