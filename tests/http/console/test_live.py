"""The stream of open pages: what it names, who may read it, and when it ends."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from doctor.checks.network import STREAM_REST_S
from tests.http.client import Shop
from tests.support.console import ConsoleBrowser, Operator
from tests.support.service import SESSION_SECRET
from wechat.domain.staff import Role
from wechat.staff.operator import STREAM_CHECK, sign_request


@asynccontextmanager
async def reading(browser: ConsoleBrowser, query: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with browser.http.get(f"{browser.url}/console/live?{query}", allow_redirects=False) as answer:
        assert answer.status == 200, await answer.text()
        yield answer


async def next_event(answer: aiohttp.ClientResponse) -> tuple[str, dict[str, Any]]:
    """The next one that is not a comment; empty at the end of the stream."""
    name = ""
    async with asyncio.timeout(15):
        while line := (await answer.content.readline()).decode():
            if line.startswith("event: "):
                name = line.removeprefix("event: ").strip()
            if line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))
    return "", {}


async def until(answer: aiohttp.ClientResponse, number: str) -> dict[str, Any]:
    while True:
        name, data = await next_event(answer)
        assert name
        if data.get("number") == number:
            return data


async def test_a_new_order_is_told_to_everybody_who_may_read(staff: Mapping[Role, ConsoleBrowser], shop: Shop) -> None:
    async with reading(staff[Role.READER], "topic=orders") as answer:
        assert answer.headers["X-Accel-Buffering"] == "no"
        number = str((await shop.sold())["out_trade_no"])
        assert await until(answer, number) == {"number": number, "new": True}


async def test_a_page_of_one_order_hears_of_that_one(admin: ConsoleBrowser, shop: Shop) -> None:
    number = str((await shop.sold())["out_trade_no"])
    async with reading(admin, f"order={number}") as answer:
        await shop.sold()
        name, data = await next_event(answer)
        assert (name, data["number"]) == ("order", number)


async def test_the_stream_names_no_payer_and_no_amount(admin: ConsoleBrowser, shop: Shop) -> None:
    async with reading(admin, "topic=orders") as answer:
        number = str((await shop.sold())["out_trade_no"])
        assert (await until(answer, number)).keys() == {"number", "new"}


async def test_whoever_is_not_logged_in_is_led_to_the_login(visitor: ConsoleBrowser) -> None:
    response = await visitor.get("/console/live?topic=orders")
    assert (response.status, response.at.startswith("/console/login")) == (302, True)


async def test_a_topic_that_is_misspelt_and_a_wrong_number_are_refused(admin: ConsoleBrowser) -> None:
    assert (await admin.get("/console/live?topic=order")).status == 400
    assert (await admin.get("/console/live?order=%3Cscript%3E")).status == 400


async def test_the_stream_ends_with_its_session(operator: Operator, visitor: ConsoleBrowser) -> None:
    await operator.add_person("leaves", Role.READER)
    await visitor.log_in("leaves")
    async with reading(visitor, "topic=orders") as answer:
        await visitor.post("/console/logout")
        while (await next_event(answer))[0]:
            pass


async def test_the_doctors_stream_opens_at_once_and_ends_by_itself_later(visitor: ConsoleBrowser) -> None:
    signature = sign_request(SESSION_SECRET, "GET", STREAM_CHECK, b"", int(time.time()), secrets.token_hex(16))
    url = f"{visitor.url}{STREAM_CHECK}"
    async with visitor.http.get(url, headers={"Authorization": signature}) as answer:
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert await answer.content.readany() == b": open\n\n"
        assert await answer.content.readany() == b": idle\n\n"
        at = time.monotonic()
        assert await answer.content.read() == b": idle\n\n"
        assert time.monotonic() - at > STREAM_REST_S
    async with visitor.http.get(url) as answer:
        assert answer.status == 401
