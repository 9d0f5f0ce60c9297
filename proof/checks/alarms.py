"""Check alarms in both directions: each alarm has a cause in the world, and each state that needs a person had an
alarm.

An alarm without a cause teaches people to ignore alarms; a state that needs a person and had none is lost. An alarm may
be raised twice: if a process dies right after it, nobody knows whether it was received.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import inf

from proof.checks.journal import Journal
from proof.checks.rules import REFUNDED_ELSEWHERE
from proof.wechat.bills import Bills, next_day
from proof.wechat.payments import ANY_ORDER, STALE, UNVERIFIED, WeChat
from storage.memory.storage import MemoryDatabase
from storage.stores.all import DIFFERENCES, NOTIFICATIONS
from wechat.domain.facts import RefundState
from wechat.domain.orders import Order, TradeState
from wechat.reconciliation.books import Status
from wechat.refunds.late_payments import LatePolicy

EVENING = time(20)
LATEST = time(23)
"""By this time an alarm must report a missing bill, which is requested each hour from the evening on."""
TROUBLE_S = 180.0
"""The longest time from a wrong digest, or from WeChat's making a bill, to an alarm about it."""
FELT_S = 60.0
"""The longest time from a fault of network or store to the alarm of the work that it made fail."""
CLOCKS_AGREE = timedelta(minutes=3)
NOTIFY = "notify_"
NOT_NOW = "not_now"
"""The timeline's word for a refusal that is not final."""
AT_ONCE_S = 1.0
"""The longest time from WeChat's refusal to the alarm about it."""
BILL_LATE, FAILED = "bill_late", "reconciliation_failed"


@dataclass(frozen=True, slots=True)
class Alarm:
    """``clock``: the time of the process's own clock. ``since_trouble_s``: the time since network or store last failed
    it."""

    kind: str
    about: str
    day: str
    at_s: float
    clock: datetime
    since_trouble_s: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known at the end of a run. ``orders`` by number. ``not_known_why``: orders of which WeChat refused a
    refund with a code that nobody knows, which is final. ``without_key_s``: how long a process may lack a key of
    WeChat's after a fault; 0 if keys are never downloaded."""

    database: MemoryDatabase
    world: WeChat
    bills: Bills
    journal: Journal
    orders: Mapping[str, Order]
    policy: LatePolicy
    begins: datetime
    ends: datetime
    not_known_why: Set[str]
    without_key_s: float


def check_alarms(alarms: list[Alarm], evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Yield each fault of the alarms, and the order that it is about."""
    raised = {(alarm.kind, alarm.about or alarm.day) for alarm in alarms}
    raised |= {(BILL_LATE, alarm.day) for alarm in alarms if _tells_of_the_evening(alarm, evidence)}
    for kinds, about, why in list_required_alarms(evidence):
        if not any((kind, about) in raised for kind in kinds):
            yield f"{why}, and nobody was alarmed ({' or '.join(kinds)}, {about})", about
    for alarm in alarms:
        if not _has_cause(alarm, evidence):
            yield f"alarm {alarm.kind} {alarm.day} has no cause", alarm.about
        stored_s = evidence.journal.messages.get(alarm.about, inf)
        if alarm.kind.startswith(NOTIFY) and alarm.at_s < stored_s:
            yield f"alarm {alarm.kind} was raised before a message was stored", alarm.about


# -- which state must have had one -------------------------------------------------------------------------------------

Required = Iterator[tuple[tuple[str, ...], str, str]]
"""The alarms of which one must have been raised, the order or day that it is about, and the reason."""


def list_required_alarms(evidence: Evidence) -> Required:
    """Yield the alarms that the final states require: the kinds of which one is needed, its subject, and the reason."""
    for number, order in sorted(evidence.orders.items()):
        yield from _of_payments(number, order, evidence)
        yield from _of_refunds(number, order, evidence)
    yield from _of_messages(evidence)
    for number in evidence.journal.undelivered:
        yield ("event_undelivered",), number, "an event was given up on"
    for document in evidence.database[DIFFERENCES].look_at_all():
        results = evidence.journal.results[date.fromisoformat(document["day"])]
        if document["status"] != Status.GONE or any(document["kind"] in result.value.found for result in results):
            yield ("books_differ",), document["day"], f"{document['kind']} was found"
    for bill in evidence.bills.bills.values():
        latest = next_day(bill.day, LATEST)
        if bill.asked and not bill.denied and latest < min(bill.ready_at, evidence.ends):
            yield (BILL_LATE,), bill.day.isoformat(), "the bill was not there in the evening"


def _tells_of_the_evening(alarm: Alarm, evidence: Evidence) -> bool:
    """Whether an alarm in the evening reports that the day is not reconciled, for another reason than its bill.

    A process whose clock is ahead has its evening earlier, and postpones the day by that clock.
    """
    if alarm.kind != FAILED:
        return False
    at = evidence.begins + timedelta(seconds=alarm.at_s)
    return max(at, alarm.clock) >= next_day(date.fromisoformat(alarm.day), EVENING)


def _of_payments(number: str, order: Order, evidence: Evidence) -> Required:
    if TradeState.PAID_LATE in evidence.journal.orders[number]:
        yield (_late_alarm(order),), number, "it was paid late"
    waits = any(entry.what == "needs_operator" for entry in order.timeline)
    if waits and evidence.policy is LatePolicy.REFUND:
        yield ("late_money_kept",), number, "its late payment was not returned"


def _late_alarm(order: Order) -> str:
    if any(entry.what == REFUNDED_ELSEWHERE for entry in order.timeline):
        return REFUNDED_ELSEWHERE
    return "openid_differs" if order.paid_by_another else "paid_late"


def _of_refunds(number: str, order: Order, evidence: Evidence) -> Required:
    for refund in order.refunds:
        states = evidence.journal.refunds[refund.out_refund_no]
        if RefundState.ABNORMAL in states:
            yield ("refund_abnormal",), number, f"refund {refund.out_refund_no} became abnormal"
        if RefundState.CLOSED in states:
            yield ("refund_closed",), number, f"refund {refund.out_refund_no} was closed"
        if RefundState.REFUSED in states and refund.by == "policy":
            yield ("refund_refused",), number, f"refund {refund.out_refund_no} was refused"
        if any(entry.what == NOT_NOW for entry in refund.timeline):
            yield ("refund_not_now",), number, f"refund {refund.out_refund_no} was refused for now"
        if refund.slow:
            yield ("refund_slow",), number, f"refund {refund.out_refund_no} takes days"


def _of_messages(evidence: Evidence) -> Required:
    for document in evidence.database[NOTIFICATIONS].look_at_all():
        verdict, number = document.get("verdict", ""), document.get("out_trade_no", "")
        if verdict not in ("", "applied", "recorded", "not_paid"):
            yield (f"{NOTIFY}{verdict}",), number, f"a notification was refused as {verdict}"


# -- what justifies one ------------------------------------------------------------------------------------------------

Justifies = Callable[[Alarm, Evidence], bool]


def _has_cause(alarm: Alarm, evidence: Evidence) -> bool:
    cause = CAUSES.get(alarm.kind)
    return cause is not None and cause(alarm, evidence)


def _paid_late(alarm: Alarm, evidence: Evidence) -> bool:
    """Whether the order was closed here before WeChat reported a payment."""
    states = evidence.journal.orders[alarm.about]
    return TradeState.CLOSED in states and TradeState.PAID_LATE in states


def _paid_by_another(alarm: Alarm, evidence: Evidence) -> bool:
    order = evidence.world.orders[alarm.about]
    return any(payment.openid != order.request.openid for payment in order.payments)


def _refunded_elsewhere(alarm: Alarm, evidence: Evidence) -> bool:
    refunds = evidence.world.refunds.values()
    return any(refund.number == alarm.about and refund.by_console for refund in refunds)


def _paid_twice(alarm: Alarm, evidence: Evidence) -> bool:
    return len(evidence.world.orders[alarm.about].payments) > 1


def _another_amount(alarm: Alarm, evidence: Evidence) -> bool:
    return alarm.about in evidence.world.misquoted or _misstated(alarm, evidence)


def _misstated(alarm: Alarm, evidence: Evidence) -> bool:
    return alarm.about in evidence.world.misstated


def _of_somebody_else(what: str) -> Justifies:
    """Return a cause: a notification of the order was sent that is wrong in ``what``."""

    def justifies(alarm: Alarm, evidence: Evidence) -> bool:
        return any((about, what) in evidence.world.disputed for about in (alarm.about, ANY_ORDER))

    return justifies


def _money_kept(alarm: Alarm, evidence: Evidence) -> bool:
    """Whether a payment that has to be refunded was refunded in part by others."""
    payments = evidence.world.orders[alarm.about].payments
    given = [refund.transaction_id for refund in evidence.world.refunds.values()]
    own = [refund for refund in evidence.orders[alarm.about].refunds if refund.by != "policy"]
    return evidence.policy is LatePolicy.REFUND and bool(
        own or any(payment.transaction_id in given for payment in payments)
    )


def _refund_denied(alarm: Alarm, evidence: Evidence) -> bool:
    """Whether WeChat has refused a refund of the order for good; that it counts as refused here proves nothing."""
    return alarm.about in evidence.world.denied or alarm.about in evidence.not_known_why


def _refund_deferred(alarm: Alarm, evidence: Evidence) -> bool:
    """Whether WeChat has refused a refund for now: for want of balance, or by a fault that has just happened."""
    return alarm.about in evidence.world.deferred or alarm.since_trouble_s <= AT_ONCE_S


def _refund_was(state: str) -> Justifies:
    """Return a cause: WeChat had one of the order's refunds in ``state``."""

    def justifies(alarm: Alarm, evidence: Evidence) -> bool:
        refunds = evidence.world.refunds.values()
        return any(refund.number == alarm.about and state in refund.states for refund in refunds)

    return justifies


def _refund_slow(alarm: Alarm, evidence: Evidence) -> bool:
    return any(refund.slow for refund in evidence.orders[alarm.about].refunds)


def _has_failing_delivery(alarm: Alarm, evidence: Evidence) -> bool:
    """Whether an event of the order is at its last attempt: the alarm comes before the event is given up, which may
    fail and be repeated."""
    return alarm.about in evidence.journal.last_tries


def _books_differ(alarm: Alarm, evidence: Evidence) -> bool:
    return any(document["day"] == alarm.day for document in evidence.database[DIFFERENCES].look_at_all())


def _bill_late(alarm: Alarm, evidence: Evidence) -> bool:
    """Whether it is evening by the process's clock, and WeChat has not made the bill or says that the day has none."""
    bill = evidence.bills.of(date.fromisoformat(alarm.day))
    now = evidence.begins + timedelta(seconds=alarm.at_s - TROUBLE_S)
    return alarm.clock >= next_day(bill.day, EVENING) and now < bill.ready_at


def _trouble(alarm: Alarm, evidence: Evidence) -> bool:
    """Whether the network, the store or a digest has just failed the process, or its clock is so wrong that no
    signature is accepted. Without a key of WeChat's, which is fetched again after a pause, no signature is either."""
    now = evidence.begins + timedelta(seconds=alarm.at_s)
    misled = any(timedelta(0) <= now - at <= timedelta(seconds=TROUBLE_S) for at in evidence.bills.misannounced)
    return (
        misled or alarm.since_trouble_s <= max(FELT_S, evidence.without_key_s) or abs(alarm.clock - now) > CLOCKS_AGREE
    )


def _is_about_refusals(alarm: Alarm, evidence: Evidence) -> bool:
    """Whether messages are forged, old ones arrive again, or none of WeChat's can be verified."""
    old = alarm.day == STALE and (ANY_ORDER, STALE) in evidence.world.disputed
    return old or _of_somebody_else(UNVERIFIED)(alarm, evidence) or _trouble(alarm, evidence)


CAUSES: Mapping[str, Justifies] = {
    "paid_late": _paid_late,
    "openid_differs": _paid_by_another,
    REFUNDED_ELSEWHERE: _refunded_elsewhere,
    "notifications_refused": _is_about_refusals,
    "notify_second_payment": _paid_twice,
    "query_second_payment": _paid_twice,
    "notify_total": _another_amount,
    "query_total": _misstated,
    "notify_appid": _of_somebody_else("appid"),
    "notify_mchid": _of_somebody_else("mchid"),
    "notify_unknown_refund": _of_somebody_else("unknown_refund"),
    "notify_transaction_used": _of_somebody_else("transaction_used"),
    "late_money_kept": _money_kept,
    "refund_abnormal": _refund_was("ABNORMAL"),
    "refund_closed": _refund_was("CLOSED"),
    "refund_refused": _refund_denied,
    "refund_slow": _refund_slow,
    "refund_not_now": _refund_deferred,
    "event_undelivered": _has_failing_delivery,
    "books_differ": _books_differ,
    BILL_LATE: _bill_late,
    FAILED: _trouble,
}
"""The causes that justify each kind of alarm. Other kinds have no cause in this world."""
