"""``console.totp_required``: a role that must use a code generator reaches only its set-up until it has one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from storage.embedded.servers import EmbeddedMongo, EmbeddedRedis, free_port
from tests.support.console import PASSWORD, ConsoleBrowser, Operator
from tests.support.route_requests import endpoints
from tests.support.service import ServiceProcess, overlay
from tests.support.simulator import SimulatorProcess
from wechat.domain.staff import PERMISSIONS, Permission, Role

SET_UP = "/console/account/totp"
SECRET = re.compile(r"<code>([A-Z2-7]{32})</code>")


@pytest.fixture(scope="module")
def strict(
    directory: Path, simulator: SimulatorProcess, mongo: EmbeddedMongo, redis: EmbeddedRedis
) -> Iterator[ServiceProcess]:
    """A service whose support staff must use a code generator, over a database of its own."""
    settings = overlay(free_port(), simulator.url, simulator.credentials, mongo.url, redis.url, directory)
    settings["mongo"]["database"] = "strict"
    settings["console"] = {"totp_required": ["support"]}
    service = ServiceProcess.start(directory, settings, "strict")
    yield service
    assert service.defects == []
    assert service.stop() == 0


async def logged_in(service: ServiceProcess, browser: ConsoleBrowser, role: Role) -> None:
    name = f"t-{secrets.token_hex(6)}"
    await Operator(service.url).add_person(name, role)
    assert (await browser.log_in(name)).status == 302


def pages(role: Role) -> list[tuple[str, str]]:
    """Method and address of every route without a parameter that ``role`` may use, the own account excepted."""
    allowed = {f"staff:{each.value}" for each in PERMISSIONS[role] - {Permission.OWN_ACCOUNT}}
    return [(each.method, each.pattern) for each in endpoints() if each.access in allowed and "(" not in each.pattern]


async def test_a_role_that_needs_a_code_generator_reaches_only_its_set_up(strict: ServiceProcess) -> None:
    async with ConsoleBrowser(strict.url) as browser:
        await logged_in(strict, browser, Role.SUPPORT)
        targets = pages(Role.SUPPORT)
        assert {("GET", "/console/orders"), ("GET", "/console/live")} <= set(targets)
        for method, target in [*targets, ("GET", "/console/orders/20260301000000nobody")]:
            response = await (browser.get(target) if method == "GET" else browser.post(target))
            assert (response.status, response.at) == (302, SET_UP), (method, target)
        [secret] = SECRET.findall(await browser.page(SET_UP))
        form = {"secret": secret, "code": pyotp.TOTP(secret).now(), "step_up": PASSWORD}
        assert (await browser.post(SET_UP, form)).status == 200
        assert (await browser.get("/console/orders")).status == 200
        assert (await browser.post(f"{SET_UP}/remove", {"step_up": PASSWORD})).status == 409


async def test_other_roles_need_none(strict: ServiceProcess) -> None:
    async with ConsoleBrowser(strict.url) as browser:
        await logged_in(strict, browser, Role.FINANCE)
        assert (await browser.get("/console/orders")).status == 200
