"""Refunds: reserve, send, query; never more than was paid, and never under a second number.

A refund is requested within its order's document, which reserves its amount. ``next_check_at`` is also the end of its
lease: a worker has moved that date ahead and holds the lease's token. Where a process dies between any two steps, the
refund is due again at that date and ``advance`` continues from there. A reservation is released only when it is certain
that WeChat does not refund.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from wechat.domain import refunds as transitions
from wechat.domain.approvals import must_be_allowed_alone
from wechat.domain.errors import Bilingual, GatewayRefused, Mismatch, MismatchReason, NotFound, RemoteError
from wechat.domain.facts import Api, RefundState, RemoteRefund, Verified
from wechat.domain.money import Fen
from wechat.domain.numbers import Claim, NumberUse, refund_number
from wechat.domain.orders import Order, Refund, TimelineEntry, order_key
from wechat.domain.ports import NumberStore, Runtime
from wechat.domain.refunds import LEASE, LeaseLost
from wechat.domain.transitions import stop_checking
from wechat.orders.updates import REFUND_REFUSED, OrderUpdates
from wechat.pay.codes import REFUND_NOT_EXIST, is_final
from wechat.pay.gateway import RefundGateway
from wechat.refunds.drafts import BillRefund, Drafts, RefundDefaults
from wechat.refunds.errors import no_refund_api, no_such_refund, raise_refusal, unnamed_refund
from wechat.refunds.requests import RefundRequest
from wechat.support.claims import Claims
from wechat.support.single_flight import SingleFlight

IDEMPOTENCY_LIFE = timedelta(days=2)
LEASE_BYTES = 6
NO_LIMIT = Fen(0)
UNDER_WAY_S = 20.0
"""Seconds; longer than a request takes at all hosts together."""
MONEY_GOES_BACK = "money_goes_back"
"""The timeline's word for a payment that is returned by policy."""
REFUND_NOT_NOW = "refund_not_now"
"""The alarm for a refusal because of our credentials, our rate or our balance; the refund is sent again."""

log = structlog.get_logger("wechat.refunds")


class Refunds:
    """The use cases around refunds. Refunds are named by ``out_refund_no``, at the merchant number of the defaults."""

    def __init__(
        self,
        defaults: RefundDefaults,
        gateways: Mapping[Api, RefundGateway],
        updates: OrderUpdates,
        numbers: NumberStore,
        claims: Claims,
        runtime: Runtime,
        under_way_s: float = UNDER_WAY_S,
    ) -> None:
        self._defaults = defaults
        self._drafts = Drafts(defaults, runtime)
        self._under_way_s = under_way_s
        self._gateways = gateways
        self._updates = updates
        self._numbers = numbers
        self._claims = claims
        self._clock = runtime.clock
        self._random = runtime.random
        self._telemetry = runtime.telemetry
        self._queries: SingleFlight[Refund] = SingleFlight()

    # -- requesting -----------------------------------------------------------------------------------------------

    async def request(
        self,
        out_trade_no: str,
        wanted: RefundRequest,
        *,
        by: str,
        idempotency_key: str = "",
        alone_above: Fen = NO_LIMIT,
    ) -> Refund:
        """Refund ``wanted.refund`` fen of an order. The same request again returns the same refund.

        The caller must name the refund, by ``out_refund_no`` or by the key, so that a request that is repeated after a
        failure is not a second refund. ``alone_above``: see ``must_be_allowed_alone``.

        Raises NotFound, BadRequest, IdempotencyMismatch, Conflict (not paid, too old, too much, number in use), and for
        a new refund GatewayRefused. When WeChat's answer is missing, the refund stays open and is queried later.
        """
        order = await self._updates.get(self._order_key(out_trade_no))
        if not (wanted.out_refund_no or idempotency_key):
            raise unnamed_refund()
        draft = self._drafts.draft_refund(order, wanted, by)
        if idempotency_key:
            draft = await self._claim(f"refund:{by}:{idempotency_key}", wanted.digest(out_trade_no), draft)
        await self._reserve_number(order, draft.out_refund_no)
        lease, now = self._random.token(LEASE_BYTES), self._clock.now()
        draft = replace(draft, lease=lease, next_check_at=now + LEASE)
        change = await self._updates.update(
            order.key, lambda current: _request_and_send(current, draft, alone_above, now)
        )
        refund = _require_refund(change.after, draft.out_refund_no)
        if refund.lease == lease:
            refund = await self._send(change.after, refund, asked_for=True)
        raise_refusal(refund)
        return refund

    async def refund_payment(self, order: Order, transaction_id: str, out_refund_no: str, reason: str) -> None:
        """Reserve the refund of a whole payment, once, under a number computed from it. A worker sends it.

        A payment that is not the order's own is surplus: the order's own money does not pay for it. Raises Conflict.
        """
        draft = self._drafts.draft_return(order, transaction_id, out_refund_no, reason)
        await self._reserve_number(order, out_refund_no)
        now = self._clock.now()
        await self._updates.update(order.key, lambda current: _reserve_repayment(current, draft, now))

    async def adopt(self, order: Order, found: BillRefund) -> Refund:
        """Record a refund that WeChat has and this system did not request, such as one from the merchant console.

        WeChat is queried, and its answer is recorded. Raises NotFound when WeChat has no such refund, Conflict when too
        little of the payment is left, BadRequest, RemoteError, Mismatch.
        """
        draft = self._drafts.draft_found(order, found)
        try:
            fact = await self._gateway(draft).query_refund(draft)
        except GatewayRefused as error:
            if error.public_code != REFUND_NOT_EXIST:
                raise
            raise NotFound(
                Bilingual(
                    "微信支付查询不到这笔退款，无法补录；请在商户平台核对，确认后标记为已人工核实",
                    "WeChat Pay has no such refund, so it cannot be recorded; look it up in the merchant console, and "
                    "mark the difference as checked once you know",
                ),
                code=REFUND_NOT_EXIST,
            ) from None
        transitions.must_be_about(draft, fact.value)
        await self._reserve_number(order, draft.out_refund_no)
        now = self._clock.now()
        change = await self._updates.update(
            order.key, lambda current: transitions.adopt_refund(current, draft, fact, now)
        )
        return _require_refund(change.after, draft.out_refund_no)

    # -- reading --------------------------------------------------------------------------------------------------

    async def get(self, out_refund_no: str) -> Refund:
        """Return the stored refund. Raises NotFound."""
        return _require_refund(await self._order_of(out_refund_no), out_refund_no)

    async def of_order(self, out_trade_no: str) -> tuple[Refund, ...]:
        """Return an order's refunds, oldest first. Raises NotFound."""
        return (await self._updates.get(self._order_key(out_trade_no))).refunds

    async def query(self, out_refund_no: str) -> Refund:
        """Query WeChat and apply the result; nothing is sent. Raises NotFound, RemoteError, Mismatch.

        A query in progress is not shared: its answer may be older than the reason of this call, such as a notice.
        """
        order = await self._order_of(out_refund_no)
        refund = _require_refund(order, out_refund_no)
        if not _may_be_known(refund):
            return refund
        return await self._queries.do_anew(out_refund_no, lambda: self._query_once(order, refund))

    async def cancel(self, out_refund_no: str, *, by: str) -> Refund:
        """End a refund that was never sent, or that WeChat, queried now, does not have. A failed refund stays as it is.

        Raises NotFound, Mismatch, Conflict (WeChat has it, or may have it; or it returns a payment by policy).
        """
        order, now = await self._order_of(out_refund_no), self._clock.now()
        refund = _require_refund(order, out_refund_no)
        if refund.sends and refund.state is RefundState.REQUESTED:
            try:
                refund = await self._query_once(order, refund)
            except RemoteError as error:
                raise transitions.outcome_unknown() from error
        change = await self._updates.update(
            order.key, lambda o: transitions.cancel_refund(o, out_refund_no, by, now, denied_sends=refund.sends)
        )
        return _require_refund(change.after, out_refund_no)

    async def apply(self, fact: Verified[RemoteRefund], *, source: str) -> Refund:
        """Return the refund after ``fact``. Facts may be repeated and come in any order.

        Raises Mismatch when the fact is genuine but does not fit; the refund stays as it was.
        """
        remote, now = fact.value, self._clock.now()
        use = await self._numbers.get(refund_number(remote.mchid, remote.out_refund_no))
        if use is None:
            raise Mismatch(self._why_unknown(remote))
        change = await self._updates.update(
            use.order_key, lambda order: transitions.apply_refund(order, fact, source=source, now=now)
        )
        return _require_refund(change.after, remote.out_refund_no)

    # -- advancing ------------------------------------------------------------------------------------------------

    async def advance(self, order: Order, refund: Refund) -> Refund:
        """Take the next step of a refund whose lease the caller holds. Raises RemoteError, Conflict, Mismatch."""
        if _may_be_known(refund):
            current = await self._query(order, refund)
            if current.state is not RefundState.REQUESTED:
                return current
        return await self._send_in_turn(order, refund)

    async def _send_in_turn(self, order: Order, refund: Refund) -> Refund:
        """Send a refund, or queue it if another refund of its order was sent less than a minute ago."""
        now = self._clock.now()
        try:
            change = await self._updates.update(
                order.key, lambda o: transitions.send_or_queue(o, refund.out_refund_no, refund.lease, now)
            )
        except LeaseLost:
            return await self._reload(order, refund)
        marked = _require_refund(change.after, refund.out_refund_no)
        return await self._send(change.after, marked) if marked.lease == refund.lease else marked

    async def _send(self, order: Order, refund: Refund, *, asked_for: bool = False) -> Refund:
        """Send a refund that is marked as sent. Raises GatewayRefused for a final refusal.

        A refusal because of our credentials, rate or balance is not final: the refund is sent again under its number.
        ``asked_for``: the caller waits for the answer. Otherwise a refusal is reported to the operator.
        """
        if transitions.is_stale(refund, self._clock.now()):
            return await self._reload(order, refund)
        try:
            fact = await self._gateway(refund).refund(refund)
        except GatewayRefused as error:
            if is_final(error):
                return await self._refuse(order, refund, error, asked_for=asked_for)
            return await self._defer(order, refund, error)
        except RemoteError as error:
            log.warning("refund_unknown", out_refund_no=refund.out_refund_no, error=str(error))
            return refund
        return await self.apply(fact, source="answer")

    async def _defer(self, order: Order, refund: Refund, error: GatewayRefused) -> Refund:
        """Record a refusal that is not final, and tell the operator. The refund is sent again at its next check."""
        log.warning("refund_not_now", out_refund_no=refund.out_refund_no, error=str(error))
        cause = f" {error.cause.code}" if error.cause else ""
        self._telemetry.alarm(REFUND_NOT_NOW, order.out_trade_no, error=f"{error.public_code}{cause}")
        entry = TimelineEntry(
            self._clock.now(), transitions.NOT_NOW, "answer", error.public_code, {"message": error.wire_message}
        )
        change = await self._updates.update(
            order.key, lambda current: transitions.note_refund(current, refund.out_refund_no, entry)
        )
        return _require_refund(change.after, refund.out_refund_no)

    async def _refuse(self, order: Order, refund: Refund, error: GatewayRefused, *, asked_for: bool) -> Refund:
        """End a refund that WeChat refused, and raise the refusal unless another worker took over.

        If the refund was sent before, that earlier request may have succeeded, so WeChat is queried first. The earlier
        request may even be under way: if clocks differ by more than a lease, another process took the refund over too
        early. No clock tells when that request began, so it is waited for.
        """
        if refund.sends > 1:
            await asyncio.sleep(self._under_way_s)
            current = await self._query_once(order, refund)  # not a shared one: that may have begun before the refusal
            if current.state is not RefundState.REQUESTED:
                return current
        now, number = self._clock.now(), refund.out_refund_no
        try:
            await self._updates.update(
                order.key,
                lambda o: transitions.refuse_refund(
                    o, number, refund.lease, error.public_code, error.wire_message, now
                ),
            )
        except LeaseLost:
            return await self._reload(order, refund)
        if not asked_for:
            self._telemetry.alarm(REFUND_REFUSED, order.out_trade_no)
        raise error

    async def _query(self, order: Order, refund: Refund) -> Refund:
        return await self._queries.do(refund.out_refund_no, lambda: self._query_once(order, refund))

    async def _query_once(self, order: Order, refund: Refund) -> Refund:
        """Query WeChat, apply the result and return the refund; unchanged if WeChat has not received it."""
        try:
            fact = await self._gateway(refund).query_refund(refund)
        except GatewayRefused as error:
            if error.public_code != REFUND_NOT_EXIST or refund.state is not RefundState.REQUESTED:
                raise
            return refund
        return await self.apply(fact, source="query")

    async def _reload(self, order: Order, refund: Refund) -> Refund:
        """Return the refund as it is stored now, after another worker took it over."""
        return _require_refund(await self._updates.get(order.key), refund.out_refund_no)

    # -- parts ----------------------------------------------------------------------------------------------------

    async def _claim(self, key: str, digest: str, draft: Refund) -> Refund:
        """Return ``draft`` with the number that the key already has, or with its own."""
        held = await self._claims.claim(Claim(key, draft.out_refund_no, digest, draft.created_at + IDEMPOTENCY_LIFE))
        return replace(draft, out_refund_no=held.number)

    async def _reserve_number(self, order: Order, out_refund_no: str) -> None:
        """Reserve the number for the order. Raises Conflict when another order has a refund under it."""
        use = NumberUse(refund_number(order.mchid, out_refund_no), order.key)
        if await self._numbers.reserve(use) != use:
            raise transitions.number_in_use()

    async def _order_of(self, out_refund_no: str) -> Order:
        use = await self._numbers.get(refund_number(self._defaults.mchid, out_refund_no))
        if use is None:
            raise no_such_refund()
        return await self._updates.get(use.order_key)

    def _why_unknown(self, remote: RemoteRefund) -> MismatchReason:
        """Return the reason for refusing a fact about a refund number that is unknown here."""
        return MismatchReason.UNKNOWN_REFUND if remote.mchid == self._defaults.mchid else MismatchReason.MCHID

    def _order_key(self, out_trade_no: str) -> str:
        return order_key(self._defaults.mchid, out_trade_no)

    def _gateway(self, refund: Refund) -> RefundGateway:
        """Return the gateway of the refund's API. Raises Conflict when it is no longer configured."""
        if refund.api not in self._gateways:
            raise no_refund_api(refund.api)
        return self._gateways[refund.api]


def _reserve_repayment(order: Order, draft: Refund, now: datetime) -> Order:
    """Reserve the refund of a payment without goods. Unless it is a surplus payment, end the order's checks."""
    requested = transitions.request_refund(order, draft, now)
    return requested if draft.surplus else stop_checking(requested, TimelineEntry(now, MONEY_GOES_BACK, "policy"))


def _request_and_send(order: Order, draft: Refund, alone_above: Fen, now: datetime) -> Order:
    """Reserve a new refund, and mark it as sent or queue it. A stored one that was not accepted is checked soon."""
    requested = transitions.request_refund(order, draft, now)
    if requested is order:
        return transitions.hasten_refund(order, draft, now)
    must_be_allowed_alone(order, draft, alone_above)
    return transitions.send_or_queue(requested, draft.out_refund_no, draft.lease, now)


def _may_be_known(refund: Refund) -> bool:
    """Whether WeChat may know the refund: it was sent, or WeChat has reported on it."""
    return refund.sends > 0 or refund.state is not RefundState.REQUESTED


def _require_refund(order: Order, out_refund_no: str) -> Refund:
    """Return the order's refund. Raises NotFound when the order does not hold it, or no longer."""
    refund = order.refund_of(out_refund_no)
    if refund is None:
        raise no_such_refund()
    return refund
