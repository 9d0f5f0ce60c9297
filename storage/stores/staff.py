"""The people of the console, their sessions, and failed logins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from storage.documents import FIRST, LAST, Document, Documents, Range
from storage.store import Codec, DocumentStore
from storage.stores.listing import newest
from wechat.domain.ports import Clock, Stored
from wechat.domain.staff import FailedLogins, Role, StaffMember, StaffSession

MOST_MEMBERS = 500
MOST_SESSIONS = 200


class StaffMembers(DocumentStore[StaffMember]):
    """``StaffStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, MEMBER)

    async def all(self) -> Sequence[StaffMember]:
        found = await self._documents.find(Range("created_at", FIRST, LAST, limit=MOST_MEMBERS))
        return sorted(self.values(found), key=lambda member: member.name)


class StaffSessions(DocumentStore[StaffSession]):
    """``StaffSessionStore``."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        super().__init__(documents, SESSION)
        self._clock = clock

    async def of_member(self, name: str) -> Sequence[Stored[StaffSession]]:
        wanted = Range("created_at", FIRST, LAST, {"name": name}, limit=MOST_SESSIONS, latest=True)
        return self.readable(await self._documents.find(wanted))

    async def latest(self) -> Sequence[StaffSession]:
        now = self._clock.now()
        found = await newest(self._documents, "created_at", {}, now=now, limit=MOST_SESSIONS, cursor="")
        return self.values(found[:MOST_SESSIONS])


class LoginFailures(DocumentStore[FailedLogins]):
    """``FailedLoginStore``."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, FAILED)


def _write_member(member: StaffMember) -> Document:
    document: Document = {
        "role": member.role.value,
        "password": member.password,
        "created_at": member.created_at,
        "sessions_from": member.sessions_from,
        "totp_step": member.totp_step,
        "recovery": list(member.recovery),
    }
    for name in ("disabled_at", "totp_secret"):
        if value := getattr(member, name):
            document[name] = value
    return document


def _read_member(document: Document) -> StaffMember:
    return StaffMember(
        name=document["_id"],
        role=Role(document["role"]),
        password=document["password"],
        created_at=document["created_at"],
        sessions_from=document["sessions_from"],
        disabled_at=document.get("disabled_at"),
        totp_secret=document.get("totp_secret", ""),
        totp_step=int(document.get("totp_step", 0)),
        recovery=tuple(document.get("recovery", ())),
    )


def _write_session(session: StaffSession) -> Document:
    values = {field.name: getattr(session, field.name) for field in fields(session) if field.name != "key"}
    return {name: value for name, value in values.items() if value is not None}


def _read_session(document: Document) -> StaffSession:
    return StaffSession(
        key=document["_id"],
        name=document["name"],
        created_at=document["created_at"],
        seen_at=document["seen_at"],
        expires_at=document["expires_at"],
        address=document["address"],
        browser=document["browser"],
        totp=document.get("totp", False),
        stepped_up_at=document.get("stepped_up_at"),
        ended_at=document.get("ended_at"),
    )


def _write_failures(failed: FailedLogins) -> Document:
    return {"count": failed.count, "last_at": failed.last_at, "expires_at": failed.expires_at}


def _read_failures(document: Document) -> FailedLogins:
    last_at: datetime = document["last_at"]
    return FailedLogins(document["_id"], int(document["count"]), last_at)


MEMBER = Codec(
    key=lambda member: member.name,
    write=_write_member,
    read=_read_member,
    fields=frozenset(
        {
            "role", "password", "created_at", "sessions_from", "disabled_at", "totp_secret", "totp_step", "recovery",
        }
    ),
    parts={},
)  # fmt: skip
SESSION = Codec(
    key=lambda session: session.key,
    write=_write_session,
    read=_read_session,
    fields=frozenset({field.name for field in fields(StaffSession)} - {"key"}),
    parts={},
)
FAILED = Codec(
    key=lambda failed: failed.key,
    write=_write_failures,
    read=_read_failures,
    fields=frozenset({"count", "last_at", "expires_at"}),
    parts={},
)
