"""Refunds for the merchant's own systems, by API key."""

from __future__ import annotations

from handlers.merchant.orders import idempotency_key
from handlers.web.base import ApiHandler
from handlers.web.numbers import NUMBER, REFUND_NUMBER
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from handlers.web.views import refund_view
from wechat.refunds.requests import RefundRequest


class OrderRefundsHandler(ApiHandler):
    """Refund an order: 201 if the refund's state is final, 202 if it is not yet. GET lists the order's refunds."""

    async def post(self, out_trade_no: str) -> None:
        wanted = RefundRequest.parse(self.json_body())
        refund = await self.services.refunds.request(
            out_trade_no, wanted, by=self.merchant, idempotency_key=idempotency_key(self.request.headers)
        )
        self.set_status(202 if refund.open else 201)
        self.write_json(refund_view(refund))

    async def get(self, out_trade_no: str) -> None:
        refunds = await self.services.refunds.of_order(out_trade_no)
        self.write_json({"refunds": [refund_view(refund) for refund in refunds]})


class RefundHandler(ApiHandler):
    """A refund as stored; WeChat Pay is not queried."""

    async def get(self, out_refund_no: str) -> None:
        self.write_json(refund_view(await self.services.refunds.get(out_refund_no)))


class RefundQueryHandler(ApiHandler):
    """Query WeChat Pay and apply the result."""

    async def post(self, out_refund_no: str) -> None:
        self.write_json(refund_view(await self.services.refunds.query(out_refund_no)))


class RefundCancelHandler(ApiHandler):
    """Cancel a refund that WeChat Pay does not have."""

    async def post(self, out_refund_no: str) -> None:
        self.write_json(refund_view(await self.services.refunds.cancel(out_refund_no, by=self.merchant)))


def routes(services: Services) -> list[Route]:
    def route(pattern: str, handler: type[ApiHandler], name: str) -> Route:
        return Route(pattern=pattern, handler=handler, access=Access.MERCHANT, name=name)

    return [
        route(rf"/api/orders/{NUMBER}/refunds", OrderRefundsHandler, "api_order_refunds"),
        route(rf"/api/refunds/{REFUND_NUMBER}", RefundHandler, "api_refund"),
        route(rf"/api/refunds/{REFUND_NUMBER}/query", RefundQueryHandler, "api_refund_query"),
        route(rf"/api/refunds/{REFUND_NUMBER}/cancel", RefundCancelHandler, "api_refund_cancel"),
    ]
