"""The orders service over stores in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from storage.stores.all import CLAIMS
from tests.support.clock import ManualClock
from tests.support.core import Backend, Core
from wechat.domain.errors import (
    GatewayRefused,
)
from wechat.domain.facts import Api, Notification, RemoteState, Transaction, Verified
from wechat.domain.money import Fen
from wechat.domain.orders import AppPayParams, Order, PayParams, Prepay, TradeType
from wechat.orders.drafts import Item, OrderDefaults
from wechat.orders.requests import CheckoutRequest, CreateOrderRequest
from wechat.orders.service import Orders, OrderWithPayParams
from wechat.pay.gateway import Gateway

T = TypeVar("T")
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
COFFEE = CheckoutRequest(sku="coffee", quantity=1)
SALE = CreateOrderRequest(description="咖啡", total=1800, openid=OPENID)


class FakeGateway:
    """WeChat's side of orders. ``failures`` are raised first, in order; ``lost`` takes effect before it is raised."""

    def __init__(self, api: Api, clock: ManualClock) -> None:
        self.api = api
        self.clock = clock
        self.known: dict[str, RemoteState] = {}
        self.calls: list[str] = []
        self.failures: list[Exception] = []
        self.lost: list[Exception] = []
        self.before_prepay: Callable[[Order], Awaitable[object]] | None = None
        self.on_query: Callable[[Order], Transaction | None] = lambda order: None

    async def prepay(self, order: Order, at: datetime) -> Prepay:
        await self._turn("prepay")
        if self.before_prepay:
            await self.before_prepay(order)
        self.known.setdefault(order.out_trade_no, RemoteState.NOTPAY)
        if self.lost:
            raise self.lost.pop(0)
        number = sum(call == "prepay" for call in self.calls)
        if order.trade_type is TradeType.JSAPI:
            return Prepay(at, "RSA", prepay_id=f"wx-{number}")
        return Prepay(at, "RSA", code_url=f"weixin://{number}")

    async def query(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction]:
        await self._turn("query")
        found = self.on_query(order)
        if found is None:
            state = self.known.get(order.out_trade_no)
            if state is None:
                raise GatewayRefused("query", code="ORDER_NOT_EXIST")
            found = transaction(order, state)
        return Verified(found, "test")

    async def close(self, order: Order) -> None:
        await self._turn("close")
        if self.known.get(order.out_trade_no) is RemoteState.SUCCESS:
            raise GatewayRefused("close", code="ORDER_PAID")
        if order.out_trade_no not in self.known:
            raise GatewayRefused("close", code="ORDER_NOT_EXIST")
        self.known[order.out_trade_no] = RemoteState.CLOSED

    def pay_params(self, appid: str, prepay: Prepay) -> PayParams:
        return PayParams(appid, "1", "n", f"prepay_id={prepay.prepay_id}", prepay.sign_type, "s")

    def app_params(self, appid: str, prepay: Prepay) -> AppPayParams:
        return AppPayParams(appid, "m", prepay.prepay_id, "Sign=WXPay", "n", "1", "s")

    def receive(self, headers: Any, body: bytes, *, arrived_at: Any = None) -> Verified[Notification]:
        raise NotImplementedError

    def claimed_order(self, body: bytes) -> str:
        raise NotImplementedError

    async def _turn(self, call: str) -> None:
        self.calls.append(call)
        await asyncio.sleep(0.001)
        if self.failures:
            raise self.failures.pop(0)


def transaction(order: Order, state: RemoteState) -> Transaction:
    paid = state.paid
    return Transaction(
        order.appid,
        order.mchid,
        order.out_trade_no,
        state,
        order.total if paid else None,
        transaction_id=f"4200{order.out_trade_no}" if paid else "",
        openid=order.openid,
        payer_total=order.total if paid else None,
    )


class Service:
    """The use cases over memory."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.backend = Backend(clock)
        self.v2, self.v3 = FakeGateway(Api.V2, clock), FakeGateway(Api.V3, clock)
        self.core = self.process()

    def process(self, *, api: Api = Api.V3, only: Api | None = None, minutes: int = 30) -> Core:
        """Return another process over the same stores; its orders can be paid for ``minutes``."""
        defaults = OrderDefaults("wx1", "1900000109", api, "https://x/notify", timedelta(minutes=minutes), 5000, 20)
        items = {"coffee": Item("coffee", "拿铁咖啡", Fen(1800)), "penny": Item("penny", "一分", Fen(1))}
        gateways: dict[Api, Gateway] = {each.api: each for each in (self.v2, self.v3) if only in (None, each.api)}
        return Core(self.backend, gateways, defaults=defaults, catalogue=items)

    @property
    def orders(self) -> Orders:
        return self.core.orders

    @property
    def numbers(self) -> list[str]:
        """The out_trade_no of every stored order."""
        return list(self.backend.orders)

    @property
    def claimed(self) -> list[str]:
        """The numbers that the stored keys stand for."""
        return [document["number"] for document in self.backend.database[CLAIMS].everything()]

    async def basket(self, basket: CheckoutRequest = COFFEE, openid: str = OPENID) -> OrderWithPayParams:
        return await self.orders.place_checkout(basket, openid=openid, client_ip="203.0.113.7")

    async def sale(self, sale: CreateOrderRequest = SALE, key: str = "", merchant: str = "shop") -> OrderWithPayParams:
        return await self.orders.place_order(sale, merchant=merchant, client_ip="203.0.113.7", idempotency_key=key)

    async def pay_at_wechat(self, order: Order) -> None:
        self.v2.known[order.out_trade_no] = self.v3.known[order.out_trade_no] = RemoteState.SUCCESS

    def stored(self, order: Order) -> Order:
        return self.backend.orders[order.out_trade_no]

    async def query(self, order: Order) -> Order:
        return await self.orders.query(order.out_trade_no)

    async def close(self, order: Order, source: str = "payer") -> Order:
        return await self.orders.close(order.out_trade_no, source=source)

    async def work(self) -> bool:
        """Do a worker's work once; return whether there was any."""
        return await self.core.worker.once()

    async def while_time_passes(self, act: Awaitable[T]) -> T:
        """Return the result of ``act``, while the clock runs."""
        task = asyncio.ensure_future(act)
        while not task.done():
            await asyncio.sleep(0.001)
            self.clock.advance(0.1)
        return await task
