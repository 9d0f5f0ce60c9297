"""Build the statistics and the live feed, and subscribe both to changes of orders."""

from __future__ import annotations

from handlers.web.services import Insight
from storage.stores.all import Stores
from wechat.domain.ports import Runtime
from wechat.live.feed import LiveFeed, Records
from wechat.orders.updates import OrderUpdates
from wechat.statistics.days import SummaryLease
from wechat.statistics.statistics import Statistics
from wechat.statistics.summaries import LONGEST_REST, Marks, SummaryWork
from wechat.support.worker import Worker


def build_insight(mchid: str, store: Stores, updates: OrderUpdates, runtime: Runtime) -> Insight:
    """Build statistics and live feed for pages; changes of orders are reported to the feed."""
    records = Records(store.orders, store.alarms, store.approvals, store.deliveries)
    live = LiveFeed(mchid, records, runtime)
    updates.observers += (live.note,)
    return Insight(Statistics(mchid, store.summaries, store.statistics_entries, runtime.clock), live, store.calls)


def build_summary_worker(mchid: str, store: Stores, updates: OrderUpdates, runtime: Runtime) -> Worker[SummaryLease]:
    """Return the worker that computes the figures of days; each change of an order tells it the hours to compute."""
    marks = Marks()
    work = SummaryWork(mchid, store.statistics_entries, store.summaries, marks, runtime)
    worker = Worker(work, runtime, 1, LONGEST_REST)
    work.on_due = worker.wake
    updates.observers += (marks.note,)
    return worker
