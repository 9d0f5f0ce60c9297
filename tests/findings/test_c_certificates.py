"""No certificate ends in silence."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import structlog

from tests.support.clock import ManualClock
from tests.support.keys import START, YEAR
from tests.support.runtime import RecordedTelemetry, a_runtime
from wechat.pay.certificates import CertificateRole
from wechat.pay.expiry import ExpiryWatch

ENDS = {CertificateRole.MERCHANT: START + YEAR}


class Day:
    """A watch, and what it told."""

    def __init__(self, days_left: float) -> None:
        self.clock = ManualClock(START + YEAR - timedelta(days=days_left))
        self.telemetry = RecordedTelemetry()
        self.watch = ExpiryWatch(lambda: ENDS, a_runtime(self.clock, telemetry=self.telemetry))

    def look(self) -> list[tuple[str, str]]:
        """Level and words of each line of the log."""
        with structlog.testing.capture_logs() as lines:
            self.watch.check()
        return [(line["log_level"], line["error"]) for line in lines]


@pytest.mark.parametrize(
    ("days", "level", "alarms"),
    [
        (59.5, "warning", 0),
        (30.5, "warning", 0),
        (29.5, "error", 0),
        (8.5, "error", 0),
        (6.5, "error", 1),
        (-0.5, "error", 1),
    ],
)
def test_c3_the_end_is_told_from_60_days_on_and_alarmed_from_7(days: float, level: str, alarms: int) -> None:
    day = Day(days)
    [(payload, words)] = day.look()
    assert payload == level
    assert "merchant certificate end" in words
    assert "on 2027-01-01" in words
    assert [kind for kind, _ in day.telemetry.raised] == ["certificate_ends"] * alarms


def test_c3_nothing_is_told_before() -> None:
    assert Day(60.5).look() == []


def test_c3_it_is_told_once_a_day_and_again_on_the_next() -> None:
    day = Day(20)
    assert len(day.look()) == 1
    assert day.look() == []
    day.clock.advance(24 * 3600)
    assert len(day.look()) == 1


async def test_c3_the_start_tells_at_once() -> None:
    day = Day(3)
    day.watch.start()
    await asyncio.sleep(0)
    await day.watch.close()
    assert [kind for kind, _ in day.telemetry.raised] == ["certificate_ends"]
