"""What each question costs the embedded server beside 20,000 orders: it looks at what it returns, and hardly more.

A filter that no index serves as a whole makes that server read the entire collection, so this is measured for every
query of the stores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from storage.documents import Document
from storage.embedded.servers import EmbeddedMongo
from storage.mongo.driver import Driver, connect
from storage.mongo.storage import MongoStorage
from storage.store import Codec
from storage.stores.alarms import ALARM
from storage.stores.all import (
    ALARMS,
    CALLS,
    CLAIMS,
    DAYS,
    DELIVERIES,
    DIFFERENCES,
    NOTIFICATIONS,
    NUMBERS,
    ORDERS,
    REFUSED,
    SUMMARIES,
)
from storage.stores.calls import CALL
from storage.stores.days import DAY, DIFFERENCE
from storage.stores.deliveries import DELIVERY
from storage.stores.listing import GROWTH, Position, write_cursor
from storage.stores.notifications import NOTIFICATION
from storage.stores.numbers import CLAIM, NUMBER
from storage.stores.order_codec import ORDER
from storage.stores.refused import REFUSED as REFUSED_MESSAGE
from storage.stores.statistics import SUMMARY
from tests.contract.samples import HOUR, MCHID, NOW, a_claim, a_message, a_payment, a_refund, a_refused, an_order
from tests.storage.staff_questions import FOR_THE_LATEST, LATEST, STAFF_LISTINGS, STAFF_LOOKUPS, STAFF_VALUES
from tests.storage.values import a_delivery, an_alarm
from tests.support.calls import a_call
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds
from wechat.domain.alarms import Alarm
from wechat.domain.deliveries import DeliveryState
from wechat.domain.events import EventType, OutgoingEvent
from wechat.domain.facts import RefundState
from wechat.domain.messages import StoredNotification
from wechat.domain.money import Fen
from wechat.domain.numbers import NumberUse, payment_number, refund_number
from wechat.domain.orders import Order, TimelineEntry, TradeState, TradeType
from wechat.domain.ports import Stored
from wechat.domain.refused import PLACES, RefusedNotification
from wechat.domain.search import OrderFilter
from wechat.orders.search import OrderSearch
from wechat.reconciliation.books import BookEntry, Difference, DifferenceKind, Status
from wechat.reconciliation.days import BookDay
from wechat.statistics.days import DaySummary

DATABASE = "plans"
ORDERS_STORED = 20_000
EVERY_S = 20
"""Seconds from one order to the next."""
OTHERS_STORED = 2000
REASONS_STORED = 15
"""For so many reasons messages were refused, and each has all its places taken."""
DAYS_STORED = 400
PAGE = 20
BUSY_DAY = date(2026, 2, 28)


# -- what is stored ----------------------------------------------------------------------------------------------------


def number(i: int) -> str:
    return f"order-{i:05}"


def sold(i: int) -> Order:
    """The order that is ``i`` orders old: paid, but for a few of each other kind."""
    at = NOW - timedelta(seconds=i * EVERY_S)
    order = an_order(
        number(i),
        created_at=at,
        trade_state=TradeState.SUCCESS,
        payments=(a_payment(f"T{i}", paid_at=at),),
        next_check_at=None,
    )
    if i % 4000 == 7:
        return replace(order, trade_state=TradeState.NOTPAY, payments=(), next_check_at=NOW - HOUR)
    if i % 4000 == 8:
        return replace(order, trade_state=TradeState.CLOSED, payments=())
    if i % 4000 == 9:
        return replace(order, outbox=(OutgoingEvent(f"e{i}", EventType.ORDER_PAID, at, 1),))
    if i % 400 == 10:
        return with_refund(order, RefundState.SUCCESS)
    if i % 4000 == 11:
        return with_refund(order, RefundState.ABNORMAL)
    return order


def with_refund(order: Order, state: RefundState) -> Order:
    """Refunded an hour after it was paid."""
    at = order.created_at + HOUR
    line = TimelineEntry(at, state.lower(), "query")
    refund = a_refund(f"R-{order.out_trade_no}", state=state, last_sent_at=at, next_check_at=None, timeline=(line,))
    return replace(order, refunds=(replace(refund, out_trade_no=order.out_trade_no),))


def a_refused_one(i: int) -> RefusedNotification:
    place = f"reason_{i // PLACES}-{i % PLACES:02}"
    return a_refused(place, out_trade_no=number(i), last_at=NOW - timedelta(seconds=i))


def an_alarm_of_many(i: int) -> Alarm:
    alarm = an_alarm(f"kind_{i // PLACES}-{i % PLACES:02}", number(i))
    return replace(alarm, last_at=NOW - timedelta(seconds=i), seen_at=NOW if i % 2 else None)


def a_delivered(i: int) -> Any:
    at = NOW - timedelta(seconds=i * EVERY_S)
    delivery = a_delivery(f"e{i}", number=number(i), state=DeliveryState.DELIVERED, due_at=None)
    delivery = replace(delivery, event=replace(delivery.event, at=at))
    if i % 400 == 7:
        return replace(delivery, state=DeliveryState.PENDING, due_at=NOW - HOUR)
    return replace(delivery, state=DeliveryState.DEAD) if i % 400 == 8 else delivery


def a_difference(i: int) -> Difference:
    entry = BookEntry(number(i), f"T{i}", "", "", 1, "CNY", "SUCCESS")
    day = BUSY_DAY - timedelta(days=i % 20)
    difference = Difference.between(MCHID, day, DifferenceKind.MISSING_HERE, None, entry, NOW)
    return difference if i % 400 == 7 else replace(difference, status=Status.KNOWN)


def a_day(i: int) -> BookDay:
    return BookDay(MCHID, BUSY_DAY - timedelta(days=i), NOW if i < 2 else None, planned=True)


def a_summary(i: int) -> DaySummary:
    return DaySummary(MCHID, BUSY_DAY - timedelta(days=i), NOW if i < 2 else None)


def a_notification(i: int) -> StoredNotification:
    return a_message(f"event-{i}", number(i), first_at=NOW - timedelta(seconds=i * EVERY_S))


VALUES: Sequence[tuple[str, Codec[Any], Callable[[int], Any], int]] = (
    (ORDERS, ORDER, sold, ORDERS_STORED),
    (DELIVERIES, DELIVERY, a_delivered, OTHERS_STORED),
    (NOTIFICATIONS, NOTIFICATION, a_notification, OTHERS_STORED),
    (REFUSED, REFUSED_MESSAGE, a_refused_one, REASONS_STORED * PLACES),
    (ALARMS, ALARM, an_alarm_of_many, REASONS_STORED * PLACES),
    (CALLS, CALL, lambda i: replace(a_call(f"call-{i}", out_trade_no=number(i // 4)), at=NOW), OTHERS_STORED),
    (CLAIMS, CLAIM, lambda i: replace(a_claim(), key=f"key-{i}"), OTHERS_STORED),
    (NUMBERS, NUMBER, lambda i: NumberUse(payment_number(MCHID, f"T{i}"), f"{MCHID}:{number(i)}"), OTHERS_STORED),
    (DIFFERENCES, DIFFERENCE, a_difference, OTHERS_STORED),
    (DAYS, DAY, a_day, DAYS_STORED),
    (SUMMARIES, SUMMARY, a_summary, 400),
    *STAFF_VALUES,
)


@pytest.fixture(scope="module")
async def full(mongo: EmbeddedMongo) -> AsyncIterator[AsyncMongoClient[Document]]:
    """A client of the database with all of that in it."""
    storage = MongoStorage(mongo.url, DATABASE, "pymongo", clock=ManualClock(NOW), random=RandomIds())
    assert await storage.problems() == []
    await storage.close()
    client: AsyncMongoClient[Document] = AsyncMongoClient(mongo.url)
    for name, codec, make, count in VALUES:
        envelope = {"schema": 1, "rev": 1, "writes": ["loaded"]}
        values = [make(i) for i in range(count)]
        documents = [codec.write(value) | {"_id": codec.key(value)} | envelope for value in values]
        for start in range(0, count, 1000):
            await client[DATABASE][name].insert_many(documents[start : start + 1000], ordered=False)
    yield client
    await client.close()


# -- what is asked -----------------------------------------------------------------------------------------------------


@dataclass
class Question:
    """A command, and how many documents it returned or wrote."""

    collection: str
    filter: Mapping[str, Any]
    sort: Mapping[str, Any]
    limit: int
    returned: int


class Questions(CommandListener):
    """Remembers what was read, and what a write looked for."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self._started: dict[int, Mapping[str, Any]] = {}
        self._open: dict[int, Question] = {}

    def started(self, event: CommandStartedEvent) -> None:
        self._started[event.request_id] = event.command

    def succeeded(self, event: CommandSucceededEvent) -> None:
        command, reply = self._started.pop(event.request_id), event.reply
        if event.command_name == "find":
            returned = len(reply["cursor"]["firstBatch"])
            sort, limit = command.get("sort", {}), command.get("limit", 0)
            self.asked.append(Question(command["find"], command["filter"], sort, limit, returned))
            self._open[reply["cursor"]["id"]] = self.asked[-1]
        elif event.command_name == "getMore":
            self._open[command["getMore"]].returned += len(reply["cursor"]["nextBatch"])
        elif event.command_name == "update":
            self.asked += [Question(command["update"], each["q"], {}, 0, 1) for each in command["updates"]]

    def failed(self, event: CommandFailedEvent) -> None: ...


async def examined(client: AsyncMongoClient[Document], question: Question) -> int:
    """The number of documents that the server examines to answer ``question``."""
    find: Document = {"find": question.collection, "filter": question.filter}
    if question.limit:
        find |= {"sort": question.sort, "limit": question.limit} if question.sort else {"limit": question.limit}
    plan = await client[DATABASE].command("explain", find, verbosity="executionStats")
    return int(plan["executionStats"]["totalDocsExamined"])


async def drain(batches: AsyncIterator[Any]) -> list[Any]:
    return [each async for batch in batches for each in batch]


def after(i: int) -> str:
    """The cursor of a page that ended with order ``i``."""
    return write_cursor(Position(NOW - timedelta(seconds=i * EVERY_S), f"{MCHID}:{number(i)}"))


def replaced(collection: str, value: Any) -> Callable[[MongoStorage], Awaitable[bool]]:
    """Replace a stored value by itself."""
    return lambda s: getattr(s, collection).replace(Stored(value, 1, ("loaded",)), value, "write-1")


def days_before(days: int) -> datetime:
    return NOW - timedelta(days=days)


def search(storage: MongoStorage, key: str, cursor: str = "") -> Awaitable[Any]:
    return storage.orders.search(key, OrderFilter(), limit=PAGE, cursor=cursor)


def select(storage: MongoStorage, wanted: OrderFilter) -> Awaitable[Any]:
    return OrderSearch(storage.orders).find("", wanted, limit=PAGE, cursor="")


LISTINGS: dict[str, Callable[[MongoStorage], Awaitable[Any]]] = {
    "newest orders": lambda s: s.orders.find(trade_state=None, limit=PAGE, cursor=""),
    "a later page": lambda s: s.orders.find(trade_state=None, limit=PAGE, cursor=after(15_000)),
    "paid orders": lambda s: s.orders.find(trade_state=TradeState.SUCCESS, limit=PAGE, cursor=""),
    "a later page of paid orders": lambda s: s.orders.find(
        trade_state=TradeState.SUCCESS, limit=PAGE, cursor=after(15_000)
    ),
    "the few closed orders": lambda s: s.orders.find(trade_state=TradeState.CLOSED, limit=PAGE, cursor=""),
    "newest notifications": lambda s: s.notifications.find(MCHID, limit=PAGE, cursor=""),
    "refunded orders": lambda s: s.orders.find_by_refund(RefundState.SUCCESS, limit=PAGE, cursor=""),
    "the few abnormal refunds": lambda s: s.orders.find_by_refund(RefundState.ABNORMAL, limit=PAGE, cursor=""),
    "refunds of a state that none has": lambda s: s.orders.find_by_refund(RefundState.CLOSED, limit=PAGE, cursor=""),
    "newest deliveries": lambda s: s.deliveries.find(state=None, limit=PAGE, cursor=""),
    "dead deliveries": lambda s: s.deliveries.find(state=DeliveryState.DEAD, limit=PAGE, cursor=""),
    "a later page of deliveries": lambda s: s.deliveries.find(
        state=None, limit=PAGE, cursor=write_cursor(Position(NOW - 1500 * timedelta(seconds=EVERY_S), "e1500:erp"))
    ),
    "orders by their total": lambda s: search(s, "¥3600"),
    "a later page of orders by a word": lambda s: search(s, '"咖啡', after(15_000)),
    "orders of some days": lambda s: s.orders.search(
        "", OrderFilter(since=NOW - 60 * HOUR, until=NOW - 48 * HOUR), limit=PAGE, cursor=""
    ),
    "orders of a trade type": lambda s: select(s, OrderFilter(trade_type=TradeType.JSAPI)),
    "a trade type's few closed orders": lambda s: select(
        s, OrderFilter(trade_type=TradeType.JSAPI, trade_state=TradeState.CLOSED)
    ),
    "orders of a channel that none has": lambda s: select(s, OrderFilter(channel="second")),
    "large orders": lambda s: select(s, OrderFilter(least=Fen(10_000))),
    "outlines of orders": lambda s: s.orders.outlines("", OrderFilter(), limit=PAGE, cursor=""),
    "differences": lambda s: s.differences.of_day(MCHID, BUSY_DAY, limit=PAGE, cursor=""),
    "a later page of differences": lambda s: s.differences.of_day(MCHID, BUSY_DAY, limit=PAGE, cursor="8"),
}
LOOKUPS: dict[str, Callable[[MongoStorage], Awaitable[Any]]] = {
    "order": lambda s: s.orders.get(f"{MCHID}:{number(123)}"),
    "orders at once": lambda s: asyncio.gather(*(s.orders.get(f"{MCHID}:{number(i)}") for i in range(50))),
    "unknown order": lambda s: s.orders.get("nobody"),
    "taken order": lambda s: s.orders.insert(sold(123), "write-1"),
    "replaced order": replaced("orders", sold(1)),
    "replaced orders": lambda s: asyncio.gather(*(replaced("orders", sold(i))(s) for i in range(20, 60))),
    "order that moved on": lambda s: s.orders.replace(Stored(sold(2), 7, ("loaded",)), sold(2), "write-1"),
    "due orders": lambda s: s.orders.list_due(NOW, 64),
    "next due order": lambda s: s.orders.next_due(NOW + HOUR),
    "overdue orders": lambda s: s.orders.overdue(NOW),
    "orders with events": lambda s: s.orders.with_events(NOW, 64),
    "waiting events": lambda s: s.orders.events_waiting(NOW),
    "order by its number": lambda s: s.orders.find_by_number(number(123), PAGE),
    "order by a transaction": lambda s: s.orders.find_by_number("T123", PAGE),
    "order by a refund": lambda s: s.orders.find_by_number(f"R-{number(10)}", PAGE),
    "order by its last digits": lambda s: search(s, f"~{number(123)[-6:]}"),
    "orders by an unknown key": lambda s: search(s, "@nobody"),
    "order by an unknown number": lambda s: s.orders.find_by_number("nobody", PAGE),
    "taken number": lambda s: s.numbers.reserve(NumberUse(payment_number(MCHID, "T1"), "another")),
    "unknown number": lambda s: s.numbers.get(refund_number(MCHID, "R1")),
    "calls of an order": lambda s: s.calls.of_order(number(7), 200),
    "claim": lambda s: s.claims.get("key-7"),
    "replaced claim": replaced("claims", replace(a_claim(), key="key-8")),
    "notification": lambda s: s.notifications.get("event-7"),
    "replaced notification": replaced("notifications", a_message("event-8", number(8))),
    "notifications of an order": lambda s: s.notifications.of_order(MCHID, number(123)),
    "refused message": lambda s: s.refused.get("reason_3-07"),
    "replaced refused message": replaced("refused", a_refused_one(4)),
    "refused messages of a reason": lambda s: s.refused.of_reason("reason_3"),
    "refused messages of an order": lambda s: s.refused.about(number(7), NOW - HOUR, PLACES),
    "latest refused messages": lambda s: s.refused.latest(REASONS_STORED * PLACES),
    "alarms of a kind": lambda s: s.alarms.of_kind("kind_3"),
    "latest alarms": lambda s: s.alarms.latest(REASONS_STORED * PLACES, only_open=False),
    "open alarms": lambda s: s.alarms.latest(REASONS_STORED * PLACES, only_open=True),
    "delivery": lambda s: s.deliveries.get("e9:erp"),
    "replaced delivery": replaced("deliveries", a_delivered(9)),
    "due deliveries": lambda s: s.deliveries.list_due("erp", NOW, 64),
    "due deliveries of nobody": lambda s: s.deliveries.list_due("crm", NOW, 64),
    "next due delivery": lambda s: s.deliveries.next_due("erp", NOW + HOUR),
    "overdue deliveries": lambda s: s.deliveries.overdue("erp", NOW),
    "pending deliveries of an order": lambda s: s.deliveries.pending_of(a_delivered(7).ordering_key),
    "deliveries of an order": lambda s: s.deliveries.of_order(a_delivered(7).order_key),
    "deliveries of an event": lambda s: s.deliveries.of_event("e123"),
    "open differences": lambda s: s.differences.list_open(MCHID, PAGE),
    "days of a month": lambda s: s.days.between(MCHID, BUSY_DAY - timedelta(days=30), BUSY_DAY),
    "summary": lambda s: s.summaries.get(a_summary(3).key),
    "replaced summary": replaced("summaries", a_summary(4)),
    "due summaries": lambda s: s.summaries.list_due(MCHID, NOW, 4),
    "next due summary": lambda s: s.summaries.next_due(MCHID, NOW + HOUR),
    "summaries of a month": lambda s: s.summaries.between(MCHID, BUSY_DAY - timedelta(days=30), BUSY_DAY),
    "orders with a refund under way": lambda s: s.orders.list_refunding(RefundState.ABNORMAL, PAGE),
    "orders that changed lately": lambda s: s.orders.changed_since(NOW - HOUR, 500),
    "sales of an hour": lambda s: drain(s.statistics_entries.list_sales(MCHID, NOW - 2 * HOUR, NOW - HOUR)),
    "refunds of a day, for figures": lambda s: drain(s.statistics_entries.list_refunds(MCHID, BUSY_DAY)),
    "orders that wait": lambda s: s.statistics_entries.waiting(MCHID),
    "day": lambda s: s.days.get(a_day(3).key),
    "replaced day": replaced("days", a_day(4)),
    "due days": lambda s: s.days.list_due(MCHID, NOW, 20),
    "difference": lambda s: s.differences.get(a_difference(3).id),
    "replaced difference": replaced("differences", a_difference(4)),
    "payments of a day": lambda s: drain(s.book_entries.list_payments(MCHID, BUSY_DAY)),
    "refunds of a day": lambda s: drain(s.book_entries.list_refunds(MCHID, BUSY_DAY)),
    "payments by number": lambda s: s.book_entries.payments(MCHID, [number(i) for i in range(100)]),
    "refunds by number": lambda s: s.book_entries.refunds(MCHID, [f"R-{number(10)}"]),
}
SPARE = 2
OVERDUE = 5
"""So many orders and deliveries are overdue here; whoever wants the next date looks at all of them."""
FOR_A_PAGE = GROWTH * (PAGE + 1)
"""The last window of a page may hold so many documents where the one before it held too few."""


def spare(name: str) -> int:
    """The number of documents that query ``name`` may examine beyond those that it returns."""
    if name in LISTINGS or name in STAFF_LISTINGS:
        return FOR_A_PAGE
    if name in LATEST:
        return FOR_THE_LATEST
    return SPARE + (OVERDUE if name.startswith("next due") else 0)


async def test_each_query_looks_at_what_it_returns_and_hardly_more(
    mongo: EmbeddedMongo, driver: Driver, full: AsyncMongoClient[Document]
) -> None:
    questions = Questions()
    connection = connect(mongo.url, DATABASE, driver, listeners=[questions])
    storage = MongoStorage("", "", clock=ManualClock(NOW), random=RandomIds(), connection=connection)
    wasteful = []
    unasked = []
    for name, ask in (LOOKUPS | LISTINGS | STAFF_LOOKUPS | STAFF_LISTINGS | LATEST).items():
        questions.asked.clear()
        await ask(storage)
        unasked += [] if questions.asked else [name]
        for question in list(questions.asked):
            looked_at = await examined(full, question)
            if looked_at > question.returned + spare(name):
                wasteful.append((name, dict(question.filter), looked_at, question.returned))
    await storage.close()
    assert wasteful == []
    assert unasked == []


async def test_after_a_quiet_night_a_page_does_not_look_at_the_orders_of_days(
    mongo: EmbeddedMongo, driver: Driver, full: AsyncMongoClient[Document]
) -> None:
    questions = Questions()
    connection = connect(mongo.url, DATABASE, driver, listeners=[questions])
    morning = ManualClock(NOW + 10 * HOUR)
    storage = MongoStorage("", "", clock=morning, random=RandomIds(), connection=connection)
    page = await storage.orders.find(trade_state=TradeState.SUCCESS, limit=PAGE, cursor="")
    await storage.close()
    assert len(page.items) == PAGE
    assert max([await examined(full, question) for question in questions.asked]) <= 15 * HOUR.seconds / EVERY_S


async def test_a_filter_that_no_index_serves_would_be_noticed(full: AsyncMongoClient[Document]) -> None:
    unserved = Question(ORDERS, {"_id": f"{MCHID}:{number(1)}", "trade_state": "SUCCESS"}, {}, 0, 1)
    assert await examined(full, unserved) == ORDERS_STORED


async def test_the_ends_of_the_planned_days_are_found_among_those_of_a_merchant(
    mongo: EmbeddedMongo, driver: Driver, full: AsyncMongoClient[Document]
) -> None:
    """There is one a day, so all of a merchant's are few."""
    questions = Questions()
    connection = connect(mongo.url, DATABASE, driver, listeners=[questions])
    storage = MongoStorage("", "", clock=ManualClock(NOW), random=RandomIds(), connection=connection)
    assert await storage.days.newest(MCHID) == BUSY_DAY
    assert await storage.days.oldest(MCHID) == BUSY_DAY - timedelta(days=DAYS_STORED - 1)
    await storage.close()
    assert [await examined(full, question) <= DAYS_STORED for question in questions.asked] == [True, True]
