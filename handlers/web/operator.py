"""Base class of the handlers for the operator's command line."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from handlers.web.base import ApiHandler
from wechat.domain.audit import Act
from wechat.staff.audit import Actor

OPERATOR = "manage.py"
"""The name of the actor in the audit log."""


class OperatorHandler(ApiHandler):
    """A request of ``manage.py``."""

    def audit_act(
        self, act: Act, subject: str, before: str = "", wanted: str = ""
    ) -> AbstractAsyncContextManager[list[str]]:
        """Run the body between two entries of the audit log; see ``AuditLog.record_act``."""
        actor = Actor(OPERATOR, "", self.client_ip)
        return self.services.staff.audit.record_act(actor, act, subject, before, wanted)
