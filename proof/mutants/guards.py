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
        "tests/unit/notifications/test_refund_notices.py; a gateway compares the amounts of an answer too",
    ),
    Mutant(
        "failed refunds are kept for ever",
        REFUNDS,
        "dropped = set(may_go[: max(0, len(failed) - MAX_FAILED)])",
        "dropped: set[str] = set()",
        "tests/unit/domain/test_domain.py; it takes fifty refunds of one order that fail",
    ),
    Mutant(
        "a refund is made fifty-one times",
        REFUNDS,
        "return len(counted) < MAX_REFUNDS and refundable",
        "return refundable",
        "tests/unit/domain/test_domain.py; nobody here refunds an order so often",
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
        "tests/unit/domain/test_models.py; each transition has a guard of its own before it",
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
        "tests/unit/refunds/test_refunds.py; a refund that is there refuses another amount under its number as well",
    ),
    Mutant(
        "one Idempotency-Key stands for any sale",
        ORDER_SERVICE,
        "request.digest(), draft)",
        '"", draft)',
        "tests/unit/orders/test_orders.py; an order that is there refuses another sale under its number as well",
    ),
)
"""Mutants of compare-and-set, and of the order of two writes."""

EDGES = (
    Mutant(
        "secrets are compared with ==",
        SIGNING,
        "if not hmac.compare_digest(v2_sign(fields, key, kind).encode(), sign.encode()):",
        "if v2_sign(fields, key, kind) != sign:",
        "tests/test_architecture.py; it is a matter of microseconds",
    ),
    Mutant(
        "an amount that is missing is not compared",
        PAYMENTS,
        "MismatchReason.TOTAL: (order.total, transaction.total),",
        "MismatchReason.TOTAL: (order.total, transaction.total or order.total),",
        "tests/unit/domain/test_domain.py; the gateways refuse a payment without an amount",
    ),
    Mutant(
        "the merchant is not compared",
        PAYMENTS,
        "        MismatchReason.MCHID: (order.mchid, transaction.mchid),\n",
        "",
        "tests/unit/domain/test_domain.py; an order is found by its merchant's number",
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
        "tests/unit/pay/test_xmlcodec.py; it needs a message that WeChat has signed and never sends",
    ),
    Mutant(
        "v2's answer for another merchant is believed",
        V2,
        'ours = fields.get("mch_id") == self._merchant.mchid and fields.get("appid") == appid',
        "ours = True",
        "tests/unit/pay/test_v2_answers.py; it needs WeChat to answer for another merchant under our key",
    ),
    Mutant(
        "v2's answer without a nonce is believed",
        V2,
        'if not ours or not fields.get("nonce_str"):',
        "if not ours:",
        "tests/unit/pay/test_v2_answers.py; it needs a signature that WeChat has made and never sends",
    ),
    Mutant(
        "a session of another account is taken",
        "handlers/web/base.py",
        'return str(session["openid"]) if session.get("appid") == settings.account.appid and not revoked else ""',
        'return str(session["openid"])',
        "tests/http/test_access.py; there is no HTTP here",
    ),
)
"""Mutants that no simulation can find."""

GUARDED = (*MESSAGES, *KEYS, *GUARDS, *WRITES, *EDGES)
