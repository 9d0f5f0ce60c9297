"""The use cases of orders: place, prepare for payment, query, close.

An order is stored under its final number before a request goes to WeChat. ``PaymentRecorder`` applies all payments that
WeChat reports, by answer or by notification. Prices come from the catalogue or a merchant's own system, never from a
browser.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from wechat.domain import transitions
from wechat.domain.errors import BadRequest, Bilingual, Conflict, FenpayError, GatewayRefused, Mismatch, OutcomeUnknown
from wechat.domain.facts import Api, Transaction, Verified
from wechat.domain.notes import Note, clean_note
from wechat.domain.orders import (
    AppPayParams,
    Order,
    PayParams,
    TimelineEntry,
    TradeState,
    order_key,
)
from wechat.domain.payments import SECOND_PAYMENT
from wechat.domain.ports import Runtime
from wechat.domain.transitions import already_paid, must_be_payable, require_sale
from wechat.orders.drafts import Drafts, Item, OrderDefaults
from wechat.orders.intake import Intake
from wechat.orders.payments import PaymentRecorder
from wechat.orders.requests import CheckoutRequest, CreateOrderRequest
from wechat.orders.updates import OrderUpdates, no_such_order
from wechat.pay.codes import KNOWN_AT_WECHAT, ORDER_CLOSED, ORDER_NOT_EXIST, ORDER_PAID
from wechat.pay.gateway import Gateway, sign_for_payer
from wechat.support.claims import Claims
from wechat.support.single_flight import SingleFlight

CHECKS_S = (30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds from one check of an unpaid order to the next; WeChat wants the first query within a minute."""
V2_CLOSE_AGE = timedelta(minutes=5, seconds=10)  # five minutes at WeChat, which the order reached somewhat later
UNKNOWN_CHECK = timedelta(minutes=10)
"""The time until a closed order that WeChat did not know is checked again. A late request to place it has arrived by
then, and v2 accepts a close only five minutes after that."""
PLACE_S = 9.5
"""The most seconds for placing an order at WeChat; the payer's page waits for 15 s."""
NOT_IN_TIME = Bilingual(
    "微信没有按时回应，订单已保留，请稍后重试",
    "WeChat did not answer in time; the order is kept, please try again shortly",
)


@dataclass(frozen=True, slots=True)
class OrderWithPayParams:
    """A stored order, and the pay parameters of a page (JSAPI) or an app (APP), None when neither can pay it."""

    order: Order
    pay: PayParams | AppPayParams | None


class Orders:
    """The use cases around one order. Orders are named by ``out_trade_no``, at the merchant number of the defaults."""

    def __init__(
        self,
        defaults: OrderDefaults,
        catalogue: Mapping[str, Item],
        gateways: Mapping[Api, Gateway],
        updates: OrderUpdates,
        recorder: PaymentRecorder,
        claims: Claims,
        runtime: Runtime,
    ) -> None:
        self._defaults = defaults
        self._catalogue = catalogue
        self._gateways = gateways
        self._updates = updates
        self._recorder = recorder
        self._intake = Intake(updates, claims, runtime)
        self._clock = runtime.clock
        self._telemetry = runtime.telemetry
        self._drafts = Drafts(defaults, runtime)
        self._prepays: SingleFlight[Order] = SingleFlight()
        self._queries: SingleFlight[Order] = SingleFlight()

    # -- placing --------------------------------------------------------------------------------------------------

    async def place_checkout(self, basket: CheckoutRequest, *, openid: str, client_ip: str) -> OrderWithPayParams:
        """Place a payer's order. The same basket again returns the same order, as long as that can be paid.

        Raises BadRequest for an unknown sku or too many, and what ``prepare`` raises.
        """
        item = self._catalogue.get(basket.sku)
        if item is None:
            raise BadRequest(Bilingual("没有这个商品", "There is no such product"), code="UNKNOWN_SKU", field="sku")
        if basket.quantity > self._defaults.max_quantity:
            raise _too_many(self._defaults.max_quantity)
        draft = self._drafts.draft_checkout(item, basket.quantity, openid, client_ip)
        digest = basket.digest(openid, str(draft.total), draft.description)
        order = await self._intake.one_open_order(f"basket:{digest}", digest, draft)
        return await self._offer(order, fresh=order.out_trade_no == draft.out_trade_no)

    async def place_order(
        self, request: CreateOrderRequest, *, merchant: str, client_ip: str, idempotency_key: str = ""
    ) -> OrderWithPayParams:
        """Place a merchant's order. A repeated Idempotency-Key or out_trade_no returns the first order again.

        A number whose order WeChat refused is free for another order.

        Raises IdempotencyMismatch for the same key with another body, Conflict for the same number with another order,
        BadRequest for an API or a trade type that is not configured, and what ``prepare`` raises.
        """
        if (request.api or self._defaults.api) not in self._gateways:
            raise _no_gateway(request.api or self._defaults.api)
        draft = self._drafts.draft_order(request, request.payer_client_ip or client_ip, merchant)
        if idempotency_key:
            draft = await self._intake.claim(f"sale:{merchant}:{idempotency_key}", request.digest(), draft)
        order = await self._intake.insert(draft)
        return await self._offer(order, fresh=order is draft)

    async def pay(self, out_trade_no: str, *, openid: str | None = None) -> OrderWithPayParams:
        """Return new pay parameters for an unpaid order, with the same prepay_id as long as it is usable.

        Raises NotFound, Conflict (paid, closed), Gone (expired), and what ``prepare`` raises.
        """
        order = await self.get(out_trade_no, openid=openid)
        must_be_payable(order, self._clock.now())
        return await self._offer(order)

    # -- reading --------------------------------------------------------------------------------------------------

    async def get(self, out_trade_no: str, *, openid: str | None = None) -> Order:
        """Return the stored order; with ``openid``, only that payer's. Raises NotFound, for another's order, too."""
        order = await self._updates.get(self._key(out_trade_no))
        if openid is not None and not (order.openid and order.openid == openid):
            raise no_such_order()
        return order

    def is_payable(self, order: Order) -> bool:
        """Whether a payer may still pay the order."""
        return order.is_payable(self._clock.now())

    async def fetch_transaction(self, order: Order, *, transaction_id: str = "") -> Verified[Transaction] | None:
        """Query WeChat about ``order``, or one payment of it, and apply nothing. None when WeChat has no such thing.

        Raises NotSent, OutcomeUnknown, GatewayRefused, Conflict (the settings have lost its API).
        """
        try:
            return await self._gateway(order).query(order, transaction_id=transaction_id)
        except GatewayRefused as error:
            if error.public_code != ORDER_NOT_EXIST:
                raise
            return None

    async def record(self, fact: Verified[Transaction]) -> Order:
        """Apply a fetched payment, a second one beside the order's own. Return the order. Raises Mismatch."""
        try:
            await self._recorder.apply(fact, source="query")
        except Mismatch as error:
            if error.reason != SECOND_PAYMENT:
                raise
        return await self._updates.get(order_key(fact.value.mchid, fact.value.out_trade_no))

    async def write_note(self, out_trade_no: str, text: str, *, by: str) -> Order:
        """Add a staff note. Raises BadRequest, NotFound, Conflict (the order has the most notes it may have)."""
        note = Note(self._clock.now(), by, clean_note(text))
        change = await self._updates.update(
            self._key(out_trade_no), lambda current: transitions.write_note(current, note)
        )
        return change.after

    # -- querying and closing -------------------------------------------------------------------------------------

    async def query(self, out_trade_no: str, *, openid: str | None = None) -> Order:
        """Query WeChat and apply the result. Raises NotFound, NotSent, OutcomeUnknown, GatewayRefused, Mismatch."""
        return await self._query(await self.get(out_trade_no, openid=openid))

    async def close(self, out_trade_no: str, *, source: str, by: str = "", openid: str | None = None) -> Order:
        """Close an unpaid order. A v2 order too young for WeChat stays NOTPAY and is closed as soon as possible.

        Raises NotFound, Conflict for a paid order, NotSent, OutcomeUnknown, GatewayRefused.
        """
        return await self._close(await self.get(out_trade_no, openid=openid), source, by)

    async def check(self, order: Order, lease: str) -> Order:
        """Check an unpaid order for a worker: query it, close it after its deadline, or else schedule the next check.

        Raises what ``query`` and ``close`` raise, after scheduling the next check.
        """
        try:
            asked = await self._query(order)
            if asked.trade_state is TradeState.NOTPAY and self._clock.now() >= asked.closes_at:
                return await self._close(asked, "worker", "")
        except FenpayError:
            await self._check_later(order, lease)
            raise
        if asked.trade_state is TradeState.NOTPAY:
            await self._check_later(asked, lease)
        return asked

    async def check_after_close(self, order: Order, lease: str) -> None:
        """Check a closed order for a worker: if a late request placed it at WeChat after its close, close it there.

        Raises what ``query`` and ``close`` raise, after scheduling the next check.
        """
        try:
            fact = await self.fetch_transaction(order)
            if fact and (await self._apply(order, fact)).paid:
                return
            if fact and not fact.value.state.closed:
                await self._close_at_wechat(order)
        except FenpayError:
            await self._check_later(order, lease)
            raise
        entry = self._entry("close_confirmed", "query")
        await self._updates.update(order.key, lambda current: transitions.confirm_close(current, entry, lease))

    async def _query(self, order: Order) -> Order:
        return await self._queries.do(order.key, lambda: self._query_once(order))

    async def _query_once(self, order: Order) -> Order:
        fact = await self.fetch_transaction(order)
        if fact is None:
            return await self._updates.get(order.key)
        return await self._apply(order, fact)

    async def _apply(self, order: Order, fact: Verified[Transaction]) -> Order:
        """Apply the result of a query. Raises Mismatch after telling the operator."""
        try:
            return await self._recorder.apply(fact, source="query")
        except Mismatch as error:
            await self._report_mismatch(order, error.reason)
            raise

    async def _report_mismatch(self, order: Order, reason: str) -> None:
        """Tell the operator, once, that WeChat reports a payment that does not fit the order."""
        what = f"query_{reason}"
        if any(entry.what == what for entry in order.timeline):
            return
        self._telemetry.alarm(what, order.out_trade_no)
        await self._note(order, what)

    async def _close(self, order: Order, source: str, by: str) -> Order:
        if order.trade_state is TradeState.CLOSED:
            return order
        if order.paid:
            raise already_paid()
        earliest = order.created_at + V2_CLOSE_AGE
        if order.api is Api.V2 and order.prepay and self._clock.now() < earliest:
            scheduled = self._entry("close_scheduled", source, by)
            change = await self._updates.update(
                order.key, lambda current: transitions.schedule_close(current, earliest, scheduled)
            )
            return change.after
        reached = await self._close_at_wechat(order)
        closed = self._entry("closed", source, by)
        check_at = None if reached else closed.at + UNKNOWN_CHECK
        change = await self._updates.update(
            order.key, lambda current: transitions.close(require_sale(current, order), closed, check_at)
        )
        return change.after

    async def _close_at_wechat(self, order: Order) -> bool:
        """Close the order at WeChat. Return whether WeChat knew the order. Raises Conflict when it is paid."""
        try:
            await self._gateway(order).close(order)
        except GatewayRefused as error:
            if error.public_code == ORDER_PAID:
                await self._query(order)
                raise already_paid() from None
            if error.public_code not in (ORDER_CLOSED, ORDER_NOT_EXIST):
                raise
            return error.public_code == ORDER_CLOSED
        return True

    async def _check_later(self, order: Order, lease: str) -> None:
        """Schedule the next check: after a pause that grows each time, or at the payment deadline if that is sooner."""
        now, end = self._clock.now(), order.closes_at
        later = now + timedelta(seconds=CHECKS_S[min(order.checks + 1, len(CHECKS_S) - 1)])
        at = min(later, end) if now < end else later
        await self._updates.update(order.key, lambda current: transitions.schedule_check(current, at, lease))

    # -- preparing for payment ------------------------------------------------------------------------------------

    async def _offer(self, order: Order, *, fresh: bool = False) -> OrderWithPayParams:
        if not self.is_payable(order):
            return OrderWithPayParams(order, None)
        ready = await self.prepare(order, fresh=fresh)
        return OrderWithPayParams(ready, sign_for_payer(self._gateway(ready), ready))

    async def prepare(self, order: Order, *, fresh: bool = False) -> Order:
        """Return ``order`` with a usable prepay, from WeChat if needed.

        ``fresh``: the order was stored just now, so no other request can have placed it. Raises Conflict, Gone,
        NotSent, OutcomeUnknown, GatewayRefused.
        """
        if self._has_prepay(order):
            return order
        return await self._prepays.do(order.key, lambda: self._prepay_in_time(order, fresh))

    def _has_prepay(self, order: Order) -> bool:
        return order.prepay is not None and order.prepay.is_usable(self._clock.now())

    async def _prepay_in_time(self, order: Order, fresh: bool) -> Order:
        """Call ``_prepay`` and limit all its requests together to ``PLACE_S``. Raises OutcomeUnknown at that limit."""
        try:
            async with asyncio.timeout(PLACE_S):
                return await self._prepay(order, fresh)
        except TimeoutError:
            await self._doubt(order, waited_s=str(PLACE_S))
            raise OutcomeUnknown("prepay", text=NOT_IN_TIME, wire_message=f"no answer within {PLACE_S} s") from None

    async def _prepay(self, order: Order, fresh: bool) -> Order:
        """Request a prepay. When the outcome is unknown, query WeChat and, if unpaid, request it once more."""
        current = order if fresh else await self._updates.get(order.key)
        if self._has_prepay(current):
            return current
        try:
            return await self._place_at_wechat(order)
        except OutcomeUnknown:
            await self._doubt(order)
            await self._must_still_be_unpaid(order)
            return await self._place_at_wechat(order)

    async def _place_at_wechat(self, order: Order) -> Order:
        """Request a prepay once and record a refusal. Raises Conflict when WeChat says that the order is paid."""
        try:
            return await self._unified_order(order)
        except GatewayRefused as error:
            await self._record_refusal(order, error)
            if error.public_code in (ORDER_PAID, ORDER_CLOSED):
                await self._must_still_be_unpaid(order)
            raise

    async def _doubt(self, order: Order, **detail: str) -> None:
        """Record that WeChat may or may not have the order."""
        entry = self._entry("prepay_unknown", str(order.api), **detail)
        await self._updates.update(order.key, lambda current: transitions.doubt_placing(current, entry))

    async def _record_refusal(self, order: Order, error: GatewayRefused) -> None:
        """Record that WeChat refused to take the order. If WeChat already has an order with this number, ``refusal``
        stays empty, so the number cannot be reused."""
        code = error.public_code
        detail = {"code": code} | ({"slip": error.cause.code} if error.cause else {})
        entry = self._entry("prepay_refused", str(order.api), **detail)
        refusal = "" if code in KNOWN_AT_WECHAT else code
        await self._updates.update(
            order.key, lambda current: transitions.refuse_placing(require_sale(current, order), refusal, entry)
        )

    async def _unified_order(self, order: Order) -> Order:
        prepay = await self._gateway(order).prepay(order, self._clock.now())
        entry = self._entry("prepay", str(order.api))
        check_at = entry.at + (V2_CLOSE_AGE if order.api is Api.V2 else timedelta(0))
        change = await self._updates.update(
            order.key, lambda current: transitions.set_prepay(require_sale(current, order), prepay, entry, check_at)
        )
        if change.after.trade_state is TradeState.CLOSED:
            must_be_payable(change.after, entry.at)
        return change.after

    async def _must_still_be_unpaid(self, order: Order) -> None:
        """Query ``order``. Raises Conflict or Gone unless it can still be paid."""
        must_be_payable(await self._query(order), self._clock.now())

    def _gateway(self, order: Order) -> Gateway:
        """Return the gateway of the order's API version. Raises Conflict when it is no longer configured."""
        if order.api not in self._gateways:
            text = Bilingual(
                f"这笔订单的接口版本是 {order.api}，但配置中没有 pay.{order.api}；请恢复该配置",
                f"This order was placed over {order.api}, but the settings have no pay.{order.api}; restore it",
            )
            raise Conflict(text, code="API_OFF")
        return self._gateways[order.api]

    async def _note(self, order: Order, what: str) -> None:
        entry = self._entry(what, str(order.api))
        await self._updates.update(order.key, lambda current: transitions.add_note(current, entry))

    def _entry(self, what: str, source: str, by: str = "", **detail: str) -> TimelineEntry:
        return TimelineEntry(self._clock.now(), what, source, by, detail)

    def _key(self, out_trade_no: str) -> str:
        return order_key(self._defaults.mchid, out_trade_no)


def _too_many(most: int) -> BadRequest:
    return BadRequest(Bilingual(f"一次最多买 {most} 件", f"At most {most} can be bought at once"), field="quantity")


def _no_gateway(api: Api) -> BadRequest:
    return BadRequest(Bilingual(f"没有配置 {api}", f"{api} is not configured"), code="API_OFF", field="api")
