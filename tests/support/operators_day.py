"""A shop that follows the simulator's dates, from the operator's point of view."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

from tests.http.client import Shop
from tests.support.manage import Manage, Ran
from tests.support.service import API_KEY, ServiceProcess
from tests.support.simulator import SimulatorProcess
from wechat.domain.times import day_span


class OperatorsDay:
    """The command line, and the clock that the service follows."""

    def __init__(self, service: ServiceProcess, simulator: SimulatorProcess) -> None:
        self.service, self.simulator = service, simulator
        self.manage = Manage(service.url, API_KEY)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.control("GET", "clock")["now_s"], UTC)

    async def go_to(self, day: date, at: timedelta) -> None:
        """Move the clock to a Beijing time, and wait until the service has it."""
        wanted = day_span(day)[0] + at
        self.simulator.control("POST", "clock", {"advance_s": (wanted - self.now()).total_seconds()})
        for _ in range(100):
            created = await self.created_now()
            if created >= wanted - timedelta(seconds=1):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the service does not follow the clock")

    async def created_now(self) -> datetime:
        async with Shop(self.service.url, self.simulator) as shop:
            order = await shop.sold(trade_type="NATIVE", openid=None, total=1)
        return datetime.fromisoformat(order["created_at"])

    async def reconcile(self, *arguments: str) -> Ran:
        """Run the command, again while the service is reconciling by itself."""
        while True:
            ran = await self.manage("reconcile", *arguments, "--json")
            if not ran.err or ran.error()["code"] != "RECONCILIATION_RUNNING":
                return ran
            await asyncio.sleep(0.2)
