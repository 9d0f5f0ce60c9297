"""Mutants of promises that other parts of the service make good later: acknowledgements, one event of each kind, alarms
and limits."""

from __future__ import annotations

from proof.mutants.messages_and_keys import ORDER_SERVICE, RECEIVER, REFUND_SERVICE
from proof.mutants.mutant import Mutant

RULES = "tests/simulation/test_rules.py::test_the_service_has_the_rules_of_the_checks"

ACKNOWLEDGEMENTS = (
    Mutant(
        "a payment that fits is acknowledged before it is written",
        RECEIVER,
        '            await self._receivers.recorder.apply(fact, source="notify", reserved=True)\n',
        "            await self._receivers.recorder.releases_goods(fact.value)\n"
        '            asyncio.ensure_future(self._receivers.recorder.apply(fact, source="notify", reserved=True))\n',
    ),
    Mutant(
        "a payment that fits is acknowledged and not written",
        RECEIVER,
        '            await self._receivers.recorder.apply(fact, source="notify", reserved=True)\n',
        "            await self._receivers.recorder.releases_goods(fact.value)\n",
    ),
    Mutant(
        "a refund's notification is acknowledged before it is written",
        RECEIVER,
        '            await self._receivers.refunds.apply(message.with_value(notification.refund), source="notify")\n',
        "            asyncio.ensure_future(\n"
        '                self._receivers.refunds.apply(message.with_value(notification.refund), source="notify")\n'
        "            )\n",
    ),
)
"""Mutants of the answer to a notification."""

WORDS = (
    Mutant(
        "an old notification is believed without a query",
        RECEIVER,
        "return transaction.success_time is not None and self._clock.now() - transaction.success_time > FRESH",
        "return False",
    ),
)
"""Mutants of the words on which goods are released."""

GOODS = (
    Mutant(
        "a second payment releases the goods again",
        "wechat/domain/payments.py",
        "    return order.with_entry(entry, payments=(*order.payments, payment))\n",
        "    doubled = order.with_entry(entry, payments=(*order.payments, payment))\n"
        "    return doubled.with_event(EventType.ORDER_PAID, payment.transaction_id, now)\n",
    ),
)
"""Mutants of the event on which goods are released."""
REASONS = (
    Mutant(
        "a refund that waits for balance is refused",
        "wechat/pay/codes.py",
        '        "NOT_ENOUGH",\n        "ORDER_NOT_READY",\n',
        '        "ORDER_NOT_READY",\n',
    ),
    Mutant(
        "SYSTEM_ERROR counts as a no",
        "wechat/pay/codes.py",
        '{"SYSTEM_ERROR", "BANK_ERROR", ',
        '{"BANK_ERROR", ',
    ),
    Mutant(
        "NO_AUTH ends a refund",
        "wechat/pay/codes.py",
        '        "NO_AUTH",\n        "CERT_ERROR",\n        "MCH_NOT_EXISTS",\n        "APPID_NOT',
        '        "CERT_ERROR",\n        "MCH_NOT_EXISTS",\n        "APPID_NOT',
    ),
    Mutant(
        "v2's unsigned FAIL ends a refund",
        "wechat/pay/codes.py",
        '        "COMMUNICATION_FAIL",\n        "INVALID_REQ',
        '        "INVALID_REQ',
    ),
    Mutant(
        "too many requests end a refund",
        "wechat/pay/codes.py",
        '        "INVALID_REQ_TOO_MUCH",\n',
        "",
    ),
    Mutant(
        "BIZERR_NEED_RETRY counts as a no",
        "wechat/pay/codes.py",
        '"BANK_ERROR", "BIZERR_NEED_RETRY", ',
        '"BANK_ERROR", ',
    ),
    Mutant(
        "v2's unsigned word that it is busy counts as a no",
        "wechat/pay/v2/gateway.py",
        'or "系统" in message or message.lower() in ("system error", "systemerror")',
        "",
        "tests/unit/pay/test_v2_answers.py::test_a_fail_without_a_signature_may_leave_the_outcome_open; a refund that "
        "WeChat may know is queried before it is sent again, whatever the answer was, and the merchants here use no "
        "number of an order again",
    ),
)
"""Mutants of the reading of WeChat's refusals."""
TOKENS = (
    Mutant(
        "a ticket ends by the machine's clock alone",
        "wechat/account/tokens.py",
        "        return min(left_s, self._held_until_s - self._clock.monotonic()) if token is self._held else left_s\n",
        "        return left_s\n",
    ),
)
LIMITS = (
    Mutant(
        "the table lets a refund that succeeded go back",
        "wechat/domain/refunds.py",
        "    RefundState.SUCCESS: frozenset(),\n",
        "    RefundState.SUCCESS: frozenset({RefundState.PROCESSING}),\n",
        f"{RULES}; the simulated WeChat moves no refund back, and a refund takes longer than an answer that is late",
    ),
    Mutant(
        "refunds of one order are sent ten seconds apart",
        "wechat/domain/orders.py",
        "MIN_REFUND_INTERVAL = timedelta(minutes=1, seconds=10)",
        "MIN_REFUND_INTERVAL = timedelta(seconds=10)",
    ),
    Mutant("a document keeps a hundred writes", "wechat/domain/ports.py", "WRITES_KEPT = 8\n", "WRITES_KEPT = 100\n"),
    Mutant(
        "a delivery is tried twelve times",
        "wechat/events/delivery_worker.py",
        "20 * 3600, 24 * 3600)",
        "20 * 3600, 24 * 3600, 3600, 3600, 3600)",
        f"{RULES}; a receiver is away for sixty hours at most, and the nine pauses take seventy-five",
    ),
    Mutant(
        "the lease of a check is too short",
        "wechat/domain/due_work.py",
        "CHECK_LEASE = timedelta(seconds=25)",
        "CHECK_LEASE = timedelta(seconds=10)",
    ),
    Mutant(
        "the lease of a refund is too short",
        "wechat/domain/refunds.py",
        "LEASE = timedelta(minutes=1)  # far",
        "LEASE = timedelta(seconds=10)  # far",
    ),
)
"""Mutants of tables, limits and lengths, which the checks must not read from the service."""
PERSONS = (
    Mutant(
        "nobody is told that a query does not match",
        ORDER_SERVICE,
        "            await self._report_mismatch(order, error.reason)\n",
        "",
    ),
    Mutant(
        "nobody is told that a refund waits for balance",
        REFUND_SERVICE,
        "        self._telemetry.alarm(REFUND_NOT_NOW, order.out_trade_no,",
        "        log.debug(REFUND_NOT_NOW, out_trade_no=order.out_trade_no,",
    ),
    Mutant(
        "a refund that is not decided is alarmed as refused",
        REFUND_SERVICE,
        "        self._telemetry.alarm(REFUND_NOT_NOW, order",
        "        self._telemetry.alarm(REFUND_REFUSED, order",
    ),
    Mutant(
        "a refund needs no name",
        REFUND_SERVICE,
        "        if not (wanted.out_refund_no or idempotency_key):\n",
        "        if False:\n",
    ),
)
"""Mutants of what needs a person, or must be refused."""

PROMISES = (*ACKNOWLEDGEMENTS, *WORDS, *GOODS, *REASONS, *TOKENS, *LIMITS, *PERSONS)
