"""A payer's own orders. The price comes from the catalogue, the payer from the session."""

from __future__ import annotations

from handlers.web.base import ApiHandler
from handlers.web.numbers import NUMBER
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from handlers.web.views import payer_view, with_pay
from wechat.orders.requests import CheckoutRequest


class OrdersHandler(ApiHandler):
    """Place an order; the answer is what the page passes to the cashier."""

    async def post(self) -> None:
        basket = CheckoutRequest.parse(self.json_body())
        placed = await self.services.orders.place_checkout(basket, openid=self.payer, client_ip=self.client_ip)
        self.set_status(201)
        self.write_json(with_pay(payer_view(placed.order), placed))


class OrderHandler(ApiHandler):
    """The payer's own order, as stored."""

    async def get(self, out_trade_no: str) -> None:
        self.write_json(payer_view(await self.services.orders.get(out_trade_no, openid=self.payer)))


class PayHandler(ApiHandler):
    """Return new pay parameters for an unpaid order."""

    async def post(self, out_trade_no: str) -> None:
        placed = await self.services.orders.pay(out_trade_no, openid=self.payer)
        self.write_json(with_pay(payer_view(placed.order), placed))


class QueryHandler(ApiHandler):
    """Query WeChat Pay before answering: the ``ok`` that the page's script received proves nothing."""

    async def post(self, out_trade_no: str) -> None:
        self.write_json(payer_view(await self.services.orders.query(out_trade_no, openid=self.payer)))


class CloseHandler(ApiHandler):
    """Close the payer's unpaid order."""

    async def post(self, out_trade_no: str) -> None:
        order = await self.services.orders.close(out_trade_no, source="payer", openid=self.payer)
        self.write_json(payer_view(order))


def routes(services: Services) -> list[Route]:
    return [
        Route(pattern=r"/orders", handler=OrdersHandler, access=Access.PAYER, name="orders"),
        Route(pattern=rf"/orders/{NUMBER}", handler=OrderHandler, access=Access.PAYER, name="order"),
        Route(pattern=rf"/orders/{NUMBER}/pay", handler=PayHandler, access=Access.PAYER, name="order_pay"),
        Route(pattern=rf"/orders/{NUMBER}/query", handler=QueryHandler, access=Access.PAYER, name="order_query"),
        Route(pattern=rf"/orders/{NUMBER}/close", handler=CloseHandler, access=Access.PAYER, name="order_close"),
    ]
