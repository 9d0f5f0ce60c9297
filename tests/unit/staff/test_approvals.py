"""A second person's word: once, by another, in time."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from storage.memory.storage import MemoryStorage
from tests.storage.values import full_order, full_refund
from tests.support.clock import ManualClock
from tests.support.runtime import RandomIds, a_runtime
from wechat.domain.approvals import CUT_SHORT_AFTER, Approval, ApprovalState, must_be_allowed_alone, refunded_alone
from wechat.domain.audit import Act, AuditFilter
from wechat.domain.errors import Bilingual, Conflict, Forbidden, GatewayRefused, Gone, NotFound, StoreUnavailable
from wechat.domain.facts import RefundState
from wechat.domain.money import Fen
from wechat.domain.staff import Permission, Role, StaffMember
from wechat.staff.approvals import Approvals, PendingAct
from wechat.staff.audit import Actor, AuditLog

ANNA, BEN, CARLA = (Actor(name, "finance", "203.0.113.7") for name in ("anna", "ben", "carla"))
REFUND = PendingAct(
    Act.REFUND,
    Permission.REFUND,
    "20260301120506abc",
    Fen(90_000),
    "cold coffee",
    {"refund": 90_000, "out_refund_no": "R1"},
)


class Desk:
    """Approvals over memory, and what was carried out."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        runtime = a_runtime(self.clock)
        self.store = MemoryStorage(self.clock, RandomIds())
        self.audit = AuditLog(self.store.audit, runtime)
        self.approvals = Approvals(self.store.approvals, self.store.staff, self.audit, 50_000, runtime)
        self.approvals.register(Act.REFUND, self.perform)
        self.done: list[str] = []
        self.error: Exception | None = None

    async def perform(self, approval: Approval) -> str:
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        self.done.append(approval.id)
        return "R1"

    async def employ(self, name: str, role: Role = Role.FINANCE, disabled_at: datetime | None = None) -> None:
        """Put a person into the store, in place of any by that name."""
        now = self.clock.now()
        member = StaffMember(name, role, "", now, now, disabled_at)
        held = await self.store.staff.get(name)
        staff = self.store.staff
        assert await (staff.replace(held, member, "changed") if held else staff.insert(member, "employed"))

    async def acts(self) -> list[tuple[str, str]]:
        page = await self.audit.find(AuditFilter(), limit=50)
        return [(entry.name, entry.act) for entry in reversed(page.items)]


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.employ("anna")
    return desk


@pytest.mark.parametrize(("amount", "needed"), [(50_000, False), (50_001, True), (1, False)])
def test_only_what_is_above_the_sum_needs_a_second_person(desk: Desk, amount: int, needed: bool) -> None:
    assert desk.approvals.is_needed(Fen(amount)) is needed


def test_what_one_person_refunds_in_parts_is_added_up() -> None:
    parts = {"console:anna": 100, "console:ben": 20, "console:anna+ben": 3_000, "shop": 4_000, "policy": 5_000}
    refunds = tuple([full_refund(f"R-{by}", by=by, refund=Fen(fen)) for by, fen in parts.items()])
    failed = full_refund("R-failed", by="console:anna", state=RefundState.REFUSED)
    order = replace(full_order(), refunds=(*refunds, failed))
    assert (refunded_alone(order, ""), refunded_alone(order, "R-console:ben")) == (120, 100)


@pytest.mark.parametrize(
    ("by", "above", "passes"),
    [
        ("console:anna", 99, False),
        ("console:anna", 100, True),
        ("console:anna", 0, True),
        ("console:anna+ben", 99, True),
    ],
)
def test_one_person_alone_refunds_no_more_than_the_limit(by: str, above: int, *, passes: bool) -> None:
    order = replace(full_order(), refunds=(full_refund("R-1", by="console:ben", refund=Fen(60)),))
    refund = full_refund("R-2", by=by, refund=Fen(40))
    with nullcontext() if passes else pytest.raises(Conflict, match="second person"):
        must_be_allowed_alone(order, refund, Fen(above))


async def test_with_0_nothing_needs_a_second_person(desk: Desk) -> None:
    approvals = Approvals(desk.store.approvals, desk.store.staff, desk.audit, 0, a_runtime(desk.clock))
    assert not approvals.is_needed(Fen(10_000_000))


async def test_another_person_confirms_and_the_act_is_carried_out(desk: Desk) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    assert [each.id for each in await desk.approvals.waiting()] == [approval.id]
    done = await desk.approvals.confirm(approval.id, BEN)
    assert (done.state, done.result, done.decided_by) == (ApprovalState.DONE, "R1", "ben")
    assert desk.done == [approval.id]
    assert await desk.approvals.waiting() == []
    assert sorted(await desk.acts()) == [("anna", Act.REQUEST_APPROVAL), ("ben", Act.CONFIRM)]


async def test_nobody_confirms_what_they_asked_for(desk: Desk) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    with pytest.raises(Forbidden) as refused:
        await desk.approvals.confirm(approval.id, ANNA)
    assert refused.value.public_code == "SAME_PERSON"
    assert desk.done == []


async def test_of_two_who_confirm_at_once_one_carries_it_out(desk: Desk) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    ended = await asyncio.gather(
        *(desk.approvals.confirm(approval.id, by) for by in (BEN, CARLA)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in ended) == ["Approval", "Conflict"]
    assert desk.done == [approval.id]


async def test_what_was_decided_is_not_decided_again(desk: Desk) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    await desk.approvals.confirm(approval.id, BEN)
    for by in (BEN, CARLA):
        with pytest.raises(Conflict):
            await desk.approvals.confirm(approval.id, by)
        with pytest.raises(Conflict):
            await desk.approvals.decline(approval.id, by)
    assert desk.done == [approval.id]


async def test_what_waits_or_was_confirmed_is_not_asked_for_twice(desk: Desk) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    assert (await desk.approvals.request(REFUND, ANNA)).id == approval.id
    await desk.approvals.confirm(approval.id, BEN)
    with pytest.raises(Conflict):
        await desk.approvals.request(REFUND, ANNA)
    assert [each.id for each in await desk.approvals.latest()] == [approval.id]


async def test_an_act_without_a_number_is_asked_for_anew_once_it_is_done(desk: Desk) -> None:
    act = replace(REFUND, data={"day": "2026-03-01"})
    first = await desk.approvals.request(act, ANNA)
    await desk.approvals.confirm(first.id, BEN)
    assert (await desk.approvals.request(act, ANNA)).id != first.id


async def test_what_was_declined_or_has_expired_is_asked_for_anew(desk: Desk) -> None:
    await desk.approvals.decline((await desk.approvals.request(REFUND, ANNA)).id, BEN)
    second = await desk.approvals.request(REFUND, ANNA)
    desk.clock.advance(timedelta(hours=24).total_seconds())
    third = await desk.approvals.request(REFUND, ANNA)
    assert [each.id for each in await desk.approvals.waiting()] == [third.id] != [second.id]


async def test_after_a_day_it_is_too_late(desk: Desk) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    desk.clock.advance(timedelta(hours=24).total_seconds())
    assert await desk.approvals.waiting() == []
    with pytest.raises(Gone):
        await desk.approvals.confirm(approval.id, BEN)
    assert desk.done == []


async def test_whoever_asked_may_take_it_back_and_a_colleague_may_decline(desk: Desk) -> None:
    for by in (ANNA, BEN):
        approval = await desk.approvals.request(REFUND, ANNA)
        assert (await desk.approvals.decline(approval.id, by)).state is ApprovalState.DECLINED
        with pytest.raises(Conflict):
            await desk.approvals.confirm(approval.id, CARLA)
    assert desk.done == []


async def test_a_refusal_while_carrying_it_out_ends_it(desk: Desk) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    desk.error = GatewayRefused("refund", code="NOT_ENOUGH", text=Bilingual("余额不足", "Not enough"))
    done = await desk.approvals.confirm(approval.id, BEN)
    assert (done.state, done.result) == (ApprovalState.FAILED, "NOT_ENOUGH")


async def test_what_could_not_be_carried_out_may_be_tried_again_by_the_same_person(desk: Desk) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    desk.error = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await desk.approvals.confirm(approval.id, BEN)
    desk.error = None
    with pytest.raises(Conflict):
        await desk.approvals.confirm(approval.id, CARLA)
    assert [each.id for each in await desk.approvals.unfinished_of("ben")] == [approval.id]
    assert await desk.approvals.unfinished_of("carla") == []
    assert (await desk.approvals.confirm(approval.id, BEN)).state is ApprovalState.DONE
    assert await desk.approvals.unfinished_of("ben") == []


@pytest.mark.parametrize("role", [Role.SUPPORT, None], ids=["another role", "disabled"])
async def test_what_somebody_asked_for_who_may_not_any_more_is_not_carried_out(desk: Desk, role: Role | None) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    await desk.employ("anna", role or Role.FINANCE, None if role else desk.clock.now())
    with pytest.raises(Conflict) as refused:
        await desk.approvals.confirm(approval.id, BEN)
    assert refused.value.public_code == "REQUESTER_NOT_ENTITLED"
    assert desk.done == []
    assert (await desk.approvals.decline(approval.id, BEN)).state is ApprovalState.DECLINED


async def test_what_was_cut_short_is_carried_out_by_another_when_whoever_confirmed_it_does_not_come_back(
    desk: Desk,
) -> None:
    approval = await desk.approvals.request(REFUND, ANNA)
    desk.error = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await desk.approvals.confirm(approval.id, BEN)
    desk.error = None
    await desk.employ("anna", disabled_at=desk.clock.now())  # the decision was taken while she was there
    desk.clock.advance(CUT_SHORT_AFTER.total_seconds())
    assert await desk.approvals.unfinished_of("anna") == []
    with pytest.raises(Conflict):
        await desk.approvals.confirm(approval.id, ANNA)
    assert [each.id for each in await desk.approvals.unfinished_of("carla")] == [approval.id]
    done = await desk.approvals.confirm(approval.id, CARLA)
    assert (done.state, done.decided_by) == (ApprovalState.DONE, "carla")
    assert desk.done == [approval.id]


async def test_an_unknown_act_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.approvals.confirm("0" * 16, BEN)
