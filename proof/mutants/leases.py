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

DOMAIN = "tests/unit/domain/test_domain.py"
DELIVERED = "tests/contract/test_deliveries.py"
LATER = (
    "the event comes later, at the date of the one before: the simulation holds events to their order, not to a time"
)

REFUND_LEASES = (
    Mutant(
        "whoever works on a refund holds its lease",
        REFUNDS,
        "if refund.state is not RefundState.REQUESTED or not lease or refund.lease != lease:",
        "if refund.state is not RefundState.REQUESTED:",
        "tests/storage/test_refunds.py::"
        "test_who_holds_an_old_lease_or_a_refund_that_moved_on_does_not_go_on; "
        "rare: seeds 1 to 60 do not find it",
    ),
    Mutant(
        "a refund that has ended is sent by who held its lease",
        REFUNDS,
        "if refund.state is not RefundState.REQUESTED or not lease or refund.lease != lease:",
        "if not lease or refund.lease != lease:",
        f"{DOMAIN}::test_only_the_holder_of_the_lease_sends_or_queues; each change of a refund's state ends its "
        "lease, so the comparison of leases refuses as well",
    ),
    Mutant(
        "a refund is taken before its date",
        REFUNDS,
        "    if refund.next_check_at is None or refund.next_check_at > now or refund.lease == lease:\n",
        "    if refund.next_check_at is None or refund.lease == lease:\n",
    ),
    Mutant(
        "a refund that is claimed comes again at once",
        REFUNDS,
        "replace(refund, lease=lease, next_check_at=now + pause)",
        "replace(refund, lease=lease)",
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
    ),
    Mutant(
        "an event is told once of a refund that changed twice",
        REFUNDS,
        "{moved.created_at.isoformat()}\\n{moved.changes}",
        "{moved.created_at.isoformat()}",
        f"{DOMAIN}::test_an_event_that_comes_again_after_a_change_has_an_id_of_its_own; a refund must become "
        "ABNORMAL twice, and the simulated WeChat moves none from ABNORMAL back to PROCESSING",
    ),
    Mutant(
        "a refund is repeated to the next host",
        "wechat/pay/v3/refunds.py",
        ", repeatable=False",
        "",
    ),
    Mutant(
        "a refund over v2 is repeated to the next host",
        "wechat/pay/v2/refunds.py",
        "            repeatable=False,\n",
        "",
    ),
)
CHECK_LEASES = (
    Mutant(
        "an order's check is taken before its date",
        DUE_WORK,
        "    if order.next_check_at is None or order.next_check_at > now or order.check_lease == lease:\n",
        "    if order.next_check_at is None or order.check_lease == lease:\n",
        "tests/unit/domain/test_domain.py::"
        "test_a_check_is_claimed_from_its_date_on_and_comes_again_when_the_lease_has_run_out; "
        "a worker reads only orders of which something is due, and the revision refuses the claim of one that has "
        "changed since; of a paid order nothing but a refund is due once the policy for late payments has been applied",
    ),
    Mutant(
        "an order's check that is taken has no date",
        DUE_WORK,
        "check_lease=lease, next_check_at=now + CHECK_LEASE)",
        "check_lease=lease, next_check_at=None)",
    ),
    Mutant(
        "the lease of a check lasts an hour",
        DUE_WORK,
        "CHECK_LEASE = timedelta(seconds=25)",
        "CHECK_LEASE = timedelta(hours=1)",
    ),
    Mutant(
        "whoever checked an order sets its next date",
        TRANSITIONS,
        "    if order.paid or order.next_check_at is None or order.check_lease != lease:\n",
        "    if order.paid or order.next_check_at is None:\n",
    ),
    Mutant(
        "the date of a paid order is set",
        TRANSITIONS,
        "    if order.paid or order.next_check_at is None or order.check_lease != lease:\n",
        "    if order.check_lease != lease:\n",
        f"{DOMAIN}::test_no_check_is_scheduled_for_an_order_that_has_moved; a payment ends the lease of the check, "
        "so the comparison of leases refuses as well",
    ),
    Mutant(
        "whoever checked a closed order ends its checks",
        TRANSITIONS,
        "order.next_check_at is None or order.check_lease != lease:\n        return order\n    return order.with_entry",
        "order.next_check_at is None:\n        return order\n    return order.with_entry",
        "tests/unit/domain/test_domain.py::"
        "test_an_order_that_wechat_did_not_know_is_closed_and_checked_once_more; "
        "rare: seeds 1 to 420 do not find it",
    ),
    Mutant(
        "an order that is closed while it is being placed is not closed again",
        TRANSITIONS,
        '        return order.with_entry(entry, prepay=prepay, next_check_at=check_at, check_lease="")\n',
        "        return order.with_entry(entry, prepay=prepay)\n",
        "tests/unit/domain/test_domain.py::"
        "test_a_prepay_that_arrives_after_the_close_has_the_order_checked_and_closed_at_wechat; "
        "WeChat does not know an order that is closed while it is being placed, so the order is checked ten minutes "
        "later in any case, and a simulated request ends within seconds",
    ),
    Mutant(
        "a paid order is closed",
        TRANSITIONS,
        "    if order.paid:\n        raise Conflict(\n",
        "    if False:\n        raise Conflict(\n",
        "tests/unit/domain/test_domain.py::test_a_paid_order_is_not_closed; rare: seeds 1 to 60 do not find it",
    ),
)
DELIVERY_LEASES = (
    Mutant(
        "a delivery is taken before its date",
        DELIVERIES,
        "delivery.due_at is not None and delivery.due_at <= now\n",
        "delivery.due_at is not None\n",
        f"{DELIVERED}::test_a_delivery_that_is_due_is_claimed_until_its_lease_runs_out; a worker reads only "
        "deliveries that are due, and the revision refuses the claim of one that has changed since",
    ),
    Mutant(
        "a delivery that is taken comes again at once",
        DELIVERIES,
        "    return replace(delivery, lease=lease, due_at=until, blocked=False)\n",
        "    return replace(delivery, lease=lease, blocked=False)\n",
    ),
    Mutant(
        "a delivery that is taken has no date",
        DELIVERIES,
        "    return replace(delivery, lease=lease, due_at=until, blocked=False)\n",
        "    return replace(delivery, lease=lease, due_at=None, blocked=False)\n",
    ),
    Mutant(
        "a delivery that has ended is tried again by who held its lease",
        DELIVERIES,
        "    if delivery.lease != lease or not delivery.pending:\n        return delivery\n    return replace(_add",
        "    if delivery.state is DeliveryState.DEAD:\n        return delivery\n    return replace(_add",
    ),
    Mutant(
        "a delivery that was handed over after its lease does not count",
        DELIVERIES,
        "    late_success = state is DeliveryState.DELIVERED and delivery.state is not DeliveryState.DELIVERED\n",
        "    late_success = False\n",
        f"{DELIVERED}::test_a_stale_holder_changes_nothing_but_that_it_was_delivered; the event is delivered once "
        "more, which receivers must accept, and nothing else differs",
    ),
    Mutant(
        "the next delivery is not told that the one before has ended",
        DELIVERY_WORKER,
        "        if following and following.blocked:\n",
        "        if False:\n",
        f"{DELIVERED}::test_a_later_event_of_an_order_waits_for_the_earlier_one_and_follows_it_at_once; {LATER}",
    ),
    Mutant(
        "a delivery whose predecessor ends meanwhile stays blocked",
        DELIVERY_WORKER,
        "        if await self._earlier(delivery) is None:\n            await",
        "        if False:\n            await",
        f"{DELIVERED}::test_no_event_is_left_waiting_when_its_predecessor_ends_while_it_is_blocked; {LATER}",
    ),
    Mutant(
        "a delivery that was given up on is pending for ever",
        DELIVERY_WORKER,
        "        if delivery.tries < len(DELAYS_S):\n",
        "        if delivery.tries < 9 * len(DELAYS_S):\n",
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
