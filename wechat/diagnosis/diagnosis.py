"""Explain the current state of an order, from our record, a query of WeChat made now, and the received notifications.

Nothing is changed: WeChat's answer is shown here, and only ``query`` applies it. ``explain`` is pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from wechat.diagnosis.deliveries import explain_deliveries
from wechat.diagnosis.paid import explain_paid
from wechat.diagnosis.refunds import explain_refunds
from wechat.diagnosis.remote_status import remarks
from wechat.diagnosis.snapshot import Finding, OrderSnapshot, Outcome, RemoteStatus
from wechat.diagnosis.unpaid import explain_closure, explain_waiting
from wechat.domain.errors import Bilingual, Conflict, GatewayRefused, NotSent, OutcomeUnknown
from wechat.domain.orders import Order, TradeState
from wechat.domain.ports import Clock, DeliveryStore, NotificationStore
from wechat.domain.refused import RefusedNotification
from wechat.notifications.refusals import Refusals
from wechat.orders.service import Orders

REPEATED_FOR = timedelta(hours=25)
"""WeChat repeats a notification for a day and four minutes."""
STORIES = {TradeState.NOTPAY: explain_waiting, TradeState.CLOSED: explain_closure}
"""The functions that explain unpaid orders; all other states are paid."""


class Diagnosis:
    """Collects the facts about an order."""

    def __init__(
        self,
        orders: Orders,
        notifications: NotificationStore,
        refusals: Refusals,
        deliveries: DeliveryStore,
        clock: Clock,
    ) -> None:
        self._orders = orders
        self._notifications = notifications
        self._deliveries = deliveries
        self._refusals = refusals
        self._clock = clock

    async def into(self, out_trade_no: str) -> OrderSnapshot:
        """Query WeChat and collect the facts about an order. Raises NotFound; a failed query is one of the facts.

        Our record is read after the query, so that it is never the older of the two.
        """
        look = await self._fetch_status(await self._orders.get(out_trade_no))
        return await self._gather(out_trade_no, look)

    async def from_records(self, out_trade_no: str) -> OrderSnapshot:
        """Collect the facts without a query, for pages that are read often. Raises NotFound."""
        return await self._gather(out_trade_no, RemoteStatus(Outcome.NOT_ASKED))

    async def _gather(self, out_trade_no: str, look: RemoteStatus) -> OrderSnapshot:
        order = await self._orders.get(out_trade_no)
        received = await self._notifications.of_order(order.mchid, order.out_trade_no)
        unverified = await self._find_refusals(order)
        deliveries = tuple(await self._deliveries.of_order(order.key))
        return OrderSnapshot(order, look, tuple(received), order.refunds, self._clock.now(), unverified, deliveries)

    async def _find_refusals(self, order: Order) -> tuple[RefusedNotification, ...]:
        """Return refused messages that name the order, and unreadable ones of the time in which WeChat may notify."""
        found = await self._refusals.about(order.out_trade_no, order.created_at)
        end = order.expires_at + REPEATED_FOR
        return tuple([message for message in found if message.out_trade_no or message.first_at <= end])

    async def _fetch_status(self, order: Order) -> RemoteStatus:
        try:
            fact = await self._orders.fetch_transaction(order)
        except GatewayRefused as error:
            return RemoteStatus(Outcome.REFUSED, error=error)
        except (NotSent, OutcomeUnknown, Conflict) as error:
            return RemoteStatus(Outcome.UNKNOWN, error=error)
        return RemoteStatus(Outcome.TOLD, fact.value) if fact else RemoteStatus(Outcome.NO_SUCH_ORDER)


def explain(case: OrderSnapshot) -> tuple[Bilingual, str]:
    """Describe in one sentence what happened, and return the next command (empty when nothing has to be done)."""
    story = STORIES.get(case.order.trade_state, explain_paid)
    clauses = [*story(case), *explain_refunds(case), *explain_deliveries(case), *remarks(case)]
    return _sentence(clauses), next((clause.next_step for clause in clauses if clause.next_step), "")


def _sentence(clauses: Sequence[Finding]) -> Bilingual:
    english = "; ".join(clause.en for clause in clauses)
    return Bilingual("；".join(clause.zh for clause in clauses) + "。", f"{english[0].upper()}{english[1:]}.")
