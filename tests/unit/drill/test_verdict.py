"""The drill's verdict is worth something only if it can be bad: each thing that goes wrong is seen, and named."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from drill.plan import Anomaly, PlannedOrder, customers
from drill.receiver import Receiver
from drill.scene import DayRecord
from drill.verdict import Seen, lines

PAID, TWICE, LEFT = "day-paid", "day-twice", "day-left"
NEW_SERIAL, TILL = "0A1B", "TILL-1"
BACK, SURPLUS, CONSOLE = "back-0", "twice-tx", "console-1"


def timeline(*what: str) -> list[dict[str, str]]:
    return [{"what": each, "source": "notify"} for each in what]


def order(state: str, transaction_id: str | None, *what: str) -> dict[str, Any]:
    return {"trade_state": state, "transaction_id": transaction_id, "timeline": timeline(*what)}


def true_order(transaction_id: str | None, surplus: tuple[str, ...] = ()) -> dict[str, Any]:
    paid_at = "2026-11-25T09:00:00+08:00" if transaction_id else None
    told = [{"right": True, "serial_no": NEW_SERIAL}] if transaction_id else []
    return {
        "paid_at": paid_at,
        "transaction_id": transaction_id,
        "surplus": list(surplus),
        "total": 1000,
        "attempts": told,
    }


def refund(number: str, out_trade_no: str) -> dict[str, Any]:
    return {"out_refund_no": number, "out_trade_no": out_trade_no, "state": "SUCCESS", "timeline": timeline("success")}


def kept(number: str, *reasons: str, sends: int = 2) -> dict[str, Any]:
    """A refund that was sent ``sends`` times; WeChat gave ``reasons`` for not taking it, none where a call timed out."""
    waited = [{"what": "not_now", "source": "answer", "by": reason} for reason in reasons]
    return refund(number, PAID) | {"sends": sends, "timeline": [*waited, *timeline("success")]}


def true_refund(out_trade_no: str, transaction_id: str, amount: int, api: str = "v3") -> dict[str, Any]:
    known = {"out_trade_no": out_trade_no, "transaction_id": transaction_id}
    return known | {"refund": amount, "state": "SUCCESS", "api": api}


def difference(kind: str, number: str, status: str = "open") -> dict[str, Any]:
    entry = {"out_refund_no": number} if kind.startswith("refund") else {"out_trade_no": number}
    return {"kind": kind, "wechat": entry, "ours": None, "status": status}


class Evening:
    """A small day on which all went well: one order refunded in part, one paid twice, one left unpaid."""

    def __init__(self) -> None:
        people = [
            PlannedOrder(PAID, "v3", "JSAPI", 1000, "success", None),
            PlannedOrder(TWICE, "v2", "JSAPI", 1000, "success", Anomaly.TWICE),
            PlannedOrder(LEFT, "v2", "JSAPI", 1000, "cancel", None),
        ]
        self.record = DayRecord(people, date(2026, 11, 25))
        self.record.new_serial, self.record.serials = NEW_SERIAL, [f"keys {NEW_SERIAL}", f"keys {NEW_SERIAL}"]
        self.record.till = [TILL]
        self.sums = {"payments": 4, "received": 4000, "refunds": 3, "refunded": 1600, "fee": 8, "net": 1392}
        self.sums |= {"settled": 3000, "settled_refunded": 1600}
        self.record.ledgers = {
            PAID: {"received": 1000, "refunded": 600},
            TWICE: {"received": 2000, "refunded": 1000},
        }
        self.record.ledger = dict(self.sums) | {"debit": 4608, "credit": 4608}
        self.record.repaired = {"ours": {"payments": 2, "received": 2000, "refunds": 3, "refunded": 1600}}
        genuine = [difference("double_payment", TWICE), difference("refund_missing_here", CONSOLE)]
        self.record.differences = genuine
        self.record.planted = {("amount", PAID)}
        self.record.practice = [*genuine, difference("amount", PAID)]
        self.record.last = [each | {"status": "repaired"} for each in genuine] + [difference("amount", PAID, "gone")]
        self.orders = {
            PAID: order("REFUND", "tx", "paid", "refund"),
            TWICE: order("SUCCESS", "tx1", "paid"),
            LEFT: order("CLOSED", None, "closed"),
        }
        self.refunds = {BACK: refund(BACK, PAID), SURPLUS: refund(SURPLUS, TWICE), CONSOLE: refund(CONSOLE, PAID)}
        self.true_orders = {PAID: true_order("tx"), TWICE: true_order("tx1", ("tx2",)), LEFT: true_order(None)}
        self.true_orders[TILL] = true_order("tx3") | {"attempts": []}
        self.true_refunds = {
            BACK: true_refund(PAID, "tx", 500),
            SURPLUS: true_refund(TWICE, "tx2", 1000),
            CONSOLE: true_refund(PAID, "tx", 100, "console"),
        }
        self.receiver = Receiver(random.Random(1))
        self.tell(PAID, "order.paid", "refund.succeeded", "refund.succeeded")
        self.tell(TWICE, "order.paid", "refund.succeeded")
        self.tell(LEFT, "order.closed")

    def tell(self, number: str, *what: str) -> None:
        for each in what:
            event = {"type": each, "data": {"out_trade_no": number}}
            self.receiver.events[str(len(self.receiver.events))] = event

    def wrong(self) -> set[str]:
        """The lines that are not as they must be."""
        seen = Seen(self.orders, self.refunds, self.true_orders, self.true_refunds, self.sums)
        return {line.en for line in lines(self.record, seen, self.receiver) if not line.right}


def test_a_day_on_which_all_went_well_is_right() -> None:
    assert Evening().wrong() == set()


def change(evening: Evening, path: str, value: object) -> None:
    """Set ``orders.day-paid.trade_state``, say."""
    first, *rest = path.split(".")
    target: Any = getattr(evening, first)
    for step in rest[:-1]:
        target = target[step]
    if isinstance(target, DayRecord):
        setattr(target, rest[-1], value)
    else:
        target[rest[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("orders.day-paid.trade_state", "NOTPAY", "of these paid here, with the same transaction"),
        ("orders.day-paid.transaction_id", "tx9", "of these paid here, with the same transaction"),
        ("orders.day-left.trade_state", "SUCCESS", "counted as paid without a payment"),
        ("orders.day-left.trade_state", "NOTPAY", "unpaid and closed"),
        ("true_orders.day-paid.paid_at", None, "orders paid at WeChat"),
        ("refunds.back-0.state", "PROCESSING", "refunds in the same state as at WeChat"),
        ("refunds.new-0", refund("new-0", PAID), "refunds that WeChat does not have"),
        ("true_refunds.back-0.refund", 901, "payments refunded beyond their amount"),
        ("true_refunds.twice-tx.state", "CLOSED", "exceptional payments refunded in full"),
        ("sums.fee", 9, "ledger: fee"),
        ("record.ledgers", {PAID: {"received": 1000, "refunded": 500}}, "ledgers of single orders correct"),
        ("sums.net", 1391, "ledger: net"),
        ("sums.received", 2999, "this system: received"),
        ("sums.refunded", 1599, "this system: refunded"),
    ],
)
def test_what_differs_from_the_truth_is_named(path: str, value: object, line: str) -> None:
    evening = Evening()
    change(evening, path, copy.deepcopy(value))
    assert line in evening.wrong()


WRONGS: dict[str, tuple[Callable[[Evening], object], str]] = {
    "a service does not know the new certificate": (
        lambda day: day.record.serials.pop(),
        "processes with the new certificate, serial number 0…",
    ),
    "nothing came under the new certificate": (
        lambda day: [told["attempts"].clear() for told in day.true_orders.values()],
        "notifications signed with the new certificate accepted",
    ),
    "a till's sale was told as a difference": (
        lambda day: day.record.differences.append(difference("unknown_number", TILL)),
        "false differences",
    ),
    "an event got lost": (lambda day: day.receiver.events.popitem(), "events delivered, once each"),
    "an event came twice": (lambda day: day.tell(PAID, "order.paid"), "surplus events"),
    "a refund was told before its payment": (
        lambda day: day.receiver.events.update({k: day.receiver.events[v] for k, v in (("0", "1"), ("1", "0"))}),
        "orders whose events arrived in order",
    ),
    "a difference was missed": (lambda day: day.record.differences.pop(), "real differences found"),
    "a difference was invented": (
        lambda day: day.record.differences.append(difference("amount", PAID)),
        "false differences",
    ),
    "a planted one was missed": (lambda day: day.record.practice.pop(), "injected differences found"),
    "one was invented in practice": (
        lambda day: day.record.practice.append(difference("state", PAID)),
        "other false differences",
    ),
    "one was not repaired": (
        lambda day: day.record.last.__setitem__(0, difference("double_payment", TWICE)),
        "real differences repaired",
    ),
    "one stayed when the bill was true again": (
        lambda day: day.record.last.__setitem__(2, difference("amount", PAID)),
        "differences cleared after the bill was restored",
    ),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_what_went_wrong_is_named(wrong: str) -> None:
    spoil, line = WRONGS[wrong]
    evening = Evening()
    spoil(evening)
    assert line in evening.wrong()


CREDENTIALS = "refunds while credentials were refused, then accepted under the same number"
WITHOUT_ANSWER, REFUSED = "paid-1", "paid-2"


def day_of_bad_credentials() -> Evening:
    """Two refunds were asked for while credentials were refused; the call of the first one timed out."""
    evening = Evening()
    evening.record.untrusted = [WITHOUT_ANSWER, REFUSED]
    evening.refunds |= {WITHOUT_ANSWER: kept(WITHOUT_ANSWER), REFUSED: kept(REFUSED, "NO_AUTH", "NO_AUTH")}
    evening.true_refunds |= {number: true_refund(PAID, "tx", 100) for number in evening.record.untrusted}
    return evening


def test_a_refund_whose_call_timed_out_counts_as_kept() -> None:
    assert CREDENTIALS not in day_of_bad_credentials().wrong()


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (WITHOUT_ANSWER, kept(WITHOUT_ANSWER, sends=1)),
        (REFUSED, kept(REFUSED, "NOT_ENOUGH")),
        (REFUSED, kept(REFUSED)),
    ],
    ids=["never refused", "another reason", "no reason at all"],
)
def test_a_refund_that_was_not_kept_for_the_credentials_is_seen(number: str, found: dict[str, Any]) -> None:
    evening = day_of_bad_credentials()
    evening.refunds[number] = found
    assert CREDENTIALS in evening.wrong()


def test_a_refund_that_was_lost_while_credentials_were_refused_is_seen() -> None:
    evening = day_of_bad_credentials()
    del evening.true_refunds[REFUSED]
    assert CREDENTIALS in evening.wrong()


@pytest.mark.parametrize("reason", ["NOT_ENOUGH", "NO_AUTH"])
def test_a_refund_without_balance_is_kept_for_that_reason(reason: str) -> None:
    evening = Evening()
    evening.record.poor = [REFUSED]
    evening.refunds[REFUSED] = kept(REFUSED, reason)
    evening.true_refunds[REFUSED] = true_refund(PAID, "tx", 100)
    line = "refunds with too little balance, then accepted under the same number"
    assert (line in evening.wrong()) is (reason != "NOT_ENOUGH")


def test_a_day_can_be_dealt_out_again_and_holds_every_oddity() -> None:
    day = customers(200, random.Random(7))
    assert day == customers(200, random.Random(7))
    assert day != customers(200, random.Random(8))
    assert {customer.odd for customer in day} == {None, *Anomaly}
    assert len({customer.number for customer in day}) == 200
