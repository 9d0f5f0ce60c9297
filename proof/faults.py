"""The faults of a seed and their rates. A seed switches whole kinds off, so that rare combinations occur."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from copy import copy
from enum import StrEnum

from proof.runtime.chance import Chance


class Fault(StrEnum):
    """A kind of fault."""

    STORE_BEFORE = "store call fails before its effect"
    STORE_AFTER = "store call fails after its effect"
    STORE_LATE = "store call fails, its effect comes later"
    STORE_HALF = "half of a batch is applied, then it fails"
    STORE_SLOW = "store call takes a second or two"
    STORE_HANGS = "store call takes ten seconds, longer than anybody waits"
    STORE_DOWN = "the store is down for minutes"
    PROCESS_DIES = "process dies, another takes its place"
    PROCESS_GONE = "process dies, none takes its place"
    CLOCK_LEAPS = "clock of a process leaps ahead by an hour or more, or back"
    CLOCK_APART = "clocks of processes are up to two minutes apart"
    WIRE_NOT_SENT = "WeChat cannot be reached"
    WIRE_BEFORE = "request to WeChat is lost"
    WIRE_AFTER = "WeChat's answer is lost"
    WIRE_SLOW = "a request takes seconds to reach WeChat"
    WIRE_LATE = "WeChat's answer takes seconds to come back"
    WIRE_500_BEFORE = "WeChat answers 500 without having done anything"
    WIRE_500_AFTER = "WeChat answers 500 and has done it"
    WIRE_UNSIGNED = "WeChat's answer is not signed"
    WIRE_WRONG_SIGN = "WeChat's answer is signed wrongly"
    WIRE_NOT_NOW = "WeChat refuses for a reason of credentials or rate"
    WIRE_NEW_CODE = "WeChat refuses with a code that nobody knows"
    WIRE_FORGED = "somebody forges WeChat's answer"
    KEYS_ROTATED = "WeChat rotates its certificate"
    TOKEN_REVOKED = "another system makes WeChat drop the access_token"  # noqa: S105 - not one
    TOKENS_DOWN = "the Official Account's API is down for a while"
    TOKENS_REFUSED = "the Official Account's API refuses the credentials for a while"
    TOKENS_LOST = "an answer of the Official Account's API is lost"
    TOKENS_SLOW = "the Official Account's API answers after seconds"
    REDIS_GONE = "Redis is gone for a while"
    REDIS_SLOW = "Redis answers too late, what was asked for is done"
    REDIS_EMPTY = "Redis loses its content"
    REDIS_LOCK = "a lock in Redis ends early"
    NOTICE_LOST = "all notices of a v2 refund are lost"
    NOTICE_SPLICED = "somebody sends a notice made of pieces of genuine ones"
    NOTICE_FORGED = "somebody forges a notice of a v2 refund"
    CREDENTIALS_REFUSED = "WeChat refuses everything for minutes for a reason of credentials"
    SERIAL_ZERO = "the serial of a new certificate begins with a zero"
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
    COUPON = "a coupon pays a part of an order"
    CONSOLE_REFUND = "somebody refunds at WeChat's console"
    REFUND_UNHEARD = "somebody refunds at WeChat's console before the payment is heard of"
    REFUND_ABNORMAL = "a refund becomes abnormal, then succeeds"
    REFUND_CLOSED = "WeChat closes a refund"
    REFUND_NO_BALANCE = "WeChat refuses a refund for want of balance"
    REFUND_SLOW = "a refund takes days"
    RECEIVER_DOWN = "receiver of events is down for a while"
    RECEIVER_AFTER = "receiver's answer is lost"
    RECEIVER_AWAY = "the second receiver of events is down for days"
    PROCESS_STALLS = "work of a process in a thread takes half an hour"
    BILL_LATE = "bill is hours late"
    BILL_DENIED = "WeChat says that there is no bill while it is late"
    BILL_LINE_MISSING = "bill lacks a line until it is corrected"
    BILL_FOREIGN_LINE = "bill has a line of another system until it is corrected"
    BILL_SHARED = "another system sells under the same merchant number"
    BILL_OTHER_AMOUNT = "bill has another amount until it is corrected"
    BILL_CHANGED = "bill lacks a line when it is downloaded first"
    BILL_CUT = "download of a bill is cut off"
    BILL_WRONG_DIGEST = "bill is announced with a wrong digest"

    __hash__ = str.__hash__  # an Enum's own is a function in Python, and each call of the store asks for a few

    @property
    def option(self) -> str:
        """The fault's name on the command line."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def by_name(cls, name: str) -> Fault:
        """Return the fault by its name or its text. Raises ValueError."""
        for fault in cls:
            if name in (fault.option, fault.value):
                return fault
        raise ValueError(f"no such fault: {name}; there are {', '.join(fault.option for fault in cls)}")


OWN_STREAMS = frozenset(
    {
        Fault.STORE_HANGS, Fault.STORE_DOWN, Fault.PROCESS_GONE, Fault.WIRE_FORGED, Fault.WIRE_LATE, Fault.KEYS_ROTATED,
        Fault.TOKEN_REVOKED, Fault.TOKENS_DOWN, Fault.TOKENS_REFUSED, Fault.TOKENS_LOST, Fault.TOKENS_SLOW,
        Fault.REDIS_GONE, Fault.REDIS_SLOW, Fault.REDIS_EMPTY, Fault.REDIS_LOCK,
        Fault.NOTICE_LOST, Fault.NOTICE_SPLICED, Fault.NOTICE_FORGED,
        Fault.RECEIVER_AWAY, Fault.CREDENTIALS_REFUSED, Fault.SERIAL_ZERO, Fault.COUPON, Fault.REFUND_UNHEARD,
        Fault.BILL_SHARED,
    }
)  # fmt: skip
"""Faults whose rates are drawn from a stream of each, so that they do not change the rates of the others."""
OF_CALLS = frozenset(fault for fault in Fault if fault.name.startswith(("STORE_", "WIRE_")))
OF_EVERYBODY = frozenset(
    {
        Fault.KEYS_ROTATED, Fault.SERIAL_ZERO, Fault.TOKEN_REVOKED, Fault.TOKENS_DOWN, Fault.TOKENS_REFUSED,
        Fault.REDIS_GONE, Fault.REDIS_EMPTY,
    }
)  # fmt: skip
"""Faults that happen to every order and every process at once."""
OF_BILLS = tuple([fault for fault in Fault if fault.name.startswith("BILL_")])
RATES = {
    Fault.STORE_HANGS: 0.02,
    Fault.PROCESS_DIES: 0.0005,
    Fault.PROCESS_GONE: 0.2,
    Fault.CLOCK_LEAPS: 0.002,
    Fault.PROCESS_STALLS: 0.01,
    Fault.REDIS_SLOW: 0.02,
} | dict.fromkeys(OF_BILLS, 0.15)
"""The probability of each fault at its occasions, if it is not ``USUAL``."""
USUAL = 0.08
KINDS_OFF = 0.45
"""The average share of kinds that a seed does not have."""


class Occurrences:
    """The faults that have happened in a seed, and to whom. ``counted`` has the number of each.

    ``whom`` is an order or a process. ``moment`` increases with each fault, which gives them an order.
    """

    def __init__(self) -> None:
        self.counted: Counter[Fault] = Counter()
        self.moment = 0
        self.on_fault: Callable[[str, Fault], None] = lambda whom, fault: None
        self._latest: defaultdict[str, dict[Fault, int]] = defaultdict(dict)
        self._lasting: defaultdict[str, set[Fault]] = defaultdict(set)
        self._began: dict[str, int] = {}

    def begin(self, whom: str) -> None:
        """Start to count faults for ``whom``: an order that is being placed."""
        self._began[whom] = self.moment

    def beginning(self, whom: str) -> int:
        """Return the moment of ``begin``."""
        return self._began.get(whom, 0)

    def note(self, whom: str, fault: Fault, *, lasts: bool = False) -> None:
        """Record that ``fault`` happened to ``whom``; if it ``lasts``, until ``forget``."""
        self.moment += 1
        self.counted[fault] += 1
        self._latest[whom][fault] = self.moment
        if lasts:
            self._lasting[whom].add(fault)
        self.on_fault(whom, fault)

    def forget(self, whom: str) -> None:
        """End the lasting faults of ``whom``: a process was replaced."""
        self._lasting.pop(whom, None)

    def since(self, moment: int, whom: Collection[str]) -> set[Fault]:
        """Return the faults that happened to any of ``whom`` after ``moment``, or last."""
        found = {fault for each in whom for fault, at in self._latest[each].items() if at > moment}
        return found.union(*(self._lasting[each] for each in whom))


class Faults:
    """The faults of one seed, as they happen to ``whom``: an order, a process, or nobody in particular.

    ``of`` gives each a random stream of its own, so that one order less changes nothing for the others.
    """

    def __init__(self, chance: Chance, without: Collection[Fault] = ()) -> None:
        stream = chance.stream("faults")
        off = stream.uniform(0, 2 * KINDS_OFF)
        own = {fault: chance.stream(f"rate of {fault.name}") for fault in Fault if fault in OWN_STREAMS}
        self._rates = {fault: _draw_rate(fault, own.get(fault, stream), off) for fault in Fault}
        self._rates.update(dict.fromkeys(without, 0.0))
        self._chance = chance
        self._seed = self
        self._views: dict[str, Faults] = {}
        self._stopped = False
        self.occurrences = Occurrences()
        self._aim("", stream)

    def _aim(self, whom: str, stream: random.Random) -> None:
        self._whom = whom
        self._draw = stream.random

    def of(self, whom: str, stream: str = "") -> Faults:
        """Return the same faults, happening to ``whom``. ``stream`` distinguishes users of one name: processes of one
        slot."""
        name = stream or whom
        if name not in self._views:
            self._views[name] = copy(self)
            self._views[name]._aim(whom, self._chance.stream(f"faults of {name}"))
        return self._views[name]

    def stop(self) -> None:
        """End all faults."""
        self._seed._stopped = True

    @property
    def stopped(self) -> bool:
        """Whether all faults have ended."""
        return self._seed._stopped

    def has(self, fault: Fault) -> bool:
        """Whether the seed has this kind."""
        return self._rates[fault] > 0 and not self._seed._stopped

    def lasts(self, fault: Fault) -> bool:
        """Whether the seed has this kind, which then lasts all the time; counted like one that happens."""
        if self.has(fault):
            self.occurrences.note(self._whom, fault, lasts=True)
        return self.has(fault)

    def happens(self, fault: Fault) -> bool:
        """Whether the fault happens now; draws from the stream, and counts it."""
        if self._draw() >= self._rates[fault] or self._seed._stopped:
            return False
        self.occurrences.note(self._whom, fault)
        return True

    def comes(self, fault: Fault) -> bool:
        """Whether the fault happens at a future occasion. Drawn even for kinds that the seed lacks, so that later draws
        stay the same."""
        return self._draw() < self._rates[fault] and not self._seed._stopped

    def first(self, *kinds: Fault) -> Fault | None:
        """Return the first of ``kinds`` that happens now; None without any."""
        return next((fault for fault in kinds if self.happens(fault)), None)


def _draw_rate(fault: Fault, stream: random.Random, off: float) -> float:
    """Draw the probability at each occasion; 0 for a share ``off`` of the seeds. Faults of calls are rare in most seeds
    and frequent in a few: in the former, orders get far; in the latter, they meet every fault."""
    if stream.random() < off:
        return 0.0
    drawn = stream.random()
    return RATES.get(fault, USUAL) * (3 * 100 ** (drawn - 1) if fault in OF_CALLS else 0.2 + 2.8 * drawn)
