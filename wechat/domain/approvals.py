"""Acts that wait for a second person: asked for by one, confirmed once by another, or declined, or left to expire.

Pure values and rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from wechat.domain.audit import Act
from wechat.domain.errors import Bilingual, Conflict, Forbidden, Gone
from wechat.domain.money import Fen
from wechat.domain.orders import Order, Refund
from wechat.domain.staff import Permission, StaffMember

DECIDE_WITHIN = timedelta(hours=24)
KEEP = timedelta(days=90)
AT_CONSOLE, AND = "console:", "+"
"""Parts of ``Refund.by`` for a refund made in the console: one person, or two with ``AND`` between their names."""
CUT_SHORT_AFTER = timedelta(minutes=10)
"""A confirmed act that has not ended after this time was interrupted; any other second person may resume it."""


class ApprovalState(StrEnum):
    """The state of an approval. CONFIRMED: the act is being carried out; its number makes a repetition harmless."""

    WAITING = "waiting"
    CONFIRMED = "confirmed"
    DONE = "done"
    FAILED = "failed"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Approval:
    """A request of ``requested_by``, for ``reason``, to do ``act`` on ``subject``, worth ``amount`` fen.

    ``data`` (texts and whole numbers) is what carrying the act out needs; it identifies the act, for example by a
    refund number, so that a repetition changes nothing. ``result`` says how the act ended.
    """

    id: str
    act: Act
    permission: Permission
    subject: str
    amount: Fen
    reason: str
    data: Mapping[str, str | int]
    requested_by: str
    requested_at: datetime
    state: ApprovalState = ApprovalState.WAITING
    decided_by: str = ""
    decided_at: datetime | None = None
    result: str = ""

    @property
    def decide_until(self) -> datetime:
        return self.requested_at + DECIDE_WITHIN

    @property
    def expires_at(self) -> datetime:
        """The date on which the approval is removed."""
        return self.requested_at + KEEP

    def is_open(self, now: datetime) -> bool:
        """Whether a second person may still decide."""
        return self.state is ApprovalState.WAITING and now < self.decide_until

    def has_expired(self, now: datetime) -> bool:
        """Whether the time to decide is over without a decision."""
        return self.state is ApprovalState.WAITING and now >= self.decide_until

    def may_resume(self, name: str, now: datetime) -> bool:
        """Whether ``name`` may resume a confirmed act that has not ended: the person who confirmed it, or, after
        ``CUT_SHORT_AFTER``, any other second person."""
        if self.state is not ApprovalState.CONFIRMED or self.decided_at is None or name == self.requested_by:
            return False
        return name == self.decided_by or now >= self.decided_at + CUT_SHORT_AFTER


def refunded_alone(order: Order, besides: str) -> Fen:
    """Sum the refunds of ``order`` that one person alone made in the console, in fen, without the refund ``besides``.

    The sum counts towards the limit of the next refund, so that several small refunds need a second person, too.
    """
    alone = [each for each in order.refunds if each.by.startswith(AT_CONSOLE) and AND not in each.by]
    return Fen(sum(each.refund for each in alone if each.reserves and each.out_refund_no != besides))


def must_be_allowed_alone(order: Order, refund: Refund, above: Fen) -> None:
    """Raise Conflict if ``refund`` would bring one person's refunds of ``order`` above ``above`` fen. 0 means no limit.

    ``order`` must be the one that the refund is added to, in the same write, so that two refunds at once cannot both
    pass.
    """
    by_one = refund.by.startswith(AT_CONSOLE) and AND not in refund.by
    if by_one and 0 < above < refund.refund + refunded_alone(order, refund.out_refund_no):
        text = Bilingual(
            "同一订单刚有另一笔退款，合计已超过单人退款上限；请再次提交，由第二人复核",
            "Another refund of this order was just made; together they are above the limit. Submit it again "
            "for a second person to confirm",
        )
        raise Conflict(text, code="SECOND_PERSON_NEEDED")


def confirm(approval: Approval, name: str, now: datetime) -> Approval:
    """Decide that the act is carried out, or resume a confirmed act that has not ended.

    Raises Forbidden for the person who requested it, Conflict when another person has decided, Gone after the deadline.
    """
    if approval.may_resume(name, now):
        return approval if approval.decided_by == name else replace(approval, decided_by=name, decided_at=now)
    return replace(_decide(approval, name, now), state=ApprovalState.CONFIRMED)


def require_requester(approval: Approval, requester: StaffMember | None) -> None:
    """Raise Conflict when the requester of a waiting act may no longer do it: an act needs two entitled people.

    ``requester`` is the requester's current record; None when that person no longer exists.
    """
    entitled = requester is not None and requester.active and requester.may(approval.permission)
    if approval.state is ApprovalState.WAITING and not entitled:
        text = Bilingual(
            f"发起人 {approval.requested_by} 已停用或不再有这项权限，不能复核；请拒绝，并由有权限的同事重新发起",
            f"The requester {approval.requested_by} is disabled or no longer has the permission. Decline it; a "
            "colleague with the permission has to request it again",
        )
        raise Conflict(text, code="REQUESTER_NOT_ENTITLED")


def decline(approval: Approval, name: str, now: datetime) -> Approval:
    """Decide that the act is not carried out. Its requester may withdraw it this way. Raises Conflict, Gone."""
    if approval.state is ApprovalState.WAITING and approval.requested_by == name:
        return replace(approval, state=ApprovalState.DECLINED, decided_by=name, decided_at=now)
    return replace(_decide(approval, name, now), state=ApprovalState.DECLINED)


def finish(approval: Approval, state: ApprovalState, result: str) -> Approval:
    """Store how a confirmed act ended; ignored in any other state."""
    return replace(approval, state=state, result=result) if approval.state is ApprovalState.CONFIRMED else approval


def decision_conflict() -> Conflict:
    text = Bilingual("已由其他人处理，请刷新页面", "This has already been decided; reload the page")
    return Conflict(text, code="ALREADY_DECIDED")


def _decide(approval: Approval, name: str, now: datetime) -> Approval:
    if approval.state is not ApprovalState.WAITING:
        raise decision_conflict()
    if now >= approval.decide_until:
        text = Bilingual("已超过 24 小时，请重新发起", "More than 24 hours have passed; request it again")
        raise Gone(text, code="APPROVAL_EXPIRED")
    if approval.requested_by == name:
        text = Bilingual(
            "发起人不能复核自己的操作，请另一位有权限的同事复核",
            "The requester cannot confirm it; a colleague with the permission has to",
        )
        raise Forbidden(text, code="SAME_PERSON")
    return replace(approval, decided_by=name, decided_at=now)
