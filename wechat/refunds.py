"""Giving money back: reserve, send, follow up; never more than was paid, and never under a second number.

A refund is stored first, then put aside in its order's document, then sent. Its date of the next look is its lease as
well: whoever works on it has pushed the date ahead, and writes only while that date stands. A process that dies between
any two steps leaves a date that comes, and ``advance`` goes on from there. What was put aside is given back only on a
sure no.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from wechat.domain.errors import Conflict, GatewayRefused, IdempotencyMismatch, Mismatch, NotFound, RemoteError, Text
from wechat.domain.times import to_v2
from wechat.flight import SingleFlight
from wechat.ledger import alarm
from wechat.models import Api, Claim, Move, Order, OrderEvent, RefundFact, RefundState, TradeState, Verified, fen
from wechat.pay.codes import REFUND_NOT_EXIST
from wechat.pay.gateway import RefundGateway
from wechat.ports import ClaimStore, Clock, OrderStore, RefundStore
from wechat.refund_denials import NOT_REFUNDABLE, no_way, not_refundable, standing
from wechat.refund_models import LEASE, RELEASING, SENT, SLOW, SPACING, WINDOW, Refund, RefundMove
from wechat.wanted import RefundWanted

IDEMPOTENCY_LIFE = timedelta(days=2)
CONSOLE = "console"
CONSOLE_REASON = "商户平台退款"

_EMITS = {
    RefundState.SUCCESS: "refund.succeeded",
    RefundState.ABNORMAL: "refund.abnormal",
    RefundState.CLOSED: "refund.failed",
    RefundState.REFUSED: "refund.failed",
}
_OPPOSITES = {RefundState.CLOSED, RefundState.SUCCESS}

log = structlog.get_logger("wechat.refunds")
REFUNDS = Counter("fenpay_refunds_total", "Refunds that reached a state", ["state"])
REFUNDED_FEN = Counter("fenpay_refunded_fen_total", "Fen given back")


@dataclass(frozen=True, slots=True)
class RefundTerms:
    """Through which API a refund goes, by the order's; an API that is not in ``route`` cannot refund."""

    route: Mapping[Api, Api]
    notify_url: str


@dataclass(frozen=True, slots=True)
class Found:
    """A refund as a bill tells of it, made at ``at``; ``refund`` in fen."""

    out_refund_no: str
    transaction_id: str
    refund: int
    at: datetime


class Refunds:
    """The use cases around refunds."""

    def __init__(
        self,
        terms: RefundTerms,
        gateways: Mapping[Api, RefundGateway],
        orders: OrderStore,
        refunds: RefundStore,
        claims: ClaimStore,
        clock: Clock,
    ) -> None:
        self._terms = terms
        self._gateways = gateways
        self._orders = orders
        self._refunds = refunds
        self._claims = claims
        self._clock = clock
        self._queries: SingleFlight[Refund] = SingleFlight()

    async def request(self, order: Order, wanted: RefundWanted, *, by: str, idempotency_key: str = "") -> Refund:
        """A refund of ``wanted.refund`` fen as far as it goes now. The same request again gives the same refund.

        Raises BadRequest, IdempotencyMismatch, Conflict (not paid, too old, too much, number in use), and for a new
        refund GatewayRefused. Where WeChat's answer is missing, the refund stays open and is looked after.
        """
        self._must_be_refundable(order)
        number = wanted.out_refund_no or f"{to_v2(self._clock.now())}{secrets.token_hex(6)}"
        draft = self._draft(order, number, wanted.refund, wanted.reason, by)
        if idempotency_key:
            draft = await self._claimed(f"refund:{by}:{idempotency_key}", wanted.digest(order.out_trade_no), draft)
        new = await self._inserted(draft)
        return standing(await (self.advance(draft) if new else self.get(draft.out_refund_no)))

    async def return_payment(self, order: Order, transaction_id: str, out_refund_no: str, reason: str) -> None:
        """See to it that a whole payment goes back, once, under a number that follows from it. Raises Conflict.

        A payment that is not the order's own is surplus: nothing of the order is put aside for it.
        """
        self._must_be_refundable(order)
        draft = self._draft(order, out_refund_no, order.total, reason, "policy")
        surplus = transaction_id != order.transaction_id
        await self._inserted(
            replace(draft, transaction_id=transaction_id, surplus=surplus, next_check_at=draft.created_at)
        )

    async def adopt(self, order: Order, found: Found) -> Refund:
        """Book a refund that WeChat has and nobody here asked for: made by hand in its console, say.

        WeChat is asked, and what it answers is booked. Raises NotFound when it has no such refund, Conflict when the
        order has no room for it, BadRequest, RemoteError, Mismatch.
        """
        self._must_be_refundable(order)
        draft = replace(
            self._draft(order, found.out_refund_no, found.refund, CONSOLE_REASON, CONSOLE),
            transaction_id=found.transaction_id,
            surplus=found.transaction_id != order.transaction_id,
            state=RefundState.PROCESSING,
            created_at=found.at,
            events=(OrderEvent(found.at, SENT, CONSOLE),),
        )
        try:
            fact = await self._gateway(draft).query_refund(draft)
        except GatewayRefused as error:
            if error.public_code != REFUND_NOT_EXIST:
                raise
            raise NotFound(Text("微信没有这笔退款", "WeChat has no such refund"), code=REFUND_NOT_EXIST) from None
        _must_match(draft, fact.value)
        if fact.value.transaction_id != draft.transaction_id:  # it decides whether the order's own money went back
            raise Mismatch("transaction_id")
        if fact.value.state not in RELEASING and not await self._reserved(draft):
            raise not_refundable()
        await self._inserted(draft)
        return await self.apply(fact, source="bill")

    async def get(self, out_refund_no: str) -> Refund:
        """Raises NotFound."""
        refund = await self._refunds.get(out_refund_no)
        if refund is None:
            raise NotFound(Text("没有这笔退款", "There is no such refund"), code="REFUND_NOT_FOUND")
        return refund

    async def query(self, refund: Refund) -> Refund:
        """Ask WeChat and apply what it says; nothing is sent. Raises RemoteError, Mismatch."""
        if not refund.sends:
            return refund
        return await self._queries.do(refund.out_refund_no, lambda: self._known(refund))

    async def apply(self, fact: Verified[RefundFact], *, source: str) -> Refund:
        """The refund after ``fact``, which may come any number of times and in any order.

        Raises Mismatch when the fact is genuine but does not fit; the refund is then as it was.
        """
        told = fact.value
        match: dict[str, str | int] = {
            "mchid": told.mchid,
            "out_trade_no": told.out_trade_no,
            "refund": told.refund,
            "total": told.total,
        }
        changes = {"refund_id": told.refund_id, "success_at": told.success_time}
        move = replace(self._move(told.state, source, fact.proof), match=match, changes=changes)
        moved = await self._refunds.move(told.out_refund_no, move)
        if moved is None:
            return await self._unmoved(told)
        return await self._moved(moved)

    async def advance(self, refund: Refund) -> Refund:
        """Take the next step of ``refund``, whose lease the caller holds. Raises RemoteError, Conflict, Mismatch."""
        if not refund.open:
            return await self._settled(refund)
        if refund.sends:  # the next date first: whatever fails below must not make us ask every minute
            now = self._clock.now()
            slow = refund.slow(now)
            dated = await self._later(refund, now + refund.pause(now), SLOW if slow else "")
            if dated and slow:
                alarm("refund_slow", refund.out_trade_no)
            return await self._followed(dated) if dated else await self._overtaken(refund)
        return await self._sent(refund)

    # -- the steps ------------------------------------------------------------------------------------------------

    async def _followed(self, refund: Refund) -> Refund:
        """Ask after a refund that may have reached WeChat; one that did not is sent again."""
        known = await self._known(refund)
        if known.state is RefundState.REQUESTED:
            return await self._sent(refund)
        return known

    async def _sent(self, refund: Refund) -> Refund:
        """Put aside, wait for the order's turn, and send. It counts as sent from the moment before it is."""
        now = self._clock.now()
        if await self._in_turn(refund, now):
            marked = await self._later(refund, now + refund.pause(now), SENT)
            return await self._send(marked) if marked else await self._overtaken(refund)
        return await self._later(refund, now + SPACING) or await self._overtaken(refund)

    async def _send(self, refund: Refund) -> Refund:
        try:
            fact = await self._gateway(refund).refund(refund)
        except GatewayRefused as error:
            return await self._denied(refund, error)
        except RemoteError as error:
            log.warning("refund_unknown", out_refund_no=refund.out_refund_no, error=str(error))
            return refund
        return await self.apply(fact, source="answer")

    async def _denied(self, refund: Refund, error: GatewayRefused) -> Refund:
        """WeChat said no. If it was sent before, an earlier try may have come through all the same: that is asked."""
        if refund.sends > 1:
            known = await self._known(refund)
            if known.state is not RefundState.REQUESTED:
                return known
        if await self._refuse(refund, error.public_code, error.wire_message):
            raise error
        return await self._overtaken(refund)

    async def _known(self, refund: Refund) -> Refund:
        """The refund after what WeChat knows of it; as it was if WeChat has not received it."""
        try:
            fact = await self._gateway(refund).query_refund(refund)
        except GatewayRefused as error:
            if error.public_code != REFUND_NOT_EXIST or refund.state is not RefundState.REQUESTED:
                raise
            return refund
        return await self.apply(fact, source="query")

    async def _refuse(self, refund: Refund, code: str, message: str = "") -> bool:
        """End it: certainly not done. Whether it was still the caller's: somebody else may have sent it meanwhile."""
        move = self._move(RefundState.REFUSED, "answer", code)
        event = replace(move.event, detail={"message": message} if message else {})
        mine = {"next_check_at": refund.next_check_at}
        moved = await self._refunds.move(refund.out_refund_no, replace(move, event=event, match=mine))
        if moved:
            await self._moved(moved)
        return moved is not None

    async def _moved(self, refund: Refund) -> Refund:
        """Tell, once, and draw the consequences."""
        REFUNDS.labels(refund.state).inc()
        log.info(
            "refund_moved", out_trade_no=refund.out_trade_no, state=refund.state, out_refund_no=refund.out_refund_no
        )
        if refund.state is RefundState.SUCCESS:
            REFUNDED_FEN.inc(refund.refund)
        if refund.state in (RefundState.ABNORMAL, RefundState.CLOSED):
            alarm(f"refund_{refund.state.lower()}", refund.out_trade_no)
        return await self._settled(refund)

    async def _settled(self, refund: Refund) -> Refund:
        """What the refund's state means for its order. Safe to repeat: its date stands until this is done."""
        if refund.state in RELEASING:
            await self._orders.release(refund, self._event("refund_released", refund))
        elif not refund.surplus:
            await self._orders.move(refund.out_trade_no, Move(TradeState.REFUND, self._event("refund", refund)))
        if refund.open:
            return refund
        return await self._later(refund, None) or refund

    async def _overtaken(self, refund: Refund) -> Refund:
        """Somebody else went on with it. If they ended it, what we put aside meanwhile goes back."""
        current = await self.get(refund.out_refund_no)
        if current.state in RELEASING:
            await self._orders.release(current, self._event("refund_released", current))
        return current

    async def _in_turn(self, refund: Refund, now: datetime) -> bool:
        """Put it aside, then whether it has taken the order's turn; for most it is one write.

        Raises Conflict when there is no room. False too when somebody else went on with it meanwhile.
        """
        event = self._event("refund_reserved", refund)
        if not refund.surplus and await self._orders.reserve_in_turn(refund, event, now, SPACING):
            return True
        if await self._reserved(refund):
            return await self._orders.take_refund_turn(refund.out_trade_no, now, SPACING)
        if await self._refuse(refund, NOT_REFUNDABLE):
            raise not_refundable()
        return False

    async def _reserved(self, refund: Refund) -> bool:
        return refund.surplus or await self._orders.reserve(refund, self._event("refund_reserved", refund))

    async def _later(self, refund: Refund, at: datetime | None, what: str = "") -> Refund | None:
        event = OrderEvent(self._clock.now(), what, str(refund.api)) if what else None
        return await self._refunds.schedule(refund, at, event)

    async def _unmoved(self, told: RefundFact) -> Refund:
        """The stored refund, if ``told`` is old news of it. Raises Mismatch."""
        refund = await self._refunds.get(told.out_refund_no)
        if refund is None:
            raise Mismatch("unknown_refund")
        _must_match(refund, told)
        if refund.state is RefundState.REFUSED or {refund.state, told.state} == _OPPOSITES:
            raise Mismatch("refund_ended")
        return refund

    # -- drafts ---------------------------------------------------------------------------------------------------

    def _must_be_refundable(self, order: Order) -> None:
        """What can be said before anything is stored; how much is left is said by putting it aside."""
        if not order.paid or order.paid_at is None:
            raise Conflict(Text("订单未支付，不能退款", "The order is not paid"), code="ORDER_NOT_PAID")
        if self._clock.now() > order.paid_at + WINDOW:
            text = Text("支付已超过一年，微信不再受理退款", "The payment is over a year old; WeChat refunds no more")
            raise Conflict(text, code="TRADE_OVERDUE")
        if order.api not in self._terms.route:
            raise no_way(order.api)

    def _draft(self, order: Order, out_refund_no: str, refund: int, reason: str, by: str) -> Refund:
        now = self._clock.now().replace(microsecond=0)
        return Refund(
            out_refund_no=out_refund_no,
            out_trade_no=order.out_trade_no,
            transaction_id=order.transaction_id,
            api=self._terms.route[order.api],
            appid=order.appid,
            mchid=order.mchid,
            refund=fen(refund, field="refund", most=order.total),
            total=order.total,
            reason=reason,
            by=by,
            notify_url=self._terms.notify_url,
            created_at=now,
            next_check_at=now + LEASE,
            events=(OrderEvent(now, "requested", by),),
        )

    async def _claimed(self, key: str, digest: str, draft: Refund) -> Refund:
        """``draft`` under the number that the key stands for."""
        claim = Claim(key, draft.out_refund_no, digest, draft.created_at + IDEMPOTENCY_LIFE)
        held = await self._claims.claim(claim)
        if held.digest != digest:
            raise IdempotencyMismatch
        return replace(draft, out_refund_no=held.out_trade_no)

    async def _inserted(self, draft: Refund) -> bool:
        """Whether ``draft`` is new; it is not when it was stored before. Raises Conflict for another by its number."""
        if await self._refunds.insert(draft):
            return True
        if _same(await self.get(draft.out_refund_no)) != _same(draft):
            text = Text("这个退款单号已用于另一笔退款", "This out_refund_no belongs to another refund")
            raise Conflict(text, code="OUT_REFUND_NO_USED", field="out_refund_no")
        return False

    def _gateway(self, refund: Refund) -> RefundGateway:
        """The generation that ``refund`` goes through, which the settings may have lost since."""
        if refund.api not in self._gateways:
            raise no_way(refund.api)
        return self._gateways[refund.api]

    def _move(self, target: RefundState, source: str, by: str) -> RefundMove:
        now = self._clock.now()
        event = OrderEvent(now, target.lower(), source, by)
        return RefundMove(target, event, now + LEASE, emits=_EMITS.get(target, ""))

    def _event(self, what: str, refund: Refund) -> OrderEvent:
        """A line for the order's timeline."""
        detail: dict[str, str | int] = {"out_refund_no": refund.out_refund_no, "refund": refund.refund}
        return OrderEvent(self._clock.now(), what, "refund", refund.by, detail)


def _must_match(refund: Refund, told: RefundFact) -> None:
    """Raise Mismatch with the first thing that differs."""
    pairs = {
        "mchid": (refund.mchid, told.mchid),
        "out_trade_no": (refund.out_trade_no, told.out_trade_no),
        "refund": (refund.refund, told.refund),
        "refund_total": (refund.total, told.total),
    }
    for reason, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise Mismatch(reason)


def _same(refund: Refund) -> tuple[object, ...]:
    """What makes two refunds the same wish."""
    return (refund.out_trade_no, refund.transaction_id, refund.refund, refund.reason)
