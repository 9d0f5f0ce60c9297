"""A value of every kind that is stored: with every field set, and with none that can be left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from tests.contract.samples import (
    HOUR,
    MCHID,
    NOW,
    NUMBER,
    TRANSACTION,
    a_claim,
    a_message,
    a_refund,
    a_refused,
    an_order,
)
from tests.support.calls import bare_call, full_call
from wechat.domain.alarms import Alarm, new_alarm
from wechat.domain.api_keys import ApiKey, KeySecret, Scope
from wechat.domain.approvals import Approval, ApprovalState
from wechat.domain.audit import Act
from wechat.domain.deliveries import Answer, Attempt, Delivery, DeliveryState, Event
from wechat.domain.events import EventType, OutgoingEvent
from wechat.domain.facts import Api, Funds, RefundState
from wechat.domain.messages import StoredNotification
from wechat.domain.money import Fen
from wechat.domain.notes import Note
from wechat.domain.orders import Order, Payment, Prepay, Refund, TimelineEntry, TradeState, TradeType
from wechat.domain.plugin_records import PluginRecord
from wechat.domain.staff import FailedLogins, Permission, Role, StaffMember, StaffSession
from wechat.reconciliation.books import Audit, BookEntry, Difference, DifferenceKind, Reconciliation, Status, Totals
from wechat.reconciliation.days import BookDay
from wechat.statistics.days import DaySummary
from wechat.statistics.figures import Figures, Group, Hour

DAY = date(2026, 2, 28)
LARGE = Fen(3_000_000_000)
"""More than 32 bits hold, so BSON has another type for it."""
ENTRY = TimelineEntry(NOW, "paid", "notify", "v3 PUB_KEY_ID_1", {"transaction_id": TRANSACTION, "refund": LARGE})
BARE_ENTRY = TimelineEntry(NOW, "created", "payer")


def full_refund(number: str = "R20260301120506abc", **changes: Any) -> Refund:
    refund = a_refund(
        number,
        refund=LARGE,
        total=LARGE,
        state=RefundState.ABNORMAL,
        surplus=True,
        refund_id="50300001",
        success_at=NOW,
        next_check_at=NOW + HOUR,
        lease="0123456789ab",
        sends=2,
        first_sent_at=NOW - HOUR,
        last_sent_at=NOW,
        slow=True,
        changes=3,
        refusal="NOT_ENOUGH",
        funds=Funds.AVAILABLE,
        timeline=(BARE_ENTRY, ENTRY),
    )
    return replace(refund, **changes)


def bare_refund() -> Refund:
    """Without anything that has a default, the timeline excepted."""
    return a_refund("R-bare", total=LARGE, next_check_at=None, timeline=(BARE_ENTRY,))


def full_order() -> Order:
    return an_order(
        api=Api.V2,
        trade_type=TradeType.NATIVE,
        channel="second",
        total=LARGE,
        attach="桌号 7",
        trade_state=TradeState.REFUND,
        prepay=Prepay(NOW, "MD5", "wx-prepay", "weixin://code", "https://h5"),
        payments=(Payment(TRANSACTION, LARGE, NOW, LARGE, "osim-b"), Payment("4200-second", LARGE, None)),
        refunds=(full_refund(), bare_refund()),
        last_refund_at=NOW,
        check_lease="ba9876543210",
        checks=3,
        currency="HKD",
        timeline=(BARE_ENTRY, ENTRY),
        outbox=(
            OutgoingEvent("e1", EventType.ORDER_PAID, NOW, 1),
            OutgoingEvent("e2", EventType.REFUND_ABNORMAL, NOW + HOUR, 2, "R20260301120506abc"),
        ),
        sequence=2,
        refusal="PARAM_ERROR",
        placing_in_doubt=True,
        notes=(Note(NOW, "anna", "第一条\n<b>"), Note(NOW + HOUR, "li", "2")),
    )


def bare_order() -> Order:
    return Order(
        out_trade_no=NUMBER,
        api=Api.V3,
        appid="wxsim0123456789",
        mchid=MCHID,
        trade_type=TradeType.MWEB,
        description="拿铁",
        total=Fen(1),
        created_at=NOW,
        expires_at=NOW,
        notify_url="https://pay.example.com/notify",
        client_ip="203.0.113.7",
    )


def full_message() -> StoredNotification:
    return a_message(raw=b"\x00\xff{}", seen=7, verdict="total", concluded_at=NOW + HOUR, last_at=NOW + HOUR)


def bare_message() -> StoredNotification:
    return a_message(out_trade_no="", order_key="", raw=b"", headers={})


def an_event(event_id: str = "e1", number: str = NUMBER, at: datetime = NOW) -> Event:
    data = {"out_trade_no": number, "total": 3600, "description": "拿铁", "attach": None, "refund_reserved": LARGE}
    return Event(event_id, EventType.ORDER_PAID, at, number, data)


def a_delivery(
    event_id: str = "e1", target: str = "erp", number: str = NUMBER, sequence: int = 1, **changes: Any
) -> Delivery:
    delivery = Delivery(an_event(event_id, number), target, f"{MCHID}:{number}", sequence, NOW)
    return replace(delivery, **changes)


def full_delivery() -> Delivery:
    return a_delivery(
        state=DeliveryState.DEAD,
        lease="0123456789ab",
        blocked=True,
        tries=2,
        attempts=(
            Attempt(NOW, "503", 0.25),
            Attempt(NOW + HOUR, "500", 15.0, 1772337906, Answer("<b>不\n", "text/html")),
        ),
        expires_at=NOW + timedelta(days=90),
    )


def bare_delivery() -> Delivery:
    event = Event("e1", EventType.ORDER_CLOSED, NOW, NUMBER, {})
    return Delivery(event, "erp", f"{MCHID}:{NUMBER}", 1, None)


def a_result() -> Reconciliation:
    sums = Totals(1, LARGE, LARGE, 2, LARGE, LARGE, 7 * LARGE)
    found = {DifferenceKind.AMOUNT: 1, DifferenceKind.DOUBLE_PAYMENT: 2}
    return Reconciliation(DAY, NOW, NOW + HOUR, sums, replace(sums, payments=2), found, (3, 7))


def full_day() -> BookDay:
    return BookDay(MCHID, DAY, NOW, True, "0123456789ab", NOW + HOUR, a_result())


def bare_day() -> BookDay:
    return BookDay(MCHID, DAY, None)


def full_difference() -> Difference:
    ours = BookEntry(NUMBER, TRANSACTION, "R1", "50300001", LARGE, "CNY", "SUCCESS", "2026-02-28T12:00:00+08:00")
    audit = (
        Audit(NOW, "shop", "query", Status.OPEN, Status.REPAIRED, "SUCCESS"),
        Audit(NOW + HOUR, "reconciliation", "rerun", Status.REPAIRED, Status.GONE),
    )
    difference = Difference.between(MCHID, DAY, DifferenceKind.AMOUNT, ours, ours._replace(amount=1), NOW)
    return replace(difference, seen_at=NOW + HOUR, status=Status.GONE, audit=audit)


def bare_difference() -> Difference:
    """Of the same identity as the full one."""
    theirs = BookEntry(NUMBER, TRANSACTION, "R1", "50300001", 1, "CNY", "SUCCESS")
    return Difference.between(MCHID, DAY, DifferenceKind.AMOUNT, None, theirs, NOW)


def a_plugin_record(data: dict[str, Any]) -> PluginRecord:
    return PluginRecord("points", NUMBER, data)


def an_alarm(place: str = "paid_late-00", subject: str = NUMBER) -> Alarm:
    return replace(new_alarm(place.rpartition("-")[0], subject, "an error", NOW), place=place)


def a_member(name: str = "anna", **changes: Any) -> StaffMember:
    member = StaffMember(name, Role.FINANCE, "$argon2id$v=19$…", NOW - HOUR, NOW - HOUR)
    return replace(member, **changes)


def full_member() -> StaffMember:
    return a_member(disabled_at=NOW, totp_secret="JBSWY3DPEHPK3PXP", totp_step=59_000_000, recovery=("0" * 64,))


def a_session(key: str = "0" * 64, name: str = "anna", **changes: Any) -> StaffSession:
    session = StaffSession(key, name, NOW - HOUR, NOW, NOW + 12 * HOUR, "203.0.113.7", "Firefox")
    return replace(session, **changes)


def full_session() -> StaffSession:
    return a_session(totp=True, stepped_up_at=NOW, ended_at=NOW + HOUR)


def full_summary() -> DaySummary:
    figures = Figures(5, 4, 3, LARGE, 2, LARGE, 1)
    hours = {9: Hour({Group("second", "NATIVE"): figures}, {0: figures, 55: figures}), 23: Hour({}, {})}
    dates = (NOW, frozenset({9}), frozenset({23}), "0123456789ab", NOW + HOUR, NOW, NOW - HOUR)
    return DaySummary(MCHID, DAY, *dates, hours)


def bare_summary() -> DaySummary:
    return DaySummary(MCHID, DAY, None)


def full_key() -> ApiKey:
    secrets = (KeySecret("0" * 64, NOW - HOUR, NOW + HOUR), KeySecret("1" * 64, NOW))
    return ApiKey("till", tuple(Scope), secrets, NOW - HOUR, "anna", NOW, NOW + HOUR)


def bare_key() -> ApiKey:
    return ApiKey("till", (Scope.READ,), (), NOW, "manage.py")


def an_approval(**changes: Any) -> Approval:
    approval = Approval("a1", Act.REFUND, Permission.REFUND, NUMBER, LARGE, "", {}, "anna", NOW - HOUR)
    return replace(approval, **changes)


def full_approval() -> Approval:
    decided = {"state": ApprovalState.DONE, "decided_by": "ben", "decided_at": NOW, "result": "accepted"}
    return an_approval(reason="coffee was cold", data={"out_refund_no": "R1", "refund": LARGE}, **decided)


FULL_AND_BARE: dict[str, tuple[Any, Any]] = {
    "orders": (full_order(), bare_order()),
    "notifications": (full_message(), bare_message()),
    "refused": (
        a_refused(raw=b"\x00\xff", size=70_000, seen=3, accepted_at=NOW + HOUR),
        a_refused(age_s=None, serial="", known_serials=(), out_trade_no="", raw=b"", headers={}),
    ),
    "alarms": (
        replace(an_alarm(), count=3, seen_at=NOW, seen_by="shop", cleared_at=NOW + HOUR),
        replace(an_alarm(), subject="", error=""),
    ),
    "claims": (a_claim(), a_claim("", "")),
    "calls": (full_call(), bare_call()),
    "deliveries": (full_delivery(), bare_delivery()),
    "days": (full_day(), bare_day()),
    "differences": (full_difference(), bare_difference()),
    "staff": (full_member(), a_member()),
    "staff_sessions": (full_session(), a_session()),
    "failed_logins": (FailedLogins("1234", 7, NOW), FailedLogins("1234", 1, NOW - HOUR)),
    "summaries": (full_summary(), bare_summary()),
    "api_keys": (full_key(), bare_key()),
    "approvals": (full_approval(), an_approval()),
    "plugin_records": (a_plugin_record({"points": LARGE, "at": NOW, "names": ["甲"]}), a_plugin_record({})),
}
"""By the name of their store; both of a store have the same key."""
