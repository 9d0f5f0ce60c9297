"""What is asked about people, sessions, failed logins, audit entries, approvals and API keys, for ``test_plans``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from storage.mongo.storage import MongoStorage
from storage.store import Codec
from storage.stores.all import API_KEYS, APPROVALS, AUDIT, FAILED_LOGINS, STAFF, STAFF_SESSIONS
from storage.stores.api_keys import API_KEY
from storage.stores.approvals import APPROVAL
from storage.stores.audit import ENTRY
from storage.stores.listing import GROWTH
from storage.stores.staff import FAILED, MEMBER, MOST_SESSIONS, SESSION
from tests.contract.samples import HOUR, NOW
from tests.storage.values import a_member, a_session, an_approval, bare_key
from wechat.domain.api_keys import ApiKey, KeySecret
from wechat.domain.approvals import Approval, ApprovalState
from wechat.domain.audit import Act, AuditEntry, AuditFilter
from wechat.domain.ports import Stored
from wechat.domain.staff import FailedLogins, StaffMember, StaffSession

PEOPLE = 40
STORED = 2000
PAGE = 20


def person(i: int) -> str:
    return f"person-{i % PEOPLE:02}"


def a_person(i: int) -> StaffMember:
    return a_member(person(i), created_at=NOW - timedelta(minutes=i))


def a_browser(i: int) -> StaffSession:
    at = NOW - timedelta(seconds=i)
    return a_session(f"{i:064x}", person(i), created_at=at, seen_at=at)


def a_failure(i: int) -> FailedLogins:
    return FailedLogins(f"{i:04x}", 1, NOW)


def an_entry(i: int) -> AuditEntry:
    act = Act.LOG_IN if i % 2 else Act.REFUND
    at = NOW - timedelta(seconds=i)
    return AuditEntry(f"entry-{i}", at, person(i), "finance", "203.0.113.7", act, f"order-{i}")


def an_act(i: int) -> Approval:
    state = ApprovalState.WAITING if i % 400 == 7 else ApprovalState.DONE
    return an_approval(id=f"{i:016x}", requested_at=NOW - timedelta(minutes=i), state=state)


def a_key(i: int) -> ApiKey:
    return replace(bare_key(), name=f"key-{i}", secrets=(KeySecret(f"{i:064x}", NOW), KeySecret(f"{i:063x}f", NOW)))


STAFF_VALUES: Sequence[tuple[str, Codec[Any], Callable[[int], Any], int]] = (
    (STAFF, MEMBER, a_person, PEOPLE),
    (STAFF_SESSIONS, SESSION, a_browser, STORED),
    (FAILED_LOGINS, FAILED, a_failure, STORED),
    (AUDIT, ENTRY, an_entry, STORED),
    (APPROVALS, APPROVAL, an_act, STORED),
    (API_KEYS, API_KEY, a_key, 300),
)


def audit_page(storage: MongoStorage, wanted: AuditFilter) -> Awaitable[Any]:
    return storage.audit.find(wanted, limit=PAGE, cursor="")


def replaced(collection: str, value: Any) -> Callable[[MongoStorage], Awaitable[bool]]:
    """Replace a stored value by itself."""
    return lambda s: getattr(s, collection).replace(Stored(value, 1, ("loaded",)), value, "write-1")


STAFF_LISTINGS: dict[str, Callable[[MongoStorage], Awaitable[Any]]] = {
    "audit entries": lambda s: audit_page(s, AuditFilter()),
    "audit entries of a person": lambda s: audit_page(s, AuditFilter(name=person(3))),
    "audit entries of a person and an act": lambda s: audit_page(s, AuditFilter(name=person(3), act=Act.LOG_IN)),
    "audit entries about an order": lambda s: audit_page(s, AuditFilter(subject="order-7")),
    "audit entries of an hour": lambda s: audit_page(s, AuditFilter(start=NOW - HOUR, end=NOW - HOUR / 2)),
    "audit entries of nobody": lambda s: audit_page(s, AuditFilter(name="nobody")),
}
LATEST: dict[str, Callable[[MongoStorage], Awaitable[Any]]] = {
    "latest sessions": lambda s: s.staff_sessions.latest(),
    "latest approvals": lambda s: s.approvals.latest(),
}
FOR_THE_LATEST = GROWTH * (MOST_SESSIONS + 1)
"""So many documents the last window may hold: fewer than half of what is stored."""
STAFF_LOOKUPS: dict[str, Callable[[MongoStorage], Awaitable[Any]]] = {
    "person": lambda s: s.staff.get(person(7)),
    "everybody": lambda s: s.staff.all(),
    "replaced person": replaced("staff", a_person(3)),
    "session": lambda s: s.staff_sessions.get(f"{7:064x}"),
    "sessions of a person": lambda s: s.staff_sessions.of_member(person(7)),
    "replaced session": replaced("staff_sessions", a_browser(3)),
    "failed logins": lambda s: s.failed_logins.get("0007"),
    "replaced failed logins": replaced("failed_logins", a_failure(3)),
    "approval": lambda s: s.approvals.get(f"{7:016x}"),
    "approvals that wait": lambda s: s.approvals.waiting(),
    "replaced approval": replaced("approvals", an_act(3)),
    "API key": lambda s: s.api_keys.get("key-7"),
    "API keys": lambda s: s.api_keys.all(),
    "API key of a secret": lambda s: s.api_keys.of_digest(f"{7:063x}f"),
    "API key of an unknown secret": lambda s: s.api_keys.of_digest("f" * 64),
    "replaced API key": replaced("api_keys", a_key(3)),
}
