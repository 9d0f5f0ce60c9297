"""Repairs: only verified answers move money, each act leaves a line, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from handlers.console.reconciliation import refund_surplus
from storage.mongo.driver import Connection
from storage.mongo.storage import MongoStorage
from storage.stores.all import DIFFERENCES
from tests.contract.samples import MCHID, an_order
from tests.support.clock import ManualClock
from tests.support.refund_fixture import FakeRefundGateway, fact
from tests.support.runtime import a_runtime
from wechat.domain.approvals import Approval
from wechat.domain.audit import Act
from wechat.domain.errors import Conflict, FenpayError, GatewayRefused, Mismatch, NotFound, NotSent, OutcomeUnknown
from wechat.domain.facts import Api, Notification, RefundState, RemoteRefund, RemoteState, Transaction, Verified
from wechat.domain.money import Fen
from wechat.domain.orders import AppPayParams, Order, PayParams, Prepay, Refund, TradeState
from wechat.domain.refunds import claim_refund, refuse_refund
from wechat.domain.staff import Permission
from wechat.domain.times import day_span
from wechat.orders.drafts import OrderDefaults
from wechat.orders.payments import PaymentRecorder
from wechat.orders.service import Orders
from wechat.orders.updates import OrderUpdates
from wechat.pay.gateway import AnotherOrder
from wechat.reconciliation.books import Action, BookEntry, Difference, DifferenceKind, Status
from wechat.reconciliation.records import BookRecords
from wechat.reconciliation.repairs import Repairs
from wechat.refunds.drafts import RefundDefaults
from wechat.refunds.late_payments import REASON, LatePayments, LatePolicy, surplus_refund
from wechat.refunds.requests import RefundRequest
from wechat.refunds.service import Refunds
from wechat.support.claims import Claims

DAY = date(2026, 2, 28)
PAID = BookEntry("20260301120506abc", "4200", "", "", 3600, "CNY", "SUCCESS")
UNPAID = PAID._replace(transaction_id="", state="NOTPAY")
LAST_MOMENT = day_span(DAY)[1] - timedelta(milliseconds=1)
REFUNDED = BookEntry("20260301120506abc", "4200", "refund-1", "5000", 500, "CNY", "SUCCESS")
PLACED_AT = day_span(DAY)[0]


class QueryGateway:
    """``Gateway`` that is only queried: it says ``transaction``, after what ``failures`` say."""

    api = Api.V3

    def __init__(self) -> None:
        self.transaction: Transaction | None = None
        self.calls: list[str] = []
        self.failures: list[FenpayError] = []

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        self.calls.append("query")
        await asyncio.sleep(0.001)
        if self.failures:
            raise self.failures.pop(0)
        if self.transaction is None:
            raise GatewayRefused("query", code="ORDER_NOT_EXIST")
        return Verified(self.transaction, "test")

    async def prepay(self, order: Order, at: datetime) -> Prepay:
        raise NotImplementedError

    async def close(self, order: Order) -> None:
        raise NotImplementedError

    def pay_params(self, appid: str, prepay: Prepay) -> PayParams:
        raise NotImplementedError

    def app_params(self, appid: str, prepay: Prepay) -> AppPayParams:
        raise NotImplementedError

    def receive(self, headers: Mapping[str, str], body: bytes, *, arrived_at: Any = None) -> Verified[Notification]:
        raise NotImplementedError

    def claimed_order(self, body: bytes) -> str:
        raise NotImplementedError


class Shop:
    """An order, and the use cases of one process that repair its differences."""

    def __init__(self, storage: MongoStorage, gateway: QueryGateway, refund_gateway: FakeRefundGateway) -> None:
        self.clock = ManualClock()
        self.storage = storage
        self.refund_gateway = refund_gateway
        self.gateway = gateway
        order, runtime = an_order(), a_runtime(self.clock)
        defaults = OrderDefaults(order.appid, MCHID, Api.V3, order.notify_url, timedelta(minutes=30), 10**7, 20)
        self.key = order.key
        self.updates = OrderUpdates(storage.orders, runtime)
        recorder = PaymentRecorder(self.updates, storage.numbers, MCHID, runtime)
        claims = Claims(storage.claims, runtime)
        self.orders = Orders(defaults, {}, {Api.V3: self.gateway}, self.updates, recorder, claims, runtime)
        refund_defaults = RefundDefaults(MCHID, {Api.V3: Api.V3}, order.notify_url)
        refund_gateways = {Api.V3: self.refund_gateway}
        self.refunds = Refunds(
            refund_defaults, refund_gateways, self.updates, storage.numbers, claims, runtime, under_way_s=0
        )
        self.late_payments = LatePayments(LatePolicy.REFUND, self.refunds, self.updates, runtime)
        self.records = BookRecords(MCHID, storage.days, storage.differences, runtime)
        self.repairs = Repairs(self.orders, self.refunds, storage.book_entries, self.records, self.clock)

    def process(self) -> Shop:
        """Another process over the same stores and gateways."""
        return Shop(self.storage, self.gateway, self.refund_gateway)

    async def repair_at_once(self, difference: Difference, action: Action) -> list[Difference | BaseException]:
        """The results, or exceptions, of five processes that repair ``difference`` at the same time."""
        repairs = [self.process().repair(difference, action) for _ in range(5)]
        return await asyncio.gather(*repairs, return_exceptions=True)

    async def found(self, kind: DifferenceKind, ours: BookEntry | None, theirs: BookEntry | None) -> Difference:
        difference = Difference.between(MCHID, DAY, kind, ours, theirs, self.clock.now())
        await self.records.record([difference])
        return difference

    async def repair(self, difference: Difference, action: Action) -> Difference:
        return await self.repairs.repair(DAY, difference.id, action, by="anna")

    async def order(self) -> Order:
        return await self.orders.get(PAID.out_trade_no)

    async def pay(self) -> None:
        self.wechat_says(RemoteState.SUCCESS)
        await self.orders.query(PAID.out_trade_no)

    async def refund(self) -> Refund:
        """A refund of 500 fen that WeChat has taken."""
        await self.pay()
        wanted = RefundRequest(refund=500, reason="缺货")
        return await self.refunds.request(PAID.out_trade_no, wanted, by="shop", idempotency_key="once")

    async def all_refunds(self) -> list[Refund]:
        return list(await self.refunds.of_order(PAID.out_trade_no))

    async def refunds_of_day(self) -> list[str]:
        """The numbers of the refunds that reconciliation expects on the day's bill."""
        batches = [batch async for batch in self.storage.book_entries.list_refunds(MCHID, DAY)]
        return [entry.out_refund_no for batch in batches for entry in batch]

    def wechat_says(self, state: RemoteState, transaction_id: str = "4200", total: int = 3600) -> None:
        self.gateway.transaction = self.fact(state, transaction_id, total).value

    def fact(self, state: RemoteState, transaction_id: str = "4200", total: int = 3600) -> Verified[Transaction]:
        paid, order = state is RemoteState.SUCCESS, an_order()
        transaction = Transaction(
            order.appid,
            order.mchid,
            order.out_trade_no,
            state,
            total if paid else None,
            transaction_id=transaction_id if paid else "",
            success_time=self.clock.now() if paid else None,
        )
        return Verified(transaction, "test")


@pytest.fixture
async def shop(storage: MongoStorage) -> Shop:
    assert await storage.orders.insert(an_order(created_at=PLACED_AT), "test")
    return Shop(storage, QueryGateway(), FakeRefundGateway())


async def test_a_missed_payment_is_booked_by_a_query(shop: Shop) -> None:
    difference = await shop.found(DifferenceKind.MISSING_HERE, UNPAID, PAID)
    shop.wechat_says(RemoteState.SUCCESS)
    repaired = await shop.repair(difference, Action.QUERY)
    order = await shop.order()
    assert (order.trade_state, order.transaction_id) == (TradeState.SUCCESS, "4200")
    assert repaired.status is Status.REPAIRED
    (line,) = repaired.audit
    assert (line.at, line.by, line.action) == (shop.clock.now(), "anna", "query")
    assert (line.source, line.target, line.detail) == (Status.OPEN, Status.REPAIRED, "SUCCESS")


async def test_what_the_bill_says_alone_pays_nothing(shop: Shop) -> None:
    difference = await shop.found(DifferenceKind.MISSING_HERE, UNPAID, PAID)
    shop.wechat_says(RemoteState.NOTPAY)
    asked = await shop.repair(difference, Action.QUERY)
    assert (await shop.order()).trade_state is TradeState.NOTPAY
    assert (asked.status, asked.audit[0].detail) == (Status.OPEN, "NOTPAY")
    shop.wechat_says(RemoteState.SUCCESS)
    assert (await shop.repair(difference, Action.QUERY)).status is Status.REPAIRED


async def test_another_payment_than_the_bills_leaves_the_difference_open(shop: Shop) -> None:
    difference = await shop.found(DifferenceKind.MISSING_HERE, UNPAID, PAID)
    shop.wechat_says(RemoteState.SUCCESS, transaction_id="4201")
    assert (await shop.repair(difference, Action.QUERY)).status is Status.OPEN


async def test_a_query_without_an_answer_or_that_does_not_fit_changes_nothing(shop: Shop) -> None:
    difference = await shop.found(DifferenceKind.AMOUNT, PAID._replace(amount=3601), PAID)
    shop.gateway.failures.append(OutcomeUnknown("query"))
    with pytest.raises(OutcomeUnknown):
        await shop.repair(difference, Action.QUERY)
    shop.wechat_says(RemoteState.SUCCESS, total=3601)
    with pytest.raises(Mismatch):
        await shop.repair(difference, Action.QUERY)
    assert await shop.records.difference(DAY, difference.id) == difference


@pytest.mark.parametrize("kind", list(DifferenceKind))
async def test_any_difference_can_be_marked_as_known_once(shop: Shop, kind: DifferenceKind) -> None:
    difference = await shop.found(kind, None, PAID)
    assert (await shop.repair(difference, Action.KNOWN)).status is Status.KNOWN
    with pytest.raises(Conflict, match="DIFFERENCE_SETTLED"):
        await shop.repair(difference, Action.KNOWN)
    assert (shop.gateway.calls, shop.refund_gateway.calls) == ([], [])


async def test_a_second_payment_goes_back_under_one_number_however_often_it_is_asked_for(shop: Shop) -> None:
    surplus = PAID._replace(transaction_id="4201")
    difference = await shop.found(DifferenceKind.DOUBLE_PAYMENT, PAID, surplus)
    with pytest.raises(Conflict, match="NOT_SURPLUS"):  # the order itself is unpaid still
        await shop.repair(difference, Action.REFUND)
    await shop.pay()
    shop.wechat_says(RemoteState.SUCCESS, "4201")
    tries = await shop.repair_at_once(difference, Action.REFUND)
    assert all(isinstance(one, Difference | Conflict) for one in tries)  # a late repair may find the difference settled
    (refund,) = await shop.all_refunds()
    assert (refund.transaction_id, refund.refund, refund.surplus) == ("4201", 3600, True)
    repaired = await shop.records.difference(DAY, difference.id)
    assert repaired is not None
    assert (repaired.status, [line.detail for line in repaired.audit]) == (Status.REPAIRED, [refund.out_refund_no])
    kept = [payment.transaction_id for payment in (await shop.order()).payments]
    assert kept == ["4200", "4201"], "what is given back stands in the order"


async def test_the_policy_and_the_operator_return_a_second_payment_once(shop: Shop) -> None:
    await shop.pay()
    await shop.late_payments.refund_second(shop.fact(RemoteState.SUCCESS, "4201"))
    difference = await shop.found(DifferenceKind.DOUBLE_PAYMENT, PAID, PAID._replace(transaction_id="4201"))
    assert (await shop.repair(difference, Action.REFUND)).status is Status.REPAIRED
    assert len(await shop.all_refunds()) == 1


def says(shop: Shop, **changed: Any) -> None:
    """Have WeChat answer a query of transaction 4201 with a surplus payment that differs in ``changed``."""
    shop.gateway.transaction = replace(shop.fact(RemoteState.SUCCESS, "4201").value, **changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"out_trade_no": "20260301120506bbb"},
        {"transaction_id": "4202"},
        {"total": 3601},
        {"currency": "USD"},
        *({"state": state} for state in RemoteState if state is not RemoteState.SUCCESS),
    ],
    ids=str,
)
async def test_a_surplus_payment_that_wechat_does_not_confirm_is_not_returned(
    shop: Shop, changed: dict[str, Any]
) -> None:
    await shop.pay()
    difference = await shop.found(DifferenceKind.DOUBLE_PAYMENT, PAID, PAID._replace(transaction_id="4201"))
    says(shop, **changed)
    with pytest.raises(Conflict, match="NOT_SURPLUS"):
        await shop.repair(difference, Action.REFUND)
    assert await shop.all_refunds() == []
    assert await shop.records.difference(DAY, difference.id) == difference


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (GatewayRefused("query", code="ORDER_NOT_EXIST"), Conflict),
        (AnotherOrder("query"), Conflict),
        (GatewayRefused("query", code="NO_AUTH"), GatewayRefused),
        (OutcomeUnknown("query"), OutcomeUnknown),
        (NotSent("query"), NotSent),
    ],
    ids=repr,
)
async def test_a_surplus_payment_that_wechat_says_nothing_of_is_not_returned(
    shop: Shop, failure: FenpayError, told: type[Exception]
) -> None:
    await shop.pay()
    difference = await shop.found(DifferenceKind.DOUBLE_PAYMENT, PAID, PAID._replace(transaction_id="4201"))
    shop.gateway.failures.append(failure)
    with pytest.raises(told):
        await shop.repair(difference, Action.REFUND)
    assert await shop.all_refunds() == []


async def test_a_repair_that_died_after_the_refund_was_asked_for_is_finished_by_the_next(shop: Shop) -> None:
    await shop.pay()
    await shop.refunds.refund_payment(await shop.order(), "4201", surplus_refund("4201"), REASON)
    says(shop, state=RemoteState.REFUND)  # the refund has succeeded since
    difference = await shop.found(DifferenceKind.DOUBLE_PAYMENT, PAID, PAID._replace(transaction_id="4201"))
    assert (await shop.repair(difference, Action.REFUND)).status is Status.REPAIRED
    assert len(await shop.all_refunds()) == 1


async def test_two_peoples_refund_is_done_once_also_where_the_process_died_before_it_said_so(shop: Shop) -> None:
    await shop.pay()
    difference = await shop.found(DifferenceKind.DOUBLE_PAYMENT, PAID, PAID._replace(transaction_id="4201"))
    says(shop)
    approval = Approval(
        id="0" * 16,
        act=Act.REPAIR,
        permission=Permission.REFUND,
        subject=difference.id,
        amount=Fen(3600),
        reason="twice",
        data={"day": DAY.isoformat(), "by": "anna"},
        requested_by="anna",
        requested_at=shop.clock.now(),
        decided_by="ben",
    )
    for _ in range(2):
        assert await refund_surplus(shop.records, shop.repairs, approval) == Status.REPAIRED
    resumed = replace(approval, decided_by="carla")  # another person decides when ben does not come back
    assert await refund_surplus(shop.records, shop.repairs, resumed) == Status.REPAIRED
    shop.clock.advance(60)
    with pytest.raises(Conflict, match="DIFFERENCE_SETTLED"):  # a new request is another approval
        await refund_surplus(shop.records, shop.repairs, replace(approval, requested_at=shop.clock.now()))
    assert len(await shop.all_refunds()) == 1


async def come_to_nothing(shop: Shop, number: str, state: RefundState) -> None:
    """WeChat refuses a refund, or says later that it has given up."""
    refund, now = await shop.refunds.get(number), shop.clock.now()
    if state is RefundState.CLOSED:
        await shop.refunds.apply(Verified(fact(refund, state), "test"), source="notify")
        return
    await shop.updates.update(shop.key, lambda order: claim_refund(order, number, "lease", now))
    await shop.updates.update(shop.key, lambda order: refuse_refund(order, number, "lease", "NOT_ENOUGH", "", now))


@pytest.mark.parametrize("state", [RefundState.REFUSED, RefundState.CLOSED])
async def test_a_surplus_payment_whose_refund_came_to_nothing_is_not_called_returned(
    shop: Shop, state: RefundState
) -> None:
    """For example, the policy asked for the refund while the merchant had no balance."""
    await shop.pay()
    number = surplus_refund("4201")
    await shop.refunds.refund_payment(await shop.order(), "4201", number, REASON)
    await come_to_nothing(shop, number, state)
    assert (await shop.refunds.get(number)).state is state
    difference = await shop.found(DifferenceKind.DOUBLE_PAYMENT, PAID, PAID._replace(transaction_id="4201"))
    with pytest.raises(Conflict, match="REFUND_FAILED"):
        await shop.repair(difference, Action.REFUND)
    assert await shop.records.difference(DAY, difference.id) == difference


@pytest.mark.parametrize("surplus", [PAID, PAID._replace(transaction_id="4201", amount=3601)])
async def test_the_orders_own_payment_or_another_amount_is_not_returned(shop: Shop, surplus: BookEntry) -> None:
    await shop.pay()
    difference = await shop.found(DifferenceKind.DOUBLE_PAYMENT, PAID, surplus)
    with pytest.raises(Conflict, match="NOT_SURPLUS"):
        await shop.repair(difference, Action.REFUND)
    assert await shop.all_refunds() == []


async def test_a_refund_that_stands_elsewhere_is_asked_for(shop: Shop) -> None:
    refund = await shop.refund()
    theirs = REFUNDED._replace(out_refund_no=refund.out_refund_no)
    difference = await shop.found(DifferenceKind.STATE, theirs._replace(state="PROCESSING"), theirs)
    assert (await shop.repair(difference, Action.QUERY)).status is Status.OPEN
    shop.refund_gateway.turns_out(refund, RefundState.SUCCESS)
    assert (await shop.repair(difference, Action.QUERY)).status is Status.REPAIRED
    stored = await shop.refunds.get(refund.out_refund_no)
    assert stored.state is RefundState.SUCCESS


async def test_a_refund_that_the_bill_does_not_know_stays_open_while_wechat_knows_it(shop: Shop) -> None:
    refund = await shop.refund()
    ours = REFUNDED._replace(out_refund_no=refund.out_refund_no, state="PROCESSING")
    difference = await shop.found(DifferenceKind.REFUND_MISSING_THERE, ours, None)
    assert (await shop.repair(difference, Action.QUERY)).status is Status.OPEN


async def test_what_is_not_there_or_not_allowed_is_refused(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.repairs.repair(DAY, "0" * 32, Action.KNOWN, by="anna")
    difference = await shop.found(DifferenceKind.UNKNOWN_NUMBER, None, PAID)
    with pytest.raises(Conflict, match="ACTION_NOT_ALLOWED"):
        await shop.repair(difference, Action.REFUND)
    stranger = REFUNDED._replace(out_trade_no="T00000000001")
    refund = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, stranger)
    with pytest.raises(NotFound, match="ORDER_NOT_FOUND"):
        await shop.repair(refund, Action.QUERY)


def made_in_the_console(shop: Shop, entry: BookEntry = REFUNDED) -> RemoteRefund:
    """Have WeChat know a refund of the order that this system does not know."""
    told = RemoteRefund(
        mchid=an_order().mchid,
        out_refund_no=entry.out_refund_no,
        out_trade_no=entry.out_trade_no,
        refund_id=entry.refund_id,
        state=RefundState.SUCCESS,
        refund=entry.amount,
        total=3600,
        success_time=shop.clock.now(),
        transaction_id=entry.transaction_id,
    )
    shop.refund_gateway.taken[entry.out_refund_no] = told
    return told


async def test_a_refund_made_in_the_console_is_booked_once_on_its_day(shop: Shop) -> None:
    """J10."""
    await shop.pay()
    made_in_the_console(shop)
    difference = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, REFUNDED)
    tries = await shop.repair_at_once(difference, Action.QUERY)
    assert all(isinstance(one, Difference | Conflict) for one in tries)
    (refund,) = await shop.all_refunds()
    assert (refund.state, refund.refund, refund.by) == (RefundState.SUCCESS, 500, "console")
    order = await shop.order()
    assert (order.trade_state, order.refund_reserved) == (TradeState.REFUND, 500)
    repaired = await shop.records.difference(DAY, difference.id)
    assert repaired is not None
    assert repaired.status is Status.REPAIRED
    assert await shop.refunds_of_day() == [refund.out_refund_no]
    assert [call for call in shop.refund_gateway.calls if call.startswith("refund")] == []


@pytest.mark.parametrize(
    ("time", "made_at"),
    [
        ("2026-02-28T15:36:17+08:00", datetime(2026, 2, 28, 7, 36, 17, tzinfo=UTC)),
        ("2026-02-28T00:00:00+08:00", datetime(2026, 2, 27, 16, tzinfo=UTC)),
        ("2026-02-27T23:59:59+08:00", LAST_MOMENT),  # its payment's, say: it stands on this day's bill all the same
        ("", LAST_MOMENT),
    ],
)
async def test_a_refund_made_in_the_console_has_the_time_of_its_line(shop: Shop, time: str, made_at: datetime) -> None:
    await shop.pay()
    made_in_the_console(shop)
    difference = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, REFUNDED._replace(time=time))
    assert (await shop.repair(difference, Action.QUERY)).status is Status.REPAIRED
    refund = await shop.refunds.get(REFUNDED.out_refund_no)
    assert (refund.created_at, refund.first_sent_at) == (made_at, made_at)
    assert await shop.refunds_of_day() == [refund.out_refund_no]


async def test_a_difference_from_before_its_time_was_kept_can_still_be_read(
    shop: Shop, raw: Connection, database: str
) -> None:
    difference = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, REFUNDED)
    unset = {"$unset": {"theirs.time": ""}}
    assert (await raw.client[database][DIFFERENCES].update_one({"_id": difference.id}, unset)).modified_count == 1
    assert await shop.records.difference(DAY, difference.id) == difference


@pytest.mark.parametrize("told", ["4201", ""])
async def test_a_refund_of_another_payment_than_the_bills_is_not_booked(shop: Shop, told: str) -> None:
    await shop.pay()
    shop.refund_gateway.taken[REFUNDED.out_refund_no] = replace(made_in_the_console(shop), transaction_id=told)
    difference = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, REFUNDED)
    with pytest.raises(Mismatch):
        await shop.repair(difference, Action.QUERY)
    assert await shop.all_refunds() == []
    assert (await shop.order()).refund_reserved == 0


@pytest.mark.parametrize("number", ["", "r-1", "refund 1", "refund-\0", "refund-１", "r" * 65, "../refund"])
async def test_a_refund_under_a_number_that_wechat_would_not_take_is_not_booked(shop: Shop, number: str) -> None:
    await shop.pay()
    entry = REFUNDED._replace(out_refund_no=number)
    made_in_the_console(shop, entry)
    difference = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, entry)
    with pytest.raises(Conflict, match="OUT_REFUND_NO_ODD"):
        await shop.repair(difference, Action.QUERY)
    assert await shop.all_refunds() == []


async def test_a_refund_that_only_the_bill_knows_of_is_not_booked(shop: Shop) -> None:
    await shop.pay()
    difference = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, REFUNDED)
    with pytest.raises(NotFound, match="REFUND_NOT_EXIST"):
        await shop.repair(difference, Action.QUERY)
    assert await shop.all_refunds() == []
    assert (await shop.order()).refund_reserved == 0


async def test_a_refund_of_another_amount_than_the_bills_is_not_booked(shop: Shop) -> None:
    await shop.pay()
    told = made_in_the_console(shop)
    shop.refund_gateway.taken[told.out_refund_no] = replace(told, refund=400)
    difference = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, REFUNDED)
    with pytest.raises(Mismatch):
        await shop.repair(difference, Action.QUERY)
    assert await shop.all_refunds() == []
    assert (await shop.order()).refund_reserved == 0


async def test_a_console_refund_that_our_own_leave_no_room_for_is_for_a_person(shop: Shop) -> None:
    await shop.pay()
    await shop.refunds.request(
        PAID.out_trade_no, RefundRequest(refund=3200, reason="缺货"), by="shop", idempotency_key="once"
    )
    made_in_the_console(shop)
    difference = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, REFUNDED)
    with pytest.raises(Conflict, match="NOT_REFUNDABLE"):
        await shop.repair(difference, Action.QUERY)
    assert len(await shop.all_refunds()) == 1


async def test_a_console_refund_of_a_second_payment_takes_nothing_of_the_order(shop: Shop) -> None:
    await shop.pay()
    entry = REFUNDED._replace(transaction_id="4201", amount=3600)
    made_in_the_console(shop, entry)
    difference = await shop.found(DifferenceKind.REFUND_MISSING_HERE, None, entry)
    assert (await shop.repair(difference, Action.QUERY)).status is Status.REPAIRED
    order = await shop.order()
    assert (order.trade_state, order.refund_reserved) == (TradeState.SUCCESS, 0)
