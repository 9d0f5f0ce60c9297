"""Giving money back: reserve, send, follow up; never more than was paid, and never under a second number.

A refund is stored before anything else, then reserved in its order's document, then sent. Each step can be repeated, so a
process that dies between any two leaves work that another one finishes: ``advance`` is what both the request and the worker
call. A reservation is given back only on a verified no.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from wechat.errors import BadRequest, Conflict, GatewayRefused, IdempotencyMismatch, Mismatch, NotFound, RemoteError, Text
from wechat.flight import SingleFlight
from wechat.ledger import alarm
from wechat.models import Api, Claim, Move, Order, OrderEvent, TradeState, Verified, fen
from wechat.pay.codes import REFUND_NOT_EXIST
from wechat.pay.gateway import RefundGateway
from wechat.ports import ClaimStore, Clock, OrderStore, RefundStore
from wechat.refund_models import OPEN, RELEASING, SPACING, WINDOW, Refund, RefundFact, RefundMove, RefundState
from wechat.times import to_v2
from wechat.wanted import RefundWanted

CHECKS_S = (20, 60, 180, 600, 1800, 3600, 6 * 3600)
"""Seconds between looks at a refund that is under way."""
IDEMPOTENCY_LIFE = timedelta(days=2)

_EMITS = {
    RefundState.SUCCESS: "refund.succeeded",
    RefundState.ABNORMAL: "refund.abnormal",
    RefundState.CLOSED: "refund.failed",
    RefundState.REFUSED: "refund.failed",
}

log = structlog.get_logger("wechat.refunds")
REFUNDS = Counter("fenpay_refunds_total", "Refunds that reached a state", ["state"])
REFUNDED_FEN = Counter("fenpay_refunded_fen_total", "Fen given back")


@dataclass(frozen=True, slots=True)
class RefundTerms:
    """Through which API a refund goes: ``route`` maps the order's API to the refund's."""

    route: Mapping[Api, Api]
    notify_url: str


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
        self._advances: SingleFlight[Refund] = SingleFlight()

    async def request(self, order: Order, wanted: RefundWanted, *, by: str, idempotency_key: str = "") -> Refund:
        """A refund of ``wanted.refund`` fen, advanced as far as it goes now; open when WeChat leaves it open.

        Raises Conflict (not paid, too much, too late, too many), BadRequest, IdempotencyMismatch.
        """
        self._must_be_refundable(order, wanted)
        draft = self._draft(order, wanted, by)
        if idempotency_key:
            draft = await self._claimed(f"refund:{by}:{idempotency_key}", wanted.digest(order.out_trade_no), draft)
        refund = await self._insert(draft)
        advanced = await self.advance(refund)
        if advanced.state is RefundState.REFUSED and refund is draft:
            raise _refused(advanced)
        return advanced

    async def get(self, out_refund_no: str) -> Refund:
        """Raises NotFound."""
        refund = await self._refunds.get(out_refund_no)
        if refund is None:
            raise NotFound(Text("没有这笔退款", "There is no such refund"), code="REFUND_NOT_FOUND")
        return refund

    async def query(self, refund: Refund) -> Refund:
        """Ask WeChat and apply what it says. Raises RemoteError, Mismatch."""
        if refund.state is RefundState.REQUESTED:
            return await self.advance(refund)
        return await self.apply(await self._gateways[refund.api].query_refund(refund), source="query")

    async def advance(self, refund: Refund) -> Refund:
        """Take the next step that is possible now; what cannot be done yet or is unknown gets a date."""
        return await self._advances.do(refund.out_refund_no, lambda: self._advance(refund))

    async def apply(self, fact: Verified[RefundFact], *, source: str) -> Refund:
        """The refund after ``fact``. Raises Mismatch when the fact is genuine but not about this refund."""
        told = fact.value
        move = self._move(told.state, source, fact.proof, refund_id=told.refund_id, success_at=told.success_time)
        match = {"mchid": told.mchid, "out_trade_no": told.out_trade_no, "refund": told.refund, "total": told.total}
        moved = await self._refunds.move(told.out_refund_no, replace(move, match=match))
        if moved is None:
            return await self._same(told)
        return await self._settled(moved)

    # -- the steps ------------------------------------------------------------------------------------------------

    async def _advance(self, refund: Refund) -> Refund:
        if refund.state is not RefundState.REQUESTED:
            return await self._follow(refund)
        if not await self._orders.reserve(refund.out_trade_no, refund.out_refund_no, refund.refund):
            return await self._end_refused(refund, "not_refundable")
        if refund.sent and (known := await self._known(refund)):
            return known
        now = self._clock.now()
        if not await self._orders.take_refund_turn(refund.out_trade_no, refund.out_refund_no, now, SPACING):
            return await self._later(refund, now + SPACING)
        return await self._send(await self._later(refund, now + SPACING, "sent"))

    async def _known(self, refund: Refund) -> Refund | None:
        """What became of a refund that was sent without a trustworthy answer; None when it never arrived."""
        try:
            fact = await self._gateways[refund.api].query_refund(refund)
        except GatewayRefused as error:
            if error.public_code != REFUND_NOT_EXIST:
                raise
            return None
        return await self.apply(fact, source="query")

    async def _send(self, refund: Refund) -> Refund:
        """``refund`` is on record as sent, so whatever happens now, the next look asks before it sends again."""
        try:
            fact = await self._gateways[refund.api].refund(refund)
        except GatewayRefused as error:
            return await self._end_refused(refund, error.public_code)
        except RemoteError as error:
            log.warning("refund_unknown", out_trade_no=refund.out_trade_no, error=str(error))
            return refund
        return await self.apply(fact, source="answer")

    async def _follow(self, refund: Refund) -> Refund:
        """Ask after a refund that WeChat has taken."""
        if refund.state not in OPEN:
            return refund
        asked = await self.apply(await self._gateways[refund.api].query_refund(refund), source="query")
        if asked.state in OPEN:
            pause = CHECKS_S[min(asked.checks, len(CHECKS_S) - 1)]
            return await self._later(asked, self._clock.now() + timedelta(seconds=pause))
        return asked

    async def _settled(self, refund: Refund) -> Refund:
        """What a refund's new state means for its order; repeated by the next look if we die in between."""
        REFUNDS.labels(refund.state).inc()
        if refund.state in RELEASING:
            await self._orders.release(refund.out_trade_no, refund.out_refund_no, refund.refund)
        else:
            event = OrderEvent(self._clock.now(), "refund", "refund", detail={"out_refund_no": refund.out_refund_no})
            await self._orders.move(refund.out_trade_no, Move(TradeState.REFUND, event))
        if refund.state is RefundState.SUCCESS:
            REFUNDED_FEN.inc(refund.refund)
        if refund.state in (RefundState.ABNORMAL, RefundState.CLOSED):
            alarm(f"refund_{refund.state.lower()}", refund.out_trade_no)
        return refund

    async def _end_refused(self, refund: Refund, code: str) -> Refund:
        """A verified no: the reservation goes back, the refund ends."""
        move = self._move(RefundState.REFUSED, "answer", code)
        moved = await self._refunds.move(refund.out_refund_no, move)
        return await self._settled(moved) if moved else await self.get(refund.out_refund_no)

    async def _later(self, refund: Refund, at: datetime, what: str = "") -> Refund:
        event = OrderEvent(self._clock.now(), what, "worker") if what else None
        await self._refunds.schedule(refund.out_refund_no, at, event)
        return await self.get(refund.out_refund_no)

    async def _same(self, told: RefundFact) -> Refund:
        """The stored refund, if ``told`` changes nothing about it; Mismatch if it speaks of another."""
        refund = await self._refunds.get(told.out_refund_no)
        if refund is None:
            raise Mismatch("unknown_refund")
        pairs = {
            "mchid": (refund.mchid, told.mchid),
            "out_trade_no": (refund.out_trade_no, told.out_trade_no),
            "refund": (refund.refund, told.refund),
            "total": (refund.total, told.total),
        }
        for reason, (ours, theirs) in pairs.items():
            if ours != theirs:
                raise Mismatch(reason)
        if refund.state in RELEASING:
            await self._orders.release(refund.out_trade_no, refund.out_refund_no, refund.refund)
        return refund

    # -- drafts ---------------------------------------------------------------------------------------------------

    def _must_be_refundable(self, order: Order, wanted: RefundWanted) -> None:
        """What can be said before anything is stored; the reservation is what decides."""
        if not order.paid or order.paid_at is None:
            raise Conflict(Text("订单未支付，不能退款", "The order is not paid"), code="ORDER_NOT_PAID")
        if self._clock.now() > order.paid_at + WINDOW:
            raise Conflict(Text("支付已超过一年，微信不再受理退款", "The payment is over a year old"), code="TRADE_OVERDUE")
        fen(wanted.refund, field="refund", most=order.total)

    def _draft(self, order: Order, wanted: RefundWanted, by: str) -> Refund:
        now = self._clock.now().replace(microsecond=0)
        return Refund(
            out_refund_no=wanted.out_refund_no or f"R{to_v2(now)}{secrets.token_hex(6)}",
            out_trade_no=order.out_trade_no,
            transaction_id=order.transaction_id,
            api=self._terms.route[order.api],
            appid=order.appid,
            mchid=order.mchid,
            refund=fen(wanted.refund, field="refund"),
            total=order.total,
            reason=wanted.reason,
            by=by,
            notify_url=self._terms.notify_url,
            created_at=now,
            next_check_at=now + SPACING,
            events=(OrderEvent(now, "requested", "merchant", by),),
        )

    async def _claimed(self, key: str, digest: str, draft: Refund) -> Refund:
        claim = Claim(key, draft.out_refund_no, digest, draft.created_at + IDEMPOTENCY_LIFE)
        held = await self._claims.claim(claim)
        if held.digest != digest:
            raise IdempotencyMismatch
        return draft if held == claim else replace(draft, out_refund_no=held.out_trade_no)

    async def _insert(self, draft: Refund) -> Refund:
        """``draft`` stored, or the refund that has its number, if it is the same one."""
        if await self._refunds.insert(draft):
            return draft
        stored = await self.get(draft.out_refund_no)
        if (stored.out_trade_no, stored.refund) != (draft.out_trade_no, draft.refund):
            raise BadRequest(
                Text("这个退款单号已用于另一笔退款", "This out_refund_no belongs to another refund"),
                code="OUT_REFUND_NO_USED",
                field="out_refund_no",
            )
        return stored

    def _move(
        self,
        target: RefundState,
        source: str,
        by: str,
        *,
        refund_id: str = "",
        success_at: datetime | None = None,
    ) -> RefundMove:
        event = OrderEvent(self._clock.now(), target.lower(), source, by)
        changes: dict[str, str | datetime | None] = {"success_at": success_at}
        if refund_id:
            changes["refund_id"] = refund_id
        return RefundMove(target, event, changes=changes, emits=_EMITS.get(target, ""))


def _refused(refund: Refund) -> Conflict:
    code = refund.events[-1].by if refund.events else ""
    if code == "not_refundable":
        return Conflict(
            Text("超出可退金额，或已退满 50 次", "More than is left to refund, or 50 refunds already"), code="NOT_REFUNDABLE"
        )
    return Conflict(
        Text(f"微信拒绝了退款（{code}）", f"WeChat refused the refund ({code})"), code=code or "REFUND_REFUSED"
    )
