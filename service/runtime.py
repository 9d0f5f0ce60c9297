"""The runtime of the use cases: random numbers, metrics and alarms, threads. ``server.py`` alone builds one."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from wechat.domain.metrics import Metric
from wechat.domain.news import NewsKind, NewsValue
from wechat.support.news import NewsFeed

T = TypeVar("T")

log = structlog.get_logger("runtime")
_SYSTEM = secrets.SystemRandom()


class SystemRandom:
    """``Random`` from the operating system, which cannot be predicted."""

    def token(self, size: int) -> str:
        return secrets.token_hex(size)

    def uniform(self, low: float, high: float) -> float:
        return _SYSTEM.uniform(low, high)

    def shuffle(self, items: Sequence[T]) -> list[T]:
        return _SYSTEM.sample(items, len(items))


class ThreadPool:
    """``Threads`` of asyncio's default executor."""

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)


class Shape(NamedTuple):
    """The export of a metric: its kind, help text, labels and, for a histogram, its buckets."""

    kind: type[Counter | Gauge | Histogram]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS


SHAPES: Mapping[Metric, Shape] = {
    Metric.ALARMS: Shape(Counter, "Things an operator must look at", ("kind",)),
    Metric.ORDERS: Shape(Counter, "Orders that reached a state", ("state",)),
    Metric.PAID_FEN: Shape(Counter, "Fen received"),
    Metric.ORDER_CHECKS: Shape(Counter, "Checks of orders", ("result",)),
    Metric.UNCONFIRMED_ORDERS: Shape(Gauge, "Orders whose check is overdue, 1000 at most"),
    Metric.OLDEST_DUE_ORDER: Shape(Gauge, "By how long the oldest check of an order is overdue"),
    Metric.REFUNDS: Shape(Counter, "Refunds that reached a state", ("state",)),
    Metric.REFUNDED_FEN: Shape(Counter, "Fen refunded"),
    Metric.REFUND_CHECKS: Shape(Counter, "Checks of refunds", ("result",)),
    Metric.OVERDUE_REFUNDS: Shape(Gauge, "Refunds whose check is overdue, 1000 at most"),
    Metric.OLDEST_DUE_REFUND: Shape(Gauge, "By how long the oldest check of a refund is overdue"),
    Metric.NOTIFICATIONS: Shape(Counter, "Notifications by outcome", ("api", "result")),
    Metric.NOTIFICATION_SECONDS: Shape(
        Histogram, "From body to answer", buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5)
    ),
    Metric.NOTIFICATION_LAG: Shape(
        Histogram,
        "From payment to notification",
        buckets=(0.5, 1, 2, 5, 15, 60, 300, 1800, 7200, 86400),
    ),
    Metric.REFUSED_NOT_KEPT: Shape(Counter, "Refused notifications of which no copy was kept", ("reason",)),
    Metric.LAST_NOTIFICATION: Shape(Gauge, "When the last notification was accepted"),
    Metric.ALARM_MESSAGES: Shape(Counter, "Messages about alarms to people", ("channel", "result")),
    Metric.HEALTH: Shape(Gauge, "1 while a check passes, 0 while it fails", ("check",)),
    Metric.CLOCK_OFFSET: Shape(Gauge, "How far this machine's clock is ahead of WeChat's"),
    Metric.EVENT_DELIVERIES: Shape(Counter, "Tries to deliver an event", ("target", "result")),
    Metric.PENDING_EVENTS: Shape(
        Gauge, "Deliveries that are overdue, 1000 at most; target relay: orders with events to hand out", ("target",)
    ),
    Metric.OLDEST_EVENT: Shape(Gauge, "By how long the oldest is overdue", ("target",)),
    Metric.UNRECONCILED_DAY: Shape(Gauge, "Since when the oldest day waits that could not be reconciled"),
    Metric.CLIENT_ERRORS: Shape(Counter, "Refusals of WeChat's browser that pages reported", ("call", "code")),
    Metric.TOKEN_REFRESHES: Shape(Counter, "Refreshes asked of WeChat", ("name", "result")),
    Metric.CERTIFICATE_EXPIRY: Shape(Gauge, "When a certificate ends", ("kind", "serial")),
    Metric.CALLS_DROPPED: Shape(Counter, "Calls to or from WeChat of which no record was kept", ("reason",)),
    Metric.API_REQUEST_SECONDS: Shape(
        Histogram, "Calls to WeChat", ("api", "result"), (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
    ),
}
"""Every metric of the use cases. No label carries an order, an openid or an address."""


class PrometheusTelemetry:
    """``Telemetry`` for Prometheus. Alarms are logged as well."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters: dict[Metric, Counter] = {}
        self._gauges: dict[Metric, Gauge] = {}
        self._histograms: dict[Metric, Histogram] = {}
        self.on_alarm: Callable[[str, str, str], None] = lambda kind, subject, error: None
        """Called with each alarm's kind, the order, day or reason that it is about (empty for none), and its error."""
        self.feed: NewsFeed | None = None
        """Receives news; None without a listener."""
        for metric, shape in SHAPES.items():
            if shape.kind is Counter:
                self._counters[metric] = Counter(metric, shape.help, shape.labels, registry=registry)
            elif shape.kind is Gauge:
                self._gauges[metric] = Gauge(metric, shape.help, shape.labels, registry=registry)
            else:
                self._histograms[metric] = Histogram(
                    metric, shape.help, shape.labels, registry=registry, buckets=shape.buckets
                )

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        counter = self._counters[metric]
        (counter.labels(*labels) if labels else counter).inc(by)

    def measure(self, metric: Metric, value: float, *labels: str) -> None:
        gauge = self._gauges[metric]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        histogram = self._histograms[metric]
        (histogram.labels(*labels) if labels else histogram).observe(value)

    def alarm(self, kind: str, out_trade_no: str = "", *, subject: str = "", error: str = "") -> None:
        self.count(Metric.ALARMS, kind)
        about = {"out_trade_no": out_trade_no, "name": subject, "error": error}
        log.error("alarm", kind=kind, **{name: value for name, value in about.items() if value})
        self.on_alarm(kind, out_trade_no or subject, error)
        self.publish(NewsKind.ALARM, out_trade_no, {"alarm": kind, "subject": subject or None})

    @property
    def watched(self) -> bool:
        return self.feed is not None and self.feed.watched

    def publish(self, kind: NewsKind, out_trade_no: str, data: Mapping[str, NewsValue]) -> None:
        if self.feed is not None:
            self.feed.publish(kind, out_trade_no, data)
