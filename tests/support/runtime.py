"""Runtimes for tests: random or counted identifiers, and metrics that a test reads."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from wechat.domain.metrics import Metric
from wechat.domain.news import NewsKind, NewsValue
from wechat.domain.ports import Clock, Random, Runtime

T = TypeVar("T")


class RandomIds:
    """``Random`` as unpredictable as the service's."""

    def token(self, size: int) -> str:
        return secrets.token_hex(size)

    def uniform(self, low: float, high: float) -> float:
        return secrets.SystemRandom().uniform(low, high)

    def shuffle(self, items: Sequence[T]) -> list[T]:
        return secrets.SystemRandom().sample(items, len(items))


class CountedIds:
    """``Random`` that counts up, so that runs are alike."""

    def __init__(self) -> None:
        self._count = 0

    def token(self, size: int) -> str:
        self._count += 1
        return f"{self._count:0{2 * size}x}"

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def shuffle(self, items: Sequence[T]) -> list[T]:
        return list(items)


class RecordedTelemetry:
    """``Telemetry`` that a test reads."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, ...]] = Counter()
        self.measured: dict[tuple[str, ...], float] = {}
        self.observed: list[tuple[Metric, float]] = []
        self.raised: list[tuple[str, str]] = []
        self.watched = False
        self.news: list[tuple[NewsKind, str, Mapping[str, NewsValue]]] = []

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        self.counted[(metric, *labels)] += int(by)

    def measure(self, metric: Metric, value: float, *labels: str) -> None:
        self.measured[(metric, *labels)] = value

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        self.observed.append((metric, value))

    def alarm(self, kind: str, out_trade_no: str = "", *, subject: str = "", error: str = "") -> None:
        self.count(Metric.ALARMS, kind)
        self.raised.append((kind, out_trade_no or subject))

    def publish(self, kind: NewsKind, out_trade_no: str, data: Mapping[str, NewsValue]) -> None:
        self.news.append((kind, out_trade_no, data))

    def alarms(self, kind: str) -> int:
        """Return the number of alarms of this kind."""
        return self.counted[(Metric.ALARMS, kind)]


class InlineThreads:
    """``Threads`` that does the work at once."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


def a_runtime(clock: Clock, ids: Random | None = None, telemetry: RecordedTelemetry | None = None) -> Runtime:
    """Return a runtime on ``clock``."""
    return Runtime(clock, ids or RandomIds(), telemetry or RecordedTelemetry(), InlineThreads())
