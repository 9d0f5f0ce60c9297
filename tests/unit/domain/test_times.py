"""WeChat's times: Beijing on v2's wire, RFC 3339 on v3's, whatever the machine's own zone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bills import Line, trade_bill
from wechat.domain.errors import Malformed
from wechat.domain.facts import RemoteState
from wechat.domain.times import BEIJING, beijing_day, day_span, from_v2, from_v3, to_v2, to_v2_datetime, to_v3
from wechat.pay.bills.parser import BillBroken, trade_lines
from wechat.pay.v2 import fields as v2_fields
from wechat.pay.v3 import payloads as v3_payloads

ZONES = ["UTC", "Asia/Shanghai", "America/Los_Angeles"]
MOMENTS = {
    "the last second of a Beijing day": ("20260228235959", "2026-02-28T23:59:59+08:00", datetime(2026, 2, 28, 15, 59, 59, tzinfo=UTC)),
    "half a minute into one": ("20260301000030", "2026-03-01T00:00:30+08:00", datetime(2026, 2, 28, 16, 0, 30, tzinfo=UTC)),
    "spring forward in Los Angeles": ("20260308183000", "2026-03-08T18:30:00+08:00", datetime(2026, 3, 8, 10, 30, tzinfo=UTC)),
    "29 February": ("20280229120000", "2028-02-29T12:00:00+08:00", datetime(2028, 2, 29, 4, tzinfo=UTC)),
    "the year's end": ("20270101000000", "2027-01-01T00:00:00+08:00", datetime(2026, 12, 31, 16, tzinfo=UTC)),
}  # fmt: skip
SECONDS = st.datetimes(datetime(1990, 1, 1), datetime(2099, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC))  # noqa: DTZ001


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@dataclass(frozen=True)
class Edge:
    """A place where a time comes in or goes out: its form, of v2's and v3's; how it is read there, and how written."""

    form: Callable[[str, str], str]
    read: Callable[[str], datetime | None]
    write: Callable[[datetime], str] | None = None


def spaced(v2: str, _: str) -> str:
    return f"{v2[:4]}-{v2[4:6]}-{v2[6:8]} {v2[8:10]}:{v2[10:12]}:{v2[12:]}"


def paid_by_v2(text: str) -> datetime | None:
    fields = {"appid": "wx1", "mch_id": "1900", "out_trade_no": "T1", "total_fee": "1", "transaction_id": "42"}
    return v2_fields.transaction(fields | {"time_end": text}, RemoteState.SUCCESS).success_time


def paid_by_v3(text: str) -> datetime | None:
    data = {"appid": "wx1", "mchid": "1900", "out_trade_no": "T1", "amount": {"total": 1}, "transaction_id": "42"}
    return v3_payloads.transaction(data | {"success_time": text}, RemoteState.SUCCESS).success_time


def refunded_by_v2(text: str) -> datetime | None:
    row = {"out_refund_no_0": "R1", "refund_id_0": "50", "refund_fee_0": "1", "refund_status_0": "SUCCESS"}
    fields = {"mch_id": "1900", "out_trade_no": "T1", "total_fee": "1", "refund_success_time_0": text}
    return v2_fields.queried_refund(row | fields, "R1").success_time


def on_a_bill(text: str) -> datetime | None:
    payload = "".join(trade_bill([Line("T1", "42", 100, datetime(2026, 1, 1, tzinfo=UTC))]))
    (line,) = trade_lines(payload.replace("2026-01-01 08:00:00", text).splitlines())
    return line.time


EDGES = {
    "v2 time_start and time_expire": Edge(lambda v2, _: v2, from_v2, to_v2),
    "v2 time_end": Edge(lambda v2, _: v2, paid_by_v2),
    "v3 time_expire": Edge(lambda _, v3: v3, from_v3, to_v3),
    "v3 success_time": Edge(lambda _, v3: v3, paid_by_v3),
    "v2 success_time of a refund": Edge(spaced, refunded_by_v2, to_v2_datetime),
    "a bill's line": Edge(spaced, on_a_bill, to_v2_datetime),
}


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("edge", EDGES)
def test_a_moment_is_written_and_read_alike_in_every_zone(zone: str, edge: str, name: str) -> None:
    """L: 3 zones, 6 edges, 5 moments."""
    v2, v3, moment = MOMENTS[name]
    form = EDGES[edge].form(v2, v3)
    read, write = EDGES[edge].read(form), EDGES[edge].write
    assert read == moment
    assert read.tzinfo is UTC
    assert write is None or write(moment) == form


@given(SECONDS)
def test_writing_and_reading_are_inverse(moment: datetime) -> None:
    assert from_v2(to_v2(moment)) == from_v3(to_v3(moment)) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2018-06-08T10:34:56+08:00", datetime(2018, 6, 8, 2, 34, 56, tzinfo=UTC)),
        ("2018-06-08T02:34:56Z", datetime(2018, 6, 8, 2, 34, 56, tzinfo=UTC)),
        ("2018-06-08T02:34:56.5-00:00", datetime(2018, 6, 8, 2, 34, 56, 500_000, tzinfo=UTC)),
        ("2018-06-08T02:34:56.123456+00:30", datetime(2018, 6, 8, 2, 4, 56, 123_456, tzinfo=UTC)),
    ],
)
def test_v3_offsets_count(text: str, moment: datetime) -> None:
    assert from_v3(text) == moment


@pytest.mark.parametrize(
    "text",
    ["", "2018-06-08T10:34:56", "2018-06-08 10:34:56+08:00", "2018-06-08", "20180608T103456+0800", "2018-13-08T10:34:56+08:00",
     "2018-02-30T10:34:56+08:00", "2018-06-08T24:34:56+08:00", "2018-06-08T24:00:00+08:00", "２０１８-06-08T10:34:56+08:00", "2018-06-08T10:34:56+08:00\n",
     "2018-W23-5T10:34:56+08:00", "2018-06-08T10:34:56+99:00"],
)  # fmt: skip
def test_what_is_no_rfc3339_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_v3(text)


@pytest.mark.parametrize(
    "text",
    ["", "2018060810345", "201806081034560", "20181308103456", "20180230103456", "20180608250000", "２０１８0608103456",
     "2018-06-08 10:34:56", " 20180608103456", "20180608103456\n"],
)  # fmt: skip
def test_what_is_no_v2_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_v2(text)


@pytest.mark.parametrize(
    ("v2", "v3"),
    [
        ("00010101000000", "0001-01-01T00:00:00+08:00"),
        ("19691231235959", "1969-12-31T23:59:59+08:00"),
        ("90000101000000", "9000-01-01T00:00:00+08:00"),
        ("99991231235959", "9999-12-31T23:59:59-08:00"),
    ],
)
@pytest.mark.parametrize("edge", EDGES)
def test_a_date_near_the_calendars_ends_is_refused_like_any_other_bad_one(edge: str, v2: str, v3: str) -> None:
    """L."""
    with pytest.raises((ValueError, Malformed, BillBroken)):
        EDGES[edge].read(EDGES[edge].form(v2, v3))


def test_beijing_has_no_summer_time() -> None:
    assert BEIJING.utcoffset(datetime(2026, 7, 1)) == timedelta(hours=8)  # noqa: DTZ001
    assert to_v3(datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=-7)))) == "2026-07-01T15:00:00+08:00"


@pytest.mark.parametrize("name", MOMENTS)
def test_a_moment_falls_in_its_beijing_day_in_every_zone(zone: str, name: str) -> None:
    """L: half a minute past midnight in Beijing is on that day's bill."""
    v2, _, moment = MOMENTS[name]
    day = beijing_day(moment)
    start, end = day_span(day)
    assert day.strftime("%Y%m%d") == v2[:8]
    assert start <= moment < end
    assert (to_v2(start), to_v2(end - timedelta(seconds=1))) == (f"{v2[:8]}000000", f"{v2[:8]}235959")
