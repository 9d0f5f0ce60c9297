"""The life of an order: placed, made payable, asked after, closed.

The order is stored before WeChat is asked, under a number that stays. Whatever WeChat says of it, by answer or by
notification, goes through ``Ledger.apply``. Prices come from the catalogue or from a merchant's own system, never from
a browser.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from wechat.domain.errors import (
    BadRequest,
    Conflict,
    FenpayError,
    GatewayRefused,
    Gone,
    IdempotencyMismatch,
    NotFound,
    OutcomeUnknown,
    Text,
)
from wechat.domain.times import to_v2
from wechat.flight import SingleFlight
from wechat.ledger import Ledger
from wechat.models import (
    Api,
    Claim,
    Fen,
    Order,
    OrderEvent,
    PayParams,
    TradeState,
    TradeType,
    Transaction,
    Verified,
    fen,
)
from wechat.pay.codes import ORDER_CLOSED, ORDER_NOT_EXIST, ORDER_PAID
from wechat.pay.gateway import Gateway
from wechat.ports import ClaimStore, Clock, OrderStore
from wechat.wanted import Basket, Sale

FIRST_CHECK = timedelta(seconds=30)
CHECKS_S = (30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds from one look at an unpaid order to the next; WeChat wants the first query within a minute."""
V2_CLOSE_AGE = timedelta(minutes=5, seconds=10)  # five minutes at WeChat, which the order reached somewhat later
IDEMPOTENCY_LIFE = timedelta(days=2)

log = structlog.get_logger("wechat.orders")


@dataclass(frozen=True, slots=True)
class Terms:
    """What every order of this service has in common. ``lifetime`` is how long it can be paid."""

    appid: str
    mchid: str
    api: Api
    notify_url: str
    lifetime: timedelta
    max_total: int
    max_quantity: int


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the catalogue; ``price`` in fen."""

    sku: str
    name: str
    price: Fen


@dataclass(frozen=True, slots=True)
class Placed:
    """A stored order and, where a browser pays (JSAPI) and it still can, what the cashier needs."""

    order: Order
    pay: PayParams | None


class Orders:
    """The use cases around one order."""

    def __init__(
        self,
        terms: Terms,
        catalogue: Mapping[str, Item],
        gateways: Mapping[Api, Gateway],
        store: OrderStore,
        claims: ClaimStore,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._terms = terms
        self._catalogue = catalogue
        self._gateways = gateways
        self._store = store
        self._claims = claims
        self._ledger = ledger
        self._clock = clock
        self._prepays: SingleFlight[Order] = SingleFlight()
        self._queries: SingleFlight[Order] = SingleFlight()

    async def place_basket(self, basket: Basket, *, openid: str, client_ip: str) -> Placed:
        """A payer's order. The same basket again, while its order can be paid, is the same order.

        Raises BadRequest for an unknown sku, and what ``prepared`` raises.
        """
        item = self._catalogue.get(basket.sku)
        if item is None:
            raise BadRequest(Text("没有这个商品", "There is no such product"), code="UNKNOWN_SKU", field="sku")
        if basket.quantity > self._terms.max_quantity:
            raise _too_many(self._terms.max_quantity)
        draft = replace(
            self._draft(TradeType.JSAPI, self._named(item, basket.quantity), item.price * basket.quantity, client_ip),
            openid=openid,
            sku=item.sku,
            quantity=basket.quantity,
        )
        digest = basket.digest(openid, str(draft.total), draft.description)
        order = await self._one_open_order(f"basket:{digest}", digest, draft)
        return await self._offer(order, fresh=order.out_trade_no == draft.out_trade_no)

    async def place_sale(self, sale: Sale, *, merchant: str, client_ip: str, idempotency_key: str = "") -> Placed:
        """A merchant's order. A repeated Idempotency-Key, or a repeated out_trade_no, gives the first order again.

        Raises IdempotencyMismatch for the same key with another body, Conflict for the same number with another order,
        BadRequest for an API that is not configured, and what ``prepared`` raises.
        """
        draft = self._sale_draft(sale, sale.payer_client_ip or client_ip)
        event = OrderEvent(draft.created_at, "created", "merchant", merchant)
        draft = replace(draft, events=(event,))
        if idempotency_key:
            held = await self._claimed(f"sale:{merchant}:{idempotency_key}", sale.digest(), draft)
            draft = replace(draft, out_trade_no=held.out_trade_no)
        order = await self._insert(draft)
        return await self._offer(order, fresh=order is draft)

    async def get(self, out_trade_no: str, *, openid: str | None = None) -> Order:
        """The stored order; with ``openid``, only that payer's. Raises NotFound, for another's order too."""
        order = await self._store.get(out_trade_no)
        if order is None or (openid is not None and not (order.openid and order.openid == openid)):
            raise NotFound(Text("没有这个订单", "There is no such order"), code="ORDER_NOT_FOUND")
        return order

    async def pay(self, order: Order) -> Placed:
        """Fresh pay parameters for an unpaid order, over the same prepay_id while it lives.

        Raises Conflict (paid, closed), Gone (expired), and what ``prepared`` raises.
        """
        self._must_be_payable(order)
        return await self._offer(order)

    async def look(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction] | None:
        """What WeChat says of ``order``, or of one payment of it, applied to nothing; None when it has no such thing.

        Raises NotSent, OutcomeUnknown, GatewayRefused, Conflict (the settings have lost its API).
        """
        try:
            return await self._gateway(order).query(order, transaction_id=transaction_id)
        except GatewayRefused as error:
            if error.public_code != ORDER_NOT_EXIST:
                raise
            return None

    async def query(self, order: Order) -> Order:
        """Ask WeChat and apply what it says. Raises NotSent, OutcomeUnknown, GatewayRefused, Mismatch."""
        return await self._queries.do(order.out_trade_no, lambda: self._query(order))

    async def close(self, order: Order, *, source: str, by: str = "") -> Order:
        """End an unpaid order. A young v2 order is closed as soon as WeChat takes it; until then it stays NOTPAY.

        Raises Conflict for a paid order, NotSent, OutcomeUnknown, GatewayRefused.
        """
        if order.trade_state is TradeState.CLOSED:
            return order
        if order.paid:
            raise _paid()
        earliest = order.created_at + V2_CLOSE_AGE
        if order.api is Api.V2 and order.prepay and self._clock.now() < earliest:
            if order.close_after != earliest:  # said once, however often it is asked for
                await self._store.note(order.out_trade_no, self._event("close_scheduled", source, by))
                await self._store.schedule(order.out_trade_no, earliest, close_after=earliest)
            return await self.get(order.out_trade_no)
        return await self._close(order, source, by)

    async def check(self, order: Order) -> Order:
        """A worker's look at an unpaid order: query it, close it at its end; whatever fails, look again ever later."""
        try:
            asked = await self.query(order)
            if asked.trade_state is TradeState.NOTPAY and self._clock.now() >= _close_after(asked):
                return await self.close(asked, source="worker")
        except FenpayError:
            await self._look_later(order)
            raise
        if asked.trade_state is TradeState.NOTPAY:
            await self._look_later(asked)
        return asked

    def payable(self, order: Order) -> bool:
        """Whether a payer may still pay it."""
        return order.trade_state is TradeState.NOTPAY and self._clock.now() < _close_after(order)

    # -- drafts ---------------------------------------------------------------------------------------------------

    def _draft(self, trade_type: TradeType, description: str, total: int, client_ip: str) -> Order:
        now = self._clock.now().replace(microsecond=0)
        expires_at = now + self._terms.lifetime
        return Order(
            out_trade_no=f"{to_v2(now)}{secrets.token_hex(6)}",
            api=self._terms.api,
            appid=self._terms.appid,
            mchid=self._terms.mchid,
            trade_type=trade_type,
            description=description,
            total=fen(total, most=self._terms.max_total),
            created_at=now,
            expires_at=expires_at,
            close_after=expires_at,
            next_check_at=now + FIRST_CHECK,
            notify_url=self._terms.notify_url,
            client_ip=client_ip,
            events=(OrderEvent(now, "created", "payer"),),
        )

    def _sale_draft(self, sale: Sale, client_ip: str) -> Order:
        draft = self._draft(sale.trade_type, sale.description, sale.total, client_ip)
        api = sale.api or self._terms.api
        if api not in self._gateways:
            raise BadRequest(Text(f"没有配置 {api}", f"{api} is not configured"), code="API_OFF", field="api")
        life = timedelta(seconds=sale.expires_in_s) if sale.expires_in_s else self._terms.lifetime
        return replace(
            draft,
            api=api,
            openid=sale.openid or "",
            attach=sale.attach or "",
            out_trade_no=sale.out_trade_no or draft.out_trade_no,
            expires_at=draft.created_at + life,
            close_after=draft.created_at + life,
        )

    @staticmethod
    def _named(item: Item, quantity: int) -> str:
        return item.name if quantity == 1 else f"{item.name} × {quantity}"

    # -- one order for one wish -----------------------------------------------------------------------------------

    async def _one_open_order(self, key: str, digest: str, draft: Order) -> Order:
        """The payer's open order for this basket, or ``draft`` in place of one that can no longer be paid."""
        held = await self._claimed(key, digest, draft)
        order = await self._insert(replace(draft, out_trade_no=held.out_trade_no))
        if self.payable(order):
            return order
        if await self._claims.replace(held, replace(held, out_trade_no=draft.out_trade_no)):
            return await self._insert(draft)
        return await self._one_open_order(key, digest, draft)

    async def _claimed(self, key: str, digest: str, draft: Order) -> Claim:
        claim = Claim(key, draft.out_trade_no, digest, draft.created_at + IDEMPOTENCY_LIFE)
        held = await self._claims.claim(claim)
        if held.digest != digest:
            raise IdempotencyMismatch
        return held

    async def _insert(self, draft: Order) -> Order:
        """``draft`` stored, or the order that already has its number, if it is the same sale."""
        if await self._store.insert(draft):
            return draft
        stored = await self.get(draft.out_trade_no)
        if _sale(stored) != _sale(draft):
            raise Conflict(
                Text("这个订单号已用于另一笔订单", "This out_trade_no belongs to another order"),
                code="OUT_TRADE_NO_USED",
                field="out_trade_no",
            )
        return stored

    # -- making it payable ----------------------------------------------------------------------------------------

    async def _offer(self, order: Order, *, fresh: bool = False) -> Placed:
        if not self.payable(order):
            return Placed(order, None)
        ready = await self.prepared(order, fresh=fresh)
        if ready.trade_type is not TradeType.JSAPI or ready.prepay is None:
            return Placed(ready, None)
        return Placed(ready, self._gateway(ready).pay_params(ready.appid, ready.prepay))

    async def prepared(self, order: Order, *, fresh: bool = False) -> Order:
        """``order`` with a prepay that WeChat still takes; ``fresh``: stored just now, nobody else can have asked.

        Raises Conflict, Gone, NotSent, OutcomeUnknown, GatewayRefused.
        """
        if self._has_prepay(order):
            return order
        return await self._prepays.do(order.out_trade_no, lambda: self._prepay(order, fresh))

    def _has_prepay(self, order: Order) -> bool:
        return order.prepay is not None and order.prepay.alive(self._clock.now())

    async def _prepay(self, order: Order, fresh: bool) -> Order:
        """Ask for a prepay; where the answer leaves it open, ask what WeChat knows before asking once more."""
        current = order if fresh else await self.get(order.out_trade_no)
        if self._has_prepay(current):
            return current
        try:
            return await self._unified_order(order)
        except OutcomeUnknown:
            await self._note(order, "prepay_unknown")
            await self._settled(order)
            return await self._unified_order(order)
        except GatewayRefused as error:
            await self._note(order, "prepay_refused", code=error.public_code)
            if error.public_code in (ORDER_PAID, ORDER_CLOSED):
                await self._settled(order)
            raise

    async def _unified_order(self, order: Order) -> Order:
        prepay = await self._gateway(order).prepay(order, self._clock.now())
        stored = await self._store.set_prepay(order.out_trade_no, prepay, self._event("prepay", str(order.api)))
        if stored is None:
            self._must_be_payable(await self.get(order.out_trade_no))
            raise NotFound
        return stored

    async def _settled(self, order: Order) -> None:
        """Query ``order``; returns only if it is still to be paid."""
        self._must_be_payable(await self.query(order))

    def _must_be_payable(self, order: Order) -> None:
        if order.paid:
            raise _paid()
        if order.trade_state is TradeState.CLOSED:
            raise Conflict(Text("订单已关闭，请重新下单", "The order is closed; place a new one"), code="ORDER_CLOSED")
        if not self.payable(order):
            raise Gone(Text("订单已过期，请重新下单", "The order has expired; place a new one"), code="ORDER_EXPIRED")

    # -- asking and closing ---------------------------------------------------------------------------------------

    async def _query(self, order: Order) -> Order:
        fact = await self.look(order)
        return await self._ledger.apply(fact, source="query") if fact else await self.get(order.out_trade_no)

    async def _close(self, order: Order, source: str, by: str) -> Order:
        try:
            await self._gateway(order).close(order)
        except GatewayRefused as error:
            if error.public_code == ORDER_PAID:
                await self.query(order)
                raise _paid() from None
            if error.public_code not in (ORDER_CLOSED, ORDER_NOT_EXIST):
                raise
        return await self._ledger.closed(order, self._event("closed", source, by))

    async def _look_later(self, order: Order) -> None:
        """After a pause that is longer each time, but when its time is over if that is sooner."""
        now, end = self._clock.now(), _close_after(order)
        later = now + timedelta(seconds=CHECKS_S[min(order.checks + 1, len(CHECKS_S) - 1)])
        await self._store.schedule(order.out_trade_no, min(later, end) if now < end else later)

    def _gateway(self, order: Order) -> Gateway:
        """The generation that took ``order``, which the settings may have lost since."""
        if order.api not in self._gateways:
            text = Text(
                f"订单由 {order.api} 受理，但设置里没有 pay.{order.api}；请补上",
                f"{order.api} took this order, but the settings have no pay.{order.api}; put it back",
            )
            raise Conflict(text, code="API_OFF")
        return self._gateways[order.api]

    async def _note(self, order: Order, what: str, **detail: str) -> None:
        event = OrderEvent(self._clock.now(), what, str(order.api), detail=detail)
        await self._store.note(order.out_trade_no, event)

    def _event(self, what: str, source: str, by: str = "") -> OrderEvent:
        return OrderEvent(self._clock.now(), what, source, by)


def _close_after(order: Order) -> datetime:
    return order.close_after or order.expires_at


def _sale(order: Order) -> tuple[object, ...]:
    """What makes two orders the same sale."""
    return (order.appid, order.mchid, order.trade_type, order.description, order.total, order.openid, order.attach)


def _too_many(most: int) -> BadRequest:
    return BadRequest(Text(f"一次最多买 {most} 件", f"At most {most} can be bought at once"), field="quantity")


def _paid() -> Conflict:
    return Conflict(Text("订单已支付", "The order is already paid"), code="ORDER_PAID")
