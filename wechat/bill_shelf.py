"""Verified bills on disk: fetched once, kept for some days, shared by reconciliation, ledger and downloads."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path

from wechat.errors import BadRequest, Gone, Text
from wechat.flight import SingleFlight
from wechat.pay.bill_download import Bill, BillGateway, NotYet
from wechat.pay.bills import BillKind
from wechat.ports import Clock
from wechat.times import BEIJING, beijing_day

OLDEST = timedelta(days=90)  # WeChat gives bills of the last three months


class BillShelf:
    """Bills in ``directory``. ``after`` is the Beijing time from which the bill of the day before can be had."""

    def __init__(self, gateway: BillGateway, directory: Path, after: time, keep: timedelta, clock: Clock) -> None:
        self._gateway = gateway
        self._directory = directory
        self._after = after
        self._keep = keep
        self._clock = clock
        self._fetching: SingleFlight[Bill] = SingleFlight()

    async def bill(self, day: date, kind: BillKind = BillKind.ALL) -> Bill:
        """The bill of a Beijing day, from disk or from WeChat.

        Raises NotYet, BadRequest (the day is not over), Gone (older than three months), BillBroken, GatewayRefused,
        NotSent, OutcomeUnknown.
        """
        path = self._directory / f"{day.isoformat()}.{kind}.csv"
        if path.exists():
            return Bill(day, kind, path)
        self._must_exist(day)
        return await self._fetching.do(path.name, lambda: self._gateway.fetch(day, kind, path))

    def ready_at(self, day: date) -> datetime:
        """When WeChat has the bill of ``day``."""
        return datetime.combine(day + timedelta(days=1), self._after, BEIJING)

    def prune(self) -> None:
        """Drop bills whose time here is over."""
        oldest = beijing_day(self._clock.now() - self._keep).isoformat()
        for path in self._directory.glob("*.csv"):
            if path.name < oldest:
                path.unlink(missing_ok=True)

    def _must_exist(self, day: date) -> None:
        now = self._clock.now()
        if day >= beijing_day(now):
            raise BadRequest(Text("这一天还没有结束", "That day is not over yet"), code="DAY_NOT_OVER", field="date")
        if now < self.ready_at(day):
            raise NotYet
        if day < beijing_day(now - OLDEST):
            text = Text("微信只提供最近三个月的账单", "WeChat keeps bills for three months")
            raise Gone(text, code="BILL_TOO_OLD", field="date")
