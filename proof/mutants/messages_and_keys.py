"""Mutants of the checks that protect money, tokens and keys; ``proof.mutants.run`` has the others and runs all."""

from __future__ import annotations

from proof.mutants.mutant import Mutant

PAYMENTS = "wechat/domain/payments.py"
REFUNDS = "wechat/domain/refunds.py"
TRANSITIONS = "wechat/domain/transitions.py"
CERTIFICATES = "wechat/pay/certificates.py"
ORDER_SERVICE = "wechat/orders/service.py"
RECEIVER = "wechat/notifications/receiver.py"
RECORDER = "wechat/orders/payments.py"
REFUND_SERVICE = "wechat/refunds/service.py"
SIGNING = "wechat/pay/signing.py"
TOKENS = "wechat/account/tokens.py"
V2 = "wechat/pay/v2/gateway.py"

MESSAGES = (
    Mutant(
        "v2's signature is checked where there is one",
        SIGNING,
        '    sign = fields.get("sign", "")\n    kind',
        '    sign = fields.get("sign", "")\n    if not sign:\n        return SignType.MD5\n    kind',
    ),
    Mutant(
        "the account is not compared", PAYMENTS, "        MismatchReason.APPID: (order.appid, transaction.appid),\n", ""
    ),
    Mutant(
        "what the payer parted with counts as the amount",
        "wechat/pay/v3/payloads.py",
        'total=fen(amount, "total") if state.paid',
        'total=fen(amount, "payer_total") if state.paid',
    ),
    Mutant(
        "the time of a message is not checked",
        SIGNING,
        "    if abs(now_s - int(timestamp)) >= WINDOW_S:\n",
        "    if False:\n",
    ),
    Mutant(
        "a message that fails v3's check is tried as v2's",
        RECEIVER,
        "        return gateway.receive(arrival.headers, arrival.body, arrived_at=arrival.at)\n",
        "        try:\n            return gateway.receive(arrival.headers, arrival.body, arrived_at=arrival.at)\n"
        "        except SignatureInvalid:\n"
        "            return self._gateways[Api.V2].receive({}, arrival.body, arrived_at=arrival.at)\n",
    ),
    Mutant(
        "a notification is applied before it is stored",
        RECEIVER,
        "        stored, refusal = await asyncio.gather(recorded, self._reserve(transaction))\n",
        "        refusal = await self._reserve(transaction)\n"
        "        await self._apply(message, refusal, _build_stored(message, arrival, now, now + self._keep))\n"
        "        stored = await recorded\n",
    ),
    Mutant(
        "v2's notice of a refund is not a reason to query",
        RECEIVER,
        "            if refund.state is not RefundState.SUCCESS:\n",
        "            if False:\n",
    ),
    Mutant(
        "a transaction may pay two orders",
        RECORDER,
        "            raise Mismatch(MismatchReason.TRANSACTION_USED)\n",
        "            return\n",
    ),
)
"""Mutants of the verification of messages."""

KEYS = (
    Mutant(
        "a key that is not known is looked for each time",
        CERTIFICATES,
        "                await asyncio.sleep(self._rest_ends_s - self._clock.monotonic())\n",
        "",
    ),
    Mutant(
        "a key that is named soon after a strange one is not looked for",
        CERTIFICATES,
        "        self._wanted.set()\n",
        "        if self._clock.monotonic() >= self._rest_ends_s:\n            self._wanted.set()\n",
        "tests/unit/pay/test_certificates.py::"
        "test_a_new_key_named_soon_after_a_strange_one_is_known_when_the_rest_ends; "
        "rare: seeds 1 to 60 do not find it",
    ),
    Mutant(
        "a key that is not known is never looked for",
        CERTIFICATES,
        "        ring.on_unknown = self.want\n",
        "        pass\n",
    ),
    Mutant(
        "a key that has ended is good",
        CERTIFICATES,
        "        if not platform_key.valid(self._clock.now()):\n",
        "        if False:\n",
    ),
    Mutant(
        "whoever has no key is believed",
        CERTIFICATES,
        '            raise SignatureInvalid("unknown_serial")\n',
        "            return next(iter(self._certificates.values()), self._public_key).key\n",
    ),
    Mutant(
        "a failed download empties the ring",
        CERTIFICATES,
        "            except FenpayError as error:\n",
        "            except FenpayError as error:\n                self._ring._certificates = {}\n",
    ),
    Mutant(
        "a token is fetched without the lock",
        TOKENS,
        "        while (fence := await self._store.lock(self._name, LOCK_S)) is None:\n",
        "        fence = await self._store.lock(self._name, LOCK_S) or 0\n        while False:\n",
    ),
    Mutant(
        "whoever waited for the lock fetches once more",
        TOKENS,
        "            fresh = await self._newer_than(before)\n            if fresh is None and",
        "            fresh = None\n            if fresh is None and",
        "tests/unit/account/test_tokens.py::test_the_needs_of_four_processes_are_one_call; "
        "rare: two processes must find the token gone at the same moment; seeds 1 to 235 do not find it",
    ),
    Mutant(
        "a token that is refused is used again",
        TOKENS,
        "            await self._access.reject(token)\n",
        "",
    ),
    Mutant(
        "a token that is refused is dropped by Redis alone",
        TOKENS,
        "        if self._held and self._held.value == value:\n            self._held = None\n",
        "",
    ),
    Mutant("a token does not end", TOKENS, "        return self._left_s(token) > 0\n", "        return True\n"),
    Mutant(
        "a token is dated by the clock of whoever stored it",
        "storage/redis/token_cache.py",
        "            token = by_our_clock(token, self._clock.now() + left_ms * MILLISECOND)\n",
        "",
    ),
    Mutant(
        "a token of an earlier holder of the lock replaces a newer one",
        "storage/memory/tokens.py",
        "        if held and held.fence > token.fence:\n            return False\n",
        "",
        "tests/contract/test_shared_values.py::test_a_lower_fence_never_overwrites_a_higher_one; the older token is "
        "used only while Redis is away; WeChat refuses it once and the process fetches another, which it may after a "
        "failure of Redis",
    ),
)
"""Mutants of tokens, tickets and certificates."""
