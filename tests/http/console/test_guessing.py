"""Guessing passwords: slowed by account and by address, and nothing is learnt from the answers."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.support.console import ConsoleBrowser, Operator
from tests.support.service import ServiceProcess
from wechat.domain.staff import Role

TOKEN = re.compile(r'name="_xsrf" value="[^"]+"')


@pytest.fixture
async def person(operator: Operator) -> str:
    name = f"g-{secrets.token_hex(6)}"
    await operator.add_person(name, Role.READER)
    return name


@pytest.fixture
async def guessers(pair: tuple[ServiceProcess, ServiceProcess]) -> AsyncIterator[list[ConsoleBrowser]]:
    """Six browsers at six addresses, in front of both processes."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ConsoleBrowser(pair[i % 2].url)) for i in range(6)]


async def test_many_guesses_at_once_count_as_many_at_every_process(guessers: list[ConsoleBrowser], person: str) -> None:
    await asyncio.gather(*(browser.xsrf() for browser in guessers))
    answers = await asyncio.gather(
        *(browser.log_in(person, f"guess-{i}") for i, browser in enumerate(guessers) for _ in range(2))
    )
    assert [answer.status for answer in answers].count(401) <= 6
    assert 429 in {answer.status for answer in answers}


async def test_an_address_gets_no_further_than_its_share(visitor: ConsoleBrowser) -> None:
    await visitor.xsrf()
    names = [f"u-{secrets.token_hex(6)}" for _ in range(30)]
    answers = await asyncio.gather(*(visitor.log_in(name, "whatever-it-is") for name in names))
    statuses = [answer.status for answer in answers]
    assert 20 <= statuses.count(401) < 26
    assert statuses.count(429) == 30 - statuses.count(401)


async def test_an_unknown_name_is_answered_as_a_wrong_password(guessers: list[ConsoleBrowser], person: str) -> None:
    """The same words and the same status."""
    unknown = f"x-{secrets.token_hex(6)}"
    told = {}
    for browser, name in ((guessers[0], person), (guessers[1], unknown)):
        answers = [await browser.log_in(name, "wrong-password") for _ in range(3)]
        told[name] = [(each.status, TOKEN.sub("", each.body.decode()).replace(name, "NAME")) for each in answers]
    assert told[person] == told[unknown]


async def test_logins_that_succeed_use_up_nothing(visitor: ConsoleBrowser, person: str) -> None:
    for _ in range(25):
        assert (await visitor.log_in(person)).status == 302
