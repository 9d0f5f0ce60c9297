"""A merchant's day at the WeChat simulator, from the first order to the books of the next morning.

Payments and refunds live through all that the simulator can do to them, calls go wrong in every way, services are
killed; the simulated clock is pushed ahead whenever there is nothing left to do for now.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from drill.plan import (
    REFUNDED_SHARE,
    REFUNDING,
    SCENARIOS,
    UNPAID,
    Anomaly,
    PlannedOrder,
    Refunding,
    customers,
    deal,
    sample,
)
from drill.receiver import Receiver
from drill.shop import Answer, Shop, WeChat
from drill.stack import SERVICES, Stack
from storage.mongo.storage import MongoStorage
from wechat.domain.deliveries import DeliveryState
from wechat.domain.orders import MIN_REFUND_INTERVAL
from wechat.domain.times import BEIJING, beijing_day

AT_ONCE = 16
KILLS = 4
SOON = MIN_REFUND_INTERVAL + timedelta(seconds=1)
QUIET_S = 120.0
NEXT_TRY = timedelta(minutes=6)  # longer than an event that failed twice waits
LOOK_S = 0.2
MOST_UNTOLD = 10_000
PLANTED = (
    "missing_there",
    "amount",
    "state",
    "refund_missing_here",
    "refund_missing_there",
    "double_payment",
    "unknown_number",
    "missing_here",
)
ROUNDS = 3
ONE_BY_ONE = 10  # per cent of the orders whose own ledger is looked at
TAKEN = (201, 202)
PATIENT_S = 7 * 86400
ORDER_FAULTS: tuple[dict[str, Any], ...] = (
    {"path": "/pay/unifiedorder", "fault": "system_error", "probability": 0.02, "after": True},
    {"path": "/pay/unifiedorder", "fault": "wrong_signature", "probability": 0.02},
    {"path": "/v3/pay/transactions/*", "fault": "http_500", "probability": 0.02},
    {"path": "/v3/pay/transactions/*", "fault": "probe", "probability": 0.02},
    {"path": "/pay/orderquery", "fault": "unsigned", "probability": 0.02},
    {"path": "/v3/pay/transactions/jsapi", "fault": "timeout_after", "times": 1},
)
REFUND_FAULTS: tuple[dict[str, Any], ...] = (
    {"path": "/secapi/pay/refund", "fault": "system_error", "probability": 0.05, "after": True},
    {"path": "/secapi/pay/refund", "fault": "http_500", "probability": 0.05},
    {"path": "/v3/refund/domestic/refunds", "fault": "probe", "probability": 0.05},
    {"path": "/v3/refund/domestic/refunds", "fault": "http_500", "probability": 0.05, "after": True},
    {"path": "/v3/refund/domestic/refunds", "fault": "timeout_after", "times": 1},
    {"path": "/pay/refundquery", "fault": "wrong_signature", "probability": 0.05},
)

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(slots=True)
class DayRecord:
    """What the drill did itself and what it was told, for the verdict to compare."""

    planned: list[PlannedOrder]
    day: date
    refunding: dict[str, Refunding] = field(default_factory=dict)
    too_much: int = 0
    too_much_refused: int = 0
    poor: int = 0
    poor_then_taken: int = 0
    repeated: int = 0
    repeated_as_one: int = 0
    planted: set[tuple[str, str]] = field(default_factory=set)
    repaired: dict[str, Any] = field(default_factory=dict)
    practice: list[dict[str, Any]] = field(default_factory=list)
    last: list[dict[str, Any]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    ledgers: dict[str, dict[str, Any]] = field(default_factory=dict)


class Day:
    """One day; ``say`` is told of each step before it."""

    def __init__(
        self,
        stack: Stack,
        shop: Shop,
        wechat: WeChat,
        receiver: Receiver,
        store: MongoStorage,
        count: int,
        chance: random.Random,
        say: Say,
    ) -> None:
        self._stack = stack
        self._shop = shop
        self._wechat = wechat
        self._receiver = receiver
        self._store = store
        self._chance = chance
        self._say = say
        self._placed = 0
        self.record = DayRecord(customers(count, chance), date.min)

    async def live(self) -> DayRecord:
        """From nine in the morning to ten of the next."""
        await self._dawn()
        await self._sell()
        await self._odd_payments()
        await self._let_orders_end()
        await self._refund()
        await self._let_refunds_end()
        await self._balance_the_books()
        await self._practise()
        return self.record

    # -- selling ---------------------------------------------------------------------------------------------------

    async def _dawn(self) -> None:
        """Nine o'clock of the next day, so that everything falls on one."""
        tomorrow = beijing_day(await self._wechat.now()) + timedelta(days=1)
        await self._until(datetime(tomorrow.year, tomorrow.month, tomorrow.day, 9, tzinfo=BEIJING))
        self.record.day = tomorrow

    async def _sell(self) -> None:
        self._say(f"{len(self.record.planned)} 笔订单与付款 · orders and payments")
        await self._faults(ORDER_FAULTS)
        await self._all(self._serve, self.record.planned)
        await self._wechat.control("DELETE", "faults")
        await self._quiet()

    async def _serve(self, customer: PlannedOrder) -> None:
        """Place and pay, unless the order is for something odd; a service dies now and then meanwhile."""
        order = await self._shop.place(customer, self._wechat.users[0])
        if customer.odd in (None, Anomaly.TWICE):
            heard = await self._wechat.pay(order, customer.scenario)
            if (heard == "ok") is (customer.scenario in UNPAID):
                raise RuntimeError(f"{customer.number}: {customer.scenario} ended in {heard}")
        self._placed += 1
        every = max(1, len(self.record.planned) // (KILLS + 1))
        if self._placed % every == 0 and self._stack.kills < KILLS:
            await asyncio.to_thread(self._stack.kill, self._stack.kills % SERVICES)

    async def _odd_payments(self) -> None:
        """Pay orders that are closed, pay some twice, and some by another payer."""
        self._say("异常支付 · exceptional payments")
        odd = [customer for customer in self.record.planned if customer.odd]
        closed = [customer for customer in odd if customer.odd is Anomaly.CLOSED]
        await self._pass(timedelta(minutes=6))  # v2 does not close a younger order
        for customer in closed:
            await self._shop.ask("POST", f"/api/orders/{customer.number}/close")
        await self._quiet()
        for customer in odd:
            user = "yi" if customer.odd is Anomaly.FOREIGN else "jia"
            await self._wechat.control("POST", f"orders/{customer.number}/payments", {"user": user})
        await self._quiet()

    async def _let_orders_end(self) -> None:
        """Wait until queries have found unreported payments, and unpaid orders are closed at their deadline."""
        self._say("查单，超时关单 · querying orders, closing those that timed out")
        for minutes in (1, 2, 5, 10, 20):
            await self._pass(timedelta(minutes=minutes))

    # -- refunding -------------------------------------------------------------------------------------------------

    async def _refund(self) -> None:
        plain = [c.number for c in self.record.planned if c.odd is None and c.scenario not in UNPAID]
        numbers = sample(plain, REFUNDED_SHARE, self._chance)
        kinds = deal(REFUNDING, len(numbers), self._chance)
        self.record.refunding = dict(zip(numbers, kinds, strict=False))
        self._say(f"{len(numbers)} 笔订单退款 · orders refunded")
        totals = {customer.number: customer.total for customer in self.record.planned}
        for number, kind in self.record.refunding.items():
            if scenario := SCENARIOS.get(kind):
                await self._wechat.control("POST", "refunds/scenarios", {"scenario": scenario, "out_trade_no": number})
        await self._faults(REFUND_FAULTS)
        rich = [(number, kind) for number, kind in self.record.refunding.items() if kind is not Refunding.POOR]
        await self._all(lambda each: self._refund_one(each[0], each[1], totals[each[0]]), rich)
        await self._wechat.control("DELETE", "faults")
        await self._refund_poor([n for n, kind in self.record.refunding.items() if kind is Refunding.POOR], totals)

    async def _refund_one(self, number: str, kind: Refunding, total: int) -> None:
        part = self._chance.randrange(1, total)
        if kind is Refunding.CONSOLE:
            body = {"out_trade_no": number, "refund": part, "reason": "商户平台退款"}
            await self._wechat.control("POST", "console/refunds", body)
        elif kind is Refunding.THRICE:
            third = total // 3
            await asyncio.gather(*(self._shop.refund(number, third, f"{number}-{n}") for n in range(3)))
        elif kind is Refunding.REPEATED:
            await self._refund_repeatedly(number, part)
        else:
            await self._shop.refund(number, part if kind is Refunding.PART else total, f"{number}-0")
        if kind is Refunding.TOO_MUCH:
            self.record.too_much += 1
            more = await self._shop.refund(number, 1, f"{number}-1")
            self.record.too_much_refused += (more.status, more.body.get("code")) == (409, "NOT_REFUNDABLE")

    async def _refund_repeatedly(self, number: str, refund: int) -> None:
        body, path = {"refund": refund, "reason": "点了两次"}, f"/api/orders/{number}/refunds"
        answers = await asyncio.gather(*(self._shop.ask("POST", path, body, key=f"{number}-r") for _ in range(2)))
        self.record.repeated += 1
        self.record.repeated_as_one += len({answer.body.get("out_refund_no") for answer in answers}) == 1

    async def _refund_poor(self, numbers: list[str], totals: dict[str, int]) -> None:
        """Without money no refund is taken; once it is there again, the same one is, under the same number."""
        balance = (await self._wechat.control("GET", "balance"))["balance"]
        await self._wechat.control("POST", "balance", {"transfer": -balance})
        waiting = [await self._shop.refund(number, totals[number], f"{number}-0") for number in numbers]
        await self._wechat.control("POST", "balance", {"transfer": balance})
        again = [await self._shop.refund(number, totals[number], f"{number}-0") for number in numbers]
        await self._pass(SOON)
        taken = await self._wechat.refunds()
        self.record.poor = len(numbers)
        self.record.poor_then_taken = sum(
            _waits_for_money(no) and yes.status in TAKEN and f"{number}-0" in taken
            for number, no, yes in zip(numbers, waiting, again, strict=True)
        )

    async def _let_refunds_end(self) -> None:
        """Wait until all refunds are final: sent a minute apart, queried, abnormal ones sent to another account."""
        self._say("退款得到最终结果 · refunds become final")
        for _ in range(4):
            await self._pass(SOON)
        for refund in (await self._wechat.refunds()).values():
            if refund["state"] == "ABNORMAL":
                await self._wechat.control("POST", f"console/refunds/{refund['out_refund_no']}/resend")
        for span in (SOON, timedelta(minutes=10), timedelta(hours=2), timedelta(hours=2)):
            await self._pass(span)

    # -- the books -------------------------------------------------------------------------------------------------

    async def _balance_the_books(self) -> None:
        self._say("次日 10:06 对账 · reconciling at 10:06 on the next day")
        for number in range(ROUNDS):  # somebody who takes a week to pay, for a planted payment of an unpaid order
            await self._shop.ask("POST", "/api/orders", _patient(number), key=f"patient-{number}")
        morning = self.record.day + timedelta(days=1)
        await self._until(datetime(morning.year, morning.month, morning.day, 10, 6, tzinfo=BEIJING))
        await self._quiet()
        await self._reconcile()
        self.record.differences = await self._differences()
        self.record.ledger = (await self._shop.ask("GET", f"/api/ledger/{self.record.day}")).body
        numbers = sample([customer.number for customer in self.record.planned], ONE_BY_ONE, self._chance)
        await self._all(self._keep_ledger, numbers)
        for difference in self.record.differences:
            action = "refund" if difference["kind"] == "double_payment" else "query"
            path = f"/api/reconciliations/{self.record.day}/differences/{difference['id']}/repair"
            await self._shop.ask("POST", path, {"action": action})

    async def _keep_ledger(self, number: str) -> None:
        path = f"/api/ledger/{self.record.day}?out_trade_no={number}"
        self.record.ledgers[number] = (await self._shop.ask("GET", path)).body

    async def _practise(self) -> None:
        """Plant differences on the bill, find them, and have the bill tell the truth again."""
        self._say("在账单中注入差异，再次对账 · injecting differences into the bill, reconciling again")
        day = self.record.day.isoformat()
        for kind, number in self._to_plant():
            answer = await self._wechat.control("POST", "bills/faults", {"date": day, "kind": kind, "number": number})
            plant = answer["faults"][0]
            self.record.planted.add((kind, plant["out_refund_no"] or plant["out_trade_no"]))
        await self._reconcile()  # by hand, so with the bill that WeChat has now
        self.record.practice = await self._differences()
        await self._wechat.control("DELETE", f"bills/faults?date={day}")
        self.record.repaired = await self._reconcile()
        self.record.last = await self._differences()
        await self._quiet()
        while await self._untold():
            await self._pass(NEXT_TRY)

    def _to_plant(self) -> Iterable[tuple[str, str]]:
        """Kinds with the order or refund they are about, none of which is odd in another way."""
        refunded = self.record.refunding
        plain = [c.number for c in self.record.planned if c.odd is None and c.scenario not in UNPAID]
        paid = iter(self._chance.sample([number for number in plain if number not in refunded], ROUNDS * len(PLANTED)))
        whole = [number for number, kind in refunded.items() if kind is Refunding.FULL]
        back = iter(whole)
        for round_ in range(min(ROUNDS, len(whole))):
            for kind in PLANTED:
                if kind == "refund_missing_there":
                    yield kind, f"{next(back)}-0"
                elif kind == "missing_here":
                    yield kind, f"patient{round_:08}"
                else:
                    yield kind, next(paid)

    async def _reconcile(self) -> dict[str, Any]:
        for _ in range(60):
            answer = await self._shop.ask("POST", f"/api/reconciliations/{self.record.day}")
            if answer.body.get("code") != "RECONCILIATION_RUNNING":  # the services' own worker was quicker
                return answer.body
            await asyncio.sleep(0.5)
        raise RuntimeError(f"no reconciliation: {answer.body}")

    async def _differences(self) -> list[dict[str, Any]]:
        path = f"/api/reconciliations/{self.record.day}"
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = (await self._shop.ask("GET", f"{path}?cursor={cursor}")).body
            found += page["differences"]
            if not (cursor := page["next_cursor"] or ""):
                return found

    # -- time ------------------------------------------------------------------------------------------------------

    async def _pass(self, span: timedelta) -> None:
        await self._wechat.advance(span)
        await self._quiet()

    async def _until(self, moment: datetime) -> None:
        await self._wechat.advance(moment - await self._wechat.now())

    async def _quiet(self) -> None:
        """Until nothing is overdue: no order, refund, event or delivery. Raises TimeoutError."""
        async with asyncio.timeout(QUIET_S):
            busy = True
            while busy:
                busy = await self._due()
                await asyncio.sleep(LOOK_S)

    async def _due(self) -> bool:
        now, store = await self._wechat.now(), self._store
        return bool(
            await store.orders.list_due(now, 1)
            or await store.orders.with_events(now, 1)
            or await store.deliveries.list_due("drill", now, 1)
        )

    async def _untold(self) -> int:
        """How many events wait for another try, due or not."""
        return len((await self._store.deliveries.find(state=DeliveryState.PENDING, limit=MOST_UNTOLD, cursor="")).items)

    # -- tools -----------------------------------------------------------------------------------------------------

    async def _faults(self, faults: Iterable[dict[str, Any]]) -> None:
        for fault in faults:
            await self._wechat.control("POST", "faults", fault)

    @staticmethod
    async def _all(work: Callable[[T], Awaitable[None]], things: Iterable[T]) -> None:
        """``work`` for each, some at a time."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(thing: T) -> None:
            async with places:
                await work(thing)

        async with asyncio.TaskGroup() as group:
            for thing in things:
                group.create_task(one(thing))


def _waits_for_money(answer: Answer) -> bool:
    """Whether a refund was kept, under its number, until the merchant's balance covers it."""
    return answer.status in TAKEN and (answer.body["not_now"] or {}).get("code") == "NOT_ENOUGH"


def _patient(number: int) -> dict[str, Any]:
    return {
        "description": "预订",
        "total": 100,
        "trade_type": "NATIVE",
        "out_trade_no": f"patient{number:08}",
        "expires_in_s": PATIENT_S,
    }
