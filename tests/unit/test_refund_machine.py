"""Orders and refunds against a plain model: any order of events, on any clock, with a WeChat that answers as it likes.

Steps: create, pay and pay again (told or not), close, refund, query of either, crash in the middle of any of these,
time and workers, refunds by hand at WeChat, and the bill with its repairs. The small form runs with the suite; the one
to run before a release has 2,000 runs of 50 steps: ``EXAMPLES=2000 pytest tests/unit/test_refund_machine.py
--timeout 3600``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.samples import NOW
from tests.support.clock import ManualClock
from tests.support.pay_desk import MortalDesk, PayDesk
from tests.support.refund_desk import Died, Fuse, Mortal, Till, lost, refused
from tests.support.stores import MemoryOrders
from wechat.books import Entry, Kind, judge
from wechat.domain.errors import CallerError, Conflict, FenpayError, Mismatch, OutcomeUnknown
from wechat.domain.facts import Api, RefundState, RemoteRefund, Verified
from wechat.domain.orders import OPEN, RELEASES_RESERVATION, SPACING, TradeState
from wechat.domain.ports import ClaimStore, OrderStore
from wechat.orders.payments import PaymentRecorder
from wechat.orders.service import OrderDefaults, Orders
from wechat.pay.gateway import Gateway
from wechat.refunds.late_payments import LatePolicy, surplus_refund
from wechat.refunds.service import BillRefund
from wechat.wanted import RefundWanted, Sale
from wechat.workers import OrderWorker

TOTAL = 100
EXAMPLES = int(os.environ.get("EXAMPLES", "60"))
R = TypeVar("R")

amounts = st.sampled_from([1, 2, 30, 50, 60, 99, 100])
keys = st.sampled_from(["", "k1", "k2", "k3"])
moods = st.sampled_from(["well", "at once", "lost before", "lost after", "no"])


TERMS = OrderDefaults(
    "wxsim0123456789", "sim1900000109", Api.V3, "https://pay.example.com/notify", timedelta(minutes=30), 10_000, 9
)
SALE = Sale(description="拿铁咖啡", total=TOTAL, openid="osim-a", out_trade_no="20260301120506abc")
ON_BILLS = {RefundState.SUCCESS: "SUCCESS", RefundState.CLOSED: "FAIL", RefundState.ABNORMAL: "CHANGE"}


class Model:
    """What must be true, kept by hand: the payments that were booked, and what each asked-for key stands for."""

    def __init__(self) -> None:
        self.paid: set[str] = set()
        self.closed_first = False
        self.wishes: dict[str, int] = {}
        self.numbers: dict[str, str] = {}


class RefundMachine(RuleBasedStateMachine):
    """One order of 100 fen, one merchant, two processes, an operator at WeChat's console, and time."""

    @initialize(policy=st.sampled_from(LatePolicy))
    def open(self, policy: LatePolicy) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(NOW)
        self.orders = MemoryOrders()
        self.till = Till(self.orders, self.clock, policy)
        self.cashier = PayDesk(self.clock)
        self.ledger = PaymentRecorder(self.orders, self.clock)
        self.selling = self.seller(Fuse())
        self.keeper = OrderWorker(self.selling, self.till.late, self.orders, self.clock)
        self.model = Model()
        self.by_hand: dict[str, str] = {}
        self.number = str(SALE.out_trade_no)

    def seller(self, fuse: Fuse) -> Orders:
        """One more process over the same stores, which dies when ``fuse`` burns down."""
        orders = cast(OrderStore, Mortal(self.orders, fuse))
        desk = cast(Gateway, MortalDesk(self.cashier, fuse))
        claims = cast(ClaimStore, Mortal(self.till.claims, fuse))
        return Orders(TERMS, {}, {Api.V3: desk}, orders, claims, PaymentRecorder(orders, self.clock), self.clock)

    def teardown(self) -> None:
        if self.there:
            self.come_to_rest()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, R]) -> R | FenpayError | Died:
        try:
            return self.loop.run_until_complete(work)
        except (FenpayError, Died) as error:
            return error

    @property
    def there(self) -> bool:
        return self.number in self.orders.orders

    @property
    def order(self) -> Any:
        return self.orders.orders[self.number]

    # -- what can happen ------------------------------------------------------------------------------------------

    @rule(mood=moods)
    def create(self, mood: str) -> None:
        """Placed any number of times, it is one order."""
        self.mood(mood)
        self.run(self.selling.place_sale(SALE, merchant="shop", client_ip="203.0.113.7"))
        assert list(self.orders.orders) == [self.number]

    @rule(at=st.integers(1, 8), after=st.booleans(), mood=moods)
    def create_and_die(self, at: int, after: bool, mood: str) -> None:
        self.mood(mood)
        self.run(self.seller(Fuse(at, after)).place_sale(SALE, merchant="shop", client_ip="203.0.113.7"))

    @precondition(lambda self: self.there and self.cashier.placed)
    @rule(
        transaction=st.sampled_from(["4200-1", "4200-2"]), total=st.sampled_from([TOTAL, TOTAL, 99]), told=st.booleans()
    )
    def pay(self, transaction: str, total: int, told: bool) -> None:
        """A payment, by the rules or against them, for the first or the second time; its notification may be lost."""
        if total == TOTAL and transaction not in self.cashier.payments:
            self.cashier.payments.append(transaction)
        if told:
            self.notify(transaction, total)

    def notify(self, transaction: str, total: int) -> None:
        was, fact = self.order.trade_state, self.cashier.paid(transaction, total)
        answer = self.run(self.ledger.apply(fact, source="notify"))
        if total != TOTAL:
            assert isinstance(answer, Mismatch)
            assert self.order.trade_state is was
        elif self.model.paid and transaction not in self.model.paid:
            assert isinstance(answer, Mismatch)
            assert answer.reason == "second_payment"
            self.run(self.till.late.second_payment(fact))
        else:
            assert self.order.transaction_id == transaction

    @precondition(lambda self: self.there)
    @rule(mood=moods)
    def close(self, mood: str) -> None:
        self.mood(mood)
        self.run(self.selling.close(self.order, source="merchant"))

    @precondition(lambda self: self.there)
    @rule(at=st.integers(1, 5), after=st.booleans(), mood=moods)
    def close_and_die(self, at: int, after: bool, mood: str) -> None:
        self.mood(mood)
        self.run(self.seller(Fuse(at, after)).close(self.order, source="merchant"))

    @precondition(lambda self: self.there)
    @rule(mood=moods)
    def query_order(self, mood: str) -> None:
        """Whatever WeChat has taken is known after it was asked and has answered."""
        self.mood(mood)
        answer = self.run(self.selling.query(self.order))
        if self.cashier.payments and not isinstance(answer, OutcomeUnknown):
            assert self.order.paid

    @precondition(lambda self: self.there)
    @rule(minutes=st.sampled_from([0, 1, 10, 31]), mood=moods)
    def look_after_orders(self, minutes: int, mood: str) -> None:
        self.clock.advance(60 * minutes)
        self.mood(mood)
        for _ in range(5):
            if self.run(self.keeper.once()) is not True:
                return

    @precondition(lambda self: self.there)
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

    @precondition(lambda self: bool(self.cashier.payments))
    @rule(amount=amounts, data=st.data())
    def refund_by_hand(self, amount: int, data: st.DataObject) -> None:
        """Somebody at WeChat's console gives money back, of which nobody here hears."""
        payment = data.draw(st.sampled_from(self.cashier.payments))
        if amount <= self.room(payment):
            number = f"console-{len(self.by_hand)}"
            self.by_hand[number] = payment
            state, numbers = RefundState.PROCESSING, (TERMS.mchid, number, self.number, f"5030{number}")
            self.till.desk.taken[number] = RemoteRefund(*numbers, state, amount, TOTAL, transaction_id=payment)

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
            assert isinstance(answer, FenpayError) is (number not in self.till.store.refunds)

    @precondition(lambda self: bool(self.till.store.refunds))
    @rule(data=st.data(), mood=moods)
    def query(self, data: st.DataObject, mood: str) -> None:
        self.mood(mood)
        number = data.draw(st.sampled_from(list(self.till.store.refunds)))
        answer = self.run(self.till.refunds.query(self.till.store.refunds[number]))
        assert not isinstance(answer, CallerError | Mismatch)

    @precondition(lambda self: self.there)
    @rule()
    def bill(self) -> None:
        """Each line of WeChat's is compared, and what differs is repaired as an operator would."""
        self.mood("well")
        for payment in self.cashier.payments:
            self.repair_payment(payment)
        for number in list(self.till.desk.taken):
            self.repair_refund(number)

    def repair_payment(self, payment: str) -> None:
        first = payment == self.cashier.payments[0]
        kind = self.judged(payment)
        if kind in (Kind.MISSING_HERE, Kind.STATE) and first:
            self.run(self.selling.query(self.order))
            assert self.judged(payment) is None
        elif kind is Kind.DOUBLE_PAYMENT and self.order.paid:
            self.run(self.till.refunds.return_payment(self.order, payment, surplus_refund(payment), "重复支付"))
            assert self.till.store.refunds[surplus_refund(payment)].surplus
        else:
            assert kind is None or not first

    def repair_refund(self, number: str) -> None:
        kind = self.judged_refund(number)
        if kind is Kind.STATE:
            self.run(self.till.refunds.query(self.till.store.refunds[number]))
            assert self.judged_refund(number) is None
        elif kind is Kind.REFUND_MISSING_HERE and self.order.paid:
            told = self.till.desk.taken[number]
            found = BillRefund(number, self.by_hand[number], told.refund, self.clock.now())
            answer = self.run(self.till.refunds.adopt(self.order, found))
            assert isinstance(answer, Conflict) or self.judged_refund(number) is None  # no room while ours are open
        else:
            assert kind in (None, Kind.REFUND_MISSING_HERE)

    def judged(self, payment: str) -> Kind | None:
        """What reconciliation says of a payment's line."""
        order, nth = self.order, self.cashier.payments.index(payment) + 1
        ours = Entry(self.number, order.transaction_id, "", "", order.total, "CNY", order.trade_state)
        return judge(ours, Entry(self.number, payment, "", "", TOTAL, "CNY", "SUCCESS"), nth=nth)

    def judged_refund(self, number: str) -> Kind | None:
        """What reconciliation says of a refund's line."""
        told, refund = self.till.desk.taken[number], self.till.store.refunds.get(number)
        status = ON_BILLS.get(told.state, "PROCESSING")
        theirs = Entry(self.number, self.paid_by(number), number, told.refund_id, told.refund, "CNY", status)
        if refund is None:
            return judge(None, theirs)
        return judge(Entry(self.number, refund.transaction_id, number, "", refund.refund, "CNY", refund.state), theirs)

    def come_to_rest(self) -> None:
        """When WeChat has done all it took, and the workers and the bill have had their time, both sides agree."""
        for number, known in self.till.desk.taken.items():
            if known.state in (RefundState.PROCESSING, RefundState.ABNORMAL):
                self.till.desk.taken[number] = replace(known, state=RefundState.SUCCESS)
        for _ in range(4):
            self.bill()
            for _ in range(60):
                self.work(24 * 60, "at once")
                self.look_after_orders(31, "at once")
                if not any(refund.open for refund in self.till.store.refunds.values()):
                    break
        assert not self.cashier.payments or self.judged(self.cashier.payments[0]) in (None, Kind.DOUBLE_PAYMENT)
        assert [self.judged_refund(number) for number in self.till.desk.taken] == [None] * len(self.till.desk.taken)

    def paid_by(self, number: str) -> str:
        """The payment that a refund at WeChat is of."""
        return self.by_hand.get(number) or self.till.store.refunds[number].transaction_id

    def room(self, payment: str) -> int:
        """What of a payment WeChat has left to give back."""
        taken = self.till.desk.taken.items()
        return TOTAL - sum(
            fact.refund
            for number, fact in taken
            if fact.state is not RefundState.CLOSED and self.paid_by(number) == payment
        )

    def mood(self, mood: str) -> None:
        desk, cashier = self.till.desk, self.cashier
        desk.before, desk.after, cashier.before, cashier.after = [], [], [], []
        desk.judge = lambda refund: refused() if refund.refund > self.room(refund.transaction_id) else None
        desk.answers_as = RefundState.SUCCESS if mood == "at once" else RefundState.PROCESSING
        if mood == "lost before":
            desk.before, cashier.before = [lost()], [lost("pay")]
        elif mood == "lost after":
            desk.after, cashier.after = [lost()], [lost("pay")]
        elif mood == "no":
            desk.judge = lambda refund: refused("NOT_ENOUGH")

    # -- what holds at every moment -------------------------------------------------------------------------------

    @invariant()
    def no_more_is_promised_than_was_paid(self) -> None:
        held = self.orders.reserved.get(self.number, {})
        if self.there:
            assert self.order.refund_reserved == sum(held.values()) <= (TOTAL if self.order.paid else 0)

    @invariant()
    def wechat_gives_back_no_more_than_it_took(self) -> None:
        assert all(self.room(payment) >= 0 for payment in self.cashier.payments)

    @invariant()
    def what_wechat_took_is_put_aside(self) -> None:
        held, refunds = self.orders.reserved.get(self.number, {}), self.till.store.refunds
        for number, told in self.till.desk.taken.items():
            if number in refunds and told.state is not RefundState.CLOSED and not refunds[number].surplus:
                assert held.get(number) == told.refund

    @invariant()
    def whoever_is_not_done_has_a_date(self) -> None:
        held = self.orders.reserved.get(self.number, {})
        for number, refund in self.till.store.refunds.items():
            if refund.state in OPEN or (refund.state in RELEASES_RESERVATION and held.get(number)):
                assert refund.next_check_at is not None

    @invariant()
    def refunds_keep_their_distance(self) -> None:
        refunds = self.till.store.refunds.values()
        sent = sorted(
            event.at
            for refund in refunds
            for event in refund.events
            if event.what == "sent" and event.source != "console"
        )
        assert all(later - earlier >= SPACING for earlier, later in pairwise(sent))

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
            late = TradeState.PAID_LATE if self.model.closed_first else TradeState.SUCCESS
            assert state in (late, TradeState.REFUND)
        else:
            assert not self.model.paid

    @invariant()
    def a_payment_is_told_once(self) -> None:
        told = [what for _, what in self.orders.outbox if what.startswith("order.paid")]
        assert len(told) == (self.there and self.order.paid)

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
