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
    """Stores new orders under their numbers, and finds stored ones."""

    def __init__(self, updates: OrderUpdates, claims: Claims, runtime: Runtime) -> None:
        self._updates = updates
        self._claims = claims
        self._clock = runtime.clock

    async def one_open_order(self, key: str, digest: str, draft: Order) -> Order:
        """Return the payer's open order for this basket; store ``draft`` when there is none that can still be paid."""
        held = await self._claim(key, digest, draft)
        order = await self.insert(replace(draft, out_trade_no=held.number))
        if order.is_payable(self._clock.now()):
            return order
        if await self._claims.pass_on(held, draft.out_trade_no, _claimed_until(draft)):
            return await self.insert(draft)
        return await self.one_open_order(key, digest, draft)

    async def claim(self, key: str, digest: str, draft: Order) -> Order:
        """Return ``draft`` with the number that the key already has, or with its own. Raises IdempotencyMismatch."""
        held = await self._claim(key, digest, draft)
        return replace(draft, out_trade_no=held.number)

    async def insert(self, draft: Order) -> Order:
        """Store ``draft`` and return it, or return the stored order with its number, if both are the same request.

        An order that WeChat refused is replaced by ``draft``. Raises Conflict when any other order has the number.
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
    """Compute when a key for ``order`` expires: ``IDEMPOTENCY_LIFE`` after the payment deadline."""
    return order.expires_at + IDEMPOTENCY_LIFE
