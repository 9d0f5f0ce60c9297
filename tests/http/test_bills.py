"""``GET /api/bills/{date}``: the bill as WeChat wrote it, or why there is none yet, no more, or none at all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import MERCHANT
from tests.support.bill_server import MERCHANT as PAYEE
from tests.support.bill_server import SERIAL, BillServer
from tests.support.bills import Line, flow_file, trade_file
from tests.support.clock import ManualClock
from tests.support.keys import public_pem
from tests.support.service import ServiceProcess, overlay
from tests.support.settings import KNOWN
from wechat.domain.times import beijing_day, day_span

TODAY = beijing_day(datetime.now(UTC))
OURS = {"appid": PAYEE.appid, "mchid": PAYEE.mchid, "public_key_pem": public_pem("platform"), "public_key_id": SERIAL}


def days_ago(count: int) -> date:
    return TODAY - timedelta(days=count)


def bill_of(day: date) -> bytes:
    noon = day_span(day)[0] + timedelta(hours=12)
    lines = (Line(f"order-{number:05}", f"4200{number:020}", 100, noon) for number in range(3000))
    return trade_file(lines, PAYEE.mchid)


class Reader:
    """The merchant's system, and the WeChat that makes bills for it."""

    def __init__(self, url: str, bill_server: BillServer, session: aiohttp.ClientSession) -> None:
        self.url, self.bill_server, self.session = url, bill_server, session

    async def bill(self, day: date | str, query: str = "") -> tuple[int, dict[str, str], bytes]:
        async with self.session.get(f"{self.url}/api/bills/{day}{query}", headers=MERCHANT) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def refusal(self, day: date | str, query: str = "") -> tuple[int, str]:
        status, _, body = await self.bill(day, query)
        return status, json.loads(body)["code"]


@pytest.fixture(scope="module")
async def bill_server() -> AsyncIterator[BillServer]:
    async with BillServer(ManualClock(datetime.now(UTC))) as bill_server:
        yield bill_server


@pytest.fixture(scope="module")
async def reader(
    bill_server: BillServer, directory: Path, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> AsyncIterator[Reader]:
    settings = overlay(free_port(), bill_server.url, KNOWN | OURS, mongo.url, redis.url, directory)
    settings["mongo"]["database"] = "bills"
    settings["books"]["directory"] = str(directory / "bills-read")
    settings["pay"]["v3"]["certificates"] = False
    service = ServiceProcess.start(directory, settings, "bills")
    async with aiohttp.ClientSession() as session:
        yield Reader(service.url, bill_server, session)
    assert service.defects == []
    assert service.stop() == 0


async def test_a_bill_is_handed_on_to_the_byte_and_fetched_once(reader: Reader) -> None:
    day, asked = days_ago(3), len(reader.bill_server.asked)
    reader.bill_server.file = file = bill_of(day)
    status, headers, body = await reader.bill(day)
    assert (status, body) == (200, file)
    assert headers["Content-Length"] == str(len(file))
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert headers["Content-Disposition"] == f'attachment; filename="bill-{day}-ALL.csv"'
    assert (await reader.bill(day, "?kind=ALL"))[2] == file
    assert len([target for target in reader.bill_server.asked[asked:] if str(day) in target]) == 1


async def test_each_kind_is_a_bill_of_its_own(reader: Reader) -> None:
    reader.bill_server.file = flow_file([100, -60])
    status, _, body = await reader.bill(days_ago(3), "?kind=BASIC")
    assert (status, body) == (200, reader.bill_server.file)
    assert f"/v3/bill/fundflowbill?bill_date={days_ago(3)}&account_type=BASIC&tar_type=GZIP" in reader.bill_server.asked


async def test_a_day_without_a_bill_is_empty(reader: Reader) -> None:
    reader.bill_server.refusal = (400, {"code": "NO_STATEMENT_EXIST", "message": "账单文件不存在"})
    assert (await reader.bill(days_ago(4)))[::2] == (204, b"")
    reader.bill_server.refusal = None


@pytest.mark.parametrize(
    ("day", "query", "status", "code"),
    [
        (days_ago(0), "", 400, "DAY_NOT_OVER"),
        (days_ago(-1), "", 400, "DAY_NOT_OVER"),
        (days_ago(92), "", 410, "BILL_TOO_OLD"),
        (days_ago(5), "?kind=all", 400, "BAD_REQUEST"),
        (days_ago(5), "?kind=../ALL", 400, "BAD_REQUEST"),
        ("2026-02-30", "", 400, "BAD_REQUEST"),
        ("yesterday", "", 404, "NOT_FOUND"),
    ],
)
async def test_what_cannot_be_had_is_refused_without_asking_wechat(
    reader: Reader, day: date | str, query: str, status: int, code: str
) -> None:
    asked = len(reader.bill_server.asked)
    assert await reader.refusal(day, query) == (status, code)
    assert len(reader.bill_server.asked) == asked


async def test_a_bill_in_the_making_comes_back_later(reader: Reader) -> None:
    reader.bill_server.refusal = (400, {"code": "STATEMENT_CREATING", "message": "账单生成中"})
    assert await reader.refusal(days_ago(5)) == (409, "BILL_NOT_READY")
    reader.bill_server.refusal = (403, {"code": "NO_AUTH", "message": "无权限"})
    assert await reader.refusal(days_ago(5)) == (502, "NO_AUTH")
    reader.bill_server.refusal, reader.bill_server.file = None, bill_of(days_ago(5))
    assert (await reader.bill(days_ago(5)))[0] == 200


async def test_a_bill_that_is_not_what_was_announced_is_not_handed_on(reader: Reader) -> None:
    reader.bill_server.hash, reader.bill_server.file = "0" * 40, bill_of(days_ago(6))
    assert await reader.refusal(days_ago(6)) == (502, "BILL_BROKEN")
    reader.bill_server.hash, reader.bill_server.file = None, bill_of(days_ago(7))
    assert await reader.refusal(days_ago(6)) == (502, "BILL_BROKEN")
