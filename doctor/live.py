"""Connections to WeChat, built as the service builds them, for queries without an effect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from doctor.subject import Subject
from service.clocks import SystemClock
from service.parts import gateways
from service.parts.gateways import Pay
from service.runtime import SystemRandom, ThreadPool
from service.settings.model import Settings
from wechat.account.client import AccountClient
from wechat.domain.metrics import Metric
from wechat.domain.news import NewsKind, NewsValue
from wechat.domain.ports import Runtime
from wechat.pay.certificates import KeyRing
from wechat.support.transport import Transport


class Silence:
    """``Telemetry`` that discards everything."""

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None: ...

    def measure(self, metric: Metric, value: float, *labels: str) -> None: ...

    def observe(self, metric: Metric, value: float, *labels: str) -> None: ...

    def alarm(self, kind: str, out_trade_no: str = "", *, subject: str = "", error: str = "") -> None: ...

    @property
    def watched(self) -> bool:
        return False

    def publish(self, kind: NewsKind, out_trade_no: str, data: Mapping[str, NewsValue]) -> None: ...


@dataclass(frozen=True, slots=True)
class WeChat:
    """``pay`` are WeChat Pay's gateways, ``account`` is the Official Account's API."""

    settings: Settings
    transport: Transport
    runtime: Runtime
    pay: Pay
    account: AccountClient

    def build_ring(self) -> KeyRing:
        """Return a key ring with only the WeChat Pay public key of the settings, if there is one."""
        v3 = self.settings.pay.v3
        return KeyRing(self.runtime.clock, gateways.load_platform_key(v3) if v3 else None)


@asynccontextmanager
async def connect(subject: Subject) -> AsyncIterator[WeChat]:
    """Open connections and close them at the end. Raises ConfigError for keys that do not belong together."""
    settings = subject.settings
    assert settings, "checked before"  # noqa: S101 - only checks that need settings come here
    telemetry = Silence()
    transport = Transport(telemetry)
    runtime = Runtime(SystemClock(), SystemRandom(), telemetry, ThreadPool())
    pay = gateways.build(settings, transport, runtime)
    try:
        yield WeChat(settings, transport, runtime, pay, AccountClient(transport, settings.account.api_url))
    finally:
        for each in (transport, *pay.closing):
            await each.close()
