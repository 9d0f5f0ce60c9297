"""Logins to the console and its sessions.

A session's id is in a cookie only; its SHA-256 is the key in the store. Each request reads the session and the person,
so that a changed role or password, or a disabled account, takes effect at once in every process.
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
"""Failed logins are stored by this number of hex digits of the name's hash: 65,536 places, however many names are
tried."""
STEP_UP = "step_up"
"""The prefix of the key for failed step-ups. Only a person who is logged in adds to them, so a stranger who knows a
name can delay a login, but no refund."""
TRIES, TRIES_PER_S = 20, 0.2
"""Limits for failed logins from one address, at once and a second."""
MOST_ADDRESSES = 10_000


@dataclass(frozen=True, slots=True)
class SessionRules:
    """The settings of sessions."""

    idle: timedelta
    absolute: timedelta


@dataclass(frozen=True, slots=True)
class Login:
    """The input of a login. ``code`` is from the code generator, or a recovery code; empty without one."""

    name: str
    password: str
    code: str
    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class Visit:
    """A person and the session of the present request."""

    member: StaffMember
    session: StaffSession


class LoginRefused(Unauthorized):
    """The login is refused. The text is the same for an unknown name, a wrong password or code, a disabled account."""

    code = "LOGIN_REFUSED"
    text = Bilingual("用户名、密码或动态验证码不正确", "The user name, the password or the code is not right")

    def __init__(self, name: str) -> None:
        """``name``: the person's, for the audit log; empty for an unknown person."""
        super().__init__()
        self.name = name


class Sessions:
    """All sessions, in the store that all processes share."""

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
        """Log in and return the id of a new session. Raises LoginRefused, and TooMany after several failures.

        An attempt counts as failed before the password is checked, so that concurrent attempts all count.
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
        """Create a session of ``member`` and return its id.

        ``began_at``: the time of the login request. Whatever ends the person's sessions after it ends this one, too.
        """
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
        """Check a password or code as ``proof`` and replace the session by a new one, whose id is returned.

        Raises LoginRefused, and TooMany after several failures.
        """
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
        """Whether the person's last step-up is recent enough to move money."""
        return has_stepped_up(visit.session, self._runtime.clock.now())

    async def find(self, session_id: str) -> Visit | None:
        """Return the person and the session, and note its use; None when it is unknown or has ended."""
        visit = await self.find_by_key(key_of(session_id))
        if visit is None:
            return None
        now = self._runtime.clock.now()
        change = await self._sessions.update(visit.session.key, lambda session: touch_session(session, now))
        return Visit(visit.member, change.after if change else visit.session)

    async def find_by_key(self, key: str) -> Visit | None:
        """Find a session by its key, without noting a use, so that an open page does not keep the session alive."""
        stored = await self._store.get(key)
        member = await self._members.get(stored.value.name) if stored else None
        now = self._runtime.clock.now()
        if stored is None or member is None or has_ended(stored.value, member, self._rules.idle, now):
            return None
        return Visit(member, stored.value)

    async def end(self, key: str) -> None:
        """End a session; ignored when it has ended."""
        now = self._runtime.clock.now()
        await self._sessions.update(key, lambda session: end_session(session, now))

    async def active(self, name: str = "") -> Sequence[StaffSession]:
        """Return the sessions of one person, or of all, that have not ended, the latest first."""
        found = [each.value for each in await self._store.of_member(name)] if name else await self._store.latest()
        members = {member.name: member for member in await self._members.all()}
        now = self._runtime.clock.now()
        return [each for each in found if each.name in members and not self._has_ended(each, members[each.name], now)]

    def _has_ended(self, session: StaffSession, member: StaffMember, now: datetime) -> bool:
        return has_ended(session, member, self._rules.idle, now)

    async def _count_try(self, place: str) -> str:
        """Count an attempt under the key ``place``, and return that key. Raises TooMany."""
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
        """Use up a code. Raises LoginRefused."""
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
