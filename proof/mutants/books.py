"""Mutants of reconciliation, bills, the ledger and alarms."""

from __future__ import annotations

from proof.mutants.mutant import Mutant

RECEIVER = "wechat/notifications/receiver.py"
RELAY = "wechat/events/relay.py"
RECONCILIATION = "wechat/reconciliation/reconciler.py"
BOOKS = "wechat/reconciliation/books.py"

BOOK_MUTANTS = (
    Mutant(
        "a day is ended by a run that has lost it",
        "wechat/reconciliation/days.py",
        'if held.lease != lease:\n        return held\n    return replace(held, lease="", leased_until=None, due_at=N',
        'return replace(held, lease="", leased_until=None, due_at=N',
    ),
    Mutant(
        "a day is taken though another run holds it",
        "wechat/reconciliation/days.py",
        "    if held.leased_until is not None and held.leased_until > now:\n",
        "    if False:\n",
        "tests/contract/test_reconciliation.py::"
        "test_ten_workers_reconcile_a_day_once_and_a_dead_ones_lease_runs_out; the operator here runs a day "
        "every three hours and a lease lasts fifteen minutes, so two runs meet only when a clock leaps; the run that "
        "was overtaken ends nothing, so only its work is lost",
    ),
    Mutant(
        "a refund about midnight must be on the bill of its day by our clock",
        RECONCILIATION,
        " and not (recorded.is_refund and elsewhere(recorded)):",
        ":",
    ),
    Mutant(
        "that there is no bill is believed at once",
        RECONCILIATION,
        "if bill.path is None and has_entries and self._clock.now() < evening_after(bill.day):",
        "if False:",
    ),
    Mutant("nobody is told of differences", RECONCILIATION, "        if open_count:  #", "        if False:  #"),
    Mutant(
        "a payment of a closed order on the bill is not ours",
        BOOKS,
        "return DifferenceKind.MISSING_HERE if recorded.state == TradeState.NOTPAY else DifferenceKind.STATE",
        "return DifferenceKind.MISSING_HERE if recorded.state == TradeState.NOTPAY else None",
    ),
    Mutant(
        "a second payment on the bill is not seen",
        BOOKS,
        "another = nth > 1 if unpaid else recorded.transaction_id != billed.transaction_id",
        "another = False",
    ),
    Mutant(
        "the amounts of a bill are not compared",
        BOOKS,
        "if (recorded.amount, recorded.currency) != (billed.amount, billed.currency):",
        "if False:",
    ),
    Mutant(
        "a refund whose money stayed counts on the bill",
        BOOKS,
        "        elif line.refund_status != FAILED:\n",
        "        else:\n",
    ),
    Mutant(
        "the ledger leaves refunds in the wallet",
        "wechat/reconciliation/accounts.py",
        '        ("refunded", Account.WALLET, -sums.settled_refunded),\n',
        "",
    ),
    Mutant(
        "a payment that a bill has shown is returned and not recorded",
        "wechat/reconciliation/repairs.py",
        "        await self._orders.record(fact)\n        return True\n",
        "        return True\n",
    ),
    Mutant(
        "a day run again is compared with the bill that is here",
        "wechat/reconciliation/bill_cache.py",
        "            bill = await self._fetch_once(day, kind)\n        except FenpayError",
        "            bill = await self.bill(day, kind)\n        except FenpayError",
    ),
    Mutant(
        "nobody is told of a bill that is late",
        "wechat/reconciliation/worker.py",
        "return isinstance(error, NotYet) and now < evening_after(day)",
        "return isinstance(error, NotYet)",
    ),
    Mutant(
        "waiting for a bill is an alarm",
        "wechat/reconciliation/worker.py",
        "return isinstance(error, NotYet) and now < evening_after(day)",
        "return False",
    ),
    Mutant(
        "an alarm is lost with the process that should raise it",
        RELAY,
        "        for staged in job.outbox:\n            self._report(job, staged)\n",
        "",
    ),
    Mutant(
        "a refused notification is recorded before its alarm",
        RECEIVER,
        "            if not stored.verdict:\n"
        '                self._telemetry.alarm(f"notify_{error.reason}", message.value.out_trade_no)\n'
        "            await self._conclude(message.value.id, error.reason)\n",
        "            await self._conclude(message.value.id, error.reason)\n            if not stored.verdict:\n"
        '                self._telemetry.alarm(f"notify_{error.reason}", message.value.out_trade_no)\n',
    ),
)
