"""A merchant's day at the WeChat simulator, from the first order to the reconciliation on the next morning.

Payments and refunds go through all scenarios of the simulator, calls fail in every way, services are killed; the
simulated clock is moved ahead whenever nothing is left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from drill.plan import UNPAID, Anomaly, PlannedOrder, Refunding, sample
from drill.refunding import Afternoon
from drill.scene import Scene, for_all
from drill.stack import SERVICES, TILL
from wechat.domain.errors import Bilingual
from wechat.domain.times import BEIJING, beijing_day

KILLS = 4
NEXT_TRY = timedelta(minutes=6)  # longer than the wait after an event's second failure
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
TILL_SALES = 5
PATIENT_S = 7 * 86400
GREY = 0.5  # share of notifications signed with the platform certificate's key instead of the WeChat Pay public key
FAULTS: tuple[Mapping[str, Any], ...] = (
    {"path": "/pay/unifiedorder", "fault": "system_error", "probability": 0.02, "after": True},
    {"path": "/pay/unifiedorder", "fault": "wrong_signature", "probability": 0.02},
    {"path": "/v3/pay/transactions/*", "fault": "http_500", "probability": 0.02},
    {"path": "/v3/pay/transactions/*", "fault": "probe", "probability": 0.02},
    {"path": "/pay/orderquery", "fault": "unsigned", "probability": 0.02},
    {"path": "/v3/pay/transactions/jsapi", "fault": "timeout_after", "times": 1},
)


class Day:
    """A simulated day of a drill."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.record = scene.record
        self._stack, self._shop, self._wechat, self._chance = scene.stack, scene.shop, scene.wechat, scene.chance
        self._placed = 0
        self._killing = asyncio.Lock()

    async def live(self) -> None:
        """Run the day, from nine in the morning to ten on the next."""
        await self._dawn()
        await self._sell()
        await self._odd_payments()
        await self._let_orders_end()
        await Afternoon(self._scene).run()
        await self._balance_the_books()
        await self._practise()

    # -- selling ---------------------------------------------------------------------------------------------------

    async def _dawn(self) -> None:
        """Move the clock to nine o'clock of the next day, so that everything happens on one day."""
        tomorrow = beijing_day(await self._wechat.now()) + timedelta(days=1)
        await self._scene.advance_to(datetime(tomorrow.year, tomorrow.month, tomorrow.day, 9, tzinfo=BEIJING))
        self.record.day = tomorrow
        await self._wechat.control("POST", "keys", {"mode": "grey", "grey_ratio": GREY})

    async def _sell(self) -> None:
        self._scene.say(
            Bilingual(f"{len(self.record.planned)} 笔订单与付款", f"{len(self.record.planned)} orders and payments")
        )
        await self._scene.add_faults(FAULTS)
        await for_all(self._serve, [customer for customer in self.record.planned if not customer.is_late])
        for number in range(TILL_SALES):
            sale = {"out_trade_no": f"{TILL}{number:08}", "total": 100 + number}
            await self._wechat.control("POST", "till", sale)
            self.record.till.append(str(sale["out_trade_no"]))
        await self._scene.end_faults()
        await self._scene.wait_until_quiet()

    async def _serve(self, customer: PlannedOrder) -> None:
        """Place and pay the order, unless it is planned for an exceptional payment. Meanwhile services are killed, and
        a key is replaced."""
        order = await self._shop.place(customer, self._wechat.users[0])
        if customer.odd in (None, Anomaly.TWICE):
            heard = await self._wechat.pay(order, customer.scenario, customer.coupons)
            if (heard == "ok") is (customer.scenario in UNPAID):
                raise RuntimeError(f"{customer.number}: {customer.scenario} ended in {heard}")
        elif customer.odd is Anomaly.RETURNED:
            await self._wechat.pay(order, "lost_notification")
            await self._wechat.control("POST", "console/refunds", {"out_trade_no": customer.number, "reason": "退回"})
        self._placed += 1
        if self._placed == len(self.record.planned) // 2:
            keys = await self._wechat.control("POST", "keys", {"rotate": True, "leading_zero": True})
            self.record.new_serial = keys["platform_serial_no"]
        every = max(1, len(self.record.planned) // (KILLS + 1))
        if self._placed % every == 0:
            await self._kill_one()

    async def _kill_one(self) -> None:
        """Kill the services in turn, one at a time: a service that is still starting cannot be killed."""
        async with self._killing:
            if self._stack.kills < KILLS:
                await asyncio.to_thread(self._stack.kill, self._stack.kills % SERVICES)

    async def _odd_payments(self) -> None:
        """Make the exceptional payments: of closed orders, second ones, and by another payer."""
        self._scene.say(Bilingual("异常支付", "exceptional payments"))
        odd = [customer for customer in self.record.planned if customer.odd]
        closed = [customer for customer in odd if customer.odd is Anomaly.CLOSED]
        await self._scene.advance(timedelta(minutes=6))  # v2 does not close a younger order
        for customer in closed:
            await self._shop.ask("POST", f"/api/orders/{customer.number}/close")
        await self._scene.wait_until_quiet()
        for customer in odd:
            if customer.odd is Anomaly.RETURNED:
                continue
            user = "yi" if customer.odd is Anomaly.FOREIGN else "jia"
            await self._wechat.control("POST", f"orders/{customer.number}/payments", {"user": user})
        await self._scene.wait_until_quiet()

    async def _let_orders_end(self) -> None:
        """Wait until queries have found unreported payments, and unpaid orders are closed at their deadline."""
        self._scene.say(Bilingual("查单，超时关单", "querying orders, closing those that timed out"))
        for minutes in (1, 2, 5, 10, 20):
            await self._scene.advance(timedelta(minutes=minutes))

    # -- the books -------------------------------------------------------------------------------------------------

    async def _balance_the_books(self) -> None:
        self._scene.say(Bilingual("次日 10:06 对账", "reconciling at 10:06 on the next day"))
        for number in range(ROUNDS):  # a payer who pays after a week, for an injected payment of an unpaid order
            await self._shop.ask("POST", "/api/orders", _patient(number), key=f"patient-{number}")
        morning = self.record.day + timedelta(days=1)
        await self._scene.advance_to(datetime(morning.year, morning.month, morning.day, 10, 6, tzinfo=BEIJING))
        await self._scene.wait_until_quiet()
        await self._reconcile()
        self.record.serials = await self._shop.key_serials()
        self.record.differences = await self._differences()
        self.record.ledger = (await self._shop.ask("GET", f"/api/ledger/{self.record.day}")).body
        numbers = sample([customer.number for customer in self.record.planned], ONE_BY_ONE, self._chance)
        await for_all(self._keep_ledger, numbers)
        for difference in self.record.differences:
            action = "refund" if difference["kind"] == "double_payment" else "query"
            path = f"/api/reconciliations/{self.record.day}/differences/{difference['id']}/repair"
            await self._shop.ask("POST", path, {"action": action})

    async def _keep_ledger(self, number: str) -> None:
        path = f"/api/ledger/{self.record.day}?out_trade_no={number}"
        self.record.ledgers[number] = (await self._shop.ask("GET", path)).body

    async def _practise(self) -> None:
        """Inject differences into the bill, check that they are found, and restore the bill."""
        self._scene.say(
            Bilingual("在账单中注入差异，再次对账", "injecting differences into the bill, reconciling again")
        )
        day = self.record.day.isoformat()
        for kind, number in self._to_plant():
            answer = await self._wechat.control("POST", "bills/faults", {"date": day, "kind": kind, "number": number})
            plant = answer["faults"][0]
            self.record.planted.add((kind, plant["out_refund_no"] or plant["out_trade_no"]))
        taken_back = {"date": day, "kind": "state", "number": self.record.till[0]}  # a sale at a till: no difference
        await self._wechat.control("POST", "bills/faults", taken_back)
        await self._reconcile()  # by hand, which downloads the bill again
        self.record.practice = await self._differences()
        await self._wechat.control("DELETE", f"bills/faults?date={day}")
        self.record.repaired = await self._reconcile()
        self.record.last = await self._differences()
        await self._scene.wait_until_quiet()
        while await self._scene.count_untold():
            await self._scene.advance(NEXT_TRY)

    def _to_plant(self) -> Iterable[tuple[str, str]]:
        """Return the kinds of differences, each with an order or refund that is not exceptional otherwise."""
        refunded = self.record.refunding
        plain = self.record.plainly_paid
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
            if answer.body.get("code") != "RECONCILIATION_RUNNING":  # a service's worker is reconciling already
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


def _patient(number: int) -> dict[str, Any]:
    return {
        "description": "预订",
        "total": 100,
        "trade_type": "NATIVE",
        "out_trade_no": f"patient{number:08}",
        "expires_in_s": PATIENT_S,
    }
