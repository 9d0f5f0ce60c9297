"""Bills over both APIs from a bill_server at a port: fetched as a stream, and used only if they are what was announced."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from tests.support.bill_server import KEY, MERCHANT, BillServer
from tests.support.bills import Line, flow_file, trade_file
from tests.support.clock import ManualClock
from tests.support.runtime import a_runtime
from wechat.domain.errors import BadRequest, Conflict, FenpayError, GatewayRefused, Gone, OutcomeUnknown
from wechat.pay.bills.gateways import BillGateway, NotYet, V2Bills, V3Bills
from wechat.pay.bills.parser import BillBroken, BillKind, flow_lines, trade_lines
from wechat.reconciliation.bill_cache import BillCache
from wechat.support.transport import Transport

DAY = date(2026, 2, 28)
PAID = Line("order-1", "4200", 1800, datetime(2026, 2, 28, 4, tzinfo=UTC))
FILE = trade_file([PAID], MERCHANT.mchid)


def left(directory: Path) -> list[str]:
    """The names of the files in ``directory``."""
    return [path.name for path in directory.iterdir()]


@pytest.fixture
async def bill_server(clock: ManualClock) -> AsyncIterator[BillServer]:
    async with BillServer(clock) as bill_server:
        bill_server.file = FILE
        yield bill_server


@pytest.fixture(params=["v2", "v3"])
def gateway(request: pytest.FixtureRequest, bill_server: BillServer, transport: Transport) -> BillGateway:
    if request.param == "v3":
        return v3(bill_server, transport)
    return V2Bills(bill_server.wired(transport), MERCHANT, KEY, secure=bill_server.wired(transport), most=10**6)


def v3(bill_server: BillServer, transport: Transport) -> V3Bills:
    return V3Bills(bill_server.wired(transport), bill_server.gateway(transport), most=10**6)


async def test_a_bill_arrives_whole(gateway: BillGateway, bill_server: BillServer, tmp_path: Path) -> None:
    bill = await gateway.fetch(DAY, BillKind.ALL, tmp_path / "bill.csv")
    assert bill.path is not None
    assert bill.path.read_bytes() == FILE
    assert [line.total for line in trade_lines(bill.lines())] == [1800]
    assert bill_server.asked[0] in (
        "/v3/bill/tradebill?bill_date=2026-02-28&bill_type=ALL&tar_type=GZIP",
        "downloadbill 20260228 ALL HMAC-SHA256",
    )


async def test_a_fund_flow_bill_arrives_whole(gateway: BillGateway, bill_server: BillServer, tmp_path: Path) -> None:
    bill_server.file = flow_file([200, -100])
    bill = await gateway.fetch(DAY, BillKind.BASIC, tmp_path / "bill.csv")
    assert [line.amount for line in flow_lines(bill.lines())] == [200, -100]
    assert bill_server.asked[0] in (
        "/v3/bill/fundflowbill?bill_date=2026-02-28&account_type=BASIC&tar_type=GZIP",
        "downloadfundflow 20260228 Basic HMAC-SHA256",
    )


async def test_the_digest_of_a_v2_fund_flow_bill_may_be_base64(
    bill_server: BillServer, transport: Transport, tmp_path: Path
) -> None:
    bill_server.file = flow_file([200])
    bill_server.hash = base64.b64encode(hashlib.sha1(bill_server.file, usedforsecurity=False).digest()).decode()
    bills = V2Bills(bill_server.wired(transport), MERCHANT, KEY, secure=bill_server.wired(transport))
    assert (await bills.fetch(DAY, BillKind.BASIC, tmp_path / "bill.csv")).path


async def test_a_wrong_digest_of_a_fund_flow_bill_is_refused(
    gateway: BillGateway, bill_server: BillServer, tmp_path: Path
) -> None:
    bill_server.file, bill_server.hash = flow_file([200]), "0" * 40
    with pytest.raises(BillBroken, match="hash"):
        await gateway.fetch(DAY, BillKind.FEES, tmp_path / "bill.csv")
    assert left(tmp_path) == []


async def test_without_a_client_certificate_v2_has_no_fund_flow(
    bill_server: BillServer, transport: Transport, tmp_path: Path
) -> None:
    bills = V2Bills(bill_server.wired(transport), MERCHANT, KEY)
    with pytest.raises(Conflict, match="NO_CLIENT_CERT"):
        await bills.fetch(DAY, BillKind.BASIC, tmp_path / "bill.csv")
    assert bill_server.asked == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hash": "0" * 40}, "hash"),
        ({"hash": "short"}, "hash"),
        ({"hash_type": "MD5"}, "hash"),
        ({"address": "https://evil.example/v3/billdownload/file?token=1"}, "host"),
        ({"address": "http://127.0.0.1:1@evil.example/file"}, "host"),
        ({"address": "//api.mch.weixin.qq.com/file"}, "host"),
        ({"address": "file:///etc/passwd"}, "host"),
        ({"address": "http://[::1/file"}, "host"),
        ({"address": ""}, "host"),
    ],
)
async def test_a_v3_announcement_that_cannot_be_trusted_is_not_followed(
    change: dict[str, str], reason: str, bill_server: BillServer, transport: Transport, tmp_path: Path
) -> None:
    vars(bill_server).update(change)
    with pytest.raises(BillBroken) as caught:
        await v3(bill_server, transport).fetch(DAY, BillKind.ALL, tmp_path / "bill.csv")
    assert caught.value.reason == reason
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"cut": 20}, OutcomeUnknown),
        ({"status": 302}, OutcomeUnknown),
        ({"status": 500}, OutcomeUnknown),
        ({"wire": b""}, BillBroken),
        ({"wire": b"x" * 2_000_000}, FenpayError),
        ({"file": b"x" * 2_000_000}, BillBroken),
    ],
)
async def test_a_download_that_goes_wrong_leaves_nothing(
    change: dict[str, object], error: type[Exception], gateway: BillGateway, bill_server: BillServer, tmp_path: Path
) -> None:
    vars(bill_server).update(change)
    with pytest.raises(error):
        await gateway.fetch(DAY, BillKind.ALL, tmp_path / "bill.csv")
    assert left(tmp_path) == []


NO_BILL_V3 = (400, {"code": "NO_STATEMENT_EXIST", "message": "请求的账单文件不存在"})
NO_BILLS_V2 = [
    {"return_code": "FAIL", "return_msg": "No Bill Exist", "error_code": "20002"},
    {"return_code": "FAIL", "return_msg": "NO Bill Exist"},
    {"return_code": "FAIL", "return_msg": "账单不存在", "err_code": "NO_BILL_EXIST"},
]


@pytest.mark.parametrize("xml", NO_BILLS_V2)
async def test_no_bill_is_an_empty_day(
    xml: dict[str, str], gateway: BillGateway, bill_server: BillServer, tmp_path: Path
) -> None:
    bill_server.xml, bill_server.refusal = xml, NO_BILL_V3
    bill = await gateway.fetch(DAY, BillKind.ALL, tmp_path / "bill.csv")
    assert (bill.path, list(bill.lines()), left(tmp_path)) == (None, [], [])


@pytest.mark.parametrize("code", [{}, {"error_code": "20002"}], ids=["words", "words and 20002"])
async def test_a_bill_in_the_making_comes_back_later(
    code: dict[str, str], gateway: BillGateway, bill_server: BillServer, tmp_path: Path
) -> None:
    bill_server.xml = {"return_code": "FAIL", "return_msg": "Bill Creating"} | code
    bill_server.refusal = (400, {"code": "STATEMENT_CREATING", "message": "账单生成中"})
    with pytest.raises(NotYet):
        await gateway.fetch(DAY, BillKind.ALL, tmp_path / "bill.csv")


async def test_other_refusals_are_told_as_they_are(
    gateway: BillGateway, bill_server: BillServer, tmp_path: Path
) -> None:
    bill_server.xml = {"return_code": "FAIL", "return_msg": "invalid bill_type"}
    bill_server.refusal = (403, {"code": "NO_AUTH", "message": "商户无权限"})
    with pytest.raises(GatewayRefused):
        await gateway.fetch(DAY, BillKind.ALL, tmp_path / "bill.csv")
    bill_server.xml = {"return_code": "FAIL", "return_msg": "SYSTEMERROR"}
    bill_server.refusal = (500, {"code": "SYSTEM_ERROR", "message": "系统异常"})
    with pytest.raises(OutcomeUnknown):
        await gateway.fetch(DAY, BillKind.ALL, tmp_path / "bill.csv")


async def test_xml_that_is_no_xml_is_no_answer(bill_server: BillServer, transport: Transport, tmp_path: Path) -> None:
    bill_server.wire = b"<html>gateway</html"
    with pytest.raises(OutcomeUnknown):
        await V2Bills(bill_server.wired(transport), MERCHANT, KEY).fetch(DAY, BillKind.ALL, tmp_path / "bill.csv")


def shelf_of(bill_server: BillServer, transport: Transport, directory: Path, clock: ManualClock) -> BillCache:
    return BillCache(
        v3(bill_server, transport), directory, time(10, 5), timedelta(days=30), a_runtime(clock), MERCHANT.mchid
    )


async def test_a_bill_is_fetched_once_and_kept_for_its_time(
    bill_server: BillServer, transport: Transport, tmp_path: Path, clock: ManualClock
) -> None:
    shelf = shelf_of(bill_server, transport, tmp_path, clock)  # it is noon of 1 March in Beijing
    assert await shelf.bill(DAY) == await shelf.bill(DAY)
    assert len(bill_server.asked) == 1
    clock.advance(29 * 86400)
    shelf.prune()
    assert left(tmp_path) == ["2026-02-28.ALL.csv"]
    clock.advance(86400)
    shelf.prune()
    assert left(tmp_path) == []


BROKEN = {
    "half a bill": FILE[: len(FILE) // 2],
    "JSON": b'{"code":"busy"}',
    "a proxy's words": b"upstream timeout",
    "another year": trade_file([replace(PAID, at=datetime(2025, 2, 28, 4, tzinfo=UTC))], MERCHANT.mchid),
    "the evening before": trade_file([replace(PAID, at=PAID.at - timedelta(hours=12, seconds=1))], MERCHANT.mchid),
    "the next day": trade_file([replace(PAID, at=PAID.at + timedelta(hours=12))], MERCHANT.mchid),
    "another merchant": trade_file([PAID], "1900000108"),
    "negative": trade_file([replace(PAID, total=-1)], MERCHANT.mchid),
}


@pytest.mark.parametrize("wrong", BROKEN)
async def test_a_broken_bill_is_not_put_on_the_shelf_and_the_next_try_asks_wechat_anew(
    wrong: str, gateway: BillGateway, bill_server: BillServer, tmp_path: Path, clock: ManualClock
) -> None:
    shelf = BillCache(gateway, tmp_path, time(10, 5), timedelta(days=30), a_runtime(clock), MERCHANT.mchid)
    bill_server.file = BROKEN[wrong]
    with pytest.raises(BillBroken):
        await shelf.bill(DAY)
    assert left(tmp_path) == []
    bill_server.file = FILE
    bill = await shelf.bill(DAY)
    assert [line.out_trade_no for line in trade_lines(bill.lines())] == ["order-1"]
    assert left(tmp_path) == ["2026-02-28.ALL.csv"]


async def test_a_refund_may_bear_the_time_of_another_day(
    gateway: BillGateway, bill_server: BillServer, tmp_path: Path, clock: ManualClock
) -> None:
    shelf = BillCache(gateway, tmp_path, time(10, 5), timedelta(days=30), a_runtime(clock), MERCHANT.mchid)
    bill_server.file = trade_file(
        [replace(PAID, at=PAID.at - timedelta(days=3), out_refund_no="refund-1", refund=5)], MERCHANT.mchid
    )
    assert (await shelf.bill(DAY)).path


async def test_a_broken_fund_flow_bill_is_not_put_on_the_shelf(
    bill_server: BillServer, transport: Transport, tmp_path: Path, clock: ManualClock
) -> None:
    shelf = shelf_of(bill_server, transport, tmp_path, clock)
    bill_server.file = flow_file([200, -100])[:-20]
    with pytest.raises(BillBroken):
        await shelf.bill(DAY, BillKind.BASIC)
    assert left(tmp_path) == []
    bill_server.file = flow_file([200, -100])
    assert (await shelf.bill(DAY, BillKind.BASIC)).path


async def test_a_renewed_bill_takes_the_place_of_the_old_one_which_stays_where_that_fails(
    bill_server: BillServer, transport: Transport, tmp_path: Path, clock: ManualClock
) -> None:
    shelf = shelf_of(bill_server, transport, tmp_path, clock)
    kept = await shelf.bill(DAY)
    for refusal in ((403, {"code": "NO_AUTH"}), (400, {"code": "STATEMENT_CREATING"})):
        bill_server.refusal = refusal
        assert await shelf.refetch(DAY) == kept
    bill_server.refusal, bill_server.file = None, b"upstream timeout"
    assert await shelf.refetch(DAY) == kept
    assert kept.path is not None
    assert kept.path.read_bytes() == FILE
    bill_server.file = trade_file([PAID, replace(PAID, out_trade_no="order-2")], MERCHANT.mchid)
    assert await shelf.refetch(DAY) == kept
    assert kept.path.read_bytes() == bill_server.file
    bill_server.refusal = NO_BILL_V3
    assert await shelf.refetch(DAY) == kept
    kept.path.unlink()
    assert (await shelf.refetch(DAY)).path is None
    bill_server.refusal = (403, {"code": "NO_AUTH"})
    with pytest.raises(GatewayRefused):
        await shelf.refetch(DAY)


async def test_a_bill_too_old_to_be_renewed_still_counts(
    bill_server: BillServer, transport: Transport, tmp_path: Path, clock: ManualClock
) -> None:
    shelf = shelf_of(bill_server, transport, tmp_path, clock)
    kept = await shelf.bill(DAY)
    clock.advance(100 * 86400)
    assert await shelf.refetch(DAY) == kept


async def test_wechat_is_asked_only_for_days_that_can_have_a_bill(
    bill_server: BillServer, transport: Transport, tmp_path: Path
) -> None:
    clock = ManualClock(datetime(2026, 3, 1, 2, 4, 59, tzinfo=UTC))  # 10:04:59 in Beijing
    shelf = shelf_of(bill_server, transport, tmp_path, clock)
    with pytest.raises(NotYet) as early:
        await shelf.bill(DAY)
    assert "次日北京时间 10:05" in early.value.text.zh
    for day in (DAY + timedelta(days=1), date.max):
        with pytest.raises(BadRequest, match=r"DAY_NOT_OVER: .* from 10:05 Beijing time on the next day"):
            await shelf.bill(day)
    with pytest.raises(Gone, match="BILL_TOO_OLD"):
        await shelf.bill(DAY - timedelta(days=90))
    assert bill_server.asked == []
    clock.advance(1)
    bill_server.clock = clock
    assert (await shelf_of(bill_server, transport, tmp_path, clock).bill(DAY)).path
