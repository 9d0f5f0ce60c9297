"""Orders and refunds against a plain model: any order of events, on any clock, with a WeChat that answers as it likes.

Steps: create, pay and pay again (notified or not), close, refund, cancel, query of either, crash in the middle of any of these,
answers of the store that are lost, time and workers, events handed out, refunds by hand at WeChat, and the bill with
its repairs. Two processes take turns. The small form runs with the suite; the one to run before a release has 2,000
runs of 50 steps: ``EXAMPLES=2000 pytest tests/unit/refunds/test_refund_machine.py --timeout 3600``.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proof.runtime.chance import SeededRandom
from storage.documents import Document
from storage.memory.documents import MemoryDocuments
from storage.stores.all import NUMBERS, ORDERS
from tests.contract.samples import NOW, an_order, paid
from tests.support.clock import ManualClock
from tests.support.core import DEFAULTS, Backend, Core, CrashingProxy, CrashPoint, SimulatedCrash
from tests.support.one_order_gateway import CrashingGateway, OneOrderGateway
from tests.support.refund_fixture import FakeRefundGateway, lost, refused
from wechat.domain.errors import CallerError, Conflict, FenpayError, Mismatch, OutcomeUnknown, StoreUnavailable
from wechat.domain.events import EventType, OutgoingEvent
from wechat.domain.facts import Api, RefundState, RemoteRefund, Verified
from wechat.domain.money import Fen
from wechat.domain.numbers import payment_number, refund_number
from wechat.domain.orders import MAX_TIMELINE, MIN_REFUND_INTERVAL, Order, Refund, TradeState
from wechat.domain.payments import MAX_PAYMENTS
from wechat.domain.ports import WRITES_KEPT, Stored
from wechat.domain.refunds import (
    CANCELLED,
    LEASE,
    MAX_FAILED,
    MAX_REFUND_TIMELINE,
    MAX_REFUNDS,
    POLICY,
    LeaseLost,
    has_room,
)
from wechat.domain.transitions import remove_events
from wechat.orders.requests import CreateOrderRequest
from wechat.orders.updates import OrderUpdates
from wechat.pay.gateway import Gateway, RefundGateway
from wechat.reconciliation.books import BookEntry, DifferenceKind, classify
from wechat.refunds.drafts import BillRefund
from wechat.refunds.late_payments import REASON, LatePolicy, surplus_refund
from wechat.refunds.requests import RefundRequest
from wechat.support.update import Change, Transition

TOTAL = 100
EXAMPLES = int(os.environ.get("EXAMPLES", "60"))
R = TypeVar("R")

amounts = st.sampled_from([1, 2, 30, 50, 60, 99, 100])
keys = st.sampled_from(["", "k1", "k2", "k3"])
moods = st.sampled_from(["well", "at once", "lost before", "lost after", "no"])
processes = st.integers(0, 1)

SALE = CreateOrderRequest(description="拿铁咖啡", total=TOTAL, openid="osim-a", out_trade_no="20260301120506abc")
NEIGHBOUR = "20260301120506def"
"""The number of a second order, paid from the start; only ``refund_by_number`` changes it."""
ON_BILLS = {RefundState.SUCCESS: "SUCCESS", RefundState.CLOSED: "FAIL", RefundState.ABNORMAL: "CHANGE"}
ENDS = frozenset({EventType.REFUND_SUCCEEDED, EventType.REFUND_FAILED})
PAID = frozenset({EventType.ORDER_PAID, EventType.ORDER_PAID_LATE})
LONG_ENOUGH = MAX_TIMELINE // 2 + 1
"""Refused requests, two lines each, that fill the order's timeline and more than its share of failed refunds."""
ROUNDS = 60
"""More than a worker needs until nothing is due."""


class CheckedUpdates(OrderUpdates):
    """Applies each transition twice: the second time must change nothing more, or be refused. ``wrong`` are those that
    did more. ``dropped`` are the numbers of refunds that made room for later ones."""

    wrong: list[str]
    dropped: set[str]

    async def update(self, key: str, transition: Transition[Order]) -> Change[Order]:
        return await super().update(key, self._twice(transition))

    async def change(self, stored: Stored[Order], transition: Transition[Order]) -> Change[Order] | None:
        return await super().change(stored, self._twice(transition))

    def _twice(self, transition: Transition[Order]) -> Transition[Order]:
        def apply(order: Order) -> Order:
            once = transition(order)
            kept = {refund.out_refund_no for refund in once.refunds}
            self.dropped.update(refund.out_refund_no for refund in order.refunds if refund.out_refund_no not in kept)
            try:
                twice = transition(once)
            except (LeaseLost, Conflict, Mismatch):
                return once
            if twice != once:
                self.wrong.append(f"{transition} made {twice} of {once}")
            return once

        return apply


class LostAnswers:
    """Loses the answers to writes of a collection, as many as ``after`` has entries: each says whether the write
    happened all the same."""

    def __init__(self, documents: MemoryDocuments) -> None:
        self.after: list[bool] = []
        for name in ("insert_many", "replace_many"):
            setattr(documents, name, self._losing(getattr(documents, name)))

    def _losing(self, write: Callable[[Any], Awaitable[R]]) -> Callable[[Any], Coroutine[Any, Any, R]]:
        async def call(batch: Any) -> R:
            after = self.after.pop() if self.after else None
            if after is None:
                return await write(batch)
            if after:
                await write(batch)
            raise StoreUnavailable

        return call


class Model:
    """The expected state, tracked independently: recorded payments, the request of each key, the order of each refund
    number, events handed out, and the times at which refunds were sent."""

    def __init__(self) -> None:
        self.paid: set[str] = set()
        self.closed_first = False
        self.requests: dict[str, int] = {}
        self.numbers: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        self.payments: dict[str, str] = {}
        self.by_hand: set[str] = set()
        self.events: list[tuple[str, OutgoingEvent]] = []
        self.sent: dict[str, set[datetime]] = defaultdict(set)


class RefundMachine(RuleBasedStateMachine):
    """Steps on an order of 100 fen and a second order: two processes, an operator at WeChat's console, a moving clock."""

    @initialize(policy=st.sampled_from(LatePolicy), seed=st.integers(0, 2**32))
    def open(self, policy: LatePolicy, seed: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(NOW)
        self.backend = Backend(self.clock, random=SeededRandom(Random(seed)))
        self.lost_answers = LostAnswers(self.backend.database[ORDERS])
        self.policy = policy
        self.cashier, self.refund_gateway = OneOrderGateway(self.clock), FakeRefundGateway()
        self.wrong: list[str] = []
        self.dropped: set[str] = set()
        self.model = Model()
        self.number = str(SALE.out_trade_no)
        self.asked_in_vain = False
        self._seen: tuple[tuple[int, ...], dict[str, Order]] = ((), {})
        neighbour = paid(an_order(NEIGHBOUR, total=Fen(TOTAL)), "4200-9")
        self.backend.put(replace(neighbour, outbox=()))
        self.both = (self.process(), self.process())

    def process(self, crash_point: CrashPoint | None = None) -> Core:
        """Return another process over the same stores; with a ``crash_point`` it dies there."""
        cashier = cast(Gateway, CrashingGateway(self.cashier, crash_point) if crash_point else self.cashier)
        refund_gateway = cast(
            RefundGateway, CrashingProxy(self.refund_gateway, crash_point) if crash_point else self.refund_gateway
        )
        core = Core(
            self.backend,
            {Api.V3: cashier},
            dict.fromkeys(Api, refund_gateway),
            policy=self.policy,
            crash_point=crash_point,
            updates=CheckedUpdates,
        )
        updates = cast(CheckedUpdates, core.updates)
        updates.wrong, updates.dropped = self.wrong, self.dropped
        return core

    def teardown(self) -> None:
        if self.there:
            self.come_to_rest()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, R]) -> R | FenpayError | SimulatedCrash:
        try:
            return self.loop.run_until_complete(work)
        except (FenpayError, SimulatedCrash) as error:
            return error

    # -- what is stored -------------------------------------------------------------------------------------------

    @property
    def orders(self) -> dict[str, Order]:
        """The stored orders, read once for each change."""
        revs = tuple([document["rev"] for document in self.documents])
        if self._seen[0] != revs:
            self._seen = (revs, self.backend.orders)
        return self._seen[1]

    @property
    def documents(self) -> list[Document]:
        return self.backend.database[ORDERS].everything()

    @property
    def there(self) -> bool:
        return self.number in self.orders

    @property
    def order(self) -> Order:
        return self.orders[self.number]

    @property
    def refunds(self) -> dict[str, Refund]:
        return {refund.out_refund_no: refund for order in self.orders.values() for refund in order.refunds}

    @property
    def events(self) -> list[tuple[str, OutgoingEvent]]:
        """Everything that was ever staged, each with its order."""
        waiting = [(number, event) for number, order in self.orders.items() for event in order.outbox]
        return [*self.model.events, *waiting]

    # -- what can happen ------------------------------------------------------------------------------------------

    @rule(by=processes, mood=moods)
    def create(self, by: int, mood: str) -> None:
        """Placed any number of times, it is one order."""
        self.mood(mood)
        self.run(self.both[by].orders.place_order(SALE, merchant="shop", client_ip="203.0.113.7"))
        assert sorted(self.orders) == [self.number, NEIGHBOUR]

    @rule(at=st.integers(1, 12), after=st.booleans(), mood=moods)
    def create_and_die(self, at: int, after: bool, mood: str) -> None:
        self.mood(mood)
        dying = self.process(CrashPoint(at, after))
        self.run(dying.orders.place_order(SALE, merchant="shop", client_ip="203.0.113.7"))

    @precondition(lambda self: self.there and self.cashier.placed)
    @rule(
        by=processes,
        transaction=st.sampled_from(["4200-1", "4200-2"]),
        total=st.sampled_from([TOTAL, TOTAL, 99]),
        told=st.booleans(),
    )
    def pay(self, by: int, transaction: str, total: int, told: bool) -> None:
        """A payment, by the rules or against them, for the first or the second time; its notification may be lost."""
        if total == TOTAL and transaction not in self.cashier.payments:
            self.cashier.payments.append(transaction)
        if told:
            self.notify(self.both[by], transaction, total)

    def notify(self, process: Core, transaction: str, total: int) -> None:
        was, fact = self.order.trade_state, self.cashier.paid(transaction, total)
        answer = self.run(process.recorder.apply(fact, source="notify"))
        if total != TOTAL:
            assert isinstance(answer, Mismatch)
            assert self.order.trade_state is was
        elif self.model.paid and transaction not in self.model.paid:
            assert isinstance(answer, Mismatch)
            assert answer.reason == "second_payment"
            self.run(process.late_payments.refund_second(fact))
        else:
            assert self.order.transaction_id == transaction
        if total == TOTAL:
            assert transaction in [payment.transaction_id for payment in self.order.payments]

    @precondition(lambda self: self.there and self.cashier.placed)
    @rule(transaction=st.sampled_from(["4200-1", "4200-2"]), at=st.integers(1, 12), after=st.booleans())
    def pay_and_die(self, transaction: str, at: int, after: bool) -> None:
        """Crash the process while it handles the notification; WeChat repeats the notification."""
        if transaction not in self.cashier.payments:
            self.cashier.payments.append(transaction)
        fact, dying = self.cashier.paid(transaction, TOTAL), self.process(CrashPoint(at, after))
        if isinstance(self.run(dying.recorder.apply(fact, source="notify")), Mismatch):
            self.run(dying.late_payments.refund_second(fact))

    @precondition(lambda self: self.there)
    @rule(by=processes, mood=moods)
    def close(self, by: int, mood: str) -> None:
        self.mood(mood)
        self.run(self.both[by].orders.close(self.number, source="merchant"))

    @precondition(lambda self: self.there)
    @rule(at=st.integers(1, 10), after=st.booleans(), mood=moods)
    def close_and_die(self, at: int, after: bool, mood: str) -> None:
        self.mood(mood)
        self.run(self.process(CrashPoint(at, after)).orders.close(self.number, source="merchant"))

    @precondition(lambda self: self.there)
    @rule(by=processes, mood=moods)
    def query_order(self, by: int, mood: str) -> None:
        """A payment that WeChat has taken is recorded once it was queried and has answered."""
        self.mood(mood)
        answer = self.run(self.both[by].orders.query(self.number))
        if self.cashier.payments and not isinstance(answer, OutcomeUnknown):
            assert self.order.paid

    @precondition(lambda self: self.there)
    @rule(by=processes, amount=amounts, key=keys, mood=moods)
    def refund(self, by: int, amount: int, key: str, mood: str) -> None:
        self.mood(mood)
        wanted = RefundRequest(refund=amount, reason="缺货")
        answer = self.run(self.both[by].refunds.request(self.number, wanted, by="shop", idempotency_key=key))
        if not self.model.paid or (key and self.model.requests.setdefault(key, amount) != amount):
            assert isinstance(answer, CallerError)
        elif key and not isinstance(answer, FenpayError | SimulatedCrash):
            assert self.model.numbers.setdefault(key, answer.out_refund_no) == answer.out_refund_no

    @precondition(lambda self: bool(self.model.paid))
    @rule(amount=amounts, at=st.integers(1, 12), after=st.booleans(), mood=moods)
    def refund_and_die(self, amount: int, at: int, after: bool, mood: str) -> None:
        self.mood(mood)
        wanted = RefundRequest(refund=amount, reason="缺货")
        self.run(self.process(CrashPoint(at, after)).refunds.request(self.number, wanted, by="shop"))

    @precondition(lambda self: self.there)
    @rule(
        of_neighbour=st.booleans(),
        number=st.sampled_from(["refund-1", "refund-2"]),
        amount=amounts,
        at=st.sampled_from([0, 0, 0, *range(1, 10)]),
        after=st.booleans(),
        mood=moods,
    )
    def refund_by_number(self, of_neighbour: bool, number: str, amount: int, at: int, after: bool, mood: str) -> None:
        """A number that the caller brings is that of one refund, of one order."""
        self.mood(mood)
        order = NEIGHBOUR if of_neighbour else self.number
        wanted = RefundRequest(refund=amount, reason="缺货", out_refund_no=number)
        answer = self.run(self.process(CrashPoint(at, after)).refunds.request(order, wanted, by="shop"))
        if isinstance(answer, Refund):
            assert (answer.out_trade_no, answer.out_refund_no, answer.refund) == (order, number, amount)
        elif not at and self.model.owners.get(number, order) != order:
            assert isinstance(answer, Conflict)

    @precondition(lambda self: bool(self.model.paid) and not self.asked_in_vain)
    @rule(by=processes, times=st.sampled_from([3, LONG_ENOUGH]))
    def ask_in_vain(self, by: int, times: int) -> None:
        """A job that requests a new refund each time WeChat refuses one because the balance is too low."""
        self.asked_in_vain = times == LONG_ENOUGH
        self.mood("no")
        wanted = RefundRequest(refund=1, reason="缺货")
        for _ in range(times):
            self.clock.advance(MIN_REFUND_INTERVAL.total_seconds())
            self.run(self.both[by].refunds.request(self.number, wanted, by="job"))

    @rule(by=processes, minutes=st.sampled_from([0, 1, 1, 2, 10, 31, 600]), mood=moods)
    def work(self, by: int, minutes: int, mood: str) -> None:
        self.clock.advance(60 * minutes)
        self.mood(mood)
        for _ in range(ROUNDS):
            if self.run(self.both[by].work_once()) is False:
                return
        raise AssertionError("there is always something due")

    @rule(minutes=st.sampled_from([0, 1, 2, 31]), at=st.integers(1, 30), after=st.booleans(), mood=moods)
    def work_and_die(self, minutes: int, at: int, after: bool, mood: str) -> None:
        self.clock.advance(60 * minutes + 1)
        self.mood(mood)
        self.run(self.process(CrashPoint(at, after)).work_once())

    @rule(after=st.booleans())
    def lose_an_answer(self, after: bool) -> None:
        """The next write of an order gets no answer; whoever made it finds out whether it happened."""
        self.lost_answers.after = [after]

    @rule(by=processes)
    def hand_out(self, by: int) -> None:
        """The relay hands out what is staged."""
        for number, order in self.orders.items():
            if order.outbox:
                self.model.events += [(number, event) for event in order.outbox]
                ids = frozenset(event.id for event in order.outbox)
                self.run(self.both[by].updates.update(order.key, partial(remove_events, ids=ids)))

    @precondition(lambda self: bool(self.cashier.payments))
    @rule(amount=amounts, data=st.data())
    def refund_by_hand(self, amount: int, data: st.DataObject) -> None:
        """Refund ``amount`` at WeChat's console, without a notification, if the payment has that much left."""
        payment = data.draw(st.sampled_from(self.cashier.payments))
        if amount <= self.room(payment):
            number = f"console-{len(self.model.by_hand)}"
            self.model.by_hand.add(number)
            self.model.payments[number] = payment
            state, numbers = RefundState.PROCESSING, (DEFAULTS.mchid, number, self.number, f"5030{number}")
            self.refund_gateway.taken[number] = RemoteRefund(*numbers, state, amount, TOTAL, transaction_id=payment)

    @precondition(lambda self: bool(self.refund_gateway.taken))
    @rule(by=processes, data=st.data(), state=st.sampled_from(["SUCCESS", "CLOSED", "ABNORMAL"]), tell=st.booleans())
    def wechat_decides(self, by: int, data: st.DataObject, state: str, tell: bool) -> None:
        """A refund under way comes to an end there, notified or not; an end stays."""
        number = data.draw(st.sampled_from(list(self.refund_gateway.taken)))
        known = self.refund_gateway.taken[number]
        if known.state in (RefundState.PROCESSING, RefundState.ABNORMAL):
            self.refund_gateway.taken[number] = replace(known, state=RefundState(state))
        if tell:
            fact = Verified(self.refund_gateway.taken[number], "model")
            answer = self.run(self.both[by].refunds.apply(fact, source="notify"))
            assert isinstance(answer, FenpayError) is (number not in self.refunds)

    @precondition(lambda self: bool(self.refunds))
    @rule(by=processes, data=st.data(), mood=moods)
    def query(self, by: int, data: st.DataObject, mood: str) -> None:
        self.mood(mood)
        number = data.draw(st.sampled_from(list(self.refunds)))
        answer = self.run(self.both[by].refunds.query(number))
        assert not isinstance(answer, CallerError | Mismatch)

    @precondition(lambda self: bool(self.refunds))
    @rule(data=st.data(), at=st.sampled_from([0, 0, 0, *range(1, 7)]), after=st.booleans(), mood=moods)
    def cancel(self, data: st.DataObject, at: int, after: bool, mood: str) -> None:
        """A refund is cancelled, one that waits if there is any."""
        waiting = [number for number, refund in self.refunds.items() if refund.state is RefundState.REQUESTED]
        number = data.draw(st.sampled_from(waiting or list(self.refunds)))
        self.cancel_one(number, self.process(CrashPoint(at, after)), mood)

    def cancel_one(self, number: str, process: Core, mood: str) -> None:
        self.mood(mood)
        answer = self.run(process.refunds.cancel(number, by="clerk"))
        if isinstance(answer, Refund):
            assert not answer.reserves
        elif isinstance(answer, Conflict):
            assert self.refunds[number].reserves
        else:
            assert isinstance(answer, SimulatedCrash | StoreUnavailable)

    @rule(by=processes, amount=amounts, asked=moods, mood=moods)
    def refund_and_cancel(self, by: int, amount: int, asked: str, mood: str) -> None:
        """Cancelled when no request for it can be under way any more, whatever WeChat has made of it."""
        number = f"given-up-{len(self.refunds)}"
        self.refund_by_number(True, number, amount, 0, False, asked)
        self.clock.advance(LEASE.total_seconds())
        if number in self.refunds:
            self.cancel_one(number, self.both[by], mood)

    @precondition(lambda self: self.there)
    @rule(by=processes)
    def bill(self, by: int) -> None:
        """Each line of WeChat's is compared, and what differs is repaired as an operator would."""
        self.mood("well")
        for payment in self.cashier.payments:
            self.repair_payment(self.both[by], payment)
        for number in list(self.refund_gateway.taken):
            self.repair_refund(self.both[by], number)

    def repair_payment(self, process: Core, payment: str) -> None:
        first = payment == self.cashier.payments[0]
        kind = self.judged(payment)
        if kind in (DifferenceKind.MISSING_HERE, DifferenceKind.STATE) and first:
            self.run(process.orders.query(self.number))
            assert self.judged(payment) is None
        elif kind is DifferenceKind.DOUBLE_PAYMENT and self.order.paid:
            before, number = self.order, surplus_refund(payment)
            answer = self.run(process.refunds.refund_payment(before, payment, number, REASON))
            if isinstance(answer, Conflict):  # somebody has refunded a part of it by hand
                assert number not in self.refunds
                assert not has_room(before, self.a_return_of(payment))
            else:
                assert self.refunds[number].surplus
        else:
            assert kind is None or not first

    def repair_refund(self, process: Core, number: str) -> None:
        kind = self.judged_refund(number)
        if kind is DifferenceKind.STATE:
            self.run(process.refunds.query(number))
            assert self.judged_refund(number) is None
        elif kind is DifferenceKind.REFUND_MISSING_HERE and self.order.paid:
            told = self.refund_gateway.taken[number]
            found = BillRefund(number, self.paid_by(number), told.refund, self.clock.now())
            answer = self.run(process.refunds.adopt(self.orders[told.out_trade_no], found))
            assert isinstance(answer, Conflict) or self.judged_refund(number) is None  # no room while ours are open
        else:
            assert kind in (None, DifferenceKind.REFUND_MISSING_HERE)

    def judged(self, payment: str) -> DifferenceKind | None:
        """The difference that reconciliation finds for the bill line of ``payment``, or None."""
        order, nth = self.order, self.cashier.payments.index(payment) + 1
        ours = BookEntry(self.number, order.transaction_id, "", "", order.total, "CNY", order.trade_state)
        return classify(ours, BookEntry(self.number, payment, "", "", TOTAL, "CNY", "SUCCESS"), nth=nth)

    def judged_refund(self, number: str) -> DifferenceKind | None:
        """The difference that reconciliation finds for the bill line of the refund ``number``, or None."""
        told, refund = self.refund_gateway.taken[number], self.refunds.get(number)
        status, order = ON_BILLS.get(told.state, "PROCESSING"), told.out_trade_no
        theirs = BookEntry(order, self.paid_by(number), number, told.refund_id, told.refund, "CNY", status)
        if refund is None:
            return classify(None, theirs)
        ours = BookEntry(refund.out_trade_no, refund.transaction_id, number, "", refund.refund, "CNY", refund.state)
        return classify(ours, theirs)

    def come_to_rest(self) -> None:
        """Complete all refunds at WeChat, run the bill and the workers, and check that both sides agree."""
        for number, known in self.refund_gateway.taken.items():
            if known.state in (RefundState.PROCESSING, RefundState.ABNORMAL):
                self.refund_gateway.taken[number] = replace(known, state=RefundState.SUCCESS)
        for by in (0, 1, 0, 1):
            self.bill(by)
            for _ in range(ROUNDS):
                self.work(by, 24 * 60, "at once")
                if not any(refund.open for refund in self.refunds.values()):
                    break
        assert not self.cashier.payments or self.judged(self.cashier.payments[0]) in (
            None,
            DifferenceKind.DOUBLE_PAYMENT,
        )
        assert [self.judged_refund(number) for number in self.refund_gateway.taken] == [None] * len(
            self.refund_gateway.taken
        )
        for order in self.orders.values():
            assert (order.due_at, order.check_lease) == (None, "")
            assert not any(refund.open or refund.lease for refund in order.refunds)
        self.no_more_is_reserved_than_was_paid()
        self.whatever_wechat_took_is_reserved()
        self.each_end_is_staged_once()
        self.each_event_is_staged_once()
        self.a_transition_applied_twice_changes_nothing_more()
        self.documents_stay_bounded()

    def a_return_of(self, payment: str) -> Refund:
        """A refund of the whole of ``payment``."""
        return Refund(
            "twice", self.number, payment, Api.V3, "", "", Fen(TOTAL), Fen(TOTAL), "", "", "", self.clock.now()
        )

    def paid_by(self, number: str) -> str:
        """The payment that a refund at WeChat is of."""
        return self.model.payments.get(number) or self.refunds[number].transaction_id

    def room(self, payment: str) -> int:
        """The amount of ``payment`` that WeChat can still refund, in fen."""
        taken = self.refund_gateway.taken.items()
        return TOTAL - sum(
            fact.refund
            for number, fact in taken
            if fact.state is not RefundState.CLOSED and self.paid_by(number) == payment
        )

    def mood(self, mood: str) -> None:
        refund_gateway, cashier = self.refund_gateway, self.cashier
        refund_gateway.before, refund_gateway.after, cashier.before, cashier.after = [], [], [], []
        refund_gateway.judge = lambda refund: refused() if refund.refund > self.room(refund.transaction_id) else None
        refund_gateway.answers_as = RefundState.SUCCESS if mood == "at once" else RefundState.PROCESSING
        if mood == "lost before":
            refund_gateway.before, cashier.before = [lost()], [lost("pay")]
        elif mood == "lost after":
            refund_gateway.after, cashier.after = [lost()], [lost("pay")]
        elif mood == "no":
            refund_gateway.judge = lambda refund: refused()

    # -- what holds at every moment -------------------------------------------------------------------------------

    @invariant()
    def no_more_is_reserved_than_was_paid(self) -> None:
        for order in self.orders.values():
            reserved: Counter[str] = Counter()
            counted: Counter[str] = Counter()
            for refund in order.refunds:
                assert refund.surplus is (refund.transaction_id != order.transaction_id)
                if refund.reserves:
                    reserved[refund.transaction_id] += refund.refund
                    counted[refund.transaction_id] += 1
            assert order.paid or not order.refunds
            assert all(amount <= TOTAL for amount in reserved.values())
            assert all(count <= MAX_REFUNDS for count in counted.values())
            assert order.refund_reserved == reserved[order.transaction_id]

    @invariant()
    def wechat_refunds_no_more_than_it_took(self) -> None:
        assert all(self.room(payment) >= 0 for payment in [*self.cashier.payments, "4200-9"])

    @invariant()
    def whatever_wechat_took_is_reserved(self) -> None:
        refunds = self.refunds
        for number, told in self.refund_gateway.taken.items():
            if number in refunds and told.state is not RefundState.CLOSED:
                assert refunds[number].reserves
                assert (refunds[number].refund, refunds[number].out_trade_no) == (told.refund, told.out_trade_no)
            elif number not in refunds and number not in self.model.by_hand:
                assert told.state is RefundState.CLOSED

    @invariant()
    def what_was_cancelled_never_goes_out(self) -> None:
        """Nor is a refund that the policy requested ever cancelled."""
        for number, refund in self.refunds.items():
            if refund.refusal == CANCELLED:
                assert number not in self.refund_gateway.taken
                assert refund.by != POLICY

    @invariant()
    def whoever_is_not_done_has_a_date(self) -> None:
        for order in self.orders.values():
            if order.trade_state is TradeState.NOTPAY:
                assert order.next_check_at is not None
            for refund in order.refunds:
                assert (refund.next_check_at is not None) is refund.open
                assert refund.open or not refund.lease
            assert order.check_lease == "" or order.next_check_at is not None
            dates = [order.next_check_at, *(refund.next_check_at for refund in order.refunds)]
            due = self.backend.database[ORDERS].peek(order.key) or {}
            assert due.get("due_at") == min((date for date in dates if date), default=None)

    @invariant()
    def refunds_keep_their_distance(self) -> None:
        """Including refunds that the order no longer stores."""
        for order in self.orders.values():
            sent = self.model.sent[order.out_trade_no]
            own = [entry for refund in order.refunds for entry in refund.timeline if entry.source != "console"]
            now = [entry.at for entry in own if entry.what == "sent"]
            assert len(now) == len(set(now))
            sent.update(now)
            assert all(later - earlier >= MIN_REFUND_INTERVAL for earlier, later in pairwise(sorted(sent)))

    @invariant()
    def the_order_is_where_the_model_says(self) -> None:
        if not self.there:
            return
        state = self.order.trade_state
        if state is TradeState.CLOSED:
            self.model.closed_first = True
            assert self.cashier.closed or not self.cashier.placed
        elif self.order.paid:
            assert self.order.transaction_id in self.cashier.payments
            self.model.paid.add(self.order.transaction_id)
            assert self.model.paid == {self.order.transaction_id}
            late = TradeState.PAID_LATE if self.model.closed_first else TradeState.SUCCESS
            assert state in (late, TradeState.REFUND)
        else:
            assert not self.model.paid
        closed = [event for _, event in self.events if event.type is EventType.ORDER_CLOSED]
        assert len(closed) == self.model.closed_first

    @invariant()
    def a_payment_is_staged_once(self) -> None:
        told = [event.type for number, event in self.events if number == self.number and event.type in PAID]
        assert len(told) == (self.there and self.order.paid)

    @invariant()
    def each_end_is_staged_once(self) -> None:
        """A refund that made room for later ones may come back, by its caller or by a bill, and end again."""
        told = Counter(event.out_refund_no for _, event in self.events if event.type in ENDS)
        refunds = self.refunds
        for number, refund in refunds.items():
            assert refund.open or told[number] >= 1
            assert told[number] <= 1 or number in self.dropped
        assert {number for number in told if number not in refunds} <= self.dropped

    @invariant()
    def each_event_is_staged_once(self) -> None:
        for number, order in self.orders.items():
            own = [event for of, event in self.events if of == number]
            ids = [event.id for event in own if event.out_refund_no not in self.dropped]
            assert len(ids) == len(set(ids))
            first = 2 if number == NEIGHBOUR else 1  # the neighbour's payment was handed out before
            assert [event.sequence for event in own] == list(range(first, order.sequence + 1))

    @invariant()
    def each_number_belongs_to_one_order(self) -> None:
        held = [refund.out_refund_no for order in self.orders.values() for refund in order.refunds]
        assert len(held) == len(set(held))
        numbers = self.backend.database[NUMBERS]
        for order in self.orders.values():
            for refund in order.refunds:
                assert self.model.owners.setdefault(refund.out_refund_no, order.out_trade_no) == order.out_trade_no
                self.model.payments[refund.out_refund_no] = refund.transaction_id
                assert (numbers.peek(refund_number(order.mchid, refund.out_refund_no)) or {})["order"] == order.key
        if self.there:
            for payment in self.order.payments:
                use = numbers.peek(payment_number(self.order.mchid, payment.transaction_id)) or {}
                assert use["order"] == self.order.key

    @invariant()
    def a_transition_applied_twice_changes_nothing_more(self) -> None:
        assert self.wrong == []

    @invariant()
    def documents_stay_bounded(self) -> None:
        for order in self.orders.values():
            assert len(order.timeline) <= MAX_TIMELINE
            assert len(order.payments) <= MAX_PAYMENTS
            assert all(len(refund.timeline) <= MAX_REFUND_TIMELINE for refund in order.refunds)
            told = {event.out_refund_no for event in order.outbox}
            failed = [refund for refund in order.refunds if not refund.reserves]
            assert len(failed) <= MAX_FAILED or sum(refund.out_refund_no not in told for refund in failed) == 0
        assert all(len(document["writes"]) <= WRITES_KEPT for document in self.documents)


RefundMachine.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRefundMachine = pytest.mark.timeout(600)(RefundMachine.TestCase)
