"""The store of approvals: acts that wait for a second person, and their decisions."""

from __future__ import annotations

from collections.abc import Sequence

from storage.documents import FIRST, LAST, Document, Documents, Range
from storage.store import Codec, DocumentStore
from storage.stores.listing import newest
from wechat.domain.approvals import Approval, ApprovalState
from wechat.domain.audit import Act
from wechat.domain.money import Fen
from wechat.domain.ports import Clock
from wechat.domain.staff import Permission

MOST = 100


class Approvals(DocumentStore[Approval]):
    """``ApprovalStore``."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        super().__init__(documents, APPROVAL)
        self._clock = clock

    async def waiting(self) -> Sequence[Approval]:
        equal = {"state": ApprovalState.WAITING.value}
        wanted = Range("requested_at", FIRST, LAST, equal, limit=MOST, latest=True)
        return self.values(await self._documents.find(wanted))

    async def latest(self) -> Sequence[Approval]:
        now = self._clock.now()
        found = await newest(self._documents, "requested_at", {}, now=now, limit=MOST, cursor="")
        return self.values(found[:MOST])


def _write(approval: Approval) -> Document:
    document: Document = {
        "act": approval.act.value,
        "permission": approval.permission.value,
        "subject": approval.subject,
        "amount": approval.amount,
        "reason": approval.reason,
        "data": dict(approval.data),
        "requested_by": approval.requested_by,
        "requested_at": approval.requested_at,
        "expires_at": approval.expires_at,
        "state": approval.state.value,
    }
    for name in ("decided_by", "decided_at", "result"):
        if value := getattr(approval, name):
            document[name] = value
    return document


def _read(document: Document) -> Approval:
    data = {name: value if isinstance(value, str) else int(value) for name, value in document["data"].items()}
    return Approval(
        id=document["_id"],
        act=Act(document["act"]),
        permission=Permission(document["permission"]),
        subject=document["subject"],
        amount=Fen(int(document["amount"])),
        reason=document["reason"],
        data=data,
        requested_by=document["requested_by"],
        requested_at=document["requested_at"],
        state=ApprovalState(document["state"]),
        decided_by=document.get("decided_by", ""),
        decided_at=document.get("decided_at"),
        result=document.get("result", ""),
    )


APPROVAL = Codec(
    key=lambda approval: approval.id,
    write=_write,
    read=_read,
    fields=frozenset(
        {
            "act", "permission", "subject", "amount", "reason", "data", "requested_by", "requested_at", "expires_at",
            "state", "decided_by", "decided_at", "result",
        }
    ),
    parts={},
)  # fmt: skip
