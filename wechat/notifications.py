"""What WeChat posts to /notify: one gate, then record, apply, conclude, and only then an answer.

Which generation a message belongs to is decided by the ``Wechatpay-*`` headers alone: all four mean v3, none means v2,
some mean neither. A message that fails one generation's check is never tried against the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Histogram

from wechat.domain.errors import FenpayError, Mismatch, NotFound, NotifyError, SignatureInvalid, StoreUnavailable
from wechat.late import LateMoney
from wechat.ledger import SECOND_PAYMENT, Ledger, alarm
from wechat.models import Api, Notification, RefundHint, RefundState, RemoteState, Transaction, Verified
from wechat.pay.gateway import Gateway
from wechat.pay.v3 import HEADERS
from wechat.ports import Clock, NotificationStore
from wechat.refunds import Refunds

APPLIED = "applied"
NOT_PAID = "not_paid"
BUDGET_S = 3.0  # WeChat waits five seconds, one of its articles says three

log = structlog.get_logger("wechat.notifications")
RESULTS = Counter("fenpay_notify_total", "Notifications by outcome", ["api", "result"])
SECONDS = Histogram(
    "fenpay_notify_handle_seconds",
    "From body to answer",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5),
)
LAG = Histogram(
    "fenpay_notify_lag_seconds", "From payment to notification", buckets=(0.5, 1, 2, 5, 15, 60, 300, 1800, 7200, 86400)
)


@dataclass(frozen=True, slots=True)
class Inbox:
    """Receives for every configured generation."""

    gateways: Mapping[Api, Gateway]
    store: NotificationStore
    ledger: Ledger
    refunds: Refunds
    late: LateMoney
    clock: Clock

    async def receive(self, headers: Mapping[str, str], body: bytes) -> None:
        """Return when the message is durable and applied; anything else is raised.

        Raises NotifyError (its ``status`` is the answer) and StoreUnavailable (503; WeChat comes again).
        """
        started = time.monotonic()
        result = APPLIED
        try:
            async with asyncio.timeout(BUDGET_S):
                result = await self._receive(headers, body)
        except NotifyError as error:
            result = error.reason
            raise
        except TimeoutError:
            result = "timeout"
            raise StoreUnavailable from None
        except FenpayError as error:
            result = error.public_code.lower()
            raise
        finally:
            RESULTS.labels(generation(headers) or "mixed", result).inc()
            SECONDS.observe(time.monotonic() - started)

    async def _receive(self, headers: Mapping[str, str], body: bytes) -> str:
        message = self._verified(headers, body)
        now = self.clock.now()
        seen = await self.store.record(message, body, headers, now)
        if message.value.transaction and message.value.transaction.success_time and seen == 1:
            LAG.observe(max(0.0, (now - message.value.transaction.success_time).total_seconds()))
        verdict = await self._apply(message)
        if verdict != APPLIED or seen > 1:  # the order's timeline tells of a first success, and a write less is sooner
            await self.store.conclude(message.value.id, verdict, self.clock.now())
        return verdict

    def _verified(self, headers: Mapping[str, str], body: bytes) -> Verified[Notification]:
        api = generation(headers)
        gateway = self.gateways.get(api) if api else None
        if gateway is None:
            raise SignatureInvalid("api_off" if api else "headers_mixed")
        return gateway.receive(headers, body)

    async def _apply(self, message: Verified[Notification]) -> str:
        """The verdict. Raises Mismatch, recorded and told to the operator once."""
        try:
            return await self._taken(message)
        except Mismatch as error:
            if await self.store.conclude(message.value.id, error.reason, self.clock.now()):
                alarm(f"notify_{error.reason}", message.value.out_trade_no)
            raise

    async def _taken(self, message: Verified[Notification]) -> str:
        """What the message says, done: one way for each kind. Raises Mismatch."""
        told = message.value
        if told.transaction:
            payment = told.transaction
            return await self._paid(message.part(lambda _: payment))
        if told.refund:
            refund = told.refund
            await self.refunds.apply(message.part(lambda _: refund), source="notify")
            return APPLIED
        if told.hint:
            await self._ask(told.hint)
            return APPLIED
        return "recorded"

    async def _paid(self, fact: Verified[Transaction]) -> str:
        if fact.value.state is RemoteState.PAYERROR:
            return NOT_PAID
        if not fact.value.state.paid:
            raise Mismatch("trade_state")
        try:
            await self.ledger.apply(fact, source="notify")
        except Mismatch as error:
            if error.reason == SECOND_PAYMENT:
                await self.late.second_payment(fact)
            raise
        return APPLIED

    async def _ask(self, hint: RefundHint) -> None:
        """v2 does not sign news of a refund, so WeChat is asked; its signed answer is what counts.

        Whoever has seen a hint can send it for ever. Of a refund that succeeded there is no news; one that was refused
        or closed is asked after, as WeChat's having done it all the same is an alarm.
        """
        try:
            refund = await self.refunds.get(hint.out_refund_no)
        except NotFound:
            raise Mismatch("unknown_refund") from None
        if refund.state is not RefundState.SUCCESS:
            await self.refunds.query(refund)


def generation(headers: Mapping[str, str]) -> Api | None:
    """Which API's message this is by its headers; None for a mixture."""
    present = sum(1 for name in HEADERS if name in headers)
    return {0: Api.V2, len(HEADERS): Api.V3}.get(present)
