"""Clients of the drill: the merchant's API at two services, of which either may be down, and the WeChat simulator."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp

from drill.plan import PlannedOrder
from drill.stack import SERVICES, Stack

TRIES = 240
PAUSE_S = 0.25
AGAIN = 503
"""The status that asks for the same request again."""


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]


class Shop:
    """The merchant's own system: it repeats unanswered requests, under the same numbers and keys."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._turns = itertools.cycle(stack.urls)
        self._headers = {"Authorization": f"Bearer {stack.api_key}"}

    async def place(self, customer: PlannedOrder, openid: str) -> dict[str, Any]:
        """Place the order of ``customer``, with as many attempts as it takes, and return it."""
        answer = await self.try_to_place(customer, openid)
        if answer.status != 201:
            raise RuntimeError(f"{customer.number} cannot be placed: {answer.body}")
        return answer.body

    async def try_to_place(self, customer: PlannedOrder, openid: str, tries: int = TRIES) -> Answer:
        """Place the order of ``customer`` and return the service's answer."""
        sale = {
            "description": "示例咖啡,外带",
            "total": customer.total,
            "trade_type": customer.trade_type,
            "out_trade_no": customer.number,
            "api": customer.api,
        }
        if customer.trade_type == "JSAPI":
            sale["openid"] = openid
        if customer.trade_type == "MWEB":
            sale["payer_client_ip"] = "203.0.113.9"
        return await self.ask("POST", "/api/orders", sale, key=customer.number, tries=tries)

    async def key_serials(self) -> list[str]:
        """Return the serial numbers of WeChat Pay's keys, as each service reports them."""
        checks = [(await self.ask("GET", "/healthz")).body for _ in range(SERVICES)]
        return [str(check) for check in checks]

    async def refund(self, number: str, refund: int, out_refund_no: str, *, key: str = "") -> Answer:
        body = {"refund": refund, "reason": "不想要了", "out_refund_no": out_refund_no}
        return await self.ask("POST", f"/api/orders/{number}/refunds", body, key=key)

    async def ask(self, method: str, path: str, body: object = None, *, key: str = "", tries: int = TRIES) -> Answer:
        """Return the answer of the first service that gives one, after ``tries`` attempts at most."""
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        last = Answer(0, {})
        for _ in range(tries):
            try:
                async with self._session.request(
                    method, next(self._turns) + path, json=body, headers=headers
                ) as answer:
                    last = Answer(answer.status, await answer.json())
            except (aiohttp.ClientError, TimeoutError):
                pass
            if last.status and last.status != AGAIN:
                return last
            await asyncio.sleep(PAUSE_S)
        return last

    async def pages(self, path: str, name: str) -> AsyncIterator[dict[str, Any]]:
        """Return every entry of a listing."""
        cursor = ""
        while True:
            page = (await self.ask("GET", f"{path}{'&' if '?' in path else '?'}limit=100&cursor={cursor}")).body
            for entry in page[name]:
                yield entry
            if not (cursor := page["next_cursor"] or ""):
                return


class WeChat:
    """The simulator's payers, console, clock and actual data."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self._url = f"{stack.simulator_url}/simulator"
        self._session = session
        self.users = [str(user["openid"]) for user in stack.credentials["users"]]

    async def pay(self, order: Mapping[str, Any], scenario: str, coupons: Sequence[Mapping[str, object]] = ()) -> str:
        """Have a payer pay by ``scenario``; return the page's result: ok, cancel or fail."""
        how = {"scenario": scenario, "coupons": coupons}
        if order.get("pay"):
            way = "app" if order["trade_type"] == "APP" else "bridge"
            heard = await self.control("POST", way, {**order["pay"], **how})
        else:
            scanned = {name: order[name] for name in ("code_url", "h5_url") if order.get(name)}
            heard = await self.control("POST", "scan", {**scanned, **how})
        return str(heard["err_msg"]).rpartition(":")[2]

    async def control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Make a control call. Raises RuntimeError if the simulator refuses it."""
        headers = {"Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, f"{self._url}/{path}", data=data, headers=headers) as answer:
            document: dict[str, Any] = await answer.json()
        if document.get("code") == "SIMULATOR_ERROR":
            raise RuntimeError(f"{path}: {document['message']}")
        return document

    async def advance(self, span: timedelta) -> None:
        await self.control("POST", "clock", {"advance_s": max(0.0, span.total_seconds())})

    async def now(self) -> datetime:
        return datetime.fromtimestamp((await self.control("GET", "clock"))["now_s"], UTC)

    async def orders(self) -> dict[str, dict[str, Any]]:
        """Return the actual data of every order."""
        document = await self.control("GET", "orders?limit=100000")
        return {order["out_trade_no"]: order for order in document["orders"]}

    async def refunds(self) -> dict[str, dict[str, Any]]:
        """Return the actual data of every refund."""
        document = await self.control("GET", "refunds?limit=100000")
        return {refund["out_refund_no"]: refund for refund in document["refunds"]}

    async def truth(self, day: date) -> dict[str, Any]:
        """Return the actual sums of a day."""
        return await self.control("GET", f"books/{day.isoformat()}")


def session() -> aiohttp.ClientSession:
    """Return the HTTP session of both clients, open during the drill."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), connector=aiohttp.TCPConnector(limit=64))
