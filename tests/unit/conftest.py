"""A clock to move, a way out over real sockets, and an Official Account to ask."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.account import Account
from tests.support.clock import ManualClock
from tests.support.runtime import RecordedTelemetry
from wechat.support.transport import Transport


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(RecordedTelemetry(), connect_s=1, total_s=2)
    yield transport
    await transport.close()


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    async with Account() as account:
        yield account
