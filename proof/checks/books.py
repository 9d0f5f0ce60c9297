"""Check the books at the end of a run: bill, ledger and orders are equal, and every difference has a cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from math import inf

from proof.checks.alarms import CLOCKS_AGREE, EVENING, Evidence
from proof.checks.journal import Result
from proof.faults import Fault
from proof.wechat.bills import Bill, Line, beijing_day, next_day
from storage.stores.all import DAYS, DIFFERENCES
from storage.stores.days import DAY, DIFFERENCE
from wechat.domain.facts import RefundState
from wechat.reconciliation.accounts import Account, double_entry
from wechat.reconciliation.books import Difference, DifferenceKind, Status, Totals
from wechat.reconciliation.days import BookDay

RUN_S = 3 * 3600.0
"""The longest duration of a run, including stalls: data that became known meanwhile may or may not be in its result."""
NEAR_MIDNIGHT = timedelta(minutes=15)
SHORT = frozenset({Fault.BILL_LINE_MISSING, Fault.BILL_CHANGED})
"""Faults that leave a line out of the bill."""

Wrong = Iterator[tuple[str, str]]
"""The violations, each with the order that it is about."""


def check_books(evidence: Evidence) -> Wrong:
    """Yield each fault of the books; raise nothing."""
    differences = [DIFFERENCE.read(document) for document in evidence.database[DIFFERENCES].look_at_all()]
    days = [DAY.read(document) for document in evidence.database[DAYS].look_at_all()]
    yield from _check_days_are_over(days, evidence)
    yield from _orders_have_what_wechat_has(evidence)
    for day in days:
        yield from _day_is_equal(day, evidence)
    yield from _ledger_is_equal(days, evidence)
    for difference in differences:
        if difference.status is Status.OPEN:
            yield f"difference {difference.kind} of {difference.day} is open", difference.numbers.out_trade_no
        if not _has_cause(difference, evidence):
            yield f"{difference.kind} was found on {difference.day} without a cause", difference.numbers.out_trade_no
    found = {(difference.kind, _key(difference)) for difference in differences}
    yield from _is_found(found, evidence)
    yield from _planted_is_found(differences, evidence)


def _check_days_are_over(days: Sequence[BookDay], evidence: Evidence) -> Wrong:
    busy = {beijing_day(payment.at) for payment in evidence.world.payments.values()}
    busy |= {beijing_day(refund.created_at) for refund in evidence.world.refunds.values()}
    ended = {day.day for day in days if day.result is not None and day.due_at is None}
    for each in sorted(busy - ended):
        yield f"{each} was not reconciled", ""
    for day in days:
        if day.day in busy and (day.lease or day.leased_until):
            yield f"{day.day} is still leased", ""
    if evidence.journal.broken:
        yield evidence.journal.broken, ""


def _orders_have_what_wechat_has(evidence: Evidence) -> Wrong:
    """Compare each payment of each order, and its refunds, with WeChat's."""
    for number, remote in sorted(evidence.world.orders.items()):
        order = evidence.orders[number]
        paid = sorted((payment.transaction_id, payment.total) for payment in remote.payments)
        held = sorted((payment.transaction_id, payment.total) for payment in order.payments)
        if paid != held:
            yield f"WeChat has the payments {paid} and it has {held}", number
        for transaction, _ in paid:
            refunds = [each for each in order.refunds if each.transaction_id == transaction and each.reserves]
            given, here = evidence.world.given_back(transaction), sum(each.refund for each in refunds)
            if given != here:
                yield f"WeChat has given {given} of {transaction} back, and {here} here", number


def _day_is_equal(day: BookDay, evidence: Evidence) -> Wrong:
    """Check that the last run had the final bill, and that our payments are those of its lines that are orders' own."""
    lines = evidence.bills.right_lines(day.day)
    if day.result is None or not lines:
        return
    recorded, remote = day.result.recorded, day.result.billed
    if _sums(lines) != _read_sums(remote):
        yield f"the bill of {day.day} adds up to {_sums(lines)}, and was taken for {remote}", ""
    firsts = [order.transaction_id for order in evidence.orders.values()]
    own = [line.amount for line in lines if not line.out_refund_no and line.transaction_id in firsts]
    if (len(own), sum(own)) != (recorded.payments, recorded.received):
        yield (
            f"{len(own)} payments of {sum(own)} on {day.day} are taken for {recorded.payments} of {recorded.received}",
            "",
        )


def _ledger_is_equal(days: Sequence[BookDay], evidence: Evidence) -> Wrong:
    """Check that debits and credits are equal, and that the wallet has WeChat's balance, less its fees."""
    wallet = 0
    for day in days:
        if day.result is not None:
            ledger = double_entry(day.result.billed)
            wallet += ledger.balance(Account.WALLET)
            if ledger.debit != ledger.credit:
                yield f"the ledger of {day.day} has {ledger.debit} on one side and {ledger.credit} on the other", ""
    lines = [line for day in days for line in evidence.bills.right_lines(day.day)]
    failed = {line.out_refund_no for line in lines if line.state == "FAIL"}
    paid = sum(payment.payer_total for payment in evidence.world.payments.values())
    refunds = [each for each in evidence.world.refunds.values() if each.out_refund_no not in failed]
    given = sum(each.amount - each.coupon for each in refunds)
    others = [line for line in lines if line.number not in evidence.world.orders]
    sold = sum(-line.settled if line.out_refund_no else line.settled for line in others)
    left = paid - given + sold - sum(line.fee for line in lines)
    if wallet != left:
        yield f"the wallet has {wallet} by the ledger and {left} at WeChat", ""


def _sums(lines: Sequence[Line]) -> tuple[int, int, int, int, int]:
    paid = [line.amount for line in lines if not line.out_refund_no]
    back = [line.amount for line in lines if line.out_refund_no and line.state != "FAIL"]
    return len(paid), sum(paid), len(back), sum(back), sum(line.fee for line in lines)


def _read_sums(totals: Totals) -> tuple[int, int, int, int, int]:
    """Return what a run read from its bill, in the form of ``_sums``."""
    return totals.payments, totals.received, totals.refunds, totals.refunded, totals.fee


# -- no difference without a cause -------------------------------------------------------------------------------------


def _has_cause(difference: Difference, evidence: Evidence) -> bool:
    """Whether an event in the world explains the difference."""
    numbers, bill = difference.numbers, evidence.bills.of(difference.day)
    fault = bill.fault if bill.touched is not None and _key(difference) == _line_key(bill.touched) else None
    if fault is None and numbers.out_trade_no not in evidence.world.orders:
        return False
    causes: dict[DifferenceKind, Callable[[], bool]] = {
        DifferenceKind.DOUBLE_PAYMENT: lambda: len(evidence.world.orders[numbers.out_trade_no].payments) > 1,
        DifferenceKind.UNKNOWN_NUMBER: lambda: fault is Fault.BILL_FOREIGN_LINE,
        DifferenceKind.AMOUNT: lambda: fault is Fault.BILL_OTHER_AMOUNT,
        DifferenceKind.MISSING_THERE: lambda: _is_denial(bill, difference, evidence) or fault in SHORT,
        DifferenceKind.REFUND_MISSING_THERE: lambda: _may_be_missing(difference, bill, evidence),
        DifferenceKind.REFUND_MISSING_HERE: lambda: evidence.world.refunds[numbers.out_refund_no].by_console,
        DifferenceKind.MISSING_HERE: lambda: _was_not_known(difference, evidence),
        DifferenceKind.STATE: lambda: _was_not_known(difference, evidence),
    }
    return causes[difference.kind]()


def _may_be_missing(difference: Difference, bill: Bill, evidence: Evidence) -> bool:
    """Whether a refund's line was left out on this day or, about midnight, on the previous one; or a clock had
    leapt."""
    before = evidence.bills.of(difference.day - timedelta(days=1))
    short = [
        each
        for each in (bill, before)
        if each.fault in SHORT and each.touched and _line_key(each.touched) == _key(difference)
    ]
    leapt = evidence.bills.faults.occurrences.counted[Fault.CLOCK_LEAPS] > 0
    denied = any(_is_denial(each, difference, evidence) for each in (bill, before))
    return bool(short) or denied or leapt


def _is_denial(bill: Bill, difference: Difference, evidence: Evidence) -> bool:
    """Whether WeChat still said in the evening that there is no bill; earlier, a process with the right time does not
    believe it."""
    found_at = evidence.begins + timedelta(seconds=evidence.journal.differences[difference.id])
    leapt = evidence.bills.faults.occurrences.counted[Fault.CLOCK_LEAPS] > 0
    return bill.denied and (leapt or found_at + CLOCKS_AGREE >= next_day(bill.day, EVENING))


def _was_not_known(difference: Difference, evidence: Evidence) -> bool:
    """Whether our side did not know of the payment, or of the refund's end, when the difference was found."""
    numbers, found_s = difference.numbers, evidence.journal.differences[difference.id]
    if numbers.out_refund_no:
        ended = evidence.journal.refunds[numbers.out_refund_no]
        known_s = min(ended.get(state, inf) for state in (RefundState.SUCCESS, RefundState.CLOSED))
        return known_s > found_s - RUN_S
    double = len(evidence.world.orders[numbers.out_trade_no].payments) > 1
    return double or evidence.journal.payments.get(numbers.transaction_id, inf) > found_s - RUN_S


# -- every cause with its difference -----------------------------------------------------------------------------------


def _is_found(found: set[tuple[DifferenceKind, str]], evidence: Evidence) -> Wrong:
    """Check that second payments, refunds in the console, and payments unknown here at the end of their day are
    reported."""
    about = {key for _, key in found}
    for refund in evidence.world.refunds.values():
        if refund.by_console and (DifferenceKind.REFUND_MISSING_HERE, refund.out_refund_no) not in found:
            yield f"refund {refund.out_refund_no} at the console was not found", refund.number
    for transaction, payment in evidence.world.payments.items():
        own = evidence.orders[payment.number].transaction_id == transaction
        if not own and (DifferenceKind.DOUBLE_PAYMENT, transaction) not in found:
            yield f"second payment {transaction} was not found", payment.number
        day = beijing_day(payment.at)
        runs = [run for run in evidence.journal.results[day] if _has_right_clock(run, evidence)]
        runs = [run for run in runs if _had_line(run, evidence.bills.of(day), transaction)]
        known_s = evidence.journal.payments.get(transaction, inf)
        if runs and known_s > runs[0].at_s and transaction not in about:
            yield f"payment {transaction}, which nobody knew of, was not found", payment.number


def _has_right_clock(run: Result, evidence: Evidence) -> bool:
    """Whether a day was ended by a process with the right time. One that is hours ahead believes, before the bill can
    be available, that there is none."""
    return abs(run.value.finished_at - evidence.begins - timedelta(seconds=run.at_s)) <= CLOCKS_AGREE


def _had_line(run: Result, bill: Bill, transaction: str) -> bool:
    """Whether the bill that ``run`` read has the line of a payment. A wrong bill may lack it; then what the payer got
    back may be all that is found, and its repair records the payment."""
    read = next(
        (lines for lines in (bill.lines, bill.wrong) if lines and _sums(lines) == _read_sums(run.value.billed)), []
    )
    return any(line.transaction_id == transaction and not line.out_refund_no for line in read)


def _planted_is_found(differences: Sequence[Difference], evidence: Evidence) -> Wrong:
    """Check that what is wrong with each wrong bill with which a day was ended is reported."""
    found = {(difference.day, _key(difference)) for difference in differences}
    for day, bill in sorted(evidence.bills.bills.items()):
        touched = bill.touched
        if bill.wrong is None or touched is None or (day, _line_key(touched)) in found:
            continue
        sums = _sums(bill.wrong)
        if sums == _sums(bill.lines or []):
            continue  # a refund that failed counts for nothing, so nobody can tell which of the two bills a run read
        for at_s, result in evidence.journal.results[day]:
            if sums == _read_sums(result.billed) and _must_be_seen(bill, touched, at_s, evidence):
                yield f"{bill.fault} of {day}, and nothing was found", touched.number


def _must_be_seen(bill: Bill, touched: Line, at_s: float, evidence: Evidence) -> bool:
    """Whether a run that ended at ``at_s`` could compare the line. A refund about midnight may be left to the next
    day's run."""
    if bill.fault not in SHORT:
        return True
    if not touched.out_refund_no:
        return evidence.journal.payments.get(touched.transaction_id, inf) < at_s - RUN_S
    accepted = [at for state, at in evidence.journal.refunds[touched.out_refund_no].items() if state not in _NOT_THERE]
    near = beijing_day(touched.at - NEAR_MIDNIGHT) != beijing_day(touched.at + NEAR_MIDNIGHT)
    leapt = evidence.bills.faults.occurrences.counted[Fault.CLOCK_LEAPS] > 0
    return bool(accepted) and min(accepted) < at_s - RUN_S and not near and not leapt


_NOT_THERE = frozenset({RefundState.REQUESTED, RefundState.REFUSED})


def _key(difference: Difference) -> str:
    return difference.numbers.out_refund_no or difference.numbers.transaction_id


def _line_key(line: Line) -> str:
    return line.out_refund_no or line.transaction_id
