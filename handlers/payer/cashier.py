"""Pages for payers: the shop, and under ``/pay/`` the cashier of one order.

Pay pages share one directory, because merchants register a directory with WeChat, and are opened by full navigation, so
that the landing address and the current one are the same on every phone. Only the server decides the state of an order:
scripts query it, and reload the page when it has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from handlers.web.base import PageHandler
from handlers.web.numbers import NUMBER
from handlers.web.plugin import Access, Route
from handlers.web.services import Services
from handlers.web.texts import refusals, script_texts
from service.settings.sections import Product
from wechat.domain.facts import RefundState
from wechat.domain.money import yuan
from wechat.domain.orders import Order, Refund, TradeState
from wechat.domain.times import beijing, to_v3

PICTURES = frozenset({"cup", "leaf", "cake", "coin"})  # the symbols of templates/pictures.svg
NO_PICTURE = "bag"
FINAL_PAGES = {
    TradeState.SUCCESS: "paid",
    TradeState.REFUND: "refund",
    TradeState.PAID_LATE: "paid_late",
    TradeState.CLOSED: "closed",
    TradeState.NOTPAY: "expired",
}
HINTS = frozenset({"paid_late", "refunding", "refund_wait", "closed", "expired"})


@dataclass(frozen=True, slots=True)
class FinalPage:
    """The contents of a page about an order that cannot be paid any more: keys of texts, and ``amount`` in fen."""

    title: str
    hint: str
    amount: int
    refunds: Sequence[Refund]


@dataclass(frozen=True, slots=True)
class ProductView:
    """A product as the shop shows it; ``price`` in fen."""

    sku: str
    name: str
    price: int
    picture: str


class ShopHandler(PageHandler):
    """The catalogue. ``?sku=&quantity=`` is a remembered basket; invalid values are ignored."""

    def get(self) -> None:
        wares = [self._ware(product) for product in self.services.settings.shop.products]
        most = self.services.settings.shop.max_quantity
        chosen = _chosen(wares, self.get_query_argument("sku", ""))
        quantity = _quantity(self.get_query_argument("quantity", ""), most)
        self.render_page(
            "shop.html",
            wares=wares,
            chosen=chosen.sku if chosen else "",
            quantity=quantity,
            most=most,
            total=chosen.price * quantity if chosen else 0,
            yuan=yuan,
            page={"signed_in": bool(self.payer), "words": script_texts(self.lang)},
        )

    def _ware(self, product: Product) -> ProductView:
        picture = product.picture if product.picture in PICTURES else NO_PICTURE
        return ProductView(product.sku, _name(product, self.lang), product.price, picture)


class LandingHandler(ShopHandler):
    """The page at ``/``: the shop, or the demo's landing page where the settings say so."""

    def get(self) -> None:
        if self.services.settings.shop.landing:
            self.render_page("landing.html")
        else:
            super().get()


class CashierHandler(PageHandler):
    """The payer's own order: the pay page, or its final page."""

    async def get(self, out_trade_no: str) -> None:
        order = await self.services.orders.get(out_trade_no, openid=self.payer)
        facts = {
            "order": order,
            "product": self._product(order),
            "yuan": yuan,
            "beijing": beijing,
            "rfc3339": to_v3,
            "page": self._script_values(order),
        }
        if self.services.orders.is_payable(order):
            self.render_page("cashier.html", by=self._by, **facts)
        else:
            self.render_page("rest.html", final=final_page(order), ask=not order.paid, **facts)

    @property
    def _by(self) -> str:
        """The API that starts the payment: ``bridge`` for WeixinJSBridge, or ``wx`` with ``?by=wx`` for
        ``wx.chooseWXPay``."""
        return "wx" if self.get_query_argument("by", "") == "wx" else "bridge"

    def _product(self, order: Order) -> str:
        """Return the product's name, in the reader's language if the catalogue has one."""
        products = {product.sku: product for product in self.services.settings.shop.products}
        if self.lang != "en" or order.sku not in products:
            return order.description
        name = _name(products[order.sku], self.lang)
        return name if order.quantity == 1 else f"{name} × {order.quantity}"

    def _script_values(self, order: Order) -> dict[str, Any]:
        """Return the values for the page's script. ``seconds_left`` instead of a date, because a phone's clock may be
        wrong."""
        closes_at = order.closes_at
        return {
            "out_trade_no": order.out_trade_no,
            "trade_state": order.trade_state.value,
            "seconds_left": max(0, ceil((closes_at - self.services.clock.now()).total_seconds())),
            "by": self._by,
            "simulated": self.services.settings.simulated,
            "words": script_texts(self.lang),
            "refusals": refusals(self.lang),
        }


def final_page(order: Order) -> FinalPage:
    """Describe an order that cannot be paid any more, by its stored state only."""
    refunds = [refund for refund in order.refunds if refund.reserves]
    if order.trade_state is TradeState.REFUND:
        return _refunded_page(order, refunds)
    title = FINAL_PAGES[order.trade_state]
    late = order.trade_state is TradeState.PAID_LATE
    name = "refunding" if late and any(refund.open for refund in refunds) else title
    return FinalPage(title, f"{name}_hint" if name in HINTS else "", order.total, refunds)


def _refunded_page(order: Order, refunds: Sequence[Refund]) -> FinalPage:
    """Describe a refunded order: the amount that arrived; else the amount under way; ``paid`` if every known refund
    failed."""
    parts = [refund for refund in refunds if not refund.surplus]
    arrived = sum(refund.refund for refund in parts if refund.state is RefundState.SUCCESS)
    if arrived:
        return FinalPage("refunded_all" if arrived >= order.total else "refund", "", arrived, refunds)
    if parts:
        return FinalPage("refunding", "refund_wait_hint", sum(refund.refund for refund in parts), refunds)
    return FinalPage("paid" if order.refunds else "refund", "", order.total, refunds)


def _name(product: Product, lang: str) -> str:
    return product.name_en if lang == "en" else product.name


def _chosen(wares: Sequence[ProductView], sku: str) -> ProductView | None:
    """Return the product ``sku``, or the first one."""
    return next((ware for ware in wares if ware.sku == sku), wares[0] if wares else None)


def _quantity(text: str, most: int) -> int:
    """Return ``text`` as a quantity that can be bought; 1 if it is invalid."""
    wanted = int(text) if text.isdecimal() and text.isascii() and len(text) < 5 else 1
    return min(max(wanted, 1), most)


def routes(services: Services) -> list[Route]:
    return [
        Route(pattern=r"/", handler=LandingHandler, access=Access.PUBLIC, name="home"),
        Route(pattern=r"/shop", handler=ShopHandler, access=Access.PUBLIC, name="shop"),
        Route(pattern=rf"/pay/{NUMBER}", handler=CashierHandler, access=Access.PAYER, name="cashier"),
    ]
