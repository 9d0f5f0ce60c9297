"""Calls are written in batches, off the path of whoever made them, and never without bound."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.contract.samples import NOW
from tests.support.calls import an_exchange
from tests.support.clock import ManualClock
from tests.support.runtime import RecordedTelemetry, a_runtime
from wechat.calls import recorder as module
from wechat.calls.recorder import BATCH, MOST_QUEUED, OF_ORDER, CallRecorder
from wechat.domain.calls import Call
from wechat.domain.errors import StoreUnavailable
from wechat.domain.metrics import Metric
from wechat.domain.ports import Stored


class Store:
    """``CallStore`` that fails as often as it is told to."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.batches: list[int] = []
        self.written = asyncio.Event()
        self.failures = 0
        self.refusal: Exception | None = None
        self.written_though_it_fails = False

    async def add(self, calls: Sequence[Call]) -> None:
        if self.failures:
            self.failures -= 1
            if self.written_though_it_fails:
                self.calls |= {call.id: call for call in calls}
            raise StoreUnavailable
        if self.refusal:
            refusal, self.refusal = self.refusal, None
            raise refusal
        self.batches.append(len(calls))
        self.written.set()
        self.calls |= {call.id: call for call in calls}

    async def get(self, key: str) -> Stored[Call] | None:
        return Stored(self.calls[key], 1) if key in self.calls else None

    async def of_order(self, out_trade_no: str, limit: int) -> Sequence[Call]:
        return [call for call in self.calls.values() if call.out_trade_no == out_trade_no][:limit]


MOST_DAILY = 64 * 1024 * 1024


class Desk:
    def __init__(self, most_daily: int = MOST_DAILY) -> None:
        self.clock, self.telemetry, self.store = ManualClock(NOW), RecordedTelemetry(), Store()
        runtime = a_runtime(self.clock, telemetry=self.telemetry)
        self.recorder = CallRecorder(self.store, runtime, timedelta(days=30), 1000, most_daily)

    def record(self, count: int, start: int = 0) -> None:
        for i in range(start, start + count):
            self.recorder.record(an_exchange(out_trade_no=f"order-{i}"))

    def dropped(self, reason: str) -> int:
        return self.telemetry.counted[(Metric.CALLS_DROPPED, reason)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_call_is_kept_with_the_time_at_which_it_began_and_the_verdict_that_came_later(desk: Desk) -> None:
    exchange = an_exchange(verdict="", duration_s=2.0)
    desk.recorder.record(exchange)
    exchange.verdict = "sign_wrong"
    await desk.recorder.flush()
    [call] = desk.store.calls.values()
    assert (call.at, call.verdict) == (NOW - timedelta(seconds=2), "sign_wrong")
    assert call.expires_at == call.at + timedelta(days=30)


async def test_calls_are_written_in_batches(desk: Desk) -> None:
    desk.record(2 * BATCH + 1)
    await desk.recorder.flush()
    assert desk.store.batches == [BATCH, BATCH, 1]
    assert list(desk.store.calls.values())[7].out_trade_no == "order-7"


async def test_no_more_than_a_days_volume_is_kept() -> None:
    desk = Desk(most_daily=4000)
    large = [an_exchange(out_trade_no=f"order-{i}", answer_body=b"x" * 900) for i in range(5)]
    for exchange in large:
        desk.recorder.record(exchange)
    kept = 5 - desk.dropped("volume")
    assert kept == 4000 // large[0].size
    desk.clock.advance(24 * 3600)
    for exchange in large:
        desk.recorder.record(exchange)
    await desk.recorder.flush()
    assert len(desk.store.calls) == 2 * kept


async def test_nobody_waits_for_the_database(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording is no coroutine: the task that writes begins when whoever recorded waits for something else."""
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    desk.recorder.start()
    desk.record(3)
    assert desk.store.batches == []
    await asyncio.wait_for(desk.store.written.wait(), 5)
    assert desk.store.batches == [3]
    await desk.recorder.close()


async def test_what_a_database_that_is_away_did_not_take_is_written_once_when_it_comes_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    desk.store.failures, desk.store.written_though_it_fails = 2, True
    desk.recorder.start()
    desk.record(5)
    await asyncio.wait_for(desk.store.written.wait(), 5)
    assert [call.out_trade_no for call in desk.store.calls.values()] == [f"order-{i}" for i in range(5)]
    await desk.recorder.close()


async def test_a_full_queue_drops_what_comes_and_counts_it(desk: Desk) -> None:
    desk.record(MOST_QUEUED + 3)
    assert desk.dropped("full") == 3
    await desk.recorder.flush()
    desk.record(1, start=MOST_QUEUED + 3)
    assert desk.dropped("full") == 3


async def test_large_bodies_fill_the_queue_as_well(desk: Desk) -> None:
    for i in range(20):
        desk.recorder.record(an_exchange(out_trade_no=f"order-{i}", answer_body=b"x" * 1024 * 1024))
    assert desk.dropped("full") == 12
    await desk.recorder.flush()
    desk.record(1)
    assert desk.dropped("full") == 12


async def test_a_message_that_is_repeated_without_end_is_kept_a_few_times(desk: Desk) -> None:
    for _ in range(OF_ORDER + 10):
        desk.recorder.record(an_exchange())
    assert desk.dropped("repeated") == 10
    desk.clock.advance(31)
    desk.recorder.record(an_exchange())
    assert desk.dropped("repeated") == 10


async def test_closing_writes_what_is_queued(desk: Desk) -> None:
    desk.recorder.start()
    desk.record(3)
    await desk.recorder.close()
    assert desk.store.batches == [3]


async def test_closing_without_a_database_counts_what_is_lost(desk: Desk) -> None:
    desk.recorder.start()
    desk.record(3)
    desk.store.failures = 9
    await desk.recorder.close()
    assert desk.dropped("closed") == 3


async def test_a_call_that_cannot_be_read_stops_no_other(desk: Desk) -> None:
    desk.recorder.record(an_exchange(url=None))
    desk.record(1)
    await desk.recorder.flush()
    assert (len(desk.store.calls), desk.dropped("unreadable")) == (1, 1)


async def test_what_cannot_be_read_is_counted_once_however_long_the_database_is_away(desk: Desk) -> None:
    desk.recorder.record(an_exchange(url=None))
    desk.record(1)
    desk.store.failures = 2
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await desk.recorder.flush()
    await desk.recorder.flush()
    assert (len(desk.store.calls), desk.dropped("unreadable")) == (1, 1)


async def test_a_batch_that_the_database_refuses_holds_up_no_later_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    desk.store.refusal = RuntimeError("refused")
    desk.recorder.start()
    desk.record(BATCH + 2)
    await asyncio.wait_for(desk.store.written.wait(), 5)
    assert (desk.store.batches, desk.dropped("refused")) == ([2], BATCH)
    await desk.recorder.close()


async def test_closing_ends_though_the_database_refuses(desk: Desk) -> None:
    desk.recorder.start()
    desk.record(BATCH + 2)
    desk.store.refusal = RuntimeError("refused")
    await desk.recorder.close()
    assert (desk.dropped("refused"), desk.dropped("closed")) == (BATCH, 2)


async def test_long_headers_fill_the_queue_as_well(desk: Desk) -> None:
    for i in range(200):
        desk.recorder.record(an_exchange(out_trade_no=f"order-{i}", request_headers={"X-Long": "x" * 64 * 1024}))
    assert desk.dropped("full") > 0
