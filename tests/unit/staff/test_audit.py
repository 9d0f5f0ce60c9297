"""Acts that were begun: found by what they are, and called unfinished until it is written down how they ended."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from storage.memory.storage import MemoryStorage
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds, a_runtime
from wechat.domain.audit import Act, AuditEntry, AuditFilter
from wechat.domain.errors import FenpayError, GatewayRefused, NotFound, NotSent, TooMany
from wechat.staff.audit import BEGUN_AT_ONCE, REFUSED_ACTS, REFUSED_ACTS_PER_S, Actor, AuditLog

ANNA = Actor("anna", "finance", "203.0.113.7")


class ProcessDied(Exception):
    """Ends an act without an outcome."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def log(clock: ManualClock) -> AuditLog:
    return AuditLog(MemoryStorage(clock, RandomIds()).audit, a_runtime(clock))


async def record(log: AuditLog, subject: str, *, error: Exception | None = None, after: str = "") -> None:
    """Refund an order: the act ends with ``after``, or with ``error``, which is suppressed."""
    with contextlib.suppress(*[type(error)] if error else []):
        async with log.record_act(ANNA, Act.REFUND, subject, "SUCCESS ¥18.00", "R1 ¥5.00: cold") as outcome:
            if error:
                raise error
            outcome.append(after)


async def entries_of(log: AuditLog, subject: str) -> list[AuditEntry]:
    return list((await log.find(AuditFilter(subject=subject), limit=5)).items)


async def test_an_act_is_written_down_before_it_is_done(log: AuditLog) -> None:
    async with log.record_act(ANNA, Act.REFUND, "order-1", "SUCCESS ¥18.00", "R1 ¥5.00: cold"):
        [begun] = await entries_of(log, "order-1")
    assert (begun.act, begun.wanted, begun.before) == (Act.BEGIN, Act.REFUND, "SUCCESS ¥18.00")


async def test_what_was_begun_is_found_by_its_act_and_has_no_outcome(log: AuditLog) -> None:
    await record(log, "order-1", error=ProcessDied())
    [begun] = await entries_of(log, "order-1")
    for wanted in (AuditFilter(act=Act.REFUND), AuditFilter(act=Act.BEGIN, subject="order-1")):
        assert (await log.find(wanted, limit=5)).items == (begun,)
    assert (await log.find_without_outcome(AuditFilter())).items == (begun,)


async def test_what_ended_is_not_unfinished(log: AuditLog) -> None:
    await record(log, "order-1", after="REFUND ¥18.00")
    assert (await log.find_without_outcome(AuditFilter())).items == ()
    found = await entries_of(log, "order-1")
    assert {(entry.act, entry.before, entry.after) for entry in found} == {
        (Act.BEGIN, "SUCCESS ¥18.00", "R1 ¥5.00: cold"),
        (Act.REFUND, "SUCCESS ¥18.00", "REFUND ¥18.00"),
    }
    assert await log.find_with_outcome(found) == {entry.id for entry in found if entry.wanted}


@pytest.mark.parametrize("error", [NotFound(), GatewayRefused("refund", code="NO_AUTH"), NotSent("refund")])
async def test_what_was_refused_has_an_outcome(log: AuditLog, error: FenpayError) -> None:
    await record(log, "order-1", error=error)
    assert f"refused: {error.public_code}" in {entry.after for entry in await entries_of(log, "order-1")}
    assert (await log.find_without_outcome(AuditFilter())).items == ()


async def test_one_that_is_unfinished_is_found_below_many_that_ended(log: AuditLog) -> None:
    await record(log, "order-0", error=ProcessDied())
    for number in range(BEGUN_AT_ONCE + 1):
        await record(log, f"order-{number}")
    [lost] = (await log.find_without_outcome(AuditFilter(name="anna"))).items
    assert lost.subject == "order-0"


async def test_refused_acts_of_a_person_are_limited_and_the_limit_leaves_no_entry(
    log: AuditLog, clock: ManualClock
) -> None:
    for number in range(REFUSED_ACTS):
        await record(log, f"order-{number}", error=NotFound())
    with pytest.raises(TooMany):
        async with log.record_act(replace(ANNA, address="203.0.113.8"), Act.REFUND, "order-x"):
            pytest.fail("an act was done without an entry")
    assert await entries_of(log, "order-x") == []
    async with log.record_act(replace(ANNA, name="ben"), Act.REFUND, "order-of-ben"):
        pass
    clock.advance(1 / REFUSED_ACTS_PER_S)
    await record(log, "order-later")
    assert len(await entries_of(log, "order-later")) == 2


async def test_acts_that_are_done_or_have_no_outcome_are_not_limited(log: AuditLog) -> None:
    for number in range(REFUSED_ACTS * 2):
        await record(log, f"order-{number}", error=ProcessDied() if number % 2 else None)
    assert len(await entries_of(log, f"order-{REFUSED_ACTS * 2 - 2}")) == 2
