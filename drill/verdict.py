"""The day's verdict: what the service reports beside the actual data of the simulator, line by line, to the fen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from drill.plan import UNPAID
from drill.receiver import Receiver
from drill.scene import DayRecord
from drill.stack import SERVICES
from wechat.domain.orders import PAID_STATES
from wechat.domain.payments import REFUNDED_ELSEWHERE
from wechat.domain.refunds import NOT_NOW

Facts = Mapping[str, Mapping[str, Any]]
PAID = frozenset(state.value for state in PAID_STATES)
MONEY = ("payments", "received", "settled", "refunds", "refunded", "settled_refunded", "fee", "net")
CREDENTIALS, BALANCE = ("NO_AUTH", "CERT_ERROR"), ("NOT_ENOUGH",)
ORDER_EVENTS = ("order.paid", "order.paid_late", "order.closed")


@dataclass(frozen=True, slots=True)
class Line:
    """A requirement: ``wanted`` and what was found."""

    zh: str
    en: str
    wanted: object
    found: object

    @property
    def right(self) -> bool:
        return self.wanted == self.found


@dataclass(frozen=True, slots=True)
class Seen:
    """Both sides at the end of the drill: our data and the simulator's, by number."""

    orders: Facts
    refunds: Facts
    true_orders: Facts
    true_refunds: Facts
    true_sums: Mapping[str, Any]


def lines(record: DayRecord, seen: Seen, receiver: Receiver) -> list[Line]:
    """Return the whole verdict."""
    return [
        *_orders(record, seen),
        *_credentials(record, seen),
        *_refunds(record, seen),
        *_events(seen, receiver),
        *_books(record, seen),
        *_differences(record, seen),
    ]


def _orders(record: DayRecord, seen: Seen) -> list[Line]:
    planned = {customer.number: customer for customer in record.planned}
    paid = {number for number in planned if seen.true_orders[number]["paid_at"]}
    ours = {number for number in planned if seen.orders[number]["trade_state"] in PAID}
    unpaid = planned.keys() - paid
    same = sum(seen.orders[n]["transaction_id"] == seen.true_orders[n]["transaction_id"] for n in paid & ours)
    closed = sum(seen.orders[number]["trade_state"] == "CLOSED" for number in unpaid)
    wanted = sum(c.scenario not in UNPAID for c in record.planned)
    return [
        Line("在微信支付已支付的订单", "orders paid at WeChat", wanted, len(paid)),
        Line("其中系统已支付，且为同一笔交易", "of these paid here, with the same transaction", len(paid), same),
        Line("未支付却记为已支付的订单", "counted as paid without a payment", 0, len(ours - paid)),
        Line("未支付且已关闭", "unpaid and closed", len(unpaid), closed),
    ]


def _credentials(record: DayRecord, seen: Seen) -> list[Line]:
    """Check the time in which WeChat Pay refused our credentials, and the replacement of its own certificate."""
    attempts = [attempt for order in seen.true_orders.values() for attempt in order["attempts"]]
    by_new = any(attempt["right"] and attempt["serial_no"] == record.new_serial for attempt in attempts)
    return [
        Line(
            "凭据被拒期间的订单，之后用原单号下单并支付",
            "orders while credentials were refused, then placed under the same number and paid",
            len(record.late),
            record.late_then_placed,
        ),
        Line(
            "凭据被拒期间的退款，之后用原单号受理",
            "refunds while credentials were refused, then accepted under the same number",
            len(record.untrusted),
            _count_kept(seen, record.untrusted, CREDENTIALS),
        ),
        Line(
            "已使用新证书（序列号以 0 开头）的进程",
            "processes with the new certificate, serial number 0…",
            SERVICES,
            sum(record.new_serial in serials for serials in record.serials),
        ),
        Line("新证书签名的通知已接受", "notifications signed with the new certificate accepted", True, by_new),
    ]


def _refunds(record: DayRecord, seen: Seen) -> list[Line]:
    ours = {number: refund["state"] for number, refund in seen.refunds.items() if refund["state"] != "REFUSED"}
    remote = {number: refund["state"] for number, refund in seen.true_refunds.items()}
    back = Counter[str]()
    for refund in seen.true_refunds.values():
        back[refund["transaction_id"]] += refund["refund"] if refund["state"] != "CLOSED" else 0
    totals = {tx: order["total"] for order in seen.true_orders.values() for tx in _transactions(order)}
    odd = [customer.number for customer in record.planned if customer.odd]
    returned = sum(back[_odd_payment(seen.true_orders[number])] == seen.true_orders[number]["total"] for number in odd)
    return [
        Line("异常支付已全额退款", "exceptional payments refunded in full", len(odd), returned),
        Line(
            "退款状态与微信支付一致",
            "refunds in the same state as at WeChat",
            len(remote),
            sum(ours.get(n) == s for n, s in remote.items()),
        ),
        Line("微信支付没有的退款", "refunds that WeChat does not have", 0, len(ours.keys() - remote.keys())),
        Line(
            "退款超过支付金额的交易",
            "payments refunded beyond their amount",
            0,
            sum(back[tx] > totals[tx] for tx in back),
        ),
        Line("超出可退金额的退款被拒绝", "refunds of too much refused", record.too_much, record.too_much_refused),
        Line(
            "同一幂等键重复申请，只退一笔",
            "requested twice with one idempotency key, refunded once",
            record.repeated,
            record.repeated_as_one,
        ),
        Line(
            "余额不足，充值后用原单号受理",
            "refunds with too little balance, then accepted under the same number",
            len(record.poor),
            _count_kept(seen, record.poor, BALANCE),
        ),
    ]


def _count_kept(seen: Seen, numbers: Iterable[str], reasons: Collection[str]) -> int:
    """Count the refunds that were sent again for one of ``reasons``, and that WeChat Pay has under the same number.

    A call that timed out got no reason, and its refund counts nevertheless; but at least one refund must have a reason.
    """
    again = [seen.refunds[n] for n in numbers if n in seen.refunds and n in seen.true_refunds]
    given = [_reasons(refund) for refund in again if refund["sends"] > 1]
    fitting = [not codes.isdisjoint(reasons) for codes in given if codes]
    return len(given) - fitting.count(False) if any(fitting) else 0


def _reasons(refund: Mapping[str, Any]) -> set[str]:
    """Return WeChat Pay's codes for not deciding on the refund."""
    return {line["by"] for line in refund["timeline"] if line["what"] == NOT_NOW}


def _events(seen: Seen, receiver: Receiver) -> list[Line]:
    """Check that every final state is delivered, once under its own id, in order."""
    wanted = Counter[tuple[str, str]]()
    for number, order in seen.orders.items():
        wanted.update((number, line) for line in _told_of(order))
    for refund in seen.refunds.values():
        wanted.update((refund["out_trade_no"], what) for what in _told_of_refund(refund))
    events = Counter((number, what) for number, all_ in receiver.of_orders().items() for what in all_)
    ordered = sum(_in_order(all_) for all_ in receiver.of_orders().values())
    return [
        Line("事件各送达一次", "events delivered, once each", wanted.total(), (events & wanted).total()),
        Line("多余的事件", "surplus events", 0, (events - wanted).total()),
        Line("按订单顺序送达", "orders whose events arrived in order", len(receiver.of_orders()), ordered),
        Line("签名错误的推送", "deliveries with a wrong signature", 0, receiver.unbelieved),
    ]


def _books(record: DayRecord, seen: Seen) -> list[Line]:
    """Check the ledger against the actual data, and our own side after repairs; a second payment or one at a till is no
    sale."""
    ledger, truth, ours = record.ledger, seen.true_sums, record.repaired["ours"]
    surplus = [order["total"] for order in seen.true_orders.values() for _ in order["surplus"]]
    surplus += [seen.true_orders[number]["total"] for number in record.till]
    names = {"payments": "收款笔数", "received": "收款（分）", "refunds": "退款笔数", "refunded": "退款（分）"}
    names |= {"settled": "应结收款（分）", "settled_refunded": "应结退款（分）"}
    names |= {"fee": "手续费（分）", "net": "净额（分）"}
    expected = {
        "payments": truth["payments"] - len(surplus),
        "received": truth["received"] - sum(surplus),
        "refunds": truth["refunds"],
        "refunded": truth["refunded"],
    }
    return [
        *[Line(f"账簿：{names[name]}", f"ledger: {name}", truth[name], ledger[name]) for name in MONEY],
        *[
            Line(f"本系统：{names[name]}", f"this system: {name}", value, ours[name])
            for name, value in expected.items()
        ],
        Line("借方与贷方相等", "debits equal credits", ledger["debit"], ledger["credit"]),
        Line(
            "抽查的单笔订单账簿一致",
            "ledgers of single orders correct",
            len(record.ledgers),
            _right_ledgers(record, seen),
        ),
    ]


def _right_ledgers(record: DayRecord, seen: Seen) -> int:
    """Count the orders, of those examined one by one, whose received and refunded sums are right."""
    right = 0
    for number, ledger in record.ledgers.items():
        order = seen.true_orders[number]
        refunds = [refund for refund in seen.true_refunds.values() if refund["out_trade_no"] == number]
        received = order["total"] * len(_transactions(order))
        refunded = sum(refund["refund"] for refund in refunds if refund["state"] != "CLOSED")
        right += (ledger["received"], ledger["refunded"]) == (received, refunded)
    return right


def _differences(record: DayRecord, seen: Seen) -> list[Line]:
    """Check that every difference is found and no false one, on the original bill and on the one with injected
    differences."""
    genuine = {("double_payment", n) for n, order in seen.true_orders.items() if order["surplus"]}
    genuine |= {("refund_missing_here", n) for n, r in seen.true_refunds.items() if r["api"] == "console"}
    first, practice = _keys(record.differences), _keys(record.practice)
    last = {status: _keys(d for d in record.last if d["status"] == status) for status in ("gone", "repaired")}
    return [
        Line("实际差异已找到", "real differences found", len(genuine), len(first & genuine)),
        Line("误报差异", "false differences", 0, len(first - genuine)),
        Line("实际差异已处理", "real differences repaired", len(genuine), len(last["repaired"] & genuine)),
        Line("注入的差异已找到", "injected differences found", len(record.planted), len(practice & record.planted)),
        Line("另外的误报差异", "other false differences", 0, len(practice - genuine - record.planted)),
        Line(
            "恢复账单后复核一致",
            "differences cleared after the bill was restored",
            len(record.planted),
            len(last["gone"] & record.planted),
        ),
    ]


def _keys(differences: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    return {_key(difference) for difference in differences}


def _key(difference: Mapping[str, Any]) -> tuple[str, str]:
    entry = difference["wechat"] or difference["ours"]
    return difference["kind"], entry.get("out_refund_no") or entry["out_trade_no"]


def _transactions(order: Mapping[str, Any]) -> list[str]:
    return [tx for tx in (order["transaction_id"], *order["surplus"]) if tx]


def _odd_payment(order: Mapping[str, Any]) -> str:
    """Return the payment that has to be refunded: the second where there are two."""
    return str(_transactions(order)[-1])


def _told_of(order: Mapping[str, Any]) -> list[str]:
    """Return the events that the merchant's systems must have received about an order, by its timeline."""
    what = {"paid": "order.paid", "closed": "order.closed"}
    what |= dict.fromkeys(("paid_late", REFUNDED_ELSEWHERE), "order.paid_late")
    return [what[line["what"]] for line in order["timeline"] if line["what"] in what]


def _told_of_refund(refund: Mapping[str, Any]) -> list[str]:
    what = {
        "success": "refund.succeeded",
        "closed": "refund.failed",
        "refused": "refund.failed",
        "abnormal": "refund.abnormal",
    }
    return [what[line["what"]] for line in refund["timeline"] if line["what"] in what]


def _in_order(events: list[str]) -> bool:
    """Whether the order's own events came before those of its refunds, and closed before paid late."""
    own = [what for what in events if what in ORDER_EVENTS]
    return events[: len(own)] == own and own in (
        ["order.paid"],
        ["order.closed"],
        ["order.paid_late"],
        ["order.closed", "order.paid_late"],
    )
