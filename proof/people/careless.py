"""Merchants' systems that use the API wrongly. What they ask for must be refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from proof.runtime.chance import Chance
from proof.service.process import ServiceProcess
from wechat.domain.facts import Api
from wechat.domain.orders import Refund
from wechat.orders.requests import CreateOrderRequest
from wechat.orders.service import OrderWithPayParams
from wechat.refunds.requests import RefundRequest

T = TypeVar("T")


class Insist(Protocol):
    """Repeats a request until there is an answer; None after a refusal."""

    async def __call__(
        self,
        stream: random.Random,
        name: str,
        what: str,
        work: Callable[[ServiceProcess], Coroutine[Any, Any, T]],
    ) -> T | None: ...


class Careless:
    """Each act has a random stream of its own. ``wrong`` lists what was not refused."""

    def __init__(self, chance: Chance, insist: Insist, wrong: list[str]) -> None:
        self._chance = chance
        self._insist = insist
        self._wrong = wrong

    async def use_key_twice(self, name: str) -> None:
        """Use one Idempotency-Key for two sales. The second must be refused."""
        stream = self._chance.stream(f"{name} by key")
        placed: list[tuple[int, str]] = []
        for total in (100, 100, 200):
            sale = CreateOrderRequest(description="拿铁咖啡", total=total, openid=f"o-{name}", api=Api.V3)

            def place(
                process: ServiceProcess, sale: CreateOrderRequest = sale
            ) -> Coroutine[Any, Any, OrderWithPayParams]:
                return process.orders.place_order(sale, merchant="shop", client_ip="10.0.0.1", idempotency_key=name)

            answer = await self._insist(stream, name, "place by key", place)
            if answer:
                placed.append((total, answer.order.out_trade_no))
        if len({number for _, number in placed}) > 1 or any(total == 200 for total, _ in placed[1:]):
            self._wrong.append(f"the key {name} stood for {placed}")

    async def refund_without_name(self, name: str) -> None:
        """Ask for a refund without a key or number of its own: repeated after a failure, it would be a second one."""
        wanted = RefundRequest(refund=1, reason="缺货")

        def request(process: ServiceProcess) -> Coroutine[Any, Any, Refund]:
            return process.refunds.request(name, wanted, by="shop")

        refund = await self._insist(self._chance.stream(f"{name} without a name"), name, "refund unnamed", request)
        if refund is not None:
            self._wrong.append(f"a refund of {name} without a name was accepted as {refund.out_refund_no}")
