"""Everything that needs a person now: unseen alarms, exceptional payments, refunds that do not end, open differences,
dead deliveries, and failed checks of the service's health."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from wechat.alarms.board import AlarmBoard
from wechat.alarms.texts import HEALTH
from wechat.diagnosis.health import Check, Health
from wechat.domain.alarms import Alarm
from wechat.domain.deliveries import Delivery, DeliveryState
from wechat.domain.facts import RefundState
from wechat.domain.orders import Order, Refund, TradeState
from wechat.domain.ports import DeliveryStore, OrderStore
from wechat.reconciliation.books import Difference
from wechat.reconciliation.reconciler import BOOKS_DIFFER
from wechat.reconciliation.records import BookRecords

MOST = 20
"""Entries that are shown of each kind."""
MOST_ALARMS = 100
"""Alarms that are read; many of them may be about entries of the other lists."""
MOST_SLOW = 200
"""Orders with refunds in progress that are searched for slow refunds, the longest unchanged first."""
ALARMS_OF_LATE = ("paid_late", "openid_differs", "refunded_elsewhere", "late_money_kept")
ALARMS_OF_REFUNDS = ("refund_abnormal", "refund_slow")
UNDELIVERED = "event_undelivered"


@dataclass(frozen=True, slots=True)
class Attention:
    """Everything that needs a person, the latest of each kind."""

    alarms: Sequence[Alarm]
    late: Sequence[Order]
    refunds: Sequence[Refund]
    differences: Sequence[Difference]
    deliveries: Sequence[Delivery]
    checks: Sequence[Check]

    @property
    def other_alarms(self) -> Sequence[Alarm]:
        """The latest alarms whose subjects the other lists do not show."""
        told = {(kind, order.out_trade_no) for order in self.late for kind in ALARMS_OF_LATE}
        told |= {(kind, refund.out_trade_no) for refund in self.refunds for kind in ALARMS_OF_REFUNDS}
        told |= {(BOOKS_DIFFER, difference.day.isoformat()) for difference in self.differences}
        told |= {(UNDELIVERED, delivery.event.out_trade_no) for delivery in self.deliveries}
        told |= {(f"{HEALTH}{check.name}", "") for check in self.checks}
        return [alarm for alarm in self.alarms if (alarm.kind, alarm.subject) not in told][:MOST]

    @property
    def nothing(self) -> bool:
        kinds = (self.alarms, self.late, self.refunds, self.differences, self.deliveries, self.checks)
        return not any(kinds)


class AttentionFinder:
    """Finds what needs a person, a bounded number of each kind."""

    def __init__(
        self, orders: OrderStore, deliveries: DeliveryStore, alarms: AlarmBoard, records: BookRecords, health: Health
    ) -> None:
        self._orders = orders
        self._deliveries = deliveries
        self._alarms = alarms
        self._records = records
        self._health = health

    async def find(self) -> Attention:
        """Read all kinds. Raises StoreUnavailable."""
        alarms, late, refunds, differences, dead = await asyncio.gather(
            self._alarms.latest(MOST_ALARMS, only_open=True),
            self._orders.find(trade_state=TradeState.PAID_LATE, limit=MOST, cursor=""),
            self._find_refunds(),
            self._records.list_open(MOST),
            self._deliveries.find(state=DeliveryState.DEAD, limit=MOST, cursor=""),
        )
        checks = [check for check in self._health.checks() if not check.ok]
        return Attention(alarms, late.items, refunds, differences, dead.items, checks)

    async def _find_refunds(self) -> Sequence[Refund]:
        """Return the abnormal refunds and the slow ones."""
        abnormal = await self._orders.find_by_refund(RefundState.ABNORMAL, limit=MOST, cursor="")
        under_way = await self._orders.list_refunding(RefundState.PROCESSING, MOST_SLOW)
        refunds = [refund for order in (*abnormal.items, *under_way) for refund in order.refunds]
        stuck = [refund for refund in refunds if refund.state is RefundState.ABNORMAL or (refund.open and refund.slow)]
        return list({refund.out_refund_no: refund for refund in stuck}.values())[:MOST]
