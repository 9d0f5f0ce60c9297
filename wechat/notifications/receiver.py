"""Receive notifications on /notify: verify, record, apply, conclude, and only then respond.

The ``Wechatpay-*`` headers alone decide the API version of a message: all four mean v3, none means v2, some mean
neither. A message that fails the check of one version is never tried against the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from wechat.domain.calls import UNSIGNED, VERIFIED, Direction, Exchange
from wechat.domain.errors import (
    BadRequest,
    Bilingual,
    FenpayError,
    Malformed,
    Mismatch,
    MismatchReason,
    NotFound,
    NotifyError,
    SignatureInvalid,
    StoreUnavailable,
    Unconfirmed,
)
from wechat.domain.facts import (
    Api,
    Notification,
    RefundState,
    RemoteState,
    Transaction,
    UnsignedRefundNotice,
    Verified,
)
from wechat.domain.messages import StoredNotification, Verdict, conclude, count_again
from wechat.domain.metrics import Metric
from wechat.domain.news import NewsKind
from wechat.domain.orders import order_key
from wechat.domain.payments import SECOND_PAYMENT
from wechat.domain.ports import NotificationStore, Runtime
from wechat.domain.refused import RefusedNotification
from wechat.notifications.refusals import KEPT_HEADERS, Refusals, RefusedMessage
from wechat.orders.payments import PaymentRecorder
from wechat.orders.service import Orders
from wechat.pay.gateway import Gateway
from wechat.pay.v3.gateway import HEADERS
from wechat.refunds.late_payments import LatePayments
from wechat.refunds.service import Refunds
from wechat.sign_explain.model import Slip
from wechat.support.update import Updater

BUDGET_S = 3.0  # WeChat waits five seconds, one of its articles says three
RAW_BYTES = 64 * 1024
KEEP = timedelta(days=90)
MIXED = "mixed"
"""The API version, in metrics and records, of a message whose headers fit neither version."""
FAILED = "failed"
"""The result, in metrics, of a message whose processing was cancelled or failed by a defect."""
FRESH = timedelta(minutes=2)
"""A payment that is older than this is confirmed by a query before goods are released, because it may have been
refunded in the merchant console since."""


@dataclass(frozen=True)
class Arrival:
    """A received message. ``at`` is its time of arrival, by the machine's clock, when it is replayed; None for now."""

    headers: Mapping[str, str]
    body: bytes
    at: datetime | None = None

    @cached_property
    def api(self) -> Api | None:
        """The API version of the message by its headers; None for a mixture."""
        return api_of(self.headers)


@dataclass(frozen=True, slots=True)
class Receivers:
    """The use cases that apply messages."""

    orders: Orders
    recorder: PaymentRecorder
    refunds: Refunds
    late_payments: LatePayments


class NotificationReceiver:
    """Receives notifications of every configured API version.

    The composition root sets ``on_other``, which is awaited with each verified notification that this system does not
    use, before the response; a notification may be repeated.
    """

    def __init__(
        self,
        gateways: Mapping[Api, Gateway],
        store: NotificationStore,
        receivers: Receivers,
        refusals: Refusals,
        runtime: Runtime,
        keep: timedelta = KEEP,
    ) -> None:
        self.refusals = refusals
        self.on_exchange: Callable[[Exchange], None] | None = None
        """Called with each message that has a verdict. Unverified ones have a verdict only if a copy is kept."""
        self.last_accepted_at: datetime | None = None
        self.on_other: Callable[[Notification], Awaitable[None]] = _ignore
        self._gateways = gateways
        self._messages = Updater(store, lambda message: message.id, runtime.random, remembered=0)
        self._receivers = receivers
        self._clock = runtime.clock
        self._telemetry = runtime.telemetry
        self._keep = keep

    async def receive(self, headers: Mapping[str, str], body: bytes) -> None:
        """Verify, store and apply a message; return when that is durable.

        Raises NotifyError (its ``status`` is the response) and StoreUnavailable (503; WeChat repeats the message).
        """
        started, arrival = self._clock.monotonic(), Arrival(headers, body)
        exchange = _begin_exchange(arrival)
        result = FAILED
        try:
            result = await self._receive_in_time(arrival, exchange)
            exchange.status = 200
        except FenpayError as error:
            result = exchange.error = error.reason if isinstance(error, NotifyError) else error.public_code.lower()
            exchange.status = error.status if isinstance(error, NotifyError) else 503
            if isinstance(error, NotifyError):
                await self._report(arrival, exchange, error)
            raise
        finally:
            self._telemetry.count(Metric.NOTIFICATIONS, arrival.api or MIXED, result)
            exchange.duration_s = self._clock.monotonic() - started
            self._telemetry.observe(Metric.NOTIFICATION_SECONDS, exchange.duration_s)
            if self.on_exchange and exchange.verdict:
                self.on_exchange(exchange)

    async def replay(self, message_id: str) -> str:
        """Check a refused message again, as of its arrival, and apply it if it is valid. Return the verdict.

        Raises NotFound, BadRequest when only a part of it was kept, NotifyError when it is refused again,
        StoreUnavailable.
        """
        kept = await self._complete(message_id)
        verdict = await self._receive_in_time(Arrival(kept.headers, kept.raw, kept.arrived_at))
        await self.refusals.record_acceptance(kept)
        return verdict

    async def verify(self, message_id: str) -> Notification:
        """Check a refused message again and return it, without applying it. Raises as ``replay``."""
        kept = await self._complete(message_id)
        return self._verify(Arrival(kept.headers, kept.raw, kept.arrived_at)).value

    async def explain(self, message_id: str) -> Sequence[Slip]:
        """Return why the signature of a refused message is wrong. Raises NotFound, and BadRequest as ``replay``."""
        kept = await self._complete(message_id)
        return await self.refusals.explain(kept)

    async def _complete(self, message_id: str) -> RefusedNotification:
        kept = await self.refusals.get(message_id)
        if not kept.complete:
            text = Bilingual(
                "这条通知过长，只保留了开头，不能重新校验；请用 order query 查单",
                "Only the beginning of this notification was kept, because it is too long; query its order instead",
            )
            raise BadRequest(text, code="NOT_COMPLETE")
        return kept

    async def _receive_in_time(self, arrival: Arrival, exchange: Exchange | None = None) -> str:
        """Receive a message and return the verdict. Raises NotifyError, and StoreUnavailable, also after BUDGET_S."""
        try:
            async with asyncio.timeout(BUDGET_S):
                return await self._receive(arrival, exchange)
        except TimeoutError:
            raise StoreUnavailable from None

    async def _report(self, arrival: Arrival, exchange: Exchange, error: NotifyError) -> None:
        """Report why a message was refused. Of an unverified message nothing was stored, so a copy is kept."""
        api, body = arrival.api, arrival.body
        unverified = isinstance(error, SignatureInvalid | Malformed)
        gateway = self._gateways.get(api) if api and unverified else None
        message = RefusedMessage(api, arrival.headers, body, error, gateway.claimed_order(body) if gateway else "")
        ours = await self._is_ours(message.out_trade_no)
        kept = unverified and self.refusals.wants_copy(error, ours=ours)
        self.refusals.report(message)
        self._telemetry.publish(NewsKind.REFUSED, message.out_trade_no, {"api": api, "reason": error.reason})
        if kept:
            exchange.verdict, exchange.out_trade_no = error.reason, message.out_trade_no
            await self.refusals.keep(message, ours=ours)

    async def _is_ours(self, out_trade_no: str) -> bool:
        """Whether a refused message names a stored order; False also when the number of look-ups is exceeded."""
        if not self.refusals.may_look_up(out_trade_no):
            return False
        try:
            await self._receivers.orders.get(out_trade_no)
        except FenpayError:
            return False
        return True

    async def _receive(self, arrival: Arrival, exchange: Exchange | None) -> str:
        message = self._verify(arrival)
        if exchange:
            exchange.verdict = UNSIGNED if message.value.notice else VERIFIED
            exchange.out_trade_no = message.value.out_trade_no
        now = self._clock.now()
        transaction = message.value.transaction
        recorded = self._record(message, arrival, now)
        stored, refusal = await asyncio.gather(recorded, self._reserve(transaction))
        if transaction and transaction.success_time and stored.seen == 1:
            self._telemetry.observe(Metric.NOTIFICATION_LAG, max(0.0, (now - transaction.success_time).total_seconds()))
        verdict = await self._apply(message, refusal, stored)
        if verdict != Verdict.APPLIED or stored.seen > 1:  # a first success is in its order's timeline: saves a write
            await self._conclude(message.value.id, verdict)
        self._publish(message.value, verdict, stored.seen)
        self.last_accepted_at = now
        self._telemetry.measure(Metric.LAST_NOTIFICATION, now.timestamp())
        return verdict

    def _verify(self, arrival: Arrival) -> Verified[Notification]:
        """Verify and parse a message. Raises SignatureInvalid, Malformed."""
        gateway = self._gateways.get(arrival.api) if arrival.api else None
        if gateway is None:
            raise SignatureInvalid("api_off" if arrival.api else "headers_mixed")
        return gateway.receive(arrival.headers, arrival.body, arrived_at=arrival.at)

    def _publish(self, message: Notification, verdict: str, seen: int) -> None:
        data = {"api": message.api.value, "type": message.kind, "verdict": verdict, "seen": seen}
        self._telemetry.publish(NewsKind.NOTIFICATION, message.out_trade_no, data)

    async def _record(self, message: Verified[Notification], arrival: Arrival, now: datetime) -> StoredNotification:
        """Store the message durably, or count its repetition. Return the stored message."""
        first = _build_stored(message, arrival, now, now + self._keep)
        if await self._messages.insert(first):
            return first
        change = await self._messages.update(first.id, lambda stored: count_again(stored, now))
        if change is None:  # it expired meanwhile; WeChat repeats it
            raise StoreUnavailable
        return change.after

    async def _reserve(self, transaction: Transaction | None) -> Mismatch | None:
        """Reserve a payment's transaction for its order. Return the Mismatch when it belongs to another order."""
        if transaction is None or not transaction.state.paid:
            return None
        try:
            await self._receivers.recorder.reserve(transaction)
        except Mismatch as error:
            return error
        return None

    async def _apply(
        self, message: Verified[Notification], refusal: Mismatch | None, stored: StoredNotification
    ) -> str:
        """Apply the message and return the verdict. Raises Mismatch, after recording it and telling the operator once.

        The operator is told before the verdict is stored: if the process ends between the two, the message is repeated.
        """
        try:
            if refusal is not None:
                raise refusal
            return await self._act(message)
        except Mismatch as error:
            if not stored.verdict:
                self._telemetry.alarm(f"notify_{error.reason}", message.value.out_trade_no)
            await self._conclude(message.value.id, error.reason)
            raise

    async def _act(self, message: Verified[Notification]) -> str:
        """Apply the message according to its kind. Raises Mismatch."""
        notification = message.value
        if notification.transaction:
            return await self._apply_payment(message.with_value(notification.transaction))
        if notification.refund:
            await self._receivers.refunds.apply(message.with_value(notification.refund), source="notify")
            return Verdict.APPLIED
        if notification.notice:
            await self._query_refund(notification.notice)
            return Verdict.APPLIED
        if notification.other:
            await self.on_other(notification)
        return Verdict.RECORDED

    async def _apply_payment(self, fact: Verified[Transaction]) -> str:
        if fact.value.state is RemoteState.PAYERROR:
            return Verdict.NOT_PAID
        if not fact.value.state.paid:
            raise Mismatch(MismatchReason.TRADE_STATE)
        if self._is_old(fact.value) and await self._receivers.recorder.releases_goods(fact.value):
            await self._confirm(fact.value)
            return Verdict.APPLIED
        try:
            await self._receivers.recorder.apply(fact, source="notify", reserved=True)
        except Mismatch as error:
            if error.reason == SECOND_PAYMENT:
                await self._receivers.late_payments.refund_second(fact)
            raise
        return Verdict.APPLIED

    def _is_old(self, transaction: Transaction) -> bool:
        """Whether the payment is so old that it may have been refunded unknown to this system."""
        return transaction.success_time is not None and self._clock.now() - transaction.success_time > FRESH

    async def _confirm(self, transaction: Transaction) -> None:
        """Query WeChat about an old payment before goods are released for it.

        Raises Mismatch, and Unconfirmed when WeChat does not report the payment now; the message is then repeated.
        """
        try:
            order = await self._receivers.orders.query(transaction.out_trade_no)
        except Mismatch:
            raise
        except FenpayError as error:
            raise Unconfirmed("unconfirmed") from error
        if all(payment.transaction_id != transaction.transaction_id for payment in order.payments):
            raise Unconfirmed("unconfirmed")

    async def _query_refund(self, notice: UnsignedRefundNotice) -> None:
        """Query WeChat about a refund, because v2 does not sign refund notifications; only the signed answer counts.

        Anybody who has seen a notification can repeat it. A refund that succeeded is not queried again. A refused or
        closed one is queried, because it is an alarm if WeChat made the refund nevertheless.
        """
        try:
            refund = await self._receivers.refunds.get(notice.out_refund_no)
            if refund.state is not RefundState.SUCCESS:
                await self._receivers.refunds.query(notice.out_refund_no)
        except NotFound:
            raise Mismatch(MismatchReason.UNKNOWN_REFUND) from None

    async def _conclude(self, notification_id: str, verdict: str) -> None:
        """Store the verdict; a repeated message keeps its first one, unless it is applied later."""
        now = self._clock.now()
        await self._messages.update(notification_id, lambda stored: conclude(stored, verdict, now))


async def _ignore(message: Notification) -> None:
    """Ignore notifications of other kinds, when nothing subscribes to them."""


def api_of(headers: Mapping[str, str]) -> Api | None:
    """Return the API version of a message by its headers; None for a mixture."""
    present = sum(1 for name in HEADERS if name in headers)
    return {0: Api.V2, len(HEADERS): Api.V3}.get(present)


def _begin_exchange(arrival: Arrival) -> Exchange:
    """Begin the record of a call. It is recorded only if a verdict is set."""
    api = arrival.api or MIXED
    return Exchange(Direction.IN, api, "notify", "", "POST", "/notify", dict(arrival.headers), arrival.body)


def _build_stored(
    message: Verified[Notification], arrival: Arrival, now: datetime, expires_at: datetime
) -> StoredNotification:
    """Build the stored form of a message that arrives for the first time."""
    notification = message.value
    about = notification.out_trade_no
    return StoredNotification(
        id=notification.id,
        api=notification.api,
        kind=notification.kind,
        mchid=notification.mchid,
        out_trade_no=about,
        order_key=order_key(notification.mchid, about) if about else "",
        proof=message.proof,
        raw=arrival.body[:RAW_BYTES],
        headers={name: arrival.headers[name] for name in KEPT_HEADERS if name in arrival.headers},
        first_at=now,
        last_at=now,
        expires_at=expires_at,
    )
