"""Mutants of promises that other parts of the service make good later: acknowledgements, one event of each kind, alarms
and limits."""

from __future__ import annotations

from proof.mutants.messages_and_keys import RECEIVER
from proof.mutants.mutant import Mutant

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

PROMISES = (*ACKNOWLEDGEMENTS, *WORDS)
