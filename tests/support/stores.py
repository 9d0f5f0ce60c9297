"""The stores' contract in dictionaries, for use cases under test. Each call gives way once, so that races can happen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from wechat.errors import Mismatch, StoreUnavailable
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


class Fragile:
    """``down`` makes every call fail, as a store that does not answer in time."""

    down = False

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise StoreUnavailable


class MemoryOrders(Fragile):
    """``OrderStore``. ``outbox`` lists what moves told others: (out_trade_no, type)."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.outbox: list[tuple[str, str]] = []

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
        moved = replace(order, trade_state=move.target, next_check_at=None, **changes)  # type: ignore[arg-type]
        return self._keep(moved.with_event(move.event))

    async def find(self, *, trade_state: TradeState | None, limit: int, cursor: str) -> Page[Order]:
        raise NotImplementedError

    async def claim_due(self, now: datetime, lease: timedelta) -> Order | None:
        await self._turn()
        for order in self.orders.values():
            if order.trade_state is TradeState.NOTPAY and order.next_check_at and order.next_check_at <= now:
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

    def _keep(self, order: Order) -> Order:
        self.orders[order.out_trade_no] = order
        return order

    def _refuse_second_use(self, order: Order, transaction_id: str) -> None:
        for other in self.orders.values():
            if transaction_id and other.transaction_id == transaction_id and other is not order:
                raise Mismatch("transaction_used")


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
        raise NotImplementedError
