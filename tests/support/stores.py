"""The stores' contract in dictionaries, for use cases under test. Each call gives way once, so that races can happen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from wechat.domain.errors import Mismatch, StoreUnavailable
from wechat.models import (
    Claim,
    Move,
    Notification,
    Order,
    OrderEvent,
    Page,
    Prepay,
    Received,
    TradeState,
    Verified,
)
from wechat.refund_models import MAX_ATTEMPTS, MAX_REFUNDS, Refund, RefundMove


class Fragile:
    """``down`` makes every call fail, as a store that does not answer in time."""

    down = False

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise StoreUnavailable


class MemoryOrders(Fragile):
    """``OrderStore``. ``outbox`` lists what moves told others: (out_trade_no, type).

    ``reserved`` has what is put aside by order and refund, ``turns`` when an order's last refund was sent.
    """

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.outbox: list[tuple[str, str]] = []
        self.reserved: dict[str, dict[str, int]] = {}
        self.turns: dict[str, datetime] = {}

    async def insert(self, order: Order) -> bool:
        await self._turn()
        return self.orders.setdefault(order.out_trade_no, order) is order

    async def get(self, out_trade_no: str) -> Order | None:
        await self._turn()
        return self.orders.get(out_trade_no)

    async def set_prepay(self, out_trade_no: str, prepay: Prepay, event: OrderEvent) -> Order | None:
        await self._turn()
        order = self.orders.get(out_trade_no)
        if order is None or order.trade_state is not TradeState.NOTPAY:
            return None
        return self._keep(replace(order, prepay=prepay).with_event(event))

    async def note(self, out_trade_no: str, event: OrderEvent) -> None:
        await self._turn()
        self._keep(self.orders[out_trade_no].with_event(event))

    async def move(self, out_trade_no: str, move: Move) -> Order | None:
        await self._turn()
        order = self.orders.get(out_trade_no)
        if order is None or order.trade_state not in move.sources:
            return None
        if any(getattr(order, name) != wanted for name, wanted in move.match.items()):
            return None
        changes = {name: value for name, value in move.changes.items() if value is not None}
        self._refuse_second_use(order, str(changes.get("transaction_id", "")))
        if move.emits:
            self.outbox.append((out_trade_no, move.emits))
        changes = {"next_check_at": None} | changes  # type: ignore[assignment]
        moved = replace(order, trade_state=move.target, **changes)  # type: ignore[arg-type]
        return self._keep(moved.with_event(move.event))

    async def find(self, *, trade_state: TradeState | None, limit: int, cursor: str) -> Page[Order]:
        raise NotImplementedError

    async def claim_due(self, now: datetime, lease: timedelta) -> Order | None:
        await self._turn()
        for order in self.orders.values():
            if order.next_check_at and order.next_check_at <= now:
                return self._keep(replace(order, next_check_at=now + lease))
        return None

    async def schedule(self, out_trade_no: str, at: datetime, *, close_after: datetime | None = None) -> None:
        await self._turn()
        order = self.orders[out_trade_no]
        if order.trade_state is TradeState.NOTPAY:
            closing = close_after or order.close_after
            self._keep(replace(order, next_check_at=at, close_after=closing, checks=order.checks + 1))

    async def unconfirmed(self, now: datetime) -> tuple[int, float]:
        await self._turn()
        return 0, 0.0

    async def settle(self, out_trade_no: str, event: OrderEvent) -> None:
        await self._turn()
        order = self.orders[out_trade_no]
        if order.trade_state is TradeState.PAID_LATE and order.next_check_at:
            self._keep(replace(order, next_check_at=None).with_event(event))

    async def reserve(self, refund: Refund, event: OrderEvent) -> bool:
        await self._turn()
        held = self.reserved.get(refund.out_trade_no, {})
        return held.get(refund.out_refund_no) == refund.refund or self._put_aside(refund, event)

    async def reserve_in_turn(self, refund: Refund, event: OrderEvent, now: datetime, spacing: timedelta) -> bool:
        await self._turn()
        return self._rested(refund.out_trade_no, now, spacing) and self._put_aside(refund, event, now)

    async def release(self, refund: Refund, event: OrderEvent) -> None:
        await self._turn()
        held = self.reserved.setdefault(refund.out_trade_no, {})
        was = held.get(refund.out_refund_no)
        if was is not None or refund.outlived_its_first_lease:
            held[refund.out_refund_no] = 0
        if was:
            order = self.orders[refund.out_trade_no]
            self._keep(replace(order, refund_reserved=sum(held.values())).with_event(event))

    async def take_refund_turn(self, out_trade_no: str, now: datetime, spacing: timedelta) -> bool:
        await self._turn()
        if not self._rested(out_trade_no, now, spacing):
            return False
        self.turns[out_trade_no] = now
        return True

    def _rested(self, out_trade_no: str, now: datetime, spacing: timedelta) -> bool:
        last = self.turns.get(out_trade_no)
        return last is None or last <= now - spacing

    def _put_aside(self, refund: Refund, event: OrderEvent, turn: datetime | None = None) -> bool:
        """Whether there was room for it; ``turn`` is its turn, if it takes one."""
        order = self.orders[refund.out_trade_no]
        held = self.reserved.setdefault(refund.out_trade_no, {})
        count = sum(amount > 0 for amount in held.values())
        full = count >= MAX_REFUNDS or len(held) >= MAX_ATTEMPTS or sum(held.values()) + refund.refund > order.total
        if not order.paid or full or refund.out_refund_no in held:
            return False
        held[refund.out_refund_no] = refund.refund
        if turn:
            self.turns[refund.out_trade_no] = turn
        self._keep(replace(order, refund_reserved=sum(held.values())).with_event(event))
        return True

    def _keep(self, order: Order) -> Order:
        self.orders[order.out_trade_no] = order
        return order

    def _refuse_second_use(self, order: Order, transaction_id: str) -> None:
        for other in self.orders.values():
            if transaction_id and other.transaction_id == transaction_id and other is not order:
                raise Mismatch("transaction_used")


class MemoryRefunds(Fragile):
    """``RefundStore``. ``outbox`` lists what moves told others: (out_refund_no, type)."""

    def __init__(self) -> None:
        self.refunds: dict[str, Refund] = {}
        self.outbox: list[tuple[str, str]] = []

    async def insert(self, refund: Refund) -> bool:
        await self._turn()
        return self.refunds.setdefault(refund.out_refund_no, refund) is refund

    async def get(self, out_refund_no: str) -> Refund | None:
        await self._turn()
        return self.refunds.get(out_refund_no)

    async def of_order(self, out_trade_no: str) -> Sequence[Refund]:
        await self._turn()
        return [refund for refund in self.refunds.values() if refund.out_trade_no == out_trade_no]

    async def move(self, out_refund_no: str, move: RefundMove) -> Refund | None:
        await self._turn()
        refund = self.refunds.get(out_refund_no)
        if refund is None or refund.state not in move.sources:
            return None
        if any(getattr(refund, name) != wanted for name, wanted in move.match.items()):
            return None
        if move.emits:
            self.outbox.append((out_refund_no, move.emits))
        changes = {name: value for name, value in move.changes.items() if value is not None}
        moved = replace(refund, state=move.target, next_check_at=move.next_check_at, **changes)  # type: ignore[arg-type]
        return self._keep(moved, move.event)

    async def schedule(self, refund: Refund, at: datetime | None, event: OrderEvent | None = None) -> Refund | None:
        await self._turn()
        stored = self.refunds.get(refund.out_refund_no)
        if stored is None or (stored.state, stored.next_check_at) != (refund.state, refund.next_check_at):
            return None
        return self._keep(replace(stored, next_check_at=at), event)

    async def claim_due(self, now: datetime, lease: timedelta) -> Refund | None:
        await self._turn()
        for refund in self.refunds.values():
            if refund.next_check_at and refund.next_check_at <= now:
                return self._keep(replace(refund, next_check_at=now + lease))
        return None

    async def overdue(self, now: datetime) -> tuple[int, float]:
        await self._turn()
        return 0, 0.0

    def _keep(self, refund: Refund, event: OrderEvent | None = None) -> Refund:
        events = (*refund.events, event) if event else refund.events
        self.refunds[refund.out_refund_no] = replace(refund, events=events)
        return self.refunds[refund.out_refund_no]


class MemoryClaims(Fragile):
    """``ClaimStore``."""

    def __init__(self) -> None:
        self.claims: dict[str, Claim] = {}

    async def claim(self, claim: Claim) -> Claim:
        await self._turn()
        return self.claims.setdefault(claim.key, claim)

    async def replace(self, held: Claim, claim: Claim) -> bool:
        await self._turn()
        if self.claims.get(held.key) != held:
            return False
        self.claims[held.key] = claim
        return True


class MemoryNotifications(Fragile):
    """``NotificationStore``. ``seen`` and ``verdicts`` by id."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.verdicts: dict[str, str] = {}

    async def record(
        self, message: Verified[Notification], raw: bytes, headers: Mapping[str, str], now: datetime
    ) -> int:
        await self._turn()
        self.seen[message.value.id] = self.seen.get(message.value.id, 0) + 1
        return self.seen[message.value.id]

    async def conclude(self, notification_id: str, verdict: str, now: datetime) -> bool:
        await self._turn()
        held = self.verdicts.get(notification_id)
        if held is not None and (verdict != "applied" or held == "applied"):
            return False
        self.verdicts[notification_id] = verdict
        return True

    async def of_order(self, out_trade_no: str) -> Sequence[Received]:
        await self._turn()
        return []
