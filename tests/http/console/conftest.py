"""A person of each role, logged in to the first of the two services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import pytest

from tests.support.console import ConsoleBrowser, Operator
from tests.support.service import ServiceProcess
from wechat.domain.staff import Role


@pytest.fixture(scope="session")
def operator(service: ServiceProcess) -> Operator:
    """The command line of whoever runs the first service."""
    return Operator(service.url)


@pytest.fixture(scope="session")
async def staff(service: ServiceProcess, operator: Operator) -> AsyncIterator[Mapping[Role, ConsoleBrowser]]:
    """A logged-in browser for each role, shared by the whole run: do not log these out. The person's name is the
    role's."""
    async with AsyncExitStack() as stack:
        browsers = {}
        for role in Role:
            await operator.add_person(role.value, role)
            browser = await stack.enter_async_context(ConsoleBrowser(service.url, role.value))
            response = await browser.log_in()
            assert response.status == 302, response.body
            browsers[role] = browser
        yield browsers


@pytest.fixture
def admin(staff: Mapping[Role, ConsoleBrowser]) -> ConsoleBrowser:
    return staff[Role.ADMIN]


@pytest.fixture
async def visitor(service: ServiceProcess) -> AsyncIterator[ConsoleBrowser]:
    """A browser that nobody has logged in with."""
    async with ConsoleBrowser(service.url) as browser:
        yield browser
