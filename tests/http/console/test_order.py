"""The page of an order: who sees what, the strings that were signed, and what may be done."""

from __future__ import annotations

import asyncio
import html
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.http.client import MERCHANT, Response, Shop
from tests.support.console import PASSWORD, ConsoleBrowser, Operator
from tests.support.platform import Platform
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from wechat.domain.staff import Role

CALL = re.compile(r'/calls/([0-9a-f]{24})"')
HOSTILE = "<img src=x onerror=alert(1)>"


async def page_with_calls(browser: ConsoleBrowser, number: str, count: int = 1) -> str:
    """The page once ``count`` calls are written, which takes a quarter of a second."""
    for _ in range(50):
        page = await browser.page(f"/console/orders/{number}")
        if page.count('id="call-') >= count:
            return page
        await browser.get("/console")
    raise AssertionError("no calls came")


async def paid_order(shop: Shop) -> str:
    """Paid and known to be."""
    number = await shop.scanned()
    await shop.ask("POST", f"/api/orders/{number}/query", headers=MERCHANT)
    return number


def changes(log: Sequence[Mapping[str, str]]) -> list[tuple[str, str, str, str]]:
    return [(row["name"], row["act"], row["before"], row["after"]) for row in log]


def fields_of(page: str) -> dict[str, str]:
    """The hidden number and the amount of a refund's form."""
    return {
        name: html.unescape(found[1])
        for name in ("amount", "number", "reason")
        if (found := re.search(rf'name="{name}"[^>]*? value="([^"]*)"', page))
    }


@pytest.mark.parametrize("role", list(Role))
async def test_everybody_reads_the_story_and_developers_read_messages(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser], role: Role
) -> None:
    number = (await shop.sold())["out_trade_no"]
    page = await page_with_calls(staff[role], number)
    assert "JSAPI 下单" in page and "验签通过" in page and "Request-ID" in page
    openid = shop.users[0]["openid"]
    assert openid not in page and f"{openid[:4]}…{openid[-4:]}" in page
    may = role in (Role.ADMIN, Role.DEVELOPER)
    assert bool(CALL.search(page)) is may
    admin_page = await page_with_calls(staff[Role.ADMIN], number)
    [call] = set(CALL.findall(admin_page))
    for target in (f"calls/{call}", "payer"):
        assert (await staff[role].get(f"/console/orders/{number}/{target}")).status == (200 if may else 403)


@pytest.mark.parametrize("api", ["v3"])
async def test_a_developer_sees_the_very_string_that_was_signed(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser], api: str
) -> None:
    number = (await shop.sold(description=f"拿铁 {secrets.token_hex(3)}"))["out_trade_no"]
    browser = staff[Role.DEVELOPER]
    [call] = set(CALL.findall(await page_with_calls(browser, number)))
    page = html.unescape(await browser.page(f"/console/orders/{number}/calls/{call}"))
    assert re.search(r"POST⏎\n/v3/pay/transactions/jsapi⏎\n\d{10}⏎\n[0-9a-f]{32}⏎\n\{\"appid\"", page)
    assert "curl -X POST" in page and f'"out_trade_no": "{number}"' in page
    assert re.search(r'signature="[^"]{6}…[^"]{4}"', page)
    part = await browser.get(f"/console/orders/{number}/calls/{call}", **{"HX-Request": "true"})
    assert b"<html" not in part.body and "⏎".encode() in part.body


async def test_looking_at_messages_and_payers_is_audited(shop: Shop, staff: Mapping[Role, ConsoleBrowser]) -> None:
    number = (await shop.sold())["out_trade_no"]
    browser = staff[Role.DEVELOPER]
    [call] = set(CALL.findall(await page_with_calls(browser, number)))
    await browser.page(f"/console/orders/{number}/calls/{call}")
    assert shop.users[0]["openid"] in await browser.page(f"/console/orders/{number}/payer")
    noted = await staff[Role.ADMIN].audit_log(number)
    assert {(row["act"], row["after"]) for row in noted} == {("read_payload", f"jsapi {call}"), ("read_personal", "")}


async def test_a_call_of_another_order_is_not_found_here(shop: Shop, admin: ConsoleBrowser) -> None:
    first, second = [(await shop.sold())["out_trade_no"] for _ in range(2)]
    [call] = set(CALL.findall(await page_with_calls(admin, first)))
    assert (await admin.get(f"/console/orders/{second}/calls/{call}")).status == 404
    assert (await admin.get(f"/console/orders/{first}/calls/{'0' * 24}")).status == 404
    assert (await admin.get("/console/orders/20260301000000nobody")).status == 404


async def test_a_query_by_hand_finds_a_payment_that_was_not_notified(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser]
) -> None:
    number = await shop.scanned()
    assert await shop.state(number) == "NOTPAY"
    response = await staff[Role.SUPPORT].post(f"/console/orders/{number}/query")
    assert (response.status, response.at) == (302, f"/console/orders/{number}")
    page = await staff[Role.SUPPORT].page(f"/console/orders/{number}")
    assert "已支付" in page and await shop.state(number) == "SUCCESS"
    assert changes(await staff[Role.ADMIN].audit_log(number)) == [
        ("support", "query_order", "未支付（NOTPAY） ¥18.00", "已支付（SUCCESS） ¥18.00"),
        ("support", "begin", "未支付（NOTPAY） ¥18.00", ""),
    ]


async def test_an_unpaid_order_is_closed_by_whoever_may(shop: Shop, staff: Mapping[Role, ConsoleBrowser]) -> None:
    number = (await shop.sold())["out_trade_no"]
    assert (await staff[Role.READER].post(f"/console/orders/{number}/close")).status == 403
    assert await shop.state(number) == "NOTPAY"
    assert (await staff[Role.FINANCE].post(f"/console/orders/{number}/close")).status == 302
    assert await shop.state(number) == "CLOSED"
    log = [row for row in await staff[Role.ADMIN].audit_log(number) if row["act"] == "close_order"]
    assert changes(log) == [("finance", "close_order", "未支付（NOTPAY） ¥18.00", "已关闭（CLOSED） ¥18.00")]


async def test_a_refund_takes_a_reason_and_the_password_and_is_one_however_often_it_is_sent(
    shop: Shop, operator: Operator, visitor: ConsoleBrowser, admin: ConsoleBrowser
) -> None:
    number, name = await paid_order(shop), f"f-{secrets.token_hex(6)}"
    await operator.add_person(name, Role.FINANCE)
    await visitor.log_in(name)
    target = f"/console/orders/{number}/refund"
    form = fields_of(await visitor.page(target))
    assert (form["amount"], form["reason"]) == ("18.00", "")
    wrong = await visitor.post(target, form | {"amount": "5.005", "reason": "缺货", "step_up": PASSWORD})
    assert wrong.status == 400 and "amount-error" in wrong.body.decode()
    form |= {"amount": "5.00", "reason": "缺货"}
    refused = await visitor.post(target, form | {"step_up": "not the password"})
    assert refused.status == 403 and fields_of(refused.body.decode())["number"] == form["number"]
    assert (await shop.stored(number))["refund_reserved"] == 0
    for _ in range(2):
        assert (await visitor.post(target, form | {"step_up": PASSWORD})).status == 302
    refunds = (await shop.ask("GET", f"/api/orders/{number}/refunds", headers=MERCHANT)).json()["refunds"]
    assert [(each["out_refund_no"], each["refund"], each["reason"]) for each in refunds] == [
        (form["number"], 500, "缺货")
    ]
    noted = await admin.audit_log(number)
    assert [row["act"] for row in noted] == ["refund", "begin"] * 2
    assert noted[-1]["after"] == f"{form['number']} ¥5.00：缺货"
    first = noted[-2]
    assert (first["name"], first["act"], first["before"]) == (name, "refund", "已支付（SUCCESS） ¥18.00")
    told = first["after"]
    paid, refund = (
        "已支付（有退款，REFUND） ¥18.00，已退款 ¥[05].00，占用 ¥5.00",
        rf"{form['number']} \w+（[A-Z]+） ¥5.00",
    )
    assert re.fullmatch(f"{paid}；{refund}：缺货", told), told


async def test_more_than_is_left_is_refused_beside_the_form(
    shop: Shop, operator: Operator, visitor: ConsoleBrowser, admin: ConsoleBrowser
) -> None:
    """And that it was asked for is in the audit log: the entry is written before anything is done."""
    number, name = await paid_order(shop), f"f-{secrets.token_hex(6)}"
    await operator.add_person(name, Role.FINANCE)
    await visitor.log_in(name)
    target = f"/console/orders/{number}/refund"
    form = fields_of(await visitor.page(target)) | {"amount": "18.01", "reason": "x", "step_up": PASSWORD}
    response = await visitor.post(target, form)
    assert response.status == 409 and "amount-error" in response.body.decode()
    assert (await shop.stored(number))["refund_reserved"] == 0
    before = "已支付（SUCCESS） ¥18.00"
    assert changes(await admin.audit_log(number)) == [
        (name, "refund", before, "未执行（refused）：NOT_REFUNDABLE"),
        (name, "begin", before, f"{form['number']} ¥18.01：x"),
    ]


async def test_a_refund_that_waits_for_its_minute_is_cancelled_on_the_page_of_its_order(
    shop: Shop, staff: Mapping[Role, ConsoleBrowser]
) -> None:
    number, body = await paid_order(shop), json.dumps({"refund": 500, "reason": "x"})
    for _ in range(2):  # WeChat takes one of an order in a minute
        key = {"Idempotency-Key": secrets.token_hex(6)}
        await shop.ask("POST", f"/api/orders/{number}/refunds", body, MERCHANT | key)
    target = r"/console/refunds/[0-9a-f]+/cancel"
    assert not re.search(target, await staff[Role.SUPPORT].page(f"/console/orders/{number}"))
    [cancel] = re.findall(target, await staff[Role.FINANCE].page(f"/console/orders/{number}"))
    assert (await staff[Role.SUPPORT].post(cancel)).status == 403
    assert (await staff[Role.FINANCE].post(cancel)).at == f"/console/orders/{number}"
    page = await staff[Role.FINANCE].page(f"/console/orders/{number}")
    assert "已取消，没有退款" in page and not re.search(target, page)
    assert (await shop.stored(number))["refund_reserved"] == 500
    assert [row["act"] for row in await staff[Role.ADMIN].audit_log(number)] == ["cancel_refund", "begin"]


async def test_support_does_not_refund(shop: Shop, staff: Mapping[Role, ConsoleBrowser]) -> None:
    number = await paid_order(shop)
    browser = staff[Role.SUPPORT]
    assert f"/console/orders/{number}/refund" not in await browser.page(f"/console/orders/{number}")
    assert (await browser.get(f"/console/orders/{number}/refund")).status == 403
    assert (await browser.post(f"/console/orders/{number}/refund", {"amount": "1"})).status == 403


async def test_what_merchants_and_refused_messages_say_is_shown_as_text(
    shop: Shop, admin: ConsoleBrowser, platform: Platform
) -> None:
    order = await shop.sold(description=HOSTILE, attach=HOSTILE)
    await shop.notify(platform.v2(order, attach=HOSTILE, device_info=HOSTILE, bank_type="<script>1</script>"))
    number = order["out_trade_no"]
    page = await page_with_calls(admin, number, 2)
    pages = [page] + [await admin.page(f"/console/orders/{number}/calls/{call}") for call in set(CALL.findall(page))]
    assert all(HOSTILE not in each and "<script>1" not in each for each in pages)
    assert sum("&lt;img src=x onerror" in each for each in pages) >= 2


# -- the second person -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def careful(
    directory: Path, simulator: SimulatorProcess, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> Iterator[ServiceProcess]:
    """A service where more than 10 yuan take two people, over a database of its own."""
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, directory)
    settings["mongo"]["database"] = "careful"
    settings["console"] = {"second_person_above": 1000}
    service = ServiceProcess.start(directory, settings, "careful")
    yield service
    assert service.defects == []
    assert service.stop() == 0


@pytest.fixture
async def two(careful: ServiceProcess) -> AsyncIterator[tuple[ConsoleBrowser, ConsoleBrowser]]:
    """Two people of finance."""
    async with ConsoleBrowser(careful.url) as one, ConsoleBrowser(careful.url) as other:
        for browser in (one, other):
            name = f"f-{secrets.token_hex(6)}"
            await Operator(careful.url).add_person(name, Role.FINANCE)
            await browser.log_in(name)
        yield one, other


async def send_refund(browser: ConsoleBrowser, number: str, amount: str) -> Response:
    target = f"/console/orders/{number}/refund"
    form = fields_of(await browser.page(target)) | {"amount": amount, "reason": "缺货", "step_up": PASSWORD}
    await browser.post(target, form)
    return await browser.post(target, form)


async def test_above_the_sum_a_second_person_has_the_refund_made_once(
    careful: ServiceProcess, simulator: SimulatorProcess, two: tuple[ConsoleBrowser, ConsoleBrowser]
) -> None:
    one, other = two
    async with Shop(careful.url, simulator) as shop:
        number = await paid_order(shop)
        too_much = await send_refund(one, number, "18.01")
        assert too_much.status == 409 and "超出可退金额：还可退 ¥18.00" in too_much.body.decode()
        assert (await send_refund(one, number, "10.01")).status == 302
        assert (await shop.stored(number))["refund_reserved"] == 0
        approvals = set(
            re.findall(r"/console/approvals/([0-9a-f]{16})/confirm", await other.page("/console/approvals"))
        )
        [approval] = approvals
        assert 'class="badge wait" title="1 项等待你复核"><' in await other.page("/console/orders")
        assert "项等待你复核" not in await one.page("/console/orders")
        for person, way in ((one, "查看或撤回"), (other, "去复核")):
            page = await person.page(f"/console/orders/{number}")
            assert "等待第二人复核" in page and f'href="/console/approvals#a{approval}">{way}</a>' in page
        assert (await one.post(f"/console/approvals/{approval}/confirm", {"step_up": PASSWORD})).status == 403
        for _ in range(2):
            await other.post(f"/console/approvals/{approval}/confirm", {"step_up": PASSWORD})
        [refund] = (await shop.ask("GET", f"/api/orders/{number}/refunds", headers=MERCHANT)).json()["refunds"]
        assert refund["refund"] == 1001
        assert "等待第二人复核" not in await one.page(f"/console/orders/{number}")
        async with ConsoleBrowser(careful.url) as admin:
            await Operator(careful.url).add_person("admin", Role.ADMIN)
            await admin.log_in("admin")
            done = [row for row in await admin.audit_log(number) if row["act"] == "refund"]
        refused = "未执行（refused）：{}".format
        assert [(row["name"], row["before"]) for row in done] == [
            (other.name, "已执行（done）"),
            (other.name, "待复核（waiting）"),
            (one.name, "待复核（waiting）"),
        ]
        assert (done[0]["after"], done[2]["after"]) == (refused("ALREADY_DECIDED"), refused("SAME_PERSON"))
        number = refund["out_refund_no"]
        assert re.search(
            rf"已执行（done）；{number} \w+（[A-Z]+） ¥10.01；已支付（有退款，REFUND） ¥18.00，.*占用 ¥10.01",
            done[1]["after"],
        )


@pytest.fixture(scope="module")
def beside(
    careful: ServiceProcess, directory: Path, simulator: SimulatorProcess, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> Iterator[ServiceProcess]:
    """Another process of the same service."""
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, directory)
    settings["mongo"]["database"] = "careful"
    settings["console"] = {"second_person_above": 1000}
    service = ServiceProcess.start(directory, settings, "beside")
    yield service
    assert service.stop() == 0


async def test_of_two_second_persons_at_two_processes_one_has_the_refund_made(
    careful: ServiceProcess,
    beside: ServiceProcess,
    simulator: SimulatorProcess,
    two: tuple[ConsoleBrowser, ConsoleBrowser],
) -> None:
    one, other = two
    async with Shop(careful.url, simulator) as shop, ConsoleBrowser(beside.url) as third:
        name = f"f-{secrets.token_hex(6)}"
        await Operator(beside.url).add_person(name, Role.FINANCE)
        await third.log_in(name)
        number = await paid_order(shop)
        await send_refund(one, number, "10.02")
        [approval] = set(
            re.findall(r"/console/approvals/([0-9a-f]{16})/confirm", await other.page("/console/approvals"))
        )
        target = f"/console/approvals/{approval}/confirm"
        answers = await asyncio.gather(*(browser.post(target, {"step_up": PASSWORD}) for browser in (other, third)))
        assert sorted(answer.status for answer in answers) == [302, 409]
        [refund] = (await shop.ask("GET", f"/api/orders/{number}/refunds", headers=MERCHANT)).json()["refunds"]
        assert refund["refund"] == 1002


async def test_parts_that_are_sent_at_once_do_not_pass_the_second_person(
    careful: ServiceProcess, simulator: SimulatorProcess, two: tuple[ConsoleBrowser, ConsoleBrowser]
) -> None:
    browser = two[0]
    async with Shop(careful.url, simulator) as shop:
        number = await paid_order(shop)
        target = f"/console/orders/{number}/refund"
        parts = {"amount": "6.00", "reason": "缺货", "step_up": PASSWORD}
        forms = [fields_of(await browser.page(target)) | parts for _ in range(3)]
        await asyncio.gather(*(browser.post(target, form) for form in forms))
        assert (await shop.stored(number))["refund_reserved"] == 600


async def test_up_to_the_sum_one_person_is_enough(
    careful: ServiceProcess, simulator: SimulatorProcess, two: tuple[ConsoleBrowser, ConsoleBrowser]
) -> None:
    async with Shop(careful.url, simulator) as shop:
        number = await paid_order(shop)
        await send_refund(two[0], number, "10.00")
        assert (await shop.stored(number))["refund_reserved"] == 1000
