"""Refunds: every way they can go, and a process that dies anywhere on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from GONE.wechat.ledger import ALARMS

from tests.contract.samples import NOW, an_order
from tests.support.clock import ManualClock
from tests.support.refund_desk import Died, Fuse, Till, fact, lost, refused
from tests.support.stores import MemoryOrders
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
from wechat.domain.money import Fen
from wechat.domain.orders import LONGEST_PAUSE, SPACING, Order, Refund, TradeState
from wechat.domain.refunds import MAX_REFUNDS, WINDOW
from wechat.wanted import RefundWanted

DAY = timedelta(days=1)
TURN_S = SPACING.total_seconds()


class Shop:
    """One order paid with 100 fen, and whoever refunds it."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.orders = MemoryOrders()
        self.till = Till(self.orders, self.clock)
        self.order = self.place()

    def place(self, number: str = "20260301120506abc", **changes: Any) -> Order:
        paid = {"total": Fen(100), "trade_state": TradeState.SUCCESS, "paid_at": NOW, "transaction_id": f"4200{number}"}
        order = an_order(number, **{**paid, "next_check_at": None, **changes})
        self.orders.orders[number] = order
        return order

    async def ask(self, refund: int = 60, *, order: Order | None = None, key: str = "", **more: Any) -> Refund:
        wanted = RefundWanted.parse({"refund": refund, "reason": "缺货", **more})
        return await self.till.refunds.request(order or self.order, wanted, by="shop", idempotency_key=key)

    async def work(self, minutes: float = TURN_S / 60) -> None:
        """Let the time pass, an order's next turn unless told how long, and the worker do what is due then."""
        self.clock.advance(minutes * 60)
        while await self.till.worker.once():
            pass

    def stored(self, refund: Refund) -> Refund:
        return self.till.store.refunds[refund.out_refund_no]

    @property
    def reserved(self) -> int:
        return self.orders.orders[self.order.out_trade_no].refund_reserved

    @property
    def calls(self) -> list[str]:
        return [call.split()[0] for call in self.till.desk.calls]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def alarms(kind: str) -> float:
    return float(ALARMS.labels(kind)._value.get())


# -- the way it goes ---------------------------------------------------------------------------------------------------


async def test_a_refund_is_put_aside_sent_and_under_way(shop: Shop) -> None:
    refund = await shop.ask()
    assert (refund.state, shop.reserved, shop.calls) == (RefundState.PROCESSING, 60, ["refund"])
    assert [event.what for event in refund.events] == ["requested", "sent", "processing"]
    assert shop.orders.orders[shop.order.out_trade_no].trade_state is TradeState.REFUND


async def test_what_is_under_way_is_asked_after_until_it_has_ended(shop: Shop) -> None:
    refund = await shop.ask()
    await shop.work()
    assert shop.stored(refund).state is RefundState.PROCESSING
    shop.till.desk.turns_out(refund, RefundState.SUCCESS)
    await shop.work()
    done = shop.stored(refund)
    assert (done.state, done.success_at, done.next_check_at) == (RefundState.SUCCESS, NOW.replace(microsecond=0), None)
    assert shop.till.store.outbox == [(refund.out_refund_no, "refund.succeeded")]
    assert shop.reserved == 60


async def test_a_refund_that_is_done_at_once_has_no_date_left(shop: Shop) -> None:
    shop.till.desk.answers_as = RefundState.SUCCESS
    refund = await shop.ask()
    assert (refund.state, refund.next_check_at) == (RefundState.SUCCESS, None)


async def test_it_is_asked_after_each_minute_at_first_and_ever_more_rarely(shop: Shop) -> None:
    refund = await shop.ask()
    pauses = []
    for _ in range(40):
        await shop.work()
        date = shop.stored(refund).next_check_at
        assert date is not None
        pauses.append(date - shop.clock.now())
        shop.clock.advance(max(0.0, (date - shop.clock.now()).total_seconds() - TURN_S))
    assert pauses[0] == SPACING
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


async def test_closed_by_wechat_gives_the_money_back_to_the_order_with_one_alarm(shop: Shop) -> None:
    refund, before = await shop.ask(), alarms("refund_closed")
    for _ in range(3):
        await shop.till.refunds.apply(shop.till.desk.turns_out(refund, RefundState.CLOSED), source="notify")
    assert (shop.reserved, alarms("refund_closed") - before) == (0, 1)
    assert shop.till.store.outbox == [(refund.out_refund_no, "refund.failed")]
    assert (await shop.ask(100)).state is RefundState.REQUESTED  # room again; its turn comes in a minute


async def test_abnormal_keeps_the_money_put_aside_alarms_once_and_is_looked_after(shop: Shop) -> None:
    """J9."""
    refund, before = await shop.ask(), alarms("refund_abnormal")
    shop.till.desk.turns_out(refund, RefundState.ABNORMAL)
    for _ in range(5):
        await shop.work(10)
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.ABNORMAL, 60)
    assert alarms("refund_abnormal") - before == 1
    shop.till.desk.turns_out(refund, RefundState.SUCCESS)
    await shop.work(60)
    assert shop.stored(refund).state is RefundState.SUCCESS


async def test_seven_days_under_way_and_then_closed(shop: Shop) -> None:
    """J9."""
    refund = await shop.ask()
    for day in range(1, 8):
        await shop.work(24 * 60)
        assert (shop.stored(refund).state, shop.reserved) == (RefundState.PROCESSING, 60)
        assert [event.what for event in shop.stored(refund).events].count("slow") == (day >= 5)
    shop.till.desk.turns_out(refund, RefundState.CLOSED)
    await shop.work(24 * 60)
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.CLOSED, 0)


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_of_a_hundred_refunds_of_60_on_100_one_is_accepted(shop: Shop) -> None:
    """J5: two processes; the others get a 409."""
    other = shop.till.process()
    wanted = RefundWanted(refund=60, reason="缺货")
    asked = [(shop.till.refunds, other)[i % 2].request(shop.order, wanted, by="shop") for i in range(100)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused_ones = [answer for answer in answers if isinstance(answer, Conflict)]
    assert (len(refused_ones), {error.public_code for error in refused_ones}) == (99, {"NOT_REFUNDABLE"})
    assert (len(shop.till.desk.taken), shop.reserved) == (1, 60)


async def test_of_a_hundred_refunds_of_1_fifty_go_out_a_minute_apart(shop: Shop) -> None:
    """J6: queued, not refused, up to WeChat's fifty."""
    answers = await asyncio.gather(*(shop.ask(1) for _ in range(100)), return_exceptions=True)
    assert len([answer for answer in answers if isinstance(answer, Conflict)]) == MAX_REFUNDS
    assert len(shop.till.desk.taken) == 1
    for turn in range(2, MAX_REFUNDS + 1):
        await shop.work()
        assert len(shop.till.desk.taken) == turn
    await shop.work(10)
    assert (len(shop.till.desk.taken), shop.calls.count("refund")) == (MAX_REFUNDS, MAX_REFUNDS)


@pytest.mark.parametrize("refund", [0, -1, 1.5, True, "1", 2**63, None])
async def test_what_is_no_amount_is_refused_by_name(shop: Shop, refund: Any) -> None:
    """J8."""
    with pytest.raises(BadRequest) as wrong:
        await shop.ask(refund)
    assert wrong.value.field == "refund"
    assert (shop.calls, shop.till.store.refunds) == ([], {})


async def test_more_than_was_paid_is_refused_before_anything_is_stored(shop: Shop) -> None:
    """J8."""
    with pytest.raises(BadRequest):
        await shop.ask(101)
    assert (shop.calls, shop.till.store.refunds) == ([], {})


@pytest.mark.parametrize("state", [TradeState.NOTPAY, TradeState.CLOSED])
async def test_an_order_that_is_not_paid_is_not_refunded(shop: Shop, state: TradeState) -> None:
    """J8."""
    order = shop.place("20260301120506def", trade_state=state, paid_at=None)
    with pytest.raises(Conflict) as wrong:
        await shop.ask(order=order)
    assert (wrong.value.public_code, shop.till.store.refunds) == ("ORDER_NOT_PAID", {})


async def test_after_a_year_wechat_is_not_asked(shop: Shop) -> None:
    """J8."""
    shop.clock.advance(WINDOW.total_seconds() + 1)
    with pytest.raises(Conflict) as wrong:
        await shop.ask()
    assert (wrong.value.public_code, shop.calls, shop.till.store.refunds) == ("TRADE_OVERDUE", [], {})


async def test_without_a_way_to_refund_the_answer_names_the_settings(shop: Shop) -> None:
    refunds = shop.till.process(route={Api.V2: Api.V2})
    with pytest.raises(Conflict) as wrong:
        await refunds.request(shop.order, RefundWanted(refund=1, reason="缺货"), by="shop")
    assert wrong.value.public_code == "API_OFF"
    assert "pay.refund_api" in wrong.value.text.en


async def test_the_route_decides_the_api_of_a_refund(shop: Shop) -> None:
    refunds = shop.till.process(route={Api.V2: Api.V3, Api.V3: Api.V3})
    order = shop.place("20260301120506def", api=Api.V2)
    refund = await refunds.request(order, RefundWanted(refund=1, reason="缺货"), by="shop")
    assert refund.api is Api.V3


@pytest.mark.parametrize("reason", ["", " 缺货", "缺货\n", "缺" * 27, "a" * 81, 1, None])
def test_a_reason_is_a_line_of_at_most_80_bytes(reason: Any) -> None:
    with pytest.raises(BadRequest) as wrong:
        RefundWanted.parse({"refund": 1, "reason": reason})
    assert wrong.value.field == "reason"
    assert RefundWanted.parse({"refund": 1, "reason": "缺" * 26}).reason == "缺" * 26


@pytest.mark.parametrize("number", ["short", "a" * 65, "with space", "dot.dot", "$set123", "１２３４５６"])
def test_a_refund_number_has_wechats_characters(number: str) -> None:
    with pytest.raises(BadRequest) as wrong:
        RefundWanted.parse({"refund": 1, "reason": "缺货", "out_refund_no": number})
    assert wrong.value.field == "out_refund_no"


# -- the same again ----------------------------------------------------------------------------------------------------


async def test_the_same_key_gives_the_same_refund(shop: Shop) -> None:
    first = await shop.ask(key="k1")
    again = await asyncio.gather(*(shop.ask(key="k1") for _ in range(10)))
    assert {refund.out_refund_no for refund in again} == {first.out_refund_no}
    assert (shop.calls, shop.reserved) == (["refund"], 60)


async def test_the_same_key_for_another_wish_is_a_mismatch(shop: Shop) -> None:
    await shop.ask(key="k1")
    other = shop.place("20260301120506def")
    for again in (shop.ask(59, key="k1"), shop.ask(60, key="k1", order=other)):
        with pytest.raises(IdempotencyMismatch):
            await again


async def test_the_same_number_gives_the_same_refund_and_another_wish_a_conflict(shop: Shop) -> None:
    first = await shop.ask(out_refund_no="refund-1")
    assert await shop.ask(out_refund_no="refund-1") == shop.stored(first)
    for again in (shop.ask(59, out_refund_no="refund-1"), shop.ask(out_refund_no="refund-1", reason="别的")):
        with pytest.raises(Conflict) as wrong:
            await again
        assert wrong.value.public_code == "OUT_REFUND_NO_USED"


async def test_a_refused_refund_stays_refused_when_it_is_asked_for_again(shop: Shop) -> None:
    shop.till.desk.before = [refused("NOT_ENOUGH")]
    with pytest.raises(GatewayRefused):
        await shop.ask(key="k1")
    with pytest.raises(Conflict) as wrong:
        await shop.ask(key="k1")
    assert (wrong.value.public_code, shop.calls) == ("NOT_ENOUGH", ["refund"])


async def test_a_refund_for_which_nothing_is_left_stays_refused(shop: Shop) -> None:
    await shop.ask(100)
    for _ in range(2):
        with pytest.raises(Conflict) as wrong:
            await shop.ask(1, key="k1")
        assert wrong.value.public_code == "NOT_REFUNDABLE"
    assert shop.reserved == 100


# -- no and unknown ----------------------------------------------------------------------------------------------------


async def test_a_no_gives_the_money_back_to_the_order_and_is_told_in_wechats_words(shop: Shop) -> None:
    shop.till.desk.before = [refused("NOT_ENOUGH")]
    with pytest.raises(GatewayRefused) as no:
        await shop.ask(out_refund_no="refund-1")
    refund = shop.till.store.refunds["refund-1"]
    assert (no.value.public_code, refund.state, refund.next_check_at) == ("NOT_ENOUGH", RefundState.REFUSED, None)
    assert refund.events[-1].detail == {"message": "基本账户余额不足"}
    assert shop.reserved == 0
    assert [event.what for event in shop.orders.orders[shop.order.out_trade_no].events][-2:] == [
        "refund_reserved",
        "refund_released",
    ]


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_lost_answer_keeps_number_and_money_and_asks_before_it_sends_again(shop: Shop, arrived: bool) -> None:
    """J7."""
    if arrived:
        shop.till.desk.after = [lost()]
    else:
        shop.till.desk.before = [lost()]
    refund = await shop.ask(100)
    assert (refund.state, refund.sends, shop.reserved) == (RefundState.REQUESTED, 1, 100)
    with pytest.raises(Conflict):
        await shop.ask(100, key="a new click")
    assert shop.reserved == 100
    await shop.work()
    assert shop.calls == (["refund", "query"] if arrived else ["refund", "query", "refund"])
    assert (list(shop.till.desk.taken), shop.stored(refund).state) == ([refund.out_refund_no], RefundState.PROCESSING)


async def test_nothing_is_given_back_while_wechat_cannot_be_asked(shop: Shop) -> None:
    shop.till.desk.before = [lost()] * 30
    refund = await shop.ask()
    for _ in range(20):
        await shop.work(60)
        assert (shop.stored(refund).state, shop.reserved) == (RefundState.REQUESTED, 60)
    assert shop.calls.count("refund") == 1
    assert shop.calls.count("query") < 20


async def test_a_refund_that_was_not_sent_is_sent_later(shop: Shop) -> None:
    shop.till.desk.before = [NotSent("refund")]
    refund = await shop.ask()
    assert refund.state is RefundState.REQUESTED
    await shop.work()
    assert shop.stored(refund).state is RefundState.PROCESSING


async def test_a_no_to_a_second_try_is_checked_against_the_first(shop: Shop) -> None:
    """The first try was on its way when WeChat said that it did not know of it; its no means the second one only."""
    shop.till.desk.before = [lost()]
    refund = await shop.ask()

    def arrives_meanwhile(late: Refund) -> GatewayRefused:
        shop.till.desk.taken[late.out_refund_no] = fact(late, RefundState.PROCESSING)
        return refused("INVALID_REQUEST")

    shop.till.desk.judge = arrives_meanwhile
    await shop.work()
    assert shop.calls == ["refund", "query", "refund", "query"]
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.PROCESSING, 60)


async def test_a_no_to_a_second_try_that_cannot_be_checked_gives_nothing_back(shop: Shop) -> None:
    shop.till.desk.before = [lost(), None, refused("NOT_ENOUGH"), lost("refund_query")]
    refund = await shop.ask()
    await shop.work()
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.REQUESTED, 60)


async def test_a_no_that_nobody_waits_for_is_an_alarm(shop: Shop) -> None:
    before = alarms("refund_refused")
    shop.till.desk.before = [lost(), None, refused("NOT_ENOUGH"), None]
    refund = await shop.ask()
    for _ in range(3):
        await shop.work()
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.REFUSED, 0)
    assert alarms("refund_refused") - before == 1
    assert shop.till.store.outbox == [(refund.out_refund_no, "refund.failed")]


# -- asking and being told ---------------------------------------------------------------------------------------------


async def test_a_query_applies_what_wechat_says_and_sends_nothing(shop: Shop) -> None:
    refund = await shop.ask()
    shop.till.desk.turns_out(refund, RefundState.SUCCESS)
    assert (await shop.till.refunds.query(refund)).state is RefundState.SUCCESS
    assert shop.calls == ["refund", "query"]


async def test_a_query_of_one_that_never_arrived_leaves_it_as_it_is(shop: Shop) -> None:
    shop.till.desk.before = [lost()]
    refund = await shop.ask()
    assert await shop.till.refunds.query(refund) == refund
    assert shop.calls == ["refund", "query"]


async def test_a_query_of_one_that_waits_for_its_turn_asks_nobody(shop: Shop) -> None:
    await shop.ask(1)
    waiting = await shop.ask(1)
    assert await shop.till.refunds.query(waiting) == waiting
    assert shop.calls == ["refund"]


async def test_a_refund_that_wechat_took_and_then_denies_is_told_and_kept(shop: Shop) -> None:
    refund = await shop.ask()
    shop.till.desk.taken.clear()
    with pytest.raises(GatewayRefused):
        await shop.till.refunds.query(refund)
    assert (shop.stored(refund).state, shop.reserved) == (RefundState.PROCESSING, 60)


async def test_old_news_changes_nothing(shop: Shop) -> None:
    refund = await shop.ask()
    old = shop.till.desk.turns_out(refund, RefundState.PROCESSING)
    new = shop.till.desk.turns_out(refund, RefundState.SUCCESS)
    for news in (new, old, new, old):
        assert (await shop.till.refunds.apply(news, source="notify")).state is RefundState.SUCCESS
    assert shop.till.store.outbox == [(refund.out_refund_no, "refund.succeeded")]


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
        await shop.till.refunds.apply(Verified(told, "desk"), source="notify")
    assert (wrong.value.reason, shop.stored(refund)) == (reason, refund)


@pytest.mark.parametrize("told", [RefundState.PROCESSING, RefundState.SUCCESS])
async def test_news_of_a_refund_that_was_refused_is_a_mismatch(shop: Shop, told: RefundState) -> None:
    shop.till.desk.before = [refused()]
    with pytest.raises(GatewayRefused):
        await shop.ask(out_refund_no="refund-1")
    with pytest.raises(Mismatch) as wrong:
        refund = shop.till.store.refunds["refund-1"]
        await shop.till.refunds.apply(Verified(fact(refund, told), "desk"), source="notify")
    assert wrong.value.reason == "refund_ended"


async def test_success_of_a_refund_that_was_closed_is_a_mismatch_and_the_reverse(shop: Shop) -> None:
    ends = (RefundState.SUCCESS, RefundState.CLOSED)
    for first, then in (ends, ends[::-1]):
        refund = await Shop.ask(shop, 1, order=shop.place(f"20260301120506{first}"))
        await shop.till.refunds.apply(Verified(fact(refund, first), "desk"), source="query")
        with pytest.raises(Mismatch):
            await shop.till.refunds.apply(Verified(fact(refund, then), "desk"), source="notify")


async def test_news_before_the_answer_is_kept(shop: Shop) -> None:
    """The notification of success arrives while the answer of the request is still lost."""
    shop.till.desk.after = [lost()]
    refund = await shop.ask()
    await shop.till.refunds.apply(shop.till.desk.turns_out(refund, RefundState.SUCCESS), source="notify")
    await shop.work(5)
    assert (shop.stored(refund).state, shop.calls) == (RefundState.SUCCESS, ["refund"])


async def test_an_unknown_refund_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.till.refunds.get("nobody")


# -- dying -------------------------------------------------------------------------------------------------------------

Story = Callable[[Shop], None]


def goes_well(shop: Shop) -> None:
    shop.till.desk.answers_as = RefundState.PROCESSING


def done_at_once(shop: Shop) -> None:
    shop.till.desk.answers_as = RefundState.SUCCESS


def is_refused(shop: Shop) -> None:
    shop.till.desk.judge = lambda refund: refused("NOT_ENOUGH")


def loses_the_answer(shop: Shop) -> None:
    shop.till.desk.after = [lost()]


def closes_at_once(shop: Shop) -> None:
    shop.till.desk.answers_as = RefundState.CLOSED


STORIES: list[Story] = [goes_well, done_at_once, is_refused, loses_the_answer, closes_at_once]


async def dies_at(shop: Shop, fuse: Fuse) -> None:
    """A request to a process that dies at ``fuse``, repeated by the caller to another one afterwards."""
    wanted = RefundWanted(refund=60, reason="缺货")
    for refunds in (shop.till.mortal(fuse), shop.till.refunds):
        try:
            await refunds.request(shop.order, wanted, by="shop", idempotency_key="k1")
        except (Died, GatewayRefused, Conflict, OutcomeUnknown):
            continue


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("story", STORIES)
async def test_a_process_may_die_at_any_call_and_the_refund_still_ends_once(story: Story, after: bool) -> None:
    at = 0
    while True:
        at += 1
        shop, fuse = Shop(), Fuse(at, after)
        story(shop)
        await dies_at(shop, fuse)
        for _ in range(5):
            await shop.work(2)
        for refund in list(shop.till.store.refunds.values()):
            if refund.open:
                await shop.till.refunds.apply(shop.till.desk.turns_out(refund, RefundState.SUCCESS), source="notify")
        await shop.work(24 * 60)
        assert_settled(shop)
        if fuse.calls < at:
            return


async def test_a_worker_may_die_at_any_call_too() -> None:
    at = 0
    while True:
        at += 1
        shop, fuse = Shop(), Fuse(at, after=True)
        shop.till.desk.before = [lost()]
        refund = await shop.ask()
        shop.clock.advance(TURN_S + 1)
        due = await shop.till.store.claim_due(shop.clock.now(), timedelta(minutes=1))
        assert due is not None
        await swallow(shop.till.mortal(fuse).advance(due))
        shop.till.desk.answers_as = RefundState.SUCCESS
        for _ in range(5):
            await shop.work(2)
        shop.till.desk.turns_out(refund, RefundState.SUCCESS)
        await shop.work(24 * 60)
        assert_settled(shop)
        if fuse.calls < at:
            return


async def swallow(work: Awaitable[Refund]) -> None:
    try:
        await work
    except Died:
        return


def assert_settled(shop: Shop) -> None:
    """One refund, ended, without a date; put aside is what it gave back; WeChat took it at most once."""
    [refund] = shop.till.store.refunds.values()
    assert not refund.open
    assert refund.next_check_at is None
    assert shop.reserved == (60 if refund.state is RefundState.SUCCESS else 0)
    assert len(shop.till.desk.taken) == (0 if refund.state is RefundState.REFUSED else 1)
    assert len(shop.till.store.outbox) == 1


async def test_two_who_work_on_one_refund_send_it_once(shop: Shop) -> None:
    """One holds an old date: it stalled for longer than its lease."""
    shop.till.desk.before = [lost()]
    refund = await shop.ask()
    shop.clock.advance(TURN_S + 1)
    stalled = await shop.till.store.claim_due(shop.clock.now(), timedelta(minutes=1))
    assert stalled is not None
    await shop.work()
    current = await shop.till.refunds.advance(stalled)
    assert current == shop.stored(refund)
    assert shop.calls.count("refund") == 2
    assert len(shop.till.desk.taken) == 1


async def test_one_who_stalled_gives_back_what_it_put_aside_for_a_refused_refund(shop: Shop) -> None:
    await shop.ask(1)
    waiting = await shop.ask(60)  # for its turn, so it was never sent
    shop.till.desk.judge = lambda refund: refused("NOT_ENOUGH")
    await shop.work()
    assert shop.stored(waiting).state is RefundState.REFUSED
    shop.clock.advance(TURN_S + 1)
    assert (await shop.till.refunds.advance(waiting)).state is RefundState.REFUSED
    assert shop.reserved == 1
    assert len(shop.till.desk.taken) == 1
