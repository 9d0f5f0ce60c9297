"""Record which transitions of orders were written while which faults were present.

A fault counts for a write of an order when, since the order's previous move (for the first write: since its placing
began), it happened to the order (its payer, its notifications, its refunds at WeChat, the deliveries of its events), to
the process that wrote now, or to the process that wrote before; or when it lasts at one of these processes, as a wrong
clock does. A write that only takes or returns a lease, or sets a date, does not move an order: it lies between a fault
and its consequence. Faults of other orders, or of processes without a part in the write, do not count.

Pairs that cannot happen, by the rules of ``NEVER``, are not counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from proof.faults import OF_BILLS, OF_EVERYBODY, Fault, Occurrences
from wechat.domain.facts import RefundState
from wechat.domain.orders import TRANSITIONS, Order, Refund, TradeState
from wechat.domain.refunds import REFUND_TRANSITIONS

FAULTS = [fault for fault in Fault if fault not in OF_EVERYBODY and (fault not in OF_BILLS or fault is Fault.BILL_CUT)]
"""Faults of an order or a process; the others are faults of a bill, or happen to everybody."""
PLACED, PREPAID, PAID, PAID_AGAIN = "placed", "prepay kept", "payment recorded", "further payment recorded"
CHECK_TAKEN, CHECK_ENDED, CLOSE_PLANNED = "check leased", "check ended", "close put off"
STAGED, HANDED_OUT = "event staged", "event handed out"
RESERVED, REFUND_TAKEN, SENT = "refund reserved", "refund leased", "refund sent"
DROPPED = "failed refund dropped"


def _order_moves(table: Mapping[TradeState, Iterable[TradeState]]) -> list[str]:
    return [f"{before} → {after}" for before in table for after in sorted(table[before])]


def _refund_moves(table: Mapping[RefundState, Iterable[RefundState]]) -> list[str]:
    return [f"refund {before} → {after}" for before in table for after in sorted(table[before])]


LEASES = frozenset({CHECK_TAKEN, CHECK_ENDED, REFUND_TAKEN})
"""Transitions that do not move an order."""

KNOWN = (
    PLACED, PREPAID, CHECK_TAKEN, CHECK_ENDED, CLOSE_PLANNED, PAID, PAID_AGAIN, *_order_moves(TRANSITIONS),
    STAGED, HANDED_OUT, RESERVED, REFUND_TAKEN, SENT, *_refund_moves(REFUND_TRANSITIONS), DROPPED,
)  # fmt: skip
"""All transitions."""

UNPAID = (
    PREPAID, CLOSE_PLANNED, PAID, "NOTPAY → CLOSED", "NOTPAY → PAID_LATE", "NOTPAY → SUCCESS", "CLOSED → PAID_LATE",
)  # fmt: skip
"""Transitions of an order without a recorded payment; ``PAID`` records the first."""
OPEN = tuple([each for each in UNPAID if each == CLOSE_PLANNED or each.startswith("NOTPAY")])
"""Transitions of an order in NOTPAY."""
AFTER_PAYMENT = (
    PAID_AGAIN, "SUCCESS → REFUND", "PAID_LATE → REFUND", RESERVED, REFUND_TAKEN, SENT,
    *_refund_moves(REFUND_TRANSITIONS),
)  # fmt: skip
"""Transitions of an order whose payment was recorded by an earlier write."""
PAYERS = (Fault.PAID_TWICE, Fault.PAID_AFTER_CLOSE, Fault.PAID_BY_ANOTHER, Fault.COUPON, Fault.REFUND_UNHEARD)
NOTICES = (Fault.NOTICE_LOST, Fault.NOTICE_SPLICED, Fault.NOTICE_FORGED)
RECEIVERS = (Fault.RECEIVER_DOWN, Fault.RECEIVER_AFTER, Fault.RECEIVER_AWAY)
OF_ORDERS = (
    *PAYERS, *NOTICES, *RECEIVERS, *[fault for fault in FAULTS if fault.name.startswith("NOTIFY_")],
    Fault.CONSOLE_REFUND, Fault.REFUND_ABNORMAL, Fault.REFUND_CLOSED, Fault.REFUND_SLOW,
)  # fmt: skip
"""Faults that happen to an order; the other ones happen to a process."""

NEVER: tuple[tuple[Collection[str], Collection[Fault]], ...] = (
    # An order is stored before WeChat, a payer or a receiver knows of it.
    ([PLACED], OF_ORDERS),
    # WeChat reports refunds that this service sent, which follow a recorded payment.
    (UNPAID, NOTICES),
    # Only a message that was acknowledged comes again hours later, so its payment is recorded.
    (UNPAID, [Fault.NOTIFY_STALE]),
    # The first event of an order is about leaving NOTPAY.
    (OPEN, RECEIVERS),
    # These happen when the payer pays. Recording the payment moves the order, so they do not reach a later write.
    (AFTER_PAYMENT, PAYERS),
    # The payment of another payer is PAID_LATE.
    (["NOTPAY → SUCCESS"], [Fault.PAID_BY_ANOTHER]),
    # An order keeps fifty failed refunds, and has at most nine refunds here.
    ([DROPPED], FAULTS),
)
"""Pairs that cannot happen: each of the transitions with each of the faults."""
_NEVER = frozenset([(transition, fault) for moves, faults in NEVER for transition in moves for fault in faults])


def transitions(before: Order | None, after: Order) -> list[str]:
    """Return the transitions of a write, in words of ``KNOWN``."""
    return [PLACED] if before is None else [*_of_order(before, after), *_of_refunds(before, after)]


def _of_order(before: Order, after: Order) -> Iterator[str]:
    if after.trade_state is not before.trade_state:
        yield f"{before.trade_state} → {after.trade_state}"
    if after.prepay and after.prepay != before.prepay:
        yield PREPAID
    if len(after.payments) > len(before.payments):
        yield PAID_AGAIN if before.payments else PAID
    if after.check_lease and after.check_lease != before.check_lease:
        yield CHECK_TAKEN
    if before.check_lease and not after.check_lease:
        yield CHECK_ENDED
    if after.close_after != before.close_after:
        yield CLOSE_PLANNED
    if after.sequence > before.sequence:
        yield STAGED
    if {event.id for event in before.outbox} - {event.id for event in after.outbox}:
        yield HANDED_OUT


def _of_refunds(before: Order, after: Order) -> Iterator[str]:
    earlier = {refund.out_refund_no: refund for refund in before.refunds}
    for refund in after.refunds:
        was = earlier.pop(refund.out_refund_no, None)
        yield from [RESERVED] if was is None else _of_refund(was, refund)
    if earlier:
        yield DROPPED


def _of_refund(before: Refund, after: Refund) -> Iterator[str]:
    if after.state is not before.state:
        yield f"refund {before.state} → {after.state}"
    if after.lease and after.lease != before.lease:
        yield REFUND_TAKEN
    if after.sends > before.sends:
        yield SENT


@dataclass(frozen=True, slots=True)
class _Write:
    """The latest write of an order: its result and its process; ``moment`` is that of the latest write that moved the
    order."""

    order: Order
    process: str
    moment: int


class Coverage:
    """The coverage of one seed. ``reached`` holds the faults of each transition, a bit for each in the order of
    ``Fault``."""

    def __init__(self, occurrences: Occurrences) -> None:
        self._occurrences = occurrences
        self._writes: dict[str, _Write] = {}
        self.reached: dict[str, int] = {}

    def on_write(self, process: str, order: Order) -> list[str]:
        """Record that ``process`` has written ``order``; return the transitions."""
        last = self._writes.get(order.key)
        changed = transitions(last.order if last else None, order)
        whom = [order.out_trade_no, process, *([last.process] if last and last.process != process else [])]
        since = last.moment if last else self._occurrences.beginning(order.out_trade_no)
        bits = sum(1 << _PLACES[fault] for fault in self._occurrences.since(since, whom))
        for transition in changed:
            self.reached[transition] = self.reached.get(transition, 0) | bits
        moved = not LEASES.issuperset(changed)
        self._writes[order.key] = _Write(order, process, self._occurrences.moment if moved else since)
        return changed


_PLACES = {fault: place for place, fault in enumerate(FAULTS)}


def merge(total: dict[str, int], reached: Mapping[str, int]) -> None:
    """Add the coverage of another seed to ``total``."""
    for transition, bits in reached.items():
        total[transition] = total.get(transition, 0) | bits


def list_missing(reached: Mapping[str, int]) -> dict[str, list[Fault]]:
    """Return for each transition the faults that can happen about it, and that no seed had with it."""
    return {
        transition: [
            fault
            for fault in FAULTS
            if (transition, fault) not in _NEVER and not reached.get(transition, 0) >> _PLACES[fault] & 1
        ]
        for transition in KNOWN
    }


def list_contradictions(reached: Mapping[str, int]) -> list[tuple[str, Fault]]:
    """Return the pairs that were reached, though ``NEVER`` has them."""
    return [pair for pair in sorted(_NEVER) if reached.get(pair[0], 0) >> _PLACES[pair[1]] & 1]


def count_pairs(reached: Mapping[str, int]) -> tuple[int, int]:
    """Return the number of pairs that were reached, and of those that can happen."""
    of = len(KNOWN) * len(FAULTS) - len(_NEVER)
    return of - sum(map(len, list_missing(reached).values())), of
