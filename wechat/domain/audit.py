"""Entries of the console's audit log: who did what. They are written once and never changed. Pure values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import product

MOST_OF_TEXT = 2000
"""Characters that are kept of what was there before and after."""
MOST_OF_SUBJECT = 300
"""Characters that are kept of what was acted upon: longer than any number or address of a page."""


class Act(StrEnum):
    """An act of a person in the console. The console's texts have a label for each."""

    LOG_IN = "log_in"
    LOGIN_REFUSED = "login_refused"
    LOG_OUT = "log_out"
    DENIED = "denied"  # a person's role does not permit the request
    STEP_UP = "step_up"
    STEP_UP_REFUSED = "step_up_refused"
    END_SESSION = "end_session"
    CHANGE_PASSWORD = "change_password"  # noqa: S105 - an act, not a password
    ADD_USER = "add_user"
    SET_ROLE = "set_role"
    DISABLE_USER = "disable_user"
    ENABLE_USER = "enable_user"
    SET_UP_TOTP = "set_up_totp"
    REMOVE_TOTP = "remove_totp"
    BEGIN = "begin"  # a person requested a change; its result is another entry
    REQUEST_APPROVAL = "request_approval"
    CONFIRM = "confirm"
    DECLINE = "decline"
    REFUND = "refund"
    CANCEL_REFUND = "cancel_refund"
    QUERY_ORDER = "query_order"
    CLOSE_ORDER = "close_order"
    WRITE_NOTE = "write_note"
    RESEND = "resend"
    REPLAY = "replay"
    READ_PAYLOAD = "read_payload"
    READ_PERSONAL = "read_personal"
    EXPORT = "export"
    RECONCILE = "reconcile"
    REPAIR = "repair"
    SEE_ALARM = "see_alarm"
    RUN_DOCTOR = "run_doctor"
    ADD_KEY = "add_key"
    ROTATE_KEY = "rotate_key"
    REVOKE_KEY = "revoke_key"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """``name`` did ``act`` to ``subject`` (an order, a person, a key; empty for none) from ``address``.

    ``before`` and ``after`` are short texts for people, without secrets. An entry with the act BEGIN is written before
    the act ``wanted`` is done; the entry with the id ``end_id`` holds its outcome.
    """

    id: str
    at: datetime
    name: str
    role: str
    address: str
    act: Act
    subject: str = ""
    before: str = ""
    after: str = ""
    wanted: str = ""

    @property
    def end_id(self) -> str:
        return f"{self.id}-end"

    @property
    def keys(self) -> Sequence[str]:
        """The search keys of the entry: one for each combination of person, act (the begun act, too) and subject."""
        acts = [f"act={act}" for act in (self.act, self.wanted) if act]
        subjects = [f"subject={self.subject}"] if self.subject else []
        parts = [["", f"name={self.name}"], ["", *acts], ["", *subjects]]
        chosen = [join([part for part in each if part]) for each in product(*parts)]
        return [key for key in chosen if key]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Conditions for entries; an empty field matches everything."""

    name: str = ""
    act: str = ""
    subject: str = ""
    start: datetime | None = None
    end: datetime | None = None

    @property
    def key(self) -> str:
        """The one of ``AuditEntry.keys`` that all matching entries share; empty when there is no condition."""
        parts = {"name": self.name, "act": self.act, "subject": self.subject}
        return join([f"{field}={value}" for field, value in parts.items() if value])


def join(parts: Sequence[str]) -> str:
    return "\n".join(parts)
