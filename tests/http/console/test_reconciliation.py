"""The books in the console: a calendar, a day with two planted differences, repairs, and files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import MERCHANT
from tests.support.bill_server import MERCHANT as PAYEE
from tests.support.bill_server import SERIAL, BillServer
from tests.support.bills import Line, trade_file
from tests.support.clock import ManualClock
from tests.support.console import PASSWORD, ConsoleBrowser, Operator
from tests.support.keys import public_pem
from tests.support.service import ServiceProcess, overlay
from tests.support.settings import KNOWN
from wechat.domain.staff import Role
from wechat.domain.times import beijing_day, day_span

DAY = beijing_day(datetime.now(UTC)) - timedelta(days=2)
PATH = f"/console/reconciliation/{DAY}"
OURS = {"appid": PAYEE.appid, "mchid": PAYEE.mchid, "public_key_pem": public_pem("platform"), "public_key_id": SERIAL}


def bill_of(day: date) -> bytes:
    """Two payments that no order here has."""
    noon = day_span(day)[0] + timedelta(hours=12)
    return trade_file((Line(f"till-0000{n}", f"4200{n:020}", 1800, noon) for n in (1, 2)), PAYEE.mchid)


@pytest.fixture(scope="module")
async def books(directory: Path, mongo: EmbeddedMongo, redis: EmbeddedRedis) -> AsyncIterator[ServiceProcess]:
    """A service whose WeChat has a bill of DAY."""
    async with BillServer(ManualClock(datetime.now(UTC))) as bill_server:
        bill_server.file = bill_of(DAY)
        settings = overlay(free_port(), bill_server.url, KNOWN | OURS, mongo.url, redis.url, directory)
        settings["mongo"]["database"] = "console_books"
        settings["books"]["directory"] = str(directory / "console-bills")
        settings["pay"]["v3"]["certificates"] = False
        process = ServiceProcess.start(directory, settings, "console-books")
        yield process
        assert process.stop() == 0


@pytest.fixture(scope="module")
async def people(books: ServiceProcess) -> AsyncIterator[dict[Role, ConsoleBrowser]]:
    operator = Operator(books.url)
    async with AsyncExitStack() as stack:
        browsers = {}
        for role in (Role.FINANCE, Role.READER):
            await operator.add_person(role.value, role)
            browsers[role] = await stack.enter_async_context(ConsoleBrowser(books.url, role.value))
            await browsers[role].log_in()
        yield browsers


@pytest.fixture(scope="module")
async def reconciled(people: dict[Role, ConsoleBrowser]) -> dict[Role, ConsoleBrowser]:
    """The people, after DAY was reconciled."""
    response = await people[Role.FINANCE].post(f"{PATH}/run")
    assert (response.status, response.at) == (302, PATH)
    return people


async def differences(browser: ConsoleBrowser) -> list[str]:
    """The ids on the day's page."""
    return re.findall(r'id="d([0-9a-f]{32})"', await browser.page(PATH))


async def test_a_day_shows_both_sides_and_each_difference(reconciled: dict[Role, ConsoleBrowser]) -> None:
    page = await reconciled[Role.READER].page(PATH)
    assert len(await differences(reconciled[Role.READER])) == 2
    assert "till-00001" in page
    assert "系统无此订单" in page
    assert "¥36.00" in page


async def test_the_calendar_and_the_overview_say_what_is_open(reconciled: dict[Role, ConsoleBrowser]) -> None:
    calendar = await reconciled[Role.READER].page(f"/console/reconciliation?month={DAY:%Y-%m}")
    assert re.search(rf'href="{PATH}".{{0,200}}条待处理', calendar, re.DOTALL)
    assert PATH in await reconciled[Role.READER].page("/console/overview")


async def test_a_reader_may_not_reconcile_repair_or_export(reconciled: dict[Role, ConsoleBrowser]) -> None:
    reader = reconciled[Role.READER]
    [first, _] = await differences(reader)
    assert "/run" not in await reader.page(PATH)
    assert (await reader.post(f"{PATH}/run")).status == 403
    assert (await reader.post(f"{PATH}/differences/{first}", {"action": "known"})).status == 403
    for target in (f"{PATH}.csv", f"{PATH}.xlsx", f"{PATH}/bill", f"/console/reconciliation/{DAY:%Y-%m}.csv"):
        assert (await reader.get(target)).status == 403


async def test_an_action_that_the_kind_does_not_allow_is_said(reconciled: dict[Role, ConsoleBrowser]) -> None:
    finance = reconciled[Role.FINANCE]
    [first, _] = await differences(finance)
    response = await finance.post(f"{PATH}/differences/{first}", {"action": "query", "step_up": PASSWORD})
    assert response.status == 302
    assert "这类差异可用" in await finance.page(PATH)


async def test_money_moves_only_after_the_password_once_more(reconciled: dict[Role, ConsoleBrowser]) -> None:
    async with ConsoleBrowser(reconciled[Role.FINANCE].url, "finance") as fresh:
        await fresh.log_in()
        [first, _] = await differences(fresh)
        response = await fresh.post(f"{PATH}/differences/{first}", {"action": "refund", "step_up": "wrong"})
        assert response.status in (401, 403)


async def test_one_is_marked_as_checked_in_the_persons_name(reconciled: dict[Role, ConsoleBrowser]) -> None:
    finance = reconciled[Role.FINANCE]
    operator = Operator(finance.url)
    [first, _] = await differences(finance)
    response = await finance.post(f"{PATH}/differences/{first}", {"action": "known"})
    assert (response.status, response.at) == (302, f"{PATH}#d{first}")
    page = await finance.page(PATH)
    assert "已人工核实" in page
    assert re.search(r"· finance ·", page)
    await operator.add_person("auditor", Role.ADMIN)
    async with ConsoleBrowser(finance.url, "auditor") as auditor:
        await auditor.log_in()
        [entry, *_] = [row for row in await auditor.audit_log(first) if row["act"] == "repair"]
    assert (entry["before"], entry["after"]) == (
        "系统无此订单（unknown_number） 待处理（open） ¥18.00",
        "标记为已人工核实（known）；系统无此订单（unknown_number） 已人工核实（known） ¥18.00",
    )


async def test_the_files_of_a_day_and_of_a_month(reconciled: dict[Role, ConsoleBrowser]) -> None:
    finance = reconciled[Role.FINANCE]
    day, month = await finance.get(f"{PATH}.csv"), await finance.get(f"/console/reconciliation/{DAY:%Y-%m}.csv")
    assert day.body.startswith(b"\xef\xbb\xbf")
    assert b"till-00002" in day.body
    assert f"{DAY},2,36.00,".encode() in month.body
    for target in (f"{PATH}.xlsx", f"/console/reconciliation/{DAY:%Y-%m}.xlsx"):
        assert (await finance.get(target)).body.startswith(b"PK")
    assert (await finance.get(f"{PATH}/bill")).body == bill_of(DAY)


async def test_dates_that_do_not_exist_are_refused(people: dict[Role, ConsoleBrowser]) -> None:
    finance = people[Role.FINANCE]
    assert (await finance.get("/console/reconciliation/2026-02-30")).status == 400
    for month in ("2026-13", "0001-01", "9999-12"):
        assert (await finance.get(f"/console/reconciliation?month={month}")).status == 400
    assert (await finance.post("/console/reconciliation/9999-12-31/run")).status == 400
    assert (await finance.get("/console/reconciliation/2026-13.csv")).status == 400


@pytest.fixture
async def unreachable(directory: Path, mongo: EmbeddedMongo, redis: EmbeddedRedis) -> AsyncIterator[str]:
    """The address of a service whose order is on the bill of DAY as paid, and whose WeChat has gone since then."""
    order = {"out_trade_no": "unreached-1", "description": "latte", "total": 1800, "trade_type": "NATIVE"}
    noon = day_span(DAY)[0] + timedelta(hours=12)
    async with BillServer(ManualClock(datetime.now(UTC))) as bill_server:
        bill_server.file = trade_file([Line("unreached-1", f"4200{1:020}", 1800, noon)], PAYEE.mchid)
        settings = overlay(free_port(), bill_server.url, KNOWN | OURS, mongo.url, redis.url, directory)
        settings["mongo"]["database"] = "console_unreached"
        settings["books"]["directory"] = str(directory / "unreached-bills")
        settings["pay"]["v3"]["certificates"] = False
        service = ServiceProcess.start(directory, settings, "console-unreached")
        async with aiohttp.ClientSession(headers=MERCHANT) as merchant:
            await merchant.post(f"{service.url}/api/orders", json=order)
        await Operator(service.url).add_person("finance", Role.FINANCE)
        async with ConsoleBrowser(service.url, "finance") as finance:
            await finance.log_in()
            assert (await finance.post(f"{PATH}/run")).status == 302
    yield service.url
    assert service.stop() == 0


async def test_a_repair_that_does_not_reach_wechat_is_answered_on_the_page_of_the_day(unreachable: str) -> None:
    async with ConsoleBrowser(unreachable, "finance") as finance:
        await finance.log_in()
        [first] = await differences(finance)
        response = await finance.post(f"{PATH}/differences/{first}", {"action": "query", "step_up": PASSWORD})
        assert (response.status, response.at) == (302, f"{PATH}#d{first}")
        assert "暂时连不上微信" in await finance.page(PATH)
