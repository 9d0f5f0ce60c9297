"""Download the simulator's bills as a merchant does."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from typing import Any

from tests.simulator.merchant import BEIJING, Merchant
from tests.simulator.sink import Sink
from tests.support.simulator import Answer, SimulatorProcess

TEN = timedelta(hours=10)
Row = dict[str, str]


class BillFixture:
    """A merchant at a simulator with simulated dates, so that a day can pass."""

    def __init__(self, simulator: SimulatorProcess, sink: Sink) -> None:
        self.simulator = simulator
        self.shop = Merchant(simulator, sink.url)

    @property
    def now(self) -> datetime:
        return datetime.fromisoformat(self.simulator.control("GET", "clock")["now"])

    @property
    def today(self) -> date:
        return self.now.astimezone(BEIJING).date()

    def advance(self, span: timedelta) -> None:
        self.simulator.control("POST", "clock", {"advance_s": span.total_seconds()})

    def morning_after(self, day: date, at: timedelta = TEN) -> None:
        """Move the clock to the next day, ``at`` after midnight or a moment later."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=BEIJING) + timedelta(days=1)
        self.advance(midnight + at - self.now)

    def announced(self, day: date, path: str = "tradebill", more: str = "") -> Answer:
        return self.shop.v3("GET", f"/v3/bill/{path}?bill_date={day.isoformat()}{more}")

    def downloaded(self, announcement: Answer) -> bytes:
        payload = announcement.json()
        url = payload["download_url"].removeprefix(self.simulator.url)
        answer = self.shop.v3("GET", url)
        assert (answer.status, "Wechatpay-Signature" in answer.headers) == (200, False)
        assert (payload["hash_type"], payload["hash_value"]) == ("SHA1", hashlib.sha1(answer.body).hexdigest())  # noqa: S324
        return answer.body

    def trade(self, day: date, kind: str = "ALL") -> tuple[list[Row], Row]:
        """Return the rows and the sums of a v3 trade bill."""
        return table(self.downloaded(self.announced(day, more=f"&bill_type={kind}")))

    def plant(self, day: date, kind: str, **more: Any) -> list[dict[str, Any]]:
        payload = self.simulator.control("POST", "bills/faults", {"date": day.isoformat(), "kind": kind, **more})
        planted = payload["faults"]
        assert isinstance(planted, list)
        return planted


def table(file: bytes) -> tuple[list[Row], Row]:
    """Parse a bill by hand: names from its headers, values without back-ticks."""
    lines = file.decode("utf-8-sig").split("\r\n")
    assert lines[-1] == ""
    names, sums = lines[0].split(","), lines[-3].split(",")
    rows = [dict(zip(names, line.removeprefix("`").split(",`"), strict=True)) for line in lines[1:-3]]
    return rows, dict(zip(sums, lines[-2].removeprefix("`").split(",`"), strict=True))


def line(row: Row) -> str:
    return ",".join(row.values())


ALL_SUMS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
