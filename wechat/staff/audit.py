"""Write entries of the audit log, before the response, and find them again."""

from __future__ import annotations

from dataclasses import dataclass

from wechat.domain.audit import MOST_OF_TEXT, Act, AuditEntry, AuditFilter
from wechat.domain.errors import StoreUnavailable
from wechat.domain.ports import AuditStore, Page, Runtime
from wechat.support.rate_limit import RateLimit

ID_BYTES, WRITE_BYTES = 12, 6
REFUSALS, REFUSALS_PER_S = 100, 1 / 60
"""Limits for the refused acts of one person that are recorded, at once and a second."""
MOST_CALLERS = 1000


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who acts, with role and IP address."""

    name: str
    role: str
    address: str


class AuditLog:
    """All entries of the installation's audit log."""

    def __init__(self, store: AuditStore, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        self._refusals = RateLimit(runtime.clock, REFUSALS, REFUSALS_PER_S, MOST_CALLERS)

    async def write(self, actor: Actor, act: Act, subject: str = "", before: str = "", after: str = "") -> None:
        """Add an entry. ``before`` and ``after`` must hold no secrets; they are cut. Raises StoreUnavailable."""
        entry = AuditEntry(
            id=self._runtime.random.token(ID_BYTES),
            at=self._runtime.clock.now(),
            name=actor.name,
            role=actor.role,
            address=actor.address,
            act=act,
            subject=subject,
            before=before[:MOST_OF_TEXT],
            after=after[:MOST_OF_TEXT],
        )
        if not await self._store.insert(entry, self._runtime.random.token(WRITE_BYTES)):
            raise StoreUnavailable

    async def write_refusal(self, actor: Actor, act: Act, subject: str = "") -> None:
        """Add an entry for a refused act, unless there were too many. Raises StoreUnavailable."""
        if self._refusals.take(f"{actor.name} {actor.address}"):
            await self.write(actor, act, subject)

    async def find(self, wanted: AuditFilter, *, limit: int, cursor: str = "") -> Page[AuditEntry]:
        """Return matching entries, newest first. Raises BadRequest for an invalid cursor."""
        return await self._store.find(wanted, limit=limit, cursor=cursor)
