"""Two service processes over the same stores, the WeChat whose clock they live by, and a merchant that hears of events.

``SCALE=10`` in the environment makes every crowd ten times as large (``SCALE=10 pytest tests/races --timeout 1800``).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import cycle
from typing import Any, TypeVar

from tests.http.client import MERCHANT, Response, Shop
from tests.simulator.sink import Sink
from tests.support.service import ServiceProcess
from tests.support.simulator import SimulatorProcess
from wechat.domain.times import BEIJING

SCALE = int(os.environ.get("SCALE", "1"))
AT_ONCE = 64
T = TypeVar("T")
Order = dict[str, Any]


class Cluster:
    """``shops`` are browsers and merchants' systems, one at each of ``services``; ``sink`` is told of events.

    ``database`` is theirs, without our stores in front.
    """

    def __init__(
        self,
        simulator: SimulatorProcess,
        services: Sequence[ServiceProcess],
        shops: Sequence[Shop],
        sink: Sink,
        database: Any,
    ) -> None:
        self.simulator = simulator
        self.services = services
        self.shops = shops
        self.sink = sink
        self._database = database
        self._turns = cycle(shops)
        self._heard = 0
        self._told: dict[str, dict[str, str]] = defaultdict(dict)

    @property
    def shop(self) -> Shop:
        """The shop of either process, in turn."""
        return next(self._turns)

    # -- the merchant -------------------------------------------------------------------------------------------------

    async def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        """Call the API of either process as the merchant's system."""
        data = None if body is None else json.dumps(body)
        return await self.shop.ask(method, target, data, MERCHANT | headers)

    async def sold(self, count: int, **terms: Any) -> list[Order]:
        """Place ``count`` orders, of both API versions in turn unless ``api`` is given."""
        apis = cycle([terms.pop("api")] if "api" in terms else ["v2", "v3"])
        return await crowd([self.shop.sold(api=api, **terms) for _, api in zip(range(count), apis, strict=False)])

    async def bought(self, count: int, **terms: Any) -> list[Order]:
        """Place and pay ``count`` orders, and wait until the service has recorded each as paid."""
        orders = await self.sold(count, **terms)
        await crowd([self.pay(order) for order in orders])
        await self.until_all(orders, "SUCCESS")
        return orders

    async def close(self, order: Order) -> Response:
        return await self.ask("POST", f"/api/orders/{order['out_trade_no']}/close")

    async def refund(self, order: Order, amount: Any, **headers: str) -> Response:
        target = f"/api/orders/{order['out_trade_no']}/refunds"
        named = {"Idempotency-Key": secrets.token_hex(6)} | headers
        return await self.ask("POST", target, {"refund": amount, "reason": "缺货"}, **named)

    async def refunds(self, order: Order) -> list[dict[str, Any]]:
        """The refunds of an order, the oldest first."""
        listed: list[dict[str, Any]] = (await self.ask("GET", f"/api/orders/{order['out_trade_no']}/refunds")).json()[
            "refunds"
        ]
        return listed

    async def stored(self, orders: Iterable[Order]) -> list[Order]:
        return await crowd([self.shop.stored(order["out_trade_no"]) for order in orders])

    async def states(self, orders: Iterable[Order]) -> list[str]:
        return [order["trade_state"] for order in await self.stored(orders)]

    async def until_all(self, orders: Iterable[Order], *states: str) -> list[Order]:
        """Wait until each order is in one of ``states``; return the stored orders."""

        async def there() -> list[Order]:
            stored = await self.stored(orders)
            return stored if {order["trade_state"] for order in stored} <= set(states) else []

        return await until(there)

    def events(self) -> dict[str, list[str]]:
        """The types of the events that the merchant received, by order number, as they arrived; repetitions once."""
        for message in self.sink.received[self._heard :]:
            self._heard += 1
            event = json.loads(message.body)
            self._told[event["data"]["out_trade_no"]][message.headers["webhook-id"]] = event["type"]
        return {number: list(types.values()) for number, types in self._told.items()}

    async def until_told(self, orders: Iterable[Order], *types: str) -> None:
        """Wait until the merchant has received just these events of each order."""
        numbers = [order["out_trade_no"] for order in orders]

        async def there() -> bool:
            response = self.events()
            return all(response.get(number) == list(types) for number in numbers)

        await self.advance(seconds=1)  # workers that rest wake up
        await until(there)

    async def until_handed_out(self) -> None:
        """Wait until no order has an event left that another process may hand out again later."""

        async def there() -> bool:
            return await self._database["orders"].find_one({"outbox": {"$exists": True}}) is None

        await until(there)

    # -- the books ----------------------------------------------------------------------------------------------------

    async def reconciled(self, day: date) -> dict[str, Any]:
        """Wait for the result of a day; return it with all its differences."""

        async def there() -> dict[str, Any]:
            response = await self.ask("GET", f"/api/reconciliations/{day}")
            return await self._whole(day, response.json()) if response.status == 200 else {}

        return await until(there)

    async def reconcile(self, day: date) -> Response:
        """Reconcile a day now."""
        return await self.ask("POST", f"/api/reconciliations/{day}")

    async def repair(self, day: date, difference: dict[str, Any], action: str) -> dict[str, Any]:
        target = f"/api/reconciliations/{day}/differences/{difference['id']}/repair"
        response = await self.ask("POST", target, {"action": action})
        repaired: dict[str, Any] = response.json()
        assert response.status == 200, repaired
        return repaired

    async def _whole(self, day: date, result: dict[str, Any]) -> dict[str, Any]:
        while result["next_cursor"]:
            more = (await self.ask("GET", f"/api/reconciliations/{day}?cursor={result['next_cursor']}")).json()
            result["differences"] += more["differences"]
            result["next_cursor"] = more["next_cursor"]
        return result

    # -- the operator -------------------------------------------------------------------------------------------------

    async def alarms(self, kind: str) -> int:
        """The number of alarms of ``kind`` that the two processes have raised together."""
        count = 0
        for shop in self.shops:
            metrics = (await shop.get("/metrics")).body.decode()
            found = re.search(rf'^fenpay_alarms_total{{kind="{kind}"}} (\S+)$', metrics, re.MULTILINE)
            count += int(float(found[1])) if found else 0
        return count

    # -- WeChat -------------------------------------------------------------------------------------------------------

    async def wechat(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Make a control call to the simulator, and return its answer."""
        address = f"{self.simulator.url}/simulator/{path}"
        data = None if body is None else json.dumps(body)
        response = await self.shop.ask(method, address, data, {"Content-Type": "application/json"})
        answer: dict[str, Any] = response.json()
        assert response.status < 300, answer
        return answer

    async def pay(self, order: Order, scenario: str = "success") -> str:
        """Pay an order at the simulator, and return the ``err_msg`` that the page receives."""
        return str((await self.wechat("POST", "bridge", {**order["pay"], "scenario": scenario}))["err_msg"])

    async def pay_anyway(self, order: Order, **more: str) -> str:
        """Make a payment that WeChat's rules forbid; return its transaction_id."""
        return str((await self.wechat("POST", f"orders/{order['out_trade_no']}/payments", more))["transaction_id"])

    async def truth(self, orders: Iterable[Order]) -> list[Order]:
        """The orders as the simulator has them, once nothing of them is pending there."""

        async def final_order(order: Order) -> Order:
            return await until(lambda: self._final_order(order["out_trade_no"]))

        return await crowd([final_order(order) for order in orders])

    async def _final_order(self, out_trade_no: str) -> Order:
        order = await self.wechat("GET", f"orders/{out_trade_no}")
        return order if not order["pending"] else {}

    async def served(self, path: str) -> int:
        """The number of requests to ``path`` that the simulator served; ``path`` has a star in place of a number."""
        count: int = (await self.wechat("GET", "stats"))["served"].get(path, 0)
        return count

    async def fault(self, path: str, fault: str, **more: Any) -> None:
        await self.wechat("POST", "faults", {"path": path, "fault": fault, **more})

    async def heal(self) -> None:
        await self.wechat("DELETE", "faults")

    # -- time ---------------------------------------------------------------------------------------------------------

    async def now(self) -> datetime:
        return datetime.fromisoformat((await self.wechat("GET", "clock"))["now"])

    async def advance(self, **span: float) -> None:
        """Move the simulated clock by ``span``; both processes know the new time when the call returns."""
        await self.wechat("POST", "clock", {"advance_s": timedelta(**span).total_seconds()})

    async def move_to(self, day: date, hour: int, minute: int = 0) -> None:
        """Move the simulated clock to this time in Beijing, unless it is later already."""
        wanted = datetime(day.year, day.month, day.day, hour, minute, tzinfo=BEIJING)
        await self.advance(seconds=max(0.0, (wanted - await self.now()).total_seconds()))

    async def new_day(self) -> date:
        """Move to noon of the next day in Beijing, so that all that follows happens on that day; return the day."""
        tomorrow = (await self.now()).astimezone(BEIJING).date() + timedelta(days=1)
        await self.move_to(tomorrow, 12)
        return tomorrow


async def crowd(work: Sequence[Awaitable[T]]) -> list[T]:
    """The results of ``work``, done by a crowd that is not too large for its sockets."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(each: Awaitable[T]) -> T:
        async with places:
            return await each

    return await asyncio.gather(*map(one, work))


async def soon(wanted: Callable[[], Awaitable[T]], within_s: float) -> T:
    """The first true value of ``wanted``, or what it is when time has run out."""
    deadline = time.monotonic() + within_s
    found = await wanted()
    while not found and time.monotonic() < deadline:
        await asyncio.sleep(0.03 * SCALE)
        found = await wanted()
    return found


async def until(wanted: Callable[[], Awaitable[T]], within_s: float = 15.0 * SCALE) -> T:
    """The first true value of ``wanted``; fails when time runs out."""
    found = await soon(wanted, within_s)
    assert found, "it did not come to that in time"
    return found
