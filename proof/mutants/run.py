"""Run the mutants: each must be found by some seed, or by the test that it names.

Each is one change of the source, made in a copy that a process of its own runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from rich.console import Console

from proof.mutants.books import BOOK_MUTANTS
from proof.mutants.builds import NoResult, fails_test, find, find_holding_tests
from proof.mutants.guards import GUARDED
from proof.mutants.leases import LEASES
from proof.mutants.mutant import Mutant
from proof.mutants.promises import PROMISES
from proof.mutants.shop_days import SHOP_DAYS

PAYMENTS = "wechat/domain/payments.py"
REFUNDS = "wechat/domain/refunds.py"
REFUND_SERVICE = "wechat/refunds/service.py"
ORDER_SERVICE = "wechat/orders/service.py"
RECEIVER = "wechat/notifications/receiver.py"
UPDATE = "wechat/support/update.py"
COMMIT = "storage/group_commit.py"
RELAY = "wechat/events/relay.py"

MUTANTS = (
    Mutant("the amount is not compared", PAYMENTS, "MismatchReason.TOTAL: (order.total, transaction.total),", ""),
    Mutant(
        "a payment is recorded each time it is reported",
        PAYMENTS,
        "if any(payment.transaction_id == transaction.transaction_id for payment in order.payments):",
        "if False:",
    ),
    Mutant(
        "whoever pays gets the goods",
        PAYMENTS,
        "foreign = bool(order.openid and transaction.openid and order.openid != transaction.openid)",
        "foreign = False",
    ),
    Mutant(
        "a closed order that is paid counts as paid in time",
        PAYMENTS,
        "in_time = order.trade_state is TradeState.NOTPAY and not foreign",
        "in_time = not foreign",
    ),
    Mutant(
        "a second payment takes the place of the first",
        PAYMENTS,
        "return order.with_entry(entry, payments=(*order.payments, payment))",
        "return order.with_entry(entry, payments=(payment,))",
    ),
    Mutant(
        "an order is closed here alone", ORDER_SERVICE, "reached = await self._close_at_wechat(order)", "reached = True"
    ),
    Mutant(
        "more is refunded than is left",
        REFUNDS,
        "return len(counted) < MAX_REFUNDS and refundable(order, draft.transaction_id) >= draft.refund",
        "return len(counted) < MAX_REFUNDS",
    ),
    Mutant(
        "a refund is reserved each time it is requested",
        REFUNDS,
        "    if held is not None:\n        if _fields_of_request(held)",
        "    if held is not None and held.open:\n        if _fields_of_request(held)",
    ),
    Mutant(
        "refunds of one order are sent at once",
        REFUNDS,
        "if order.last_refund_at is not None and now < order.last_refund_at + MIN_REFUND_INTERVAL:",
        "if False:",
    ),
    Mutant(
        "a refund whose answer is lost ends as refused",
        REFUND_SERVICE,
        "        except GatewayRefused as error:\n            if is_final(error):\n",
        "        except RemoteError as error:\n            if True:\n",
    ),
    Mutant(
        "a refusal for our credentials ends a refund",
        REFUND_SERVICE,
        "            if is_final(error):\n",
        "            if error:\n",
    ),
    Mutant(
        "a payment that was refunded in the console releases goods",
        PAYMENTS,
        "    refunded = transaction.state is RemoteState.REFUND\n",
        "    refunded = False\n",
    ),
    Mutant(
        "a refund is sent again without a query",
        REFUND_SERVICE,
        "        if _may_be_known(refund):\n            current = await",
        "        if False:\n            current = await",
    ),
    Mutant(
        "a notification is answered before it is applied",
        RECEIVER,
        "        verdict = await self._apply(message, refusal, stored)\n",
        "        asyncio.ensure_future(self._apply(message, refusal, stored))\n        verdict = Verdict.APPLIED\n",
    ),
    Mutant(
        "a notification that came before is not applied again",
        RECEIVER,
        "        verdict = await self._apply(message, refusal, stored)\n",
        "        verdict = Verdict.APPLIED if stored.seen > 1 else await self._apply(message, refusal, stored)\n",
    ),
    Mutant(
        "v3's signature is not checked",
        "wechat/pay/v3/gateway.py",
        "        rsa_verify(ring.find(serial), v3_answer_message(timestamp, nonce, body), signature)\n",
        "",
    ),
    Mutant(
        "a write that lost the race counts as done",
        UPDATE,
        "            return change if await self._write(stored, change, write) else None\n",
        "            await self._write(stored, change, write)\n            return change\n",
    ),
    Mutant(
        "a write whose answer is lost counts as done",
        UPDATE,
        "            raise\n        except StoreUnavailable:\n            return None\n",
        "            raise\n        except StoreUnavailable:\n            return change\n",
    ),
    Mutant(
        "the store replaces whatever is there",
        "storage/memory/documents.py",
        "if held is None or held.rev != replacement.rev:",
        "if held is None:",
    ),
    Mutant(
        "an insert takes the place of what is there",
        "storage/memory/documents.py",
        "        if held is not None:\n            return encoded.write in held.writes\n",
        "",
    ),
    Mutant(
        "a batch tells the wrong callers",
        COMMIT,
        "for waiter, result in zip(batch, results, strict=True):",
        "for waiter, result in zip(batch, list(results)[::-1], strict=True):",
    ),
    Mutant(
        "a batch that fails counts as done",
        COMMIT,
        "            results = [error] * len(batch)\n",
        "            results = [True] * len(batch)\n",
    ),
    Mutant(
        "a batch holds two writes of one document",
        COMMIT,
        "if waiter.identity in seen or (",
        "if (",
        "tests/unit/storage/test_group_commit.py::"
        "test_what_waits_for_another_of_its_id_goes_before_all_that_came_later; "
        "the simulated store writes a batch in its order, so the revision refuses the second write of a document, as "
        "it does in two batches; MongoDB promises no order within a batch",
    ),
    Mutant(
        "an order's date is not stored",
        "storage/stores/order_codec.py",
        '        document["due_at"] = due_at\n',
        "        pass\n",
    ),
    Mutant(
        "events are removed before they are handed out",
        RELAY,
        "        now, write = self._clock.now(), self._random.token(WRITE_BYTES)\n",
        "        now, write = self._clock.now(), self._random.token(WRITE_BYTES)\n"
        "        gone = frozenset([event.id for event in job.outbox])\n"
        "        await self._updates.update(job.key, lambda order: remove_events(order, gone))\n",
    ),
    Mutant(
        "a delivery is not kept back for an earlier one",
        "wechat/events/delivery_worker.py",
        "        if earlier is None:\n            return True\n",
        "        return True\n",
    ),
    Mutant(
        "a delivery that failed is not tried again",
        "wechat/events/delivery_worker.py",
        "        if outcome.ok:\n            await self._finish",
        "        if True:\n            await self._finish",
    ),
    Mutant(
        "no event is staged for a payment",
        PAYMENTS,
        "return order.moved_to(target, entry, (kind, transaction.transaction_id), payments",
        "return order.moved_to(target, entry, payments",
    ),
    Mutant(
        "an Idempotency-Key stands for a new refund each time",
        REFUND_SERVICE,
        "        if idempotency_key:\n            draft = await",
        "        if False:\n            draft = await",
    ),
    Mutant(
        "a refund's number is not reserved",
        REFUND_SERVICE,
        "        if await self._numbers.reserve(use) != use:\n",
        "        if False:\n",
    ),
    Mutant(
        "a payment's number is not reserved",
        "wechat/orders/payments.py",
        "await self._numbers.reserve(NumberUse(payment_number(transaction.mchid, transaction.transaction_id), key))",
        "NumberUse(payment_number(transaction.mchid, transaction.transaction_id), key)",
    ),
    Mutant(
        "events that were handed out stay",
        "wechat/domain/transitions.py",
        "    kept = tuple([event for event in order.outbox if event.id not in ids])\n",
        "    kept = order.outbox\n",
    ),
    Mutant(
        "events of an order have one place",
        "wechat/domain/orders.py",
        "kind, at, self.sequence + 1, out_refund_no)",
        "kind, at, max(1, self.sequence), out_refund_no)",
    ),
    Mutant(
        "a 500 of WeChat counts as a no",
        "wechat/pay/codes.py",
        "kind = OutcomeUnknown if code in OPEN or http_status >= 500 else GatewayRefused",
        "kind = OutcomeUnknown if code in OPEN else GatewayRefused",
    ),
    Mutant(
        "an unpaid order is never closed",
        ORDER_SERVICE,
        "if asked.trade_state is TradeState.NOTPAY and self._clock.now() >= asked.closes_at:",
        "if False:",
    ),
    Mutant(
        "a notification that does not fit is answered with success",
        RECEIVER,
        "error.reason)\n            raise\n",
        "error.reason)\n            return Verdict.APPLIED\n",
    ),
    Mutant(
        "a paid order stays due",
        "wechat/domain/orders.py",
        '{"trade_state": target, "next_check_at": None, "check_lease": ""}',
        '{"trade_state": target}',
    ),
    Mutant(
        "nobody looks at a new order",
        "wechat/orders/drafts.py",
        "            next_check_at=now + FIRST_CHECK,\n",
        "",
    ),
    Mutant(
        "whoever comes later takes the key of a request over",
        "wechat/support/claims.py",
        "            if await self._claims.insert(claim):\n                return claim\n",
        "            await self._claims.insert(claim)\n            return claim\n",
    ),
    *GUARDED,
    *LEASES,
    *BOOK_MUTANTS,
    *SHOP_DAYS,
    *PROMISES,
)


def run_mutants(
    seeds: int, jobs: int, console: Console, chosen: Sequence[Mutant] = MUTANTS, *, as_json: bool = False
) -> int:
    """Print what finds each mutant; return the exit status, 1 if one is not found. One without a result does not end
    the table."""
    try:
        holding, control = find_holding_tests(chosen), "it does not pass"
    except NoResult as error:
        holding, control = frozenset(), str(error)
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(jobs) as pool:
        tried = pool.map(partial(_try, seeds=seeds, holding=holding, control=control), chosen)
        for mutant, (found, line) in zip(chosen, tried, strict=True):
            rows.append({"name": mutant.name, "found": found, "result": line})
            if not as_json:
                console.print(f"{mutant.name}\n    {'✔' if found else '✘'} {line}", highlight=False, soft_wrap=True)
    missed = sum(not row["found"] for row in rows)
    if as_json:
        print(json.dumps({"builds": rows, "missed": missed}))
    else:
        console.print(f"{missed} of {len(rows)} broken builds missed", highlight=False)
    return 1 if missed else 0


def _try(mutant: Mutant, seeds: int, holding: Set[str], control: str) -> tuple[bool, str]:
    """Return whether the mutant is found, and a line for the table: by its test if it names one, else by seeds.

    ``control`` says what is wrong with tests that are not among the ``holding`` ones.
    """
    try:
        if not mutant.test:
            found = find(mutant, seeds)
            return bool(found), f"seed {found['seed']}: {found['failure']}" if found else f"not within {seeds} seeds"
        if mutant.test not in holding:
            return False, f"{mutant.test}: {control} in a build that is not broken"
        failed = fails_test(mutant)
    except NoResult as error:
        return False, str(error)
    return failed, f"{mutant.test} {'fails' if failed else 'does not fail'}; {mutant.reason}"


def main() -> None:
    """Run in the copy: ``python -m proof.mutants.run SEEDS SHRINK_S``; the last line is JSON."""
    from proof.page import write_page  # noqa: PLC0415 - of the broken build
    from proof.run import first_failure, rest_collector, shrink_for  # noqa: PLC0415

    rest_collector()
    failed = first_failure(range(1, int(sys.argv[1]) + 1))
    if failed is None:
        print("null")
        return
    smaller = shrink_for(float(sys.argv[2]), failed)
    about = {"seed": failed.scenario.seed, "failure": failed.failure, "orders": failed.orders}
    page = [*write_page(smaller)]
    print(json.dumps(about | {"smaller_orders": smaller.orders, "smaller_failure": smaller.failure, "page": page}))


if __name__ == "__main__":
    main()
