"""The console's people, sessions and audit log, and the API keys, built from the settings."""

from __future__ import annotations

from datetime import timedelta

from handlers.web.services import Staff
from service.settings.model import Settings
from storage.stores.all import Stores
from wechat.domain.ports import Clock, Runtime, TokenStore
from wechat.staff.api_keys import ApiKeys
from wechat.staff.approvals import Approvals
from wechat.staff.audit import AuditLog
from wechat.staff.members import Members
from wechat.staff.operator import OperatorGate
from wechat.staff.passwords import Passwords
from wechat.staff.sessions import SessionRules, Sessions


def build_staff(settings: Settings, store: Stores, tokens: TokenStore, runtime: Runtime, machine: Clock) -> Staff:
    """Build the use cases of people and API keys. Sessions, code generators and step-ups use ``machine``, so that
    moving the demo's clock ends no session."""
    console = settings.console
    real = Runtime(machine, runtime.random, runtime.telemetry, runtime.threads)
    passwords = Passwords(real)
    members = Members(store.staff, passwords, real)
    rules = SessionRules(timedelta(minutes=console.idle_minutes), timedelta(hours=console.absolute_hours))
    secrets = list(dict.fromkeys(settings.session.secrets_by_version.values()))
    audit = AuditLog(store.audit, runtime)
    return Staff(
        members=members,
        sessions=Sessions(members, passwords, store.staff_sessions, store.failed_logins, rules, real),
        audit=audit,
        approvals=Approvals(store.approvals, store.staff, audit, console.second_person_above, runtime),
        api_keys=ApiKeys(store.api_keys, [key.name for key in settings.merchants], real),
        operator=OperatorGate(secrets, machine, tokens),
    )
