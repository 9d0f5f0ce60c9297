"""Which faults a seed has, and how often. A seed switches whole kinds off, so that rare mixtures are reached."""

from __future__ import annotations

import random
from collections import Counter
from enum import StrEnum


class Fault(StrEnum):
    """Everything that goes wrong."""

    STORE_BEFORE = "store call fails before its effect"
    STORE_AFTER = "store call fails after its effect"
    STORE_LATE = "store call fails, its effect comes later"
    STORE_HALF = "half of a batch is applied, then it fails"
    STORE_SLOW = "store call takes a second or two"
    PROCESS_DIES = "process dies, another takes its place"
    CLOCK_LEAPS = "clock of a process leaps ahead by an hour or more"
    CLOCK_APART = "clocks of processes are up to two minutes apart"
    WIRE_NOT_SENT = "WeChat cannot be reached"
    WIRE_BEFORE = "request to WeChat is lost"
    WIRE_AFTER = "WeChat's answer is lost"
    WIRE_SLOW = "WeChat answers after seconds"
    WIRE_500_BEFORE = "WeChat answers 500 without having done anything"
    WIRE_500_AFTER = "WeChat answers 500 and has done it"
    WIRE_UNSIGNED = "WeChat's answer is not signed"
    WIRE_WRONG_SIGN = "WeChat's answer is signed wrongly"
    WIRE_NOT_NOW = "WeChat refuses for a reason of credentials or rate"
    WIRE_NEW_CODE = "WeChat refuses with a code that nobody knows"
    NOTIFY_LOST = "all notifications of an event are lost"
    NOTIFY_DOUBLED = "a notification arrives twice at once"
    NOTIFY_LATE = "notifications arrive hours late"
    NOTIFY_PROBE = "WeChat probes with a wrong signature first"
    NOTIFY_STALE = "a genuine notification arrives again hours later"
    NOTIFY_OTHER_AMOUNT = "a genuine notification is for another amount"
    NOTIFY_FORGED = "somebody forges a notification"
    NOTIFY_UNKNOWN = "a notification is of a kind that nobody knows"
    PAID_TWICE = "an order is paid a second time"
    PAID_AFTER_CLOSE = "an order is paid though it was closed"
    PAID_BY_ANOTHER = "somebody else pays"
    CONSOLE_REFUND = "somebody refunds at WeChat's console"
    REFUND_ABNORMAL = "a refund becomes abnormal, then succeeds"
    REFUND_CLOSED = "WeChat closes a refund"
    REFUND_NO_BALANCE = "WeChat refuses a refund for want of balance"
    REFUND_SLOW = "a refund takes days"
    RECEIVER_DOWN = "receiver of events is down for a while"
    RECEIVER_AFTER = "receiver's answer is lost"


RATES = {Fault.PROCESS_DIES: 0.01, Fault.CLOCK_LEAPS: 0.002}
"""Chance of each at its occasions, where it is not the usual one."""
USUAL = 0.08
KINDS_OFF = 0.45
"""How many kinds a seed does without, on average."""


class Faults:
    """The faults of one seed. ``counted`` says how often each happened."""

    def __init__(self, stream: random.Random) -> None:
        self._stream = stream
        self.counted: Counter[Fault] = Counter()
        off = stream.uniform(0, 2 * KINDS_OFF)
        self._rates = {
            fault: 0.0 if stream.random() < off else RATES.get(fault, USUAL) * stream.uniform(0.2, 3) for fault in Fault
        }
        self._stopped = False

    def stop(self) -> None:
        """From here on nothing goes wrong."""
        self._stopped = True

    def has(self, fault: Fault) -> bool:
        """Whether the seed has this kind at all."""
        return self._rates[fault] > 0 and not self._stopped

    def lasts(self, fault: Fault) -> bool:
        """Whether the seed has this kind, which then is there all the time; counted like one that happens."""
        self.counted[fault] += self.has(fault)
        return self.has(fault)

    def happens(self, fault: Fault) -> bool:
        """Whether it happens now."""
        rate = self._rates[fault]
        if self._stopped or not rate or self._stream.random() >= rate:
            return False
        self.counted[fault] += 1
        return True

    def first(self, *kinds: Fault) -> Fault | None:
        """The first of ``kinds`` that happens now."""
        return next((fault for fault in kinds if self.happens(fault)), None)
