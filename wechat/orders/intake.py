"""Store a new order idempotently: a request that is repeated gets the same order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from wechat.domain.numbers import Claim
from wechat.domain.orders import Order, TimelineEntry
from wechat.domain.ports import Runtime
from wechat.domain.transitions import is_same_sale, replace_refused_order
from wechat.orders.updates import OrderUpdates
from wechat.support.claims import Claims

IDEMPOTENCY_LIFE = timedelta(days=2)


class Intake:
    """Stores new orders under their numbers, and finds those that are there."""

    def __init__(self, updates: OrderUpdates, claims: Claims, runtime: Runtime) -> None:
        self._updates = updates
        self._claims = claims
        self._clock = runtime.clock

    async def one_open_order(self, key: str, digest: str, draft: Order) -> Order:
        """The payer's open order for this basket, or ``draft`` in place of one that can no longer be paid."""
        held = await self._claim(key, digest, draft)
        order = await self.insert(replace(draft, out_trade_no=held.number))
        if order.is_payable(self._clock.now()):
            return order
        if await self._claims.pass_on(held, draft.out_trade_no, _claimed_until(draft)):
            return await self.insert(draft)
        return await self.one_open_order(key, digest, draft)

    async def claim(self, key: str, digest: str, draft: Order) -> Order:
        """``draft`` under the number that the key stands for. Raises IdempotencyMismatch."""
        held = await self._claim(key, digest, draft)
        return replace(draft, out_trade_no=held.number)

    async def insert(self, draft: Order) -> Order:
        """``draft`` stored, or the order that already has its number, if it is the same sale.

        One that WeChat refused gives its number to ``draft``. Raises Conflict for any other.
        """
        if await self._updates.insert(draft):
            return draft
        stored = await self._updates.get(draft.key)
        if is_same_sale(stored, draft):
            return stored
        by = draft.timeline[0]
        entry = TimelineEntry(self._clock.now(), "placed_again", by.source, by.by, {"total": stored.total})
        change = await self._updates.update(draft.key, lambda current: replace_refused_order(current, draft, entry))
        return change.after

    async def _claim(self, key: str, digest: str, draft: Order) -> Claim:
        return await self._claims.claim(Claim(key, draft.out_trade_no, digest, _claimed_until(draft)))


def _claimed_until(order: Order) -> datetime:
    """How long a key stands for ``order``: for as long as it can be paid, and two days more."""
    return order.expires_at + IDEMPOTENCY_LIFE
