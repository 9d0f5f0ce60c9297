"""Refunds: every way they can go, and a process that dies anywhere on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.contract.samples import NOW
from tests.support.core import Core, CrashPoint, SimulatedCrash
from tests.support.refund_fixture import SURE_NO, TURN_S, Shop, fact, lost, refused
from wechat.domain.due_work import parts_of
from wechat.domain.errors import (
    BadRequest,
    Conflict,
    GatewayRefused,
    IdempotencyMismatch,
    Mismatch,
    NotFound,
    NotSent,
    OutcomeUnknown,
)
from wechat.domain.facts import Api, RefundState, Verified
from wechat.domain.orders import LONGEST_PAUSE, MIN_REFUND_INTERVAL, Refund, TradeState
from wechat.domain.refunds import MAX_REFUNDS, WINDOW
from wechat.pay.codes import NOT_NOW
from wechat.pay.gateway import RefundGateway
from wechat.refunds.requests import RefundRequest


@pytest.fixture
def shop() -> Shop:
    return Shop()


# -- the usual course --------------------------------------------------------------------------------------------------


async def test_a_refund_is_reserved_sent_and_under_way(shop: Shop) -> None:
    refund = await shop.ask()
    assert (refund.state, shop.reserved, shop.calls) == (RefundState.PROCESSING, 60, ["refund"])
    assert [entry.what for entry in refund.timeline] == ["requested", "sent", "processing"]
    assert shop.stored_order.trade_state is TradeState.REFUND


async def test_a_refund_under_way_is_queried_until_it_has_ended(shop: Shop) -> None:
    refund = await shop.ask()
    await shop.work()
    assert shop.stored(refund).state is RefundState.PROCESSING
    shop.refund_gateway.turns_out(refund, RefundState.SUCCESS)
    await shop.work()
    done = shop.stored(refund)
    assert (done.state, done.success_at, done.next_check_at) == (RefundState.SUCCESS, NOW.replace(microsecond=0), None)
    assert shop.backend.staged == [(refund.out_refund_no, "refund.succeeded")]
    assert shop.reserved == 60


async def test_a_refund_that_is_done_at_once_has_no_date_left(shop: Shop) -> None:
    shop.refund_gateway.answers_as = RefundState.SUCCESS
    refund = await shop.ask()
    assert (refund.state, refund.next_check_at) == (RefundState.SUCCESS, None)


async def test_it_is_queried_each_minute_at_first_and_ever_more_rarely(shop: Shop) -> None:
    refund = await shop.ask()
    pauses = []
    for _ in range(40):
        await shop.work()
        date = shop.stored(refund).next_check_at
        assert date is not None
        pauses.append(date - shop.clock.now())
        shop.clock.advance(max(0.0, (date - shop.clock.now()).total_seconds() - TURN_S))
    assert pauses[0] == MIN_REFUND_INTERVAL
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


async def test_a_refund_closed_by_wechat_releases_its_reservation_with_one_alarm(shop: Shop) -> None:
    refund = await shop.ask()
    for _ in range(3):
        await shop.fixture.refunds.apply(shop.refund_gateway.turns_out(refund, RefundState.CLOSED), source="notify")
    assert (shop.reserved, shop.alarms("refund_closed")) == (0, 1)
    assert shop.backend.staged == [(refund.out_refund_no, "refund.failed")]
    assert (await shop.ask(100)).state is RefundState.REQUESTED  # room again; its turn comes in a minute


async def test_an_abnormal_refund_stays_reserved_alarms_once_and_is_queried(shop: Shop) -> None:
    """J9."""
    refund = await shop.ask()
    shop.refund_gateway.turns_out(refund, RefundState.ABNORMAL)
    for _ in range(5):
        await shop.work(10)
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.ABNORMAL, 60)
    assert shop.alarms("refund_abnormal") == 1
    shop.refund_gateway.turns_out(refund, RefundState.SUCCESS)
    await shop.work(60)
    assert shop.stored(refund).state is RefundState.SUCCESS


async def test_seven_days_under_way_and_then_closed(shop: Shop) -> None:
    """J9."""
    refund = await shop.ask()
    for day in range(1, 8):
        await shop.work(24 * 60)
        assert (shop.stored(refund).state, shop.reserved) == (RefundState.PROCESSING, 60)
        assert [entry.what for entry in shop.stored(refund).timeline].count("slow") == (day >= 5)
    shop.refund_gateway.turns_out(refund, RefundState.CLOSED)
    await shop.work(24 * 60)
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.CLOSED, 0)


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_of_a_hundred_refunds_of_60_on_100_one_is_accepted(shop: Shop) -> None:
    """J5: two processes; the others get a 409."""
    processes = (shop.fixture.core, shop.fixture.process())
    asked = [shop.ask(60, process=processes[i % 2]) for i in range(100)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused_ones = [answer for answer in answers if isinstance(answer, Conflict)]
    assert (len(refused_ones), {error.public_code for error in refused_ones}) == (99, {"NOT_REFUNDABLE"})
    assert (len(shop.refund_gateway.taken), shop.reserved) == (1, 60)
    assert len(shop.backend.refunds) == 1


async def test_of_a_hundred_refunds_of_1_fifty_go_out_a_minute_apart(shop: Shop) -> None:
    """J6: queued, not refused, up to WeChat's fifty."""
    answers = await asyncio.gather(*(shop.ask(1) for _ in range(100)), return_exceptions=True)
    assert len([answer for answer in answers if isinstance(answer, Conflict)]) == MAX_REFUNDS
    assert len(shop.refund_gateway.taken) == 1
    for turn in range(2, MAX_REFUNDS + 1):
        await shop.work()
        assert len(shop.refund_gateway.taken) == turn
    await shop.work(10)
    assert (len(shop.refund_gateway.taken), shop.calls.count("refund")) == (MAX_REFUNDS, MAX_REFUNDS)


@pytest.mark.parametrize("refund", [0, -1, 1.5, True, "1", 2**63, None])
async def test_a_value_that_is_no_amount_is_refused_by_name(shop: Shop, refund: Any) -> None:
    """J8."""
    with pytest.raises(BadRequest) as wrong:
        await shop.ask(refund)
    assert wrong.value.field == "refund"
    assert (shop.calls, shop.backend.refunds) == ([], {})


async def test_more_than_was_paid_is_refused_before_anything_is_stored(shop: Shop) -> None:
    """J8."""
    with pytest.raises(Conflict):
        await shop.ask(101)
    assert (shop.calls, shop.backend.refunds) == ([], {})


@pytest.mark.parametrize("state", [TradeState.NOTPAY, TradeState.CLOSED])
async def test_an_order_that_is_not_paid_is_not_refunded(shop: Shop, state: TradeState) -> None:
    """J8."""
    order = shop.place_unpaid("20260301120506def", trade_state=state)
    with pytest.raises(Conflict) as wrong:
        await shop.ask(order=order)
    assert (wrong.value.public_code, shop.backend.refunds) == ("ORDER_NOT_PAID", {})


async def test_after_a_year_wechat_is_not_asked(shop: Shop) -> None:
    """J8."""
    shop.clock.advance(WINDOW.total_seconds() + 1)
    with pytest.raises(Conflict) as wrong:
        await shop.ask()
    assert (wrong.value.public_code, shop.calls, shop.backend.refunds) == ("TRADE_OVERDUE", [], {})


async def test_without_a_way_to_refund_the_answer_names_the_settings(shop: Shop) -> None:
    with pytest.raises(Conflict) as wrong:
        await shop.ask(1, process=shop.fixture.process(route={Api.V2: Api.V2}))
    assert wrong.value.public_code == "API_OFF"
    assert "pay.refund_api" in wrong.value.text.en


async def test_the_route_decides_the_api_of_a_refund(shop: Shop) -> None:
    process = shop.fixture.process(route={Api.V2: Api.V3, Api.V3: Api.V3})
    order = shop.place("20260301120506def", api=Api.V2)
    refund = await shop.ask(1, order=order, process=process)
    assert refund.api is Api.V3


@pytest.mark.parametrize("reason", ["", " 缺货", "缺货\n", "缺" * 27, "a" * 81, 1, None])
def test_a_reason_is_a_line_of_at_most_80_bytes(reason: Any) -> None:
    with pytest.raises(BadRequest) as wrong:
        RefundRequest.parse({"refund": 1, "reason": reason})
    assert wrong.value.field == "reason"
    assert RefundRequest.parse({"refund": 1, "reason": "缺" * 26}).reason == "缺" * 26


@pytest.mark.parametrize("number", ["short", "a" * 65, "with space", "dot.dot", "$set123", "１２３４５６"])
def test_a_refund_number_has_wechats_characters(number: str) -> None:
    with pytest.raises(BadRequest) as wrong:
        RefundRequest.parse({"refund": 1, "reason": "缺货", "out_refund_no": number})
    assert wrong.value.field == "out_refund_no"


# -- the same request again --------------------------------------------------------------------------------------------


async def test_the_same_key_gives_the_same_refund(shop: Shop) -> None:
    first = await shop.ask(key="k1")
    again = await asyncio.gather(*(shop.ask(key="k1") for _ in range(10)))
    assert {refund.out_refund_no for refund in again} == {first.out_refund_no}
    assert (shop.calls, shop.reserved) == (["refund"], 60)


async def test_the_same_key_for_another_request_is_a_mismatch(shop: Shop) -> None:
    await shop.ask(key="k1")
    other = shop.place("20260301120506def")
    for again in (shop.ask(59, key="k1"), shop.ask(60, key="k1", order=other)):
        with pytest.raises(IdempotencyMismatch):
            await again


async def test_the_same_number_gives_the_same_refund_and_another_request_a_conflict(shop: Shop) -> None:
    first = await shop.ask(out_refund_no="refund-1")
    assert await shop.ask(out_refund_no="refund-1") == shop.stored(first)
    for again in (shop.ask(59, out_refund_no="refund-1"), shop.ask(out_refund_no="refund-1", reason="别的")):
        with pytest.raises(Conflict) as wrong:
            await again
        assert wrong.value.public_code == "OUT_REFUND_NO_USED"


async def test_a_refused_refund_stays_refused_when_it_is_asked_for_again(shop: Shop) -> None:
    shop.refund_gateway.before = [refused()]
    with pytest.raises(GatewayRefused):
        await shop.ask(key="k1")
    with pytest.raises(Conflict) as wrong:
        await shop.ask(key="k1")
    assert (wrong.value.public_code, shop.calls) == (SURE_NO, ["refund"])


async def test_a1_a_refund_that_nobody_names_is_refused_because_repeated_it_would_be_a_second_one(shop: Shop) -> None:
    wanted = RefundRequest(refund=60, reason="缺货")
    with pytest.raises(BadRequest) as wrong:
        await shop.fixture.refunds.request(shop.order.out_trade_no, wanted, by="shop")
    assert (wrong.value.public_code, shop.calls, shop.reserved) == ("REFUND_NOT_NAMED", [], 0)


@pytest.mark.parametrize("code", sorted(NOT_NOW))
async def test_a3_a_refusal_for_our_credentials_ends_no_refund_and_it_is_sent_again(shop: Shop, code: str) -> None:
    """Ending the refund would use up its number and release its amount, although WeChat did not refuse the refund itself."""
    shop.refund_gateway.before = [refused(code)]
    refund = await shop.ask(out_refund_no="refund-1")
    assert (refund.state, shop.reserved, shop.alarms("refund_not_now")) == (RefundState.REQUESTED, 60, 1)
    assert (refund.timeline[-1].what, refund.timeline[-1].by) == ("not_now", code)
    await shop.work(minutes=5)
    assert shop.stored(refund).state is RefundState.PROCESSING
    assert shop.calls == ["refund", "query", "refund"]


@pytest.mark.parametrize("status", [401, 429])
async def test_a_refusal_by_status_of_who_asks_ends_no_refund(shop: Shop, status: int) -> None:
    shop.refund_gateway.before = [GatewayRefused("refund", code="NEW_CODE", http_status=status)]
    assert (await shop.ask(out_refund_no="refund-1")).state is RefundState.REQUESTED


async def test_a_refund_for_which_nothing_is_left_is_a_conflict_and_is_not_stored(shop: Shop) -> None:
    whole = await shop.ask(100)
    before = shop.stored_order
    for _ in range(2):
        with pytest.raises(Conflict) as wrong:
            await shop.ask(1, key="k1")
        assert wrong.value.public_code == "NOT_REFUNDABLE"
    assert (shop.stored_order, list(shop.backend.refunds)) == (before, [whole.out_refund_no])


async def test_the_same_key_is_one_refund_once_there_is_room_again(shop: Shop) -> None:
    whole = await shop.ask(100)
    with pytest.raises(Conflict):
        await shop.ask(1, key="k1")
    await shop.fixture.refunds.apply(shop.refund_gateway.turns_out(whole, RefundState.CLOSED), source="notify")
    numbers = {(await shop.ask(1, key="k1")).out_refund_no for _ in range(2)}
    assert (len(numbers), shop.reserved) == (1, 1)


async def test_a_refund_number_belongs_to_one_order(shop: Shop) -> None:
    """Two processes at once, one for each order: one of them gets a conflict, however often it tries."""
    other = shop.place("20260301120506def")
    process = shop.fixture.process()
    answers = await asyncio.gather(
        shop.ask(1, out_refund_no="refund-1"),
        shop.ask(1, order=other, process=process, out_refund_no="refund-1"),
        return_exceptions=True,
    )
    [refused_one] = [answer for answer in answers if isinstance(answer, Conflict)]
    assert refused_one.public_code == "OUT_REFUND_NO_USED"
    loser = other if answers.index(refused_one) else shop.order
    for refunds in (shop.fixture.core, process):
        with pytest.raises(Conflict):
            await shop.ask(1, order=loser, process=refunds, out_refund_no="refund-1")
    assert sorted(len(order.refunds) for order in shop.backend.orders.values()) == [0, 1]
    assert shop.backend.orders[loser.out_trade_no].refunds == ()


# -- no and unknown ----------------------------------------------------------------------------------------------------


async def test_a_refusal_releases_the_reservation_and_is_told_in_wechats_words(shop: Shop) -> None:
    shop.refund_gateway.before = [refused()]
    with pytest.raises(GatewayRefused) as no:
        await shop.ask(out_refund_no="refund-1")
    refund = shop.backend.refunds["refund-1"]
    assert (no.value.public_code, refund.state, refund.next_check_at) == (SURE_NO, RefundState.REFUSED, None)
    assert refund.timeline[-1].detail == {"message": "用户账户异常"}
    assert shop.reserved == 0
    assert [entry.what for entry in shop.stored_order.timeline][-2:] == [
        "refund_reserved",
        "refund_released",
    ]


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_lost_answer_keeps_number_and_reservation_and_the_refund_is_queried_before_it_is_sent_again(
    shop: Shop, arrived: bool
) -> None:
    """J7."""
    if arrived:
        shop.refund_gateway.after = [lost()]
    else:
        shop.refund_gateway.before = [lost()]
    refund = await shop.ask(100)
    assert (refund.state, refund.sends, shop.reserved) == (RefundState.REQUESTED, 1, 100)
    with pytest.raises(Conflict):
        await shop.ask(100, key="a new click")
    assert shop.reserved == 100
    await shop.work()
    assert shop.calls == (["refund", "query"] if arrived else ["refund", "query", "refund"])
    assert (list(shop.refund_gateway.taken), shop.stored(refund).state) == (
        [refund.out_refund_no],
        RefundState.PROCESSING,
    )


async def test_nothing_is_released_while_wechat_cannot_be_queried(shop: Shop) -> None:
    shop.refund_gateway.before = [lost()] * 30
    refund = await shop.ask()
    for _ in range(20):
        await shop.work(60)
        assert (shop.stored(refund).state, shop.reserved) == (RefundState.REQUESTED, 60)
    assert shop.calls.count("refund") == 1
    assert shop.calls.count("query") < 20


async def test_a_refund_that_was_not_sent_is_sent_later(shop: Shop) -> None:
    shop.refund_gateway.before = [NotSent("refund")]
    refund = await shop.ask()
    assert refund.state is RefundState.REQUESTED
    await shop.work()
    assert shop.stored(refund).state is RefundState.PROCESSING


async def test_a_first_try_that_may_be_under_way_is_waited_for_before_a_no_to_the_second_ends_the_refund(
    shop: Shop,
) -> None:
    """Two processes whose clocks are further apart than a lease is long send it at almost the same time."""
    shop.refund_gateway.before = [lost()]
    refund = await shop.ask()
    loop = asyncio.get_running_loop()

    def is_under_way(late: Refund) -> GatewayRefused:
        taken = fact(late, RefundState.PROCESSING)
        loop.call_later(0.05, lambda: shop.refund_gateway.taken.update({late.out_refund_no: taken}))
        return refused("INVALID_REQUEST")

    shop.refund_gateway.judge = is_under_way
    patient = Core(
        shop.backend, refund_gateways=dict.fromkeys(Api, cast(RefundGateway, shop.refund_gateway)), under_way_s=0.2
    )
    await shop.work(process=patient)
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.PROCESSING, 60)


async def test_a_refusal_of_a_second_try_is_checked_against_the_first(shop: Shop) -> None:
    """The first try arrives after WeChat's query answered "no such refund"; the refusal is of the second try only."""
    shop.refund_gateway.before = [lost()]
    refund = await shop.ask()

    def arrives_meanwhile(late: Refund) -> GatewayRefused:
        shop.refund_gateway.taken[late.out_refund_no] = fact(late, RefundState.PROCESSING)
        return refused("INVALID_REQUEST")

    shop.refund_gateway.judge = arrives_meanwhile
    await shop.work()
    assert shop.calls == ["refund", "query", "refund", "query"]
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.PROCESSING, 60)


async def test_a_refusal_of_a_second_try_that_cannot_be_checked_releases_nothing(shop: Shop) -> None:
    shop.refund_gateway.before = [lost(), None, refused(), lost("refund_query")]
    refund = await shop.ask()
    await shop.work()
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.REQUESTED, 60)


async def test_a_refusal_that_nobody_waits_for_is_an_alarm(shop: Shop) -> None:
    shop.refund_gateway.before = [lost(), None, refused(), None]
    refund = await shop.ask()
    for _ in range(3):
        await shop.work()
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.REFUSED, 0)
    assert shop.alarms("refund_refused") == 1
    assert shop.backend.staged == [(refund.out_refund_no, "refund.failed")]


async def test_refunds_that_wait_get_consecutive_turns(shop: Shop) -> None:
    await shop.ask(1)
    waiting = [await shop.ask(1) for _ in range(3)]
    assert [refund.queued_until for refund in waiting] == [
        NOW + MIN_REFUND_INTERVAL,
        NOW + 2 * MIN_REFUND_INTERVAL,
        NOW + 3 * MIN_REFUND_INTERVAL,
    ]
    assert {refund.lease for refund in waiting} == {""}
    await shop.work()
    assert [shop.stored(refund).queued_until for refund in waiting[1:]] == [
        NOW + 2 * MIN_REFUND_INTERVAL,
        NOW + 3 * MIN_REFUND_INTERVAL,
    ]


# -- queries and notifications -----------------------------------------------------------------------------------------


async def test_a_query_applies_what_wechat_says_and_sends_nothing(shop: Shop) -> None:
    refund = await shop.ask()
    shop.refund_gateway.turns_out(refund, RefundState.SUCCESS)
    assert (await shop.fixture.refunds.query(refund.out_refund_no)).state is RefundState.SUCCESS
    assert shop.calls == ["refund", "query"]


async def test_a_query_of_one_that_never_arrived_leaves_it_as_it_is(shop: Shop) -> None:
    shop.refund_gateway.before = [lost()]
    refund = await shop.ask()
    assert await shop.fixture.refunds.query(refund.out_refund_no) == refund
    assert shop.calls == ["refund", "query"]


async def test_a_query_of_a_refund_that_waits_for_its_turn_asks_nobody(shop: Shop) -> None:
    await shop.ask(1)
    waiting = await shop.ask(1)
    assert await shop.fixture.refunds.query(waiting.out_refund_no) == waiting
    assert shop.calls == ["refund"]


async def test_a_refund_that_wechat_took_and_then_denies_is_told_and_kept(shop: Shop) -> None:
    refund = await shop.ask()
    shop.refund_gateway.taken.clear()
    with pytest.raises(GatewayRefused):
        await shop.fixture.refunds.query(refund.out_refund_no)
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.PROCESSING, 60)


async def test_old_news_changes_nothing(shop: Shop) -> None:
    refund = await shop.ask()
    old = shop.refund_gateway.turns_out(refund, RefundState.PROCESSING)
    new = shop.refund_gateway.turns_out(refund, RefundState.SUCCESS)
    for news in (new, old, new, old):
        assert (await shop.fixture.refunds.apply(news, source="notify")).state is RefundState.SUCCESS
    assert shop.backend.staged == [(refund.out_refund_no, "refund.succeeded")]


@pytest.mark.parametrize(
    ("differs", "reason"),
    [
        ({"refund": 59}, "refund"),
        ({"total": 99}, "refund_total"),
        ({"mchid": "sim2"}, "mchid"),
        ({"out_trade_no": "another"}, "out_trade_no"),
        ({"out_refund_no": "unknown-1"}, "unknown_refund"),
    ],
)
async def test_genuine_news_of_another_refund_is_a_mismatch(shop: Shop, differs: dict[str, Any], reason: str) -> None:
    refund = await shop.ask()
    told = replace(fact(refund, RefundState.SUCCESS), **differs)
    with pytest.raises(Mismatch) as wrong:
        await shop.fixture.refunds.apply(Verified(told, "desk"), source="notify")
    assert (wrong.value.reason, shop.stored(refund)) == (reason, refund)


@pytest.mark.parametrize("told", [RefundState.PROCESSING, RefundState.SUCCESS])
async def test_news_of_a_refund_that_was_refused_is_a_mismatch(shop: Shop, told: RefundState) -> None:
    shop.refund_gateway.before = [refused()]
    with pytest.raises(GatewayRefused):
        await shop.ask(out_refund_no="refund-1")
    with pytest.raises(Mismatch) as wrong:
        refund = shop.backend.refunds["refund-1"]
        await shop.fixture.refunds.apply(Verified(fact(refund, told), "desk"), source="notify")
    assert wrong.value.reason == "refund_ended"


async def test_success_of_a_refund_that_was_closed_is_a_mismatch_and_the_reverse(shop: Shop) -> None:
    ends = (RefundState.SUCCESS, RefundState.CLOSED)
    for first, then in (ends, ends[::-1]):
        refund = await shop.ask(1, order=shop.place(f"20260301120506{first}"))
        await shop.fixture.refunds.apply(Verified(fact(refund, first), "desk"), source="query")
        with pytest.raises(Mismatch):
            await shop.fixture.refunds.apply(Verified(fact(refund, then), "desk"), source="notify")


async def test_news_before_the_answer_is_kept(shop: Shop) -> None:
    """The notification of success arrives while the answer of the request is still lost."""
    shop.refund_gateway.after = [lost()]
    refund = await shop.ask()
    await shop.fixture.refunds.apply(shop.refund_gateway.turns_out(refund, RefundState.SUCCESS), source="notify")
    await shop.work(5)
    assert (shop.stored(refund).state, shop.calls) == (RefundState.SUCCESS, ["refund"])


async def test_a_waiting_refund_that_wechat_has_already_is_queried_until_it_has_ended(shop: Shop) -> None:
    """The order was restored from a backup that is older than the sending, and WeChat's notification comes."""
    await shop.ask(1)
    waiting = await shop.ask(1)
    await shop.fixture.refunds.apply(shop.refund_gateway.turns_out(waiting, RefundState.PROCESSING), source="notify")
    shop.refund_gateway.turns_out(waiting, RefundState.SUCCESS)
    for _ in range(3):
        await shop.work(60)
    assert shop.stored(waiting).state is RefundState.SUCCESS


async def test_an_unknown_refund_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.fixture.refunds.get("nobody")


# -- dying -------------------------------------------------------------------------------------------------------------

Story = Callable[[Shop], None]


def goes_well(shop: Shop) -> None:
    shop.refund_gateway.answers_as = RefundState.PROCESSING


def done_at_once(shop: Shop) -> None:
    shop.refund_gateway.answers_as = RefundState.SUCCESS


def is_refused(shop: Shop) -> None:
    shop.refund_gateway.judge = lambda refund: refused()


def loses_the_answer(shop: Shop) -> None:
    shop.refund_gateway.after = [lost()]


def closes_at_once(shop: Shop) -> None:
    shop.refund_gateway.answers_as = RefundState.CLOSED


STORIES: list[Story] = [goes_well, done_at_once, is_refused, loses_the_answer, closes_at_once]


async def dies_at(shop: Shop, crash_point: CrashPoint) -> None:
    """A request to a process that dies at ``crash_point``, repeated by the caller to another one afterwards."""
    for process in (shop.fixture.process(crash_point=crash_point), shop.fixture.core):
        try:
            await shop.ask(60, key="k1", process=process)
        except (SimulatedCrash, GatewayRefused, Conflict, OutcomeUnknown):
            continue


FEWEST_CALLS = 6
"""A key, an order and its number, the order again and its write, and WeChat: a process can die at each of these."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("story", STORIES)
async def test_a_process_may_die_at_any_call_and_the_refund_still_ends_once(story: Story, after: bool) -> None:
    at = 0
    while True:
        at += 1
        shop, crash_point = Shop(), CrashPoint(at, after)
        story(shop)
        await dies_at(shop, crash_point)
        for _ in range(5):
            await shop.work(2)
        for refund in shop.backend.refunds.values():
            if refund.open:
                await shop.fixture.refunds.apply(
                    shop.refund_gateway.turns_out(refund, RefundState.SUCCESS), source="notify"
                )
        await shop.work(24 * 60)
        assert_ended_once(shop)
        if not crash_point.has_ended:
            break
    assert crash_point.calls >= FEWEST_CALLS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_worker_may_die_at_any_call_too(after: bool) -> None:
    at = 0
    while True:
        at += 1
        shop, crash_point = Shop(), CrashPoint(at, after)
        shop.refund_gateway.before = [lost()]
        refund = await shop.ask()
        await swallow(shop.work(process=shop.fixture.process(crash_point=crash_point)))
        shop.refund_gateway.answers_as = RefundState.SUCCESS
        for _ in range(5):
            await shop.work(2)
        shop.refund_gateway.turns_out(refund, RefundState.SUCCESS)
        await shop.work(24 * 60)
        assert_ended_once(shop)
        if not crash_point.has_ended:
            break
    assert crash_point.calls >= FEWEST_CALLS


async def swallow(work: Awaitable[None]) -> None:
    try:
        await work
    except SimulatedCrash:
        return


def assert_ended_once(shop: Shop) -> None:
    """Check that the only refund is final, without date or lease, staged one event, and reached WeChat at most once.

    Its amount stays reserved only if the refund succeeded.
    """
    [refund] = shop.backend.refunds.values()
    assert not refund.open
    assert (refund.next_check_at, refund.lease) == (None, "")
    assert shop.reserved == (60 if refund.state is RefundState.SUCCESS else 0)
    assert len(shop.refund_gateway.taken) == (0 if refund.state is RefundState.REFUSED else 1)
    assert len(shop.backend.staged) == 1


async def test_two_who_work_on_one_refund_send_it_once(shop: Shop) -> None:
    """The stalled process continues after the other one has sent the refund, with its expired lease."""
    shop.refund_gateway.before = [lost()]
    refund = await shop.ask()
    shop.clock.advance(TURN_S + 1)
    stalled = shop.fixture.process()
    [job] = await stalled.work.claim(1)
    [claimed] = parts_of(job.order, job.lease).refunds
    await shop.work()
    current = await stalled.refunds.advance(job.order, claimed)
    assert current == shop.stored(refund)
    assert shop.calls.count("refund") == 2
    assert len(shop.refund_gateway.taken) == 1


async def test_a_process_that_stalled_reserves_nothing_for_a_refused_refund(shop: Shop) -> None:
    await shop.ask(1)
    waiting = await shop.ask(60)  # for its turn, so it was never sent
    shop.clock.advance(TURN_S)
    stalled = shop.fixture.process()
    [job] = await stalled.work.claim(1)
    [claimed] = [each for each in parts_of(job.order, job.lease).refunds if each.refund == 60]
    shop.refund_gateway.judge = lambda refund: refused()
    await shop.work()
    assert shop.stored(waiting).state is RefundState.REFUSED
    shop.clock.advance(TURN_S + 1)
    assert (await stalled.refunds.advance(job.order, claimed)).state is RefundState.REFUSED
    assert shop.reserved == 1
    assert len(shop.refund_gateway.taken) == 1
    assert shop.calls.count("refund") == 2
