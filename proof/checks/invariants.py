"""Check the invariants after every write, and at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import pairwise

from proof.checks.leases import Leases
from proof.checks.rules import (
    CONSOLE,
    MOST_FAILED,
    MOST_LINES,
    MOST_PAYMENTS,
    MOST_REFUND_LINES,
    MOST_REFUNDS,
    MOST_WRITES,
    ORDER_MOVES,
    REFUND_MOVES,
    REFUNDS_APART,
)
from proof.checks.words import Words
from proof.people.acknowledged import Acknowledged
from proof.service.receiver import Receiver
from proof.wechat.merchant import MCHID, NOT_NOW_CODES, OPEN_CODES
from proof.wechat.payments import WeChat
from storage.documents import Document
from storage.memory.storage import MemoryDatabase
from storage.stores.all import DELIVERIES, NOTIFICATIONS, NUMBERS, ORDERS
from storage.stores.order_codec import ORDER
from wechat.domain.events import EventType
from wechat.domain.facts import RefundState
from wechat.domain.numbers import payment_number, refund_number
from wechat.domain.orders import Order, Prepay, TradeState, order_key

NOT_A_NO = frozenset({*NOT_NOW_CODES, *OPEN_CODES, "COMMUNICATION_FAIL", "NOT_ENOUGH"})
"""WeChat's answers to wrong credentials, to too many requests, to what it did not process, and while the balance is too
low: no decision on the refund."""
OF_A_PAYMENT, OF_A_REFUND, OF_OTHERS = 5, 4, 6
"""Different messages: about a payment, with other amounts, accounts and orders; about a refund, in each state, and
joined from pieces; and those about other orders that name this one."""
ENDED = frozenset({TradeState.SUCCESS, TradeState.PAID_LATE, TradeState.REFUND, TradeState.CLOSED})


class Broken(AssertionError):
    """An invariant does not hold. ``about`` is the order."""

    def __init__(self, what: str, about: str = "") -> None:
        super().__init__(f"{about}: {what}" if about else what)
        self.about = about


class Invariants:
    """Check each order when it is written. ``on_order`` is called before, with the process and the order."""

    def __init__(self, database: MemoryDatabase, world: WeChat, words: Words) -> None:
        self._database = database
        self._world = world
        self._words = words
        self._leases = Leases()
        self._written: dict[str, tuple[int, Order]] = {}
        self._offers: dict[str, tuple[Prepay | None, bool]] = {}
        self.broken: Broken | None = None
        self.checked = 0
        self.on_order: Callable[[str, Order], None] = lambda process, order: None

    def on_write(self, process: str, collection: str, identity: str) -> None:
        """Check a document that was written. Violations are kept in ``broken``: the process that wrote must not
        notice."""
        if collection not in (ORDERS, DELIVERIES) or self.broken:
            return
        document = self._database[collection].look_at(identity)
        if document is None:
            return
        is_order = collection == ORDERS
        found = self._check_order(process, document) if is_order else self._leases.on_delivery(document)
        for what in found:
            self.broken = self.broken or Broken(what, str(document["out_trade_no"]))

    def find_order(self, out_trade_no: str) -> Order | None:
        """Return an order as it is stored."""
        document = self._database[ORDERS].look_at(order_key(MCHID, out_trade_no))
        return None if document is None else ORDER.read(document)

    def _check_order(self, process: str, document: Document) -> Iterator[str]:
        self.checked += 1
        order = ORDER.read(document)
        self.on_order(process, order)
        yield from self._order_is_sound(order)
        yield from self._moved_by_the_rules(order, document)
        yield from self._kept_its_word(order)
        yield from self._leases.on_order(process, order)

    def _order_is_sound(self, order: Order) -> Iterator[str]:
        remote = self._world.orders.get(order.out_trade_no)
        if order.prepay and (remote is None or order.prepay.prepay_id != remote.prepay_id):
            yield f"its prepay_id {order.prepay.prepay_id} is not WeChat's"
        yield from self._payments_are_wechats(order)
        yield from _refunds_fit(order)
        yield from self._refunds_are_wechats(order)
        dates = [order.next_check_at, *(refund.next_check_at for refund in order.refunds)]
        if order.due_at != min((date for date in dates if date), default=None):
            yield "its date is not that of what comes next"
        if order.trade_state is TradeState.NOTPAY and order.next_check_at is None:
            yield "it is unpaid and nobody will look at it"
        for refund in order.refunds:
            if (refund.next_check_at is not None) is not refund.open:
                yield f"refund {refund.out_refund_no} is {refund.state} and its date {refund.next_check_at}"
        yield from _is_bounded(order)

    def _payments_are_wechats(self, order: Order) -> Iterator[str]:
        """Check that each payment was reported by WeChat, for this order, once."""
        if len({payment.transaction_id for payment in order.payments}) < len(order.payments):
            yield "a payment stands in it twice"
        for payment in order.payments:
            remote = self._world.payments.get(payment.transaction_id)
            if remote is None or (remote.number, remote.total) != (order.out_trade_no, payment.total):
                yield f"payment {payment.transaction_id} was never made"
            use = self._database[NUMBERS].look_at(payment_number(order.mchid, payment.transaction_id)) or {}
            if use.get("order") != order.key:
                yield f"payment {payment.transaction_id} is not reserved for it"
        if order.trade_state is TradeState.SUCCESS and order.paid_by_another:
            yield "its goods are released, and another payer has paid"
        if order.paid is not bool(order.payments):
            yield f"it is {order.trade_state} with {len(order.payments)} payments"

    def _refunds_are_wechats(self, order: Order) -> Iterator[str]:
        for refund in order.refunds:
            remote = self._world.refunds.get(refund.out_refund_no)
            if remote and remote.state != "CLOSED" and not refund.reserves:
                yield f"refund {refund.out_refund_no} is {refund.state}, and {remote.state} at WeChat"
            if refund.state == "SUCCESS" and (remote is None or remote.state != "SUCCESS"):
                yield f"refund {refund.out_refund_no} counts as made and is not"
            if refund.refusal in NOT_A_NO:
                yield f"refund {refund.out_refund_no} ended by {refund.refusal}, which says nothing of it"
            use = self._database[NUMBERS].look_at(refund_number(order.mchid, refund.out_refund_no)) or {}
            if use.get("order") != order.key:
                yield f"refund {refund.out_refund_no} is not reserved for it"

    def _kept_its_word(self, order: Order) -> Iterator[str]:
        """Check that an ended order is not offered to a payer again, and that a payment in time is not refunded
        automatically.

        An order that was closed while it was being placed is checked again, and closed at WeChat.
        """
        prepay, in_time = self._offers.get(order.key, (None, False))
        in_time = in_time or order.trade_state is TradeState.SUCCESS
        self._offers[order.key] = (order.prepay, in_time)
        closes_again = order.trade_state is TradeState.CLOSED and order.next_check_at is not None
        if order.prepay != prepay and order.trade_state is not TradeState.NOTPAY and not closes_again:
            yield f"it is {order.trade_state} and was offered again"
        for refund in order.refunds:
            if in_time and refund.by == "policy" and not refund.surplus:
                yield f"it was paid in time, and {refund.out_refund_no} gives it back"

    def _moved_by_the_rules(self, order: Order, document: Mapping[str, object]) -> Iterator[str]:
        rev = int(str(document["rev"]))
        last = self._written.get(order.key)
        self._written[order.key] = (rev, order)
        released = order.trade_state is TradeState.SUCCESS and (
            last is None or last[1].trade_state is not order.trade_state
        )
        if released and not self._words.allow_goods(order.transaction_id):
            yield "its goods are released, and WeChat has not said that its money is there"
        writes = document["writes"]
        if not isinstance(writes, list) or len(writes) > MOST_WRITES:
            yield "it keeps too many writes"
        if last is None or rev == last[0]:
            return  # its insert, or a repeated one
        if rev != last[0] + 1:
            yield f"revision {last[0]} was followed by {rev}"
        before = last[1]
        if order.trade_state not in (before.trade_state, *ORDER_MOVES[before.trade_state]):
            yield f"it moved from {before.trade_state} to {order.trade_state}"
        for refund in order.refunds:
            was = before.refund_of(refund.out_refund_no)
            if was and refund.state not in (was.state, *REFUND_MOVES[was.state]):
                yield f"refund {refund.out_refund_no} moved from {was.state} to {refund.state}"


def _is_bounded(order: Order) -> Iterator[str]:
    """Check the number of lines, payments and refunds."""
    if len(order.timeline) > MOST_LINES or len(order.payments) > MOST_PAYMENTS:
        yield "it is not bounded"
    if sum(not refund.reserves for refund in order.refunds) > MOST_FAILED + MOST_REFUNDS:
        yield "its failed refunds are not bounded"
    for refund in order.refunds:
        if len(refund.timeline) > MOST_REFUND_LINES:
            yield f"the timeline of refund {refund.out_refund_no} is not bounded"


def _refunds_fit(order: Order) -> Iterator[str]:
    """Check that no more than each payment is refunded, and that refunds are a minute apart."""
    reserved: Counter[str] = Counter()
    for refund in order.refunds:
        if refund.reserves:
            reserved[refund.transaction_id] += refund.refund
    paid = {payment.transaction_id: payment.total for payment in order.payments}
    for transaction, amount in reserved.items():
        if amount > paid.get(transaction, 0):
            yield f"{amount} of {paid.get(transaction, 0)} is reserved of {transaction}"
    ours = [refund for refund in order.refunds if refund.by != CONSOLE]
    own = [entry.at for refund in ours for entry in refund.timeline if entry.what == "sent"]
    moments = sorted(own)
    if any(later - earlier < REFUNDS_APART for earlier, later in pairwise(moments)):
        yield "two refunds were sent less than a minute apart"


def check_end(
    database: MemoryDatabase,
    world: WeChat,
    acknowledged: Acknowledged,
    receivers: Sequence[Receiver],
    released: Set[str],
) -> Iterator[Broken]:
    """Yield the violations once all work has ended. ``released``: the orders that have been in SUCCESS."""
    orders = {order.out_trade_no: order for order in map(ORDER.read, database[ORDERS].look_at_all())}
    for order in orders.values():
        yield from (Broken(what, order.out_trade_no) for what in _check_end_of_order(order, world))
    for number, remote in world.orders.items():
        if number not in orders:
            yield Broken("WeChat has an order that was never stored", number)
        elif remote.payments and not orders[number].paid:
            yield Broken(f"is paid at WeChat and {orders[number].trade_state} here", number)
        elif orders[number].trade_state is TradeState.CLOSED and not remote.closed:
            yield Broken("is closed here and can still be paid at WeChat", number)
    yield from _promises_are_kept(orders, acknowledged)
    for transaction, out_refund_no in world.overdrawn.items():
        yield Broken(
            f"{out_refund_no} asked for more than is left of {transaction}", world.payments[transaction].number
        )
    yield from _messages_are_bounded(database, world)
    for receiver in receivers:
        yield from _check_events(orders, database, receiver, acknowledged.resent)
        yield from _goods_are_released_once(orders, receiver, released)


def _promises_are_kept(orders: Mapping[str, Order], acknowledged: Acknowledged) -> Iterator[Broken]:
    """Check that acknowledged payments and refunds are stored, and that a repeated request was carried out once."""
    for payment in acknowledged.payments:
        held = orders[payment.number].payments
        if payment.transaction_id not in [each.transaction_id for each in held]:
            yield Broken(f"payment {payment.transaction_id} was acknowledged and is lost", payment.number)
    numbers = {refund.out_refund_no: refund for order in orders.values() for refund in order.refunds}
    for key, (number, amount) in acknowledged.requested.items():
        if number not in numbers or numbers[number].refund != amount:
            yield Broken(f"refund {number} ({key}) was accepted and is lost")
    for order in orders.values():
        own = sum(refund.by == "shop" for refund in order.refunds)
        if own > acknowledged.keys[order.out_trade_no]:
            yield Broken(f"{own} refunds for {acknowledged.keys[order.out_trade_no]} keys", order.out_trade_no)


def _messages_are_bounded(database: MemoryDatabase, world: WeChat) -> Iterator[Broken]:
    """Check that a message that arrives again is stored once."""
    stored = Counter(document.get("out_trade_no", "") for document in database[NOTIFICATIONS].look_at_all())
    for number, order in world.orders.items():
        refunds = sum(refund.number == number and not refund.by_console for refund in world.refunds.values())
        most = len(order.payments) * OF_A_PAYMENT + refunds * OF_A_REFUND + OF_OTHERS
        if stored[number] > most:
            yield Broken(f"has {stored[number]} notifications, and WeChat sent {most} at most", number)


def _check_end_of_order(order: Order, world: WeChat) -> Iterator[str]:
    if order.trade_state not in ENDED:
        yield f"is still {order.trade_state}"
    if order.due_at is not None or order.check_lease:
        yield f"is still due at {order.due_at}"
    if order.outbox:
        yield "has events that were not handed out"
    for refund in order.refunds:
        if refund.open or refund.lease:
            yield f"refund {refund.out_refund_no} is still {refund.state}"
        remote = world.refunds.get(refund.out_refund_no)
        if remote and refund.state != remote.state:
            yield f"refund {refund.out_refund_no} is {refund.state} here and {remote.state} at WeChat"


def _expected_events(order: Order) -> set[str]:
    """Return the events that receivers must have about an order and its refunds, at least."""
    expected = {_REFUND_EVENTS[refund.state] for refund in order.refunds if refund.state in _REFUND_EVENTS}
    if order.trade_state is TradeState.SUCCESS:
        expected.add(EventType.ORDER_PAID)
    if order.trade_state is TradeState.PAID_LATE:
        expected.add(EventType.ORDER_PAID_LATE)
    if order.trade_state is TradeState.CLOSED:
        expected.add(EventType.ORDER_CLOSED)
    return {kind.value for kind in expected}


def _goods_are_released_once(orders: Mapping[str, Order], receiver: Receiver, released: Set[str]) -> Iterator[Broken]:
    """Check that the receiver of an order's events is told once to release its goods, or never."""
    for number, order in orders.items():
        told = sum(event.type == EventType.ORDER_PAID for event in receiver.arrivals(number))
        if told != (number in released):
            yield Broken(f"is {order.trade_state}, and {receiver.name} was told {told} times that it is paid", number)


_REFUND_EVENTS = {
    RefundState.SUCCESS: EventType.REFUND_SUCCEEDED,
    RefundState.CLOSED: EventType.REFUND_FAILED,
    RefundState.REFUSED: EventType.REFUND_FAILED,
}


def _check_events(
    orders: Mapping[str, Order], database: MemoryDatabase, receiver: Receiver, resent: Set[str]
) -> Iterator[Broken]:
    """Check that each event of each order arrived once, and in order except for those ``resent`` by hand."""
    deliveries = database[DELIVERIES].look_at_all()
    own = [document for document in deliveries if document["target"] == receiver.name]
    places = {document["event_id"]: document["sequence"] for document in own}
    stored = Counter(document["out_trade_no"] for document in own)
    for order in orders.values():
        arrived = receiver.arrivals(order.out_trade_no)
        sequences = [places.get(event.id) for event in arrived]
        in_order = [places.get(event.id) for event in arrived if event.id not in resent]
        complete = Counter(sequences) == Counter(range(1, order.sequence + 1))
        if not complete or any(place <= before for before, place in pairwise(in_order) if place and before):
            yield Broken(f"its events came to {receiver.name} as {sequences} of {order.sequence}", order.out_trade_no)
        if stored[order.out_trade_no] != order.sequence:
            yield Broken(f"has {stored[order.out_trade_no]} deliveries of {order.sequence} events", order.out_trade_no)
        if missed := _expected_events(order) - {event.type for event in arrived}:
            yield Broken(f"{receiver.name} was not told of {', '.join(sorted(missed))}", order.out_trade_no)
    pending = [document["_id"] for document in deliveries if document["state"] == "pending"]
    if pending:
        yield Broken(f"{len(pending)} deliveries are still pending")
