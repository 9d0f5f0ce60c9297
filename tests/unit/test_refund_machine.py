"""Orders and refunds against a plain model: any order of events, on any clock, with a WeChat that answers as it likes.

The small form runs with the suite; ``EXAMPLES=2000`` is the one to run before a release (50 steps each).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.samples import NOW, an_order
from tests.support.clock import ManualClock
from tests.support.refund_desk import Died, Fuse, Till, lost, refused
from tests.support.stores import MemoryOrders
from wechat.errors import CallerError, FenpayError, Mismatch
from wechat.late import LatePolicy
from wechat.ledger import Ledger
from wechat.models import Fen, OrderEvent, RefundState, RemoteState, TradeState, Transaction, Verified
from wechat.refund_models import OPEN, RELEASING, SPACING
from wechat.wanted import RefundWanted

TOTAL = 100
EXAMPLES = int(os.environ.get("EXAMPLES", "60"))
R = TypeVar("R")

amounts = st.sampled_from([1, 2, 30, 50, 60, 99, 100])
keys = st.sampled_from(["", "k1", "k2", "k3"])
moods = st.sampled_from(["well", "at once", "lost before", "lost after", "no"])


class Model:
    """What must be true, kept by hand: the payments WeChat took, and what each asked-for key stands for."""

    def __init__(self) -> None:
        self.paid: set[str] = set()
        self.closed_first = False
        self.wishes: dict[str, int] = {}
        self.numbers: dict[str, str] = {}


class RefundMachine(RuleBasedStateMachine):
    """One order of 100 fen, one merchant, two processes, and time."""

    @initialize(policy=st.sampled_from(LatePolicy))
    def open(self, policy: LatePolicy) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(NOW)
        self.orders = MemoryOrders()
        self.till = Till(self.orders, self.clock, policy)
        self.ledger = Ledger(self.orders, self.clock)
        self.model = Model()
        self.number = "20260301120506abc"
        self.orders.orders[self.number] = an_order(self.number, total=Fen(TOTAL), next_check_at=None)

    def teardown(self) -> None:
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, R]) -> R | FenpayError | Died:
        try:
            return self.loop.run_until_complete(work)
        except (FenpayError, Died) as error:
            return error

    @property
    def order(self) -> Any:
        return self.orders.orders[self.number]

    # -- what can happen ------------------------------------------------------------------------------------------

    @rule(transaction=st.sampled_from(["4200-1", "4200-2"]), total=st.sampled_from([TOTAL, TOTAL, 99]))
    def pay(self, transaction: str, total: int) -> None:
        told = Transaction(
            "wxsim0123456789",
            "sim1900000109",
            self.number,
            RemoteState.SUCCESS,
            total,
            transaction_id=transaction,
            trade_type="JSAPI",
            openid="osim-a",
            success_time=self.clock.now(),
        )
        was = self.order.trade_state
        answer = self.run(self.ledger.apply(Verified(told, "model"), source="notify"))
        if total != TOTAL:
            assert isinstance(answer, Mismatch)
            assert self.order.trade_state is was
            return
        if self.model.paid and transaction not in self.model.paid:
            assert isinstance(answer, Mismatch)
            assert answer.reason == "second_payment"
            self.run(self.till.late.second_payment(Verified(told, "model")))
            return
        self.model.paid.add(transaction)

    @rule()
    def close(self) -> None:
        self.model.closed_first |= not self.model.paid
        self.run(self.ledger.closed(self.order, OrderEvent(self.clock.now(), "closed", "model")))

    @rule(amount=amounts, key=keys, mood=moods)
    def refund(self, amount: int, key: str, mood: str) -> None:
        self.mood(mood)
        wanted = RefundWanted(refund=amount, reason="缺货")
        answer = self.run(self.till.refunds.request(self.order, wanted, by="shop", idempotency_key=key))
        if not self.model.paid or (key and self.model.wishes.setdefault(key, amount) != amount):
            assert isinstance(answer, CallerError)
        elif key and not isinstance(answer, FenpayError | Died):
            assert self.model.numbers.setdefault(key, answer.out_refund_no) == answer.out_refund_no

    @precondition(lambda self: bool(self.model.paid))
    @rule(amount=amounts, at=st.integers(1, 12), after=st.booleans(), mood=moods)
    def refund_and_die(self, amount: int, at: int, after: bool, mood: str) -> None:
        self.mood(mood)
        wanted = RefundWanted(refund=amount, reason="缺货")
        self.run(self.till.mortal(Fuse(at, after)).request(self.order, wanted, by="shop"))

    @rule(minutes=st.sampled_from([0, 1, 1, 2, 10, 600]), mood=moods)
    def work(self, minutes: int, mood: str) -> None:
        self.clock.advance(60 * minutes)
        self.mood(mood)
        for _ in range(60):
            if self.run(self.till.worker.once()) is not True:
                return

    @rule(at=st.integers(1, 12), after=st.booleans(), mood=moods)
    def work_and_die(self, at: int, after: bool, mood: str) -> None:
        self.clock.advance(61)
        self.mood(mood)
        due = self.run(self.till.store.claim_due(self.clock.now(), timedelta(minutes=1)))
        if due and not isinstance(due, FenpayError | Died):
            self.run(self.till.mortal(Fuse(at, after)).advance(due))

    @rule()
    def settle_late_money(self) -> None:
        due = self.run(self.orders.claim_due(self.clock.now(), timedelta(minutes=1)))
        if due and not isinstance(due, FenpayError | Died):
            assert due.trade_state is TradeState.PAID_LATE
            self.run(self.till.late.settle(due))

    @precondition(lambda self: bool(self.till.desk.taken))
    @rule(data=st.data(), state=st.sampled_from(["SUCCESS", "CLOSED", "ABNORMAL"]), tell=st.booleans())
    def wechat_decides(self, data: st.DataObject, state: str, tell: bool) -> None:
        """A refund under way comes to an end there, told or not; an end stays."""
        number = data.draw(st.sampled_from(list(self.till.desk.taken)))
        known = self.till.desk.taken[number]
        if known.state in (RefundState.PROCESSING, RefundState.ABNORMAL):
            self.till.desk.taken[number] = replace(known, state=RefundState(state))
        if tell:
            told = Verified(self.till.desk.taken[number], "model")
            answer = self.run(self.till.refunds.apply(told, source="notify"))
            assert not isinstance(answer, FenpayError)

    @precondition(lambda self: bool(self.till.store.refunds))
    @rule(data=st.data(), mood=moods)
    def query(self, data: st.DataObject, mood: str) -> None:
        self.mood(mood)
        number = data.draw(st.sampled_from(list(self.till.store.refunds)))
        answer = self.run(self.till.refunds.query(self.till.store.refunds[number]))
        assert not isinstance(answer, CallerError | Mismatch)

    def mood(self, mood: str) -> None:
        desk = self.till.desk
        desk.before, desk.after, desk.judge = [], [], lambda refund: None
        desk.answers_as = RefundState.SUCCESS if mood == "at once" else RefundState.PROCESSING
        if mood == "lost before":
            desk.before = [lost()]
        elif mood == "lost after":
            desk.after = [lost()]
        elif mood == "no":
            desk.judge = lambda refund: refused("NOT_ENOUGH")

    # -- what holds at every moment -------------------------------------------------------------------------------

    @invariant()
    def no_more_is_promised_than_was_paid(self) -> None:
        held = self.orders.reserved.get(self.number, {})
        assert self.order.refund_reserved == sum(held.values()) <= (TOTAL if self.model.paid else 0)

    @invariant()
    def wechat_gives_back_no_more_than_it_took(self) -> None:
        refunds = self.till.store.refunds
        taken = [fact for fact in self.till.desk.taken.values() if fact.state is not RefundState.CLOSED]
        own = [fact.refund for fact in taken if not refunds[fact.out_refund_no].surplus]
        surplus = [fact.refund for fact in taken if refunds[fact.out_refund_no].surplus]
        assert sum(own) <= TOTAL
        assert sum(surplus) <= TOTAL

    @invariant()
    def what_wechat_took_is_put_aside(self) -> None:
        held = self.orders.reserved.get(self.number, {})
        for number, told in self.till.desk.taken.items():
            if told.state is not RefundState.CLOSED and not self.till.store.refunds[number].surplus:
                assert held.get(number) == told.refund

    @invariant()
    def whoever_is_not_done_has_a_date(self) -> None:
        held = self.orders.reserved.get(self.number, {})
        for number, refund in self.till.store.refunds.items():
            if refund.state in OPEN or (refund.state in RELEASING and number in held):
                assert refund.next_check_at is not None

    @invariant()
    def refunds_keep_their_distance(self) -> None:
        refunds = self.till.store.refunds.values()
        sent = sorted(event.at for refund in refunds for event in refund.events if event.what == "sent")
        assert all(later - earlier >= SPACING for earlier, later in pairwise(sent))

    @invariant()
    def the_order_is_where_the_model_says(self) -> None:
        state = self.order.trade_state
        if not self.model.paid:
            assert state in (TradeState.NOTPAY, TradeState.CLOSED)
        else:
            late = TradeState.PAID_LATE if self.model.closed_first else TradeState.SUCCESS
            assert state in (late, TradeState.REFUND)

    @invariant()
    def each_end_is_told_once(self) -> None:
        ends = {"refund.succeeded", "refund.failed"}
        told = [number for number, what in self.till.store.outbox if what in ends]
        done = [number for number, refund in self.till.store.refunds.items() if not refund.open]
        assert sorted(told) == sorted(done)


RefundMachine.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRefundMachine = RefundMachine.TestCase
