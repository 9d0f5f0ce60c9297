"""The operator of reconciliation: runs days with differences again, repairs them, and closes the books."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import date
from typing import Any, TypeVar

from proof.runtime.ports import SimulatedClock
from proof.runtime.trace import Trace
from proof.service.cluster import Cluster, NoAnswer
from proof.service.process import ServiceProcess
from proof.wechat.bills import Bills, Stage, beijing_day
from proof.wechat.payments import WeChat
from storage.memory.storage import MemoryDatabase
from storage.stores.all import DAYS, DIFFERENCES
from storage.stores.days import DAY, DIFFERENCE
from wechat.domain.errors import CallerError, FenpayError
from wechat.reconciliation.books import ACTIONS, Action, Difference, Status

T = TypeVar("T")

PAUSE_S = 3 * 3600.0
PATIENCE = 3
"""The number of attempts at an action, when nothing else will happen, before a difference is marked as checked."""
BY = "bookkeeper"


class Bookkeeper:
    """Works without end. ``is_done`` once every day has ended and nothing is open; ``on_change`` is called after each
    check of the days."""

    def __init__(
        self,
        world: WeChat,
        bills: Bills,
        cluster: Cluster,
        database: MemoryDatabase,
        clock: SimulatedClock,
        trace: Trace,
        at_rest: Callable[[], bool],
    ) -> None:
        self._world = world
        self._bills = bills
        self._cluster = cluster
        self._database = database
        self._clock = clock
        self._trace = trace
        self._at_rest = at_rest
        self._closed: dict[date, object] = {}
        self._looked: dict[date, object] = {}
        self._tries: Counter[str] = Counter()
        self.on_change: Callable[[], None] = lambda: None

    @property
    def is_done(self) -> bool:
        """Whether every day was checked since the latest event."""
        if not self._at_rest():
            return False
        state = self._state()
        return all(self._closed.get(day) == state for day in self._days_to_close())

    async def work(self) -> None:
        """Check the days repeatedly."""
        while True:
            await asyncio.sleep(PAUSE_S)
            for day in self._days_to_close():
                await self._look(day)
            self.on_change()

    async def _look(self, day: date) -> None:
        """Run a day with differences again, or once more when nothing else will happen, and handle its open
        differences.

        If nothing has changed since, another check would have the same result.
        """
        state, resting = self._state(), self._at_rest()
        stage = self._bills.stage(day, self._clock.now())
        final, seen = resting and stage is Stage.RIGHT, (state, resting, stage, len(self._open(day)))
        if self._looked.get(day) == seen or not (resting or self._open(day)) or not self._is_over(day):
            return
        if await self._ask(f"reconciles {day}", lambda process: process.books.reconciler.run(day)) is None:
            return
        differences = self._open(day)
        for difference in differences:
            await self._act(difference, final=final)
        if final and differences:
            return  # the repair changed our side of the day, so it must be run again
        self._looked[day] = (*seen[:3], len(self._open(day)))
        if final and self._state() == state:
            self._closed[day] = state

    async def _act(self, difference: Difference, *, final: bool) -> None:
        """Do what the kind of difference suggests. A difference that stays open until the end is marked as checked."""
        wanted = ACTIONS[difference.kind][0]
        if wanted is not Action.KNOWN and await self._repair(difference, wanted):
            return
        self._tries[difference.id] += final
        if self._tries[difference.id] == PATIENCE:
            await self._repair(difference, Action.KNOWN)

    async def _repair(self, difference: Difference, action: Action) -> bool:
        """Carry out ``action``; return whether it resolved the difference."""
        number = difference.numbers.out_trade_no
        repaired = await self._ask(
            f"{action} {difference.kind}",
            lambda process: process.books.repairs.repair(difference.day, difference.id, action, by=BY),
            number,
        )
        return repaired is not None and repaired.status is not Status.OPEN

    async def _ask(
        self, what: str, work: Callable[[ServiceProcess], Coroutine[Any, Any, T]], about: str = ""
    ) -> T | None:
        """Return a process's answer; None if it refuses or does not answer."""
        try:
            answer = await self._cluster.call(work)
        except CallerError as refused:
            self._trace.add("operator", "books", f"{what} refused: {refused.public_code}", about)
        except (NoAnswer, FenpayError) as error:
            self._trace.add("operator", "books", f"{what} no answer: {error!r}"[:90], about)
        else:
            self._trace.add("operator", "books", what, about)
            return answer
        return None

    # -- what is there --------------------------------------------------------------------------------------------

    def _days_to_close(self) -> list[date]:
        """Return the days of which WeChat has a bill, or may have had a wrong one, and those that differ."""
        world = self._world
        days = {beijing_day(payment.at) for payment in world.payments.values()}
        days |= {beijing_day(refund.created_at) for refund in world.refunds.values()}
        days |= {file.day for file in self._bills.served}
        days |= {date.fromisoformat(document["day"]) for document in self._database[DIFFERENCES].look_at_all()}
        return sorted(days)

    def _is_over(self, day: date) -> bool:
        held = [DAY.read(document) for document in self._database[DAYS].look_at_all()]
        return any(each.day == day and each.result is not None and each.due_at is None for each in held)

    def _open(self, day: date) -> list[Difference]:
        documents = self._database[DIFFERENCES].look_at_all()
        found = [DIFFERENCE.read(document) for document in documents if document["day"] == day.isoformat()]
        return sorted([each for each in found if each.status is Status.OPEN], key=lambda each: each.id)

    def _state(self) -> object:
        """Return the data of the world that a run can see, for comparison."""
        refunds = sorted((number, refund.state) for number, refund in self._world.refunds.items())
        return len(self._world.payments), tuple(refunds)
