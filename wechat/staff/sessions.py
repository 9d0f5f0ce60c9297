"""Logging in to the console, and the sessions that follow.

A session's id is in a cookie only; its SHA-256 is the key in the store. Each request reads the session and the person,
so that a role, a password or a disabled account counts at once, in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wechat.domain.errors import Bilingual, StoreUnavailable, TooMany, Unauthorized
from wechat.domain.ports import FailedLoginStore, Runtime, StaffSessionStore
from wechat.domain.staff import (
    FailedLogins,
    StaffMember,
    StaffSession,
    count_login,
    end_session,
    has_ended,
    has_stepped_up,
    next_login_at,
    touch_session,
)
from wechat.staff.members import Members
from wechat.staff.passwords import Passwords
from wechat.staff.totp import CodeRefused, use_code
from wechat.support.rate_limit import RateLimit
from wechat.support.update import Updater

ID_BYTES = 32
MOST_OF_BROWSER = 200
"""Characters that are kept of a User-Agent."""
SLOT_DIGITS = 4
"""Failed logins are kept by so many hex digits of the name's hash: 65,536 places, whatever names are tried."""
STEP_UP = "step_up"
"""Before the name, where failed proofs are kept. Only who is logged in adds to them: whoever knows nothing but a name
can make its login wait, and no refund."""
TRIES, TRIES_PER_S = 20, 0.2
"""Failed logins of one address at once, and a second."""
MOST_ADDRESSES = 10_000


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What the settings say of sessions."""

    idle: timedelta
    absolute: timedelta


@dataclass(frozen=True, slots=True)
class Login:
    """What a person typed, and from where. ``code`` is of the code generator, or a recovery code; empty without."""

    name: str
    password: str
    code: str
    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class Visit:
    """A person at work: who it is, and in which session."""

    member: StaffMember
    session: StaffSession


class LoginRefused(Unauthorized):
    """The same words for an unknown name, a wrong password, a wrong code and a disabled account."""

    code = "LOGIN_REFUSED"
    text = Bilingual("用户名、密码或动态验证码不正确", "The user name, the password or the code is not right")

    def __init__(self, name: str) -> None:
        """``name``: of the person, for the audit log; empty where there is no such person."""
        super().__init__()
        self.name = name


class Sessions:
    """Sessions of everybody, in the store that all processes share."""

    def __init__(
        self,
        members: Members,
        passwords: Passwords,
        sessions: StaffSessionStore,
        failures: FailedLoginStore,
        rules: SessionRules,
        runtime: Runtime,
    ) -> None:
        self._members = members
        self._passwords = passwords
        self._store = sessions
        self._sessions = Updater(sessions, lambda session: session.key, runtime.random, remembered=0)
        self._failures = Updater(failures, lambda failed: failed.key, runtime.random, remembered=0)
        self._addresses = RateLimit(runtime.clock, TRIES, TRIES_PER_S, MOST_ADDRESSES)
        self._rules = rules
        self._runtime = runtime

    async def log_in(self, login: Login) -> str:
        """The id of a new session. Raises LoginRefused, and TooMany after several failures.

        A try counts as failed before the password is looked at, so that many tries at once count as many.
        """
        name = login.name.strip().lower()
        if not self._addresses.take(login.address):
            raise TooMany
        began_at = self._runtime.clock.now()
        place = await self._count_try(hashlib.sha256(name.encode()).hexdigest()[:SLOT_DIGITS])
        member = await self._members.get(name)
        verdict = await self._passwords.verify(login.password, member.password if member else "")
        if member is None or not verdict.right or not member.active:
            raise LoginRefused(member.name if member else "")
        if member.totp_secret:
            await self._use_code(member, login.code)
        self._addresses.give_back(login.address)
        await self._failures.update(place, lambda failed: replace(failed, count=0))
        if verdict.new_hash:
            await self._members.update(name, lambda held: replace(held, password=verdict.new_hash))
        totp = bool(member.totp_secret)
        return await self.begin(member, login.address, login.browser, totp=totp, began_at=began_at)

    async def begin(
        self, member: StaffMember, address: str, browser: str, *, totp: bool = False, began_at: datetime | None = None
    ) -> str:
        """The id of a new session of ``member``. ``began_at``: when the person was asked for proof, where that took
        time; what ends their sessions meanwhile ends this one, too."""
        now = began_at or self._runtime.clock.now()
        session_id = self._runtime.random.token(ID_BYTES)
        await self._insert(
            StaffSession(
                key=key_of(session_id),
                name=member.name,
                created_at=now,
                seen_at=now,
                expires_at=now + self._rules.absolute,
                address=address,
                browser=browser[:MOST_OF_BROWSER],
                totp=totp,
            )
        )
        return session_id

    async def step_up(self, visit: Visit, proof: str) -> str:
        """The id of the session that takes the place of this one, after the person has proved once more who they are,
        by the password or a code. Raises LoginRefused, and TooMany after several failures."""
        member, now = visit.member, self._runtime.clock.now()
        place = await self._count_try(f"{STEP_UP} {member.name}")
        if not (await self._passwords.verify(proof, member.password)).right:
            if not member.totp_secret:
                raise LoginRefused(member.name)
            await self._use_code(member, proof)
        await self._failures.update(place, lambda failed: replace(failed, count=0))
        session_id = self._runtime.random.token(ID_BYTES)
        await self._insert(replace(visit.session, key=key_of(session_id), seen_at=now, stepped_up_at=now))
        await self.end(visit.session.key)
        return session_id

    def has_stepped_up(self, visit: Visit) -> bool:
        """Whether the person has proved lately enough who they are to move money."""
        return has_stepped_up(visit.session, self._runtime.clock.now())

    async def find(self, session_id: str) -> Visit | None:
        """Who is at work in the session; None when it is unknown or has ended."""
        visit = await self.find_by_key(key_of(session_id))
        if visit is None:
            return None
        now = self._runtime.clock.now()
        change = await self._sessions.update(visit.session.key, lambda session: touch_session(session, now))
        return Visit(visit.member, change.after if change else visit.session)

    async def find_by_key(self, key: str) -> Visit | None:
        """The same by the session's key. It does not count as a use, so an open page keeps no session from ending."""
        stored = await self._store.get(key)
        member = await self._members.get(stored.value.name) if stored else None
        now = self._runtime.clock.now()
        if stored is None or member is None or has_ended(stored.value, member, self._rules.idle, now):
            return None
        return Visit(member, stored.value)

    async def end(self, key: str) -> None:
        """End a session; one that has ended stays so."""
        now = self._runtime.clock.now()
        await self._sessions.update(key, lambda session: end_session(session, now))

    async def active(self, name: str = "") -> Sequence[StaffSession]:
        """The sessions of one person, or of everybody, that still let somebody in; the latest first."""
        found = [each.value for each in await self._store.of_member(name)] if name else await self._store.latest()
        members = {member.name: member for member in await self._members.all()}
        now = self._runtime.clock.now()
        return [each for each in found if each.name in members and not self._has_ended(each, members[each.name], now)]

    def _has_ended(self, session: StaffSession, member: StaffMember, now: datetime) -> bool:
        return has_ended(session, member, self._rules.idle, now)

    async def _count_try(self, place: str) -> str:
        """Count a try at its place in the store; that place. Raises TooMany."""
        now = self._runtime.clock.now()

        def count(failed: FailedLogins) -> FailedLogins:
            if now < next_login_at(failed):
                raise TooMany
            return count_login(failed, now)

        if await self._failures.update(place, count) is None:
            first = FailedLogins(place, 1, now)
            if not await self._failures.insert(first) and await self._failures.update(place, count) is None:
                raise StoreUnavailable
        return place

    async def _use_code(self, member: StaffMember, code: str) -> None:
        """Raises LoginRefused."""
        now = self._runtime.clock.now()
        try:
            await self._members.update(member.name, lambda held: use_code(held, code, now))
        except CodeRefused:
            raise LoginRefused(member.name) from None

    async def _insert(self, session: StaffSession) -> None:
        if not await self._sessions.insert(session):
            raise StoreUnavailable


def key_of(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()
