"""A process that delivers one event, to be killed after the receiver has it and before the store does.

    python -m tests.support.delivery_process MONGO_URL DATABASE RECEIVER_URL

Prints ``told`` once the receiver has the event, and then does nothing more.
"""

from __future__ import annotations

import asyncio
import sys

from tests.contract.samples import a_storage
from tests.support.clock import ManualClock
from tests.support.runtime import a_runtime
from tests.support.webhooks import AT, a_webhook
from wechat.domain.deliveries import Event, Outcome
from wechat.events.delivery_worker import DeliveryWork
from wechat.events.webhooks import Webhook
from wechat.support.worker import Worker


class NeverReturning:
    """A target whose ``deliver`` never returns."""

    def __init__(self, target: Webhook) -> None:
        self.name = target.name
        self._target = target

    def wants(self, event_type: str) -> bool:
        return self._target.wants(event_type)

    async def deliver(self, event: Event) -> Outcome:
        await self._target.deliver(event)
        print("told", flush=True)  # noqa: T201 - what the parent waits for
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def main(mongo_url: str, database: str, receiver_url: str) -> None:
    clock = ManualClock(AT)
    store = a_storage(mongo_url, database, clock=clock)
    runtime = a_runtime(clock)
    work = DeliveryWork(NeverReturning(a_webhook(receiver_url)), store.deliveries, runtime)
    await Worker(work, runtime, loops=1).once()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
