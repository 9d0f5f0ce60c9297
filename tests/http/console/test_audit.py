"""The audit log where an act has no outcome, because the process died or WeChat Pay did not answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import Shop
from tests.support.console import ConsoleBrowser
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from wechat.domain.staff import Role

UNKNOWN = "结果未知</span>"


@pytest.fixture
async def doomed(
    directory: Path,
    simulator: SimulatorProcess,
    mongo: EmbeddedMongo,
    redis: EmbeddedRedis,
    staff: Mapping[Role, ConsoleBrowser],
) -> AsyncIterator[ServiceProcess]:
    """Another process over the database of the first, for a test to kill."""
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, directory)
    process = ServiceProcess.start(directory, settings, "doomed")
    yield process
    process.kill()


async def begun(admin: ConsoleBrowser, number: str) -> list[dict[str, str]]:
    """Wait up to 5 s until the audit log has entries on ``number``; return the entries."""
    for _ in range(100):
        if log := await admin.audit_log(number):
            return log
        await asyncio.sleep(0.05)
    raise AssertionError("nothing was begun")


async def test_an_act_whose_process_died_is_found_and_its_outcome_is_called_unknown(
    shop: Shop, admin: ConsoleBrowser, doomed: ServiceProcess, simulator: SimulatorProcess
) -> None:
    number = (await shop.sold())["out_trade_no"]
    simulator.control("POST", "faults", {"path": "/v3/pay/transactions/out-trade-no/*", "fault": "timeout_before"})
    async with ConsoleBrowser(doomed.url, "support") as support:
        await support.log_in()
        closing = asyncio.create_task(support.post(f"/console/orders/{number}/close"))
        [entry] = await begun(admin, number)
        doomed.kill()
        with contextlib.suppress(aiohttp.ClientError):
            await closing
    assert (entry["name"], entry["act"], entry["before"]) == ("support", "begin", "未支付（NOTPAY） ¥18.00")
    for query in (f"subject={number}", "act=unfinished", f"act=close_order&name=support&subject={number}"):
        page = await admin.page(f"/console/audit?{query}")
        assert re.search(rf"开始操作：关闭订单 <span[^>]*>{UNKNOWN}</td><td[^>]*>{number}</td>", page), query
        assert "请打开对象的页面核实" in page
    written = (await admin.get(f"/console/audit.csv?subject={number}")).body.decode()
    assert "开始操作：关闭订单 · 结果未知" in written


async def test_an_act_that_ended_is_one_row_of_the_page_and_two_of_the_file(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser]
) -> None:
    number = (await shop.sold())["out_trade_no"]
    await staff[Role.SUPPORT].post(f"/console/orders/{number}/close")
    admin = staff[Role.ADMIN]
    page = await admin.page(f"/console/audit?subject={number}")
    assert UNKNOWN not in page and page.count(f'<td class="wide">{number}</td>') == 1
    assert [row["act"] for row in await admin.audit_log(number)] == ["close_order", "begin"]
    assert f">{number}</td>" not in await admin.page("/console/audit?act=unfinished")
    assert f">{number}</td>" in await admin.page(f"/console/audit?act=begin&subject={number}")


async def test_the_filters_that_are_set_are_named_where_they_are_folded_away(admin: ConsoleBrowser) -> None:
    page = await admin.page("/console/audit?act=close_order&subject=no-such&from=2026-03-01")
    [toggle] = re.findall(r'<summary class="button">(.*)</summary>', page)
    assert re.sub("<[^>]*>", "", toggle) == "筛选 关闭订单 对象 no-such 从 2026-03-01"


async def test_an_act_that_was_refused_has_its_outcome(shop: Shop, admin: ConsoleBrowser) -> None:
    name = f"k-{secrets.token_hex(4)}"
    assert (await admin.post(f"/console/people/{name}/disable", {"step_up": "a-password-for-tests"})).status == 404
    [ended, _] = await admin.audit_log(name)
    assert (ended["act"], ended["after"]) == ("disable_user", "未执行（refused）：USER_NOT_FOUND")
