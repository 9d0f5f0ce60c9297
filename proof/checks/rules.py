"""The rules that the service must keep: WeChat's limits, and what the service promises.

They are written here again and not read from the service, because a wider table or a higher limit there must fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

ORDER_MOVES: Mapping[str, frozenset[str]] = {
    "NOTPAY": frozenset({"SUCCESS", "CLOSED", "PAID_LATE"}),
    "CLOSED": frozenset({"PAID_LATE"}),
    "SUCCESS": frozenset({"REFUND"}),
    "PAID_LATE": frozenset({"REFUND"}),
    "REFUND": frozenset(),
}
"""For each state of an order, the states that may follow."""
REFUND_MOVES: Mapping[str, frozenset[str]] = {
    "REQUESTED": frozenset({"PROCESSING", "SUCCESS", "ABNORMAL", "CLOSED", "REFUSED"}),
    "PROCESSING": frozenset({"SUCCESS", "ABNORMAL", "CLOSED"}),
    "ABNORMAL": frozenset({"PROCESSING", "SUCCESS", "CLOSED"}),
    "SUCCESS": frozenset(),
    "CLOSED": frozenset(),
    "REFUSED": frozenset(),
}
"""For each state of a refund, the states that may follow. WeChat ends an abnormal refund after a person has acted."""
REFUNDS_APART = timedelta(minutes=1)
"""WeChat's limit for two refunds of one payment."""
MOST_REFUNDS = 50
"""WeChat's limit for one payment."""
MOST_FAILED = 50
MOST_PAYMENTS = 20
MOST_LINES, MOST_REFUND_LINES = 200, 60
"""Lines in the timelines of an order and of a refund."""
MOST_WRITES = 8
"""Ids of writes that a document keeps."""
RETRIES = 9
"""How often a delivery is repeated, over three days."""
LONGEST_WITHOUT_KEY_S = 900.0
"""The longest pause before a failed download of WeChat's certificates is repeated."""
CANCELLED, CONSOLE = "CANCELLED", "console"
"""The refusal of a refund that was cancelled here; who made a refund that was recorded from a bill."""
REFUNDED_ELSEWHERE = "refunded_elsewhere"
"""The timeline's word, and the alarm, for a payment that was refunded before the service knew of it."""
