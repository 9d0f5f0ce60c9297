"""Write entries of the audit log, before the response, and find them again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from wechat.domain.audit import MOST_OF_SUBJECT, MOST_OF_TEXT, Act, AuditEntry, AuditFilter
from wechat.domain.errors import CallerError, GatewayRefused, NotSent, StoreUnavailable, TooMany
from wechat.domain.ports import AuditStore, Page, Runtime
from wechat.support.rate_limit import RateLimit

REFUSED = "refused"
"""In the outcome of an act, before the code of why it was not done."""
ID_BYTES, WRITE_BYTES = 12, 6
REFUSALS, REFUSALS_PER_S = 100, 1 / 60
"""Limits for the refused acts of one person that are recorded, at once and a second."""
REFUSED_ACTS, REFUSED_ACTS_PER_S = 30, 1 / 10
"""Limits for the acts of one person that end refused, at once and a second: each of them leaves two entries."""
MOST_CALLERS = 1000
BEGUN_AT_ONCE, MOST_PAGES = 100, 20
"""Entries that are read at once, and how often for one page, to find those acts whose outcome is unknown."""


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
        self._refused_acts = RateLimit(runtime.clock, REFUSED_ACTS, REFUSED_ACTS_PER_S, MOST_CALLERS)

    async def write(self, actor: Actor, act: Act, subject: str = "", before: str = "", after: str = "") -> None:
        """Add an entry. ``before`` and ``after`` hold no secrets. Raises StoreUnavailable."""
        await self._insert(self._new_entry(actor, act, subject, before, after))

    @asynccontextmanager
    async def record_act(
        self, actor: Actor, act: Act, subject: str, before: str = "", wanted: str = ""
    ) -> AsyncIterator[list[str]]:
        """Add an entry that ``actor`` requests ``act``, run the body, and add an entry with its outcome.

        The outcome is what the body puts into the list, or that it was refused. Where the body ends in another way, or
        the process dies, there is no second entry: the outcome is unknown. Raises StoreUnavailable, and TooMany after
        many refused acts; where the first entry is not written, the body does not run.
        """
        if not self._refused_acts.take(actor.name):
            raise TooMany
        is_refused, after = False, list[str]()
        try:
            begun = await self._begin(actor, act, subject, before, wanted)
            try:
                yield after
            except (CallerError, GatewayRefused, NotSent) as error:
                is_refused = True
                await self._end(begun, f"{REFUSED}: {error.public_code}")
                raise
            await self._end(begun, "; ".join(after))
        finally:
            if not is_refused:
                self._refused_acts.give_back(actor.name)

    async def _begin(self, actor: Actor, act: Act, subject: str, before: str, after: str) -> AuditEntry:
        """Add an entry that ``actor`` requests ``act``; ``after`` holds its details. Raises StoreUnavailable."""
        entry = replace(self._new_entry(actor, Act.BEGIN, subject, before, after), wanted=act.value)
        await self._insert(entry)
        return entry

    async def _end(self, begun: AuditEntry, after: str) -> None:
        """Add the outcome of an act. Raises StoreUnavailable."""
        actor = Actor(begun.name, begun.role, begun.address)
        entry = self._new_entry(actor, Act(begun.wanted), begun.subject, begun.before, after)
        await self._insert(replace(entry, id=begun.end_id))

    async def write_refusal(self, actor: Actor, act: Act, subject: str = "") -> None:
        """Add an entry for a refused act, unless there were too many. Raises StoreUnavailable."""
        if self._refusals.take(f"{actor.name} {actor.address}"):
            await self.write(actor, act, subject)

    async def find(self, wanted: AuditFilter, *, limit: int, cursor: str = "") -> Page[AuditEntry]:
        """Return matching entries, newest first. Raises BadRequest for an invalid cursor."""
        return await self._store.find(wanted, limit=limit, cursor=cursor)

    async def find_without_outcome(self, wanted: AuditFilter, *, cursor: str = "") -> Page[AuditEntry]:
        """Return requested acts whose outcome is unknown, newest first; a page may be short or empty although another
        one follows. Raises BadRequest for an invalid cursor."""
        found: list[AuditEntry] = []
        for _ in range(MOST_PAGES):
            page = await self._store.find(replace(wanted, act=Act.BEGIN), limit=BEGUN_AT_ONCE, cursor=cursor)
            ended = await self.find_with_outcome(page.items)
            found += [each for each in page.items if each.wanted and each.id not in ended]
            cursor = page.next_cursor
            if found or not cursor:
                break
        return Page(tuple(found), cursor)

    async def find_with_outcome(self, entries: Sequence[AuditEntry]) -> frozenset[str]:
        """Return the ids of those of ``entries`` that request an act and have an entry with its outcome."""
        begun = [each for each in entries if each.wanted]
        has = await asyncio.gather(*[self._store.has(each.end_id) for each in begun])
        return frozenset([each.id for each, ended in zip(begun, has, strict=True) if ended])

    def _new_entry(self, actor: Actor, act: Act, subject: str, before: str, after: str) -> AuditEntry:
        return AuditEntry(
            id=self._runtime.random.token(ID_BYTES),
            at=self._runtime.clock.now(),
            name=actor.name,
            role=actor.role,
            address=actor.address,
            act=act,
            subject=subject[:MOST_OF_SUBJECT],
            before=before[:MOST_OF_TEXT],
            after=after[:MOST_OF_TEXT],
        )

    async def _insert(self, entry: AuditEntry) -> None:
        if not await self._store.insert(entry, self._runtime.random.token(WRITE_BYTES)):
            raise StoreUnavailable
