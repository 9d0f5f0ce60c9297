"""The transitions of orders, payments and refunds: what each does, what each refuses, and that twice is once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.samples import (
    MCHID,
    NOW,
    PREPAY,
    TRANSACTION,
    a_fact,
    a_message,
    a_payment,
    a_refund,
    a_refund_fact,
    an_order,
    paid,
)
from wechat.domain.deliveries import refund_data, staged_events
from wechat.domain.due_work import CHECK_LEASE, claim_check, claim_due, parts_of
from wechat.domain.errors import Conflict, FenpayError, Gone, Mismatch
from wechat.domain.events import EventType, OutgoingEvent, event_id
from wechat.domain.facts import RefundState, RemoteRefund, RemoteState, Verified
from wechat.domain.messages import StoredNotification, Verdict, conclude, count_again
from wechat.domain.money import Fen
from wechat.domain.orders import (
    FIRST_LINES,
    LONGEST_PAUSE,
    MAX_TIMELINE,
    MIN_REFUND_INTERVAL,
    PATIENCE,
    TRANSITIONS,
    Order,
    Refund,
    TimelineEntry,
    TradeState,
    TradeType,
)
from wechat.domain.payments import MAX_PAYMENTS, record_payment, record_unpaid
from wechat.domain.refunds import (
    LEASE,
    MAX_FAILED,
    MAX_REFUND_TIMELINE,
    MAX_REFUNDS,
    REFUND_TRANSITIONS,
    WINDOW,
    LeaseLost,
    adopt_refund,
    apply_refund,
    claim_refund,
    has_room,
    mark_slow,
    must_be_about,
    must_be_refundable,
    next_turn,
    refundable,
    refuse_refund,
    request_refund,
    send_or_queue,
)
from wechat.domain.transitions import (
    add_note,
    close,
    confirm_close,
    must_be_payable,
    remove_events,
    schedule_check,
    schedule_close,
    set_prepay,
    stop_checking,
)

Transition = Callable[[Order], Order]

TICK = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
SECOND_TRANSACTION = "4200001234202603010000000002"
CLOSED = TimelineEntry(NOW, "closed", "merchant", "shop")
NOTE = TimelineEntry(NOW, "prepay_unknown", "v3")


def applied(transition: Transition, order: Order) -> Order:
    """``order`` after ``transition``, which changes nothing more when it is applied again."""
    once = transition(order)
    assert transition(once) == once
    return once


def refused(transition: Transition, order: Order) -> str:
    """The code or reason with which ``transition`` refuses ``order``."""
    with pytest.raises((FenpayError, LeaseLost)) as wrong:
        transition(order)
    error = wrong.value
    return error.reason if isinstance(error, Mismatch) else getattr(error, "public_code", type(error).__name__)


def whats(entries: Iterable[TimelineEntry]) -> list[str]:
    return [entry.what for entry in entries]


def staged(order: Order) -> list[EventType]:
    return [event.type for event in order.outbox]


# -- timelines and events ----------------------------------------------------------------------------------------------


def test_a_note_is_added_once() -> None:
    order = applied(partial(add_note, entry=NOTE), an_order())
    assert order.timeline == (*an_order().timeline, NOTE)
    later = replace(NOTE, at=NOW + TICK)
    assert applied(partial(add_note, entry=later), order).timeline[-2:] == (NOTE, later)
    assert add_note(an_order(timeline=()), NOTE).timeline == (NOTE,)


def test_a_timeline_keeps_its_beginning_and_its_end() -> None:
    order = an_order(timeline=())
    for number in range(MAX_TIMELINE + 50):
        order = add_note(order, replace(NOTE, what=str(number)))
        assert len(order.timeline) <= MAX_TIMELINE
    assert whats(order.timeline) == [str(n) for n in (*range(FIRST_LINES), *range(FIRST_LINES + 50, MAX_TIMELINE + 50))]


def test_a_refunds_timeline_is_bounded_too() -> None:
    order, at = with_refunds(a_refund(state=RefundState.PROCESSING)), NOW
    for _ in range(MAX_REFUND_TIMELINE):
        for state in (RefundState.ABNORMAL, RefundState.PROCESSING):
            at += MINUTE
            order = tell(order, state, now=at)
    timeline = only(order).timeline
    assert (len(timeline), timeline[0].what, timeline[-1].at) == (MAX_REFUND_TIMELINE, "requested", at)


def test_an_event_id_follows_from_order_kind_and_cause() -> None:
    one = event_id("m:1", EventType.ORDER_PAID, "t1")
    assert one == event_id("m:1", EventType.ORDER_PAID, "t1")
    assert len(one) == 24
    assert int(one, 16) >= 0
    others = [
        event_id("m:2", EventType.ORDER_PAID, "t1"),
        event_id("m:1", EventType.ORDER_PAID_LATE, "t1"),
        event_id("m:1", EventType.ORDER_PAID, "t2"),
    ]
    assert len({one, *others}) == 4


def test_two_processes_that_apply_the_same_make_the_same_event() -> None:
    order = an_order()
    here, there = close(order, CLOSED), close(order, replace(CLOSED, at=NOW + MINUTE, source="worker"))
    assert here.outbox[0].id == there.outbox[0].id
    assert paid(order).outbox[0].id == paid(order, at=NOW + MINUTE).outbox[0].id
    assert paid(order).outbox[0].id != paid(order, SECOND_TRANSACTION).outbox[0].id


def test_orders_of_the_same_number_at_two_merchants_have_events_of_their_own() -> None:
    one, two = (close(an_order(mchid=mchid), CLOSED) for mchid in (MCHID, "sim2"))
    assert one.outbox[0].id != two.outbox[0].id


def test_events_are_numbered_on_also_after_some_were_handed_out() -> None:
    order = paid(an_order())
    order = applied(partial(remove_events, ids=frozenset({order.outbox[0].id})), order)
    assert (order.outbox, order.sequence) == ((), 1)
    order = tell(with_refunds(a_refund(state=RefundState.PROCESSING), order=order), RefundState.SUCCESS)
    [event] = order.outbox
    assert (event.sequence, event.out_refund_no, event.type) == (2, a_refund().out_refund_no, "refund.succeeded")


def test_only_the_events_that_were_handed_out_are_removed() -> None:
    order = close(an_order(), CLOSED)
    order = record_payment(order, a_fact(order), source="query", now=NOW)
    first, second = order.outbox
    assert remove_events(order, frozenset({first.id, "unknown"})).outbox == (second,)
    assert remove_events(order, frozenset({"unknown"})) is order


# -- orders ------------------------------------------------------------------------------------------------------------


def test_a_prepay_is_kept_once_and_replaced_by_a_newer_one() -> None:
    entry = TimelineEntry(NOW, "prepay", "v3")
    order = applied(partial(set_prepay, prepay=PREPAY, entry=entry, check_at=NOW), an_order())
    assert (order.prepay, whats(order.timeline)) == (PREPAY, ["created", "prepay"])
    newer = replace(PREPAY, prepay_id="wx2")
    assert set_prepay(order, newer, entry, NOW).prepay == newer


def test_a_prepay_that_comes_after_the_order_has_expired_is_kept() -> None:
    """WeChat gave it, so a payer may still use it; the order is queried before it is closed."""
    entry = TimelineEntry(NOW + timedelta(days=1), "prepay", "v3")
    assert set_prepay(an_order(), PREPAY, entry, NOW).prepay == PREPAY


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (paid(an_order()), "ORDER_PAID"),
        (paid(close(an_order(), CLOSED)), "ORDER_PAID"),
    ],
)
def test_no_prepay_is_kept_for_an_order_that_is_paid(order: Order, code: str) -> None:
    entry = TimelineEntry(NOW, "prepay", "v3")
    assert refused(partial(set_prepay, prepay=PREPAY, entry=entry, check_at=NOW), order) == code
    again = replace(order, prepay=PREPAY)
    assert set_prepay(again, PREPAY, entry, NOW) is again  # it was kept before the order moved


def test_a_prepay_that_arrives_after_the_close_has_the_order_checked_and_closed_at_wechat() -> None:
    entry = TimelineEntry(NOW, "prepay", "v2")
    order = applied(partial(set_prepay, prepay=PREPAY, entry=entry, check_at=NOW + MINUTE), close(an_order(), CLOSED))
    assert (order.trade_state, order.prepay, order.next_check_at) == (TradeState.CLOSED, PREPAY, NOW + MINUTE)


def test_an_order_that_wechat_did_not_know_is_closed_and_checked_once_more() -> None:
    order = applied(partial(close, entry=CLOSED, check_at=NOW + MINUTE), an_order())
    assert (order.trade_state, order.next_check_at, order.check_lease) == (TradeState.CLOSED, NOW + MINUTE, "")
    later = applied(partial(schedule_check, at=NOW + 5 * MINUTE, lease="mine"), replace(order, check_lease="mine"))
    assert later.next_check_at == NOW + 5 * MINUTE
    held = replace(order, check_lease="mine")
    assert confirm_close(held, NOTE, "yours") is held
    done = applied(partial(confirm_close, entry=NOTE, lease="mine"), held)
    assert (done.trade_state, done.next_check_at, done.check_lease) == (TradeState.CLOSED, None, "")


def test_an_order_is_payable_until_it_is_closed_by_date() -> None:
    order = an_order()
    must_be_payable(order, order.closes_at - TICK)
    with pytest.raises(Gone) as wrong:
        must_be_payable(order, order.closes_at)
    assert wrong.value.public_code == "ORDER_EXPIRED"


def test_an_order_without_a_date_to_close_is_closed_when_it_expires() -> None:
    order = an_order(close_after=None, expires_at=NOW + MINUTE)
    assert order.closes_at == NOW + MINUTE
    assert replace(order, close_after=NOW).closes_at == NOW


def test_an_unpaid_order_has_no_payment_to_tell_of() -> None:
    order = an_order()
    assert (order.paid, order.transaction_id, order.paid_at, order.payer_total) == (False, "", None, None)
    assert not order.paid_by_another
    assert paid(order).payer_total == order.total


@pytest.mark.parametrize(
    ("order", "code"), [(paid(an_order()), "ORDER_PAID"), (close(an_order(), CLOSED), "ORDER_CLOSED")]
)
def test_an_order_that_is_paid_or_closed_is_not_payable(order: Order, code: str) -> None:
    assert not order.is_payable(NOW)
    with pytest.raises(Conflict) as wrong:
        must_be_payable(order, NOW)
    assert wrong.value.public_code == code


def test_a_closed_order_is_checked_no_more_and_stages_one_event() -> None:
    order = applied(partial(close, entry=CLOSED), an_order(check_lease="mine"))
    assert (order.trade_state, order.next_check_at, order.check_lease) == (TradeState.CLOSED, None, "")
    assert (staged(order), order.timeline[-1]) == ([EventType.ORDER_CLOSED], CLOSED)


@pytest.mark.parametrize("order", [paid(an_order()), paid(close(an_order(), CLOSED))])
def test_a_paid_order_is_not_closed(order: Order) -> None:
    assert refused(partial(close, entry=CLOSED), order) == "ORDER_MOVED"


def test_a_close_that_wechat_does_not_take_yet_is_scheduled_once() -> None:
    at, entry = NOW + 5 * MINUTE, TimelineEntry(NOW, "close_scheduled", "payer")
    order = applied(partial(schedule_close, at=at, entry=entry), an_order(check_lease="mine"))
    assert (order.next_check_at, order.close_after, order.closes_at, order.check_lease) == (at, at, at, "")
    assert (order.checks, order.expires_at, order.timeline[-1]) == (1, an_order().expires_at, entry)


@pytest.mark.parametrize("order", [paid(an_order()), close(an_order(), CLOSED)])
def test_no_close_is_scheduled_for_an_order_that_has_moved(order: Order) -> None:
    assert schedule_close(order, NOW + MINUTE, NOTE) is order


def test_the_holder_of_the_lease_schedules_the_next_check() -> None:
    order = an_order(check_lease="mine")
    at = NOW + 5 * MINUTE
    scheduled = applied(partial(schedule_check, at=at, lease="mine"), order)
    assert scheduled == replace(order, next_check_at=at, check_lease="", checks=1)
    assert schedule_check(order, at, "yours") is order


@pytest.mark.parametrize("order", [paid(an_order()), close(an_order(), CLOSED)])
def test_no_check_is_scheduled_for_an_order_that_has_moved(order: Order) -> None:
    leased = replace(order, check_lease="mine")
    assert schedule_check(leased, NOW + MINUTE, "mine") is leased


def test_an_order_that_was_paid_late_is_checked_until_the_policy_was_carried_out() -> None:
    order = replace(paid(close(an_order(), CLOSED)), check_lease="mine")
    entry = TimelineEntry(NOW, "needs_operator", "policy")
    stopped = applied(partial(stop_checking, entry=entry), order)
    assert (stopped.next_check_at, stopped.check_lease, stopped.timeline[-1]) == (None, "", entry)
    again = replace(entry, at=NOW + MINUTE)
    assert stop_checking(stopped, again) is stopped
    refunded = tell(with_refunds(sent(), order=order), RefundState.PROCESSING)
    assert (refunded.trade_state, stop_checking(refunded, entry).next_check_at) == (TradeState.REFUND, None)


def test_an_unpaid_order_is_checked_until_it_is_paid_or_closed() -> None:
    order = an_order()
    assert stop_checking(order, NOTE) is order


# -- payments ----------------------------------------------------------------------------------------------------------


def pay(order: Order, transaction_id: str = TRANSACTION, now: datetime = NOW, **changes: Any) -> Order:
    fact = a_fact(order, transaction_id, **changes)
    return applied(partial(record_payment, fact=fact, source="notify", now=now), order)


def test_a_payment_in_time_pays_the_order() -> None:
    order = pay(an_order(check_lease="mine"), payer_total=3000, now=NOW + MINUTE)
    assert order.payments == (replace(a_payment(), payer_total=3000),)
    assert (order.trade_state, order.next_check_at, order.check_lease) == (TradeState.SUCCESS, None, "")
    assert (staged(order), order.outbox[0].at) == ([EventType.ORDER_PAID], NOW + MINUTE)
    assert order.timeline[-1] == TimelineEntry(
        NOW + MINUTE, "paid", "notify", "v3 PUB_KEY_ID_1", {"transaction_id": TRANSACTION}
    )


def test_a_payment_of_a_closed_order_is_late_and_a_worker_carries_the_policy_out() -> None:
    order = pay(close(an_order(), CLOSED), now=NOW + MINUTE)
    assert (order.trade_state, order.next_check_at) == (TradeState.PAID_LATE, NOW + MINUTE)
    assert staged(order) == [EventType.ORDER_CLOSED, EventType.ORDER_PAID_LATE]
    assert order.timeline[-1].what == "paid_late"


def test_a_payment_by_another_payer_releases_no_goods() -> None:
    order = pay(an_order(), openid="osim-b")
    assert (order.trade_state, order.paid_by_another) == (TradeState.PAID_LATE, True)
    assert (order.next_check_at, staged(order)) == (NOW, [EventType.ORDER_PAID_LATE])


@pytest.mark.parametrize(("ours", "theirs"), [("osim-a", "osim-a"), ("", "osim-b"), ("osim-a", "")])
def test_a_payer_who_is_not_known_is_no_other_one(ours: str, theirs: str) -> None:
    order = pay(an_order(openid=ours), openid=theirs)
    assert (order.trade_state, order.paid_by_another) == (TradeState.SUCCESS, False)


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("appid", {"appid": "wx9"}),
        ("mchid", {"mchid": "sim2"}),
        ("total", {"total": 3599}),
        ("total", {"total": None}),
        ("currency", {"currency": "USD"}),
        ("trade_type", {"trade_type": "NATIVE"}),
    ],
)
@pytest.mark.parametrize("order", [an_order(), close(an_order(), CLOSED), paid(an_order())])
def test_a_payment_that_differs_is_a_mismatch(order: Order, reason: str, changes: dict[str, Any]) -> None:
    fact = a_fact(order, **changes)
    assert refused(partial(record_payment, fact=fact, source="query", now=NOW), order) == reason


def test_a_payment_need_not_name_its_trade_type() -> None:
    assert pay(an_order(trade_type=TradeType.NATIVE), trade_type="").paid


def test_a_second_payment_is_kept_beside_the_first_and_moves_nothing() -> None:
    first = pay(an_order())
    both = pay(first, SECOND_TRANSACTION, now=NOW + MINUTE, openid="osim-b")
    assert both.payments == (a_payment(), replace(a_payment(SECOND_TRANSACTION), openid="osim-b"))
    assert (both.transaction_id, both.timeline[-1].what) == (TRANSACTION, "second_payment")
    assert both.timeline[-1].detail == {"transaction_id": SECOND_TRANSACTION}
    assert replace(both, payments=first.payments, timeline=first.timeline) == first
    assert pay(both) is both


def test_an_order_keeps_so_many_payments_and_no_more() -> None:
    order = an_order()
    for number in range(MAX_PAYMENTS):
        order = pay(order, f"4200-{number}")
    fact = a_fact(order, "4200-one-more")
    assert refused(partial(record_payment, fact=fact, source="notify", now=NOW), order) == "too_many_payments"
    assert len(order.payments) == MAX_PAYMENTS
    assert pay(order, f"4200-{MAX_PAYMENTS - 1}") is order  # repeating the last payment adds none


@pytest.mark.parametrize("state", [RemoteState.CLOSED, RemoteState.REVOKED])
def test_an_order_that_wechat_has_closed_is_closed_here(state: RemoteState) -> None:
    fact = a_fact(an_order(), state=state)
    order = applied(partial(record_unpaid, fact=fact, source="query", now=NOW), an_order())
    assert (order.trade_state, staged(order)) == (TradeState.CLOSED, [EventType.ORDER_CLOSED])
    assert order.timeline[-1] == TimelineEntry(NOW, "closed", "query", "v3 PUB_KEY_ID_1")


@pytest.mark.parametrize("state", [RemoteState.NOTPAY, RemoteState.USERPAYING, RemoteState.PAYERROR])
def test_an_order_that_may_still_be_paid_stays_open(state: RemoteState) -> None:
    order = an_order()
    assert record_unpaid(order, a_fact(order, state=state), source="query", now=NOW) is order


@pytest.mark.parametrize("order", [paid(an_order()), paid(close(an_order(), CLOSED)), close(an_order(), CLOSED)])
def test_a_report_of_closing_changes_no_order_that_has_moved(order: Order) -> None:
    assert record_unpaid(order, a_fact(order, state=RemoteState.CLOSED), source="query", now=NOW) is order


# -- what is due -------------------------------------------------------------------------------------------------------


def with_refunds(*refunds: Refund, order: Order | None = None, **changes: Any) -> Order:
    return replace(order or paid(an_order()), refunds=refunds, **changes)


def only(order: Order, out_refund_no: str = a_refund().out_refund_no) -> Refund:
    refund = order.refund_of(out_refund_no)
    assert refund is not None
    return refund


def sent(at: datetime = NOW, **changes: Any) -> Refund:
    """A refund that was sent at ``at``; no answer has come."""
    marks: dict[str, Any] = {
        "sends": 1,
        "first_sent_at": at,
        "last_sent_at": at,
        "next_check_at": at + MIN_REFUND_INTERVAL,
    }
    return a_refund(**(marks | changes))


def test_a_check_is_claimed_from_its_date_on_and_comes_again_when_the_lease_has_run_out() -> None:
    order = an_order()
    due = order.next_check_at
    assert due is not None
    assert claim_check(order, "mine", due - TICK) is order
    mine = applied(partial(claim_check, lease="mine", now=due), order)
    assert mine == replace(order, check_lease="mine", next_check_at=due + CHECK_LEASE)
    assert claim_check(mine, "yours", due + CHECK_LEASE - TICK) is mine
    assert claim_check(mine, "mine", due + CHECK_LEASE) is mine
    yours = claim_check(mine, "yours", due + CHECK_LEASE)
    assert (yours.check_lease, yours.next_check_at) == ("yours", due + 2 * CHECK_LEASE)


def test_an_order_without_a_date_is_not_claimed() -> None:
    order = paid(an_order())
    assert claim_check(order, "mine", NOW + timedelta(days=900)) is order


def test_a_refund_is_claimed_from_its_date_on_and_comes_again_when_the_lease_has_run_out() -> None:
    order = with_refunds(a_refund(next_check_at=NOW))
    assert claim_refund(order, a_refund().out_refund_no, "mine", NOW - TICK) is order
    mine = applied(partial(claim_refund, out_refund_no=a_refund().out_refund_no, lease="mine", now=NOW), order)
    assert only(mine) == a_refund(lease="mine", next_check_at=NOW + LEASE)
    assert claim_refund(mine, a_refund().out_refund_no, "yours", NOW + LEASE - TICK) is mine
    assert claim_refund(mine, a_refund().out_refund_no, "mine", NOW + LEASE) is mine
    assert only(claim_refund(mine, a_refund().out_refund_no, "yours", NOW + LEASE)).lease == "yours"


def test_a_refund_without_a_date_is_not_claimed() -> None:
    order = with_refunds(a_refund(state=RefundState.SUCCESS, next_check_at=None))
    assert claim_refund(order, a_refund().out_refund_no, "mine", NOW + timedelta(days=900)) is order


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (MIN_REFUND_INTERVAL, MIN_REFUND_INTERVAL),
        (2 * MIN_REFUND_INTERVAL, MIN_REFUND_INTERVAL),
        (timedelta(hours=1), timedelta(minutes=30)),
        (timedelta(days=4), LONGEST_PAUSE),
    ],
)
def test_a_refund_that_was_sent_is_claimed_until_its_next_query(age: timedelta, pause: timedelta) -> None:
    """The claim sets the date of the next query, so a refund whose query fails is not queried each minute."""
    order = with_refunds(sent(next_check_at=NOW + age))
    taken = claim_refund(order, a_refund().out_refund_no, "mine", NOW + age)
    assert only(taken).next_check_at == NOW + age + pause


def test_a_refund_that_takes_too_long_is_marked_as_slow_once() -> None:
    order, number = with_refunds(sent(state=RefundState.PROCESSING)), a_refund().out_refund_no
    assert mark_slow(order, number, NOW + PATIENCE - TICK) is order
    slow = applied(partial(mark_slow, out_refund_no=number, now=NOW + PATIENCE), order)
    assert (only(slow).slow, whats(only(slow).timeline)) == (True, ["requested", "slow"])
    assert mark_slow(slow, number, NOW + 2 * PATIENCE) is slow


@pytest.mark.parametrize(
    "refund", [sent(state=RefundState.ABNORMAL), a_refund(), sent(state=RefundState.SUCCESS, next_check_at=None)]
)
def test_a_refund_that_waits_for_the_operator_or_its_turn_or_has_ended_is_not_slow(refund: Refund) -> None:
    order = with_refunds(refund)
    assert mark_slow(order, refund.out_refund_no, NOW + 2 * PATIENCE) is order


def test_a_refund_that_the_order_does_not_have_is_not_claimed() -> None:
    assert (
        refused(partial(claim_refund, out_refund_no="nobody", lease="mine", now=NOW), paid(an_order())) == "LeaseLost"
    )


def test_everything_that_is_due_in_an_order_is_claimed_together() -> None:
    refunds = (
        a_refund("due-1", next_check_at=NOW),
        sent(NOW - MIN_REFUND_INTERVAL, out_refund_no="due-2"),
        a_refund("not-yet", next_check_at=NOW + TICK),
        a_refund("theirs", lease="yours", next_check_at=NOW + MINUTE),
        a_refund("done", state=RefundState.SUCCESS, next_check_at=None),
    )
    order = with_refunds(*refunds, order=an_order(next_check_at=NOW))
    taken = applied(partial(claim_due, lease="mine", now=NOW), order)
    claimed = parts_of(taken, "mine")
    assert (claimed.check, [refund.out_refund_no for refund in claimed.refunds]) == (True, ["due-1", "due-2"])
    assert claimed.order is taken
    theirs = parts_of(taken, "yours")
    assert (theirs.check, [refund.out_refund_no for refund in theirs.refunds]) == (False, ["theirs"])
    assert claim_due(order, "mine", NOW - MIN_REFUND_INTERVAL) is order


def test_an_order_is_due_when_the_first_of_its_parts_is() -> None:
    assert an_order().due_at == an_order().next_check_at
    late = a_refund(next_check_at=NOW + 3 * MINUTE)
    early = replace(late, out_refund_no="early-1", next_check_at=NOW + 2 * MINUTE)
    done = replace(late, out_refund_no="done-1", next_check_at=None)
    assert with_refunds(late, early, done).due_at == NOW + 2 * MINUTE
    assert with_refunds(late, order=an_order(next_check_at=NOW)).due_at == NOW
    assert with_refunds(done).due_at is None


# -- requesting a refund -----------------------------------------------------------------------------------------------


def request(order: Order, draft: Refund, now: datetime = NOW) -> Order:
    return applied(partial(request_refund, draft=draft, now=now), order)


def request_refused(order: Order, draft: Refund, now: datetime = NOW) -> str:
    return refused(partial(request_refund, draft=draft, now=now), order)


def test_a_request_reserves_its_amount() -> None:
    order = request(paid(an_order()), a_refund())
    assert (order.refunds, order.refund_reserved) == ((a_refund(),), 60)
    assert refundable(order, TRANSACTION) == 3540
    assert order.timeline[-1] == TimelineEntry(
        NOW, "refund_reserved", "refund", "shop", {"out_refund_no": a_refund().out_refund_no, "refund": 60}
    )
    assert (order.trade_state, staged(order)) == (TradeState.SUCCESS, [EventType.ORDER_PAID])


@pytest.mark.parametrize("refund", [a_refund(state=RefundState.REFUSED, refund=Fen(3600)), sent(lease="yours")])
def test_the_same_request_again_changes_nothing_whatever_became_of_the_first(refund: Refund) -> None:
    order = with_refunds(refund)
    draft = replace(refund, state=RefundState.REQUESTED, sends=0, lease="mine", created_at=NOW + MINUTE, by="another")
    assert request_refund(order, draft, NOW + 2 * WINDOW) is order


@pytest.mark.parametrize(
    "changes", [{"refund": Fen(61)}, {"reason": "别的"}, {"transaction_id": "4200-2"}, {"out_trade_no": "another-1"}]
)
def test_another_request_under_the_same_number_is_a_conflict(changes: dict[str, Any]) -> None:
    order = with_refunds(a_refund())
    assert request_refused(order, replace(a_refund(), **changes)) == "OUT_REFUND_NO_USED"


@pytest.mark.parametrize("order", [an_order(), close(an_order(), CLOSED)])
def test_an_unpaid_order_is_not_refunded(order: Order) -> None:
    assert request_refused(order, a_refund()) == "ORDER_NOT_PAID"


def test_an_order_whose_payment_has_no_date_is_not_refunded() -> None:
    order = pay(an_order(), success_time=None)
    assert (order.paid, order.paid_at) == (True, None)
    assert request_refused(order, a_refund()) == "ORDER_NOT_PAID"


def test_an_order_is_refunded_for_a_year() -> None:
    order = paid(an_order())
    must_be_refundable(order, NOW + WINDOW)
    assert request(order, a_refund(), NOW + WINDOW).refunds
    assert request_refused(order, a_refund(), NOW + WINDOW + TICK) == "TRADE_OVERDUE"


def test_refunds_of_a_payment_never_add_up_to_more_than_it() -> None:
    order = request(paid(an_order()), a_refund("first-1", refund=Fen(3000)))
    assert request_refused(order, a_refund("second-1", refund=Fen(601))) == "NOT_REFUNDABLE"
    assert request(order, a_refund("second-1", refund=Fen(600))).refund_reserved == 3600


@pytest.mark.parametrize("state", RefundState)
def test_only_a_refund_that_came_to_nothing_leaves_room(state: RefundState) -> None:
    held = a_refund("first-1", refund=Fen(3600), state=state)
    released = state in (RefundState.CLOSED, RefundState.REFUSED)
    order = with_refunds(held)
    assert (held.reserves, has_room(order, a_refund())) == (not released, released)
    assert (order.refund_reserved, refundable(order, TRANSACTION)) == ((0, 3600) if released else (3600, 0))


def test_each_payment_has_its_own_room() -> None:
    order = pay(pay(an_order()), SECOND_TRANSACTION)
    whole = {"refund": Fen(3600), "surplus": True, "transaction_id": SECOND_TRANSACTION}
    order = request(order, a_refund("second-1", **whole))
    assert [refundable(order, number) for number in (TRANSACTION, SECOND_TRANSACTION)] == [3600, 0]
    assert order.refund_reserved == 0
    order = request(order, a_refund("first-1", refund=Fen(3600)))
    assert order.refund_reserved == 3600
    assert request_refused(order, a_refund("second-2", **whole | {"refund": Fen(1)})) == "NOT_REFUNDABLE"


def test_a_payment_that_was_not_reported_is_returned_up_to_the_orders_total() -> None:
    """The bill has it, and WeChat takes payments of the order's total only."""
    order, other = paid(an_order()), {"surplus": True, "transaction_id": "4200-on-the-bill"}
    assert has_room(order, a_refund("other-1", refund=Fen(3600), **other))
    assert not has_room(order, a_refund("other-1", refund=Fen(3601), **other))


def test_the_room_of_a_payment_is_what_was_paid_by_it() -> None:
    order = replace(paid(an_order()), payments=(a_payment(total=100), a_payment(SECOND_TRANSACTION, total=50)))
    assert not has_room(order, a_refund(refund=Fen(101)))
    assert has_room(order, a_refund(refund=Fen(100)))
    assert not has_room(order, a_refund(refund=Fen(51), transaction_id=SECOND_TRANSACTION, surplus=True))


def test_a_payment_has_so_many_refunds_and_no_more() -> None:
    order = pay(pay(an_order()), SECOND_TRANSACTION)
    for number in range(MAX_REFUNDS):
        order = request(order, a_refund(f"refund-{number}", refund=Fen(1)))
    assert request_refused(order, a_refund("one-more", refund=Fen(1))) == "NOT_REFUNDABLE"
    of_second = a_refund("of-second", refund=Fen(1), surplus=True, transaction_id=SECOND_TRANSACTION)
    assert len(request(order, of_second).refunds) == MAX_REFUNDS + 1
    closed = tell(order, RefundState.CLOSED, "refund-0")
    assert only(request(closed, a_refund("one-more", refund=Fen(1))), "one-more").reserves


def failed(number: str, **changes: Any) -> Refund:
    return a_refund(number, state=RefundState.REFUSED, next_check_at=None, refund=Fen(1), **changes)


def numbers_of(order: Order) -> list[str]:
    return [refund.out_refund_no for refund in order.refunds]


def test_of_refunds_that_came_to_nothing_the_oldest_make_room() -> None:
    kept = [failed(f"failed-{number}") for number in range(MAX_FAILED)]
    order = with_refunds(a_refund("live-1", refund=Fen(1)), *kept)
    order = tell(request(order, a_refund("newest", refund=Fen(1))), RefundState.CLOSED, "newest")
    assert numbers_of(order) == ["live-1", *numbers_of(with_refunds(*kept[1:])), "newest"]


def test_fewer_refunds_that_came_to_nothing_make_no_room() -> None:
    kept = [failed(f"failed-{number}") for number in range(MAX_FAILED - 1)]
    order = tell(request(with_refunds(*kept), a_refund("newest", refund=Fen(1))), RefundState.CLOSED, "newest")
    assert numbers_of(order) == [*numbers_of(with_refunds(*kept)), "newest"]


def test_no_more_refunds_that_came_to_nothing_are_kept_also_when_several_fail_together() -> None:
    order = with_refunds(*[failed(f"failed-{number}") for number in range(MAX_FAILED - 1)])
    for number in range(3):
        order = request(order, a_refund(f"open-{number}", refund=Fen(1)))
    for number in range(3):
        order = tell(replace(order, outbox=()), RefundState.CLOSED, f"open-{number}")
        assert sum(not refund.reserves for refund in order.refunds) <= MAX_FAILED
        assert order.refund_of(f"open-{number}")


def test_a_staged_event_is_about_its_refund_also_when_that_has_made_room() -> None:
    """Nothing was handed out for an hour, in which a job asked each minute in vain."""
    order = request(paid(an_order()), a_refund("the-first", refund=Fen(1)))
    order = tell(order, RefundState.CLOSED, "the-first")
    wanted = refund_data(only(order, "the-first"))
    for number in range(MAX_FAILED):
        order = request(order, a_refund(f"failed-{number}", refund=Fen(1)))
        order = tell(order, RefundState.CLOSED, f"failed-{number}")
    [event] = [event for event, _ in staged_events(order) if event.id == order.outbox[1].id]
    assert event.type == EventType.REFUND_FAILED
    assert event.data.items() >= wanted.items()


# -- sending a refund --------------------------------------------------------------------------------------------------


def send(
    order: Order, out_refund_no: str = a_refund().out_refund_no, lease: str = "mine", now: datetime = NOW
) -> Order:
    return send_or_queue(order, out_refund_no, lease, now)


def test_a_refund_is_marked_as_sent_before_it_is_and_keeps_its_lease() -> None:
    order = with_refunds(a_refund(lease="mine"))
    marked = applied(send, order)
    assert only(marked) == replace(
        sent(lease="mine"), timeline=(*a_refund().timeline, TimelineEntry(NOW, "sent", "v3"))
    )
    assert marked.last_refund_at == NOW
    assert only(marked).queued_until is None


def test_a_refund_that_is_sent_again_keeps_the_date_of_its_first_time() -> None:
    later = NOW + timedelta(hours=1)
    order = send(with_refunds(sent(lease="mine"), last_refund_at=NOW), now=later)
    again = only(order)
    assert (again.sends, again.first_sent_at, again.last_sent_at) == (2, NOW, later)
    assert (again.next_check_at, order.last_refund_at) == (later + timedelta(minutes=30), later)


def test_a_refund_is_queued_less_than_a_minute_after_another_of_its_order() -> None:
    order = with_refunds(a_refund(lease="mine"), last_refund_at=NOW)
    queued = send(order, now=NOW + MIN_REFUND_INTERVAL - TICK)
    assert queued == with_refunds(a_refund(next_check_at=NOW + MIN_REFUND_INTERVAL), last_refund_at=NOW)
    assert only(queued).queued_until == NOW + MIN_REFUND_INTERVAL
    assert refused(partial(send, now=NOW + MIN_REFUND_INTERVAL - TICK), queued) == "LeaseLost"
    assert only(send(order, now=NOW + MIN_REFUND_INTERVAL)).sends == 1


LOST_LEASES = [
    a_refund(lease="yours"),
    a_refund(),
    a_refund(lease="mine", state=RefundState.PROCESSING),
    a_refund(lease="mine", state=RefundState.SUCCESS),
    a_refund(lease="mine", state=RefundState.REFUSED),
    a_refund("another-1", lease="mine"),
]
"""Refunds that a worker which held the lease "mine" must not continue."""


@pytest.mark.parametrize("refund", LOST_LEASES)
def test_only_the_holder_of_the_lease_sends_or_queues(refund: Refund) -> None:
    for last in (None, NOW):
        assert refused(send, with_refunds(refund, last_refund_at=last)) == "LeaseLost"


@pytest.mark.parametrize("refund", LOST_LEASES)
def test_only_the_holder_of_the_lease_refuses(refund: Refund) -> None:
    assert refused(partial(refuse, code="NOT_ENOUGH"), with_refunds(refund)) == "LeaseLost"


def test_no_lease_is_the_lease_of_nobody() -> None:
    order = with_refunds(a_refund())
    assert refused(partial(send, lease=""), order) == "LeaseLost"
    assert refused(partial(refuse, lease=""), order) == "LeaseLost"


def test_waiting_refunds_get_consecutive_turns() -> None:
    order = send(with_refunds(a_refund(lease="mine")))
    for number in range(1, 6):
        draft = a_refund(f"waits-{number}", lease="mine")
        order = send(request(order, draft), draft.out_refund_no, now=NOW + TICK)
        assert only(order, draft.out_refund_no).queued_until == NOW + number * MIN_REFUND_INTERVAL
        assert next_turn(order, NOW + TICK) == NOW + (number + 1) * MIN_REFUND_INTERVAL


def test_a_waiting_refund_that_still_comes_too_early_goes_behind_the_others() -> None:
    waiting = [a_refund(f"waits-{number}", next_check_at=NOW + number * MIN_REFUND_INTERVAL) for number in (1, 2)]
    order = with_refunds(replace(waiting[0], lease="mine"), waiting[1], last_refund_at=NOW)
    queued = send(order, "waits-1", now=NOW + MINUTE)
    assert only(queued, "waits-1").queued_until == NOW + 3 * MIN_REFUND_INTERVAL


@pytest.mark.parametrize(
    ("order", "turn"),
    [
        (with_refunds(), NOW),
        (with_refunds(last_refund_at=NOW), NOW + MIN_REFUND_INTERVAL),
        (with_refunds(last_refund_at=NOW - MIN_REFUND_INTERVAL), NOW),
        (with_refunds(last_refund_at=NOW - MIN_REFUND_INTERVAL - TICK), NOW),
        (with_refunds(a_refund(next_check_at=NOW + MINUTE)), NOW + MINUTE + MIN_REFUND_INTERVAL),
        (with_refunds(a_refund(next_check_at=NOW + MINUTE), last_refund_at=NOW), NOW + MINUTE + MIN_REFUND_INTERVAL),
        (with_refunds(a_refund(next_check_at=NOW - MINUTE), last_refund_at=NOW), NOW + MIN_REFUND_INTERVAL),
        (with_refunds(a_refund(next_check_at=NOW + MINUTE, lease="mine")), NOW),
        (with_refunds(sent(NOW + MINUTE)), NOW),
        (with_refunds(a_refund(state=RefundState.PROCESSING)), NOW),
    ],
)
def test_the_next_turn_is_a_minute_after_the_last_one_and_after_all_that_wait(order: Order, turn: datetime) -> None:
    """A refund that is leased or was sent does not wait for a turn."""
    assert next_turn(order, NOW) == turn


# -- refusing a refund -------------------------------------------------------------------------------------------------


def refuse(order: Order, lease: str = "mine", code: str = "NOT_ENOUGH", message: str = "余额不足") -> Order:
    return refuse_refund(order, a_refund().out_refund_no, lease, code, message, NOW + MINUTE)


def test_a_refused_refund_releases_its_reservation_and_has_no_date() -> None:
    order = refuse(with_refunds(sent(lease="mine")))
    assert only(order) == sent(
        state=RefundState.REFUSED,
        next_check_at=None,
        changes=1,
        refusal="NOT_ENOUGH",
        timeline=(
            *a_refund().timeline,
            TimelineEntry(NOW + MINUTE, "refused", "answer", "NOT_ENOUGH", {"message": "余额不足"}),
        ),
    )
    assert (order.refund_reserved, order.trade_state) == (0, TradeState.SUCCESS)
    assert whats(order.timeline)[-1] == "refund_released"
    assert (staged(order)[-1], order.outbox[-1].out_refund_no) == (EventType.REFUND_FAILED, a_refund().out_refund_no)
    assert refused(refuse, order) == "LeaseLost"


def test_a_refusal_without_a_message_has_no_detail() -> None:
    assert only(refuse(with_refunds(sent(lease="mine")), message="")).timeline[-1].detail == {}


# -- what WeChat says of a refund --------------------------------------------------------------------------------------


def said(refund: Refund, state: RefundState = RefundState.SUCCESS, /, **changes: Any) -> Verified[RemoteRefund]:
    """A verified answer of WeChat about ``refund``, with ``changes``."""
    fact = a_refund_fact(refund, state)
    return Verified(replace(fact.value, **changes), fact.proof)


def tell(
    order: Order,
    state: RefundState,
    number: str = a_refund().out_refund_no,
    now: datetime = NOW,
    **changes: Any,
) -> Order:
    fact = said(only(order, number), state, **changes)
    return applied(partial(apply_refund, fact=fact, source="notify", now=now), order)


TOLD = tuple(state for state in RefundState if state not in (RefundState.REQUESTED, RefundState.REFUSED))
"""What WeChat can say of a refund."""
LEGAL = {
    RefundState.REQUESTED: {*TOLD, RefundState.REFUSED},
    RefundState.PROCESSING: {RefundState.SUCCESS, RefundState.ABNORMAL, RefundState.CLOSED},
    RefundState.ABNORMAL: {RefundState.PROCESSING, RefundState.SUCCESS, RefundState.CLOSED},
}
ENDED = [(RefundState.SUCCESS, RefundState.CLOSED), (RefundState.CLOSED, RefundState.SUCCESS)]
ENDED += [(RefundState.REFUSED, told) for told in TOLD]


@pytest.mark.parametrize("state", RefundState)
@pytest.mark.parametrize("told", TOLD)
def test_a_refund_moves_along_the_table_only(state: RefundState, told: RefundState) -> None:
    assert REFUND_TRANSITIONS[state] == LEGAL.get(state, set())
    order = with_refunds(sent(state=state))
    if told in LEGAL.get(state, set()):
        moved = only(tell(order, told))
        assert (moved.state, moved.changes, whats(moved.timeline)[-1]) == (told, 1, told.lower())
    elif (state, told) in ENDED:
        assert refused(lambda each: tell(each, told), order) == "refund_ended"
    else:
        assert tell(order, told) is order


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (RefundState.PROCESSING, None),
        (RefundState.SUCCESS, EventType.REFUND_SUCCEEDED),
        (RefundState.ABNORMAL, EventType.REFUND_ABNORMAL),
        (RefundState.CLOSED, EventType.REFUND_FAILED),
    ],
)
def test_each_end_stages_its_event(state: RefundState, event: EventType | None) -> None:
    order = tell(with_refunds(sent(lease="mine")), state, now=NOW + MINUTE)
    assert staged(order)[1:] == ([event] if event else [])
    refund = only(order)
    assert (refund.lease, refund.next_check_at is not None) == ("", refund.open)
    assert refund.open is (state in (RefundState.PROCESSING, RefundState.ABNORMAL))
    assert not refund.open or refund.next_check_at == NOW + MINUTE + MIN_REFUND_INTERVAL


def test_an_event_that_comes_again_after_a_change_has_an_id_of_its_own() -> None:
    order = with_refunds(sent())
    for state in (RefundState.ABNORMAL, RefundState.PROCESSING, RefundState.ABNORMAL):
        order = tell(order, state)
    one, two = [event.id for event in order.outbox if event.type is EventType.REFUND_ABNORMAL]
    assert one != two


def test_the_events_of_two_refunds_have_ids_of_their_own() -> None:
    order = with_refunds(a_refund("first-1"), a_refund("second-1"))
    for number in ("first-1", "second-1"):
        order = tell(order, RefundState.SUCCESS, number)
    assert len({event.id for event in order.outbox}) == 3


def test_a_refund_keeps_what_wechat_said_of_it() -> None:
    order = tell(with_refunds(sent()), RefundState.SUCCESS)
    assert (only(order).refund_id, only(order).success_at) == ("50300001", NOW)
    known = with_refunds(sent(refund_id="5030", success_at=NOW))
    refund = only(tell(known, RefundState.SUCCESS, refund_id="", success_time=None))
    assert (refund.refund_id, refund.success_at) == ("5030", NOW)


@pytest.mark.parametrize("order", [paid(an_order()), paid(close(an_order(), CLOSED))])
@pytest.mark.parametrize("state", [RefundState.PROCESSING, RefundState.SUCCESS, RefundState.ABNORMAL])
def test_a_refund_that_wechat_has_accepted_moves_its_order(order: Order, state: RefundState) -> None:
    moved = tell(with_refunds(sent(), order=order), state)
    assert (moved.trade_state, moved.next_check_at) == (TradeState.REFUND, order.next_check_at)
    assert whats(moved.timeline)[-1] == "refund"
    again = tell(replace(moved, refunds=(*moved.refunds, a_refund("second-1"))), state, "second-1")
    assert (again.trade_state, whats(again.timeline).count("refund")) == (TradeState.REFUND, 1)


def test_a_refund_of_a_second_payment_does_not_move_its_order() -> None:
    order = pay(pay(an_order()), SECOND_TRANSACTION)
    surplus = sent(surplus=True, transaction_id=SECOND_TRANSACTION)
    assert tell(with_refunds(surplus, order=order), RefundState.SUCCESS).trade_state is TradeState.SUCCESS


def test_a_closed_refund_releases_its_reservation_and_does_not_move_its_order() -> None:
    order = tell(with_refunds(sent()), RefundState.CLOSED)
    assert (order.refund_reserved, order.trade_state) == (0, TradeState.SUCCESS)
    assert whats(order.timeline)[-1] == "refund_released"


@pytest.mark.parametrize("state", TOLD)
def test_a_late_payment_still_waits_for_its_policy_whatever_becomes_of_a_refund_of_it(state: RefundState) -> None:
    late = claim_check(paid(close(an_order(), CLOSED)), "mine", NOW)
    order = tell(with_refunds(sent(), order=late), state)
    assert order.trade_state is (TradeState.PAID_LATE if state is RefundState.CLOSED else TradeState.REFUND)
    assert (order.next_check_at, order.check_lease) == (NOW + CHECK_LEASE, "mine")


def test_a_refund_that_the_order_does_not_have_is_a_mismatch() -> None:
    fact = a_refund_fact(a_refund("nobody-1"))
    assert refused(partial(apply_refund, fact=fact, source="notify", now=NOW), with_refunds(sent())) == "unknown_refund"


DIFFERENT = [
    ("mchid", {"mchid": "sim2"}),
    ("out_trade_no", {"out_trade_no": "another-1"}),
    ("refund", {"refund": 59}),
    ("refund_total", {"total": 3599}),
]


@pytest.mark.parametrize(("reason", "changes"), DIFFERENT)
@pytest.mark.parametrize("state", [RefundState.REQUESTED, RefundState.SUCCESS])
def test_a_fact_that_differs_is_a_mismatch(state: RefundState, reason: str, changes: dict[str, Any]) -> None:
    order = with_refunds(sent(state=state))
    fact = said(sent(), **changes)
    assert refused(partial(apply_refund, fact=fact, source="notify", now=NOW), order) == reason


# -- adopting a refund that was made by hand -----------------------------------------------------------------------------


def by_hand() -> Refund:
    """A refund as a bill reports it."""
    return sent(state=RefundState.PROCESSING, by="console", next_check_at=NOW)


def adopt(order: Order, draft: Refund, state: RefundState, **changes: Any) -> Order:
    fact = said(draft, state, **changes)
    return applied(partial(adopt_refund, draft=draft, fact=fact, now=NOW), order)


def adopt_refused(order: Order, draft: Refund, state: RefundState, now: datetime = NOW, **changes: Any) -> str:
    fact = said(draft, state, **changes)
    return refused(partial(adopt_refund, draft=draft, fact=fact, now=now), order)


@pytest.mark.parametrize("state", TOLD)
def test_a_refund_made_by_hand_is_booked_as_wechat_says(state: RefundState) -> None:
    order = adopt(paid(an_order()), by_hand(), state)
    assert (only(order).state, only(order).open) == (state, state not in (RefundState.SUCCESS, RefundState.CLOSED))
    assert order.refund_reserved == (0 if state is RefundState.CLOSED else 60)
    assert "refund_reserved" in whats(order.timeline)
    assert order.last_refund_at is None  # nothing was sent from here


def test_a_refund_made_by_hand_takes_no_room_that_is_reserved() -> None:
    full = request(paid(an_order()), a_refund("first-1", refund=Fen(3600)))
    for state in (RefundState.PROCESSING, RefundState.SUCCESS, RefundState.ABNORMAL):
        assert adopt_refused(full, by_hand(), state) == "NOT_REFUNDABLE"
    assert only(adopt(full, by_hand(), RefundState.CLOSED)).state is RefundState.CLOSED  # it needs none


def test_a_refund_made_by_hand_is_booked_on_a_paid_order_only() -> None:
    assert adopt_refused(an_order(), by_hand(), RefundState.SUCCESS) == "ORDER_NOT_PAID"
    assert adopt_refused(paid(an_order()), by_hand(), RefundState.SUCCESS, NOW + WINDOW + TICK) == "TRADE_OVERDUE"


@pytest.mark.parametrize(("reason", "changes"), [*DIFFERENT, ("transaction_id", {"transaction_id": "4200-9"})])
def test_what_the_bill_says_and_what_wechat_says_must_agree(reason: str, changes: dict[str, Any]) -> None:
    assert adopt_refused(paid(an_order()), by_hand(), RefundState.SUCCESS, **changes) == reason
    assert adopt_refused(with_refunds(sent()), by_hand(), RefundState.SUCCESS, **changes) == reason
    with pytest.raises(Mismatch) as wrong:
        must_be_about(by_hand(), said(by_hand(), **changes).value)
    assert wrong.value.reason == reason


def test_a_refund_that_the_order_has_is_not_adopted_again() -> None:
    order = with_refunds(sent(), order=request(paid(an_order()), a_refund("first-1", refund=Fen(3540))))
    order = replace(order, refunds=(*order.refunds, a_refund("first-1", refund=Fen(3540))))
    adopted = adopt(order, by_hand(), RefundState.SUCCESS)
    assert (len(adopted.refunds), only(adopted).state, only(adopted).by) == (2, RefundState.SUCCESS, "shop")


# -- stored notifications ----------------------------------------------------------------------------------------------


def test_an_arrival_is_counted() -> None:
    again = count_again(a_message(), NOW + MINUTE)
    assert (again.seen, again.first_at, again.last_at) == (2, NOW, NOW + MINUTE)


def test_the_first_verdict_stays_except_that_applied_replaces_any_other() -> None:
    def concluded(message: StoredNotification, verdict: str) -> StoredNotification:
        after = conclude(message, verdict, NOW)
        assert conclude(after, verdict, NOW + MINUTE) is after
        return after

    mismatch = concluded(a_message(), "total")
    assert (mismatch.verdict, mismatch.concluded_at) == ("total", NOW)
    assert concluded(mismatch, "appid") is mismatch
    done = concluded(mismatch, Verdict.APPLIED)
    assert done.verdict == Verdict.APPLIED
    assert concluded(done, "total") is done


# -- any order of events -----------------------------------------------------------------------------------------------

NUMBERS = ("refund-1", "refund-2", "refund-3", "refund-4")
LEASES = ("one", "two")
PAYMENTS = ("4200-1", "4200-2", "4200-3")
REMOTE = st.sampled_from([RemoteState.NOTPAY, RemoteState.CLOSED, RemoteState.USERPAYING])

Step = Callable[[Order, datetime], Order]

numbers, leases, payments = st.sampled_from(NUMBERS), st.sampled_from(LEASES), st.sampled_from(PAYMENTS)
amounts = st.sampled_from([1, 40, 60, 100, 101])
told_states = st.sampled_from(TOLD)


def a_draft(order: Order, number: str, payment: str, amount: int, now: datetime, lease: str = "") -> Refund:
    surplus = payment != order.transaction_id
    return a_refund(
        number,
        transaction_id=payment,
        refund=Fen(amount),
        total=order.total,
        surplus=surplus,
        created_at=now,
        next_check_at=now,
        lease=lease,
    )


def step_request(number: str, payment: str, amount: int, lease: str) -> Step:
    return lambda order, now: request_refund(order, a_draft(order, number, payment, amount, now, lease), now)


def step_pay(payment: str, total: int, openid: str) -> Step:
    return lambda order, now: record_payment(
        order, a_fact(order, payment, total=total, openid=openid), source="notify", now=now
    )


def step_unpaid(state: RemoteState) -> Step:
    return lambda order, now: record_unpaid(order, a_fact(order, state=state), source="query", now=now)


def step_claim(lease: str) -> Step:
    return lambda order, now: claim_due(order, lease, now)


def step_send(number: str, lease: str) -> Step:
    return lambda order, now: send_or_queue(order, number, lease, now)


def step_refuse(number: str, lease: str) -> Step:
    return lambda order, now: refuse_refund(order, number, lease, "NOT_ENOUGH", "", now)


def step_tell(number: str, state: RefundState) -> Step:
    def step(order: Order, now: datetime) -> Order:
        refund = order.refund_of(number) or a_refund(number)
        return apply_refund(order, a_refund_fact(refund, state), source="notify", now=now)

    return step


def step_adopt(number: str, payment: str, amount: int, state: RefundState) -> Step:
    def step(order: Order, now: datetime) -> Order:
        draft = replace(
            a_draft(order, f"by-hand-{number}", payment, amount, now),
            state=RefundState.PROCESSING,
            sends=1,
            first_sent_at=now,
            last_sent_at=now,
        )
        return adopt_refund(order, draft, a_refund_fact(draft, state), now)

    return step


def step_close() -> Step:
    return lambda order, now: close(order, replace(CLOSED, at=now))


def step_prepay() -> Step:
    return lambda order, now: set_prepay(order, replace(PREPAY, obtained_at=now), replace(NOTE, at=now), now + MINUTE)


def step_schedule(lease: str) -> Step:
    return lambda order, now: schedule_check(order, now + MINUTE, lease)


def step_schedule_close() -> Step:
    return lambda order, now: schedule_close(order, order.created_at + 5 * MINUTE, replace(NOTE, at=now))


def step_confirm(lease: str) -> Step:
    return lambda order, now: confirm_close(order, replace(NOTE, at=now), lease)


def step_stop() -> Step:
    return lambda order, now: stop_checking(order, replace(NOTE, at=now))


def step_hand_out(until: int) -> Step:
    return lambda order, now: remove_events(
        order, frozenset([each.id for each in order.outbox if each.sequence <= until])
    )


steps = st.one_of(
    st.builds(step_request, numbers, payments, amounts, st.sampled_from(["", *LEASES])),
    st.builds(step_pay, payments, st.sampled_from([100, 100, 99]), st.sampled_from(["osim-a", "osim-a", "osim-b"])),
    st.builds(step_unpaid, REMOTE),
    st.builds(step_claim, leases),
    st.builds(step_send, numbers, leases),
    st.builds(step_refuse, numbers, leases),
    st.builds(step_tell, numbers, told_states),
    st.builds(step_adopt, numbers, payments, amounts, told_states),
    st.builds(step_close),
    st.builds(step_prepay),
    st.builds(step_schedule, leases),
    st.builds(step_schedule_close),
    st.builds(step_confirm, leases),
    st.builds(step_stop),
    st.builds(step_hand_out, st.integers(1, 12)),
)
waits = st.sampled_from([0, 0, 1, 30, 70, 90, 3600, 6 * 24 * 3600])


class History:
    """An order through any number of steps, and everything that was ever staged."""

    def __init__(self) -> None:
        self.order = an_order(total=Fen(100))
        self.now = NOW
        self.events: dict[str, OutgoingEvent] = {}

    def take(self, step: Step, wait_s: int) -> None:
        """Apply ``step``, and check that it changes nothing more the second time."""
        self.now += timedelta(seconds=wait_s)
        before = self.order
        self.order = self._apply(step, before)
        assert self._apply(step, self.order) == self.order
        self._check(before)

    def _apply(self, step: Step, order: Order) -> Order:
        try:
            return step(order, self.now)
        except (FenpayError, LeaseLost):
            return order

    def _check(self, before: Order) -> None:
        order = self.order
        assert order.trade_state is before.trade_state or order.trade_state in TRANSITIONS[before.trade_state]
        assert order.payments[: len(before.payments)] == before.payments
        assert order.paid is bool(order.payments)
        self._check_reservations()
        self._check_dates()
        self._check_refund_states(before)
        self._check_events(before)

    def _check_reservations(self) -> None:
        reserved: Counter[str] = Counter()
        for refund in self.order.refunds:
            if refund.reserves:
                reserved[refund.transaction_id] += refund.refund
        assert all(amount <= 100 for amount in reserved.values())
        assert self.order.refund_reserved == reserved[self.order.transaction_id]
        assert self.order.paid or not self.order.refunds

    def _check_dates(self) -> None:
        order = self.order
        assert order.trade_state is not TradeState.NOTPAY or order.next_check_at
        assert order.next_check_at or not order.check_lease
        for refund in order.refunds:
            assert bool(refund.next_check_at) is refund.open
            assert refund.open or not refund.lease
        sent_at = [entry.at for refund in order.refunds for entry in refund.timeline if entry.what == "sent"]
        assert all(later - earlier >= MIN_REFUND_INTERVAL for earlier, later in pairwise(sorted(sent_at)))

    def _check_refund_states(self, before: Order) -> None:
        for refund in before.refunds:
            now = only(self.order, refund.out_refund_no)
            assert now.state is refund.state or now.state in REFUND_TRANSITIONS[refund.state]
            assert now.sends >= refund.sends

    def _check_events(self, before: Order) -> None:
        new = [event for event in self.order.outbox if event.sequence > before.sequence]
        assert not self.events.keys() & {event.id for event in new}
        self.events |= {event.id: event for event in new}
        assert len(self.events) == self.order.sequence
        ends = Counter(e.out_refund_no for e in self.events.values() if e.type in ("refund.succeeded", "refund.failed"))
        assert ends == Counter(refund.out_refund_no for refund in self.order.refunds if not refund.open)
        of_payment = [e for e in self.events.values() if e.type in ("order.paid", "order.paid_late")]
        assert len(of_payment) == self.order.paid


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(steps, waits), max_size=40))
def test_whatever_happens_in_whatever_order_the_rules_hold(taken: list[tuple[Step, int]]) -> None:
    history = History()
    for step, wait_s in taken:
        history.take(step, wait_s)
