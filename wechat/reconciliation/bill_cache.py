"""Verified bills on disk: fetched once, kept for some days, shared by reconciliation, ledger and downloads.

A bill gets its final file name only after it was read and verified completely. An incomplete bill, or an error in place
of a bill, is therefore never used, and the next request goes to WeChat.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path

import structlog

from wechat.domain.errors import BadRequest, Bilingual, FenpayError, Gone
from wechat.domain.ports import Runtime
from wechat.domain.times import BEIJING, beijing_day, day_span
from wechat.pay.bills.gateways import Bill, BillGateway, NotYet
from wechat.pay.bills.parser import BillBroken, BillKind, flow_lines, trade_lines
from wechat.support.single_flight import SingleFlight

OLDEST = timedelta(days=90)  # WeChat gives bills of the last three months

log = structlog.get_logger("wechat.reconciliation.bill_cache")


class BillCache:
    """Bills of the merchant ``mchid`` in ``directory``.

    ``after`` is the Beijing time of day from which the bill of the previous day is available.
    """

    def __init__(
        self, gateway: BillGateway, directory: Path, after: time, keep: timedelta, runtime: Runtime, mchid: str
    ) -> None:
        self._gateway = gateway
        self._directory = directory
        self._after = after
        self._keep = keep
        self._clock = runtime.clock
        self._random = runtime.random
        self._threads = runtime.threads
        self._mchid = mchid
        self._fetching: SingleFlight[Bill] = SingleFlight()

    async def bill(self, day: date, kind: BillKind = BillKind.ALL) -> Bill:
        """Return the bill of a Beijing day, from disk or from WeChat.

        Raises NotYet, BadRequest (the day is not over), Gone (older than three months), BillBroken, GatewayRefused,
        NotSent, OutcomeUnknown.
        """
        path = self._path(day, kind)
        return Bill(day, kind, path) if path.exists() else await self._fetch_once(day, kind)

    async def refetch(self, day: date, kind: BillKind = BillKind.ALL) -> Bill:
        """Fetch the bill again, even if it is on disk, and return the valid one. Raises as ``bill``.

        The bill on disk stays valid unless WeChat gives another one: also when the request fails, and when WeChat says
        that the day has no bill.
        """
        path = self._path(day, kind)
        try:
            bill = await self._fetch_once(day, kind)
        except FenpayError as error:
            if not path.exists():
                raise
            log.warning("bill_not_renewed", name=path.name, error=str(error))
            return Bill(day, kind, path)
        return Bill(day, kind, path) if path.exists() else bill

    def ready_at(self, day: date) -> datetime:
        """Return the time from which WeChat has the bill of ``day``."""
        return datetime.combine(day + timedelta(days=1), self._after, BEIJING)

    def prune(self) -> None:
        """Delete bills that are too old to keep, and unfinished files of killed processes."""
        oldest = beijing_day(self._clock.now() - self._keep).isoformat()
        for path in self._directory.glob("*.csv*"):
            if path.name < oldest:
                path.unlink(missing_ok=True)

    def _path(self, day: date, kind: BillKind) -> Path:
        return self._directory / f"{day.isoformat()}.{kind}.csv"

    async def _fetch_once(self, day: date, kind: BillKind) -> Bill:
        """Fetch the bill from WeChat and store it; concurrent callers share one request. Raises as ``bill``."""
        self._must_exist(day)
        path = self._path(day, kind)
        return await self._fetching.do(path.name, lambda: self._fetch(day, kind, path))

    async def _fetch(self, day: date, kind: BillKind, path: Path) -> Bill:
        draft = path.with_name(f"{path.name}.{self._random.token(4)}.draft")
        try:
            bill = await self._gateway.fetch(day, kind, draft)
            if bill.path is None:
                return bill
            await self._threads.run(partial(_must_make_sense, bill, self._mchid))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return Bill(day, kind, path)

    def _must_exist(self, day: date) -> None:
        now = self._clock.now()
        if day >= beijing_day(now):
            zh, en = self._from_when()
            text = Bilingual(f"这一天还没有结束，账单{zh}", f"That day is not over yet, so it has no bill; {en}")
            raise BadRequest(text, code="DAY_NOT_OVER", field="date")
        if now < self.ready_at(day):
            zh, en = self._from_when()
            raise NotYet(Bilingual(f"这一天的账单还不能下载；{zh}", f"WeChat Pay has not made the bill yet; {en}"))
        if day < beijing_day(now - OLDEST):
            text = Bilingual("微信支付只提供最近三个月的账单", "WeChat Pay keeps bills for three months")
            raise Gone(text, code="BILL_TOO_OLD", field="date")

    def _from_when(self) -> Bilingual:
        """Tell when a bill is available. Without a date, because the requested day may be the last of the calendar."""
        after = f"{self._after:%H:%M}"
        return Bilingual(
            f"次日北京时间 {after} 起可下载", f"the bill is available from {after} Beijing time on the next day"
        )


def _must_make_sense(bill: Bill, mchid: str) -> None:
    """Read ``bill`` to its end. Raises BillBroken, also when it is about another day or merchant.

    交易时间 is the time when a payment succeeded or a refund was accepted, and a bill lists the entries of that day.
    Only payments are checked for it: the meaning of the column for a revoked payment is not documented. Sources:
    https://pay.weixin.qq.com/docs/merchant/products/bill-download/format-trade.html (数据组成说明),
    https://apifox.com/apidoc/project-1172626/api-26085739 (WeChat's page of the v2 call: 交易时间).
    """
    unread: list[BillBroken] = []  # a bill with unreadable lines is stored; its readers report the lines
    if bill.kind.flow:
        for _ in flow_lines(bill.lines(), unread):
            pass
        return
    start, end = day_span(bill.day)
    for number, line in enumerate(trade_lines(bill.lines(), unread=unread), start=2):  # after the header
        if line.mchid != mchid:
            raise BillBroken("merchant", number)
        if line.trade_state == "SUCCESS" and not start <= line.time < end:
            raise BillBroken("day", number)
