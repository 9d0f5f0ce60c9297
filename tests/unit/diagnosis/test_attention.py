"""What needs a person is listed once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from tests.contract.samples import NOW, NUMBER, a_refund, an_order
from tests.storage.values import a_delivery, an_alarm
from wechat.diagnosis.attention import MOST, Attention
from wechat.diagnosis.health import Check
from wechat.domain.errors import Bilingual
from wechat.domain.facts import RefundState
from wechat.domain.orders import TradeState
from wechat.reconciliation.books import Difference, DifferenceKind

DAY = date(2026, 3, 1)
NOTHING = Attention((), (), (), (), (), ())
EVERYTHING = Attention(
    alarms=(),
    late=(an_order("late-1", trade_state=TradeState.PAID_LATE),),
    refunds=(a_refund(state=RefundState.ABNORMAL),),
    differences=(Difference("d1", "m", DAY, DifferenceKind.AMOUNT, None, None, NOW, NOW),),
    deliveries=(a_delivery(number="event-1"),),
    checks=(Check("token", False, Bilingual("无", "none")),),
)
TOLD = (
    ("paid_late", "late-1"),
    ("openid_differs", "late-1"),
    ("refund_abnormal", NUMBER),
    ("refund_slow", NUMBER),
    ("books_differ", "2026-03-01"),
    ("event_undelivered", "event-1"),
    ("health_token", ""),
)
OTHERS = (("paid_late", "late-2"), ("refund_refused", NUMBER), ("books_differ", "2026-03-02"), ("health_clock", ""))


def test_an_alarm_about_what_is_listed_is_not_listed_beside_it() -> None:
    alarms = [an_alarm(f"{kind}-00", subject) for kind, subject in (*TOLD, *OTHERS)]
    shown = replace(EVERYTHING, alarms=alarms).other_alarms
    assert [(alarm.kind, alarm.subject) for alarm in shown] == list(OTHERS)
    assert len(replace(NOTHING, alarms=alarms).other_alarms) == len(alarms)


def test_so_many_alarms_are_shown() -> None:
    alarms = [an_alarm(subject=f"order-{number}") for number in range(MOST + 5)]
    assert replace(NOTHING, alarms=alarms).other_alarms == alarms[:MOST]
