"""WeChat's words that a payment is there, on which goods may be released: genuine, recent, and not of money that has
gone back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from proof.wechat.payments import Payment, WeChat

BELIEVED = timedelta(minutes=2, seconds=10)
"""A notification that is sent so soon after the payment is believed without a query, even if the money has gone back
since; ten seconds are for its way. The service promises two minutes."""
APART = timedelta(minutes=2)
"""The longest time by which the clock of a process is behind."""
IN_HAND = timedelta(minutes=1)
"""The longest time from WeChat's word to the write that releases the goods, with repeated calls of the store."""


class Words:
    """The latest word about each payment. ``clocks_differ``: clocks of processes may be behind."""

    def __init__(self, world: WeChat, now: Callable[[], datetime], *, clocks_differ: bool) -> None:
        self._world = world
        self._now = now
        self._believed = BELIEVED + (APART if clocks_differ else timedelta(0))
        self._said: dict[str, datetime] = {}
        world.on_said_paid = self._note

    def _note(self, payment: Payment) -> None:
        """Note that WeChat says now that ``payment`` is there. It counts unless the money has gone back."""
        now = self._now()
        if now - payment.at <= self._believed or not self._world.is_refunded(payment):
            self._said[payment.transaction_id] = now

    def allow_goods(self, transaction_id: str) -> bool:
        """Whether goods may be released now for a payment."""
        said_at = self._said.get(transaction_id)
        return said_at is not None and self._now() - said_at <= IN_HAND
