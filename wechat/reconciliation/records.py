"""The merchant's stored days and differences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta
from functools import partial

from wechat.domain.errors import StoreUnavailable
from wechat.domain.ports import Page, Runtime
from wechat.reconciliation.books import Audit, Difference, Reconciliation, Status, find_again, set_status
from wechat.reconciliation.days import (
    BookDay,
    DayLease,
    day_key,
    finish_day,
    plan_day,
    postpone_day,
    take_day,
    take_due_day,
)
from wechat.reconciliation.ports import DayStore, DifferenceStore
from wechat.support.update import Transition, Updater

LEASE_BYTES = 6
DUE = 20  # due days that are tried to lease one
BATCH = 500


class BookRecords:
    """Days and differences of the merchant ``mchid``."""

    def __init__(self, mchid: str, days: DayStore, differences: DifferenceStore, runtime: Runtime) -> None:
        self.mchid = mchid
        self._days = days
        self._differences = differences
        self._random = runtime.random
        self._day: Updater[BookDay] = Updater(days, lambda day: day.key, runtime.random, remembered=0)
        self._difference: Updater[Difference] = Updater(
            differences, lambda difference: difference.id, runtime.random, remembered=0
        )

    # -- days -----------------------------------------------------------------------------------------------------

    async def newest(self) -> date | None:
        """Return the latest planned day."""
        return await self._days.newest(self.mchid)

    async def oldest(self) -> date | None:
        """Return the first planned day."""
        return await self._days.oldest(self.mchid)

    async def plan(self, day: date, due_at: datetime) -> None:
        """Plan ``day`` for ``due_at``; a day that was run by hand only becomes planned."""
        if not await self._day.insert(BookDay(self.mchid, day, due_at, planned=True)):
            await self._change(day, plan_day)

    async def take_due(self, now: datetime, lease: timedelta) -> DayLease | None:
        """Lease the earliest day that is due and that no other run holds; None without one."""
        for stored in await self._days.list_due(self.mchid, now, DUE):
            token = self._random.token(LEASE_BYTES)
            try:
                change = await self._day.change(stored, partial(take_due_day, lease=token, now=now, span=lease))
            except StoreUnavailable:
                continue
            if change and change.happened:
                return DayLease(stored.value.day, token)
        return None

    async def take(self, day: date, now: datetime, lease: timedelta) -> DayLease | None:
        """Lease ``day``, done or not; None while another run holds it."""
        token = self._random.token(LEASE_BYTES)
        await self._day.insert(BookDay(self.mchid, day, now))
        change = await self._day.update(day_key(self.mchid, day), lambda held: take_day(held, token, now, lease))
        return DayLease(day, token) if change and change.after.lease == token else None

    async def postpone(self, leased: DayLease, due_at: datetime) -> None:
        """Release the lease and run again at ``due_at``; ignored when another run has taken over."""
        await self._change(leased.day, lambda held: postpone_day(held, leased.token, due_at))

    async def finish(self, leased: DayLease, result: Reconciliation) -> bool:
        """Store the result and release the lease; False, and no change, when another run has taken over."""
        key = day_key(self.mchid, leased.day)
        change = await self._day.update(key, lambda held: finish_day(held, leased.token, result))
        return change is not None and change.happened

    async def result(self, day: date) -> Reconciliation | None:
        held = await self._day.get(day_key(self.mchid, day))
        return held.result if held else None

    async def days(self, first: date, last: date) -> Sequence[BookDay]:
        """Return the stored days from ``first`` to ``last``, done or not, earliest first."""
        return await self._days.between(self.mchid, first, last)

    # -- differences ----------------------------------------------------------------------------------------------

    async def record(self, differences: Sequence[Difference]) -> int:
        """Store new differences; mark known ones as found again, and open those that were cleared.

        Returns how many of ``differences`` are open.
        """
        return sum(await asyncio.gather(*[self._record_one(difference) for difference in differences]))

    async def close_gone(self, day: date, before: datetime, entry: Audit) -> int:
        """Move differences last found before ``before`` from ``entry.source`` to ``entry.target``. Return their
        number."""
        moved = 0
        async for page in self._pages(day):
            gone = [each for each in page if each.status is entry.source and each.seen_at < before]
            changes = await asyncio.gather(*[self.audit(each.id, entry) for each in gone])
            moved += sum(change is not None for change in changes)
        return moved

    async def difference(self, day: date, difference_id: str) -> Difference | None:
        found = await self._difference.get(difference_id)
        return found if found and (found.mchid, found.day) == (self.mchid, day) else None

    async def differences(self, day: date, *, limit: int, cursor: str) -> Page[Difference]:
        """Return the differences of a day, by id."""
        return await self._differences.of_day(self.mchid, day, limit=limit, cursor=cursor)

    async def list_open(self, limit: int) -> Sequence[Difference]:
        """Return the open differences of all days, those found first at the front."""
        return await self._differences.list_open(self.mchid, limit)

    async def audit(self, difference_id: str, entry: Audit) -> Difference | None:
        """Change a difference from ``entry.source`` to ``entry.target`` and add ``entry``; None in any other status."""
        change = await self._difference.update(difference_id, lambda held: set_status(held, entry))
        return change.after if change and change.happened else None

    async def _record_one(self, difference: Difference) -> bool:
        """Store a difference. Return whether it is open."""
        if await self._difference.insert(difference):
            return True
        change = await self._difference.update(difference.id, lambda held: find_again(held, difference.found_at))
        return change is not None and change.after.status is Status.OPEN

    async def _pages(self, day: date) -> AsyncIterator[Sequence[Difference]]:
        cursor = ""
        while True:
            page = await self.differences(day, limit=BATCH, cursor=cursor)
            yield page.items
            if not (cursor := page.next_cursor):
                return

    async def _change(self, day: date, transition: Transition[BookDay]) -> None:
        await self._day.update(day_key(self.mchid, day), transition)
