"""Mutants of the guards of the domain's transitions, and of the order of writes."""

from __future__ import annotations

from proof.mutants.messages_and_keys import (
    KEYS,
    MESSAGES,
    ORDER_SERVICE,
    PAYMENTS,
    RECEIVER,
    REFUND_SERVICE,
    REFUNDS,
    SIGNING,
    TRANSITIONS,
    V2,
)
from proof.mutants.mutant import Mutant

STORED_REFUNDS = "tests/storage/test_refunds.py"
NINE_REFUNDS = "an order has at most nine refunds here: five by merchants, two by the policy, two in the console"
V2_ANSWERS = "tests/unit/pay/test_v2_answers.py::test_an_answer_for_somebody_else_or_without_a_nonce_proves_nothing"

GUARDS = (
    Mutant(
        "an order that is not paid is refunded",
        REFUNDS,
        "    if not order.paid or order.paid_at is None:\n",
        "    if False:\n",
    ),
    Mutant(
        "a refund's amount is not compared",
        REFUNDS,
        "        MismatchReason.REFUND: (refund.refund, remote.refund),\n",
        "",
        f"{STORED_REFUNDS}::test_a_fact_that_does_not_match_changes_nothing; the simulated WeChat notifies "
        "each refund with its own amount, and the gateways compare the amounts of answers themselves",
    ),
    Mutant(
        "failed refunds are kept for ever",
        REFUNDS,
        "dropped = set(may_go[: max(0, len(failed) - MAX_FAILED)])",
        "dropped: set[str] = set()",
        f"{STORED_REFUNDS}::test_refunds_that_came_to_nothing_are_kept_up_to_a_bound_and_stop_no_other; {NINE_REFUNDS}",
    ),
    Mutant(
        "a refund is made fifty-one times",
        REFUNDS,
        "return len(counted) < MAX_REFUNDS and refundable",
        "return refundable",
        f"{STORED_REFUNDS}::test_of_a_hundred_refunds_of_1_on_a_100_order_fifty_are_reserved; {NINE_REFUNDS}",
    ),
    Mutant(
        "a late payment is looked at for ever",
        TRANSITIONS,
        '    return order.with_entry(entry, next_check_at=None, check_lease="")\n\n\ndef remove_events',
        "    return order.with_entry(entry)\n\n\ndef remove_events",
    ),
    Mutant(
        "every move of an order is legal",
        "wechat/domain/orders.py",
        "if target not in TRANSITIONS[self.trade_state]:",
        "if False:",
        "tests/unit/domain/test_models.py::test_an_order_moves_along_the_table_only; no caller wants an illegal move, "
        "because each checks the state itself before: this is a second guard",
    ),
)
"""Mutants of each guard of a transition."""

WRITES = (
    Mutant(
        "a refund is added to the order as it was read before",
        REFUND_SERVICE,
        "lambda current: _request_and_send(current, draft, alone_above, now)",
        "lambda _: _request_and_send(order, draft, alone_above, now)",
    ),
    Mutant(
        "a refund is sent before that is written",
        REFUND_SERVICE,
        "        now = self._clock.now()\n        try:\n            change = await self._updates.update(\n"
        "                order.key, lambda o: transitions.send_or_queue(",
        "        now = self._clock.now()\n        await self._send(order, refund)\n        try:\n"
        "            change = await self._updates.update(\n"
        "                order.key, lambda o: transitions.send_or_queue(",
    ),
    Mutant(
        "an order is placed before it is stored",
        ORDER_SERVICE,
        "        order = await self._intake.insert(draft)\n",
        "        await self._gateway(draft).prepay(draft, self._clock.now())\n"
        "        order = await self._intake.insert(draft)\n",
    ),
    Mutant(
        "a payment's number is reserved after its order is written",
        RECEIVER,
        "        stored, refusal = await asyncio.gather(recorded, self._reserve(transaction))\n",
        "        stored, refusal = await recorded, None\n",
    ),
    Mutant(
        "a refund's number is reserved after its order is written",
        REFUND_SERVICE,
        "        await self._reserve_number(order, draft.out_refund_no)\n        lease, now",
        "        lease, now",
    ),
    Mutant(
        "events are staged by a write of their own",
        "wechat/orders/updates.py",
        "        change = await self._updater.update(key, self._without_unwanted_events(transition))\n",
        """
        def apply(order: Order) -> Order:
            after = transition(order)
            return after if after is order else replace(after, outbox=min(after.outbox, order.outbox, key=len))

        change = await self._updater.update(key, apply)
        if change is not None and change.happened:
            staged = transition(change.before).outbox[len(change.before.outbox) :]
            await self._updater.update(
                key, lambda order: replace(order, outbox=(*order.outbox, *staged)) if staged else order
            )
""",
    ),
    Mutant(
        "an event goes to the first receiver alone",
        "wechat/events/relay.py",
        "for target in self._targets if target.wants(event.type)]",
        "for target in self._targets[:1] if target.wants(event.type)]",
    ),
    Mutant(
        "one Idempotency-Key stands for refunds of any amount",
        REFUND_SERVICE,
        "wanted.digest(out_trade_no)",
        "out_trade_no",
        "tests/http/test_refunds.py::test_the_same_key_is_one_refund_and_another_wish_a_mismatch; the merchants here "
        "use no key for two amounts, and the stored refund would refuse the second: only the code of the refusal "
        "differs",
    ),
    Mutant(
        "one Idempotency-Key stands for any sale",
        ORDER_SERVICE,
        "request.digest(), draft)",
        '"", draft)',
        "tests/http/test_orders.py::test_a_key_with_another_body_is_a_422; the stored order refuses another sale under "
        "its number: only the code of the refusal differs, which the merchants here do not read",
    ),
)
"""Mutants of compare-and-set, and of the order of two writes."""

EDGES = (
    Mutant(
        "secrets are compared with ==",
        SIGNING,
        "if not hmac.compare_digest(v2_sign(fields, key, kind).encode(), sign.encode()):",
        "if v2_sign(fields, key, kind) != sign:",
        "tests/test_architecture.py::test_secrets_are_compared_in_constant_time; both comparisons have the same "
        "result, and differ by microseconds, which do not pass in virtual time",
    ),
    Mutant(
        "an amount that is missing is not compared",
        PAYMENTS,
        "MismatchReason.TOTAL: (order.total, transaction.total),",
        "MismatchReason.TOTAL: (order.total, transaction.total or order.total),",
        "tests/unit/domain/test_domain.py::test_a_payment_that_differs_is_a_mismatch; both gateways refuse a payment "
        "without an amount before it is compared: this is a second guard",
    ),
    Mutant(
        "the merchant is not compared",
        PAYMENTS,
        "        MismatchReason.MCHID: (order.mchid, transaction.mchid),\n",
        "",
        "tests/storage/test_orders.py::test_a_payment_that_does_not_match_changes_nothing; the key of an order has the "
        "merchant's number in it, so a payment of another merchant finds no order: this is a second guard",
    ),
    Mutant(
        "a document type is allowed",
        "wechat/pay/v2/xmlcodec.py",
        '    if b"\\x00" in body or b"<!DOCTYPE" in body or b"<!ENTITY" in body or '
        'body.startswith(b"\\xef\\xbb\\xbf"):\n'
        '        raise Malformed("xml_forbidden")\n'
        "    try:\n"
        '        body.decode("utf-8")\n'
        "        root = etree.fromstring(body, _PARSER)\n"
        "    except (UnicodeDecodeError, etree.XMLSyntaxError, ValueError):\n"
        '        raise Malformed("xml_syntax") from None\n'
        "    document: Any = root.getroottree().docinfo  # the stubs know half of its attributes\n"
        '    if document.doctype or (document.encoding or "UTF-8").upper() != "UTF-8":\n'
        '        raise Malformed("xml_forbidden")\n',
        "    try:\n"
        "        root = etree.fromstring(body, _PARSER)\n"
        "    except (etree.XMLSyntaxError, ValueError):\n"
        '        raise Malformed("xml_syntax") from None\n',
        "tests/unit/pay/test_xmlcodec.py::test_no_other_way_leads_out_either; what a document type loads "
        "comes from files and sockets, which the simulation does not have, so its attackers send none",
    ),
    Mutant(
        "v2's answer for another merchant is believed",
        V2,
        'ours = fields.get("mch_id") == self._merchant.mchid and fields.get("appid") == appid',
        "ours = True",
        f"{V2_ANSWERS}; the simulated WeChat has one merchant, and an answer for another needs a signature under our "
        "key",
    ),
    Mutant(
        "v2's answer without a nonce is believed",
        V2,
        'if not ours or not fields.get("nonce_str"):',
        "if not ours:",
        f"{V2_ANSWERS}; the simulated WeChat puts a nonce into each answer, and nobody else can sign one",
    ),
    Mutant(
        "a session of another account is taken",
        "handlers/web/base.py",
        'return str(session["openid"]) if session.get("appid") == settings.account.appid and not revoked else ""',
        'return str(session["openid"])',
        "tests/http/test_access.py::test_a_session_of_another_account_is_none; the simulation calls the use cases, and "
        "leaves out the HTTP handlers, which read sessions",
    ),
)
"""Mutants that no simulation can find."""

GUARDED = (*MESSAGES, *KEYS, *GUARDS, *WRITES, *EDGES)
