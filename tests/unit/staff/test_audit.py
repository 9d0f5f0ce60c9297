"""Acts that were begun: found by what they are, and called unfinished until it is written down how they ended."""

from __future__ import annotations

import pytest

from storage.memory.storage import MemoryStorage
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds, a_runtime
from wechat.domain.audit import Act, AuditFilter
from wechat.staff.audit import BEGUN_AT_ONCE, Actor, AuditLog

ANNA = Actor("anna", "finance", "203.0.113.7")


@pytest.fixture
def log() -> AuditLog:
    clock = ManualClock()
    return AuditLog(MemoryStorage(clock, RandomIds()).audit, a_runtime(clock))


async def test_what_was_begun_is_found_by_its_act_and_has_no_outcome(log: AuditLog) -> None:
    begun = await log.begin(ANNA, Act.REFUND, "order-1", "SUCCESS ¥18.00", "R1 ¥5.00: cold")
    for wanted in (AuditFilter(act=Act.REFUND), AuditFilter(act=Act.BEGIN, subject="order-1")):
        assert (await log.find(wanted, limit=5)).items == (begun,)
    assert (await log.find_without_outcome(AuditFilter())).items == (begun,)


async def test_what_ended_is_not_unfinished(log: AuditLog) -> None:
    begun = await log.begin(ANNA, Act.REFUND, "order-1", "SUCCESS ¥18.00", "R1 ¥5.00: cold")
    await log.end(begun, "REFUND ¥18.00")
    assert (await log.find_without_outcome(AuditFilter())).items == ()
    found = await log.find(AuditFilter(subject="order-1"), limit=5)
    assert {(entry.act, entry.before, entry.after) for entry in found.items} == {
        (Act.BEGIN, "SUCCESS ¥18.00", "R1 ¥5.00: cold"),
        (Act.REFUND, "SUCCESS ¥18.00", "REFUND ¥18.00"),
    }
    assert await log.find_with_outcome(found.items) == {begun.id}


async def test_one_that_is_unfinished_is_found_below_many_that_ended(log: AuditLog) -> None:
    lost = await log.begin(ANNA, Act.CLOSE_ORDER, "order-1", "", "")
    for number in range(BEGUN_AT_ONCE + 1):
        await log.end(await log.begin(ANNA, Act.CLOSE_ORDER, f"order-{number}", "", ""), "")
    assert (await log.find_without_outcome(AuditFilter(name="anna"))).items == (lost,)
