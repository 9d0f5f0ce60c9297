"""Pages of acts that wait for a second person: list them, confirm or decline one."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from handlers.console.audit_words import name_words
from handlers.console.base import NO_PERMISSION, ConsoleHandler
from handlers.console.routes import Page, console_routes
from handlers.console.texts.approvals import STATES, TEXTS
from handlers.console.texts.audit import ACTS
from handlers.web.plugin import Route
from handlers.web.services import Services
from wechat.domain.approvals import Approval, ApprovalState
from wechat.domain.audit import Act
from wechat.domain.errors import Bilingual, Forbidden
from wechat.domain.labels import name_of
from wechat.domain.money import yuan
from wechat.domain.staff import Permission
from wechat.domain.times import beijing

PATH = "/console/approvals"
APPROVAL_ID = r"([0-9a-f]{16})"


class ApprovalsHandler(ConsoleHandler):
    """Show two lists: ``waiting`` has the open approvals and the confirmed, unfinished ones that the person may resume;
    ``decided`` has the other latest approvals, including expired ones."""

    texts = TEXTS

    async def get(self) -> None:
        approvals = self.services.staff.approvals
        waiting = [*await approvals.unfinished_of(self.staff.name), *await approvals.waiting()]
        now = self.services.clock.now()
        decided = [each for each in await approvals.latest() if not each.is_open(now) and each not in waiting]
        labels = {"acts": ACTS, "states": STATES, "yuan": yuan, "beijing": beijing}
        labels |= {"page_of": page_of, "result_of": name_result, "state_of": lambda each: name_state(each, now)}
        self.render_console("approvals.html", waiting=waiting, decided=decided, **labels)


class DecisionHandler(ConsoleHandler):
    """Base class of the handlers that decide an approval."""

    texts = TEXTS

    async def check(self, approval_id: str) -> None:
        """Raise NotFound, or Forbidden for a person who may not perform the act; the audit log notes the refusal."""
        approval = await self.services.staff.approvals.get(approval_id)
        if not self.staff.may(approval.permission):
            await self.services.staff.audit.write_refusal(self.actor, Act.DENIED, f"{approval.act} {approval.subject}")
            raise Forbidden(NO_PERMISSION)


class ConfirmHandler(DecisionHandler):
    """Confirm the act and carry it out, or resume a confirmed act that has not ended. Requires a step-up."""

    async def post(self, approval_id: str) -> None:
        await self.check(approval_id)
        await self.require_step_up()
        asked = await self.services.staff.approvals.get(approval_id)
        async with self.audit_act(asked.act, asked.subject, asked.state, asked.id) as after:
            approval = await self.services.staff.approvals.confirm(approval_id, self.actor)
            after += [approval.state, approval.result]
        failed = approval.state is ApprovalState.FAILED
        result = name_result(approval, self.lang)
        self.put_flash(self.t("failed" if failed else "done", result=result), "error" if failed else "done")
        self.redirect(PATH)


class DeclineHandler(DecisionHandler):
    """Decline the act; the person who asked for it can withdraw it."""

    async def post(self, approval_id: str) -> None:
        await self.check(approval_id)
        await self.services.staff.approvals.decline(approval_id, self.actor)
        self.put_flash(self.t("declined"))
        self.redirect(PATH)


def page_of(approval: Approval) -> str:
    """Return the path of the page where the act can be judged: the order, or the difference on its day."""
    if approval.act is Act.REPAIR:
        return f"/console/reconciliation/{approval.data['day']}#d{approval.subject}"
    return f"/console/orders/{quote(approval.subject, safe='')}"


def name_state(approval: Approval, now: datetime) -> Bilingual:
    """The state's name; an approval that nobody decided in time has expired."""
    return TEXTS["expired"] if approval.has_expired(now) else STATES[approval.state]


def name_result(approval: Approval, lang: str) -> str:
    """Return the result of a carried-out act, with its states in words."""
    return name_words(approval.act, approval.result, lang, name_of)


def routes(services: Services) -> list[Route]:
    return console_routes(
        services,
        Page(PATH, ApprovalsHandler, "console_approvals", Permission.REFUND),
        Page(f"{PATH}/{APPROVAL_ID}/confirm", ConfirmHandler, "console_confirm", Permission.REFUND),
        Page(f"{PATH}/{APPROVAL_ID}/decline", DeclineHandler, "console_decline", Permission.REFUND),
    )
