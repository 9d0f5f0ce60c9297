"""A clock to move, a way out over real sockets, an Official Account to ask, and WeChat Pay's keys."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.account import Account
from tests.support.clock import ManualClock
from tests.support.keys import private_pem
from tests.support.platform import Platform
from tests.support.receiving import KNOWN
from tests.support.runtime import RecordedTelemetry
from wechat.support.transport import Transport


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(RecordedTelemetry(), connect_s=1, total_s=5)
    yield transport
    await transport.close()


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    async with Account() as account:
        yield account


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """WeChat Pay's side of the keys: it signs notifications."""
    state = tmp_path_factory.mktemp("keys")
    (state / "public_key.key.pem").write_text(private_pem("platform"))
    (state / "platform_1.key.pem").write_text(private_pem("certificate"))
    return Platform(KNOWN, state)
