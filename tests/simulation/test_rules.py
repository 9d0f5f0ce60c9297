"""The rules of the checks are written without the service. Here both are compared, because few seeds reach a limit."""

from __future__ import annotations

from proof.checks import rules
from wechat.domain.orders import MAX_TIMELINE, MIN_REFUND_INTERVAL, TRANSITIONS
from wechat.domain.payments import MAX_PAYMENTS, REFUNDED_ELSEWHERE
from wechat.domain.ports import WRITES_KEPT
from wechat.domain.refunds import CANCELLED, MAX_FAILED, MAX_REFUND_TIMELINE, MAX_REFUNDS, REFUND_TRANSITIONS
from wechat.events.delivery_worker import DELAYS_S
from wechat.pay.certificates import LONGEST_RETRY_S
from wechat.refunds.drafts import CONSOLE


def test_the_service_has_the_rules_of_the_checks() -> None:
    assert rules.ORDER_MOVES == TRANSITIONS
    assert rules.REFUND_MOVES == REFUND_TRANSITIONS
    assert rules.REFUNDS_APART <= MIN_REFUND_INTERVAL
    assert (rules.MOST_REFUNDS, rules.MOST_FAILED) == (MAX_REFUNDS, MAX_FAILED)
    assert (rules.MOST_PAYMENTS, rules.MOST_WRITES) == (MAX_PAYMENTS, WRITES_KEPT)
    assert (rules.MOST_LINES, rules.MOST_REFUND_LINES) == (MAX_TIMELINE, MAX_REFUND_TIMELINE)
    assert len(DELAYS_S) == rules.RETRIES
    assert rules.LONGEST_WITHOUT_KEY_S == LONGEST_RETRY_S
    assert (rules.CANCELLED, rules.CONSOLE) == (CANCELLED, CONSOLE)
    assert rules.REFUNDED_ELSEWHERE == REFUNDED_ELSEWHERE
