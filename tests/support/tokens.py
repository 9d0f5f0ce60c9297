"""The Official Account's tokens for tests."""

from __future__ import annotations

from itertools import count

from storage.memory.tokens import MemoryTokens
from tests.support.account import Account
from tests.support.clock import ManualClock
from tests.support.runtime import RecordedTelemetry, a_runtime
from wechat.account.client import AccountClient
from wechat.account.tokens import Credentials, Tokens
from wechat.domain.metrics import Metric
from wechat.domain.ports import TokenStore
from wechat.support.transport import Transport

STABLE, CLASSIC, TICKET = "/cgi-bin/stable_token", "/cgi-bin/token", "/cgi-bin/ticket/getticket"
LIFE_S = 7200


class Wechat:
    """An account with numbered tokens, and any number of processes that share a store."""

    def __init__(self, account: Account, transport: Transport, clock: ManualClock) -> None:
        self.account, self.clock, self.telemetry = account, clock, RecordedTelemetry()
        self.store = MemoryTokens(clock)
        self.client = AccountClient(transport, account.url)
        numbers = count(1)
        account.replies |= {
            STABLE: lambda _: {"access_token": f"token-{next(numbers)}", "expires_in": LIFE_S},
            CLASSIC: lambda _: {"access_token": f"classic-{next(numbers)}", "expires_in": LIFE_S},
            TICKET: lambda _: {"errcode": 0, "errmsg": "ok", "ticket": f"ticket-{next(numbers)}", "expires_in": LIFE_S},
        }

    def process(self, call: str = "stable", store: TokenStore | None = None) -> Tokens:
        """Return another process over the same store."""
        credentials = Credentials("wx1", "secret-0123456789", call)
        return Tokens(self.client, credentials, store or self.store, a_runtime(self.clock, telemetry=self.telemetry))

    def refreshes(self, result: str) -> int:
        """Return the number of requests of an access token with this result."""
        return self.telemetry.counted[(Metric.TOKEN_REFRESHES, "access_token", result)]
