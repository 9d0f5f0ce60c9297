"""Two days of a shop in the console: money that needs people, a second person's word, and a day balanced by repairs.

The simulator is one of its own, because its clock is moved.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import MERCHANT, Shop
from tests.support.console import PASSWORD, ConsoleBrowser, Operator, eventually
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from tests.support.webhooks import KEY, secret_of
from wechat.domain.staff import Role

OVERVIEW, APPROVALS = "/console/overview", "/console/approvals"
DAY_S = 86_400
People = Mapping[Role, ConsoleBrowser]
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture(scope="module")
def own_simulator(directory: Path) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess.start(directory / "day-wechat", calendar="simulated")
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
def own_service(
    directory: Path, own_simulator: SimulatorProcess, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> Iterator[ServiceProcess]:
    """Refunds above ¥1.00 need a second person, and nobody listens where events are sent."""
    known = own_simulator.credentials
    settings = overlay(free_port(), own_simulator.url, known, mongo.url, redis.url, directory)
    settings["mongo"]["database"] = "console_day"
    settings["redis"]["prefix"] = "day:"
    settings["books"]["directory"] = str(directory / "day-bills")
    settings["console"] = {"second_person_above": 100}
    url = f"http://127.0.0.1:{free_port()}/"
    settings["webhooks"] = [{"name": "erp", "url": url, "secrets": [secret_of(KEY)], "allow_private": True}]
    process = ServiceProcess.start(directory, settings, "console-day")
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
async def people(own_service: ServiceProcess) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        browsers = {}
        for role in (Role.FINANCE, Role.ADMIN, Role.SUPPORT):
            await Operator(own_service.url).add_person(role.value, role)
            browsers[role] = await stack.enter_async_context(ConsoleBrowser(own_service.url, role.value))
            await browsers[role].log_in()
        yield browsers


async def pay(shop: Shop) -> str:
    """An order that is paid here."""
    number = await shop.scanned("success")
    for _ in range(100):
        if await shop.state(number) == "SUCCESS":
            return number
        await asyncio.sleep(0.05)
    raise AssertionError(number)


async def pay_late(shop: Shop) -> str:
    """An order that is paid after it was closed."""
    number = str((await shop.sold(trade_type="NATIVE", openid=None))["out_trade_no"])
    assert (await shop.ask("POST", f"/api/orders/{number}/close", headers=MERCHANT)).status == 200
    shop.simulator.control("POST", f"orders/{number}/payments", {})
    return number


async def refund_abnormally(shop: Shop) -> str:
    number = await pay(shop)
    shop.simulator.control("POST", "refunds/scenarios", {"scenario": "abnormal", "out_trade_no": number})
    key = {"Idempotency-Key": secrets.token_hex(6)}
    body = json.dumps({"refund": 500, "reason": "x"})
    assert (await shop.ask("POST", f"/api/orders/{number}/refunds", body, MERCHANT | key)).status < 300
    return number


@pytest.fixture(scope="module")
async def numbers(own_service: ServiceProcess, own_simulator: SimulatorProcess) -> AsyncIterator[dict[str, str]]:
    """Orders of yesterday by what is special about them, and ``day``, which differs from its bill in two ways."""
    async with Shop(own_service.url, own_simulator) as shop:
        made = {"twice": await pay(shop), "refunded_at_wechat": await pay(shop), "late": await pay_late(shop)}
        made |= {"abnormal": await refund_abnormally(shop), "plain": await pay(shop)}
        own_simulator.control("POST", f"orders/{made['twice']}/payments", {"user": "yi"})
        asked = {"out_trade_no": made["refunded_at_wechat"], "refund": 700, "reason": "by hand"}
        own_simulator.control("POST", "console/refunds", asked)
        yield made | {"day": own_simulator.skip_to_next_noon().isoformat()}


async def decide(person: ConsoleBrowser, subject: str, verdict: str) -> str:
    """Have a person decide the act about ``subject`` that waits; the page they see then."""
    page = await person.page(APPROVALS)
    [found] = re.findall(rf"{subject}</a>.*?approvals/([0-9a-f]+)/decline", page, re.DOTALL)
    response = await person.post(f"{APPROVALS}/{found}/{verdict}", {"step_up": PASSWORD})
    assert (response.status, response.at) == (302, APPROVALS), response.body
    return await person.page(APPROVALS)


async def ask_refund(person: ConsoleBrowser, number: str, amount: str) -> None:
    form = {"amount": amount, "reason": "杯子漏了", "number": secrets.token_hex(10), "step_up": PASSWORD}
    assert (await person.post(f"/console/orders/{number}/refund", form)).status == 302


def card(page: str, kind: str) -> str:
    """A difference's part of its day's page."""
    [found] = re.findall(rf'<section class="card difference"[^>]*aria-label="{kind}">.*?</section>', page, re.DOTALL)
    return str(found)


async def test_what_needs_a_person_is_on_the_overview_in_one_language(
    people: People, numbers: Mapping[str, str]
) -> None:
    page = await eventually(
        people[Role.FINANCE], OVERVIEW, lambda page: "异常或过慢的退款" in page and "待处理的对账差异" in page
    )
    assert re.search(
        rf"已收款、未发货.*?{numbers['late']}.*?¥18\.00.*?/console/orders/{numbers['late']}", page, re.DOTALL
    )
    assert re.search(rf"退款异常，请到商户平台处理.*?/console/orders/{numbers['abnormal']}", page, re.DOTALL)
    assert "differences" not in page
    assert "（paid_late" not in page
    english = await people[Role.FINANCE].page(OVERVIEW, **ENGLISH)
    assert not re.search("[\u4e00-\u9fff]", english.partition("<main")[2].partition('id="history"')[0])


async def test_a_refund_waits_for_a_second_person_who_finds_it_on_the_overview(
    people: People, numbers: Mapping[str, str]
) -> None:
    finance, admin, number = people[Role.FINANCE], people[Role.ADMIN], numbers["plain"]
    await ask_refund(finance, number, "5.00")
    assert re.search(
        r"等待第二人复核.*?¥5\.00.*?杯子漏了.*?href=\"/console/approvals\"", await admin.page(OVERVIEW), re.DOTALL
    )
    assert "杯子漏了" not in await people[Role.SUPPORT].page(OVERVIEW)
    assert f'href="/console/orders/{number}"' in await admin.page(APPROVALS)
    assert "已拒绝" in await decide(admin, number, "decline")
    await ask_refund(finance, number, "5.00")
    page = await decide(admin, number, "confirm")
    assert "退款处理中" in page
    assert "PROCESSING" not in page
    assert "¥13.00" in await finance.page(f"/console/orders/{number}")


async def test_money_that_came_too_late_is_given_back_by_two_people(people: People, numbers: Mapping[str, str]) -> None:
    await ask_refund(people[Role.FINANCE], numbers["late"], "18.00")
    await decide(people[Role.ADMIN], numbers["late"], "confirm")
    gone = f'href="/console/orders/{numbers["late"]}"'
    await eventually(people[Role.FINANCE], OVERVIEW, lambda page: gone not in page.partition("告警")[0])


async def test_support_is_told_that_it_may_not_refund(people: People, numbers: Mapping[str, str]) -> None:
    support = people[Role.SUPPORT]
    page = await support.page(f"/console/orders/{numbers['plain']}")
    assert f"/console/orders/{numbers['plain']}/refund" not in page
    response = await support.get(f"/console/orders/{numbers['plain']}/refund")
    assert response.status == 403
    assert "你的角色没有这项权限" in response.body.decode()


async def test_a_day_is_balanced_by_a_query_and_by_two_people_who_refund(
    people: People, numbers: Mapping[str, str]
) -> None:
    finance, admin, path = people[Role.FINANCE], people[Role.ADMIN], f"/console/reconciliation/{numbers['day']}"
    assert (await finance.post(f"{path}/run")).status == 302
    page = await finance.page(path)
    missing, twice = card(page, "账单有退款、系统无"), card(page, "重复支付")
    assert "退款成功" in missing
    assert "+08:00" not in missing
    for part, action in ((missing, "query"), (twice, "refund"), (twice, "refund")):
        [found] = re.findall(r'id="d([0-9a-f]{32})"', part)
        response = await finance.post(f"{path}/differences/{found}", {"action": action, "step_up": PASSWORD})
        assert (response.status, response.at) == (302, f"{path}#d{found}")
    page = await finance.page(path)
    assert "已处理" in card(page, "账单有退款、系统无")
    assert "退款等待第二人复核" in card(page, "重复支付")
    assert f'href="{path}#d{found}"' in await admin.page(APPROVALS)
    assert "已处理" in await decide(admin, found, "confirm")
    page = await finance.page(path)
    assert "finance, admin" in card(page, "重复支付")
    assert "待处理" not in page


async def test_a_number_of_nobodys_is_no_link(
    people: People, numbers: Mapping[str, str], own_simulator: SimulatorProcess
) -> None:
    finance, path = people[Role.FINANCE], f"/console/reconciliation/{numbers['day']}"
    planted = {"date": numbers["day"], "kind": "unknown_number"}
    [fault] = own_simulator.control("POST", "bills/faults", planted)["faults"]
    assert (await finance.post(f"{path}/run")).status == 302
    part = card(await finance.page(path), "系统无此订单")
    assert fault["out_trade_no"] in part
    assert "/console/orders/" not in part


async def test_a_refund_that_nobody_decided_is_listed_as_expired(
    people: People, numbers: Mapping[str, str], own_simulator: SimulatorProcess
) -> None:
    finance, admin, number = people[Role.FINANCE], people[Role.ADMIN], numbers["plain"]
    await ask_refund(finance, number, "4.00")
    waiting, _, decided = (await admin.page(APPROVALS)).partition('id="decided"')
    assert ("¥4.00" in waiting, "¥4.00" in decided) == (True, False)
    own_simulator.control("POST", "clock", {"advance_s": DAY_S})
    page = await eventually(admin, APPROVALS, lambda page: "已过期" in page)
    waiting, _, decided = page.partition('id="decided"')
    assert "¥4.00" not in waiting
    assert re.search(rf"{number}</a>[^¥]*¥4\.00.*?>已过期，未执行<", decided)


async def test_a_delivery_that_was_given_up_on_is_sent_again_from_the_overview(
    people: People, numbers: Mapping[str, str], own_simulator: SimulatorProcess
) -> None:
    admin = people[Role.ADMIN]
    for _ in range(40):
        own_simulator.control("POST", "clock", {"advance_s": DAY_S / 4})
        if "已放弃的推送" in (page := await admin.page(OVERVIEW)):
            break
        await asyncio.sleep(0.2)
    dead = page.partition("已放弃的推送")[2]
    assert re.search(rf"→ erp .*?{numbers['day'].replace('-', '')}", dead, re.DOTALL)
    [event, *_] = re.findall(r"/overview/events/([0-9a-f]{24})/resend", dead)
    assert (await admin.post(f"{OVERVIEW}/events/{event}/resend")).at == OVERVIEW
    assert "已重新推送" in await admin.page(OVERVIEW)
