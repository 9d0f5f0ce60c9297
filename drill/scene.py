"""The setting of a drill: its participants, its clock, and its record for the verdict."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from drill.plan import UNPAID, PlannedOrder, Refunding
from drill.shop import Shop, WeChat
from drill.stack import Stack
from storage.mongo.storage import MongoStorage
from wechat.domain.deliveries import DeliveryState
from wechat.domain.errors import Bilingual

AT_ONCE = 16
QUIET_S = 120.0
LOOK_S = 0.2
MOST_UNTOLD = 10_000

Say = Callable[[Bilingual], None]
T = TypeVar("T")


@dataclass(slots=True)
class DayRecord:
    """The drill's record of its own acts and their results, for the verdict to compare.

    ``poor`` and ``untrusted`` are the numbers of the refunds that were requested without balance, and while WeChat Pay
    refused the merchant's credentials.
    """

    planned: list[PlannedOrder]
    day: date
    refunding: dict[str, Refunding] = field(default_factory=dict)
    too_much: int = 0
    too_much_refused: int = 0
    poor: list[str] = field(default_factory=list)
    repeated: int = 0
    repeated_as_one: int = 0
    untrusted: list[str] = field(default_factory=list)
    late_then_placed: int = 0
    new_serial: str = ""
    serials: list[str] = field(default_factory=list)
    till: list[str] = field(default_factory=list)
    planted: set[tuple[str, str]] = field(default_factory=set)
    repaired: dict[str, Any] = field(default_factory=dict)
    practice: list[dict[str, Any]] = field(default_factory=list)
    last: list[dict[str, Any]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    ledgers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def late(self) -> list[PlannedOrder]:
        """The orders that are placed while WeChat Pay refuses the merchant's credentials."""
        return [customer for customer in self.planned if customer.is_late]

    @property
    def plainly_paid(self) -> list[str]:
        """The numbers of the morning's paid orders without any anomaly."""
        return [c.number for c in self.planned if c.odd is None and c.scenario not in UNPAID and not c.is_late]


@dataclass(frozen=True, slots=True)
class Scene:
    """``say`` is called with each step before it starts."""

    stack: Stack
    shop: Shop
    wechat: WeChat
    store: MongoStorage
    chance: random.Random
    record: DayRecord
    say: Say

    async def advance(self, span: timedelta) -> None:
        """Move the simulated clock ahead, and wait until the participants have done what is then due."""
        await self.wechat.advance(span)
        await self.wait_until_quiet()

    async def advance_to(self, moment: datetime) -> None:
        await self.wechat.advance(moment - await self.wechat.now())

    async def wait_until_quiet(self) -> None:
        """Wait until no order, refund, event or delivery is overdue. Raises TimeoutError."""
        async with asyncio.timeout(QUIET_S):
            busy = True
            while busy:
                busy = await self._has_due_work()
                await asyncio.sleep(LOOK_S)

    async def count_untold(self) -> int:
        """Return the number of pending deliveries, due or not."""
        return len((await self.store.deliveries.find(state=DeliveryState.PENDING, limit=MOST_UNTOLD, cursor="")).items)

    async def add_faults(self, faults: Iterable[Mapping[str, Any]]) -> None:
        for fault in faults:
            await self.wechat.control("POST", "faults", fault)

    async def end_faults(self) -> None:
        await self.wechat.control("DELETE", "faults")

    async def _has_due_work(self) -> bool:
        now, store = await self.wechat.now(), self.store
        return bool(
            await store.orders.list_due(now, 1)
            or await store.orders.with_events(now, 1)
            or await store.deliveries.list_due("drill", now, 1)
        )


async def for_all(work: Callable[[T], Awaitable[None]], things: Iterable[T]) -> None:
    """Call ``work`` for each, a limited number at once."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(thing: T) -> None:
        async with places:
            await work(thing)

    async with asyncio.TaskGroup() as group:
        for thing in things:
            group.create_task(one(thing))
