"""Build new refunds, before they are reserved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from wechat.domain.facts import Api, Funds, RefundState
from wechat.domain.money import fen
from wechat.domain.orders import Order, Refund, TimelineEntry
from wechat.domain.ports import Runtime
from wechat.domain.refunds import POLICY, SENT, must_be_refundable
from wechat.domain.times import to_v2
from wechat.refunds.errors import no_refund_api
from wechat.refunds.requests import RefundRequest

NUMBER_BYTES = 6
CONSOLE = "console"
CONSOLE_REASON = "商户平台退款"


@dataclass(frozen=True, slots=True)
class RefundDefaults:
    """The settings of refunds. ``route`` gives a refund's API by its order's; without a route there are no refunds.

    ``funds`` is the money that pays a refund unless its request names another.
    """

    mchid: str
    route: Mapping[Api, Api]
    notify_url: str
    funds: Funds | None = None


@dataclass(frozen=True, slots=True)
class BillRefund:
    """A refund on a bill, made at ``at``; ``refund`` in fen."""

    out_refund_no: str
    transaction_id: str
    refund: int
    at: datetime


class Drafts:
    """Builds refunds for requests, the policy and bills. Raises Conflict for an order that cannot be refunded."""

    def __init__(self, defaults: RefundDefaults, runtime: Runtime) -> None:
        self._defaults = defaults
        self._clock = runtime.clock
        self._random = runtime.random

    def draft_refund(self, order: Order, wanted: RefundRequest, by: str) -> Refund:
        """Build the refund that a merchant's system requests, under the number that it names or a new one."""
        number = wanted.out_refund_no or f"{to_v2(self._clock.now())}{self._random.token(NUMBER_BYTES)}"
        draft = self._draft(order, number, wanted.refund, wanted.reason, by)
        return replace(draft, funds=wanted.funds_account or draft.funds)

    def draft_return(self, order: Order, transaction_id: str, out_refund_no: str, reason: str) -> Refund:
        """Build the refund of a whole payment; a payment other than the order's own is surplus, without goods."""
        return replace(
            self._draft(order, out_refund_no, order.total, reason, POLICY),
            transaction_id=transaction_id,
            surplus=transaction_id != order.transaction_id,
        )

    def draft_found(self, order: Order, found: BillRefund) -> Refund:
        """Build a refund that WeChat has and this system did not request."""
        return replace(
            self._draft(order, found.out_refund_no, found.refund, CONSOLE_REASON, CONSOLE),
            transaction_id=found.transaction_id,
            surplus=found.transaction_id != order.transaction_id,
            state=RefundState.PROCESSING,
            created_at=found.at,
            sends=1,
            first_sent_at=found.at,
            last_sent_at=found.at,
            timeline=(TimelineEntry(found.at, SENT, CONSOLE),),
        )

    def _draft(self, order: Order, out_refund_no: str, refund: int, reason: str, by: str) -> Refund:
        """Build a refund with the defaults. The refundable amount is checked later, when the refund is reserved."""
        now = self._clock.now()
        must_be_refundable(order, now)
        if order.api not in self._defaults.route:
            raise no_refund_api(order.api)
        created_at = now.replace(microsecond=0)
        return Refund(
            out_refund_no=out_refund_no,
            out_trade_no=order.out_trade_no,
            transaction_id=order.transaction_id,
            api=self._defaults.route[order.api],
            appid=order.appid,
            mchid=order.mchid,
            refund=fen(refund, field="refund"),
            total=order.total,
            reason=reason,
            by=by,
            notify_url=self._defaults.notify_url,
            funds=self._defaults.funds,
            created_at=created_at,
            next_check_at=created_at,
            timeline=(TimelineEntry(created_at, "requested", by),),
        )
