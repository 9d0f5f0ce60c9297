"""What money does when WeChat, an operator or a shared merchant number does something unusual."""

from __future__ import annotations

import pytest

from tests.support.refund_desk import TURN_S, Shop, refused
from wechat.domain.facts import RefundState


@pytest.fixture
def shop() -> Shop:
    return Shop()


# -- too little balance ------------------------------------------------------------------------------------------------


async def test_a4_a_refund_for_want_of_balance_is_taken_under_its_number_once_there_is_money(shop: Shop) -> None:
    shop.desk.judge = lambda refund: refused("NOT_ENOUGH")
    refund = await shop.ask(out_refund_no="refund-1")
    assert (refund.state, refund.refusal, shop.reserved) == (RefundState.REQUESTED, "", 60)
    await shop.work(3 * 24 * 60)
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.REQUESTED, 60)
    shop.desk.judge = lambda refund: None  # topped up
    await shop.work(6 * 60)
    assert (shop.stored(refund).state, list(shop.desk.taken)) == (RefundState.PROCESSING, ["refund-1"])


async def test_a4_the_same_request_after_the_top_up_is_sent_within_its_turn(shop: Shop) -> None:
    """After days of waiting the next try would be six hours away."""
    shop.desk.judge = lambda refund: refused("NOT_ENOUGH")
    await shop.ask(out_refund_no="refund-1")
    await shop.work(3 * 24 * 60)
    shop.desk.judge = lambda refund: None
    again = await shop.ask(out_refund_no="refund-1")
    assert again.state is RefundState.REQUESTED
    await shop.work(TURN_S / 60)
    assert shop.stored(again).state is RefundState.PROCESSING
    assert list(shop.desk.taken) == ["refund-1"]


async def test_a4_repeated_requests_send_it_no_more_often_than_once_a_turn(shop: Shop) -> None:
    shop.desk.judge = lambda refund: refused("NOT_ENOUGH")
    await shop.ask(out_refund_no="refund-1")
    for _ in range(60):
        await shop.ask(out_refund_no="refund-1")
        await shop.work(0.1)
    assert 1 < shop.calls.count("refund") <= 1 + 6 * 60 / TURN_S


@pytest.mark.parametrize("code", ["NOT_ENOUGH", "INVALID_REQ_TOO_MUCH", "ORDER_NOT_READY"])
async def test_a4_what_passes_by_itself_or_by_a_top_up_ends_no_refund(shop: Shop, code: str) -> None:
    shop.desk.before = [refused(code)]
    refund = await shop.ask(out_refund_no="refund-1")
    await shop.work(5)
    assert shop.stored(refund).state is RefundState.PROCESSING
