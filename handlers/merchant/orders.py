"""Orders for the merchant's own systems, which present an API key."""

from __future__ import annotations

import io
import re

import segno
from tornado.httputil import HTTPHeaders

from handlers.web.base import ApiHandler, takes_query
from handlers.web.numbers import NUMBER
from handlers.web.plugin import Access, Route
from handlers.web.query import read_choice
from handlers.web.services import Services
from handlers.web.support_file import MOST_CALLS, TEMPLATE, gather_support
from handlers.web.views import call_view, merchant_view, received_view, why_view, with_pay
from wechat.domain.errors import BadRequest, Bilingual, NotFound
from wechat.domain.orders import TradeState
from wechat.orders.requests import CreateOrderRequest

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class OrdersHandler(ApiHandler):
    """Place an order for the merchant's system; list orders, newest first."""

    async def post(self) -> None:
        sale = CreateOrderRequest.parse(self.json_body())
        placed = await self.services.orders.place_order(
            sale,
            merchant=self.merchant,
            client_ip=self.client_ip,
            idempotency_key=idempotency_key(self.request.headers),
        )
        self.set_status(201)
        self.write_json(with_pay(merchant_view(placed.order), placed))

    @takes_query("trade_state", "limit", "cursor")
    async def get(self) -> None:
        page = await self.services.order_store.find(
            trade_state=self._trade_state(), limit=self.page_limit(), cursor=self.get_query_argument("cursor", "")
        )
        orders = [merchant_view(order) for order in page.items]
        self.write_json({"orders": orders, "next_cursor": page.next_cursor or None})

    def _trade_state(self) -> TradeState | None:
        value = self.get_query_argument("trade_state", "")
        return read_choice(TradeState, value, "trade_state") if value else None


class OrderHandler(ApiHandler):
    """An order with its timeline and the notifications received about it."""

    async def get(self, out_trade_no: str) -> None:
        order = await self.services.orders.get(out_trade_no)
        received = await self.services.notification_store.of_order(order.mchid, order.out_trade_no)
        self.write_json(merchant_view(order) | {"notifications": [received_view(message) for message in received]})


class OrderQueryHandler(ApiHandler):
    """Query WeChat Pay and apply the result."""

    async def post(self, out_trade_no: str) -> None:
        self.write_json(merchant_view(await self.services.orders.query(out_trade_no)))


class OrderCloseHandler(ApiHandler):
    """Close an unpaid order."""

    async def post(self, out_trade_no: str) -> None:
        closed = await self.services.orders.close(out_trade_no, source="merchant", by=self.merchant)
        self.write_json(merchant_view(closed))


class WhyHandler(ApiHandler):
    """Diagnose an order: WeChat Pay is queried, and nothing is applied."""

    async def get(self, out_trade_no: str) -> None:
        why = why_view(await self.services.diagnosis.into(out_trade_no), self.lang)
        calls = await self.services.insight.calls.of_order(out_trade_no, MOST_CALLS)
        self.write_json(why | {"calls": [call_view(call) for call in calls]})


class SupportHandler(ApiHandler):
    """Everything about an order as an HTML file without personal data."""

    async def get(self, out_trade_no: str) -> None:
        page = self.render_string(TEMPLATE, **await gather_support(self.services, out_trade_no, self.lang))
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Disposition", 'attachment; filename="support.html"')
        self.write(page)


class QrHandler(ApiHandler):
    """The code_url of a NATIVE order as a QR picture."""

    async def get(self, out_trade_no: str) -> None:
        ready = await self.services.orders.pay(out_trade_no)
        if ready.order.prepay is None or not ready.order.prepay.code_url:
            raise NotFound(Bilingual("只有 NATIVE 订单有二维码", "Only NATIVE orders have a QR code"), code="NO_QR")
        picture = io.BytesIO()
        segno.make(ready.order.prepay.code_url, error="m").save(picture, kind="svg", scale=6, border=4)
        self.set_header("Content-Type", "image/svg+xml")
        self.write(picture.getvalue())


def idempotency_key(headers: HTTPHeaders) -> str:
    """Return the request's Idempotency-Key; empty without one. Raises BadRequest for an invalid key and for more than
    one: a proxy that sometimes repeats the header would change the key and so make another refund."""
    keys = headers.get_list("Idempotency-Key")
    key = keys[0] if keys else ""
    if len(keys) > 1 or (key and not _KEY.fullmatch(key)):
        raise BadRequest(
            Bilingual(
                "Idempotency-Key 只能有一个，为 1 到 255 个可见 ASCII 字符",
                "There is one Idempotency-Key, of 1 to 255 visible ASCII characters",
            ),
            code="BAD_IDEMPOTENCY_KEY",
        )
    return key


def routes(services: Services) -> list[Route]:
    def route(pattern: str, handler: type[ApiHandler], name: str) -> Route:
        return Route(pattern=pattern, handler=handler, access=Access.MERCHANT, name=name)

    return [
        route(r"/api/orders", OrdersHandler, "api_orders"),
        route(rf"/api/orders/{NUMBER}", OrderHandler, "api_order"),
        route(rf"/api/orders/{NUMBER}/query", OrderQueryHandler, "api_order_query"),
        route(rf"/api/orders/{NUMBER}/close", OrderCloseHandler, "api_order_close"),
        route(rf"/api/orders/{NUMBER}/why", WhyHandler, "api_order_why"),
        route(rf"/api/orders/{NUMBER}/support", SupportHandler, "api_order_support"),
        route(rf"/api/orders/{NUMBER}/qr\.svg", QrHandler, "api_order_qr"),
    ]
