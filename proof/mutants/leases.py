"""Mutants of leases, dates, deliveries and batches."""

from __future__ import annotations

from proof.mutants.mutant import Mutant

REFUNDS = "wechat/domain/refunds.py"
TRANSITIONS = "wechat/domain/transitions.py"
DUE_WORK = "wechat/domain/due_work.py"
DELIVERIES = "wechat/domain/deliveries.py"
DELIVERY_WORKER = "wechat/events/delivery_worker.py"
REFUND_SERVICE = "wechat/refunds/service.py"
COMMIT = "storage/group_commit.py"

UNNOTICED = "seeds 1 to 12 do not notice"
UNMEASURED = "how many seeds find it was not measured"
DELIVERY_TESTS = f"tests/contract/test_deliveries.py; {UNNOTICED}"
DELIVERY_TESTS_ALONE = f"tests/contract/test_deliveries.py; {UNMEASURED}"
DOMAIN = f"tests/unit/domain/test_domain.py; {UNNOTICED}"
DOMAIN_ALONE = f"tests/unit/domain/test_domain.py; {UNMEASURED}"
GATEWAYS = f"tests/contract/test_refund_gateways.py; {UNNOTICED}"
REFUND_TESTS = f"tests/unit/refunds/test_refunds.py; {UNNOTICED}"
WORKER_TESTS = f"tests/unit/orders/test_order_worker.py; {UNNOTICED}"

REFUND_LEASES = (
    Mutant(
        "whoever works on a refund holds its lease",
        REFUNDS,
        "if refund.state is not RefundState.REQUESTED or not lease or refund.lease != lease:",
        "if refund.state is not RefundState.REQUESTED:",
        DOMAIN,
    ),
    Mutant(
        "a refund that has ended is sent by who held its lease",
        REFUNDS,
        "if refund.state is not RefundState.REQUESTED or not lease or refund.lease != lease:",
        "if not lease or refund.lease != lease:",
        DOMAIN,
    ),
    Mutant(
        "a refund is taken before its date",
        REFUNDS,
        "    if refund.next_check_at is None or refund.next_check_at > now or refund.lease == lease:\n",
        "    if refund.next_check_at is None or refund.lease == lease:\n",
        DOMAIN,
    ),
    Mutant(
        "a refund that is claimed comes again at once",
        REFUNDS,
        "replace(refund, lease=lease, next_check_at=now + pause)",
        "replace(refund, lease=lease)",
        DOMAIN_ALONE,
    ),
    Mutant(
        "a refund that was sent is queried no more",
        REFUNDS,
        "        next_check_at=now + refund.pause(now),\n    )\n    return replace(_replace_refund(order, sent)",
        "        next_check_at=None,\n    )\n    return replace(_replace_refund(order, sent)",
    ),
    Mutant(
        "a refund is sent without a minute after the one before",
        REFUNDS,
        "    return replace(_replace_refund(order, sent), last_refund_at=now)\n",
        "    return _replace_refund(order, sent)\n",
    ),
    Mutant(
        "a refund may move from any state to any other",
        REFUNDS,
        "    if remote.state in REFUND_TRANSITIONS[refund.state]:\n",
        "    if remote.state is not refund.state:\n",
        REFUND_TESTS,
    ),
    Mutant(
        "an event is told once of a refund that changed twice",
        REFUNDS,
        "{moved.created_at.isoformat()}\\n{moved.changes}",
        "{moved.created_at.isoformat()}",
        DOMAIN,
    ),
    Mutant("a refund is repeated to the next host", "wechat/pay/v3/refunds.py", ", repeatable=False", "", GATEWAYS),
    Mutant(
        "a refund over v2 is repeated to the next host",
        "wechat/pay/v2/refunds.py",
        "            repeatable=False,\n",
        "",
        GATEWAYS,
    ),
)
CHECK_LEASES = (
    Mutant(
        "an order's check is taken before its date",
        DUE_WORK,
        "    if order.next_check_at is None or order.next_check_at > now or order.check_lease == lease:\n",
        "    if order.next_check_at is None or order.check_lease == lease:\n",
        DOMAIN,
    ),
    Mutant(
        "an order's check that is taken has no date",
        DUE_WORK,
        "check_lease=lease, next_check_at=now + CHECK_LEASE)",
        "check_lease=lease, next_check_at=None)",
        DOMAIN_ALONE,
    ),
    Mutant(
        "the lease of a check lasts an hour",
        DUE_WORK,
        "CHECK_LEASE = timedelta(seconds=25)",
        "CHECK_LEASE = timedelta(hours=1)",
        WORKER_TESTS,
    ),
    Mutant(
        "whoever checked an order sets its next date",
        TRANSITIONS,
        "    if order.paid or order.next_check_at is None or order.check_lease != lease:\n",
        "    if order.paid or order.next_check_at is None:\n",
        DOMAIN,
    ),
    Mutant(
        "the date of a paid order is set",
        TRANSITIONS,
        "    if order.paid or order.next_check_at is None or order.check_lease != lease:\n",
        "    if order.check_lease != lease:\n",
        DOMAIN,
    ),
    Mutant(
        "whoever checked a closed order ends its checks",
        TRANSITIONS,
        "order.next_check_at is None or order.check_lease != lease:\n        return order\n    return order.with_entry",
        "order.next_check_at is None:\n        return order\n    return order.with_entry",
        DOMAIN,
    ),
    Mutant(
        "an order that is closed while it is being placed is not closed again",
        TRANSITIONS,
        '        return order.with_entry(entry, prepay=prepay, next_check_at=check_at, check_lease="")\n',
        "        return order.with_entry(entry, prepay=prepay)\n",
        DOMAIN,
    ),
    Mutant(
        "a paid order is closed",
        TRANSITIONS,
        "    if order.paid:\n        raise Conflict(\n",
        "    if False:\n        raise Conflict(\n",
        DOMAIN,
    ),
)
DELIVERY_LEASES = (
    Mutant(
        "a delivery is taken before its date",
        DELIVERIES,
        "delivery.due_at is not None and delivery.due_at <= now\n",
        "delivery.due_at is not None\n",
        DELIVERY_TESTS,
    ),
    Mutant(
        "a delivery that is taken comes again at once",
        DELIVERIES,
        "    return replace(delivery, lease=lease, due_at=until, blocked=False)\n",
        "    return replace(delivery, lease=lease, blocked=False)\n",
        DELIVERY_TESTS_ALONE,
    ),
    Mutant(
        "a delivery that is taken has no date",
        DELIVERIES,
        "    return replace(delivery, lease=lease, due_at=until, blocked=False)\n",
        "    return replace(delivery, lease=lease, due_at=None, blocked=False)\n",
        DELIVERY_TESTS_ALONE,
    ),
    Mutant(
        "a delivery that has ended is tried again by who held its lease",
        DELIVERIES,
        "    if delivery.lease != lease or not delivery.pending:\n        return delivery\n    return replace(_add",
        "    if delivery.state is DeliveryState.DEAD:\n        return delivery\n    return replace(_add",
        DELIVERY_TESTS,
    ),
    Mutant(
        "a delivery that was handed over after its lease does not count",
        DELIVERIES,
        "    late_success = state is DeliveryState.DELIVERED and delivery.state is not DeliveryState.DELIVERED\n",
        "    late_success = False\n",
        DELIVERY_TESTS,
    ),
    Mutant(
        "the next delivery is not told that the one before has ended",
        DELIVERY_WORKER,
        "        if following and following.blocked:\n",
        "        if False:\n",
        DELIVERY_TESTS,
    ),
    Mutant(
        "a delivery whose predecessor ends meanwhile stays blocked",
        DELIVERY_WORKER,
        "        if await self._earlier(delivery) is None:\n            await",
        "        if False:\n            await",
        DELIVERY_TESTS,
    ),
    Mutant(
        "a delivery that was given up on is pending for ever",
        DELIVERY_WORKER,
        "        if delivery.tries < len(DELAYS_S):\n",
        "        if delivery.tries < 9 * len(DELAYS_S):\n",
        DELIVERY_TESTS,
    ),
)
BATCHES = (
    Mutant(
        "a batch tells each caller what became of the first",
        COMMIT,
        "        for waiter, result in zip(batch, results, strict=True):\n",
        "        for waiter, result in zip(batch, [results[0]] * len(batch), strict=True):\n",
    ),
    Mutant(
        "what does not fit a batch is dropped",
        COMMIT,
        "        self._waiting.extendleft(reversed(kept))\n",
        "",
    ),
)
LEASES = (*REFUND_LEASES, *CHECK_LEASES, *DELIVERY_LEASES, *BATCHES)
