"""Approvals by a second person: an act above an amount is stored, and carried out when another person confirms it.

Confirming is one compare-and-set, so of two concurrent confirmations only one carries the act out. The act has its own
number, so that repeating it after a crash changes nothing; any other second person may resume it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from wechat.domain.approvals import (
    Approval,
    ApprovalState,
    confirm,
    decision_conflict,
    decline,
    finish,
    require_requester,
)
from wechat.domain.audit import Act
from wechat.domain.errors import Bilingual, CallerError, Conflict, GatewayRefused, NotFound, StoreUnavailable
from wechat.domain.money import Fen, yuan
from wechat.domain.ports import ApprovalStore, Runtime, StaffStore
from wechat.domain.staff import Permission, StaffMember
from wechat.staff.audit import Actor, AuditLog
from wechat.support.update import Updater

ID_BYTES = 8
NUMBER = "out_refund_no"
"""The key in ``data`` by which a repeated act is recognised."""

Perform = Callable[[Approval], Awaitable[str]]
"""Carries an act out and returns a short text about the result. Repeating it must change nothing."""


@dataclass(frozen=True, slots=True)
class PendingAct:
    """An act to be approved; see ``Approval``."""

    act: Act
    permission: Permission
    subject: str
    amount: Fen
    reason: str
    data: Mapping[str, str | int]


class Approvals:
    """All approvals. Acts worth more than ``above`` fen need one; with ``above`` 0, none does.

    ``staff`` tells whether a requester may still do the act.
    """

    def __init__(self, store: ApprovalStore, staff: StaffStore, audit: AuditLog, above: int, runtime: Runtime) -> None:
        self._store = store
        self._staff = staff
        self._audit = audit
        self._above = above
        self._runtime = runtime
        self._updater = Updater(store, lambda approval: approval.id, runtime.random, remembered=0)
        self._perform: dict[Act, Perform] = {}

    def register(self, act: Act, perform: Perform) -> None:
        """Register ``perform`` to carry out ``act`` once it is confirmed."""
        self._perform[act] = perform

    def is_needed(self, amount: Fen) -> bool:
        """Whether an act worth ``amount`` needs a second person."""
        return 0 < self._above < amount

    async def request(self, act: PendingAct, by: Actor) -> Approval:
        """Store ``act`` for a second person, or return the same act that already waits.

        Raises Conflict if the same act is confirmed, or is done and has a number; others may be requested again.
        """
        now = self._runtime.clock.now()
        decided = {ApprovalState.CONFIRMED} | ({ApprovalState.DONE} if NUMBER in act.data else set())
        for held in await self._store.latest():
            if _is_same(held, act) and held.is_open(now):
                return held
            if _is_same(held, act) and held.state in decided:
                raise decision_conflict()
        approval = Approval(
            id=self._runtime.random.token(ID_BYTES),
            act=act.act,
            permission=act.permission,
            subject=act.subject,
            amount=act.amount,
            reason=act.reason,
            data=act.data,
            requested_by=by.name,
            requested_at=now,
        )
        if not await self._updater.insert(approval):
            raise StoreUnavailable
        await self._audit.write(by, Act.REQUEST_APPROVAL, approval.subject, after=_describe(approval))
        return approval

    async def confirm(self, approval_id: str, by: Actor) -> Approval:
        """Carry the act out in the name of both people. Return the approval afterwards.

        Raises NotFound, Forbidden (the same person), Conflict (decided, or the requester may no longer do it), Gone
        (too late), and errors of the act after which it may be resumed.
        """
        now, held = self._runtime.clock.now(), await self.get(approval_id)
        perform = self._find_perform(held.act)
        requester = await self._staff.get(held.requested_by)
        require_requester(held, requester.value if requester else None)
        approval = await self._update(approval_id, lambda held: confirm(held, by.name, now))
        await self._audit.write(by, Act.CONFIRM, approval.subject, after=_describe(approval))
        try:
            result, state = await perform(approval), ApprovalState.DONE
        except (CallerError, GatewayRefused) as error:
            result, state = error.public_code, ApprovalState.FAILED
        return await self._update(approval_id, lambda held: finish(held, state, result))

    async def decline(self, approval_id: str, by: Actor) -> Approval:
        """Decide that the act is not carried out. Raises NotFound, Conflict, Gone."""
        now = self._runtime.clock.now()
        approval = await self._update(approval_id, lambda held: decline(held, by.name, now))
        await self._audit.write(by, Act.DECLINE, approval.subject, after=_describe(approval))
        return approval

    async def get(self, approval_id: str) -> Approval:
        """Return the approval. Raises NotFound."""
        stored = await self._store.get(approval_id)
        if stored is None:
            raise _not_found()
        return stored.value

    async def waiting(self) -> Sequence[Approval]:
        """Return the approvals that a second person may still decide, the latest first."""
        now = self._runtime.clock.now()
        return [approval for approval in await self._store.waiting() if approval.is_open(now)]

    async def count_for(self, member: StaffMember) -> int:
        """Count the approvals that ``member`` may decide."""
        waiting = await self.waiting()
        return sum(each.requested_by != member.name and member.may(each.permission) for each in waiting)

    async def unfinished_of(self, name: str) -> Sequence[Approval]:
        """Return confirmed acts that have not ended and that ``name`` may resume by ``confirm``."""
        now = self._runtime.clock.now()
        return [each for each in await self._store.latest() if each.may_resume(name, now)]

    async def latest(self) -> Sequence[Approval]:
        """Return the latest approvals, in any state."""
        return await self._store.latest()

    def _find_perform(self, act: Act) -> Perform:
        """Return the function that carries ``act`` out. Raises Conflict when no plugin registered one."""
        perform = self._perform.get(act)
        if perform is None:
            text = Bilingual(
                "没有加载能执行这项操作的页面模块，请运维检查 plugins",
                "No plugin is loaded that carries this out; your operator has to check plugins in the settings",
            )
            raise Conflict(text, code="NOT_LOADED")
        return perform

    async def _update(self, approval_id: str, transition: Callable[[Approval], Approval]) -> Approval:
        change = await self._updater.update(approval_id, transition)
        if change is None:
            raise _not_found()
        return change.after


def _is_same(approval: Approval, act: PendingAct) -> bool:
    """Whether both are the same act: on one subject and, for a refund, with one number."""
    return (approval.act, approval.subject, approval.data.get(NUMBER)) == (act.act, act.subject, act.data.get(NUMBER))


def _describe(approval: Approval) -> str:
    return f"{approval.act} ¥{yuan(approval.amount)}, {approval.id}, {approval.requested_by}: {approval.reason}"


def _not_found() -> NotFound:
    return NotFound(Bilingual("没有这项待复核的操作", "There is no such action to confirm"), code="APPROVAL_NOT_FOUND")
