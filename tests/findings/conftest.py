"""What the tests of findings share: the two running processes of ``tests/http``, the gate of ``tests/unit/notifications``,
and a service of its own for whoever breaks something."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.http.conftest import (  # noqa: F401 - fixtures
    directory,
    mongo,
    no_defect_in_the_log,
    pair,
    platform,
    redis,
    service,
    shop,
    simulator,
)
from tests.support.account import Account
from tests.support.keys import private_pem
from tests.support.platform import Platform
from tests.support.receiving import KNOWN, World
from tests.support.runtime import RecordedTelemetry
from tests.support.simulator import SimulatorProcess
from tests.support.site import Site, running_site
from wechat.support.transport import Transport

OpenSite = Callable[..., Site]


@pytest.fixture
def open_site(tmp_path: Path, directory: Path, simulator: SimulatorProcess) -> Iterator[OpenSite]:  # noqa: F811
    """Starts a service of the test's own over stores of its own; keywords are settings, section by section."""
    with ExitStack() as stack:

        def start(**changes: Any) -> Site:
            return stack.enter_context(running_site(tmp_path, simulator, directory / "wechat", **changes))

        yield start


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(RecordedTelemetry(), connect_s=0.5, total_s=0.5)
    yield transport
    await transport.close()


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    async with Account() as account:
        yield account


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The notification gate of both APIs over stores in memory."""
    (tmp_path / "public_key.key.pem").write_text(private_pem("platform"))
    (tmp_path / "platform_1.key.pem").write_text(private_pem("certificate"))
    return World(Platform(KNOWN, tmp_path))
