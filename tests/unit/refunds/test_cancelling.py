"""Cancelling refunds: only what WeChat does not have, and never beside a send."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.contract.samples import NOW
from tests.support.core import Core
from tests.support.refund_fixture import TURN_S, Shop, lost, refused
from tests.support.stall import Stall, stalled
from wechat.domain import refunds as transitions
from wechat.domain.errors import Conflict, FenpayError, NotFound
from wechat.domain.facts import RefundState
from wechat.domain.orders import Refund
from wechat.domain.refunds import CANCELLED, LEASE, cancel_refund
from wechat.orders.updates import alarm_of


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def cancel(shop: Shop, refund: Refund, process: Core | None = None) -> Refund:
    return await (process or shop.fixture.core).refunds.cancel(refund.out_refund_no, by="clerk")


async def kept(shop: Shop, refund: Refund) -> str:
    """Try to cancel ``refund``; return the code of the refusal. The reserved amount must not change."""
    before = shop.stored_order
    with pytest.raises(Conflict) as no:
        await cancel(shop, refund)
    assert shop.reserved == before.refund_reserved
    assert no.value.text.zh != no.value.text.en
    return no.value.public_code


async def queued(shop: Shop) -> Refund:
    """A refund of 60 fen, queued behind a refund of 1 fen."""
    await shop.ask(1)
    return await shop.ask(60)


async def waiting(shop: Shop) -> Refund:
    """A refund that WeChat refuses because the balance is too low."""
    shop.refund_gateway.judge = lambda refund: refused("NOT_ENOUGH")
    return await shop.ask(60)


async def test_a_queued_refund_is_cancelled_and_wechat_never_hears_of_it(shop: Shop) -> None:
    refund = await queued(shop)
    cancelled = await cancel(shop, refund)
    assert (cancelled.state, cancelled.refusal, cancelled.next_check_at) == (RefundState.REFUSED, CANCELLED, None)
    assert (cancelled.timeline[-1].what, cancelled.timeline[-1].source) == ("cancelled", "clerk")
    assert shop.reserved == 1
    await shop.work(10)
    assert shop.refund_gateway.calls.count(f"refund {refund.out_refund_no}") == 0
    assert (await shop.ask(99)).refund == 99


async def test_it_is_one_event_and_no_alarm(shop: Shop) -> None:
    refund = await queued(shop)
    first = await cancel(shop, refund)
    assert await cancel(shop, refund) == first
    assert shop.backend.staged == [(refund.out_refund_no, "refund.failed")]
    assert [alarm_of(shop.stored_order, event) for event in shop.stored_order.outbox] == [""]
    assert shop.alarms("refund_refused") == 0


async def test_one_that_waits_for_balance_is_queried_and_cancelled(shop: Shop) -> None:
    refund = await waiting(shop)
    assert (await cancel(shop, refund)).state is RefundState.REFUSED
    assert (shop.reserved, shop.calls) == (0, ["refund", "query"])
    shop.refund_gateway.judge = lambda refund: None
    await shop.work(60)
    assert shop.refund_gateway.taken == {}


async def test_one_that_wechat_has_after_all_is_booked_and_stays(shop: Shop) -> None:
    shop.refund_gateway.after = [lost()]
    refund = await shop.ask(60)
    assert await kept(shop, refund) == "REFUND_TAKEN"
    assert shop.stored(refund).state is RefundState.PROCESSING


async def test_one_that_wechat_closed_is_answered_as_it_is(shop: Shop) -> None:
    refund = await shop.ask(60)
    shop.refund_gateway.turns_out(refund, RefundState.CLOSED)
    await shop.fixture.refunds.query(refund.out_refund_no)
    assert (await cancel(shop, refund)).state is RefundState.CLOSED


@pytest.mark.parametrize(
    "error", [lost("refund_query"), refused("SIGN_ERROR", "refund_query")], ids=["lost", "refused"]
)
async def test_without_an_answer_to_the_query_it_stays(shop: Shop, error: FenpayError) -> None:
    refund = await waiting(shop)
    shop.refund_gateway.before = [error]
    assert await kept(shop, refund) == "REFUND_OUTCOME_UNKNOWN"
    assert shop.stored(refund) == refund


async def test_one_whose_request_may_be_under_way_stays_for_a_minute(shop: Shop) -> None:
    shop.refund_gateway.before = [lost()]
    refund = await shop.ask(60)
    assert await kept(shop, refund) == "REFUND_OUTCOME_UNKNOWN"
    shop.clock.advance(LEASE.total_seconds())
    assert (await cancel(shop, refund)).state is RefundState.REFUSED


async def test_a_no_to_a_second_send_says_nothing_of_the_first(shop: Shop) -> None:
    shop.refund_gateway.before = [lost(), None, refused("NOT_ENOUGH")]
    refund = await shop.ask(60)
    await shop.work()
    assert shop.stored(refund).timeline[-1].what == "not_now"
    assert await kept(shop, refund) == "REFUND_OUTCOME_UNKNOWN"


async def test_a_refund_of_a_payment_without_goods_is_not_cancelled(shop: Shop) -> None:
    await shop.fixture.refunds.refund_payment(shop.order, shop.order.transaction_id, "late-1", "late")
    assert await kept(shop, shop.backend.refunds["late-1"]) == "REFUND_BY_POLICY"


async def test_a_cancelled_one_that_is_asked_for_again_is_told_so(shop: Shop) -> None:
    await shop.ask(1)
    refund = await shop.ask(60, out_refund_no="R-000001")
    await cancel(shop, refund)
    with pytest.raises(Conflict) as no:
        await shop.ask(60, out_refund_no="R-000001")
    assert no.value.public_code == "REFUND_CANCELLED"
    with pytest.raises(NotFound):
        await shop.fixture.refunds.cancel("R-000002", by="clerk")


async def test_a_query_is_no_word_on_a_send_that_came_after_it(shop: Shop) -> None:
    """A worker sends between the query and the write."""
    refund = await waiting(shop)
    shop.clock.advance(TURN_S)
    stall = Stall(shop.refund_gateway, "query_refund", after=True)
    task = await stalled(cancel(shop, refund, shop.fixture.process()), stall)
    shop.refund_gateway.judge = lambda refund: None
    shop.refund_gateway.after = [lost()]
    await shop.work(0)
    stall.go.set()
    with pytest.raises(Conflict) as no:
        await task
    assert no.value.public_code == "REFUND_OUTCOME_UNKNOWN"
    assert shop.stored(refund).sends == 2
    assert list(shop.refund_gateway.taken) == [refund.out_refund_no]


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_of_a_cancel_and_a_send_at_once_exactly_one_wins(shop: Shop, cancel_first: bool) -> None:
    refund = await queued(shop)
    shop.clock.advance(TURN_S)
    other = shop.fixture.process()
    both = [cancel(shop, refund, other), shop.work(0)]
    ended = await asyncio.gather(*(both if cancel_first else reversed(both)), return_exceptions=True)
    stored, sent = shop.stored(refund), refund.out_refund_no in shop.refund_gateway.taken
    assert sent == any(isinstance(each, Conflict) for each in ended)
    assert stored.state is (RefundState.PROCESSING if sent else RefundState.REFUSED)
    assert shop.reserved == (61 if sent else 1)


async def test_a_process_that_stalled_does_not_send_what_was_cancelled_meanwhile(shop: Shop) -> None:
    """The process marks the refund as sent, then stalls for longer than its lease before sending."""
    late = shop.fixture.process()
    stall = Stall(late.updates, "update", after=True)
    task = await stalled(shop.ask(60, out_refund_no="R-000001", process=late), stall)
    shop.clock.advance(LEASE.total_seconds())
    await cancel(shop, shop.backend.refunds["R-000001"])
    stall.go.set()
    with pytest.raises(Conflict):
        await task
    assert shop.refund_gateway.taken == {}


async def test_the_transition_changes_nothing_the_second_time(shop: Shop) -> None:
    refund = await queued(shop)
    once = cancel_refund(shop.stored_order, refund.out_refund_no, "clerk", NOW)
    assert cancel_refund(once, refund.out_refund_no, "clerk", NOW) == once
    assert transitions.refundable(once, refund.transaction_id) == 99


async def test_by_the_transition_a_refund_that_was_sent_is_cancelled_only_after_a_query(shop: Shop) -> None:
    shop.refund_gateway.before = [lost()]
    refund = await shop.ask(60)
    later = NOW + LEASE
    with pytest.raises(Conflict):
        cancel_refund(shop.stored_order, refund.out_refund_no, "clerk", later)
    cancelled = cancel_refund(shop.stored_order, refund.out_refund_no, "clerk", later, denied_sends=1)
    assert transitions.refundable(cancelled, refund.transaction_id) == 100


async def test_one_that_came_to_nothing_and_made_room_for_others_is_not_found(shop: Shop) -> None:
    refund = await queued(shop)
    await cancel(shop, refund)
    process = shop.fixture.process()
    stall = Stall(process.updates, "update")
    task = await stalled(cancel(shop, refund, process), stall)
    others = tuple([each for each in shop.stored_order.refunds if each.out_refund_no != refund.out_refund_no])
    await shop.fixture.core.updates.update(shop.order.key, lambda order: replace(order, outbox=(), refunds=others))
    stall.go.set()
    with pytest.raises(NotFound):
        await task
