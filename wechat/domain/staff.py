"""The people who work with the console: their roles, what each role may do, their sessions, and failed logins.

Pure values and rules. Passwords are argon2 hashes, session ids and recovery codes SHA-256 digests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from wechat.domain.errors import BadRequest, Bilingual

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,47}", re.ASCII)
PASSWORD_LENGTHS = range(10, 201)
"""Characters of a password. The upper bound prevents hashing megabytes."""
FREE_FAILURES = 5
"""Failed logins of one account after which each further try has to wait."""
LONGEST_WAIT = timedelta(minutes=5)
FAILURES_KEPT = timedelta(hours=24)
"""After this time without a failed login, earlier failures no longer count."""
STEP_UP_WINDOW = timedelta(minutes=5)
"""The time after a step-up in which no further step-up is required."""
SEEN_EVERY = timedelta(minutes=1)
"""The shortest time between two updates of a session's last use."""


class Role(StrEnum):
    """A person's role."""

    ADMIN = "admin"
    FINANCE = "finance"
    SUPPORT = "support"
    DEVELOPER = "developer"
    READER = "reader"


class Permission(StrEnum):
    """A permission that a route of the console requires; ``PERMISSIONS`` lists those of each role."""

    OWN_ACCOUNT = "own_account"  # own password, code generator and sessions
    READ = "read"  # orders, refunds, events, overview
    NOTE = "note"  # write notes, mark alarms as seen, take support files
    QUERY_ORDERS = "query_orders"  # ask WeChat Pay
    CLOSE_ORDERS = "close_orders"
    REFUND = "refund"
    RECONCILE = "reconcile"
    EXPORT = "export"
    READ_PAYLOADS = "read_payloads"  # messages as they were sent, with personal data
    RESEND = "resend"  # events to their receivers
    REPLAY = "replay"  # notifications that were refused
    READ_SETTINGS = "read_settings"
    READ_AUDIT = "read_audit"
    MANAGE_STAFF = "manage_staff"
    MANAGE_KEYS = "manage_keys"


_EVERYBODY = frozenset({Permission.OWN_ACCOUNT, Permission.READ})
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.FINANCE: _EVERYBODY
    | {
        Permission.NOTE,
        Permission.QUERY_ORDERS,
        Permission.CLOSE_ORDERS,
        Permission.REFUND,
        Permission.RECONCILE,
        Permission.EXPORT,
    },
    Role.SUPPORT: _EVERYBODY | {Permission.NOTE, Permission.QUERY_ORDERS, Permission.CLOSE_ORDERS, Permission.RESEND},
    Role.DEVELOPER: _EVERYBODY
    | {
        Permission.NOTE,
        Permission.READ_PAYLOADS,
        Permission.RESEND,
        Permission.REPLAY,
        Permission.READ_SETTINGS,
    },
    Role.READER: _EVERYBODY,
}


@dataclass(frozen=True, slots=True)
class StaffMember:
    """A person who may log in. Sessions that began before ``sessions_from`` no longer count.

    ``totp_secret`` is base32, empty without a code generator; ``totp_step`` is the step (30 s) of the last code used.
    ``recovery`` are the digests of the unused recovery codes; each code may replace the code generator once.
    """

    name: str
    role: Role
    password: str
    created_at: datetime
    sessions_from: datetime
    disabled_at: datetime | None = None
    totp_secret: str = ""
    totp_step: int = 0
    recovery: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        return self.disabled_at is None

    def may(self, permission: Permission) -> bool:
        return permission in PERMISSIONS[self.role]


@dataclass(frozen=True, slots=True)
class StaffSession:
    """A session of one person in one browser. ``key`` is the SHA-256 of the id in the cookie; ``expires_at`` is fixed.

    ``totp``: whether a code was given at login, too. ``stepped_up_at``: the time of the last step-up.
    """

    key: str
    name: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str
    browser: str
    totp: bool = False
    stepped_up_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FailedLogins:
    """The number of failed logins or failed step-ups since the last success.

    ``key`` names the kind (login or step-up) and the account, which need not exist.
    """

    key: str
    count: int
    last_at: datetime

    @property
    def expires_at(self) -> datetime:
        return self.last_at + FAILURES_KEPT


def check_name(name: str) -> str:
    """Return ``name`` in lower case. Raises BadRequest for an invalid name."""
    lower = name.strip().lower()
    if not NAME.fullmatch(lower):
        text = Bilingual(
            "用户名为 2 到 48 个字符：小写字母、数字和 . _ @ -，以字母或数字开头",
            "A user name has 2 to 48 characters: lower-case letters, digits and . _ @ -, a letter or digit first",
        )
        raise BadRequest(text, code="BAD_NAME", field="name")
    return lower


def check_password(password: str, name: str) -> str:
    """Return ``password``. Raises BadRequest when it is too short, too long, or the user's name."""
    if len(password) not in PASSWORD_LENGTHS or password.strip().lower() == name:
        text = Bilingual(
            "密码为 10 到 200 个字符，且不能与用户名相同",
            "A password has 10 to 200 characters and is not the user's name",
        )
        raise BadRequest(text, code="BAD_PASSWORD", field="password")
    return password


def has_ended(session: StaffSession, member: StaffMember, idle: timedelta, now: datetime) -> bool:
    """Whether ``session`` of ``member`` has ended, so that its requests are refused."""
    idle_until = min(session.expires_at, session.seen_at + idle)
    revoked = session.ended_at is not None or session.created_at < member.sessions_from
    return revoked or not member.active or now >= idle_until


def touch_session(session: StaffSession, now: datetime) -> StaffSession:
    """Note that the session was used, at most once a minute."""
    return replace(session, seen_at=now) if now - session.seen_at >= SEEN_EVERY else session


def end_session(session: StaffSession, now: datetime) -> StaffSession:
    return session if session.ended_at else replace(session, ended_at=now)


def has_stepped_up(session: StaffSession, now: datetime) -> bool:
    """Whether the person's last step-up is recent enough to move money."""
    return session.stepped_up_at is not None and now - session.stepped_up_at < STEP_UP_WINDOW


def next_login_at(failed: FailedLogins) -> datetime:
    """Compute when the account may be tried again: from ``FREE_FAILURES`` on the wait doubles, from one second."""
    if failed.count < FREE_FAILURES:
        return failed.last_at
    doubled = timedelta(seconds=2 ** min(failed.count - FREE_FAILURES, 10))
    return failed.last_at + min(LONGEST_WAIT, doubled)


def count_login(failed: FailedLogins, now: datetime) -> FailedLogins:
    """Count one more attempt as failed; a success removes the count later."""
    earlier = failed.count if now < failed.expires_at else 0
    return replace(failed, count=earlier + 1, last_at=now)
